"""Light of lensed sources on the cells of a frame: one deflection field for all sources and bands.

Tile by tile: the deflection at the middle of each cell tells which sources may shine there; where one does, it is
computed again on subsamples x subsamples midpoints of each cell and the sources are averaged over them.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.simulators.cluster.lens import Lens, deflection
from twin.simulators.cluster.light import brightness, radius2

_TILE = 32  # cells a side
_FAINT = 9.2  # a source ends where it is fainter than at its half-light radius by this many e-folds, 1e-4


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sources:
    """K Sersic sources: `galaxies` (K, 8) of `light.rows`, D_ls / D_s (K,), flux (B, K) [count]; dark ones are none."""

    galaxies: Array
    efficiency: Array
    flux: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Lensed:
    """What `draw` makes, with cells as last axes: light (B, y, x) [count]; light in the middle band of the source that
    shines most, and which that is, each (y, x); deflection (2, y, x) at the middles of cells [arcsec]."""

    light: Array
    brightest: Array
    owner: Array
    deflection: Array


def draw(of: Lens, sources: Sources, side: int, cell: float, subsamples: int) -> Lensed:
    """Sources behind a lens on side x side cells of `cell` arcsec."""
    tile = max(d for d in range(1, _TILE + 1) if side % d == 0)
    bands, count = sources.flux.shape
    middle = ((np.arange(side) - (side - 1) / 2) * cell).astype(np.float32).reshape(-1, tile)
    each = [(i, j) for i in range(subsamples) for j in range(subsamples)]
    offset = ((np.arange(subsamples) + 0.5) / subsamples - 0.5) * cell
    dx = np.array([offset[j] for _, j in each], np.float32)[:, None, None]
    dy = np.array([offset[i] for i, _ in each], np.float32)[:, None, None]
    shining = jnp.any(sources.flux > 0, 0)
    flux = jnp.where(shining, sources.flux, 0.0) * np.float32(cell**2)
    ones = np.full(len(each), 1 / len(each), np.float32)

    def over_tile(at: tuple[Array, Array]) -> Lensed:
        x = jnp.broadcast_to(at[0][None, :], (tile, tile))
        y = jnp.broadcast_to(at[1][:, None], (tile, tile))
        ax, ay = deflection(of, x, y)
        lit = shining & jax.lax.map(lambda k: _reached(sources, k, x, y, ax, ay), np.arange(count))

        def refined() -> tuple[Array, Array, Array]:
            fx, fy = x + dx, y + dy
            bx, by = deflection(of, fx, fy)

            def add(k: int, total: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
                light, best, owner = total
                row, scale = sources.galaxies[k], sources.efficiency[k]

                def shine() -> tuple[Array, Array, Array]:
                    values = brightness(row, radius2(row, fx - scale * bx, fy - scale * by))
                    # a product with ones: a sum over this short axis would not vectorise
                    shape = jnp.tensordot(ones, values, 1)
                    here = flux[bands // 2, k] * shape
                    more = light + flux[:, k, None, None] * shape
                    return more, jnp.maximum(here, best), jnp.where(here > best, k, owner)

                return jax.lax.cond(lit[k], shine, lambda: total)

            return jax.lax.fori_loop(0, count, add, nothing())

        def nothing() -> tuple[Array, Array, Array]:
            dark = jnp.zeros((tile, tile), jnp.float32)
            return jnp.zeros((bands, tile, tile), jnp.float32), dark, jnp.zeros((tile, tile), jnp.int32)

        light, best, owner = jax.lax.cond(jnp.any(lit), refined, nothing)
        return Lensed(light, best, owner, jnp.stack([ax, ay]))

    tiles = len(middle)
    across, down = np.tile(middle, (tiles, 1)), np.repeat(middle, tiles, 0)
    made = jax.lax.map(over_tile, (jnp.asarray(across), jnp.asarray(down)))

    def whole(values: Array) -> Array:
        values = values.reshape(tiles, tiles, *values.shape[1:])
        return jnp.moveaxis(values, (0, 1), (-4, -2)).reshape(*values.shape[2:-2], side, side)

    return jax.tree.map(whole, made)


def _reached(sources: Sources, k: Array, x: Array, y: Array, ax: Array, ay: Array) -> Array:
    """Whether a source shines in a tile: a cell's middle lies within its reach, or nearer to it than to the next."""
    row, scale = sources.galaxies[k], sources.efficiency[k]
    bx, by = x - scale * ax, y - scale * ay
    n = 0.5 / row[5]
    reach = (1 + _FAINT / row[6]) ** n
    step = jnp.maximum(
        jnp.max(jnp.abs(jnp.diff(bx, axis=0)) + jnp.abs(jnp.diff(by, axis=0))),
        jnp.max(jnp.abs(jnp.diff(bx, axis=1)) + jnp.abs(jnp.diff(by, axis=1))),
    )
    nearest = jnp.sqrt(jnp.min(radius2(row, bx, by)))
    return nearest < reach + step * jnp.sqrt(row[2] + row[3])
