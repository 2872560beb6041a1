"""What the benchmark's page says of the transient by its event list and spectra."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twin.evaluate.config import EpWxt44
from twin.evaluate.xray.transient import LightCurve, SpectrumFit, fit_spectrum, hardness, light_curve
from twin.io.xray import Arf, read_events, read_spectrum
from twin.metrics import Estimate
from twin.observatory.xray.config import SensorConfig
from twin.observatory.xray.energy import built_rmf
from twin.schema import UserError

MARGIN = (0.25, 6.0)  # [keV] of photons that are folded: the matrix's wings


@dataclass(frozen=True)
class Told:
    """light curve; hardness by words of its span; spectrum fit; span of the spectrum [s] in words"""

    curve: LightCurve
    hardness: dict[str, Estimate]
    spectrum: SpectrumFit
    exposure: float

    def metrics(self) -> dict[str, Estimate]:
        """As the benchmark's JSON has them: 68 % intervals of the curve, 90 % of the spectrum."""
        fit, curve = self.spectrum, self.curve
        made = {
            "transient_chance_constant": Estimate(*[curve.chance] * 3),
            "transient_chance_background_constant": Estimate(*[curve.background_chance] * 3),
            "transient_excess_variance": curve.excess, "transient_t90": curve.t90,
            "transient_index": fit.index, "transient_nh": fit.nh, "transient_flux": fit.flux,
            "transient_flux_unabsorbed": fit.unabsorbed, "transient_w": Estimate(*[fit.statistic] * 3),
            "transient_w_worse": Estimate(*[fit.worse] * 3),
        }  # fmt: skip
        return made | {f"transient_hardness_{name}": value for name, value in self.hardness.items()}


def tell(place: Path, config: EpWxt44, area: Arf) -> Told:
    """Of the lists and spectra that the benchmark names, in folder `place`. Raises UserError for what cannot be
    used."""
    files = config.transient_files
    (about, source), (_, background) = (read_events(place / name) for name in (files.events, files.background_events))
    spectrum, beside = (read_spectrum(place / name) for name in (files.spectrum, files.background_spectrum))
    scale, span = spectrum.backscale / beside.backscale, (float(about.gti[0, 0]), float(about.gti[-1, 1]))
    sensor = SensorConfig()
    keep = (area.low >= MARGIN[0]) & (area.high <= MARGIN[1])
    seen = Arf(area.low[keep], area.high[keep], area.area[keep])
    try:
        curve = light_curve(source.time, background.time, span, scale, files.bin)
        fit = fit_spectrum(spectrum, beside, seen, built_rmf(seen.low, seen.high, sensor))
    except ValueError as mistake:
        raise UserError(str(mistake), file=place / files.events) from None
    energy, energy_b = (sensor.channel * 1e-3 * (v.pi + 0.5) for v in (source, background))
    # the burst's own span, and its first and second half by counts
    first, last = np.quantile(source.time, (0.05, 0.95))
    middle = float(np.median(source.time[(source.time >= first) & (source.time <= last)]))
    parts = {"all": (first, last), "first_half": (first, middle), "second_half": (middle, last)}
    made = {}
    for name, (low, high) in parts.items():
        s, b = ((v.time >= low) & (v.time <= high) for v in (source, background))
        made[name] = hardness(energy[s], energy_b[b], scale, files.split)
    return Told(curve, made, fit, spectrum.exposure)
