"""The background of a lobster eye's sensor: diffuse X-rays through the optic and particles through everything.

In the empty corners of a real WXT frame 0.10-0.13 counts/cm2/s (0.5-4 keV) were measured, with a variance 1.24-1.37
times the mean in bins of 0.05 cm that hold 0.14 counts on the mean. No factor common to a frame makes that: counts come
in clumps (one particle's several events, a pixel that flickers for a while). Clumps with sizes of Fisher's logarithmic
law, P(n) = -p^n / (n ln(1 - p)), thrown down as a Poisson process give negative binomial counts, which is a Poisson
rate with a Gamma-distributed factor (Quenouille 1949, Biometrics 5, 162), and with variance / mean = 1 / (1 - p) in
bins of any size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from pydantic import BaseModel, ConfigDict, Field

from twin.numerics.poisson import poisson

_LARGEST = 24  # of a clump: at variance / mean = 2 one in 3e8 is larger


class BackgroundConfig(BaseModel):
    """Background in the band of the images. Defaults: what the real WXT frame has."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    diffuse: float = Field(0.075, ge=0, description="X-rays through the optic, mean over the sensor [counts/cm2/s]")
    particles: float = Field(0.04, ge=0, description="flat over the sensor, at the mean cutoff rigidity [counts/cm2/s]")
    vignetting: float = Field(0.15, ge=0, lt=1, description="loss of diffuse light at the corners")
    dispersion: float = Field(1.30, ge=1, le=2, description="variance over mean")
    rigidity_slope: float = Field(0.9, ge=0, description="particles fall as this power of the cutoff rigidity")
    mean_rigidity: float = Field(10.0, gt=0, description="at which `particles` holds [GV]")
    index: float = Field(1.45, description="photon index of the diffuse X-rays (De Luca & Molendi 2004, A&A 419, 837)")


def diffuse_shape(side: int, config: BackgroundConfig) -> np.ndarray:
    """(side, side) relative rate of diffuse X-rays, mean 1: 1 - v r^2, r from the centre, 1 at the corners.

    A lobster eye has no axis, so what falls off is only the solid angle and the frames between its plates.
    """
    u = (np.arange(side) + 0.5) / side * 2 - 1
    shape = 1 - config.vignetting * 0.5 * (u[:, None] ** 2 + u[None] ** 2)
    return shape / shape.mean()


def particle_factor(latitude: Array | np.ndarray, config: BackgroundConfig) -> Array:
    """Particle rate at a geomagnetic latitude [deg], over that at the mean cutoff rigidity.

    Stoermer's vertical cutoff R = 14.9 cos^4(latitude) GV (e.g. Smart & Shea 2005, AdSpR 36, 2012), and a power of it:
    a slope of 0.9 is the factor of two between 6 and 14 GV that Suzaku's XIS saw (Tawa+ 2008, PASJ 60, S11).
    """
    rigidity = 14.9 * jnp.cos(jnp.radians(jnp.asarray(latitude))) ** 4
    return (rigidity / config.mean_rigidity) ** -config.rigidity_slope


def expected(side: int, bin_area: float, exposure: float, config: BackgroundConfig, factor: float = 1.0) -> np.ndarray:
    """(side, side) mean counts in bins of `bin_area` [cm2] in `exposure` [s]; `factor` scales the particles."""
    return (config.diffuse * diffuse_shape(side, config) + config.particles * factor) * bin_area * exposure


@dataclass(frozen=True)
class Clumps:
    """Logarithmic law of clump sizes with variance / mean = `dispersion` of the counts; 1 is a Poisson process."""

    dispersion: float

    @property
    def p(self) -> float:
        return 1 - 1 / self.dispersion

    @property
    def mean(self) -> float:
        """Mean size of a clump."""
        return 1.0 if self.p == 0 else -self.p / ((1 - self.p) * math.log(1 - self.p))

    def distribution(self) -> np.ndarray:
        """(24,) P(size <= n), n = 1..24."""
        if self.p == 0:
            return np.ones(_LARGEST)
        n = np.arange(1, _LARGEST + 1)
        total = np.cumsum(-(self.p**n) / (n * math.log(1 - self.p)))
        return total / total[-1]

    def sizes(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Sizes of clumps, int32."""
        u = jax.random.uniform(key, shape, jnp.float32)
        return 1 + jnp.sum(u[..., None] > jnp.asarray(self.distribution()[:-1], jnp.float32), -1, dtype=jnp.int32)


def draw_counts(key: Array, mean: Array, dispersion: float) -> Array:
    """Counts, int32, of bins with `mean`: the negative binomial with variance = dispersion * mean, as a Poisson rate
    with a Gamma factor of shape mean / (dispersion - 1)."""
    gamma_key, count_key = jax.random.split(key)
    mean = jnp.asarray(mean, jnp.float32)
    if dispersion == 1:
        return poisson(count_key, mean).astype(jnp.int32)
    rate = (dispersion - 1) * jax.random.gamma(gamma_key, jnp.maximum(mean / (dispersion - 1), 1e-9))
    return poisson(count_key, rate).astype(jnp.int32)


def scatter_counts(key: Array, total: Array, cumulative: Array, most: int, dispersion: float) -> Array:
    """The same, bin by bin from a list of clumps: for frames that hold few counts a bin.

    total       mean counts of the whole frame
    cumulative  (bins,) running sum of the bins' shares, ending at 1
    most        clumps that the list has room for: mean + 8 sqrt(mean) loses none in 1e14 frames
    """
    clumps = Clumps(dispersion)
    count_key, place_key, size_key = jax.random.split(key, 3)
    number = poisson(count_key, jnp.asarray(total, jnp.float32) / clumps.mean).astype(jnp.int32)
    place = jnp.searchsorted(cumulative, jax.random.uniform(place_key, (most,), jnp.float32))
    place = jnp.where(jnp.arange(most) < number, place, cumulative.shape[0])  # beyond the list: dropped
    counts = jnp.zeros(cumulative.shape[0], jnp.int32)
    return counts.at[place].add(clumps.sizes(size_key, (most,)), mode="drop")
