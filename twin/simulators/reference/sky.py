"""Galaxies, stars and sampled light through the witness's optics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from scipy.fft import fht, fhtoffset
from scipy.special import gammaincc, gammaincinv, gammaln

from twin.observatory.state import ImagerState
from twin.simulators.reference import psf
from twin.simulators.reference.view import Plane, View

STEEPEST = 6.2  # Sersic index up to which GalSim goes
LARGE = 0.02  # of the plane's period: half-light radius from which what comes round is taken away again


@dataclass(frozen=True)
class Galaxy:
    """Elliptical Sersic profile: n, half-light radius (geometric mean of the axes) [arcsec], axis ratio, angle of the
    major axis from x to y [rad], position [arcsec], counts (B,)."""

    n: float
    radius: float
    q: float
    angle: float
    x: float
    y: float
    flux: np.ndarray


@dataclass(frozen=True)
class Disc:
    """Transparent disc exp(-R / scale) sech^2(z / height) at an inclination: scale length and height [arcsec], cosine
    of the inclination, angle of the line of nodes from x to y [rad], position [arcsec], counts (B,)."""

    scale: float
    height: float
    cos_i: float
    angle: float
    x: float
    y: float
    flux: np.ndarray


@dataclass(frozen=True)
class Image:
    """Stamp (y, x) of odd sides and unit flux, its pixel [arcsec], position of its middle [arcsec], turned by an angle
    from x to y [rad] after y was mirrored or not, made `size` times as large, counts (B,)."""

    stamp: np.ndarray
    scale: float
    x: float
    y: float
    angle: float
    flip: bool
    size: float
    flux: np.ndarray


@dataclass(frozen=True)
class Star:
    """A point: position [arcsec], counts (B,)."""

    x: float
    y: float
    flux: np.ndarray


@dataclass(frozen=True)
class Sampled:
    """Light in cells (cells npix, cells npix) of the frame [1/cell], counts (B,) that it is multiplied with."""

    samples: np.ndarray
    flux: np.ndarray


@dataclass
class Sky:
    """All that is in a frame."""

    galaxies: list[Galaxy | Disc | Image] = field(default_factory=list)
    stars: list[Star] = field(default_factory=list)
    light: list[Sampled] = field(default_factory=list)


def counts(magnitude: np.ndarray | float, state: ImagerState) -> np.ndarray:
    """Counts (B,) of AB magnitudes (B,); 0 where there is nothing (NaN)."""
    with np.errstate(invalid="ignore"):
        flux = 10 ** (-0.4 * (np.asarray(magnitude, float) - np.asarray(state.zero_point, float)))
    return np.nan_to_num(flux, nan=0.0)


def draw(view: View, state: ImagerState, sky: Sky) -> np.ndarray:
    """Expected counts (B, npix, npix) of a sky through PSF and pixel."""
    plane = psf.plane(view, state)
    bands = len(view.optics.wavelengths)
    sharp = np.zeros((bands, plane.size, plane.size // 2 + 1), complex)  # still to be integrated over the pixel
    for galaxy in sky.galaxies:
        if np.any(galaxy.flux):
            sharp += galaxy.flux[:, None, None] * _galaxy(plane, galaxy)
    for star in sky.stars:
        if np.any(star.flux):
            along_y, along_x = plane.shift(star.x, star.y)
            sharp += star.flux[:, None, None] * (along_y[:, None] * along_x[None, :])
    sharp *= plane.pixel
    for galaxy in sky.galaxies:
        if isinstance(galaxy, Galaxy) and galaxy.radius > LARGE * plane.period * view.pixel_scale:
            sharp -= galaxy.flux[:, None, None] * plane.sampled(_come_round(plane, galaxy))
    for light in sky.light:
        if np.any(light.flux):
            sharp += light.flux[:, None, None] * plane.sampled(light.samples)
    return np.stack([plane.image(sharp[b] * psf.transfer(plane, state, b)) for b in range(bands)])


def _come_round(plane: Plane, g: Galaxy) -> np.ndarray:
    """Light in each pixel (npix, npix) of the images of a galaxy of unit flux that the plane's period makes: of the 24
    nearest, smooth there for they are half a period away and more, and evenly what lies beyond these."""
    view = plane.view
    period = plane.period * view.pixel_scale
    x, y = midpoints(replace(view, cells=1, subsamples=1))
    images = [(i, j) for i in range(-2, 3) for j in range(-2, 3) if i or j]
    each = [sersic(x - g.x - i * period, y - g.y - j * period, g.n, g.radius, g.q, g.angle) for i, j in images]
    edge = 5 * period / np.sqrt(np.pi) / g.radius  # of the circle as large as all of these periods
    beyond = gammaincc(2 * g.n, gammaincinv(2 * g.n, 0.5) * edge ** (1 / g.n))
    total: np.ndarray = (np.sum(each, 0) + beyond / period**2) * view.pixel_scale**2
    return total


def _galaxy(plane: Plane, g: Galaxy | Disc | Image) -> np.ndarray:
    """Spectrum of a galaxy of unit flux."""
    if isinstance(g, Image):
        import galsim

        # Lanczos: the stamps have no frequencies near their Nyquist limit
        stamp = galsim.InterpolatedImage(galsim.Image(g.stamp, scale=g.scale), x_interpolant="lanczos15", flux=1.0)
        mirrored = stamp.transform(1, 0, 0, -1) if g.flip else stamp
        return plane.profile(mirrored.dilate(g.size).rotate(g.angle * galsim.radians).shift(g.x, g.y))
    if isinstance(g, Disc):
        import galsim

        angle, shape = np.arccos(g.cos_i) * galsim.radians, g.height / g.scale
        disc = galsim.InclinedExponential(angle, scale_radius=g.scale, scale_h_over_r=shape)
        return plane.profile(disc.rotate(g.angle * galsim.radians).shift(g.x, g.y))
    if g.n > STEEPEST:
        along_y, along_x = plane.shift(g.x, g.y)
        return _steep(plane, g) * along_y[:, None] * along_x[None, :]
    import galsim

    accurate = galsim.GSParams(maxk_threshold=1e-5, kvalue_accuracy=1e-7, xvalue_accuracy=1e-7)
    profile = galsim.Sersic(g.n, half_light_radius=g.radius, gsparams=accurate)
    return plane.profile(profile.shear(q=g.q, beta=g.angle * galsim.radians).shift(g.x, g.y))


def _steep(plane: Plane, g: Galaxy) -> np.ndarray:
    """The same at the origin, where GalSim has no such n: SciPy's Hankel transform."""
    cos, sin = np.cos(g.angle), np.sin(g.angle)
    fx, fy = plane.fx[None, :], plane.fy[:, None]
    u, v = cos * fx + sin * fy, cos * fy - sin * fx
    k = 2 * np.pi * g.radius * np.sqrt(u**2 / g.q + v**2 * g.q)
    log_k, transform = hankel(g.n)
    return np.interp(np.log(np.maximum(k, 1e-9)), log_k, transform)


