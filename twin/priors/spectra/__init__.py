"""What stars a spectroscopic survey may hold, and what their H alpha is made of."""

from twin.priors.spectra.config import KINDS, OWN, SHARED, StarsConfig, Temperatures
from twin.priors.spectra.stars import StarPrior, parameter_units

__all__ = ["KINDS", "OWN", "SHARED", "StarPrior", "StarsConfig", "Temperatures", "parameter_units"]
