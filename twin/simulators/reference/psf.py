"""The optical transfer function once more: GalSim's Airy, an FFT of the aberrated pupil, SciPy's Bessel functions."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.fft
from scipy.interpolate import CubicSpline, RectBivariateSpline
from scipy.special import gamma, kv

from twin.observatory.psf import Optics
from twin.observatory.state import ImagerState
from twin.simulators.reference.view import Plane, View

ARCSEC = np.pi / 180 / 3600
_LATTICE = 480  # points across the pupil: 960 differ by 2e-6 of the PSF's peak for the shipped telescopes
_RADII = 1500  # points of the atmosphere's radial transfer function
_LEFT = 1e-7  # transfer below which frequencies are left out


def plane(view: View, state: ImagerState) -> Plane:
    """A plane that holds all frequencies that reach the detector in any band."""
    reach = 0.0
    for b, wavelength in enumerate(view.optics.wavelengths):
        r = np.linspace(0, view.optics.diameter, 400)
        left = np.ones_like(r)
        if view.optics.atmosphere:
            least = 1 - np.hypot(*np.asarray(state.anisotropy[b], float))
            left = sum(w * np.exp(-half * least) for w, half in _epochs(state, b, r))
        reach = max(reach, float(r[left > _LEFT].max()) / wavelength * ARCSEC)
    return Plane(view, max(1, int(np.ceil(reach / view.nyquist - 1e-9))))


def transfer(plane: Plane, state: ImagerState, b: int) -> np.ndarray:
    """OTF of band b on the plane, without the pixel: telescope, atmosphere, image motion, resampling, registration."""
    import galsim

    view, optics = plane.view, plane.view.optics
    wavelength = optics.wavelengths[b]
    metres = wavelength / ARCSEC  # of pupil a [cycle/arcsec]
    airy = galsim.Airy(lam=wavelength * 1e9, diam=optics.diameter, obscuration=optics.obscuration)
    otf = plane.profile(airy).astype(complex)
    opd = np.asarray(state.aberration, float)
    if np.any(opd):
        otf += _aberrated(optics, wavelength, opd, plane.fy * metres, plane.fx * metres)
    if optics.atmosphere:
        otf *= _air(plane, state, b, metres)
    xx, yy, xy = np.asarray(state.jitter[b], float)
    blur = (float(state.resampling[b]) * view.pixel_scale) ** 2
    fx, fy = plane.fx[None, :], plane.fy[:, None]
    otf *= np.exp(-2 * np.pi**2 * ((xx + blur) * fx**2 + (yy + blur) * fy**2 + 2 * xy * fx * fy))
    if optics.stack_pixel:  # isotropic resampling, see twin.observatory.resampling
        otf /= np.sqrt(1 + np.exp((np.hypot(fx, fy) * optics.stack_pixel - 0.53) / 0.027))
    along_y, along_x = plane.shift(*np.asarray(state.offset[b], float))
    return otf * along_y[:, None] * along_x[None, :]


@lru_cache(maxsize=8)
def _pupil(obscuration: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (P, 2) of a lattice on the annulus of outer radius 1, and the lit share of each, on _LATTICE squared."""
    fine = 8
    axis = ((np.arange(_LATTICE * fine) + 0.5) / fine - _LATTICE / 2) * (2 / _LATTICE)
    square = axis[:, None] ** 2 + axis[None, :] ** 2
    lit = ((square <= 1) & (square >= obscuration**2)).astype(np.float32)
    share = lit.reshape(_LATTICE, fine, _LATTICE, fine).mean((1, 3)).astype(float)
    centre = axis.reshape(_LATTICE, fine).mean(1)
    return centre, share


