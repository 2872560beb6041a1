"""Wavelengths: the pixels of an instrument and the finer cells that a simulator fills, all in vacuum angstrom."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from twin.io.spectra.wavelength import air_to_vacuum


@dataclass(frozen=True)
class Grid:
    """Contiguous cells: cell k ends at wavelength(start + step k) and wavelength(start + step (k + 1)).

    law    "log10" (start and step in log10 of angstrom) or "linear" (in angstrom)
    air    whether the law is one of air wavelengths; `edges` and `centres` are in vacuum always
    """

    law: str
    start: float
    step: float
    count: int
    air: bool = False

    def at(self, k: np.ndarray) -> np.ndarray:
        """Vacuum wavelength [AA] at k cells from the first edge, fractions too. float64."""
        value = self.start + self.step * np.asarray(k, np.float64)
        value = 10**value if self.law == "log10" else value
        return air_to_vacuum(value) if self.air else value

    @cached_property
    def edges(self) -> np.ndarray:
        """(count + 1,) [AA]"""
        return self.at(np.arange(self.count + 1))

    @cached_property
    def centres(self) -> np.ndarray:
        """(count,) middle of the cell in the law's own measure [AA]"""
        return self.at(np.arange(self.count) + 0.5)

    def finer(self, oversample: int, margin: int) -> Grid:
        """`oversample` cells for each of this grid's, and `margin` of this grid's cells more at either end."""
        return Grid(
            self.law, self.start - margin * self.step, self.step / oversample,
            (self.count + 2 * margin) * oversample, self.air,
        )  # fmt: skip

    def part(self, low: float, high: float) -> Grid:
        """The whole cells of this grid from `low` to `high` [AA, vacuum]. Raises ValueError where there are none."""
        inside = np.flatnonzero((self.edges[:-1] >= low) & (self.edges[1:] <= high))
        if len(inside) == 0:
            raise ValueError(f"no whole pixel lies between {low:g} and {high:g} AA")
        return Grid(self.law, self.start + self.step * int(inside[0]), self.step, len(inside), self.air)


@dataclass(frozen=True, eq=False)
class Cells:
    """Contiguous cells between any rising edges (n + 1,), as an observed spectrum has them [AA, vacuum]."""

    edges: np.ndarray

    @property
    def count(self) -> int:
        return len(self.edges) - 1

    @property
    def centres(self) -> np.ndarray:
        """(n,) middles of the cells [AA]."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])


def cells_around(wavelength: np.ndarray) -> Cells:
    """Cells that meet half way between the given wavelengths [AA, vacuum]. ValueError where these do not rise."""
    wavelength = np.asarray(wavelength, np.float64)
    if len(wavelength) < 2 or not (np.diff(wavelength) > 0).all():
        raise ValueError("wavelengths must rise, and be two at least")
    middle = 0.5 * (wavelength[1:] + wavelength[:-1])
    return Cells(np.r_[2 * wavelength[0] - middle[0], middle, 2 * wavelength[-1] - middle[-1]])


def log_grid(first: float, step: float, count: int) -> Grid:
    """Cells whose centres are at log10(wavelength / AA) = log10(first) + step k, in vacuum."""
    return Grid("log10", float(np.log10(first)) - step / 2, step, count)


def linear_grid(first: float, step: float, count: int, air: bool = False) -> Grid:
    """Cells whose centres are at first + step k [AA]."""
    return Grid("linear", first - step / 2, step, count, air)


def legendre(u: np.ndarray, terms: int) -> np.ndarray:
    """(..., terms) Legendre polynomials P_0 .. at u. float64."""
    return np.polynomial.legendre.legvander(u, terms - 1)
