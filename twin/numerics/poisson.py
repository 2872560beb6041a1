"""Exact Poisson sampling for images by inversion, all in float32: one uniform a pixel, no loop that waits for the last.

Below _SPLIT the cumulative sum is inverted with a fixed number of terms. Above it Temme's uniform expansion of the
incomplete gamma function is (Temme 1979, SIAM J. Math. Anal. 10, 757; Giles 2016, ACM TOMS 42, 7): the quantile of a
standard normal deviate w is floor(x),

    x = rate r(s) + c(s) + e(s) / rate,   s = w / sqrt(rate),   s^2 / 2 = 1 - r + r ln r,   sign s = sign(r - 1),

within 1e-6 of the distribution function, of which a float32 uniform has steps of 1e-7. `jax.random.poisson` rejects
instead, until every pixel has accepted, and was the slowest stage of a simulation.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

_SPLIT = 12.0
_TERMS = 48  # P(N > 48) at rate 12 is 1e-14, far below the steps of a float32 uniform
_MAX_RATE = 1e8

# Polynomials in s from -1.3 to 1.75, fitted in float64 for least error of the distribution function at rates above 12.
# Their first terms are those of the series: (r - 1) / s = 1 + s/6 - s^2/72 ..., c = 1/3 - s/36 ..., e = -8/405 ...
_RATIO = (
    9.9999999587e-01, 1.6666704456e-01, -1.3888475174e-02, 3.6922248305e-03, -1.3355967140e-03, 6.3713945632e-04,
    -2.5011587526e-04, -4.7048776340e-05, -4.5342175518e-05, 1.5899863838e-04, -6.0269569954e-05,
)  # fmt: skip
_FIRST = (0.3333328178, -0.0277944474, 0.0086750636, -0.0032370171, 0.0014064592, -0.001666833, 0.0009023104)
_SECOND = (-0.0197771009, 0.0173509297, -0.0131087376, 0.0105252317, -0.0068922336)


def _inversion(left: Array, rate: Array) -> Array:
    """The count whose upper tail holds `left`: the fine steps of small numbers are for the far tail."""
    term = jnp.exp(-rate)
    left = left - term
    count = jnp.zeros_like(rate)
    for k in range(1, _TERMS + 1):
        count = count + (left > 0)
        term = term * rate / k
        left = left - term
    return count


@jax.custom_batching.custom_vmap
def _where_low(v: Array, rate: Array) -> Array:
    """Counts where the rate is low, from uniforms v on (-1, 1). Where no pixel's is (any sky from the ground), or none
    of a whole batch, nothing is computed: a `vmap` of `cond` would compute it all the same."""
    some = jnp.any(rate <= _SPLIT)
    return jax.lax.cond(some, lambda: _inversion(0.5 - 0.5 * v, jnp.minimum(rate, _SPLIT)), lambda: jnp.zeros_like(v))


@_where_low.def_vmap
def _(size: int, batched: list[bool], v: Array, rate: Array) -> tuple[Array, bool]:
    v, rate = (
        a if there else jnp.broadcast_to(a, (size, *a.shape)) for a, there in zip((v, rate), batched, strict=True)
    )
    return _where_low(v, rate), True


def _horner(coefficients: tuple[float, ...], s: Array) -> Array:
    value = jnp.full_like(s, coefficients[-1])
    for c in coefficients[-2::-1]:
        value = value * s + c
    return value


def quantile(w: Array, rate: Array) -> Array:
    """The count at rate > 12 that has the standard normal deviate w for its quantile (Temme's expansion)."""
    root = jnp.sqrt(rate)
    s = jnp.clip(w / root, -1.3, 1.75)
    above = rate * s * _horner(_RATIO, s) + _horner(_FIRST, s) + _horner(_SECOND, s) / rate
    whole = jnp.floor(rate)  # apart, for a large rate leaves float32 no digits behind the point
    return jnp.maximum(whole + jnp.floor(above + (rate - whole)), 0.0)


def poisson(key: Array, rate: Array) -> Array:
    """Poisson draws (float32, whole numbers) at `rate` >= 0, exact in distribution to 1e-6 and to the steps of float32
    uniforms.

    Rates above 1e8 are cut there (their draws would not be whole in float32); a negative or NaN rate gives NaN.
    """
    good = rate >= 0
    rate = jnp.clip(jnp.where(good, rate, 0.0), 0.0, _MAX_RATE).astype(jnp.float32)
    v = jax.random.uniform(key, rate.shape, jnp.float32, np.nextafter(np.float32(-1), np.float32(0)), 1.0)
    low = _where_low(v, rate)
    high = quantile(np.float32(np.sqrt(2)) * jax.lax.erf_inv(v), jnp.maximum(rate, _SPLIT))
    return jnp.where(good, jnp.where(rate > _SPLIT, high, low), jnp.nan)
