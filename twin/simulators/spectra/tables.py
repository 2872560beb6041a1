"""Tables of line profiles, interpolated in any number of parameters, then in velocity."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array


def corner(axes: Sequence[np.ndarray], values: Sequence[Array]) -> tuple[Array, Array]:
    """(rows (2^P,), weights (2^P,)) of a table with the axes' nodes in C order, for linear interpolation at scalar
    `values`, which are held within the axes."""
    flat, weights = jnp.zeros((1,), jnp.int32), jnp.ones((1,), jnp.float32)
    for axis, value in zip(axes, values, strict=True):
        nodes = jnp.asarray(axis, jnp.float32)
        value = jnp.clip(value, nodes[0], nodes[-1])
        k = jnp.clip(jnp.sum(value >= nodes) - 1, 0, len(axis) - 2)
        share = (value - nodes[k]) / (nodes[k + 1] - nodes[k])
        flat = (flat[:, None] * len(axis) + k + jnp.arange(2)).reshape(-1)
        weights = (weights[:, None] * jnp.stack([1 - share, share])).reshape(-1)
    return flat, weights


def interpolated(row: Array, position: Array) -> Array:
    """row (..., N) at fractional indices position (L,), linear; 0 outside."""
    n = row.shape[-1]
    k = jnp.clip(jnp.floor(position).astype(jnp.int32), 0, n - 2)
    share = position - k
    found = row[..., k] * (1 - share) + row[..., k + 1] * share
    return jnp.where((position >= 0) & (position <= n - 1), found, 0.0)
