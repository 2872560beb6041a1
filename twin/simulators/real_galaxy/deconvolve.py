"""Observed galaxies freed of their PSF, once and in float64 (GalSim's RealGalaxy: Rowe+ 2015, Astron. Comput. 10, 121).

An image I of a galaxy g is I = P g + n in Fourier space, with P the transform of the effective PSF (pixel included) and
n the noise, of power N. What the original PSF has cut cannot be had back: I / P is kept where |P| is above `level`,

    g = W I / P,   W = 1 / (1 + (level / |P|)^8),

which leaves 1e-3 of what it should at 2.4 times the level and loses all of it below a half of it. A telescope sharper
than that shows the galaxy as if the light beyond were not there: smoother than it is, by what the original resolved.

Noise is kept as it was observed, or removed: Wiener's filter S / (S + N), and a soft mask about what then stands out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import ndimage

from twin.io.real_galaxy import Catalogue, RealGalaxy
from twin.schema import UserError

LEVEL = 0.05
"""Of the original OTF: what it cut deeper is left out."""
SMOOTH = 0.03
"""Standard deviation of the Gaussian that a brightness map is smoothed with [arcsec]."""
TAPS = 4  # of a cubic B-spline
_SIGNIFICANT = 3.0  # standard deviations of noise above which a pixel of a map is the galaxy's
_DETECT = 0.06  # standard deviation of the Gaussian through which that is looked for [arcsec]
_LEAST_GAIN = 1e-4  # of W: frequencies beyond are not stored
_MOST_MIB = 512  # a compiled program carries the table with it


@dataclass(frozen=True)
class Table:
    """G deconvolved galaxies of unit flux, as arrays for `twin.simulators.real_galaxy.light`.

    spectrum   (G, R, C, 2) real and imaginary part at frequencies (row - (R - 1) / 2, column - TAPS / 2) * step, made
               for interpolation with a cubic B-spline; the origin is the middle of the stamp
    power      (G, R, C) of the noise in it, for a galaxy of unit flux [1/arcsec^2]
    step       (G,) [cycle/arcsec]
    size       (G, 2) sides of the original stamp along y and x [arcsec]
    stamps     G images (odd sides) of the spectra, which the kernels do not use: for the witness
    light      (G, S, S) surface brightness of unit flux in all [1/arcsec^2], without noise about the galaxy
    scale      (G,) pixel of `light` [arcsec]
    magnitude  (G,) in the catalogue
    radius     (G,) of half the light of `light` about its own middle [arcsec]
    resolved   (G,) frequency up to which the original PSF shows the galaxy, azimuthal mean |P| = `level`
               [cycle/arcsec]
    """

    spectrum: np.ndarray
    power: np.ndarray
    step: np.ndarray
    size: np.ndarray
    stamps: tuple[np.ndarray, ...]
    light: np.ndarray
    scale: np.ndarray
    magnitude: np.ndarray
    radius: np.ndarray
    resolved: np.ndarray

    def __len__(self) -> int:
        return len(self.step)


def build(
    catalogue: Catalogue, level: float = LEVEL, smooth: float = SMOOTH, noise: Literal["remove", "keep"] = "keep"
) -> Table:
    """The table of a catalogue; `noise` is that of the spectra, brightness maps have it always removed.

    Raises UserError for a galaxy that does not stand out of its noise, and for more galaxies than 512 MiB hold.
    """
    galaxies = catalogue.galaxies
    largest = max(max(g.image.shape) for g in galaxies)
    side = 32 * int(np.ceil(2 * largest / 32))  # twice the stamp: periodic copies of it stay apart
    needed = len(galaxies) * 2 * side * side * 4 / 2**20
    if needed > _MOST_MIB:
        problem = f"{len(galaxies)} galaxies of up to {largest} pixels need {needed:.0f} MiB, more than {_MOST_MIB}"
        raise UserError(f"{problem}: make a catalogue of fewer")
    parts = [_deconvolve(g, side, level) for g in galaxies]
    reach = max(p.reach for p in parts)
    clean = [_clean(g, p) for g, p in zip(galaxies, parts, strict=True)]
    maps = [_brightness(g, p, smooth) for g, p in zip(galaxies, clean, strict=True)]
    drawn = clean if noise == "remove" else parts
    room = max(max(m.shape) for m in maps)
    light = np.zeros((len(maps), room, room), np.float32)
    for k, one in enumerate(maps):
        ny, nx = one.shape
        light[k, (room - ny) // 2 : (room - ny) // 2 + ny, (room - nx) // 2 : (room - nx) // 2 + nx] = one
    scale = np.array([g.pixel_scale for g in galaxies])
    return Table(
        np.stack([_for_splines(p.spectrum, reach) for p in drawn]),
        np.stack([_cut(p.power, reach) for p in drawn]).astype(np.float32),
        (1 / (side * scale)).astype(np.float32),
        np.array([g.image.shape for g in galaxies], np.float32) * scale[:, None].astype(np.float32),
        tuple(_stamp(p.spectrum, (side - 2, side - 2)).astype(np.float32) for p in drawn),
        light,
        scale.astype(np.float32),
        np.array([g.magnitude for g in galaxies], np.float32),
        np.array([_half_light(m) for m in maps], np.float32) * scale.astype(np.float32),
        np.array([p.resolved for p in parts], np.float32),
    )


@dataclass(frozen=True)
class _Part:
    """On the (side, side) frequencies of np.fft: `spectrum` W I / P of unit flux and the noise's `power` in it
    [1/arcsec^2]; `inverse` W / P; the `noise` of a pixel of I [count^2]; `image` I [count]. `reach` in steps,
    `resolved` [cycle/arcsec]; `mask` of a clean galaxy, on odd sides."""

    spectrum: np.ndarray
    power: np.ndarray
    inverse: np.ndarray
    noise: np.ndarray
    image: np.ndarray
    reach: int
    resolved: float
    mask: np.ndarray


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
    return _Part(image * inverse / flux, power, inverse, noise, image, reach, resolved, np.ones(()))


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


def _wiener(galaxy: RealGalaxy, part: _Part) -> np.ndarray:
    """S / (S + N) at each frequency, of the image's own power S by rings and its noise's N (Wiener's filter)."""
    side, (ny, nx) = part.spectrum.shape[0], galaxy.image.shape
    rings = _radius(side).astype(int)
    count = np.bincount(rings.ravel())
    whole = np.bincount(rings.ravel(), (np.abs(part.image) ** 2).ravel()) / count
    noise = np.bincount(rings.ravel(), part.noise.ravel()) / count * (ny * nx)
    share = ndimage.gaussian_filter1d(np.maximum(whole - noise, 0) / np.maximum(whole, 1e-300), side / 64)
    if not share[0] > 0:
        raise UserError(f"galaxy {galaxy.ident} does not stand out of its noise")
    # never rising: what comes back up at high frequencies is chance
    found: np.ndarray = np.minimum.accumulate(share / share[0])[rings]
    return found


def _stamp(spectrum: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The image of a spectrum on pixels about the middle of a stamp, of odd sides no smaller than it."""
    rows, columns = (np.arange(-(n // 2), n // 2 + 1) for n in shape)
    found: np.ndarray = np.fft.ifft2(spectrum).real[np.ix_(rows, columns)]
    return found


def _mask(galaxy: RealGalaxy, part: _Part, filtered: np.ndarray) -> np.ndarray:
    """1 where the galaxy, filtered, stands out of the noise left, 0 elsewhere, with soft edges."""
    shape = galaxy.image.shape
    gaussian = np.exp(-2 * (np.pi * _DETECT * _radius(len(filtered)) / (len(filtered) * galaxy.pixel_scale)) ** 2)
    stamp = _stamp(part.spectrum * filtered * gaussian, (shape[0], shape[1]))
    rms = np.sqrt(np.mean(part.noise * (np.abs(part.inverse) * filtered * gaussian) ** 2)) / galaxy.image.sum()
    edge = np.ones(stamp.shape, bool)
    edge[tuple(slice(n // 8, n - n // 8) for n in stamp.shape)] = False
    # correlated noise that the catalogue takes for white is larger than it says
    rms = max(rms, 1.4826 * float(np.median(np.abs(stamp[edge] - np.median(stamp[edge])))))
    found, _ = ndimage.label(ndimage.binary_opening(stamp > _SIGNIFICANT * rms))  # without threads of chance
    brightest = np.unravel_index(np.argmax(np.where(_central(stamp.shape), stamp, -np.inf)), stamp.shape)
    if found[brightest] == 0:
        raise UserError(f"galaxy {galaxy.ident} does not stand out of its noise")
    mask = ndimage.binary_dilation(found == found[brightest], iterations=3)
    mask[:2], mask[-2:], mask[:, :2], mask[:, -2:] = 0, 0, 0, 0
    soft: np.ndarray = ndimage.gaussian_filter(mask.astype(float), 1.0, mode="constant")
    return soft


def _clean(galaxy: RealGalaxy, part: _Part) -> _Part:
    """The galaxy without noise about it and with little in it: Wiener's filter, then what stands out of the noise."""
    wiener, side = _wiener(galaxy, part), len(part.spectrum)
    mask = _mask(galaxy, part, wiener)
    stamp = _stamp(part.spectrum * wiener, (galaxy.image.shape[0], galaxy.image.shape[1])) * mask
    spectrum = _transform(stamp, side) / stamp.sum()
    return replace(part, spectrum=spectrum, power=part.power * wiener**2, mask=mask)


def _brightness(galaxy: RealGalaxy, part: _Part, smooth: float) -> np.ndarray:
    """Surface brightness (y, x) [1/arcsec^2] of a clean galaxy through a Gaussian, no less than 0."""
    k = _radius(len(part.spectrum)) / (len(part.spectrum) * galaxy.pixel_scale)
    gaussian = np.exp(-2 * (np.pi * smooth * k) ** 2)
    stamp = _stamp(part.spectrum * gaussian, (galaxy.image.shape[0], galaxy.image.shape[1]))
    kept = np.pad(np.maximum(stamp, 0) * (part.mask > 0), 1)
    found: np.ndarray = kept / (kept.sum() * galaxy.pixel_scale**2)
    return found


def _half_light(light: np.ndarray) -> float:
    """Radius about the centroid that holds half of the light [pixel]."""
    y, x = np.indices(light.shape)
    r = np.hypot(y - np.average(y, weights=light), x - np.average(x, weights=light)).ravel()
    order = np.argsort(r)
    share = np.cumsum(light.ravel()[order]) / light.sum()
    return float(np.interp(0.5, share, r[order]))


def _central(shape: tuple[int, ...]) -> np.ndarray:
    """The middle half of a stamp along both axes."""
    y, x = (np.abs(np.arange(n) - (n - 1) / 2) <= n / 4 for n in shape)
    found: np.ndarray = y[:, None] & x
    return found
