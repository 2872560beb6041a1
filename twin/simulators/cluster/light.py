"""Light of many galaxies on the cells of a frame, cusps and all, before PSF.

Far from a galaxy's centre the middle of a cell stands for the cell. The 16x16 cells about the centre are sampled 4x4
times, the innermost 4x4 of them 16x16 times; within these two more boxes go down to 1/256 of a cell, where even a de
Vaucouleurs profile holds 1e-4 of its light. Samples are shared out among the cells about them with a windowed sinc, not
given to the nearest: light between two cells stays between them. The PSF is applied once to all.
"""

from __future__ import annotations

import functools
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.sersic import b_n, log_gamma_factor

_TOGETHER = 2  # galaxies added in one pass
_BOX, _FINER = 16, 4  # cells a side of a box, samples a side of a cell of it
_CORE = _BOX // _FINER  # cells of the frame that the second box covers
_REACH = 8  # cells to which a sample's light is shared out
_MARGIN = _BOX + _REACH


def rows(x: Array, y: Array, radius: Array, n: Array, q: Array, angle: Array) -> Array:
    """(K, 8) what `profile` needs of K Sersic galaxies; positions and radii [arcsec], angles [rad].

    Columns: x, y, the three coefficients of (r / R_e)^2 = a dx^2 + b dy^2 + c dx dy, 1 / 2n, b_n, ln of the norm.
    """
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    per = 1 / radius**2
    a = per * (q * cos**2 + sin**2 / q)
    b = per * (q * sin**2 + cos**2 / q)
    c = per * 2 * cos * sin * (q - 1 / q)
    bn = b_n(n)
    norm = bn - log_gamma_factor(n, bn) - 2 * jnp.log(radius)
    return jnp.stack([x, y, a, b, c, 0.5 / n, bn, norm], -1)


def radius2(row: Array, x: Array | np.ndarray, y: Array | np.ndarray) -> Array:
    """(r / R_e)^2, at least 1e-12."""
    dx, dy = x - row[0], y - row[1]
    return jnp.maximum(dx * (row[2] * dx + row[4] * dy) + row[3] * (dy * dy), 1e-12)


def brightness(row: Array, r2: Array) -> Array:
    """Surface brightness [1/arcsec^2] of a galaxy of flux 1 at (r / R_e)^2."""
    # (r/R)^(1/n) as exp(ln(r2) / 2n): half the cost of a general power
    return jnp.exp(row[7] - row[6] * jnp.exp(jnp.log(r2) * row[5]))


def mean_brightness(row: Array, x: Array | np.ndarray, y: Array | np.ndarray, side: float) -> Array:
    """Mean surface brightness [1/arcsec^2] of squares of `side` arcsec about (x, y), to second order: I and side^2 / 24
    of its Laplacian. Flat within about `side` of the centre, where rounding would tell on a cusp.

    With s = (r / R_e)^2, m = 1 / 2n, g = b_n m s^(m - 1): I_s = -g I, I_ss = (g^2 + g (1 - m) / s) I.
    """
    dx, dy = x - row[0], y - row[1]
    raw = dx * (row[2] * dx + row[4] * dy) + row[3] * (dy * dy)
    trace, m = row[2] + row[3], row[5]
    floor = 0.5 * side**2 * trace
    s = jnp.maximum(raw, floor)
    t, inverse = row[6] * jnp.exp(jnp.log(s) * m), 1 / s
    g = m * t * inverse
    slope2 = (2 * row[2] * dx + row[4] * dy) ** 2 + (2 * row[3] * dy + row[4] * dx) ** 2
    bend = g * ((g + (1 - m) * inverse) * slope2 - 2 * trace)
    return jnp.exp(row[7] - t) * (1 + np.float32(side**2 / 24) * jnp.where(raw > floor, bend, 0.0))


def _ordered(galaxies: Array, flux: Array) -> tuple[Array, Array, Array]:
    """Those that shine first, and how many they are."""
    shining = jnp.any(flux > 0, 0)
    order = jnp.argsort(~shining, stable=True)
    pad = -len(order) % _TOGETHER
    galaxies, flux = galaxies[order], jnp.where(shining, flux, 0.0)[:, order]
    return jnp.pad(galaxies, ((0, pad), (0, 0)), mode="edge"), jnp.pad(flux, ((0, 0), (0, pad))), jnp.sum(shining)


@cache
def _sharing(cells: int) -> np.ndarray:
    """(cells + 2 _REACH, 64) share of each cell in samples that tile `cells` of them: sinc with a Kaiser window, which
    keeps frequencies up to 0.4 a cell and rejects what would be taken for them, averaged over the cell; columns add up
    to 1."""
    count = _BOX * _FINER
    nodes, weights = np.polynomial.legendre.leggauss(6)
    sample = (np.arange(count) + 0.5) * cells / count
    middle = np.arange(-_REACH, cells + _REACH) + 0.5
    apart = sample[None, :, None] - middle[:, None, None] + 0.5 * nodes
    window = np.i0(6.0 * np.sqrt(np.maximum(1 - (apart / _REACH) ** 2, 0))) / np.i0(6.0)
    share = (np.sinc(apart) * np.where(np.abs(apart) < _REACH, window, 0)) @ (0.5 * weights)
    return (share / share.sum(0)).astype(np.float32)


