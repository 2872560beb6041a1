"""Full wells: what a pixel cannot hold runs along its column."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array


def bleed(charge: Array, full: Array, up: float = 0.5) -> Array:
    """Charge (B, ny, nx) [electron] with no pixel above its `full` well (broadcastable), the rest moved along y.

    Each pixel's excess starts with the share `up` to higher y and the rest to lower y, and fills every pixel on its way
    to the brim before it goes on: the vertical channel stops hold it in its column. What reaches the end of the frame
    leaves it; all else is kept. A pixel at the brim on both sides' way makes no difference to the sum.
    """
    full = jnp.broadcast_to(full, charge.shape)
    excess = jnp.maximum(charge - full, 0)
    rest = jnp.minimum(charge, full)
    rest = _sweep(rest, full, up * excess, reverse=False)
    return _sweep(rest, full, (1 - up) * excess, reverse=True)


def _sweep(charge: Array, full: Array, excess: Array, reverse: bool) -> Array:
    """Charge after `excess` has run along y, starting at each pixel's neighbour."""

    def step(running: Array, row: tuple[Array, ...]) -> tuple[Array, Array]:
        held, brim, new = row
        taken = jnp.minimum(running, brim - held)
        return running - taken + new, held + taken

    rows = tuple(jnp.moveaxis(v, -2, 0) for v in (charge, full, excess))
    start = jnp.zeros_like(rows[0][0])
    return jnp.moveaxis(jax.lax.scan(step, start, rows, reverse=reverse)[1], 0, -2)
