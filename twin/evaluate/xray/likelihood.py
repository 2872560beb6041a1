"""The known-PSF likelihood-ratio test: the most that any detector can do with a frame whose PSF and background are
known.

    TS(x, y) = 2 max over c >= 0 of sum_i [d_i ln(1 + c p_i / m_i) - c p_i],

d counts, m what is expected without the source (background and the sources found so far), p the whole PSF: focus, arms,
patch. Brightest first; then all that were found are fitted together, and what is left is looked at again (Mattox+ 1996,
ApJ 461, 396; Stewart 2009, A&A 495, 989). The square root of TS is the significance (Wilks: one count free). Logarithms
are summed over the bins that hold counts; all others enter by the PSF's sum alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from twin.evaluate.xray.detections import Detections, Spread, check, detections, peaks

FIRST_LOOK = (
    0.9  # of the threshold: least score of a candidate; of counts above Poisson's mean the score is the greater
)
CANDIDATES = 48  # of a round
ROUNDS = 12
SHARE = 0.3  # of the greatest TS of a round: fainter candidates wait until the bright ones are accounted for
APART = 4  # [bin] between sources accepted in one round; half of it between two sources
STEP = 0.25  # [bin] of the derivatives by place
NEAR = 8  # [bin] of counts that a place is fitted to


@dataclass(frozen=True)
class _Bins:
    """The bins that hold counts: rows, columns, counts `data` (n,), `floor` the background there; `frame` (y, x) and
    the whole
    background (y, x)."""

    rows: np.ndarray
    columns: np.ndarray
    data: np.ndarray
    floor: np.ndarray
    frame: np.ndarray
    background: np.ndarray

    def over(self, m: np.ndarray) -> np.ndarray:
        """(y, x) data / m, of m in the bins that hold counts."""
        made = np.zeros(self.frame.shape)
        made[self.rows, self.columns] = self.data / m
        return made


@dataclass
class _Sources:
    """Sources fitted together: places [bin], counts, PSF (n, bins with counts) of one count and its sum over the
    frame."""

    x: np.ndarray
    y: np.ndarray
    counts: np.ndarray
    seen: np.ndarray
    total: np.ndarray

    def take(self, index: np.ndarray) -> _Sources:
        return _Sources(self.x[index], self.y[index], self.counts[index], self.seen[index], self.total[index])


def amplitude(
    data: np.ndarray, without: np.ndarray, seen: np.ndarray, total: np.ndarray, steps: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """(k,) counts >= 0 of each of k sources by itself, and its TS: Newton's steps on a concave function.

    data, without (n,) counts and what is expected without the source, in all bins that hold counts; seen (k, n) PSFs
    there, total (k,) their sums over all bins
    """
    ratio = seen / without
    slope = ratio @ data - total
    c = np.where(slope > 0, slope / np.maximum((ratio**2) @ data, 1e-12), 0.0)
    for _ in range(steps):
        part = ratio / (1 + c[:, None] * ratio)
        first, second = part @ data - total, (part * part) @ data
        new = np.clip(c + first / np.maximum(second, 1e-12), 0.2 * c, 5 * c)
        done, c = np.all(np.abs(new - c) <= 1e-6 * np.maximum(c, 1e-3)), new
        if done:
            break
    c = np.where(slope > 0, c, 0.0)
    return c, 2 * (np.log1p(c[:, None] * ratio) @ data - c * total)


def fit_counts(
    data: np.ndarray, floor: np.ndarray, seen: np.ndarray, total: np.ndarray, counts: np.ndarray, steps: int = 15
) -> np.ndarray:
    """(k,) counts >= 0 of k sources together above `floor` (n,): Newton's steps on the free ones, shortened until
    they gain.
    Arguments as of `amplitude`."""

    def value(c: np.ndarray) -> tuple[float, np.ndarray]:
        m = floor + c @ seen
        return float(data @ np.log(m) - c @ total), m

    c = np.maximum(np.asarray(counts, float), 1e-3)
    now, m = value(c)
    for _ in range(steps):
        gradient = seen @ (data / m) - total
        free = (c > 1e-9) | (gradient > 0)
        if not free.any():
            break
        weighted = seen[free] * (np.sqrt(data) / m)
        h = weighted @ weighted.T
        h[np.diag_indices(len(h))] = h.diagonal() * (1 + 1e-9) + 1e-9
        move = np.zeros_like(c)
        move[free] = np.linalg.solve(h, gradient[free])
        size, there, new, its = 1.0, c, now, m
        for _ in range(6):
            there = np.maximum(c + size * move, 0.0)
            new, its = value(there)
            if new > now:
                break
            size /= 3
        else:
            break
        gain, c, now, m = new - now, there, new, its
        if gain < 1e-3:
            break
    return c


def _refine(bins: _Bins, without: np.ndarray, spread: Spread, x: float, y: float, counts: float) -> tuple[float, float]:
    """The place of greatest likelihood within a bin or so, at given counts: the best of 3 x 3, thrice, each half as
    wide.
    Only bins within NEAR are asked: further out the PSF hardly knows where its source is."""
    ny, nx = spread.shape
    near = (np.abs(bins.columns - x) < NEAR) & (np.abs(bins.rows - y) < NEAR)
    data, m, rows, columns = bins.data[near], without[near], bins.rows[near], bins.columns[near]
    if not len(data):
        return x, y
    width = 0.5
    for _ in range(3):
        px = np.clip(x + width * np.tile([0.0, -1.0, 1.0], 3), 0, nx - 1)
        py = np.clip(y + width * np.repeat([0.0, -1.0, 1.0], 3), 0, ny - 1)
        seen, total = spread.at(px, py, rows, columns)
        best = int(np.argmax(np.log(m + counts * seen) @ data - counts * total))
        x, y, width = float(px[best]), float(py[best]), width / 2
    return x, y


def _covariance(bins: _Bins, m: np.ndarray, spread: Spread, x: float, y: float, counts: float) -> np.ndarray:
    """(3, 3) of x, y [bin] and counts: the inverse of the information that the counts hold; NaN where they hold
    none."""
    px = np.array([x, x + STEP, x - STEP, x, x])
    py = np.array([y, y, y, y + STEP, y - STEP])
    p, _ = spread.at(px, py, bins.rows, bins.columns)
    d = np.stack([p[1] - p[2], p[3] - p[4], p[0] * (2 * STEP / counts)]) * (counts / (2 * STEP))
    weighted = d * (np.sqrt(bins.data) / m)
    try:
        return np.linalg.inv(weighted @ weighted.T)
    except np.linalg.LinAlgError:
        return np.full((3, 3), np.nan)


def _widened(p: np.ndarray, m: np.ndarray, background: np.ndarray, misfit: float) -> np.ndarray:
    """(k,) how much wider the score of sources with PSFs p (k, y, x) is than Poisson's, where of `m` (y, x) the light
    of other sources s = m - background is known to a share `misfit` f only, wrong alike in neighbouring bins:

        1 + f^2 sum of a_i a_j / sum of p^2 / m,  a = p s / m,  j among the 3 x 3 bins about i
    """
    wrong = p * ((m - background) / m)
    extra = misfit**2 * (wrong * uniform_filter(wrong, (0, 3, 3), mode="constant") * 9).sum((1, 2))
    made: np.ndarray = 1 + extra / np.maximum((p**2 / m).sum((1, 2)), 1e-30)
    return made


def detect(
    counts: np.ndarray, background: np.ndarray, least: float, spread: Spread, refine: bool = True, misfit: float = 0.0
) -> Detections:
    """Sources whose likelihood ratio's root is above `least`, all fitted together.

    counts, background  (y, x); background: expected, above zero in every bin
    refine   places between the bins, with covariance
    misfit   share of the light expected of the sources found by which the PSF may be wrong: the TS of others is
             divided by what this adds to the variance of their score (`_widened`), so that a bright source's arms make
             no sources
    Raises ValueError where counts and background are no frame of the PSF's shape.
    """
    counts, background = check(counts, background)
    if counts.shape != tuple(spread.shape):
        raise ValueError(f"frame {counts.shape}, PSF {tuple(spread.shape)}")
    rows, columns = np.nonzero(counts)
    bins = _Bins(rows, columns, counts[rows, columns], background[rows, columns], counts, background)
    none = np.zeros(0)
    found = _Sources(none, none, none, np.zeros((0, len(rows))), none)
    if not len(rows):
        return detections(found.x, found.y, found.counts, found.counts, np.zeros((0, 3, 3)))
    light = spread.correlate(np.ones(counts.shape))
    for _ in range(ROUNDS):
        m = bins.floor + found.counts @ found.seen
        whole = background + spread.expected(found.x, found.y, found.counts) if len(found.x) else background
        variance = 1 / whole
        if misfit:
            variance = variance * (1 + misfit**2 * (whole - background) ** 2 / whole)
        score = spread.correlate(bins.over(m)) - light
        score /= np.sqrt(np.maximum(spread.correlate_square(variance), 1e-30))
        places = peaks(score, FIRST_LOOK * least)
        x, y = places[:, 1].astype(float), places[:, 0].astype(float)
        # what is left beside a bright source must not end the search of the rest
        free = (np.hypot(x[:, None] - found.x, y[:, None] - found.y) > APART / 2).all(1)
        x, y = x[free][:CANDIDATES], y[free][:CANDIDATES]
        if not len(x):
            break
        images = spread.images(x, y)
        c, ts = amplitude(bins.data, m, images[:, rows, columns], images.sum((1, 2)))
        if misfit and len(found.x):
            ts = ts / _widened(images, whole, background, misfit)
        chosen = _chosen(x, y, ts, max(least**2, SHARE * ts.max()))
        if not chosen:
            break
        x, y, c = x[chosen], y[chosen], c[chosen]
        if refine:
            for k in range(len(x)):
                x[k], y[k] = _refine(bins, m, spread, x[k], y[k], c[k])
        found = _joined(bins, found, _Sources(x, y, c, *spread.at(x, y, rows, columns)))
    return _finish(bins, spread, found, least, refine, misfit)


def _chosen(x: np.ndarray, y: np.ndarray, ts: np.ndarray, least: float) -> list[int]:
    """Candidates above `least`, greatest first, that lie apart from each other."""
    chosen: list[int] = []
    for k in np.argsort(-ts):
        if ts[k] <= least:
            break
        if all(np.hypot(x[k] - x[j], y[k] - y[j]) > APART for j in chosen):
            chosen.append(int(k))
    return chosen


def _joined(bins: _Bins, old: _Sources, new: _Sources) -> _Sources:
    """All of them fitted together; of two that moved onto each other the first."""
    pairs = zip(
        (old.x, old.y, old.counts, old.seen, old.total), (new.x, new.y, new.counts, new.seen, new.total), strict=True
    )
    both = _Sources(*(np.concatenate(pair) for pair in pairs))
    keep: list[int] = []
    for k in range(len(both.x)):
        if all(np.hypot(both.x[k] - both.x[j], both.y[k] - both.y[j]) > APART / 2 for j in keep):
            keep.append(k)
    both = both.take(np.array(keep))
    both.counts = fit_counts(bins.data, bins.floor, both.seen, both.total, both.counts)
    return both.take(both.counts > 0)


def _finish(bins: _Bins, spread: Spread, found: _Sources, least: float, refine: bool, misfit: float) -> Detections:
    """Places and counts once more with all others in place; TS of each by leaving it out; the faint dropped."""
    n = len(found.x)
    covariance = np.full((n, 3, 3), np.nan)
    if refine and n:
        m = bins.floor + found.counts @ found.seen
        for k in range(n):
            without = m - found.counts[k] * found.seen[k]
            found.x[k], found.y[k] = _refine(bins, without, spread, found.x[k], found.y[k], found.counts[k])
        found.seen, found.total = spread.at(found.x, found.y, bins.rows, bins.columns)
        found.counts = fit_counts(bins.data, bins.floor, found.seen, found.total, found.counts)
        m = bins.floor + found.counts @ found.seen
        for k in range(n):
            covariance[k] = _covariance(bins, m, spread, found.x[k], found.y[k], max(found.counts[k], 1e-3))
    images = spread.images(found.x, found.y) if misfit else np.zeros((n, 0, 0))
    while True:
        m = bins.floor + found.counts @ found.seen
        # each source's counts are the best given the others', so that its likelihood ratio needs no further maximum
        light = found.counts[:, None] * found.seen
        ts = -2 * (np.log1p(-np.minimum(light / m, 1 - 1e-12)) @ bins.data + found.counts * found.total)
        if misfit and len(ts):
            whole = bins.background + np.tensordot(found.counts, images, 1)
            for k in range(len(ts)):
                without = np.maximum(whole - found.counts[k] * images[k], bins.background)
                ts[k] /= _widened(images[k : k + 1], without, bins.background, misfit)[0]
        if not (ts <= least**2).any():
            break
        keep = np.arange(len(ts)) != int(np.argmin(ts))
        found, covariance, images = found.take(keep), covariance[keep], images[keep]
        if len(found.x):
            found.counts = fit_counts(bins.data, bins.floor, found.seen, found.total, found.counts)
    return detections(found.x, found.y, found.counts, np.sqrt(np.maximum(ts, 0)), covariance)
