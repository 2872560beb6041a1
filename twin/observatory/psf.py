"""Long-exposure PSF of an imager from its State, as an optical transfer function on the frame's own frequencies.

OTF(f) = sum_e w_e exp(-D_e(lambda f) / 2)   von Karman atmosphere, epochs e of a stack (Tokovinin 2002, PASP 114, 1156)
         x T(lambda f) A(lambda f)           diffraction of the annular pupil (O'Neill 1956, JOSA 46, 285), aberrations
         x exp(-2 pi^2 f' S f)               image motion with covariance S

A(s) is the mean of exp(i [phi(x) - phi(x - s)]) over the overlap of the pupil with its shifted self: smooth in s, so it
is computed at a few shifts and interpolated, while T, which has a cusp at s = 0, is closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jax import Array
from threadpoolctl import threadpool_limits

from twin.numerics.angles import sincos
from twin.numerics.fourier import Grid, Spectrum, image, phasors, product
from twin.numerics.pupil import annular_otf, mean_difference, overlap_quadrature
from twin.numerics.turbulence import long_exposure_otf
from twin.numerics.zernike import noll_to_nm, zernike
from twin.observatory.state import ImagerState

ARCSEC = np.pi / 180 / 3600


@dataclass(frozen=True)
class Optics:
    """What of the telescope does not change: diameter [m], linear central obscuration, band wavelengths [m],
    atmosphere."""

    diameter: float
    obscuration: float
    wavelengths: tuple[float, ...]
    atmosphere: bool = True
    min_outer_scale: float = 5.0


def _lagrange(targets: np.ndarray, nodes: np.ndarray, order: int) -> np.ndarray:
    """(targets, nodes) weights of local Lagrange interpolation on increasing nodes."""
    order = min(order, len(nodes))
    start = np.clip(np.searchsorted(nodes, targets) - order // 2, 0, len(nodes) - order)
    weights = np.zeros((len(targets), len(nodes)))
    for a in range(order):
        w = np.ones(len(targets))
        for b in range(order):
            if a != b:
                w *= (targets - nodes[start + b]) / (nodes[start + a] - nodes[start + b])
        weights[np.arange(len(targets)), start + a] = w
    return weights


@dataclass(frozen=True)
class _Aberrations:
    """Static part of A(lambda f): nodes in the plane of shifts, quadrature at each, interpolation to the
    frequencies."""

    shape: tuple[int, int]  # nodes along y and along x >= 0
    mirror: int  # columns at x < 0, had by conjugation
    difference: np.ndarray  # (Q * nodes, J) Z_j(u + s/2) - Z_j(u - s/2)
    weight: np.ndarray  # (Q, nodes)
    rows: np.ndarray  # (B, 2 half, nodes along y)
    columns: np.ndarray  # (B, half, mirror + nodes along x)
    odd: np.ndarray  # modes of odd azimuthal order
    missed: np.ndarray  # (B, odd, 2 half, half) of their mean difference, what interpolation misses


@lru_cache(maxsize=32)
def _prepare(optics: Optics, grid: Grid, modes: int) -> _Aberrations:
    to_radii = np.array(optics.wavelengths) / ARCSEC / (optics.diameter / 2)  # shift [pupil radius] per cycle/arcsec
    reach = min(to_radii.max() * float(grid.fx[-1]), 2.0)
    # denser near zero, where the overlap shrinks as |s| and A has kinks of growing order
    dense = [0, 0.02, 0.05, 0.1, 0.17, 0.25, 0.34, *np.arange(0.44, 2.1, 0.1)]
    if not optics.atmosphere:  # nothing but the pupil limits the frequencies: A counts at every shift
        dense = [*0.4 * np.linspace(0, 1, 15) ** 1.4, *np.arange(0.45, 0.6, 0.05), *np.arange(0.65, 2.1, 0.1)]
    steps = np.array(dense)
    along_x = steps[: int(np.searchsorted(steps, reach)) + 1]
    order = 8  # points of the interpolation
    mirror = order // 2 - 1
    along_y = np.concatenate([-along_x[:0:-1], along_x])
    with threadpool_limits(1):  # many small decompositions: threads only wait for each other
        octant = {(x, y): overlap_quadrature(optics.obscuration, x, y) for x in along_x for y in along_x[along_x <= x]}
    quarter = octant | {(y, x): q[:, [1, 0, 2]] for (x, y), q in octant.items()}
    quadratures = [quarter[x, abs(y)] * [1, 1 if y >= 0 else -1, 1] for y in along_y for x in along_x]
    most = max(len(q) for q in quadratures)
    difference = np.zeros((most, len(quadratures), modes), np.float32)
    weight = np.zeros((most, len(quadratures)), np.float32)
    shifts = [(x, y) for y in along_y for x in along_x]
    for n, ((sx, sy), q) in enumerate(zip(shifts, quadratures, strict=True)):
        weight[: len(q), n] = q[:, 2]
        for j in range(modes):
            ahead = zernike(j + 4, q[:, 0] + sx / 2, q[:, 1] + sy / 2)
            difference[: len(q), n, j] = ahead - zernike(j + 4, q[:, 0] - sx / 2, q[:, 1] - sy / 2)
    mirrored = np.concatenate([-along_x[mirror:0:-1], along_x])
    rows, columns, missed = [], [], []
    odd = [j for j in range(modes) if noll_to_nm(j + 4)[1] % 2]
    for radii in to_radii:
        fy, fx = (np.clip(radii * f.astype(float), -along_x[-1], along_x[-1]) for f in (grid.fy, grid.fx))
        rows.append(_lagrange(fy, along_y, order))
        columns.append(_lagrange(fx, mirrored, order))
        for j in odd:
            exact = mean_difference(optics.obscuration, j + 4, fx[None, :], fy[:, None])
            nodes = mean_difference(optics.obscuration, j + 4, mirrored[None, :], along_y[:, None])
            missed.append(exact - rows[-1] @ nodes @ columns[-1].T)
    f32 = np.float32
    return _Aberrations(
        (len(along_y), len(along_x)),
        mirror,
        difference.reshape(-1, modes),
        weight,
        np.stack(rows).astype(f32),
        np.stack(columns).astype(f32),
        np.array(odd, int),
        np.reshape(missed, (len(to_radii), len(odd), 2 * grid.half, grid.half)).astype(f32),
    )


def _aberration(optics: Optics, grid: Grid, opd: Array) -> Spectrum:
    """A(lambda f) of every band on the grid's half-plane, (B, 2 half, half), for Zernike amplitudes `opd` (J,) [m]."""
    static = _prepare(optics, grid, opd.shape[-1])
    waves = (2 * np.pi / np.array(optics.wavelengths)).astype(np.float32)
    path = (static.difference @ opd).reshape(static.weight.shape)
    sin, cos = sincos(waves[:, None, None] * path)
    # a sum as a product with ones: a plain sum would fuse with the sine and no longer vectorise
    ones = jnp.ones(static.weight.shape[0], jnp.float32)
    re, im = (jnp.einsum("q,bqn->bn", ones, static.weight * part).reshape(-1, *static.shape) for part in (cos, sin))
    # A(-s) is the conjugate of A(s): columns left of zero for the interpolation's sake
    re = jnp.concatenate([re[:, ::-1, static.mirror : 0 : -1], re], 2)
    im = jnp.concatenate([-im[:, ::-1, static.mirror : 0 : -1], im], 2)
    kink = jnp.einsum("j,bjyx->byx", opd[static.odd], waves[:, None, None, None] * static.missed)
    re, im = (jnp.einsum("byi,bij,bxj->byx", static.rows, part, static.columns) for part in (re, im))
    return re, im + kink


