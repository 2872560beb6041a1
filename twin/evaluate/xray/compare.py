"""Detectors side by side: thresholds of one false-alarm rate, matches with the truth, purity and completeness."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from twin.evaluate.xray.detections import Detections
from twin.metrics import Estimate, binomial_interval

RADIUS = 3.0  # [arcmin] within which a detection is a source


def threshold(
    detect: Callable[[np.ndarray, np.ndarray, float], Detections],
    fields: Iterable[tuple[np.ndarray, np.ndarray]],
    rate: float,
    lowest: float = 3.0,
    allowed: Callable[[Detections], np.ndarray] | None = None,
) -> tuple[float, Estimate]:
    """Significance above which `detect` has `rate` false alarms a field on the mean, and the rate with its 95 %
    interval.

    fields   (counts, background) of fields in which there is nothing to find
    lowest   significance down to which they are searched: the rate there must be above `rate`
    allowed  which detections are false alarms (all): of sources that the fields do have, for instance, none
    Raises ValueError as `level` does.
    """
    found: list[np.ndarray] = []
    for counts, background in fields:
        alarms = detect(counts, background, lowest)
        keep = np.ones(len(alarms), bool) if allowed is None else allowed(alarms)
        found.append(alarms.significance[keep])
    return level(found, rate, lowest)


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


@dataclass(frozen=True)
class Matches:
    """source  (detections,) index of the true source, -1 for none;  detection  (sources,) index of the detection, -1
    for none"""

    source: np.ndarray
    detection: np.ndarray


def match(
    found: Detections, x: np.ndarray, y: np.ndarray, side: float | tuple[float, float], radius: float = RADIUS
) -> Matches:
    """One to one, nearest pairs first, within `radius` [arcmin]; x, y [bin] of the truth, side of a bin [arcmin]."""
    sx, sy = (side, side) if isinstance(side, int | float) else side
    source, detection = np.full(len(found), -1), np.full(len(x), -1)
    if len(found) and len(x):
        apart = np.hypot((found.x[:, None] - x) * sx, (found.y[:, None] - y) * sy)
        for flat in np.argsort(apart, axis=None):
            i, j = np.unravel_index(flat, apart.shape)
            if apart[i, j] > radius:
                break
            if source[i] < 0 and detection[j] < 0:
                source[i], detection[j] = j, i
    return Matches(source, detection)


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


def completeness(detected: np.ndarray, value: np.ndarray, edges: Sequence[float]) -> list[Estimate | None]:
    """Share of the sources (n,) that are `detected`, with Wilson's 95 % interval, in bins of `value`; None in empty
    ones."""
    made: list[Estimate | None] = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = (value >= low) & (value < high)
        made.append(binomial_interval(int(detected[inside].sum()), int(inside.sum())) if inside.any() else None)
    return made


def purity(matched: np.ndarray) -> Estimate | None:
    """Share of detections (n,) that are sources, with Wilson's 95 % interval; None where there are none."""
    return binomial_interval(int(np.sum(matched)), len(matched)) if len(matched) else None
