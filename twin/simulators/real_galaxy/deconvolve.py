"""Observed galaxies freed of their PSF, once and in float64 (GalSim's RealGalaxy: Rowe+ 2015, Astron. Comput. 10, 121).

An image I of a galaxy g is I = P g + n in Fourier space, with P the transform of the effective PSF (pixel included) and
n the noise, of power N. What the original PSF has cut cannot be had back: I / P is kept where |P| is above `level`,

    g = W I / P,   W = 1 / (1 + (level / |P|)^8),

which leaves 1e-3 of what it should at 2.4 times the level and loses all of it below a half of it. A telescope sharper
than that shows the galaxy as if the light beyond were not there: smoother than it is, by what the original resolved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from twin.io.real_galaxy import Catalogue, RealGalaxy
from twin.schema import UserError

LEVEL = 0.05
"""Of the original OTF: what it cut deeper is left out."""
SMOOTH = 0.03
"""Standard deviation of the Gaussian that a brightness map is smoothed with [arcsec]."""
TAPS = 4  # of a cubic B-spline
_SIGNIFICANT = 2.0  # standard deviations of noise above which a pixel of a map is the galaxy's
_LEAST_GAIN = 1e-4  # of W: frequencies beyond are not stored
_MOST_BYTES = 2**30


@dataclass(frozen=True)
class Table:
    """G deconvolved galaxies of unit flux, as arrays for `twin.simulators.real_galaxy.light`.

    spectrum   (G, R, C, 2) real and imaginary part at frequencies (row - (R - 1) / 2, column - TAPS / 2) * step, made
               for interpolation with a cubic B-spline; the origin is the middle of the stamp
    power      (G, R, C) of the noise in it, for a galaxy of unit flux [1/arcsec^2]
    step       (G,) [cycle/arcsec]
    size       (G, 2) sides of the original stamp along y and x [arcsec]
    light      (G, S, S) surface brightness of unit flux in all [1/arcsec^2], without noise about the galaxy
    scale      (G,) pixel of `light` [arcsec]
    resolved   (G,) frequency up to which the original PSF shows the galaxy, azimuthal mean |P| = `level`
               [cycle/arcsec]
    """

    spectrum: np.ndarray
    power: np.ndarray
    step: np.ndarray
    size: np.ndarray
    light: np.ndarray
    scale: np.ndarray
    resolved: np.ndarray

    def __len__(self) -> int:
        return len(self.step)


def build(catalogue: Catalogue, level: float = LEVEL, smooth: float = SMOOTH) -> Table:
    """The table of a catalogue. Raises UserError for a galaxy that does not stand out of its noise, and for more
    galaxies than a GiB holds."""
    galaxies = catalogue.galaxies
    largest = max(max(g.image.shape) for g in galaxies)
    side = 32 * int(np.ceil(2 * largest / 32))  # twice the stamp: periodic copies of it stay apart
    needed = len(galaxies) * side * side * 4 * 4
    if needed > _MOST_BYTES:
        raise UserError(
            f"{len(galaxies)} galaxies of up to {largest} pixels need {needed / 2**30:.1f} GiB, more than 1"
        )
    parts = [_deconvolve(g, side, level) for g in galaxies]
    reach = max(p.reach for p in parts)
    maps = [_brightness(g, p, smooth) for g, p in zip(galaxies, parts, strict=True)]
    room = max(max(m.shape) for m in maps)
    light = np.zeros((len(maps), room, room), np.float32)
    for k, one in enumerate(maps):
        ny, nx = one.shape
        light[k, (room - ny) // 2 : (room - ny) // 2 + ny, (room - nx) // 2 : (room - nx) // 2 + nx] = one
    scale = np.array([g.pixel_scale for g in galaxies])
    return Table(
        np.stack([_for_splines(p.spectrum, reach) for p in parts]),
        np.stack([_cut(p.power, reach) for p in parts]).astype(np.float32),
        (1 / (side * scale)).astype(np.float32),
        np.array([g.image.shape for g in galaxies], np.float32) * scale[:, None].astype(np.float32),
        light,
        scale.astype(np.float32),
        np.array([p.resolved for p in parts], np.float32),
    )


@dataclass(frozen=True)
class _Part:
    """On the (side, side) frequencies of np.fft: `spectrum` W I / P of unit flux and the noise's `power` in it
    [1/arcsec^2]; `inverse` W / P; the `noise` of a pixel of I [count^2]; `image` I [count]. `reach` in steps,
    `resolved` [cycle/arcsec]."""

    spectrum: np.ndarray
    power: np.ndarray
    inverse: np.ndarray
    noise: np.ndarray
    image: np.ndarray
    reach: int
    resolved: float


def _transform(stamp: np.ndarray, side: int) -> np.ndarray:
    """Transform of a stamp about its middle, which for even sides lies on a pixel corner."""
    k = np.fft.fftfreq(side)
    ny, nx = stamp.shape
    padded = np.fft.fft2(stamp, (side, side))
    phase_y, phase_x = (np.exp(2j * np.pi * k * ((n - 1) / 2)) for n in (ny, nx))
    found: np.ndarray = padded * phase_y[:, None] * phase_x
    found[side // 2], found[:, side // 2] = 0, 0  # has no partner, and half a pixel's shift leaves it no real one
    return found


def _radius(side: int) -> np.ndarray:
    k = np.fft.fftfreq(side, 1 / side)
    return np.hypot(k[:, None], k)


def _noise_power(galaxy: RealGalaxy, side: int) -> np.ndarray:
    """Variance of the transform of a stamp full of noise, per pixel of it [count^2]."""
    if galaxy.correlation is None:
        return np.full((side, side), galaxy.noise_variance)
    lags = [np.arange(n) - n // 2 for n in galaxy.correlation.shape]
    wrapped = np.zeros((side, side))
    np.add.at(wrapped, (lags[0][:, None] % side, lags[1][None, :] % side), galaxy.correlation)
    return galaxy.noise_variance * np.maximum(np.fft.fft2(wrapped).real, 0)


def _deconvolve(galaxy: RealGalaxy, side: int, level: float) -> _Part:
    psf, image = _transform(galaxy.psf, side), _transform(galaxy.image, side)
    strength = np.abs(psf)
    kept = np.maximum(strength, 1e-12)
    inverse = np.conj(psf) / kept**2 / (1 + (level / kept) ** 8)
    noise, flux = _noise_power(galaxy, side), galaxy.image.sum()
    gain = np.abs(inverse) * strength
    gain[side // 2], gain[:, side // 2] = 0, 0
    rings = _radius(side).astype(int).ravel()
    mean = np.bincount(rings, strength.ravel()) / np.bincount(rings)
    resolved = float(np.argmax(np.append(mean[: side // 2], 0) < level)) / (side * galaxy.pixel_scale)
    k = np.abs(np.fft.fftfreq(side, 1 / side))
    reach = int(np.maximum(k[:, None], k)[gain > _LEAST_GAIN].max()) if (gain > _LEAST_GAIN).any() else 0
    power = np.abs(inverse) ** 2 * noise / (galaxy.pixel_scale * flux) ** 2
    return _Part(image * inverse / flux, power, inverse, noise, image, reach, resolved)


def _cut(plane: np.ndarray, reach: int) -> np.ndarray:
    """Frequencies -reach .. reach along y and 0 .. reach along x, with TAPS / 2 more on all sides."""
    side, edge = plane.shape[0], TAPS // 2
    rows = np.arange(-reach - edge, reach + edge + 1)
    columns = np.arange(-edge, reach + edge + 1)
    inside = (np.abs(rows) < side // 2)[:, None] & (np.abs(columns) < side // 2)
    found: np.ndarray = np.where(inside, plane[np.ix_(rows % side, columns % side)], 0)
    return found


def _for_splines(spectrum: np.ndarray, reach: int) -> np.ndarray:
    """A spectrum whose interpolation with cubic B-splines, which multiplies the image by sinc^4(x / side), is right."""
    side = spectrum.shape[0]
    x = np.fft.fftfreq(side)
    window = np.sinc(x) ** 4
    image = np.fft.ifft2(spectrum).real / (window[:, None] * window)
    kept = _cut(np.fft.fft2(image), reach)
    return np.stack([kept.real, kept.imag], -1).astype(np.float32)


def _brightness(galaxy: RealGalaxy, part: _Part, smooth: float) -> np.ndarray:
    """Surface brightness (y, x) without noise: Wiener's filter with the image's own power, by rings, and a Gaussian;
    then cut to where it stands out of the noise left, with soft edges, and no less than 0."""
    side, (ny, nx) = part.spectrum.shape[0], galaxy.image.shape
    rings = _radius(side).astype(int)
    count = np.bincount(rings.ravel())
    whole = np.bincount(rings.ravel(), (np.abs(part.image) ** 2).ravel()) / count
    noise = np.bincount(rings.ravel(), part.noise.ravel()) / count * (ny * nx)
    wiener = (np.maximum(whole - noise, 0) / np.maximum(whole, 1e-300))[rings]
    k = _radius(side) / (side * galaxy.pixel_scale)
    filtered = wiener * np.exp(-2 * (np.pi * smooth * k) ** 2)
    image = np.fft.ifft2(part.spectrum * filtered).real
    rms = np.sqrt(np.mean(part.noise * (np.abs(part.inverse) * filtered) ** 2)) / abs(galaxy.image.sum())
    rows, columns = (np.arange(-(n // 2), n // 2 + 1) for n in (ny, nx))  # about the middle of the stamp
    stamp = image[np.ix_(rows, columns)]
    found, _ = ndimage.label(ndimage.gaussian_filter(stamp, 1.0) > _SIGNIFICANT * rms)
    brightest = np.unravel_index(np.argmax(np.where(_central(stamp.shape), stamp, -np.inf)), stamp.shape)
    if found[brightest] == 0:
        raise UserError(f"galaxy {galaxy.ident} does not stand out of its noise")
    mask = ndimage.binary_dilation(found == found[brightest], iterations=2)
    mask[:2], mask[-2:], mask[:, :2], mask[:, -2:] = 0, 0, 0, 0
    soft = ndimage.gaussian_filter(mask.astype(float), 1.0, mode="constant")
    kept = np.pad(np.maximum(stamp, 0) * soft, 1)
    return kept / (kept.sum() * galaxy.pixel_scale**2)


def _central(shape: tuple[int, ...]) -> np.ndarray:
    """The middle half of a stamp along both axes."""
    y, x = (np.abs(np.arange(n) - (n - 1) / 2) <= n / 4 for n in shape)
    found: np.ndarray = y[:, None] & x
    return found
