"""The night sky's lines and the air's absorption, from the tables in twin/configs/sky."""

from __future__ import annotations

import csv
from functools import lru_cache
from importlib.resources import files

import numpy as np
from jax import Array
from scipy.special import ndtr

from twin.io.spectra.wavelength import air_to_vacuum
from twin.observatory.spectrograph.grid import Grid

GROUPS = ("OI", "OH", "Na", "Hg")  # of SpectrographState.sky_lines
SPECIES = ("O2", "H2O")  # of SpectrographState.air
WATER = 5.0  # [mm] of the tables


@lru_cache
def table(name: str) -> tuple[np.ndarray, ...]:
    """Columns of a table of twin/configs/sky, wavelengths first and in vacuum [AA], the words last or second."""
    text = (files("twin") / "configs" / "sky" / f"{name}.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    words = {"group", "species"}
    columns = {key: np.array([row[key] if key in words else float(row[key]) for row in rows]) for key in rows[0]}
    columns["wavelength"] = air_to_vacuum(columns["wavelength"])
    return tuple(columns.values())


def optical_depth(grid: Grid) -> np.ndarray:
    """(2, n) float32 mean optical depth of O2 and H2O in the cells, at airmass 1 and 5 mm of water, along SPECIES."""
    wavelength, width, depth, species = table("air")
    total = np.zeros((len(SPECIES), grid.count))
    for w, s, d, kind in zip(wavelength, width, depth, species, strict=True):
        x = (grid.edges - w) / s
        inside = slice(max(int(np.searchsorted(x, -6)) - 1, 0), int(np.searchsorted(x, 6)) + 1)
        if len(x[inside]) > 1:
            area = d * s * np.sqrt(2 * np.pi) * np.diff(ndtr(x[inside]))
            first = inside.start
            total[SPECIES.index(str(kind)), first : first + len(area)] += area / np.diff(grid.edges[inside])
    return total.astype(np.float32)


def depth_scale(airmass: Array, water: Array) -> tuple[Array, Array]:
    """Optical depths over those of the tables: X^0.5 for O2, whose lines are saturated (square-root law), and
    (X water / 5 mm)^0.7 for H2O, whose lines are in part (Goody & Yung 1989, Atmospheric Radiation, chapter 4)."""
    return airmass**0.5, (airmass * water / WATER) ** 0.7


def sky_lines(pixels: Grid, width: np.ndarray) -> np.ndarray:
    """(3, 4, P) float32: of GROUPS at their usual level, rayleigh in each pixel behind Gaussian lines of standard
    deviation `width` (P,) [AA]; its derivative by a shift to the red [1/AA]; that by ln width."""
    wavelength, group, strength = table("lines")
    found = np.zeros((3, len(GROUPS), pixels.count))
    for w, kind, level in zip(wavelength, group, strength, strict=True):
        s = float(np.interp(w, pixels.centres, width))
        first, last = np.searchsorted(pixels.edges, [w - 7 * s, w + 7 * s])
        first = max(int(first) - 1, 0)
        x = (pixels.edges[first : int(last) + 1] - w) / s
        if len(x) < 2:
            continue
        bell = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
        here = found[:, GROUPS.index(str(kind)), first : first + len(x) - 1]
        here += level * np.diff([ndtr(x), -bell / s, -x * bell])
    return found.astype(np.float32)
