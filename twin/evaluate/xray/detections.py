"""What a detector of sources says of one frame, and the PSF that it may know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Detections:
    """Sources found in one frame, brightest in significance first.

    x, y          (n,) places [bin], middle of the first bin at 0
    counts        (n,) of the whole source on the frame, where the detector knows the PSF; else what it adds up
    significance  (n,) square root of the likelihood ratio, or what stands for it: to be compared within a detector only
    covariance    (n, 3, 3) of x, y [bin] and counts; NaN where a detector gives none
    """

    x: np.ndarray
    y: np.ndarray
    counts: np.ndarray
    significance: np.ndarray
    covariance: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: np.ndarray) -> Detections:
        """Those of an index or a mask."""
        return Detections(
            self.x[index], self.y[index], self.counts[index], self.significance[index], self.covariance[index]
        )


def detections(
    x: np.ndarray, y: np.ndarray, counts: np.ndarray, significance: np.ndarray, covariance: np.ndarray | None = None
) -> Detections:
    """Sorted by significance."""
    if covariance is None:
        covariance = np.full((len(x), 3, 3), np.nan)
    order = np.argsort(-np.asarray(significance))
    rows = (np.asarray(v, float)[order] for v in (x, y, counts, significance, covariance))
    return Detections(*rows)


Detector = Callable[[np.ndarray, np.ndarray, float], Detections]
"""counts (y, x), expected background (y, x), least significance -> Detections"""


class Spread(Protocol):
    """A PSF that changes over the frame: counts of a source of one count, in bins."""

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x) bins of a frame"""

    def images(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(k, y, x) expected counts in bins of sources of one count at places (k,) [bin]."""

    def at(self, x: np.ndarray, y: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(k, n) of them in the bins of `rows`, `columns` (n,), and (k,) their sums over the frame."""

    def expected(self, x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """(y, x) counts expected of sources together."""

    def correlate(self, weight: np.ndarray) -> np.ndarray:
        """(y, x) sum over the frame of psf times `weight` (y, x), for a source in the middle of every bin."""

    def correlate_square(self, weight: np.ndarray) -> np.ndarray:
        """The same of the PSF's square."""


def check(counts: np.ndarray, background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts and background as double precision. Raises ValueError where they cannot be that of one frame."""
    counts, background = np.asarray(counts, float), np.asarray(background, float)
    if counts.ndim != 2 or background.shape != counts.shape:
        raise ValueError(f"counts {counts.shape} and background {background.shape} must be one frame (y, x)")
    if not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError("counts must be finite and not negative")
    if not np.isfinite(background).all() or (background <= 0).any():
        raise ValueError("the expected background must be above zero in every bin")
    return counts, background


def peaks(image: np.ndarray, least: float, radius: int = 1) -> np.ndarray:
    """(n, 2) row and column of bins that are greatest within `radius` and above `least`, greatest first."""
    from scipy.ndimage import maximum_filter

    best = (image == maximum_filter(image, 2 * radius + 1)) & (image > least)
    found = np.argwhere(best)
    return found[np.argsort(-image[best])]
