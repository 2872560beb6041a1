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
from twin.numerics.pupil import annular_otf, mean_difference, overlap_weights
from twin.numerics.turbulence import long_exposure_otf
from twin.numerics.zernike import noll_to_nm, zernike
from twin.observatory.state import ImagerState

ARCSEC = np.pi / 180 / 3600
_CELLS = 24  # lattice across the pupil: 3e-5 of the OTF for 0.2 waves rms of z4..z11


@dataclass(frozen=True)
class Optics:
    """What of the telescope does not change: diameter [m], linear central obscuration, band wavelengths [m], atmosphere."""

    diameter: float
    obscuration: float
    wavelengths: tuple[float, ...]
    atmosphere: bool = True
    min_outer_scale: float = 5.0


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
def _nodes(optics: Optics, grid: Grid, band: int) -> tuple[int, int, np.ndarray, np.ndarray]:
    """Lattice shifts that span the grid's frequencies, and the matrices that interpolate from them along y and x.

    Returns (reach, mirror, rows (2 half, 2 reach + 1), columns (half, mirror + reach + 1)).
    """
    spacing = optics.diameter / _CELLS
    reach_of = optics.wavelengths[band] / ARCSEC / spacing
    reach = min(int(np.ceil(reach_of * float(grid.fx[-1]))) + 1, _CELLS)
    mirror = min(2, reach)
    along_y, along_x = np.arange(-reach, reach + 1.0), np.arange(-mirror, reach + 1.0)
    y, x = (np.clip(reach_of * f.astype(float), -reach, reach) for f in (grid.fy, grid.fx))
    return reach, mirror, _lagrange(y, along_y), _lagrange(x, along_x)


@lru_cache(maxsize=32)
def _kinks(optics: Optics, grid: Grid, band: int, modes: int) -> tuple[list[int], np.ndarray]:
    """Modes of odd azimuthal order and (odd, 2 half, half) what interpolation misses of their mean phase difference.

    The overlap shrinks as |s|, so the mean difference of coma or trefoil goes as s|s| near zero, which polynomials cannot follow.
    """
    reach, mirror, rows, columns = _nodes(optics, grid, band)
    odd = [j for j in range(modes) if noll_to_nm(j + 4)[1] % 2]
    to_radii = optics.wavelengths[band] / ARCSEC / (optics.diameter / 2)
    node_y, node_x = (np.arange(-low, reach + 1) * 2 / _CELLS for low in (reach, mirror))
    maps = []
    for j in odd:
        exact = mean_difference(optics.obscuration, j + 4, to_radii * grid.fx[None, :], to_radii * grid.fy[:, None])
        nodes = mean_difference(optics.obscuration, j + 4, node_x[None, :], node_y[:, None])
        maps.append(exact - rows @ nodes @ columns.T)
    return odd, np.reshape(maps, (len(odd), 2 * grid.half, grid.half)).astype(np.float32)


def _aberration(optics: Optics, grid: Grid, band: int, opd: Array) -> Spectrum:
    """A(lambda f) on the grid's half-plane for Zernike amplitudes `opd` (J,) [m]."""
    reach, mirror, rows, columns = _nodes(optics, grid, band)
    weights = overlap_weights(optics.obscuration, _CELLS, reach, reach)
    axis = (np.arange(_CELLS) + 0.5) / _CELLS * 2 - 1
    x, y = np.meshgrid(axis, axis)
    maps = np.stack([zernike(j + 4, x, y) for j in range(opd.shape[-1])]).astype(np.float32)
    phase = jnp.tensordot(opd, maps, 1) * (2 * np.pi / optics.wavelengths[band])
    cos, sin = jnp.cos(phase), jnp.sin(phase)

    def shifted(field: Array) -> Array:
        """(2 reach + 1, reach + 1, cells, cells): the field at (i - my, j - mx)."""
        padded = jnp.pad(field, ((reach, reach), (reach, 0)))
        down = jnp.stack([padded[reach - my : reach - my + _CELLS] for my in range(-reach, reach + 1)])
        return jnp.stack([down[:, :, reach - mx : reach - mx + _CELLS] for mx in range(reach + 1)], 1)

    cos_s, sin_s = shifted(cos), shifted(sin)
    re = jnp.sum(weights * (cos * cos_s + sin * sin_s), (-2, -1))
    im = jnp.sum(weights * (sin * cos_s - cos * sin_s), (-2, -1))
    # A(-s) is the conjugate of A(s): columns left of zero for the interpolation's sake
    re = jnp.concatenate([re[::-1, mirror:0:-1], re], 1)
    im = jnp.concatenate([-im[::-1, mirror:0:-1], im], 1)
    r, c = jnp.asarray(rows, jnp.float32), jnp.asarray(columns.T, jnp.float32)
    odd, missed = _kinks(optics, grid, band, opd.shape[-1])
    kink = jnp.tensordot(opd[np.array(odd, int)] * (2 * np.pi / optics.wavelengths[band]), missed, 1)
    return r @ re @ c, r @ im @ c + kink


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
    # clipped: 0 / 0 is no PSF where a strong jitter has killed the frequency anyway
    cross = jnp.exp(jnp.clip(-4 * np.pi**2 * sxy * (fx[:, None] * fx[None, :]), -60, 60))
    whole = jnp.concatenate([quadrant * cross, quadrant / cross], 0)
    cx, sx, cy, sy = phasors(grid, state.offset[band, 0], state.offset[band, 1])
    gx = jnp.exp(-2 * np.pi**2 * sxx * fx**2)
    gy = jnp.exp(-2 * np.pi**2 * syy * fy**2)
    # outer products as matrix products: a broadcast would make XLA repeat each cosine along the other axis
    rows = jnp.stack([cy * gy, sy * gy], 1)
    shift = rows @ jnp.stack([cx * gx, -sx * gx]), rows @ jnp.stack([sx * gx, cx * gx])
    re, im = product(_aberration(optics, grid, band, state.aberration), shift)
    return whole * re, whole * im


def psf_image(optics: Optics, state: ImagerState, npix: int, pixel_scale: float, factor: int = 1, pad: int = 2) -> Array:
    """PSF stamps (B, npix, npix) that sum to the flux inside the stamp, pixel integrated, centred on the stamp."""
    grid = Grid(npix, pixel_scale, factor, pad)
    re, im = otf(optics, state, grid)
    return image(grid, (re * grid.pixel, im * grid.pixel))
