"""Arcs of a frame: which pixels each covers, how long and how wide it is.

An arc is a connected piece of one source's light above the noise whose length is some times its width. Length: of the
circle's arc through the two ends and the middle of the piece, the ends being the pixel farthest from the centroid and
the one farthest from that; width: that of the ellipse of this length and the piece's area (Bartelmann & Weiss 1994,
A&A 287, 1; Meneghetti+ 2008, A&A 482, 403). So a disc has the ratio 1, an ellipse its axis ratio. Where a piece winds
through more than half a circle its ends are near each other: its outline then tells the length.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

_CANDIDATES = 24  # the largest pieces are looked at, no more
_STRAIGHT = 0.9  # what is left of an outline that runs diagonally, by Crofton, is its length


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Arcs:
    """Arcs by falling area, NaN (source: -1) beyond the last. A = most that a frame may hold.

    count () uint8; mask (y, x) uint8: number of the arc, from 1, that covers a pixel, 0 = none
    box (A, 4): x_min, y_min, x_max, y_max [pixel], edges of its pixels, pixel j reaching from j - 1/2 to j + 1/2
    length, ratio, magnification (A,) [pixel, ., .]; source (A,) int8
    """

    count: Array
    mask: Array
    box: Array
    length: Array
    ratio: Array
    magnification: Array
    source: Array


def pieces(mask: Array, owner: Array) -> Array:
    """(y, x) int32: 0 outside `mask`, elsewhere the same positive number all over a piece: pixels that touch, corners
    included, and have the same owner."""
    ny, nx = mask.shape
    start = jnp.where(mask, 1 + jnp.arange(ny * nx, dtype=jnp.int32).reshape(ny, nx), 0)
    kind = jnp.where(mask, owner, -1)
    around = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]

    def shifted(values: Array, i: int, j: int, fill: int) -> Array:
        padded = jnp.pad(values, 1, constant_values=fill)
        return padded[1 + i : 1 + i + ny, 1 + j : 1 + j + nx]

    same = [(shifted(kind, i, j, -2) == kind) & mask for i, j in around]

    def spread(state: tuple[Array, Array]) -> tuple[Array, Array]:
        number, _ = state
        new = number
        for (i, j), alike in zip(around, same, strict=True):
            new = jnp.maximum(new, jnp.where(alike, shifted(number, i, j, 0), 0))
        # the pixel that gave its number may know a higher one by now
        known = jnp.concatenate([jnp.zeros(1, jnp.int32), new.ravel()])
        new = known[new]
        return new, jnp.any(new != number)

    return jax.lax.while_loop(lambda state: state[1], spread, (start, jnp.any(mask)))[0]


def length_and_ratio(piece: Array) -> tuple[Array, Array]:
    """Length [pixel] and length-to-width ratio of a piece (y, x) bool that is not empty."""
    ny, nx = piece.shape
    x, y = np.arange(nx, dtype=np.float32)[None, :], np.arange(ny, dtype=np.float32)[:, None]
    area = jnp.sum(piece, dtype=jnp.float32)

    def mean(of: np.ndarray, where: Array) -> Array:
        return jnp.sum(jnp.where(where, of, 0.0)) / jnp.maximum(jnp.sum(where), 1)

    def farthest(px: Array, py: Array) -> tuple[Array, Array]:
        at = jnp.argmax(jnp.where(piece, (x - px) ** 2 + (y - py) ** 2, -1.0))
        return 1.0 * (at % nx), 1.0 * (at // nx)

    centre = mean(np.broadcast_to(x, (ny, nx)), piece), mean(np.broadcast_to(y, (ny, nx)), piece)
    ax, ay = farthest(*centre)
    bx, by = farthest(ax, ay)
    cx, cy = bx - ax, by - ay
    chord = jnp.sqrt(jnp.maximum(cx * cx + cy * cy, 1e-6))
    ux, uy = cx / chord, cy / chord
    along = (x - 0.5 * (ax + bx)) * ux + (y - 0.5 * (ay + by)) * uy
    across = (y - 0.5 * (ay + by)) * ux - (x - 0.5 * (ax + bx)) * uy
    middle = piece & (jnp.abs(along) <= 1.0)
    sagitta = jnp.sum(jnp.where(middle, across, 0.0)) / jnp.maximum(jnp.sum(middle), 1)
    chord = chord + 1.0  # from the outer edge of a pixel to the outer edge of the other
    t = jnp.maximum(jnp.abs(2 * sagitta / chord), 1e-3)
    length = chord * (1 + t * t) * jnp.arctan(t) / t
    # sides of the rectangle of the same outline and area; the outline after Crofton: pi / 4 of the pixels' edges
    edges = sum(jnp.sum(jnp.diff(jnp.pad(piece.astype(jnp.int8), 1), axis=axis) != 0) for axis in (0, 1))
    half = np.float32(np.pi / 8) * edges
    winding = 0.5 * (half + jnp.sqrt(jnp.maximum(half * half - 4 * area, 0.0)))
    length = jnp.maximum(length, _STRAIGHT * winding)
    return length, 0.25 * np.pi * length**2 / area


def find(
    seen: Array,
    owner: Array,
    brightest: Array,
    determinant: Array,
    threshold: Array,
    most: int,
    least_ratio: float,
    least_pixels: int,
) -> Arcs:
    """The arcs of a frame.

    seen         (y, x) light of all sources as the telescope shows it, without noise [count]
    owner        (y, x) int32 the source that shines most, before the PSF, and `brightest` how much it does
    determinant  (y, x) det A, the inverse of the owner's magnification
    threshold    of `seen` [count/pixel]
    """
    mask = seen > threshold
    number = pieces(mask, owner)
    area = jnp.zeros(number.size + 1, jnp.int32).at[number.ravel()].add(1).at[0].set(0)
    ny, nx = number.shape
    x, y = np.arange(nx, dtype=np.float32)[None, :], np.arange(ny, dtype=np.float32)[:, None]
    nan = jnp.full(most, jnp.nan, jnp.float32)
    none = Arcs(
        jnp.uint8(0), jnp.zeros(number.shape, jnp.uint8), jnp.full((most, 4), jnp.nan, jnp.float32),
        nan, nan, nan, jnp.full(most, -1, jnp.int8),
    )  # fmt: skip

    def look(state: tuple[Array, Array, Arcs]) -> tuple[Array, Array, Arcs]:
        tried, area, found = state
        root = jnp.argmax(area)
        piece = number == root
        length, ratio = length_and_ratio(piece)
        arc = (ratio >= least_ratio) & (found.count < most)
        at = jnp.where(arc, found.count, most).astype(jnp.int32)  # out of bounds: not written
        low_x, high_x = jnp.min(jnp.where(piece, x, jnp.inf)), jnp.max(jnp.where(piece, x, -jnp.inf))
        low_y, high_y = jnp.min(jnp.where(piece, y, jnp.inf)), jnp.max(jnp.where(piece, y, -jnp.inf))
        light = jnp.where(piece, brightest, 0.0)
        unlensed = jnp.maximum(jnp.sum(light * jnp.abs(determinant)), 1e-6 * jnp.sum(light) + 1e-30)
        return (
            tried + 1,
            area.at[root].set(0),
            Arcs(
                count=found.count + arc.astype(jnp.uint8),
                mask=jnp.where(piece & arc, found.count + 1, found.mask).astype(jnp.uint8),
                box=found.box.at[at].set(
                    jnp.stack([low_x - 0.5, low_y - 0.5, high_x + 0.5, high_y + 0.5]), mode="drop"
                ),
                length=found.length.at[at].set(length, mode="drop"),
                ratio=found.ratio.at[at].set(ratio, mode="drop"),
                magnification=found.magnification.at[at].set(jnp.sum(light) / unlensed, mode="drop"),
                source=found.source.at[at].set(owner.ravel()[root - 1].astype(jnp.int8), mode="drop"),
            ),
        )

    def more(state: tuple[Array, Array, Arcs]) -> Array:
        return (state[0] < _CANDIDATES) & (jnp.max(state[1]) >= least_pixels)

    return jax.lax.while_loop(more, look, (jnp.int32(0), area, none))[2]
