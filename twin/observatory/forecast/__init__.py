"""The forecast of the next exposure's FWHM: a distribution, given the last ones (state-space model, heavy tails).

`fit` learns a `Forecast` from a table of exposures; `Forecast.predict` gives the distribution of any exposure after any
history; `write` is what `twin calibrate --forecast` calls, `Forecast.load` reads what it wrote.
"""

from twin.observatory.forecast.fit import fit
from twin.observatory.forecast.folder import Forecast, write
from twin.observatory.forecast.mixture import Mixture
from twin.observatory.forecast.table import Exposures, last_visible, read_exposures

__all__ = ["Exposures", "Forecast", "Mixture", "fit", "last_visible", "read_exposures", "write"]
