"""The PSF once more, slowly: by GalSim, and by an FFT of the pupil."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import scipy.fft
from scipy.special import gamma, kv

from twin.numerics.fourier import Grid
from twin.numerics.zernike import zernike
from twin.observatory.psf import ARCSEC, Optics
from twin.observatory.state import ImagerState


def covariance(state: ImagerState, i: int, b: int, pixel_scale: float) -> np.ndarray:
    """(2, 2) covariance [arcsec^2] of image motion and resampling."""
    xx, yy, xy = np.asarray(state.jitter[i, b], float)
    blur = (float(state.resampling[i, b]) * pixel_scale) ** 2
    return np.array([[xx + blur, xy], [xy, yy + blur]])


# GalSim

_FOLDING = 2.5e-3


@cache
def _aperture(diameter: float, obscuration: float, wavelength: float) -> Any:
    import galsim

    # GalSim's pupil is of whole pixels: at its default of 5e-3 it errs by 2e-4 of the PSF's peak
    params = galsim.GSParams(folding_threshold=_FOLDING)
    return galsim.Aperture(
        diam=diameter, lam=wavelength * 1e9, obscuration=obscuration, oversampling=1, pad_factor=3, gsparams=params
    )


def galsim_psf(optics: Optics, state: ImagerState, i: int, b: int) -> Any:
    """GalSim's profile of band b of exposure i: von Karman x annular aberrated pupil x Gaussian, without the pixel."""
    import galsim

    fine = galsim.GSParams(folding_threshold=1e-4, maxk_threshold=1e-5, kvalue_accuracy=1e-7, maximum_fft_size=16384)
    wavelength = optics.wavelengths[b]
    waves = [0, 0, 0, 0, *(np.asarray(state.aberration[i], float) / wavelength)]
    pupil = galsim.OpticalPSF(
        lam=wavelength * 1e9,
        diam=optics.diameter,
        aper=_aperture(optics.diameter, optics.obscuration, wavelength),
        aberrations=waves,
        gsparams=galsim.GSParams(folding_threshold=_FOLDING),
    )
    s = covariance(state, i, b, 0.25 if optics.atmosphere else 0.0)
    trace = s[0, 0] + s[1, 1]
    motion = galsim.Gaussian(sigma=np.linalg.det(s) ** 0.25).shear(
        e1=(s[0, 0] - s[1, 1]) / trace, e2=2 * s[0, 1] / trace
    )
    parts = [pupil, motion]
    if optics.atmosphere:
        epochs = zip(*(np.asarray(v[i, b], float) for v in (state.weight, state.r0, state.outer_scale)), strict=True)
        air = [w * galsim.VonKarman(lam=wavelength * 1e9, r0=r0, L0=scale, gsparams=fine) for w, r0, scale in epochs]
        parts.append(galsim.Sum(air))
    # the pupil's own coarser parameters stay with it: at these its image would take gigabytes
    whole = galsim.Convolve(parts, gsparams=fine, propagate_gsparams=False)
    return whole.shift(*np.asarray(state.offset[i, b], float))


# the pupil's autocorrelation


def _annulus(radius: np.ndarray, obscuration: float) -> np.ndarray:
    return (radius <= 1) & (radius >= obscuration)


@cache
def _pupil(diameter: float, obscuration: float, wavelength: float, spacing: float, fine: int, modes: int):
    """Lattice side, lit points, lit share and Zernike modes; `fine` lattice steps a frequency step of the grid."""
    step = wavelength / ARCSEC * spacing / (diameter / 2) / fine
    n = int(np.ceil(2 / step)) + 4
    axis = (np.arange(n) - (n - 1) / 2) * step
    radius = np.hypot(axis[:, None], axis[None, :])
    share = _annulus(radius, obscuration).astype(float)
    iy, ix = np.nonzero((np.abs(radius - 1) < step) | (np.abs(radius - obscuration) < step))
    sub = ((np.arange(8) + 0.5) / 8 - 0.5) * step
    around = np.hypot(axis[iy][:, None, None] + sub[:, None], axis[ix][:, None, None] + sub[None, :])
    share[iy, ix] = _annulus(around, obscuration).mean((1, 2))
    iy, ix = np.nonzero(share)
    return n, iy, ix, share[iy, ix], np.stack([zernike(j + 4, axis[ix], axis[iy]) for j in range(modes)])


