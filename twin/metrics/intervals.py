"""Numbers with their uncertainty: bootstrap by group, and the interval of a fraction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from scipy.stats import binomtest


class Estimate(NamedTuple):
    """A measured value and the ends of its interval."""

    value: float
    low: float
    high: float


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    n: int,
    *,
    groups: np.ndarray | None = None,
    repeats: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Percentile bootstrap of `statistic(index)`, where index (m,) names the drawn objects, repeats allowed.

    n        number of objects
    groups   (n,) group of each object: whole groups are drawn, so that objects which share a field or a night stay
             together (the cluster bootstrap); None draws single objects
    Repeats whose statistic is not a number (a draw without one of the classes) are left out.
    Raises ValueError for n < 1 or groups of another length.
    """
    if n < 1:
        raise ValueError("the bootstrap needs at least one object")
    if groups is not None and len(groups) != n:
        raise ValueError(f"{len(groups)} groups for {n} objects")
    rng = np.random.default_rng(seed)
    value = float(statistic(np.arange(n)))
    members = [np.array([i]) for i in range(n)]
    if groups is not None:
        _, inverse = np.unique(np.asarray(groups), return_inverse=True)
        members = [np.flatnonzero(inverse == g) for g in range(inverse.max() + 1)]
    draws = np.empty(repeats)
    for repeat in range(repeats):
        chosen = rng.integers(0, len(members), len(members))
        draws[repeat] = statistic(np.concatenate([members[g] for g in chosen]))
    draws = draws[np.isfinite(draws)]
    if len(draws) == 0:
        return Estimate(value, np.nan, np.nan)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high))


def binomial_interval(
    successes: int, n: int, *, level: float = 0.95, method: Literal["wilson", "exact"] = "wilson"
) -> Estimate:
    """The fraction successes / n with its Wilson score (1927) or exact (Clopper & Pearson 1934) interval."""
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} successes out of {n}")
    found = binomtest(int(successes), int(n)).proportion_ci(confidence_level=level, method=method)
    return Estimate(successes / n, float(found.low), float(found.high))