@lru_cache(maxsize=8)
def _correlation(obscuration: float, phase: bytes) -> np.ndarray:
    """Autocorrelation (2 L, 2 L) of the pupil with aberrations of Noll z4.. [rad, as float64 bytes], lag 0 first."""
    from galsim.zernike import Zernike

    axis, share = _pupil(obscuration)
    x, y = np.meshgrid(axis, axis)
    angle = Zernike([0, 0, 0, 0, *np.frombuffer(phase)]).evalCartesian(x, y)
    side = 2 * _LATTICE
    field = np.zeros((side, side), complex)
    field[:_LATTICE, :_LATTICE] = share * np.exp(1j * angle)
    found: np.ndarray = scipy.fft.ifft2(np.abs(scipy.fft.fft2(field)) ** 2) / share.sum()
    return found


def _aberrated(optics: Optics, wavelength: float, opd: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What aberrations add to the OTF at shifts y (size,) and x (half,) of the pupil [m].

    The difference of two autocorrelations on the same lattice: its steps at the rim cancel, and it is smooth enough for
    splines where the OTF itself has a cusp.
    """
    change = _correlation(optics.obscuration, (2 * np.pi / wavelength * opd).tobytes())
    change = change - _correlation(optics.obscuration, np.zeros(1).tobytes())
    step = optics.diameter / _LATTICE
    inside_y, inside_x = np.abs(y) <= optics.diameter, x <= optics.diameter
    reach = min(int(np.ceil(max(y[inside_y].max(), x[inside_x].max()) / step)) + 8, _LATTICE - 1)
    lags_y, lags_x = np.arange(-reach, reach + 1), np.arange(-8, reach + 1)
    part = change[np.ix_(lags_y, lags_x)]
    out = np.zeros((len(y), len(x)), complex)
    for values, unit in ((part.real, 1), (part.imag, 1j)):
        spline = RectBivariateSpline(lags_y * step, lags_x * step, values)
        out[np.ix_(inside_y, inside_x)] += unit * spline(y[inside_y], x[inside_x])
    return out


def _structure(r: np.ndarray, r0: float, outer_scale: float) -> np.ndarray:
    """Von Karman's phase structure function [rad^2] (Conan 2000, PhD thesis; Tokovinin 2002, PASP 114, 1156)."""
    x = 2 * np.pi * r / outer_scale
    front = 2 * gamma(11 / 6) / (2 ** (5 / 6) * np.pi ** (8 / 3)) * (24 / 5 * gamma(6 / 5)) ** (5 / 6)
    start = gamma(5 / 6) / 2 ** (1 / 6)
    bessel = np.full(x.shape, start)
    bessel[x > 0] = x[x > 0] ** (5 / 6) * kv(5 / 6, x[x > 0])
    return front * (outer_scale / r0) ** (5 / 3) * (start - bessel)


def _epochs(state: ImagerState, b: int, r: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """(weight, half the structure function at shifts r [m]) of the exposures of a stack."""
    rows = zip(*(np.asarray(v[b], float) for v in (state.weight, state.r0, state.outer_scale)), strict=True)
    return [(w, 0.5 * _structure(r, r0, scale)) for w, r0, scale in rows if w > 0]


def _air(plane: Plane, state: ImagerState, b: int, metres: float) -> np.ndarray:
    """Long-exposure transfer function of the atmosphere, with what a finite exposure leaves of the speckles."""
    r = plane.radius * metres
    nodes = np.linspace(0, np.sqrt(r.max()), _RADII)  # of the root of r: r^(5/3) is smoother there
    a1, a2 = np.asarray(state.anisotropy[b], float)
    square = np.maximum(plane.radius**2, 1e-30)
    fx, fy = plane.fx[None, :], plane.fy[:, None]
    turned = 1 + a1 * (fx**2 - fy**2) / square + a2 * 2 * fx * fy / square if a1 or a2 else 1.0
    root = np.sqrt(r)
    parts = [w * np.exp(-CubicSpline(nodes, half)(root) * turned) for w, half in _epochs(state, b, nodes**2)]
    found: np.ndarray = sum(parts[1:], parts[0])
    return found