def pupil_otf(optics: Optics, b: int, opd: np.ndarray, grid: Grid, fine: int = 3) -> np.ndarray:
    """Autocorrelation (2 half, half) of the aberrated pupil over its area, at the grid's frequencies.

    `fine` = 3 differs from 8 by 5e-6 of the PSF's peak, 2 by 4e-5. Single precision costs 1e-6.
    """
    wavelength, half = optics.wavelengths[b], grid.half
    n, iy, ix, share, modes = _pupil(optics.diameter, optics.obscuration, wavelength, grid.step, fine, len(opd))
    side = scipy.fft.next_fast_len(min(n + fine * half, 2 * n))
    field = np.zeros((side, side), np.complex64)
    field[iy, ix] = share * np.exp(2j * np.pi / wavelength * (opd @ modes))
    correlation = scipy.fft.ifft2(np.abs(scipy.fft.fft2(field)) ** 2) / share.sum()
    correlation[0, 0] = 1  # grey rims would count as their squares
    lag = fine * np.arange(half)
    inside = lag < n
    lag = np.where(inside, lag, 0)
    both, kept = np.concatenate([lag, -lag]), np.concatenate([inside, inside])
    return np.where(kept[:, None] & inside[None, :], correlation[both][:, lag], 0)


def structure(r: np.ndarray, r0: float, outer_scale: float) -> np.ndarray:
    """Von Karman's phase structure function [rad^2] with SciPy's Bessel function."""
    x = 2 * np.pi * r / outer_scale
    front = 2 * gamma(11 / 6) / (2 ** (5 / 6) * np.pi ** (8 / 3)) * (24 / 5 * gamma(6 / 5)) ** (5 / 6)
    start = gamma(5 / 6) / 2 ** (1 / 6)
    bessel = np.full(x.shape, start)
    bessel[x > 0] = x[x > 0] ** (5 / 6) * kv(5 / 6, x[x > 0])
    return front * (outer_scale / r0) ** (5 / 3) * (start - bessel)


def fft_psf(optics: Optics, state: ImagerState, i: int, b: int, grid: Grid) -> np.ndarray:
    """PSF stamp (npix, npix) of band b of exposure i, pixel integrated."""
    fx = np.arange(grid.half) * grid.step
    fy = np.concatenate([fx, -fx[1:]])
    kept = np.delete(np.arange(2 * grid.half), grid.half)  # the row ky = 0 stands twice
    otf = pupil_otf(optics, b, np.asarray(state.aberration[i], float), grid)[kept]
    if optics.atmosphere:
        r = np.hypot(fx[None, :], fy[:, None]) * optics.wavelengths[b] / ARCSEC
        epochs = zip(*(np.asarray(v[i, b], float) for v in (state.weight, state.r0, state.outer_scale)), strict=True)
        otf = otf * sum(w * np.exp(-0.5 * structure(r, r0, scale)) for w, r0, scale in epochs)
    s = covariance(state, i, b, grid.pixel_scale)
    form = s[0, 0] * fx[None, :] ** 2 + s[1, 1] * fy[:, None] ** 2 + 2 * s[0, 1] * fx[None, :] * fy[:, None]
    if optics.stack_pixel:  # isotropic resampling
        otf = otf / np.sqrt(1 + np.exp((np.hypot(fx[None, :], fy[:, None]) * optics.stack_pixel - 0.53) / 0.027))
    dx, dy = np.asarray(state.offset[i, b], float)
    otf = otf * np.exp(-2 * np.pi**2 * form - 2j * np.pi * (fx[None, :] * dx + fy[:, None] * dy))
    otf = otf * np.sinc(fx * grid.pixel_scale)[None, :] * np.sinc(fy * grid.pixel_scale)[:, None]
    once = np.where(fx == 0, 1.0, 2.0)  # frequencies fx > 0 stand for -fx too
    along_x = (otf * once) @ np.exp(2j * np.pi * np.outer(fx, grid.centres))
    return np.real(np.exp(2j * np.pi * np.outer(grid.centres, fy)) @ along_x) / (grid.npix * grid.pad) ** 2
