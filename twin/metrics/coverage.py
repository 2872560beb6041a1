"""Does a stated interval contain the truth as often as it says? Judged by the interval of the measured fraction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import kstest

from twin.metrics.intervals import Estimate, binomial_interval


@dataclass(frozen=True)
class Coverage:
    """Measured coverage of central intervals of nominal probability `level`, over n objects.

    The claim "covers `level`" holds where the 95 % interval of the measured fraction contains `level`. At n = 146 this
    rejects a sigma that is wrong by 1.5 times, either way, with a probability above 0.95.
    """

    level: float
    n: int
    estimate: Estimate

    @property
    def holds(self) -> bool:
        return self.estimate.low <= self.level <= self.estimate.high


def coverage_of_pit(pit: np.ndarray, level: float) -> Coverage:
    """Coverage of central quantile intervals from (n,) PIT values: inside if `|PIT - 1/2| <= level / 2`."""
    pit = np.asarray(pit, float)
    if pit.ndim != 1 or len(pit) == 0 or not np.all((pit >= 0) & (pit <= 1)):
        raise ValueError("PIT values are a non-empty 1-D array of numbers in [0, 1]")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level {level} is outside (0, 1)")
    inside = np.abs(pit - 0.5) <= level / 2
    return Coverage(level, len(pit), binomial_interval(int(inside.sum()), len(pit)))


def coverage_of_interval(low: np.ndarray, high: np.ndarray, truth: np.ndarray, level: float) -> Coverage:
    """Coverage of given intervals [low, high], each (n,), that claim to hold the truth with probability `level`."""
    low, high, truth = (np.asarray(a, float) for a in (low, high, truth))
    if not low.shape == high.shape == truth.shape or truth.ndim != 1 or len(truth) == 0:
        raise ValueError("low, high and truth must be equal, non-empty 1-D arrays")
    inside = (low <= truth) & (truth <= high)
    return Coverage(level, len(truth), binomial_interval(int(inside.sum()), len(truth)))


def pit_uniformity(pit: np.ndarray) -> float:
    """p-value of the Kolmogorov-Smirnov test that PIT values are uniform: small means miscalibrated."""
    return float(kstest(np.asarray(pit, float), "uniform").pvalue)
