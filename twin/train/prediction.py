"""What a trained ensemble says about n objects: NumPy arrays and their summaries, nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """Lens probability and image-separation density of M ensemble members for n objects.

    The ensemble's predictive distribution is the equal mixture of its members. Inside a bin the probability is
    spread evenly in ln(separation), so quantiles are continuous and moments have a closed form.

    lens:       (M, n) probability that the object is a lens, in [0, 1]
    separation: (M, n, K) probability of each separation bin GIVEN that the object is a lens; sums to 1 over K
    edges:      (K + 1,) bin edges in arcsec, positive and increasing
    classes:    (M, n, C) class probabilities of an auxiliary categorical head, or None where the model has none
    """

    lens: np.ndarray
    separation: np.ndarray
    edges: np.ndarray
    classes: np.ndarray | None = None

    def __post_init__(self) -> None:
        members, n = np.shape(self.lens)
        bins = len(self.edges) - 1
        if np.shape(self.separation) != (members, n, bins):
            raise ValueError(f"separation is {np.shape(self.separation)}, expected {(members, n, bins)}")
        if not (self.edges[0] > 0 and np.all(np.diff(self.edges) > 0)):
            raise ValueError("edges must be positive and increasing")

    def __len__(self) -> int:
        return self.lens.shape[1]

    def take(self, index: np.ndarray) -> Prediction:
        """The same for the chosen objects (an index array, a mask or a slice)."""
        classes = None if self.classes is None else self.classes[:, index]
        return replace(self, lens=self.lens[:, index], separation=self.separation[:, index], classes=classes)

    def lens_mean(self) -> np.ndarray:
        """(n,) ensemble lens probability."""
        return self.lens.mean(axis=0)

    def lens_std(self) -> np.ndarray:
        """(n,) standard deviation between members: what more training data could still change."""
        return self.lens.std(axis=0)

    def separation_density(self) -> np.ndarray:
        """(n, K) bin probabilities of the mixture over members."""
        density = self.separation.mean(axis=0, dtype=np.float64)
        return density / density.sum(axis=-1, keepdims=True)

    def separation_mean(self) -> np.ndarray:
        """(n,) mean separation in arcsec: sum_k p_k (b - a) / ln(b / a) over bins [a, b]."""
        return self.separation_density() @ _bin_moment(self.edges, 1)

    def separation_std(self) -> np.ndarray:
        """(n,) standard deviation of the mixture in arcsec."""
        density = self.separation_density()
        mean = density @ _bin_moment(self.edges, 1)
        return np.sqrt(np.maximum(density @ _bin_moment(self.edges, 2) - mean**2, 0.0))

    def separation_quantile(self, q: float | np.ndarray) -> np.ndarray:
        """(n,) separation in arcsec below which the mixture holds probability q (a number, or one per object)."""
        level = np.broadcast_to(np.asarray(q, np.float64), (len(self),))
        if np.any((level < 0) | (level > 1)):
            raise ValueError("a quantile level lies in [0, 1]")
        density = self.separation_density()
        cumulative = _cumulative(density)
        # the first bin whose upper cumulative value reaches the level
        index = np.sum(cumulative[:, 1:] < level[:, None], axis=1).clip(0, density.shape[1] - 1)
        rows = np.arange(len(self))
        mass = density[rows, index]
        part = np.where(mass > 0, (level - cumulative[rows, index]) / np.where(mass > 0, mass, 1.0), 0.0)
        log_edges = np.log(self.edges)
        return np.exp(log_edges[index] + part.clip(0, 1) * np.diff(log_edges)[index])

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """(low, high), each (n,) arcsec: the central interval that holds probability `level`."""
        return self.separation_quantile((1 - level) / 2), self.separation_quantile((1 + level) / 2)

    def pit(self, value: np.ndarray) -> np.ndarray:
        """(n,) cumulative probability of the mixture at `value` arcsec; uniform if calibrated; NaN where value is."""
        value = np.asarray(value, np.float64)
        if value.shape != (len(self),):
            raise ValueError(f"value is {value.shape}, expected {(len(self),)}")
        log_edges = np.log(self.edges)
        position = np.log(np.clip(np.where(np.isfinite(value), value, self.edges[0]), self.edges[0], self.edges[-1]))
        index = (np.searchsorted(log_edges, position, side="right") - 1).clip(0, len(self.edges) - 2)
        part = (position - log_edges[index]) / np.diff(log_edges)[index]
        density = self.separation_density()
        rows = np.arange(len(self))
        inside = _cumulative(density)[rows, index] + part * density[rows, index]
        return np.where(np.isfinite(value), inside.clip(0, 1), np.nan)


def log_edges(low: float, high: float, bins: int) -> np.ndarray:
    """(bins + 1,) bin edges from low to high, evenly spaced in the logarithm."""
    return np.geomspace(low, high, bins + 1)


def _bin_moment(edges: np.ndarray, power: int) -> np.ndarray:
    """Mean of s**power for s spread evenly in ln(s) over each bin: (b**p - a**p) / (p ln(b / a))."""
    return np.diff(edges**power) / (power * np.diff(np.log(edges)))


def _cumulative(density: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((len(density), 1)), np.cumsum(density, axis=1)], axis=1)
