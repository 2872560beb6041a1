"""Long-exposure PSF of an imager from its State, as an optical transfer function on the frame's own frequencies.

OTF(f) = sum_e w_e exp(-D_e(lambda f) / 2)      von Karman atmosphere, epochs e of a stack (Tokovinin 2002, PASP 114, 1156)
         x T(lambda f) A(lambda f)              diffraction of the annular pupil (O'Neill 1956, JOSA 46, 285) x aberrations
         x exp(-2 pi^2 f' S f)                  image motion with covariance S
         x exp(-2 pi^2 sigma^2 f^2)             resampling kernel of a stack
         x exp(-2 pi i f d)                     misregistration d of the band
A(s) is the mean of exp(i [phi(x) - phi(x - s)]) over the overlap of the pupil with its shifted self: smooth in s, so it is
computed on a coarse grid of shifts and interpolated, while T, which has a cusp at s = 0, is closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.fourier import Grid, Spectrum, image, phasors, product
from twin.numerics.turbulence import long_exposure_otf
from twin.numerics.zernike import zernike
from twin.observatory.state import ImagerState

ARCSEC = np.pi / 180 / 3600
_PUPIL = 32  # pupil samples across the diameter: enough for Zernikes up to the sixth radial order


@dataclass(frozen=True)
class Optics:
    """What of the telescope does not change: diameter [m], linear central obscuration, band wavelengths [m], atmosphere."""

    diameter: float
    obscuration: float
    wavelengths: tuple[float, ...]
    atmosphere: bool = True
    min_outer_scale: float = 5.0


def annular_otf(s: np.ndarray, obscuration: float) -> np.ndarray:
    """Diffraction OTF of an annular pupil at shifts s in units of its diameter; 1 at 0, 0 beyond 1."""

    def overlap(a: float, b: float, d: np.ndarray) -> np.ndarray:
        """Area shared by discs of radii a >= b whose centres are d apart."""
        if b == 0:
            return np.zeros_like(d)
        d_safe = np.clip(d, max(a - b, 1e-12), a + b)
        ca = np.clip((d_safe**2 + a * a - b * b) / (2 * d_safe * a), -1, 1)
        cb = np.clip((d_safe**2 + b * b - a * a) / (2 * d_safe * b), -1, 1)
        kite = np.sqrt(
            np.maximum((-d_safe + a + b) * (d_safe + a - b) * (d_safe - a + b) * (d_safe + a + b), 0)
        )
        area = a * a * np.arccos(ca) + b * b * np.arccos(cb) - 0.5 * kite
        return np.where(d >= a + b, 0.0, np.where(d <= a - b, np.pi * b * b, area))

    d = np.asarray(s, float) * 2  # pupil radius 1
    e = obscuration
    total = overlap(1, 1, d) - 2 * overlap(1, e, d) + overlap(e, e, d)
    return total / (np.pi * (1 - e * e))


@lru_cache(maxsize=16)
def _pupil(obscuration: float, modes: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey pupil (P, P) and Zernike maps z4.. (modes, P, P) on P = _PUPIL samples across the diameter."""
    fine = 8
    axis = (np.arange(_PUPIL * fine) + 0.5) / (_PUPIL * fine) * 2 - 1
    x, y = np.meshgrid(axis, axis)
    inside = (np.hypot(x, y) <= 1) & (np.hypot(x, y) >= obscuration)
    grey = inside.reshape(_PUPIL, fine, _PUPIL, fine).mean((1, 3))
    axis = (np.arange(_PUPIL) + 0.5) / _PUPIL * 2 - 1
    x, y = np.meshgrid(axis, axis)
    maps = np.stack([zernike(j + 4, x, y) for j in range(modes)]) if modes else np.zeros((0, _PUPIL, _PUPIL))
    return grey, maps


