"""Equivalent widths of spectral lines, from the pixels as they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.io.spectra.spectrum import Spectrum


@dataclass(frozen=True)
class LineWindow:
    """Where a line and its continuum are measured, vacuum angstrom; `line` is half the width about `centre`."""

    centre: float
    half_width: float
    continuum: tuple[tuple[float, float], tuple[float, float]]


H_ALPHA = LineWindow(6564.6, 20.0, ((6500.0, 6530.0), (6600.0, 6640.0)))
FEWEST = 3  # pixels of the continuum, on each side


@dataclass(frozen=True)
class EquivalentWidth:
    """value [A], positive for absorption; its standard deviation `error` [A], NaN where the file tells no errors of the
    pixels; `peak`, the greatest flux over continuum within the line's window."""

    value: float
    error: float
    peak: float


def equivalent_width(spectrum: Spectrum, window: LineWindow = H_ALPHA) -> EquivalentWidth:
    """Equivalent width, integral of (1 - F / C) over `centre` +- `half_width`, in angstrom; negative for emission.

    C is the straight line through all pixels of the two continuum windows, least squares without weights; F is linear
    between pixels, and the integral ends at the window's edges wherever pixels lie. All pixels count, masked or not:
    pipelines mask strong emission lines (see `Spectrum`). No shift for radial velocity or redshift: +-20 A is
    +-900 km/s at H-alpha. The error is that of the pixels of line and continuum, as far as they have one.
    All three numbers are NaN where the spectrum does not cover the windows or the continuum is not positive.
    """
    none = EquivalentWidth(float("nan"), float("nan"), float("nan"))
    wave, flux = spectrum.wavelength, spectrum.flux
    low, high = window.centre - window.half_width, window.centre + window.half_width
    sides = [(wave >= a) & (wave <= b) for a, b in window.continuum]
    if wave[0] > min(low, window.continuum[0][0]) or wave[-1] < max(high, window.continuum[1][1]):
        return none
    if min(int(side.sum()) for side in sides) < FEWEST:
        return none
    beside = sides[0] | sides[1]
    offset = wave[beside] - window.centre
    mean = offset.mean()
    slope = (offset - mean) / ((offset - mean) ** 2).sum()
    solve = np.stack([1 / len(offset) - mean * slope, slope])  # (2, pixel): fluxes to level and slope
    level = solve @ flux[beside]
    nodes, weight = _trapezoid(wave, low, high)
    shape = np.stack([np.ones(len(nodes)), wave[nodes] - window.centre], axis=1)
    continuum = shape @ level
    if not (continuum > 0).all():
        return none
    ratio = flux[nodes] / continuum
    value = float((high - low) - weight @ ratio)
    inner = (wave[nodes] >= low) & (wave[nodes] <= high)
    return EquivalentWidth(value, _error(spectrum, nodes, weight, continuum, ratio, beside, shape @ solve),
                           float(ratio[inner].max()))  # fmt: skip


def _trapezoid(wave: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and weights of the integral from low to high over what is linear between pixels."""
    first, last = int(np.searchsorted(wave, low, "right")) - 1, int(np.searchsorted(wave, high))
    nodes = np.arange(first, last + 1)
    left, right = np.clip(wave[nodes[:-1]], low, high), np.clip(wave[nodes[1:]], low, high)
    step = np.diff(wave[nodes])
    middle = (0.5 * (left + right) - wave[nodes[:-1]]) / step  # mean over the piece is the value at its middle
    weight = np.zeros(len(nodes))
    weight[:-1] += (right - left) * (1 - middle)
    weight[1:] += (right - left) * middle
    return nodes, weight


def _error(
    spectrum: Spectrum,
    nodes: np.ndarray,
    weight: np.ndarray,
    continuum: np.ndarray,
    ratio: np.ndarray,
    beside: np.ndarray,
    line_of: np.ndarray,
) -> float:
    """Standard deviation by linear propagation: d EW = -sum w dF / C + sum w F / C^2 dC, dC = line_of @ dF."""
    if spectrum.ivar is None:
        return float("nan")
    slope = np.zeros(len(spectrum))
    slope[nodes] -= weight / continuum
    slope[beside] += (weight * ratio / continuum) @ line_of
    used = slope != 0
    known = used & (spectrum.ivar > 0)
    if 2 * known.sum() < used.sum():
        return float("nan")
    return float(np.sqrt(np.sum(slope[known] ** 2 / spectrum.ivar[known])))
