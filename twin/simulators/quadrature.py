"""Surface brightness integrated over the cells of a frame, finely only where light is concentrated.

Every cell is sampled at its middle first. The midpoint rule is wrong by h^2/24 times the second derivative: the blocks
of cells whose second differences add up to most are integrated anew by Gauss and Legendre's rule, as many blocks
whatever the scene, so that shapes are fixed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.fourier import settled

Brightness = Callable[[Array, Array], Array]
"""(C, ...) surface brightness [1/arcsec^2] of C maps at x, y (...) [arcsec]."""


@cache
def _curvature(side: int) -> np.ndarray:
    """(side^2, N): second differences along both axes at every other cell of a block; edges take those of their
    neighbours."""
    second = np.zeros((side, side))
    for k in range(side if side > 2 else 0):
        middle = min(max(k, 1), side - 2)
        second[k, middle - 1 : middle + 2] = 1, -2, 1
    one = np.eye(side)
    laplacian = (np.kron(second, one) + np.kron(one, second)).reshape(side, side, -1)
    return laplacian[::2, ::2].reshape(-1, side * side).T.astype(np.float32)


def block_side(side: int, most: int = 8) -> int:
    """Cells on a side of a block: the most, up to `most`, that divide the frame."""
    return max(k for k in range(1, most + 1) if side % k == 0)


def integrate(
    brightness: Brightness,
    side: int,
    cell: float,
    blocks: int,
    points: int,
    finest: tuple[int, int] = (0, 1),
    block: int = 8,
) -> Array:
    """Integrals (C, side, side) over square cells of `cell` arcsec that tile a frame about the origin.

    blocks  that are refined, at most all; points  of Gauss and Legendre a side of their cells
    finest  the same two numbers for those of the blocks that bend most of all: cusps
    block   cells on a side of a block, at most
    """
    b = block_side(side, block)
    many = side // b
    blocks = min(blocks, many * many)
    inner = (np.arange(b) - 0.5 * (side - 1)) * cell
    outer = np.arange(many) * (b * cell)
    # (block, cell of the block), rows before columns in both
    x = np.broadcast_to(outer[None, :, None, None] + inner, (many, many, b, b)).reshape(many * many, b * b)
    y = np.broadcast_to(outer[:, None, None, None] + inner[:, None], (many, many, b, b)).reshape(many * many, b * b)
    x, y = x.astype(np.float32), y.astype(np.float32)
    parts = 2 if many % 2 == 0 else 1

    def middles(k: Array, light: Array) -> Array:
        part = [jax.lax.dynamic_slice_in_dim(jnp.asarray(v), k * (len(x) // parts), len(x) // parts) for v in (x, y)]
        return jax.lax.dynamic_update_slice_in_dim(light, brightness(*part), k * (len(x) // parts), 1)

    # the loop keeps XLA on CPU from computing the brightness again for every use of it
    count = jax.eval_shape(brightness, *(jax.ShapeDtypeStruct(v.shape, v.dtype) for v in (x, y))).shape[0]
    light = jax.lax.fori_loop(0, parts, middles, jnp.zeros((count, *x.shape), x.dtype))
    if blocks > 0:
        curvature = jnp.abs(light @ _curvature(b)) @ np.ones(_curvature(b).shape[1], np.float32)
        # settled: XLA makes a full sort of a top_k that is cut in two, at the cost of the whole frame
        chosen = settled(jax.lax.top_k(jnp.sum(curvature, 0), blocks)[1].astype(x.dtype)).astype(jnp.int32)
        few = min(finest[0], blocks)
        for which, rule in ((chosen[few:], points), (chosen[:few], finest[1])):
            if len(which):
                light = light.at[:, which].set(
                    _gauss(brightness, jnp.asarray(x)[which], jnp.asarray(y)[which], cell, rule)
                )
    frame = light.reshape(-1, many, many, b, b).swapaxes(-3, -2).reshape(-1, side, side)
    return frame * np.float32(cell * cell)


def _gauss(brightness: Brightness, x: Array, y: Array, cell: float, points: int) -> Array:
    """Means (C, ...) over cells about x, y by Gauss and Legendre's rule of points x points."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    dx, dy = (v.ravel().astype(np.float32) for v in np.meshgrid(0.5 * cell * nodes, 0.5 * cell * nodes))
    part = np.outer(weights, weights).ravel().astype(np.float32) / 4

    def add(k: Array, total: Array) -> Array:
        return total + jnp.asarray(part)[k] * brightness(x + jnp.asarray(dx)[k], y + jnp.asarray(dy)[k])

    count = jax.eval_shape(brightness, x, y).shape[0]
    return jax.lax.fori_loop(0, points**2, add, jnp.zeros((count, *x.shape), x.dtype))


def bin_cells(frame: Array, times: int) -> Array:
    """Sums of `times` x `times` cells of (..., side, side)."""
    if times == 1:
        return frame
    side = frame.shape[-1]
    total = np.kron(np.eye(side // times), np.ones((times, 1))).astype(np.float32)
    return jnp.matmul(total.T, jnp.matmul(frame, total, precision="highest"), precision="highest")
