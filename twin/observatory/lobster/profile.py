"""What pores make of one photon energy, whichever the source: the tables that `twin.observatory.lobster.psf` and
`photons` look up. Equations: there.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from twin.observatory.lobster.bounces import ARCMIN, NODES, ORDERS, SINES, STEP, weights
from twin.observatory.lobster.reflectivity import Coating
from twin.observatory.lobster.state import LobsterState

CORE = 97  # nodes of the blurred focus
_CELLS = 16  # of the focus before its blur
_EVERY = 8  # nodes of the pores' sines in one box of the focus
_SPAN = 4.5  # standard deviations
_COARSE = 4  # nodes of the even bounces' wing
_BLOCK = 16  # nodes that are summed at once


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Profile:
    """What pores make of one photon energy, whichever the source: cumulative tables along one axis, per unit of
    sine."""

    odd: Array
    """(2, NODES + 1) light of 1, and of 3 and more odd bounces, from pores at sines 0 to s, one side."""
    moment: Array
    """(NODES + 1,) the same of any odd number of bounces, times the pore's sine."""
    even: Array
    """(3, 2 NODES + 1) light of 0, of 2 and more even bounces, and of those in the wing, at offsets -2 REACH to x."""
    scatter: Array
    """(3,) share of what bounces 1, 2, 3 times and more that lies in the wing."""
    core: Array
    """(2, 2, CORE) distribution of odd bounces' offsets about the source: once, more; sharp, broadened as second-order
    arms are. Pores at positive s."""
    reach: Array
    """(2,) where the tables of `core` end [arcmin]."""


def profile(state: LobsterState, coating: Coating, energy: ArrayLike) -> Profile:
    """The tables of one State (no batch axes) and one photon energy [keV]."""
    w = weights(state, coating, energy)
    order = jnp.arange(ORDERS)
    kept = jnp.exp(order * jnp.log1p(-state.scatter))
    first, many = w[1], w[3::2].sum(0)
    lost = [_mean(1 - kept[n][:, None], w[n]) for n in (slice(1, 2), slice(2, None, 2), slice(3, None, 2))]
    # photons of n even bounces leave the pore n w/2 nearer to the source's image than its middle
    moved = order[2::2, None] * (state.pore_width / state.radius / 2 / STEP) + jnp.arange(NODES, dtype=jnp.float32)
    sharp, loose = _wings(state, jax.vmap(uniform)(w[2::2], moved), 1 - kept[2::2])
    below = _below(jnp.stack([first, many, (first + many) * SINES, w[0], sharp, loose]))
    odd, moment, half = below[:2], below[2], below[3:]
    even = jnp.concatenate([half[:, -1:] - half[:, :0:-1], half[:, -1:] + half], 1)
    core, reach = _core(state, w)
    return Profile(odd, moment, even, jnp.stack(lost), core, reach)


def _below(table: Array) -> Array:
    """(rows, NODES + 1) integral of tables (rows, NODES) from 0 on: sums of blocks of nodes, which are products."""
    blocks = table.reshape(len(table), -1, _BLOCK)
    within = blocks @ np.triu(np.ones((_BLOCK, _BLOCK), np.float32))
    count = blocks.shape[1]
    before = within[:, :, -1] @ np.triu(np.ones((count, count), np.float32), 1)
    whole = (within + before[:, :, None]).reshape(table.shape) * STEP
    return jnp.pad(whole, ((0, 0), (1, 0)))


def _mean(share: ArrayLike, w: Array) -> Array:
    return (share * w).sum() / jnp.maximum(w.sum(), 1e-30)


def _wings(state: LobsterState, w: Array, share: Array) -> tuple[Array, Array]:
    """(NODES,) even bounces on one side: those that are not scattered, and the others moved along x, in cells of some
    nodes."""
    sharp, loose = ((1 - share[:, None]) * w).sum(0), (share[:, None] * w).sum(0)
    cells = loose.reshape(-1, _COARSE).mean(1)
    cells = jnp.concatenate([cells[::-1], cells])
    n = len(cells)
    # from a cell to a cell: second differences of the wing's second integral
    edges = (2 * STEP * _COARSE / ARCMIN) * jnp.arange(-n - 1, n + 2, dtype=jnp.float32)
    kernel = jnp.diff(jnp.diff((edges + jnp.hypot(edges, state.scatter_width)) / 2)) / (edges[1] - edges[0])
    moved = jnp.fft.irfft(jnp.fft.rfft(cells, 4 * n) * jnp.fft.rfft(kernel, 4 * n), 4 * n)[n : 2 * n]
    half = jnp.arange(NODES, dtype=jnp.float32) / _COARSE + (n - 1) / 2 + 0.5 / _COARSE
    return sharp, uniform(moved, half)


def wing_below(x: Array, width: Array) -> Array:
    """Share of the wing below x [arcmin]."""
    return 0.5 * (1 + x * jax.lax.rsqrt(x**2 + width**2))


def _core(state: LobsterState, w: Array) -> tuple[Array, Array]:
    side, s = state.pore_width / state.radius, SINES.reshape(-1, _EVERY).mean(1)
    order = jnp.arange(1, ORDERS, 2, dtype=jnp.float32)[:, None]
    p = jnp.maximum(0, 1 - jnp.abs(state.pore_ratio * s / np.sqrt(1 - s**2) - order))
    middle, half = order * side - s**3, jnp.maximum(p * side, 1e-7)
    span = 4 * side + 3e-4
    edges = span * jnp.linspace(-1, 1, _CELLS + 1)
    below = jnp.clip((edges[:, None, None] - middle) / (2 * half) + 0.5, 0, 1)
    light = w[1::2].reshape(-1, len(s), _EVERY).mean(2) * (p > 0)
    below = jnp.stack([(below * light)[:, :1].sum((1, 2)), (below * light)[:, 1:].sum((1, 2))])
    cells = jnp.diff(below, axis=1) / jnp.maximum(below[:, -1:] - below[:, :1], 1e-30)
    blur = jnp.stack([2 * state.tilt, jnp.hypot(2 * state.tilt, state.second_order)])
    blur = jnp.maximum(blur, 0.02)
    reach = span / ARCMIN + _SPAN * blur
    x = reach[:, None] * jnp.linspace(-1, 1, CORE)
    z = (x[:, :, None] - edges / ARCMIN) / blur[:, None, None]
    h = z * 0.5 * (1 + jax.lax.erf(z * 0.70710678)) + 0.39894228 * jnp.exp(-0.5 * z**2)
    step = 2 * span / ARCMIN / _CELLS
    # each cell's light, and what it takes from the next one's: of h itself, not of its differences
    turns = jnp.diff(cells, axis=1, prepend=0.0, append=0.0)
    table = jnp.einsum("bxc,oc->obx", h, turns) * (blur / step)[:, None]
    return table, reach


def uniform(table: Array, at: Array) -> Array:
    """Linear interpolation at node numbers, held constant beyond the ends."""
    at = jnp.clip(at, 0, table.shape[-1] - 1.001)
    low = at.astype(jnp.int32)
    left = table[low]
    return left + (at - low) * (table[low + 1] - left)
