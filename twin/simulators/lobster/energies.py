"""Photon energies of a simulated exposure: a fine grid, spectra on it, and what the sensor's channels make of them.

The grid has 48 bins of equal width in log E from 0.35 to 5.66 keV, 36 of them between 0.5 and 4 keV: a spectrum is its
photons in each. The telescope's area is taken in every fine bin. The shape of its PSF is taken at NODES energies, each
for the fine bins about it. A photon's channel is drawn from the response of its fine bin.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.special import k0e, ndtr

from twin.io.xray import Rmf
from twin.observatory.xray import SensorConfig, energy_sigma
from twin.priors.xray import cross_section
from twin.priors.xray.spectra import ERG

NODES = 6  # energies at which the PSF is computed
FINE = 48  # bins of the grid
EACH = FINE // NODES
EDGES = 0.5 * 8.0 ** (np.arange(-6, FINE - 5) / 36)  # [keV]; EDGES[6] = 0.5, EDGES[42] = 4
BAND = slice(6, 42)  # the bins of 0.5-4 keV
NODE_ENERGIES = np.sqrt(EDGES[:-1:EACH] * EDGES[EACH::EACH])
RANKS = 512  # quantiles of a channel's distribution
FAMILIES = ("powerlaw", "blackbody", "bremsstrahlung")  # as twin.priors.xray.Spectrum names them

_MIDDLE = np.sqrt(EDGES[1:] * EDGES[:-1]).astype(np.float32)
_WIDTHS = np.diff(EDGES).astype(np.float32)
_SIGMA = (1e22 * cross_section(_MIDDLE)).astype(np.float32)
_GRID = np.linspace(np.log(1e-3), np.log(200.0), 256)  # ln x at which x K0 exp is tabulated
_BESSEL = np.log(k0e(np.exp(_GRID))).astype(np.float32)


def shapes(family: Array, shape: Array, nh: Array) -> tuple[Array, Array]:
    """Photons (..., FINE) [1/cm2/s] in the bins of spectra with an absorbed flux of 1 erg/cm2/s (0.5-4 keV), and that
    flux over the one without absorption (...,).

    family  (...,) index in FAMILIES;  shape  photon index, or kT [keV];  nh [1e22/cm2]
    """
    e, log_e = jnp.asarray(_MIDDLE), jnp.asarray(np.log(_MIDDLE))
    family, shape, nh = (jnp.asarray(v)[..., None] for v in (family, shape, nh))
    kt = jnp.maximum(shape, 1e-3)
    x = e / kt
    step = _GRID[1] - _GRID[0]
    at = jnp.clip((log_e - jnp.log(2 * kt) - _GRID[0]) / step, 0, len(_GRID) - 1.001)
    low = at.astype(jnp.int32)
    table = jnp.asarray(_BESSEL)
    bessel = table[low] + (at - low) * (table[low + 1] - table[low])
    law = jnp.where(family == 0, -shape * log_e, jnp.where(family == 1, 2 * log_e - _log_expm1(x), bessel - x - log_e))
    law = law - jnp.max(law, -1, keepdims=True)  # norms do not matter
    photons = jnp.exp(law - nh * jnp.asarray(_SIGMA)) * _WIDTHS
    power = (photons * e)[..., BAND].sum(-1)
    free = (jnp.exp(law) * _WIDTHS * e)[..., BAND].sum(-1)
    return photons / jnp.maximum(ERG * power, 1e-37)[..., None], power / free


def _log_expm1(x: Array) -> Array:
    return x + jnp.log(-jnp.expm1(-jnp.maximum(x, 1e-6)))


@dataclass(frozen=True)
class Channels:
    """What the sensor makes of photons of each fine bin.

    quantiles  (FINE, RANKS) PI at the middles of RANKS equally likely parts of its distribution, float: the channel is
               the whole number below
    in_band    (FINE, bands) share of photons that fall into each of the bands
    lines      (channel,) band of each channel, -1 for none
    matrix     (FINE, channel) the distribution
    centre     (channel,) nominal energy of each channel [keV]
    """

    quantiles: np.ndarray
    in_band: np.ndarray
    lines: np.ndarray
    matrix: np.ndarray
    centre: np.ndarray


def channels_of(sensor: SensorConfig, bands: tuple[tuple[float, float], ...], rmf: Rmf | None = None) -> Channels:
    """The tables of a sensor's own Gaussian response, or of a measured matrix `rmf`; bands [keV].

    A matrix is read in bins of energy: the mean of its rows that lie in each fine bin, flat in between.
    """
    number = sensor.channels if rmf is None else len(rmf.e_min)
    if rmf is None:
        edges = 1e-3 * sensor.channel * np.arange(number + 1)
        matrix = np.zeros((FINE, number))
        for part in (np.arange(16) + 0.5) / 16:
            energy = EDGES[:-1] * (EDGES[1:] / EDGES[:-1]) ** part
            sigma = 1e-3 * energy_sigma(1e3 * energy, sensor)[:, None]
            matrix += np.diff(ndtr((edges - energy[:, None]) / sigma), axis=1) / 16
    else:
        middle = 0.5 * (rmf.low + rmf.high)
        matrix = np.stack(
            [rmf.matrix[_rows(middle, low, high)].mean(0) for low, high in zip(EDGES[:-1], EDGES[1:], strict=True)]
        )
        edges = np.append(rmf.e_min, rmf.e_max[-1])
    centre = 0.5 * (edges[1:] + edges[:-1])
    lines = np.full(number, -1, np.int8)
    for k, (low, high) in enumerate(bands):
        lines[(centre >= low) & (centre < high)] = k
    in_band = np.stack([matrix[:, lines == k].sum(1) for k in range(len(bands))], 1)
    below = np.concatenate([np.zeros((FINE, 1)), np.cumsum(matrix, 1)], 1)
    ranks = (np.arange(RANKS) + 0.5) / RANKS
    quantiles = np.stack([np.interp(ranks * row[-1], row, np.arange(number + 1)) for row in below])
    first = 0 if rmf is None else rmf.first
    if first:
        raise ValueError(f"the response's first channel is {first}, not 0")
    quantiles = np.minimum(quantiles, number - 1e-3).astype(np.float32)
    return Channels(quantiles, in_band.astype(np.float32), lines, matrix, centre)


def _rows(middle: np.ndarray, low: float, high: float) -> np.ndarray:
    inside = (middle >= low) & (middle < high)
    return inside if inside.any() else np.arange(len(middle)) == np.argmin(np.abs(middle - np.sqrt(low * high)))


def channel_ranks(density: np.ndarray) -> np.ndarray:
    """(RANKS,) quantiles of channels with the relative rates `density` (channel,), as in `Channels`."""
    below = np.concatenate([[0.0], np.cumsum(density)])
    ranks = (np.arange(RANKS) + 0.5) / RANKS * below[-1]
    return np.minimum(np.interp(ranks, below, np.arange(len(below))), len(density) - 1e-3).astype(np.float32)
