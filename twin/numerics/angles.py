"""Trigonometric functions as polynomials: XLA's own calls cost five times as much on CPU and dominate deflection."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


def _fit(function: Callable[[np.ndarray], np.ndarray], limit: float, degree: int) -> np.ndarray:
    """Power coefficients of the Chebyshev interpolant of f(sqrt(z))/sqrt(z) on [0, limit]."""
    nodes = 0.5 * limit * (1 - np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)))
    roots = np.sqrt(nodes)
    series = np.polynomial.Chebyshev.fit(nodes, function(roots) / roots, degree, domain=[0, limit])
    return series.convert(kind=np.polynomial.Polynomial).coef


_LIMIT = 0.7  # of the reduced argument squared: both functions are halved once before the polynomial
_ARCSIN = _fit(np.arcsin, 0.5, 11)
_ARCTANH = _fit(np.arctanh, _LIMIT, 14)


def _odd(coefficients: np.ndarray, v: Array) -> Array:
    z = v * v
    result = jnp.full_like(z, coefficients[-1])
    for c in coefficients[-2::-1]:
        result = result * z + c
    return result * v


def arcsin(v: Array) -> Array:
    """arcsin for |v| <= 1, absolute error below 3e-7 (float32); float64 goes to jnp.arcsin."""
    if v.dtype == jnp.float64:
        return jnp.arcsin(v)
    half = v * jax.lax.rsqrt(2 * (1 + jnp.sqrt(jnp.maximum(1 - v * v, 0))))
    return 2 * _odd(_ARCSIN, half)


def arctanh(v: Array) -> Array:
    """arctanh for |v| <= 0.984, relative error below 5e-7 (float32); float64 goes to jnp.arctanh."""
    if v.dtype == jnp.float64:
        return jnp.arctanh(v)
    return 2 * _odd(_ARCTANH, v / (1 + jnp.sqrt(jnp.maximum(1 - v * v, 0))))


def sincos(x: Array) -> tuple[Array, Array]:
    """sin and cos of x [rad] to 2e-7 for |x| < 1e3 (float32): Cody-Waite reduction to [-pi/4, pi/4], then Taylor."""
    if x.dtype == jnp.float64:
        return jnp.sin(x), jnp.cos(x)
    k = jnp.round(x * (2 / np.pi))
    r = (x - k * np.float32(1.5703125)) - k * np.float32(np.pi / 2 - 1.5703125)
    z = r * r
    sin = r * (1 + z * (-1 / 6 + z * (1 / 120 + z * (-1 / 5040 + z / 362880))))
    cos = 1 + z * (-1 / 2 + z * (1 / 24 + z * (-1 / 720 + z * (1 / 40320 - z / 3628800))))
    quarter = k.astype(jnp.int32)
    odd = (quarter & 1) == 1
    sine, cosine = jnp.where(odd, cos, sin), jnp.where(odd, sin, cos)
    return jnp.where((quarter & 2) != 0, -sine, sine), jnp.where(((quarter + 1) & 2) != 0, -cosine, cosine)
