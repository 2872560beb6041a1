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