def draw(galaxies: Array, flux: Array, side: int, cell: float) -> Array:
    """Counts (B, side, side) in cells of `cell` arcsec of galaxies (K, 8), see `rows`, of flux (B, K) [count]."""
    galaxies, flux, count = _ordered(galaxies, flux)
    bands, wide = len(flux), side + 2 * _MARGIN
    middle = ((np.arange(side) - (side - 1) / 2) * cell).astype(np.float32)
    strip = max(d for d in range(1, side + 1) if side % d == 0 and d * side <= 16384)

    def over_strip(y: Array) -> Array:
        def add(i: Array, total: Array) -> Array:
            for k in range(_TOGETHER):
                j = _TOGETHER * i + k
                shape = mean_brightness(galaxies[j], middle[None, :], y[:, None], cell)
                total = total + flux[:, j, None, None] * shape
            return total

        passes = (count + _TOGETHER - 1) // _TOGETHER
        return jax.lax.fori_loop(0, passes, add, jnp.zeros((bands, strip, side), jnp.float32))

    smooth = jax.lax.map(over_strip, jnp.asarray(middle.reshape(-1, strip))).swapaxes(0, 1).reshape(bands, side, side)
    start = jnp.pad(smooth * np.float32(cell**2), ((0, 0), (_MARGIN, _MARGIN), (_MARGIN, _MARGIN)))

    def sharpen(j: Array, total: Array) -> Array:
        patch, iy, ix = _centre(galaxies[j], wide, cell)
        there = jax.lax.dynamic_slice(total, (0, iy, ix), (bands, *patch.shape))
        return jax.lax.dynamic_update_slice(total, there + flux[:, j, None, None] * patch, (0, iy, ix))

    whole = jax.lax.fori_loop(0, count, sharpen, start)
    return whole[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _pooled(values: Array) -> Array:
    """Sums over blocks of _FINER x _FINER; written as adds of slices, which vectorise along x."""
    rows = functools.reduce(jnp.add, (values[k::_FINER] for k in range(_FINER)))
    return functools.reduce(jnp.add, (rows[:, k::_FINER] for k in range(_FINER)))


def _centre(row: Array, wide: int, cell: float) -> tuple[Array, Array, Array]:
    """What the middles of cells miss about a galaxy's centre: a patch of cells, its first row and column in a padded
    frame of `wide` cells."""
    centred = row.at[:2].set(0.0)
    places = []  # of each box: first cell of the box before it, left and lower edge from the centre, size of its cells
    left, bottom = -(wide / 2) * cell - row[0], -(wide / 2) * cell - row[1]
    for size, unit, least, most in (
        (cell, 1, _REACH, wide - _BOX - _REACH),
        (cell / _FINER, _FINER, 0, _BOX * _FINER - _BOX),  # whole cells of the frame: `unit` of them are one
        (cell / _FINER**2, 1, 0, _BOX * _FINER - _BOX),
        (cell / _FINER**3, 1, 0, _BOX * _FINER - _BOX),
    ):
        half = _BOX // 2 if unit == 1 else _BOX // 2 - _FINER // 2
        ix, iy = (unit * jnp.floor((-e / size - half + 0.5) / unit).astype(jnp.int32) for e in (left, bottom))
        ix, iy = jnp.clip(ix, least, most), jnp.clip(iy, least, most)
        left, bottom = left + ix * size, bottom + iy * size
        places.append((ix, iy, left, bottom, size))

    def sampled(level: int, samples: int = _FINER) -> Array:
        _, _, left, bottom, size = places[level]
        step = ((np.arange(_BOX * samples) + 0.5) / samples * size).astype(np.float32)
        values = mean_brightness(centred, left + step[None, :], bottom + step[:, None], size / samples)
        return values * np.float32((size / samples) ** 2)

    def into(values: Array, level: int, inner: Array | np.ndarray) -> Array:
        return jax.lax.dynamic_update_slice(values, inner, (places[level][1], places[level][0]))

    fine = _pooled(into(sampled(2), 3, _pooled(sampled(3))))
    core = into(sampled(1), 2, fine)
    outer = into(sampled(0), 1, jnp.zeros((_BOX, _BOX), jnp.float32))
    (ix, iy, *_), (jx, jy, *_) = places[:2]
    first, second = _sharing(_BOX), _sharing(_CORE)
    coarse = sampled(0, 1)
    around = first @ outer @ first.T - jnp.pad(coarse, _REACH)
    inside = second @ core @ second.T
    patch = around + jax.lax.dynamic_update_slice(jnp.zeros_like(around), inside, (jy // _FINER, jx // _FINER))
    return patch, iy - _REACH, ix - _REACH
