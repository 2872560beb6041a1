"""Scores of binned probability densities: (n, bins) bin probabilities over (bins + 1,) edges.

Inside a bin the probability is spread evenly in the coordinate of the edges; give `ln` edges for a density that is
even in the logarithm, and the truth in the same coordinate.
"""

from __future__ import annotations

import numpy as np


def cumulative(density: np.ndarray) -> np.ndarray:
    """(n, bins + 1) distribution function at the edges, from exactly 0 to exactly 1."""
    density = np.asarray(density, float)
    if density.ndim != 2 or np.any(density < 0) or not np.all(np.isfinite(density)):
        raise ValueError("a binned density is an (n, bins) array of finite, non-negative numbers")
    total = density.sum(1, keepdims=True)
    if np.any(total <= 0):
        raise ValueError("a binned density sums to zero")
    out = np.zeros((len(density), density.shape[1] + 1))
    np.cumsum(density / total, axis=1, out=out[:, 1:])
    out[:, -1] = 1.0
    return out


def pit(density: np.ndarray, edges: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(n,) probability integral transform F(truth): uniform on [0, 1] if the densities are calibrated (Dawid 1984)."""
    cdf, where, part = _locate(density, edges, truth)
    rows = np.arange(len(cdf))
    return cdf[rows, where] + part * (cdf[rows, where + 1] - cdf[rows, where])


def quantile(density: np.ndarray, edges: np.ndarray, q: float) -> np.ndarray:
    """(n,) coordinate below which the density holds probability q in [0, 1]."""
    if not 0.0 <= q <= 1.0:
        raise ValueError(f"quantile {q} is outside [0, 1]")
    cdf = cumulative(density)
    edges = _checked_edges(density, edges)
    return np.array([np.interp(q, row, edges) for row in cdf])


def crps(density: np.ndarray, edges: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(n,) continuous ranked probability score `integral (F(x) - [x >= truth])^2 dx`, exact for piecewise linear F.

    Unit: that of the edges. For a point prediction it is the absolute error (Gneiting & Raftery 2007).
    """
    cdf, where, part = _locate(density, edges, truth)
    edges = np.asarray(edges, float)
    rows, truth = np.arange(len(cdf)), np.asarray(truth, float)
    left, right, width = cdf[:, :-1], cdf[:, 1:], np.diff(edges)
    below = width * _mean_square(left, right)  # the integral of F^2 over each bin
    above = width * _mean_square(1 - left, 1 - right)  # and of (1 - F)^2
    column = np.arange(len(width))
    score = np.where(column < where[:, None], below, 0).sum(1) + np.where(column > where[:, None], above, 0).sum(1)
    a, b = left[rows, where], right[rows, where]
    at = a + part * (b - a)
    score += width[where] * (part * _mean_square(a, at) + (1 - part) * _mean_square(1 - at, 1 - b))
    return score + np.maximum(edges[0] - truth, 0.0) + np.maximum(truth - edges[-1], 0.0)


def nll(density: np.ndarray, edges: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(n,) negative log density [nat] at the truth; infinite where the density is zero or the truth off the edges."""
    cdf, where, _ = _locate(density, edges, truth)
    edges, truth = np.asarray(edges, float), np.asarray(truth, float)
    rows = np.arange(len(cdf))
    height = (cdf[rows, where + 1] - cdf[rows, where]) / np.diff(edges)[where]
    height = np.where((truth < edges[0]) | (truth > edges[-1]), 0.0, height)
    with np.errstate(divide="ignore"):
        return -np.log(height)


def _mean_square(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean of the square of a line that runs from a to b."""
    return (a * a + a * b + b * b) / 3.0


def _checked_edges(density: np.ndarray, edges: np.ndarray) -> np.ndarray:
    edges = np.asarray(edges, float)
    if edges.shape != (np.shape(density)[1] + 1,) or np.any(np.diff(edges) <= 0):
        raise ValueError(f"{edges.shape[0]} edges must increase and be one more than {np.shape(density)[1]} bins")
    return edges


def _locate(density: np.ndarray, edges: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distribution function, the bin of each truth, and how far into that bin it lies (0 to 1)."""
    cdf = cumulative(density)
    edges, truth = _checked_edges(density, edges), np.asarray(truth, float)
    if truth.shape != (len(cdf),) or not np.all(np.isfinite(truth)):
        raise ValueError(f"truth must be {len(cdf)} finite numbers, got shape {truth.shape}")
    where = np.clip(np.searchsorted(edges, truth, side="right") - 1, 0, len(edges) - 2)
    part = np.clip((truth - edges[where]) / np.diff(edges)[where], 0.0, 1.0)
    return cdf, where, part
