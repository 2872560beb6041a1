"""Common grids of wavelengths, and spectra brought to them with their variance and masks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from twin.io.spectra.spectrum import Spectrum
from twin.schema import UserError, suggest

ON_LATTICE = 0.05  # pixels: a spectrum nearer to a grid than this is moved by whole pixels, its values untouched
FULL = 1 - 1e-6  # share of a pixel that must be covered for it to have a value


@dataclass(frozen=True)
class Grid:
    """Pixel centres first + step i, i = 0 .. n - 1: wavelengths in vacuum [A], or their log10 where `log`."""

    name: str
    first: float
    step: float
    n: int
    log: bool

    @cached_property
    def wavelength(self) -> np.ndarray:
        """(n,) float64, angstrom."""
        found = self.first + self.step * np.arange(self.n)
        return 10.0**found if self.log else found

    @cached_property
    def edges(self) -> np.ndarray:
        """(n + 1,) of the pixels, angstrom."""
        found = self.first + self.step * (np.arange(self.n + 1) - 0.5)
        return 10.0**found if self.log else found

    def attrs(self) -> dict[str, Any]:
        """JSON that tells the grid."""
        axis = "log10(wavelength / angstrom)" if self.log else "wavelength [angstrom]"
        return {
            "name": self.name,
            "axis": axis,
            "first": self.first,
            "step": self.step,
            "n": self.n,
            "medium": "vacuum",
        }


GRIDS = {
    # the lattice of all LAMOST releases: every low-resolution spectrum falls on it, whole
    "lamost-lrs": Grid("lamost-lrs", 3.5682, 1e-4, 3909, log=True),
    "lamost-mrs-blue": Grid("lamost-mrs-blue", 3.6900, 1e-5, 4201, log=True),
    "lamost-mrs-red": Grid("lamost-mrs-red", 3.7970, 1e-5, 3861, log=True),
    "sdss": Grid("sdss", 3.5500, 1e-4, 4701, log=True),
    # finer than either CCD's pixel is needless: 0.25 A is a third of the resolution element at R = 13,000 (0.5 A)
    "ondrejov": Grid("ondrejov", 6284.0, 0.25, 1803, log=False),
    # P. Skoda's group, https://github.com/podondra/bt-spectraldl: numpy.linspace(6519, 6732, 140)
    "halpha": Grid("halpha", 6519.0, 213 / 139, 140, log=False),
}


@dataclass(frozen=True)
class Resampled:
    """A spectrum on a grid of n pixels.

    flux   (n,) float32, 0 where there is no value
    ivar   (n,) float32, 0 where there is no value, where the file has no errors, or where it gives one of the pixels
           that a pixel is made of no positive inverse variance
    mask   (n,) uint8, bits of `spectrum.MASK_BITS` of all pixels that a pixel is made of
    valid  (n,) uint8, 1 = the file covers the pixel; it says nothing of masks
    """

    flux: np.ndarray
    ivar: np.ndarray
    mask: np.ndarray
    valid: np.ndarray


def grid_named(name: str) -> Grid:
    """Raises UserError for a name that there is not."""
    if name not in GRIDS:
        raise UserError(f"no such grid; there are {', '.join(GRIDS)}", key=name, suggestion=suggest(name, GRIDS))
    return GRIDS[name]


def pixel_edges(wavelength: np.ndarray) -> np.ndarray:
    """(n + 1,) edges of pixels with these centres: the middles between them, the outer ones as far out as in."""
    middle = 0.5 * (wavelength[1:] + wavelength[:-1])
    return np.concatenate(([2 * wavelength[0] - middle[0]], middle, [2 * wavelength[-1] - middle[-1]]))


def resample(spectrum: Spectrum, grid: Grid, method: str = "conserve") -> Resampled:
    """A spectrum on a grid.

    method  "conserve": the mean of flux density over each pixel, sum_j w_j f_j with w_j the share of the pixel that
            input pixel j covers, so that the integral over any run of whole pixels is kept (Carnall 2017,
            arXiv:1705.05165); "linear": between the two nearest input pixels, as the source thesis does

    Variances follow as sum_j w_j^2 var_j; neighbouring pixels then have correlated noise, which `ivar` does not tell.
    A spectrum that lies on the grid's lattice to ON_LATTICE is moved by whole pixels and keeps its values.
    Raises UserError for an unknown method.
    """
    if method not in METHODS:
        raise UserError("no such way to resample", key=method, suggestion=suggest(method, METHODS))
    shift = _shift(spectrum.wavelength, grid)
    if shift is not None:
        return _moved(spectrum, grid, shift)
    return METHODS[method](spectrum, grid)


def _shift(wavelength: np.ndarray, grid: Grid) -> int | None:
    """How many grid pixels the spectrum begins after the grid does; None where it is not on its lattice."""
    position = ((np.log10(wavelength) if grid.log else wavelength) - grid.first) / grid.step
    first = round(float(position[0]))
    return first if np.abs(position - first - np.arange(len(position))).max() < ON_LATTICE else None


def _moved(spectrum: Spectrum, grid: Grid, shift: int) -> Resampled:
    out = _empty(grid)
    low, high = max(shift, 0), min(shift + len(spectrum), grid.n)
    if low < high:
        source = slice(low - shift, high - shift)
        out.flux[low:high], out.mask[low:high], out.valid[low:high] = spectrum.flux[source], spectrum.mask[source], 1
        if spectrum.ivar is not None:
            out.ivar[low:high] = spectrum.ivar[source]
    return out


def _conserved(spectrum: Spectrum, grid: Grid) -> Resampled:
    """Cut at the edges of both: each piece belongs to one input and one output pixel, and each such pair has one."""
    given = pixel_edges(spectrum.wavelength)
    near = slice(
        max(int(np.searchsorted(given, grid.edges[0])) - 1, 0), int(np.searchsorted(given, grid.edges[-1], "right")) + 1
    )
    given = given[near]
    if len(given) < 2:
        return _empty(grid)
    cuts = np.unique(np.concatenate((given, grid.edges)))
    middle = 0.5 * (cuts[1:] + cuts[:-1])
    source, target = np.searchsorted(given, middle) - 1, np.searchsorted(grid.edges, middle) - 1
    inside = (source >= 0) & (source < len(given) - 1) & (target >= 0) & (target < grid.n)
    source, target = source[inside], target[inside]
    weight = (cuts[1:] - cuts[:-1])[inside] / np.diff(grid.edges)[target]
    return _gathered(spectrum, grid, source + near.start, target, weight)


def _linear(spectrum: Spectrum, grid: Grid) -> Resampled:
    wave = spectrum.wavelength
    left = np.clip(np.searchsorted(wave, grid.wavelength, "right") - 1, 0, len(wave) - 2)
    share = (grid.wavelength - wave[left]) / (wave[left + 1] - wave[left])
    inside = np.flatnonzero((share >= 0) & (share <= 1))
    left, share = left[inside], share[inside]
    source, weight = np.concatenate((left, left + 1)), np.concatenate((1 - share, share))
    used = weight > 0
    return _gathered(spectrum, grid, source[used], np.concatenate((inside, inside))[used], weight[used])


METHODS: dict[str, Callable[[Spectrum, Grid], Resampled]] = {"conserve": _conserved, "linear": _linear}


def _gathered(spectrum: Spectrum, grid: Grid, source: np.ndarray, target: np.ndarray, weight: np.ndarray) -> Resampled:
    """Sums over pieces: flux, variance, masks."""

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(target, values, grid.n)

    out = _empty(grid)
    valid = total(weight) >= FULL
    out.valid[:] = valid
    out.flux[:] = np.where(valid, total(weight * spectrum.flux[source]), 0)
    np.bitwise_or.at(out.mask, target, spectrum.mask[source])
    out.mask[~valid] = 0
    if spectrum.ivar is not None:
        ivar = spectrum.ivar[source]
        known = ivar > 0
        variance = total(weight**2 / np.where(known, ivar, 1))
        told = valid & (total(~known) == 0)
        out.ivar[told] = 1 / variance[told]
    return out


def _empty(grid: Grid) -> Resampled:
    return Resampled(
        np.zeros(grid.n, np.float32),
        np.zeros(grid.n, np.float32),
        np.zeros(grid.n, np.uint8),
        np.zeros(grid.n, np.uint8),
    )


def covered(spectrum: Spectrum, grid: Grid) -> float:
    """Share of the grid's range that the spectrum covers, 0 to 1."""
    low = max(float(spectrum.wavelength[0]), float(grid.edges[0]))
    high = min(float(spectrum.wavelength[-1]), float(grid.edges[-1]))
    return max(0.0, high - low) / math.fsum((float(grid.edges[-1]), -float(grid.edges[0])))
