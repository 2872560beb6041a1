"""Exact Poisson sampling for images: inversion at low rates, transformed rejection at high ones, all in float32.

Below _SPLIT the cumulative sum is inverted with a fixed number of terms; above it Hormann's PTRS (1993, Insurance:
Mathematics and Economics 12, 39) runs until every pixel has accepted. `jax.random.poisson` does the same with a loop
over both branches for every pixel and 64-bit draws; it was the slowest stage of a simulation.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

_SPLIT = 12.0
_TERMS = 48  # P(N > 48) at rate 12 is 1e-14, far below the 2^-24 steps of a float32 uniform
_MAX_RATE = 1e8


def _inversion(key: Array, rate: Array) -> Array:
    # 1 - u keeps the fine steps of small numbers for the far tail, where they are needed
    left = 1.0 - jax.random.uniform(key, rate.shape, jnp.float32)
    term = jnp.exp(-rate)
    left = left - term
    count = jnp.zeros_like(rate)
    for k in range(1, _TERMS + 1):
        count = count + (left > 0)
        term = term * rate / k
        left = left - term
    return count


def _stirling(k: Array) -> Array:
    """ln k! - [(k + 1/2) ln(k + 1) - (k + 1) + ln(2 pi)/2]: Stirling's series in 1/(k + 1), 1e-7 for k >= 4."""
    x = 1.0 / (k + 1.0)
    x2 = x * x
    return x * (1 / 12 - x2 * (1 / 360 - x2 * (1 / 1260 - x2 / 1680)))


def _log_probability(k: Array, rate: Array) -> Array:
    """ln of the Poisson probability of k; the terms of order `rate` cancel through log1p, not by subtraction."""
    n = k + 1.0
    u = (rate - n) / n
    # k ln rate - rate - ln k!, with ln k! = (k + 1/2) ln n - n + ln(2 pi)/2 + stirling(k)
    return n * (jnp.log1p(u) - u) - jnp.log(rate) + 0.5 * jnp.log(n) - 0.91893853 - _stirling(k)


def _rejection(key: Array, rate: Array, needed: Array) -> Array:
    b = 0.931 + 2.53 * jnp.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inv_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2)

    def step(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        key, value, open_ = carry
        key, ku, kv = jax.random.split(key, 3)
        u = jax.random.uniform(ku, rate.shape, jnp.float32) - 0.5
        v = jnp.maximum(jax.random.uniform(kv, rate.shape, jnp.float32), 1e-12)
        us = 0.5 - jnp.abs(u)
        safe = jnp.maximum(us, 1e-7)
        k = jnp.floor((2 * a / safe + b) * u + rate + 0.43)
        quick = (us >= 0.07) & (v <= v_r)
        never = (k < 0) | ((us < 0.013) & (v > us)) | (us <= 0)
        slow = jnp.log(v * inv_alpha / (a / (safe * safe) + b)) <= _log_probability(jnp.maximum(k, 0), rate)
        accept = quick | (~never & slow)
        return key, jnp.where(open_ & accept, k, value), open_ & ~accept

    start = (key, jnp.zeros_like(rate), needed)
    return jax.lax.while_loop(lambda c: jnp.any(c[2]), step, start)[1]


def poisson(key: Array, rate: Array) -> Array:
    """Poisson draws (float32, whole numbers) at `rate` >= 0, exact in distribution up to the 2^-24 steps of float32
    uniforms.

    Rates above 1e8 are cut there (their draws would not be whole in float32); a negative or NaN rate gives NaN.
    """
    good = rate >= 0
    rate = jnp.clip(jnp.where(good, rate, 0.0), 0.0, _MAX_RATE).astype(jnp.float32)
    low_key, high_key = jax.random.split(key)
    low = _inversion(low_key, jnp.minimum(rate, _SPLIT))
    high = _rejection(high_key, jnp.maximum(rate, _SPLIT), rate > _SPLIT)
    return jnp.where(good, jnp.where(rate > _SPLIT, high, low), jnp.nan)
