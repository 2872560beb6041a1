"""Functions of one variable that lens models need, as polynomials: XLA's arctan costs ten times as much on CPU.

Each exists in two lengths: float32 arguments get the short polynomial (2e-7 relative), float64 ones the long (1e-14).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array


@dataclass(frozen=True)
class Polynomial:
    """Chebyshev interpolants of f on [low, high], kept in powers of (2 z - low - high) / (high - low)."""

    low: float
    high: float
    short: np.ndarray
    long: np.ndarray

    @classmethod
    def of(
        cls, function: Callable[[np.ndarray], np.ndarray], low: float, high: float, short: int, long: int
    ) -> Polynomial:
        """function of float64 arrays; degrees for float32 and for float64."""

        def powers(degree: int) -> np.ndarray:
            nodes = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
            values = function(low + 0.5 * (nodes + 1) * (high - low))
            return np.polynomial.chebyshev.cheb2poly(np.polynomial.chebyshev.chebfit(nodes, values, degree))

        return cls(low, high, powers(short), powers(long))

    def __call__(self, z: Array) -> Array:
        coefficients = self.long if z.dtype == jnp.float64 else self.short
        w = z * (2 / (self.high - self.low)) - (self.high + self.low) / (self.high - self.low)
        result = jnp.full_like(w, coefficients[-1])
        for c in coefficients[-2::-1]:
            result = result * w + float(c)
        return result


def _arctan_over(z: np.ndarray) -> np.ndarray:
    """arctan(sqrt z) / sqrt z, and beyond z = 0 its continuation arctanh(sqrt(-z)) / sqrt(-z)."""
    root = np.sqrt(np.abs(z))
    safe = np.where(root > 1e-4, root, 1.0)
    with np.errstate(invalid="ignore"):
        value = np.where(z > 0, np.arctan(safe), np.arctanh(np.where(z > 0, 0.0, safe)))
    return np.where(root > 1e-4, value / safe, 1 - z / 3)


ARCTANH_LIMIT = 2 / 3

arctan_over = Polynomial.of(_arctan_over, 0.0, 1.0, 10, 21)
"""arctan(v) / v at z = v^2 <= 1."""

arctanh_over = Polynomial.of(lambda z: _arctan_over(-z), 0.0, ARCTANH_LIMIT, 13, 28)
"""arctanh(v) / v at z = v^2 <= ARCTANH_LIMIT."""

_NEAR = 0.4  # below it the NFW's functions are expanded about 0


def _nfw_core(z: np.ndarray) -> np.ndarray:
    """-ln((1 + sqrt(1 - z)) / 2) / z."""
    e = z / (2 * (1 + np.sqrt(1 - z)))
    return np.where(z > 1e-8, -np.log1p(-e) / np.where(z > 1e-8, z, 1.0), 0.25 + 3 * z / 32)


def _nfw_ring(w: np.ndarray) -> np.ndarray:
    """(arctanh(sqrt w) / sqrt w - 1) / w = sum w^k / (2 k + 3); w < 0 is arctan's."""
    k = np.arange(40)
    return np.sum(w[:, None] ** k / (2 * k + 3), -1)


_core = Polynomial.of(_nfw_core, 0.0, _NEAR**2, 5, 12)
_ring = Polynomial.of(_nfw_ring, -0.1717, 0.139, 5, 12)
arcsin_over = Polynomial.of(lambda z: np.arcsin(np.sqrt(z)) / np.sqrt(z), 0.0, 0.25, 6, 16)
"""arcsin(v) / v at z = v^2 <= 1/4."""


@dataclass(frozen=True)
class NFWFunctions:
    """Of x = r / Rs (Wright & Brainerd 2000, ApJ 534, 34), keeping the digits that their formulae lose near 0 and 1:

    arc   F = arccosh(1/x) / sqrt(1 - x^2), and arccos(1/x) / sqrt(x^2 - 1) beyond 1
    ring  (1 - F) / (x^2 - 1): half the convergence in units of rho0 Rs
    mean  (F + ln(x/2)) / x^2
    well  ln^2(x/2) - arccosh^2(1/x)
    """

    arc: Array
    ring: Array
    mean: Array
    well: Array


def nfw_functions(x: Array) -> NFWFunctions:
    """For x > 0. F(u) of u = 1 - x^2 doubles its argument twice, F(u) = 2 / (1 + x) F((1 - x) / (1 + x))."""
    log = jnp.log(0.5 * x)
    near = x < _NEAR
    z = jnp.minimum(x * x, _NEAR**2)
    root = jnp.sqrt(1 - z)
    core = _core(z)
    arc_near = -(log + z * core) / root
    far = jnp.maximum(x, _NEAR)
    first = 1 / (1 + far)
    half = jnp.sqrt(2 * far * first)
    second = 1 / (1 + half)
    w = (1 - half) * second
    ring = _ring(w)
    arc_far = 4 * first * second * (1 + w * ring)
    ring_far = (1 + 2 * first * (1 + 2 * second * ring) * second * second) * first * first
    return NFWFunctions(
        arc=jnp.where(near, arc_near, arc_far),
        ring=jnp.where(near, (arc_near - 1) / (1 - z), ring_far),
        mean=jnp.where(near, -(core + log / (1 + root)) / root, (arc_far + log) / (far * far)),
        well=jnp.where(near, -z * core * (2 * log + z * core), log * log - (1 - far) * (1 + far) * arc_far * arc_far),
    )