def _lagrange(targets: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """(targets, nodes) weights of six-point Lagrange interpolation on uniform nodes."""
    order = 6
    step = nodes[1] - nodes[0]
    t = (targets - nodes[0]) / step
    start = np.clip(np.floor(t).astype(int) - order // 2 + 1, 0, len(nodes) - order)
    weights = np.zeros((len(targets), len(nodes)))
    for a in range(order):
        w = np.ones(len(targets))
        for b in range(order):
            if a != b:
                w *= (t - start - b) / (a - b)
        weights[np.arange(len(targets)), start + a] = w
    return weights


@lru_cache(maxsize=32)
def _shifts(optics: Optics, grid: Grid, band: int):
    """Static matrices of a band: pupil plane -> focal plane, focal plane -> node shifts, nodes -> the grid's frequencies."""
    spacing = optics.diameter / _PUPIL
    reach = min(optics.wavelengths[band] * float(grid.fx[-1]) / ARCSEC / spacing, _PUPIL)
    count = min(int(np.ceil(reach)) + 3, _PUPIL)
    focal = np.arange(2 * _PUPIL)
    to_focal = np.exp(-2j * np.pi * np.outer(focal, np.arange(_PUPIL)) / (2 * _PUPIL))
    nodes = np.arange(-count, count + 1)
    to_nodes = np.exp(2j * np.pi * np.outer(nodes, focal) / (2 * _PUPIL)) / (2 * _PUPIL)
    limit = float(count)
    shift = [
        np.clip(optics.wavelengths[band] * f.astype(float) / ARCSEC / spacing, -limit, limit) for f in (grid.fy, grid.fx)
    ]
    rows, columns = (_lagrange(s, nodes.astype(float)) for s in shift)
    return to_focal, to_nodes, rows, columns


def _aberration(optics: Optics, grid: Grid, band: int, opd: Array) -> Spectrum:
    """A(lambda f) on the grid's half-plane for Zernike amplitudes `opd` (J,) [m]."""
    grey, maps = _pupil(optics.obscuration, opd.shape[-1])
    to_focal, to_nodes, rows, columns = _shifts(optics, grid, band)
    f32 = jnp.float32

    def both(m: np.ndarray) -> tuple[Array, Array]:
        return jnp.asarray(m.real, f32), jnp.asarray(m.imag, f32)

    def autocorrelation(pr: Array, pi: Array) -> Spectrum:
        (fr, fi), (nr, ni) = both(to_focal), both(to_nodes)
        ar, ai = fr @ pr - fi @ pi, fr @ pi + fi @ pr
        er, ei = ar @ fr.T - ai @ fi.T, ar @ fi.T + ai @ fr.T
        power = er * er + ei * ei
        br, bi = nr @ power, ni @ power
        return br @ nr.T - bi @ ni.T, br @ ni.T + bi @ nr.T

    phase = jnp.tensordot(opd, jnp.asarray(maps, f32), 1) * (2 * np.pi / optics.wavelengths[band])
    weight = jnp.asarray(grey, f32)
    nr, ni = autocorrelation(weight * jnp.cos(phase), weight * jnp.sin(phase))
    flat = np.abs(to_nodes @ np.abs(to_focal @ grey @ to_focal.T) ** 2 @ to_nodes.T)
    safe = 1.0 / np.maximum(flat, 1e-3 * flat.max())
    r, c = jnp.asarray(rows, f32), jnp.asarray(columns, f32)
    return r @ (nr * safe) @ c.T, r @ (ni * safe) @ c.T


def otf(optics: Optics, state: ImagerState, grid: Grid) -> Spectrum:
    """Optical transfer function of every band, without the pixel: (B, 2 half, half) real and imaginary parts.

    `state` is one exposure (no batch axes); vmap over it for many.
    """
    re, im = [], []
    for band, wavelength in enumerate(optics.wavelengths):
        part = _band_otf(optics, state, grid, band, wavelength)
        re.append(part[0])
        im.append(part[1])
    return jnp.stack(re), jnp.stack(im)


def _band_otf(optics: Optics, state: ImagerState, grid: Grid, band: int, wavelength: float) -> Spectrum:
    h = grid.half
    fx, fy = grid.fx, grid.fy
    radius = np.hypot(fx[None, :], fx[:, None]) * wavelength / ARCSEC
    diffraction = annular_otf(radius / optics.diameter, optics.obscuration).astype(np.float32)
    quadrant = jnp.asarray(diffraction)
    if optics.atmosphere:
        max_x = float(2 * np.pi * radius.max() / optics.min_outer_scale)
        r, r53 = jnp.asarray(radius, jnp.float32), jnp.asarray(radius ** (5 / 3), jnp.float32)
        epochs = state.weight.shape[-1]
        air = sum(
            state.weight[band, e]
            * long_exposure_otf(r, r53, state.r0[band, e], jnp.maximum(state.outer_scale[band, e], optics.min_outer_scale), max_x)
            for e in range(epochs)
        )
        quadrant = quadrant * air
    blur = state.resampling[band] * grid.pixel_scale
    sxx, syy, sxy = state.jitter[band, 0] + blur**2, state.jitter[band, 1] + blur**2, state.jitter[band, 2]
    gx = jnp.exp(-2 * np.pi**2 * sxx * fx**2)
    gy = jnp.exp(-2 * np.pi**2 * syy * fx**2)
    cross = jnp.exp(-4 * np.pi**2 * sxy * (fx[:, None] * fx[None, :]))
    quadrant = quadrant * (gy[:, None] * gx[None, :])
    whole = jnp.concatenate([quadrant * cross, quadrant / cross], 0)
    re, im = _aberration(optics, grid, band, state.aberration)
    cx, sx, cy, sy = phasors(grid, state.offset[band, 0], state.offset[band, 1])
    shift = (cy[:, None] * cx - sy[:, None] * sx, cy[:, None] * sx + sy[:, None] * cx)
    re, im = product((re, im), shift)
    assert whole.shape == (2 * h, h)
    return whole * re, whole * im


def psf_image(optics: Optics, state: ImagerState, npix: int, pixel_scale: float, factor: int = 1, pad: int = 2) -> Array:
    """PSF stamps (B, npix, npix) that sum to the flux inside the stamp, pixel integrated, centred on the stamp."""
    grid = Grid(npix, pixel_scale, factor, pad)
    re, im = otf(optics, state, grid)
    return image(grid, (re * grid.pixel, im * grid.pixel))
