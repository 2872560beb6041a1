"""How many X-ray sources there are above a flux, and draws of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

SQUARE_DEGREES = (180 / math.pi) ** 2  # of a steradian


@dataclass(frozen=True)
class NumberCounts:
    """N(>S) = density (S / flux)^-slope sources a square degree, S from `least` to `most`; all in the same unit."""

    slope: float
    density: float
    flux: float
    least: float
    most: float

    def above(self, flux: float) -> float:
        """Sources a square degree between `flux` and `most`."""
        edge = max(flux, self.least)
        return max(self.density * ((edge / self.flux) ** -self.slope - (self.most / self.flux) ** -self.slope), 0.0)

    def fluxes(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Draws by inversion of the distribution between `least` and `most`."""
        u = jax.random.uniform(key, shape, jnp.float32)
        ratio = (self.most / self.least) ** -self.slope
        return self.least * (1 - u * (1 - ratio)) ** (-1 / self.slope)

    def rescaled(self, factor: float) -> NumberCounts:
        """The same sources in a unit, or a band, in which fluxes are `factor` times as large."""
        return NumberCounts(self.slope, self.density, self.flux * factor, self.least * factor, self.most * factor)


# Piccinotti+ 1982 (ApJ 253, 485): 61 extragalactic and 7 unidentified sources above 3.1e-11 erg/cm2/s (2-10 keV) in
# 8.2 sr at |b| > 20 deg, Euclidean.
EXTRAGALACTIC = NumberCounts(1.5, 68 / (8.2 * SQUARE_DEGREES), 3.1e-11, 1e-12, 3e-9)


def fitted_slope(fluxes: np.ndarray, least: float) -> tuple[float, float]:
    """Slope of N(>S) and its standard error, of complete fluxes above `least` without an upper end: the likelihood's
    maximum n / sum ln(S / least) (Crawford, Jauncey & Murdoch 1970, ApJ 162, 405), its bias (n - 1) / n taken off."""
    number = len(fluxes)
    slope = (number - 1) / float(np.sum(np.log(np.asarray(fluxes, float) / least)))
    return slope, slope / math.sqrt(number)


def bright_sources(key: Array, rate: float, most: int, low: float = 100.0, high: float = 2000.0) -> tuple[Array, Array]:
    """Crab-bright sources of a field: how many, and fluxes (most,) [mCrab], uniform in the logarithm.

    rate  mean number a field; of those beyond `most` none is drawn
    """
    number_key, flux_key = jax.random.split(key)
    # the exact Poisson law by inversion: few terms, and the same number of operations in every field
    terms = [math.exp(-rate + n * math.log(rate) - math.lgamma(n + 1)) if rate else float(n == 0) for n in range(most)]
    below = jnp.asarray(np.cumsum(terms), jnp.float32)
    number = jnp.sum(jax.random.uniform(number_key, ()) > below, dtype=jnp.int32)
    u = jax.random.uniform(flux_key, (most,), jnp.float32)
    return number, low * (high / low) ** u
