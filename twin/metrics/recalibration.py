"""Widening (or narrowing) of binned densities, learned from labelled objects and applied to others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

TINY = 1e-30  # softmax outputs underflow to zero, whose power and logarithm do not exist


class Tempering(NamedTuple):
    """`q = (1 - share) p^(1/temperature) / Z + share * uniform`, uniform over the edges' coordinate.

    temperature > 1 widens the body of the density; `share` is the probability that the density is simply wrong
    (a confused image, a wrong catalogue value), which no width can describe.
    """

    temperature: float
    share: float

    def apply(self, density: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """(n, bins) recalibrated bin probabilities."""
        width = np.diff(edges)
        height = np.log(np.maximum(density, TINY) / width) / self.temperature
        body = np.exp(height - height.max(1, keepdims=True)) * width
        body /= body.sum(1, keepdims=True)
        return (1.0 - self.share) * body + self.share * width / width.sum()


def fit_tempering(density: np.ndarray, edges: np.ndarray, truth: np.ndarray) -> Tempering:
    """Maximum-likelihood temperature (0.2 to 20) and share (0 to 0.5) for densities whose truth is known."""
    edges = np.asarray(edges, float)
    where = np.clip(np.searchsorted(edges, truth, side="right") - 1, 0, len(edges) - 2)
    rows = np.arange(len(where))

    def build(p: np.ndarray) -> Tempering:
        return Tempering(
            float(np.exp(np.clip(p[0], np.log(0.2), np.log(20.0)))),
            float(0.5 / (1.0 + np.exp(-np.clip(p[1], -20, 20)))),
        )

    def loss(p: np.ndarray) -> float:
        return float(-np.log(build(p).apply(density, edges)[rows, where]).mean())

    starts = [np.array([np.log(t), -2.0]) for t in (1.0, 2.5)]
    fits = [minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-6}) for start in starts]
    return build(min(fits, key=lambda fit: fit.fun).x)


def out_of_fold(
    density: np.ndarray,
    edges: np.ndarray,
    truth: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    folds: int = 5,
    seed: int = 0,
) -> np.ndarray:
    """(n, bins) densities, each recalibrated with a `Tempering` fitted on the other folds only.

    groups   (n,) objects of one group share a fold. Raises ValueError where there are fewer groups than folds.
    """
    n = len(density)
    _, group = np.unique(np.arange(n) if groups is None else np.asarray(groups), return_inverse=True)
    count = int(group.max()) + 1
    if count < folds:
        raise ValueError(f"{count} groups cannot be split into {folds} folds")
    fold = (np.random.default_rng(seed).permutation(count) % folds)[group]
    out = np.empty((n, density.shape[1]))
    for k in range(folds):
        held = fold == k
        out[held] = fit_tempering(density[~held], edges, truth[~held]).apply(density[held], edges)
    return out