@lru_cache(maxsize=64)
def hankel(n: float) -> tuple[np.ndarray, np.ndarray]:
    """ln k and the Fourier transform of a round Sersic profile of unit flux and half-light radius."""
    step, points = 0.002, 2**15
    offset = fhtoffset(step, mu=0.0)
    log_r = (np.arange(points) - (points - 1) / 2) * step
    r, k = np.exp(log_r), np.exp(log_r + offset)
    return np.log(k), 2 * np.pi * fht(r * sersic(r, 0 * r, n, 1.0, 1.0, 0.0), step, mu=0.0, offset=offset) / k


def midpoints(view: View) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the points at which light is sampled, (side, side) each, subsamples x subsamples a cell [arcsec]."""
    side = view.npix * view.cells * view.subsamples
    axis = (np.arange(side) - (side - 1) / 2) * (view.npix * view.pixel_scale / side)
    x, y = np.meshgrid(axis, axis)
    return x, y


def on_cells(view: View, brightness: np.ndarray) -> np.ndarray:
    """Light in each cell (cells npix, cells npix) of a surface brightness [1/arcsec^2] at the midpoints."""
    side, parts = view.npix * view.cells, view.subsamples
    mean: np.ndarray = brightness.reshape(side, parts, side, parts).mean((1, 3))
    return mean * (view.pixel_scale / view.cells) ** 2


def sample(view: View, brightness: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Light in each cell (cells npix, cells npix) of a surface brightness [1/arcsec^2] as a function of x and y."""
    return on_cells(view, brightness(*midpoints(view)))


def sersic(x: np.ndarray, y: np.ndarray, n: float, radius: float, q: float, angle: float) -> np.ndarray:
    """Unit-flux Sersic surface brightness [1/arcsec^2] at offsets from its centre [arcsec]."""
    cos, sin = np.cos(angle), np.sin(angle)
    u, v = cos * x + sin * y, cos * y - sin * x
    b = gammaincinv(2 * n, 0.5)
    r = np.sqrt(q * u**2 + v**2 / q) / radius
    total = 2 * np.pi * n * np.exp(gammaln(2 * n) - 2 * n * np.log(b)) * radius**2
    return np.exp(-b * r ** (1 / n)) / total
