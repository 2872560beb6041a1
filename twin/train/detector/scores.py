"""What a detector scores on simulated fields it was not trained on: threshold, coverage, completeness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from twin.train.detector.catalogue import Sources
from twin.train.detector.network import MEASURED

RADIUS = 3.0 / 4.495  # [bin] 3 arcmin of WXT's usual bins
PURITY = 0.95  # of what is listed, on fields that set the threshold
COUNTS = (10, 30, 100, 300, 1000, 10000)  # edges of the table of completeness


@dataclass(frozen=True)
class Match:
    """Truth and what was found of one field: for each source found the number of its true one, -1 for none."""

    found: Sources
    of: np.ndarray


def match(found: Sources, x: np.ndarray, y: np.ndarray, radius: float = RADIUS) -> Match:
    """`pairs` of the sources found, the most probable first."""
    return Match(found, pairs(found.x, found.y, x, y, radius))


def pairs(x: np.ndarray, y: np.ndarray, true_x: np.ndarray, true_y: np.ndarray, radius: float) -> np.ndarray:
    """(k,) number of the true source within `radius` of each place x, y (k,), -1 for none: the first place first, each
    true one once."""
    of, free = np.full(len(x), -1), np.ones(len(true_x), bool)
    for k in range(len(x)):
        distance = np.where(free, np.hypot(true_x - x[k], true_y - y[k]), np.inf)
        if len(distance) and distance.min() < radius:
            of[k] = int(distance.argmin())
            free[of[k]] = False
    return of


def threshold(matches: list[Match], purity: float = PURITY) -> float:
    """The least probability from which, and from every higher one, so much of what is listed is true."""
    p = np.concatenate([m.found.probability for m in matches])
    true = np.concatenate([m.of >= 0 for m in matches])
    order = np.argsort(-p, kind="stable")
    share = np.cumsum(true[order]) / np.arange(1, len(p) + 1)
    good = np.flatnonzero(share >= purity)
    return float(p[order][good[-1]]) if len(good) else 1.0


def widths(matches: list[Match], truth: np.ndarray, least: float) -> dict[str, float]:
    """Factors of standard deviations with which 68.3 % of errors over them are below 1, for sources from probability
    `least`. truth (n, S, MEASURED) of the fields."""
    out = {}
    for k, name in enumerate(MEASURED):
        z = errors(matches, truth, k, least)
        if len(z) >= 50:
            out[name] = float(np.quantile(np.abs(z), 0.6827))
    return out


def errors(matches: list[Match], truth: np.ndarray, k: int, least: float) -> np.ndarray:
    """Errors over standard deviations of the k-th of MEASURED, of all matched sources."""
    name = MEASURED[k]
    z = []
    for field, m in enumerate(matches):
        kept = (m.of >= 0) & (m.found.probability >= least)
        value, sigma = getattr(m.found, name)[kept], getattr(m.found, f"{name}_err")[kept]
        z.append((value - truth[field, m.of[kept], k]) / sigma)
    z_all = np.concatenate(z) if z else np.zeros(0)
    return z_all[np.isfinite(z_all)]


def table(matches: list[Match], truth: np.ndarray, there: np.ndarray, least: float) -> dict[str, Any]:
    """Purity, completeness by counts, and coverage of 68.3 and 95.4 per cent intervals, at a threshold."""
    listed = [m.found.probability >= least for m in matches]
    true = sum(int(((m.of >= 0) & kept).sum()) for m, kept in zip(matches, listed, strict=True))
    total = sum(int(kept.sum()) for kept in listed)
    hit = np.zeros(there.shape, bool)
    for field, (m, kept) in enumerate(zip(matches, listed, strict=True)):
        hit[field, m.of[kept & (m.of >= 0)]] = True
    counts = np.exp(truth[..., MEASURED.index("log_counts")])
    complete = {}
    for low, high in zip(COUNTS, COUNTS[1:], strict=False):
        inside = there & (counts >= low) & (counts < high)
        complete[f"{low}-{high}"] = [int((hit & inside).sum()), int(inside.sum())]
    coverage = {}
    for k, name in enumerate(MEASURED):
        z = np.abs(errors(matches, truth, k, least))
        if len(z):
            coverage[name] = [float((z < 1).mean()), float((z < 2).mean()), len(z)]
    return {"purity": [true, total], "completeness_by_counts": complete, "coverage_68_95": coverage,
            "median_position_error_bins": _median(matches, truth, least)}  # fmt: skip


def _median(matches: list[Match], truth: np.ndarray, least: float) -> float | None:
    d = [
        np.hypot(m.found.x[kept] - truth[f, m.of[kept], 0], m.found.y[kept] - truth[f, m.of[kept], 1])
        for f, m in enumerate(matches)
        for kept in [(m.of >= 0) & (m.found.probability >= least)]
    ]
    all_d = np.concatenate(d) if d else np.zeros(0)
    return float(np.median(all_d)) if len(all_d) else None
