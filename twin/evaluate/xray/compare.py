"""Detectors side by side: thresholds of one false-alarm rate, and how far a place is from arms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twin.metrics import Estimate

RADIUS = 3.0  # [arcmin] within which a detection is a source


def level(alarms: Sequence[np.ndarray], rate: float, lowest: float) -> tuple[float, Estimate]:
    """Significance above which there are `rate` alarms a field, of each field's alarms above `lowest`, and the rate
    with its 95 % interval.

    The threshold lies midway between the last alarm kept and the first dropped; the interval is Poisson's exact one.
    Raises ValueError where there are fewer than 5 alarms to count, or too few above `lowest`.
    """
    n, found = len(alarms), np.concatenate([np.zeros(0), *alarms])
    wanted = int(round(rate * n))
    if wanted < 5:
        raise ValueError(f"{n} fields are too few for {rate:g} false alarms a field: {wanted} would be counted")
    values = np.sort(found)[::-1]
    if len(values) <= wanted:
        raise ValueError(f"only {len(values)} alarms above {lowest:g} in {n} fields, {wanted} are wanted: search lower")
    return float((values[wanted - 1] + values[wanted]) / 2), counted(wanted, n)


def counted(k: int, n: int) -> Estimate:
    """k / n with the exact 95 % interval of a Poisson number (Garwood 1936, Biometrika 28, 437)."""
    from scipy.stats import chi2

    low = chi2.ppf(0.025, 2 * k) / 2 if k else 0.0
    return Estimate(k / n, low / n, float(chi2.ppf(0.975, 2 * k + 2) / 2) / n)


def arm_distance(
    x: np.ndarray, y: np.ndarray, bright: np.ndarray, roll: float, side: float | tuple[float, float]
) -> np.ndarray:
    """(n,) distance [arcmin of direction sine] from the nearest arm of bright sources: the lesser of the distances
    along
    the pores' two axes, which are rolled by `roll` [deg] against the bins. bright (m, 2) [bin]; infinite where m is
    0."""
    x, y, bright = np.asarray(x, float), np.asarray(y, float), np.asarray(bright, float).reshape(-1, 2)
    if not len(bright):
        return np.full(x.shape, np.inf)
    sx, sy = (side, side) if isinstance(side, int | float) else side
    dx, dy = (x[:, None] - bright[:, 0]) * sx, (y[:, None] - bright[:, 1]) * sy
    cos, sin = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    return np.minimum(np.abs(cos * dx + sin * dy), np.abs(cos * dy - sin * dx)).min(1)
