"""Powers of two and their logarithm as polynomials on one octave: half to two thirds of what XLA's own cost on CPU."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

_MANTISSA = np.int32(0x7FFFFF)
_SQRT_HALF = np.int32(0x3F3504F3)  # the bits of 1/sqrt(2): where the octave of `log2` begins


def _fit(function: Callable[[np.ndarray], np.ndarray], low: float, high: float, degree: int) -> np.ndarray:
    """(degree + 1,) powers, lowest first, of the Chebyshev interpolant."""
    nodes = 0.5 * (low + high) + 0.5 * (high - low) * np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    return np.polynomial.polynomial.polyfit(nodes, function(nodes), degree)


_LOG2 = _fit(lambda m: np.log2(1 + m) / m, np.sqrt(0.5) - 1, np.sqrt(2.0) - 1, 7)
_EXP2 = _fit(np.exp2, -0.5, 0.5, 5)


def _horner(coefficients: np.ndarray, x: Array) -> Array:
    value = jnp.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        value = value * x + np.float32(c)
    return value


@jax.custom_jvp
def log2(x: Array) -> Array:
    """log2 of normal x > 0 to 4e-7 near 1 and 1e-7 of itself elsewhere (float32); float64 goes to jnp."""
    if x.dtype == jnp.float64:
        return jnp.log2(x)
    bits = lax.bitcast_convert_type(x, jnp.int32) - _SQRT_HALF
    power = lax.shift_right_arithmetic(bits, np.int32(23))
    m = lax.bitcast_convert_type((bits & _MANTISSA) + _SQRT_HALF, jnp.float32) - 1
    return power.astype(jnp.float32) + _horner(_LOG2, m) * m


@log2.defjvp
def _log2_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return log2(primals[0]), tangents[0] / (primals[0] * np.float32(np.log(2)))


@jax.custom_jvp
def exp2(x: Array) -> Array:
    """2^x to 3e-7 of itself for |x| < 126, beyond which it stays (float32); float64 goes to jnp."""
    if x.dtype == jnp.float64:
        return jnp.exp2(x)
    x = jnp.clip(x, -126.0, 126.0)
    power = jnp.floor(x + 0.5)
    shift = lax.shift_left(power.astype(jnp.int32), np.int32(23))
    return lax.bitcast_convert_type(lax.bitcast_convert_type(_horner(_EXP2, x - power), jnp.int32) + shift, jnp.float32)


@exp2.defjvp
def _exp2_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    value = exp2(primals[0])
    return value, tangents[0] * value * np.float32(np.log(2))
