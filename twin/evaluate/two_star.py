"""The peer for image separations: two point sources fitted jointly to all bands by least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_STEPS = 60  # of a fit from one start
TOLERANCE = 1e-5  # relative decrease of chi-square that ends a fit


@dataclass(frozen=True)
class TwoStarFit:
    """separation [arcsec], reduced chi-square, and (2, bands) star fluxes in the frame's unit."""

    separation: float
    chi2: float
    flux: np.ndarray


def moffat(x: np.ndarray, y: np.ndarray, fwhm: float, beta: float) -> np.ndarray:
    """Moffat profile of unit peak: `(1 + (r/alpha)^2)^-beta`, `alpha = fwhm / (2 sqrt(2^(1/beta) - 1))`, in pixels."""
    alpha2 = fwhm**2 / (4.0 * (2.0 ** (1.0 / beta) - 1.0))
    return np.exp(-beta * np.log1p((x * x + y * y) / alpha2))


def _solve(columns: np.ndarray, data: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted linear least squares of (star, star, constant) with non-negative stars; returns 3 coefficients."""
    design = columns * weight
    normal = design @ design.T
    right = design @ (data * weight)
    normal[np.diag_indices(3)] *= 1.0 + 1e-9  # two stars at one place would be singular
    best = np.linalg.solve(normal, right)
    if best[0] >= 0.0 and best[1] >= 0.0:
        return best
    best = np.zeros(3)
    keep = [0, 2] if right[0] ** 2 / normal[0, 0] >= right[1] ** 2 / normal[1, 1] else [1, 2]
    best[keep] = np.linalg.solve(normal[np.ix_(keep, keep)], right[keep])
    if best[keep[0]] < 0.0:
        best[:] = 0.0, 0.0, right[2] / normal[2, 2]
    return best


class _Problem:
    """Residuals as a function of (x1, y1, x2, y2, beta, fwhm of each band); fluxes and sky are solved for inside."""

    def __init__(self, frame: np.ndarray, sigma: np.ndarray) -> None:
        size_y, size_x = frame.shape[1:]
        self.y, self.x = (a.ravel().astype(float) for a in np.mgrid[:size_y, :size_x])
        usable = np.isfinite(frame) & np.isfinite(sigma) & (sigma > 0)
        self.data = np.where(usable, frame, 0.0).reshape(len(frame), -1).astype(float)
        self.weight = np.where(usable, 1.0 / np.where(usable, sigma, 1.0), 0.0).reshape(len(frame), -1)

    def columns(self, p: np.ndarray, band: int) -> np.ndarray:
        stars = [moffat(self.x - p[2 * i], self.y - p[2 * i + 1], p[5 + band], p[4]) for i in range(2)]
        return np.stack([*stars, np.ones_like(stars[0])])

    def residuals(self, p: np.ndarray) -> np.ndarray:
        out = []
        for band, (data, weight) in enumerate(zip(self.data, self.weight, strict=True)):
            columns = self.columns(p, band)
            out.append((data - _solve(columns, data, weight) @ columns) * weight)
        return np.concatenate(out)

    def fluxes(self, p: np.ndarray) -> np.ndarray:
        out = []
        for band, (data, weight) in enumerate(zip(self.data, self.weight, strict=True)):
            columns = self.columns(p, band)
            out.append(_solve(columns, data, weight)[:2] * columns[:2].sum(1))
        return np.array(out).T


def _levenberg_marquardt(
    problem: _Problem, start: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, float]:
    """Parameters and chi-square at the nearest minimum inside the bounds (Marquardt 1963, forward differences).

    The 8x8 normal equations take a hundredth of the time of SciPy's singular values of the whole Jacobian, whose
    threads also fight for a busy machine's cores.
    """
    p, damping = start, 1e-2
    residual = problem.residuals(p)
    chi2 = float(residual @ residual)
    for _ in range(MAX_STEPS):
        delta = 1e-4 * np.where(p + 1e-4 > high, -1.0, 1.0)
        jacobian = np.array([(problem.residuals(p + d) - residual) / d.sum() for d in np.diag(delta)])
        normal, gradient = np.einsum("ik,jk->ij", jacobian, jacobian), jacobian @ residual
        while damping < 1e8:
            damped = normal + np.diag(damping * np.diag(normal) + 1e-12)
            trial = np.clip(p - np.linalg.solve(damped, gradient), low, high)
            found = problem.residuals(trial)
            new = float(found @ found)
            if new < chi2:
                break
            damping *= 5.0
        else:
            return p, chi2
        gained = chi2 - new
        p, residual, chi2, damping = trial, found, new, max(damping / 5.0, 1e-6)
        if gained < TOLERANCE * chi2:
            break
    return p, chi2


def _starts(frame: np.ndarray, sigma: np.ndarray) -> list[np.ndarray]:
    """Star positions to start from: two separations along the major axis of the light, and one across it."""
    light = np.clip(np.nan_to_num(np.nansum(frame / sigma**2, 0)), 0.0, None)
    size_y, size_x = light.shape
    y, x = np.mgrid[:size_y, :size_x]
    window = np.hypot(x - size_x // 2, y - size_y // 2) < 0.4 * size_x
    light = np.where(window, light, 0.0)
    total = max(float(light.sum()), 1e-30)
    x0, y0 = float((light * x).sum() / total), float((light * y).sum() / total)
    xx, yy = float((light * (x - x0) ** 2).sum()), float((light * (y - y0) ** 2).sum())
    angle = 0.5 * np.arctan2(2.0 * float((light * (x - x0) * (y - y0)).sum()), xx - yy)
    starts = []
    for half, turn in ((2.0, 0.0), (5.0, 0.0), (3.0, np.pi / 2)):
        dx, dy = half * np.cos(angle + turn), half * np.sin(angle + turn)
        starts.append(np.array([x0 - dx, y0 - dy, x0 + dx, y0 + dy]))
    return starts


def fit_two_stars(frame: np.ndarray, rms: np.ndarray, gain: np.ndarray, pixel_scale: float) -> TwoStarFit:
    """Fit two Moffat stars (shared positions and beta, one FWHM a band, free fluxes and sky); measure their distance.

    frame        (band, y, x) counts, sky-subtracted, NaN where invalid
    rms, gain    (band,) sky noise in counts and e-/count: variance is `rms^2 + max(counts, 0) / gain`
    pixel_scale  arcsec per pixel
    The best of three starts counts. The fluxes are solved linearly at every step (variable projection).
    """
    sigma = np.sqrt(rms[:, None, None] ** 2 + np.clip(np.nan_to_num(frame), 0.0, None) / gain[:, None, None])
    problem = _Problem(frame, sigma)
    size_y, size_x = frame.shape[1:]
    bands = len(frame)
    low = np.array([0.0, 0.0, 0.0, 0.0, 1.5, *[1.5] * bands])
    high = np.array([size_x - 1.0, size_y - 1.0, size_x - 1.0, size_y - 1.0, 8.0, *[12.0] * bands])
    fits = []
    for positions in _starts(frame, sigma):
        start = np.clip(np.concatenate([positions, [3.0], [4.5] * bands]), low + 1e-3, high - 1e-3)
        fits.append(_levenberg_marquardt(problem, start, low, high))
    p, chi2 = min(fits, key=lambda fit: fit[1])
    count = max(1, int(np.count_nonzero(problem.weight)) - len(p) - 3 * bands)
    return TwoStarFit(float(np.hypot(p[0] - p[2], p[1] - p[3]) * pixel_scale), chi2 / count, problem.fluxes(p))
