"""Poisson numbers for images of many faint bins, by tables: half the time of `twin.numerics.poisson`, whose bins may
have any rate.

A number of the rate j / 4 + d is one of the rate j / 4, from Walker's alias table (1977, ACM TOMS 3, 253), and one of
the rate d < 1/4, by inversion with six terms. Above _LIMIT it is Temme's quantile, computed only about bins with such
a rate where they are few.
"""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.special import gammaln

from twin.numerics.poisson import quantile
from twin.numerics.words import apart, words

_LIMIT, _STEPS = 64, 4  # rates with a table, tables a unit of rate
_BITS = 7  # cells of a table: numbers from 0 to 127, of which those beyond have 1e-12 at the limit
_WHOLE = (1 << 32 - _BITS) - 1
_TERMS = 6  # P(N > 6) at a rate of 1/4 is 1e-8, below the steps of the uniforms
_GROUP = 16  # bins that are looked at together for a rate above the limit


@cache
def _aliases() -> np.ndarray:
    """(rates, cells) the share of a cell that is its own in the upper 25 bits, whose the rest is in the lower 7."""
    number = np.arange(1 << _BITS)
    rates = np.arange(_LIMIT * _STEPS) / _STEPS
    law = np.exp(number * np.log(np.maximum(rates, 1e-300))[:, None] - rates[:, None] - gammaln(number + 1))
    law[0] = number == 0
    found = np.zeros(law.shape, np.uint32)
    for row, shares in zip(found, law / law.sum(1, keepdims=True) * len(number), strict=True):
        share, other = shares.tolist(), list(range(len(number)))
        poor = [k for k in other if share[k] < 1]
        rich = [k for k in other if share[k] >= 1]
        while poor and rich:
            k = poor.pop()
            other[k] = rich[-1]
            share[rich[-1]] -= 1 - share[k]
            if share[rich[-1]] < 1:
                poor.append(rich.pop())
        for k in poor + rich:  # what rounding left
            share[k] = 1.0
        row[:] = np.round(np.array(share) * _WHOLE).astype(np.uint32) << _BITS | np.array(other, np.uint32)
    return found.ravel()


def poisson_image(key: Array, rate: Array) -> Array:
    """Poisson draws, int32, at `rate` of any shape, exact to the 32 bits of their random words; rates below 0 are 0."""
    flat = jnp.maximum(rate, 0.0).astype(jnp.float32).ravel()
    bits = apart(flat.max() > 0, words(key, flat.size)[0])
    step = jnp.minimum((flat * _STEPS).astype(jnp.int32), _LIMIT * _STEPS - 1)
    cell, within = (bits >> (32 - _BITS)).astype(jnp.int32), bits & _WHOLE
    entry = jnp.asarray(_aliases()).at[(step << _BITS) + cell].get(mode="promise_in_bounds")
    share = entry >> _BITS
    own = within < share
    number = jnp.where(own, cell, (entry & ((1 << _BITS) - 1)).astype(jnp.int32))

    # where the word lies within its share of the cell is uniform again
    above, span = jnp.where(own, within, within - share), jnp.where(own, share, _WHOLE + 1 - share)
    unit = (above.astype(jnp.int32).astype(jnp.float32) + 0.5) / span.astype(jnp.int32).astype(jnp.float32)
    rest = jnp.minimum(flat - step / _STEPS, 1 / _STEPS)
    term = jnp.exp(-rest)
    left = unit - term
    for k in range(1, _TERMS + 1):
        number += left > 0
        term = term * rest * (1 / k)
        left = left - term

    padded = -flat.size % _GROUP
    flat, bits, number = (jnp.pad(a, (0, padded)).reshape(-1, _GROUP) for a in (flat, bits, number))
    bright = (flat >= _LIMIT).any(1)
    room = -(-len(bright) // 4)

    def drawn(rate: Array, bits: Array, number: Array) -> Array:
        unit = (bits >> 8).astype(jnp.float32) * 2.0**-23 - (1 - 2.0**-24)
        normal = np.float32(np.sqrt(2)) * jax.lax.erf_inv(unit)
        return jnp.where(rate >= _LIMIT, quantile(normal, jnp.maximum(rate, _LIMIT)).astype(jnp.int32), number)

    def some() -> Array:
        at = jnp.nonzero(bright, size=room, fill_value=len(bright))[0]
        return number.at[at].set(drawn(flat[at], bits[at], number[at]), mode="drop")

    many = jax.lax.cond(bright.sum() <= room, some, lambda: drawn(flat, bits, number))
    return many.ravel()[: rate.size].reshape(rate.shape)
