"""Deconvolved galaxies as spectra and as surface brightnesses: pure JAX, float32.

A galaxy's own axes (u, v) are those of its stamp. It is mirrored, v -> -v, where `flip` is 1, made `size` times as
large, turned by `angle` from +x to +y, and moved to (x, y) [arcsec]. `index` is any number from 0 to len(table) - 1.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.fourier import Grid, Spectrum, phasors, product
from twin.simulators.real_galaxy.deconvolve import TAPS, Table


def _pick(values: np.ndarray, index: Array) -> Array:
    return jax.lax.dynamic_index_in_dim(jnp.asarray(values), index.astype(jnp.int32), keepdims=False)


def _own_axes(x: Array, y: Array, angle: Array, flip: Array) -> tuple[Array, Array]:
    """Sky axes turned back into the stamp's."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return cos * x + sin * y, (cos * y - sin * x) * (1 - 2 * flip)


def _steps(grid: Grid, table: Table, index: Array, angle: Array, flip: Array, size: Array) -> tuple[Array, Array]:
    """The frame's frequencies in the galaxy's own axes and steps (2 half, half)."""
    u, v = _own_axes(jnp.asarray(grid.fx)[None, :], jnp.asarray(grid.fy)[:, None], angle, flip)
    per_step = size / _pick(table.step, index)
    return u * per_step, v * per_step


def _b_spline(t: Array) -> tuple[Array, Array, Array, Array]:
    """Weights of the taps -1, 0, 1, 2 at t from 0 to 1."""
    s, t2 = 1 - t, t * t
    t3 = t2 * t
    sixth = np.float32(1 / 6)
    return s * s * s * sixth, (4 - 6 * t2 + 3 * t3) * sixth, (1 + 3 * t + 3 * t2 - 3 * t3) * sixth, t3 * sixth


