"""A wavelet detector: Mexican hats of some scales, thresholds from Poisson's law (Damiani+ 1997, ApJ 483, 350).

The hat of scale a is g(r/a) = (2 - r^2/a^2) exp(-r^2 / 2a^2). Under background b its sum over counts has mean sum g b
= k1,
variance sum g^2 b and third moment sum g^3 b: the chance of a greater sum is taken from the gamma law with these three
(Pearson's type III), which is Poisson's own where g is one number, and written as standard deviations.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve
from scipy.stats import gamma, norm

from twin.evaluate.xray.detections import Detections, check, detections, peaks

SCALES = (1.0, 2.0, 4.0)  # [bin]
APART = 2.0  # times the scale: a source is what the most significant scale says


def hat(scale: float) -> np.ndarray:
    """(k, k) the wavelet, with zero sum."""
    reach = int(np.ceil(5 * scale))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1] / scale
    r2 = x**2 + y**2
    g = (2 - r2) * np.exp(-r2 / 2)
    return g - g.mean()


def significance(counts: np.ndarray, background: np.ndarray, scale: float) -> np.ndarray:
    """(y, x) standard deviations of a normal law that the wavelet's sum is as unlikely as. Beyond the frame there is no
    background and are no counts."""
    g = hat(scale)
    value = fftconvolve(counts - background, g[::-1, ::-1], "same")
    second, third = (np.maximum(fftconvolve(background, k[::-1, ::-1], "same"), 1e-12) for k in (g**2, g**3))
    skew = third / second**1.5
    shape = 4 / skew**2
    with np.errstate(divide="ignore", under="ignore"):
        chance = gamma.logsf(shape + np.sqrt(shape) * value / np.sqrt(second), shape)
        # logsf -> standard deviations; beyond what doubles hold, by the tail's leading term
        z = np.where(chance > -700, norm.isf(np.exp(np.maximum(chance, -700))), np.sqrt(np.maximum(-2 * chance, 0)))
    return np.where(np.isfinite(z), z, -10.0)


def detect(counts: np.ndarray, background: np.ndarray, least: float, scales: tuple[float, ...] = SCALES) -> Detections:
    """Sources above `least` standard deviations at any scale; counts: what lies within twice the scale above
    background.

    Raises ValueError where counts and background are no frame.
    """
    counts, background = check(counts, background)
    rows = []
    for scale in scales:
        z = significance(counts, background, scale)
        rows += [(z[j, i], scale, j, i) for j, i in peaks(z, least)]
    rows.sort(key=lambda row: -row[0])
    kept: list[tuple[float, float, float, float, float]] = []
    y, x = np.indices(counts.shape)
    for z, scale, j, i in rows:
        if any(np.hypot(i - k[0], j - k[1]) < APART * max(scale, k[4]) for k in kept):
            continue
        near = np.hypot(x - i, y - j) <= 2 * scale
        excess = np.where(near, counts - background, 0.0)
        close = np.hypot(x - i, y - j) <= 1.5
        light = np.where(close, counts, 0.0)
        total = max(light.sum(), 1e-9)
        kept.append(((light * x).sum() / total, (light * y).sum() / total, excess.sum(), z, scale))
    table = np.array(kept).reshape(-1, 5)
    return detections(table[:, 0], table[:, 1], table[:, 2], table[:, 3])
