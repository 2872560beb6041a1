"""Trigonometric functions as polynomials: XLA's own calls cost five times as much on CPU and dominate deflection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


@dataclass(frozen=True)
class _Fit:
    """Chebyshev interpolant in z = v^2 on [0, limit] of f(v), or of f(v) / v for odd f.

    Kept in powers of z - limit / 2: powers of z itself would cancel to the fifth digit.
    """

    middle: float
    coefficients: np.ndarray

    @classmethod
    def of(cls, function: Callable[[np.ndarray], np.ndarray], limit: float, degree: int) -> _Fit:
        nodes = 0.5 * limit * (1 - np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)))
        series = np.polynomial.Chebyshev.fit(nodes, function(np.sqrt(nodes)), degree, domain=[0, limit])
        powers = np.polynomial.chebyshev.cheb2poly(series.coef)
        return cls(limit / 2, powers / (limit / 2) ** np.arange(degree + 1))

    def __call__(self, v: Array) -> Array:
        z = v * v - self.middle
        result = jnp.full_like(z, self.coefficients[-1])
        for c in self.coefficients[-2::-1]:
            result = result * z + c
        return result


_ARCSIN = _Fit.of(lambda v: np.arcsin(v) / v, 0.5, 11)  # the argument is halved once before the polynomial
_SIN = _Fit.of(lambda v: np.sin(v) / v, (np.pi / 2) ** 2, 4)
_COS = _Fit.of(np.cos, (np.pi / 2) ** 2, 5)


def arcsin(v: Array) -> Array:
    """arcsin for |v| <= 1, absolute error below 3e-7 (float32); float64 goes to jnp.arcsin."""
    if v.dtype == jnp.float64:
        return jnp.arcsin(v)
    half = v * jax.lax.rsqrt(2 * (1 + jnp.sqrt(jnp.maximum((1 - v) * (1 + v), 0))))
    return 2 * half * _ARCSIN(half)


def _reduced(x: Array) -> tuple[Array, Array]:
    """(-1)^k and x - k pi in [-pi/2, pi/2], after Cody and Waite: k times the first of the two parts of pi is exact."""
    k = jnp.round(x * (1 / np.pi))
    sign = 1 - 2 * (k - 2 * jnp.floor(0.5 * k))
    return sign, (x - k * np.float32(3.140625)) - k * np.float32(np.pi - 3.140625)


def sincos(x: Array) -> tuple[Array, Array]:
    """sin and cos of x [rad] to 2e-7 for |x| < 1e3 (float32); float64 goes to jnp."""
    if x.dtype == jnp.float64:
        return jnp.sin(x), jnp.cos(x)
    sign, r = _reduced(x)
    return sign * r * _SIN(r), sign * _COS(r)


def cos(x: Array) -> Array:
    """cos of x [rad] to 2e-7 for |x| < 1e3 (float32); float64 goes to jnp."""
    if x.dtype == jnp.float64:
        return jnp.cos(x)
    sign, r = _reduced(x)
    return sign * _COS(r)
