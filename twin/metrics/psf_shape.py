"""Size and shape of a point spread function: FWHM, ellipticity, radii of encircled energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates, spline_filter


@dataclass(frozen=True)
class PsfShape:
    """What is quoted of a PSF. Angles in the unit of the pixel scale that `measure` was given.

    fwhm        width of the azimuthally averaged profile at half of its central value
    e1, e2      (a^2 - b^2) / (a^2 + b^2) times cos 2 phi, sin 2 phi of the best-fitting elliptical Gaussian
    ee50, ee80, ee95  radii that hold so much of the flux in percent; NaN where the image is too small to hold it
    x, y        centre of that Gaussian from the centre of the image
    """

    fwhm: float
    e1: float
    e2: float
    ee50: float
    ee80: float
    ee95: float
    x: float
    y: float

    @property
    def ellipticity(self) -> float:
        return float(np.hypot(self.e1, self.e2))


def adaptive_moments(image: np.ndarray, tolerance: float = 1e-7, limit: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """(centre (x, y) [pixel from the first], covariance (2, 2) [pixel^2]) of the elliptical Gaussian that fits best.

    The weight is that Gaussian itself: M = sum w I d d' / sum w I converges at covariance 2 M (Bernstein & Jarvis 2002,
    AJ 123, 583). Exact for a Gaussian however faint its wings; for others the answer weighs the core most.
    Raises ValueError where no such Gaussian exists (empty or noise images).
    """
    rows, columns = np.indices(image.shape, dtype=float)
    peak = np.unravel_index(np.argmax(image), image.shape)
    centre, covariance = np.array([peak[1], peak[0]], float), np.eye(2) * 4.0
    for _ in range(limit):
        inverse = np.linalg.inv(covariance)
        dx, dy = columns - centre[0], rows - centre[1]
        weight = np.exp(-0.5 * (inverse[0, 0] * dx**2 + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy**2)) * image
        total = weight.sum()
        if not total > 0:
            break
        shift = np.array([(weight * dx).sum(), (weight * dy).sum()]) / total
        xy = (weight * dx * dy).sum()
        moments = np.array([[(weight * dx * dx).sum(), xy], [xy, (weight * dy * dy).sum()]]) / total
        moments -= np.outer(shift, shift)
        step = 2 * moments - covariance
        centre, covariance = centre + 2 * shift, 2 * moments
        if not np.all(np.linalg.eigvalsh(covariance) > 1e-3) or np.trace(covariance) > 4 * image.size:
            break
        if np.abs(step).max() < tolerance * np.trace(covariance) and np.abs(shift).max() < 1e-6:
            return centre, covariance
    raise ValueError("no Gaussian fits the image: it holds no point source")


def radial_profile(image: np.ndarray, centre: np.ndarray, radii: np.ndarray, angles: int = 96) -> np.ndarray:
    """Azimuthal mean of the image at `radii` [pixel] around `centre` (x, y), by a cubic spline through the pixels."""
    coefficients = spline_filter(np.asarray(image, float), order=3)
    turn = 2 * np.pi * (np.arange(angles) + 0.5) / angles
    x = centre[0] + radii[:, None] * np.cos(turn)
    y = centre[1] + radii[:, None] * np.sin(turn)
    return map_coordinates(coefficients, [y, x], order=3, prefilter=False, mode="constant", cval=0.0).mean(1)


def half_width(radii: np.ndarray, profile: np.ndarray) -> float:
    """Full width at half of profile[0] by linear interpolation; NaN where the profile never falls so far."""
    below = np.flatnonzero(profile < 0.5 * profile[0])
    if below.size == 0:
        return float("nan")
    k = below[0]
    fraction = (profile[k - 1] - 0.5 * profile[0]) / (profile[k - 1] - profile[k])
    return float(2 * (radii[k - 1] + fraction * (radii[k] - radii[k - 1])))


def encircled(radii: np.ndarray, profile: np.ndarray, fraction: float, total: float) -> float:
    """Radius with `fraction` of `total` inside: 2 pi integral of p r dr by trapezoids; NaN beyond the last radius."""
    ring = 2 * np.pi * radii * profile
    inside = np.concatenate([[0.0], np.cumsum(0.5 * (ring[1:] + ring[:-1]) * np.diff(radii))])
    beyond = np.flatnonzero(inside >= fraction * total)
    if beyond.size == 0:
        return float("nan")
    k = beyond[0]
    # between two radii the enclosed flux grows as r^2
    share = (fraction * total - inside[k - 1]) / (inside[k] - inside[k - 1])
    return float(np.sqrt(radii[k - 1] ** 2 + share * (radii[k] ** 2 - radii[k - 1] ** 2)))


def measure(image: np.ndarray, pixel_scale: float, total: float | None = None) -> PsfShape:
    """Shape of a PSF image (y, x) sampled well (FWHM over about three pixels).

    total  flux of the whole PSF, where the image does not hold all of it; None = the image's sum
    Raises ValueError where the image holds no point source.
    """
    image = np.asarray(image, float)
    if image.ndim != 2 or not np.all(np.isfinite(image)):
        raise ValueError("a PSF is a finite image of two axes")
    centre, covariance = adaptive_moments(image)
    reach = min(centre[0], centre[1], image.shape[1] - 1 - centre[0], image.shape[0] - 1 - centre[1])
    radii = np.linspace(0.0, reach, max(2, int(np.ceil(reach * 10)) + 1))
    profile = radial_profile(image, centre, radii)
    total = float(image.sum()) if total is None else total
    trace = covariance[0, 0] + covariance[1, 1]
    middle = (np.array(image.shape[::-1]) - 1) / 2
    return PsfShape(
        fwhm=half_width(radii, profile) * pixel_scale,
        e1=float((covariance[0, 0] - covariance[1, 1]) / trace),
        e2=float(2 * covariance[0, 1] / trace),
        ee50=encircled(radii, profile, 0.5, total) * pixel_scale,
        ee80=encircled(radii, profile, 0.8, total) * pixel_scale,
        ee95=encircled(radii, profile, 0.95, total) * pixel_scale,
        x=float(centre[0] - middle[0]) * pixel_scale,
        y=float(centre[1] - middle[1]) * pixel_scale,
    )
