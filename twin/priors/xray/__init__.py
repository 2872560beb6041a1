"""What the X-ray sky may hold: spectra with absorption, numbers of sources by flux, light curves of transients."""

from twin.priors.xray.light_curves import arrival_times, decay, fred, shock_breakout
from twin.priors.xray.numbers import EXTRAGALACTIC, NumberCounts, bright_sources, fitted_slope
from twin.priors.xray.spectra import CRAB, Spectrum, cross_section, from_mcrab, to_mcrab

__all__ = [
    "CRAB",
    "EXTRAGALACTIC",
    "NumberCounts",
    "Spectrum",
    "arrival_times",
    "bright_sources",
    "cross_section",
    "decay",
    "fitted_slope",
    "fred",
    "from_mcrab",
    "shock_breakout",
    "to_mcrab",
]
