"""Spectra of stellar photospheres on a recipe's grid, tabulated: a mean and a few components, and their amplitudes at
nodes of (Teff, log g, [Fe/H], v sin i). A spectrum is then a matrix product."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.special import ndtr

from twin.simulators.spectra.atmosphere import Atmosphere, atmospheres, emergent
from twin.simulators.spectra.hydrogen import BALMER, H_ALPHA, OFFSETS, residual
from twin.simulators.spectra.metals import metal_lines, strengths
from twin.simulators.spectra.rotation import broadened
from twin.simulators.spectra.tables import corner

LIGHT = 299792.458  # km/s
TEFF = (3000.0, 3250.0, 3500.0, 3750.0, 4000.0, 4250.0, 4500.0, 4750.0, 5000.0, 5300.0, 5600.0, 5900.0, 6200.0, 6600.0,
        7000.0, 7500.0, 8000.0, 8500.0, 9000.0, 9500.0, 10000.0, 11000.0, 12500.0, 14500.0, 17000.0, 20000.0, 25000.0,
        30000.0)  # fmt: skip
LOGG = (1.0, 2.25, 3.5, 4.25, 5.0)
METALLICITY = (-2.5, -1.5, -0.75, 0.0, 0.5)
VSINI = (0.0, 15.0, 30.0, 50.0, 80.0, 120.0, 170.0, 230.0, 300.0, 400.0)
AXES = tuple(np.array(axis) for axis in (TEFF, LOGG, METALLICITY, VSINI))
_MACRO = 3.0  # km/s, turbulence that broadens lines without strengthening them


def log_grid(low: float, high: float, step: float) -> np.ndarray:
    """Wavelengths [Angstrom] from `low` to `high` or a little beyond, in equal steps of log10."""
    count = int(np.ceil(np.log10(high / low) / step)) + 1
    found: np.ndarray = low * 10 ** (step * np.arange(count))
    return found


def spectra(wavelength: np.ndarray, models: Atmosphere) -> np.ndarray:
    """Flux (M, L) at wavelength (L,) [Angstrom], equal steps of ln, over the continuum at H alpha; without rotation.

    A line of metal is a Gaussian of its equivalent width and depth, averaged over each step of the grid.
    """
    knots = np.linspace(wavelength[0] * 0.999, wavelength[-1] * 1.001, max(6, int(np.ptp(wavelength) / 60)))
    light = np.stack([emergent(models, models.continuum(w), models.planck(w)) for w in (*knots, H_ALPHA)], 1)
    level = np.log(light[:, :-1] / light[:, -1:])
    at = np.clip((wavelength - knots[0]) / (knots[1] - knots[0]), 0, len(knots) - 1.000001)
    k = at.astype(int)
    flux = np.exp(level[:, k] * (k + 1 - at) + level[:, k + 1] * (at - k))
    for line in BALMER:
        if not wavelength[0] - OFFSETS[-1] < line[0] < wavelength[-1] + OFFSETS[-1]:
            continue
        there = residual(line, models)
        distance = np.abs(wavelength - line[0])
        j = np.clip(np.searchsorted(OFFSETS, distance, side="right") - 1, 0, len(OFFSETS) - 2)
        share = np.clip((distance - OFFSETS[j]) / (OFFSETS[j + 1] - OFFSETS[j]), 0, 1)
        flux *= there[:, j] * (1 - share) + there[:, j + 1] * share
    ratio = wavelength[1] / wavelength[0]
    edges = np.append(wavelength / np.sqrt(ratio), wavelength[-1] * np.sqrt(ratio))
    for metal in metal_lines():
        if not wavelength[0] < metal.wavelength < wavelength[-1]:
            continue
        width, depth = strengths(metal, models)
        sigma = np.hypot(width / np.maximum(depth, 1e-4) / 2.5066, _MACRO / LIGHT * metal.wavelength)
        reach = float(5 * sigma.max())
        first, last = np.searchsorted(edges, (metal.wavelength - reach, metal.wavelength + reach))
        first, last = max(first - 1, 0), min(last + 1, len(wavelength))
        inside = np.diff(ndtr((edges[first : last + 1] - metal.wavelength) / sigma[:, None]), axis=1)
        flux[:, first:last] *= 1 - np.minimum(width[:, None] * inside / np.diff(edges[first : last + 1]), 0.99)
    return flux


@dataclass(frozen=True)
class Photosphere:
    """Table of photospheres on a grid of wavelengths (L,).

    mean (L,), components (K, L), amplitudes (nodes of AXES in C order, K)
    """

    wavelength: np.ndarray
    mean: np.ndarray
    components: np.ndarray
    amplitudes: np.ndarray

    def __call__(self, teff: Array, logg: Array, metallicity: Array, vsini: Array) -> Array:
        """Flux (L,) over the continuum at H alpha; parameters () are held within the table. Linear between nodes, in
        Teff, log g, [Fe/H], v sin i."""
        rows, weights = corner(AXES, (teff, logg, metallicity, vsini))
        amplitudes = weights @ jnp.asarray(self.amplitudes)[rows]
        return jnp.asarray(self.mean) + amplitudes @ jnp.asarray(self.components)


@lru_cache(maxsize=4)
def photosphere(low: float, high: float, step: float, components: int = 48) -> Photosphere:
    """The table from `low` to `high` [Angstrom] in equal steps of log10 wavelength, of so many components."""
    wavelength = log_grid(low, high, step)
    nodes = np.stack(np.meshgrid(*AXES[:3], indexing="ij"), -1).reshape(-1, 3)
    still = spectra(wavelength, atmospheres(*nodes.T)).astype(np.float32)
    dv = LIGHT * np.log(10) * step
    table = np.stack([broadened(still, dv, v) for v in VSINI], 1).astype(np.float32).reshape(-1, len(wavelength))
    mean = table.mean(0)
    table -= mean
    # the leading components by subspace iteration, which is exact enough where they fall off so fast
    basis = np.random.default_rng(0).standard_normal((len(wavelength), components + 16)).astype(np.float32)
    for _ in range(2):
        basis, _ = np.linalg.qr(table.T @ (table @ basis))
    amplitudes = table @ basis
    _, rotation = np.linalg.eigh(amplitudes.T.astype(float) @ amplitudes)
    rotation = rotation[:, ::-1][:, :components].astype(np.float32)
    return Photosphere(wavelength, mean, (basis @ rotation).T.copy(), amplitudes @ rotation)