def otf(optics: Optics, state: ImagerState, grid: Grid) -> Spectrum:
    """Optical transfer function of every band, without the pixel: (B, 2 half, half) real and imaginary parts.

    `state` is one exposure (no batch axes); vmap over it for many.
    """
    h, fx, fy = grid.half, grid.fx, grid.fy
    wavelengths = np.array(optics.wavelengths)[:, None, None]
    radius = np.hypot(fx[None, :], fx[:, None]) * wavelengths / ARCSEC  # lambda |f| on one quadrant [m]
    quadrant = jnp.asarray(annular_otf(radius / optics.diameter, optics.obscuration), jnp.float32)
    if optics.atmosphere:
        max_x = float(2 * np.pi * radius.max() / optics.min_outer_scale)
        r, r53 = jnp.asarray(radius, jnp.float32), jnp.asarray(radius ** (5 / 3), jnp.float32)
        outer = jnp.maximum(state.outer_scale, optics.min_outer_scale)[..., None, None]
        r0, weight = state.r0[..., None, None], state.weight[..., None, None]
        epochs = range(state.weight.shape[-1])
        air = [weight[:, e] * long_exposure_otf(r, r53, r0[:, e], outer[:, e], max_x) for e in epochs]
        quadrant = quadrant * sum(air[1:], air[0])
    blur = state.resampling * grid.pixel_scale
    sxx, syy, sxy = state.jitter[:, 0] + blur**2, state.jitter[:, 1] + blur**2, state.jitter[:, 2]
    sign = np.array([1, -1], np.float32)[:, None, None]
    # limited: inf times 0 is no PSF where a strong jitter has killed the frequency anyway
    slope = -4 * np.pi**2 * sxy[:, None, None, None] * (sign * fx[:, None] * fx[None, :])
    cross = jnp.exp(jnp.clip(slope, -80, 80))
    whole = (quadrant[:, None] * cross).reshape(-1, 2 * h, h)
    cx, sx, cy, sy = phasors(grid, state.offset[:, 0], state.offset[:, 1])
    gx = jnp.exp(-2 * np.pi**2 * sxx[:, None] * fx**2)
    gy = jnp.exp(-2 * np.pi**2 * syy[:, None] * fy**2)
    # outer products as matrix products: a broadcast would make XLA repeat each cosine along the other axis
    rows = jnp.stack([cy * gy, sy * gy], 2)
    shift = rows @ jnp.stack([cx * gx, -sx * gx], 1), rows @ jnp.stack([sx * gx, cx * gx], 1)
    re, im = product(_aberration(optics, grid, state.aberration), shift)
    return whole * re, whole * im


def psf_image(
    optics: Optics, state: ImagerState, npix: int, pixel_scale: float, factor: int = 1, pad: int = 2
) -> Array:
    """PSF stamps (B, npix, npix) that sum to the flux inside the stamp, pixel integrated, centred on the stamp."""
    grid = Grid(npix, pixel_scale, factor, pad)
    re, im = otf(optics, state, grid)
    return image(grid, (re * grid.pixel, im * grid.pixel))