def real_spectrum(
    grid: Grid, table: Table, index: Array, x: Array, y: Array, angle: Array, flip: Array, size: Array
) -> Spectrum:
    """Spectrum (2 half, half) of a galaxy of unit flux, without PSF and pixel, by cubic B-splines.

    They show the galaxy once more beside itself, at a distance of twice the largest stamp of the table or more and at
    most 2e-5 as bright where it is within an eighth of that stamp of its middle, 1e-2 at its stamp's very edge.
    """
    rows, columns = table.spectrum.shape[1:3]
    values = jnp.asarray(table.spectrum.reshape(-1, 2))
    begin = index.astype(jnp.int32) * (rows * columns)  # in the whole table: no galaxy's plane is copied
    per_step, reach = size / _pick(table.step, index), columns - TAPS - 1
    cx, sx, cy, sy = phasors(grid, x, y)

    def half(along_y: tuple[Array, Array, Array]) -> Spectrum:
        fy, cy, sy = along_y
        u, v = _own_axes(jnp.asarray(grid.fx)[None, :], fy[:, None], angle, flip)
        mirror = jnp.where(u < 0, np.float32(-1), np.float32(1)) * per_step
        conjugate = jnp.sign(mirror)  # the other half-plane is the conjugate
        u, v = u * mirror, v * mirror
        inside = (u <= reach) & (jnp.abs(v) <= reach)
        u, v = jnp.clip(u, 0, reach), jnp.clip(v, -reach, reach)
        i, j = jnp.floor(v).astype(jnp.int32), jnp.floor(u).astype(jnp.int32)
        wy, wx = _b_spline(v - i), _b_spline(u - j)
        # row of frequency i is i + (R - 1) / 2, column of j is j + TAPS / 2; the first tap is one before
        first = begin + (i + ((rows - 1) // 2 - 1)) * columns + (j + (TAPS // 2 - 1))
        re: Array = jnp.zeros_like(u)
        im: Array = jnp.zeros_like(u)
        for a in range(TAPS):
            for b in range(TAPS):
                value = values.at[first + (a * columns + b)].get(mode="promise_in_bounds")
                weight = wy[a] * wx[b]
                re, im = re + weight * value[..., 0], im + weight * value[..., 1]
        found = jnp.where(inside, re, 0), jnp.where(inside, im * conjugate, 0)
        cy, sy = cy[:, None], sy[:, None]
        return product(found, (cy * cx - sy * sx, cy * sx + sy * cx))

    # the loop keeps XLA on CPU from interpolating again for every band
    halves = tuple(v.reshape(2, grid.half) for v in (jnp.asarray(grid.fy), cy, sy))
    re, im = jax.lax.map(half, halves)
    return re.reshape(2 * grid.half, grid.half), im.reshape(2 * grid.half, grid.half)


def noise_variance(
    grid: Grid, transfer: Spectrum, table: Table, index: Array, angle: Array, flip: Array, size: Array, flux: Array
) -> Array:
    """Variance (B,) [count^2] that the noise of the original image adds to a pixel within its stamp's outline.

    The stamp's noise has the power p(k) of `table.power`; through PSF and pixel T, a galaxy made s times as large of
    flux F has the variance F^2 a^4 / s^2 int |T(k)|^2 p(s k) d^2k in pixels of side a.

    transfer  (B, 2 half, half) without the pixel    flux  (B,) [count]
    """
    rows, columns = table.power.shape[1:]
    u, v = _steps(grid, table, index, angle, flip, size)
    mirror = jnp.where(u < 0, np.float32(-1), np.float32(1))
    i, j = (jnp.round(w * mirror).astype(jnp.int32) for w in (v, u))
    inside = (jnp.abs(i) <= (rows - 1) // 2) & (j < columns - TAPS // 2)
    place = jnp.where(inside, (i + (rows - 1) // 2) * columns + j + TAPS // 2, 0)  # the corner is 0: nothing there
    place = place + index.astype(jnp.int32) * (rows * columns)
    power = jnp.where(inside, jnp.asarray(table.power.reshape(-1)).at[place].get(mode="promise_in_bounds"), 0)
    count = np.where(np.arange(grid.half) == 0, 1.0, 2.0) * grid.weight
    once = np.concatenate([grid.weight, grid.weight])
    once[[0, grid.half]] *= 0.5  # the row of 0 stands twice
    area = (once[:, None] * count * grid.step**2).astype(np.float32)  # of the frequencies [1/arcsec^2]
    seen = (transfer[0] ** 2 + transfer[1] ** 2) * (grid.pixel**2 * area)
    a2 = np.float32(grid.pixel_scale**2)
    return (flux * a2 / size) ** 2 * jnp.sum(seen * power, (-2, -1))


def outline(
    grid: Grid, table: Table, index: Array, x: Array, y: Array, angle: Array, flip: Array, size: Array
) -> Array:
    """(npix, npix): 1 in pixels whose middle is within the original stamp, 0 outside."""
    centres = jnp.asarray(grid.centres, jnp.float32)
    u, v = _own_axes(centres[None, :] - x, centres[:, None] - y, angle, flip)
    half = 0.5 * size * _pick(table.size, index)
    return ((jnp.abs(v) <= half[0]) & (jnp.abs(u) <= half[1])).astype(jnp.float32)


def real_light(
    table: Table, index: Array, x: Array, y: Array, angle: Array, flip: Array, size: Array
) -> Callable[[Array, Array], Array]:
    """Surface brightness [1/arcsec^2] of a galaxy of unit flux as a function of sky positions, bilinear between the
    pixels of `table.light`; 0 outside its stamp."""
    side = table.light.shape[-1]
    values, begin = jnp.asarray(table.light.reshape(-1)), index.astype(jnp.int32) * side**2
    per_pixel, dim = 1 / (size * _pick(table.scale, index)), 1 / (size * size)

    def brightness(at_x: Array, at_y: Array) -> Array:
        u, v = _own_axes(at_x - x, at_y - y, angle, flip)
        # the outermost pixels are 0: what lies beyond takes their value
        u, v = (jnp.clip(w * per_pixel + np.float32((side - 1) / 2), 0, side - 1.001) for w in (u, v))
        i, j = jnp.floor(v).astype(jnp.int32), jnp.floor(u).astype(jnp.int32)
        dv, du = v - i, u - j
        first = begin + i * side + j
        corner = [values.at[first + step].get(mode="promise_in_bounds") for step in (0, 1, side, side + 1)]
        upper = corner[0] + du * (corner[1] - corner[0])
        lower = corner[2] + du * (corner[3] - corner[2])
        return (upper + dv * (lower - upper)) * dim

    return brightness
