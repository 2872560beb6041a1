"""Random words in one vectorised loop: Threefry with two words of 32 bits and 20 rounds (Salmon et al. 2011, SC11,
doi:10.1145/2063384.2063405), the generator of `jax.random`, which on a CPU goes over its arrays once for every four
rounds and keeps one of each two words.
"""

from __future__ import annotations

from typing import TypeVar, cast

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

T = TypeVar("T")
_TURNS = ((13, 15, 26, 6), (17, 29, 16, 24))  # bits that words are turned by, every second group of four rounds
_PARITY = 0x1BD11BDA


def words(key: Array, count: int, start: ArrayLike = 0) -> tuple[Array, Array]:
    """Two arrays (count,) of independent random bits, uint32: the hashes of start to start + count - 1 under `key`, of
    `jax.random.key` and not to be used for anything else."""
    first, second = jax.random.key_data(key)[:2]
    keys = (first, second, first ^ second ^ jnp.uint32(_PARITY))
    b = jnp.arange(count, dtype=jnp.uint32) + (jnp.asarray(start, jnp.uint32) + second)
    a = jnp.broadcast_to(first, b.shape)
    for group in range(5):
        for turn in _TURNS[group % 2]:
            a = a + b
            b = a ^ ((b << turn) | (b >> (32 - turn)))
        a = a + keys[(group + 1) % 3]
        b = b + keys[(group + 2) % 3] + jnp.uint32(group + 1)
    return a, b


def apart(there: Array, values: T) -> T:
    """`values`, arrays, computed in loops of their own, and 0 where not `there`.

    XLA fuses all it can into the loop that needs it, which then makes sums and hashes anew for each use and is not
    vectorised: three times slower for photons of a lobster eye. No fusion crosses a condition.
    """
    leaves, tree = jax.tree.flatten(values)
    found = jax.lax.cond(there, lambda *a: a, lambda *a: tuple(map(jnp.zeros_like, a)), *leaves)
    return cast(T, jax.tree.unflatten(tree, found))
