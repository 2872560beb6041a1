"""Zernikes at points of the field, as polynomials: no square root, so that they have gradients on the axis too."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.zernike import noll_to_nm


def zernikes(count: int, x: Array, y: Array) -> Array:
    """(..., count) values of Z_1 .. Z_count (Noll 1976) at points (x, y) of the unit disc; extrapolates outside.

    Z = sqrt(n + 1) (sqrt 2 for m > 0) P(rho^2) Re or Im (x + iy)^m, with rho^m P(rho^2) the radial polynomial.
    """
    r2 = x * x + y * y
    orders = [noll_to_nm(j) for j in range(1, count + 1)]
    real, imaginary = [jnp.ones_like(r2)], [jnp.zeros_like(r2)]
    for _ in range(max((abs(m) for _, m in orders), default=0)):
        real, imaginary = [*real, real[-1] * x - imaginary[-1] * y], [*imaginary, real[-1] * y + imaginary[-1] * x]
    values = []
    for n, m in orders:
        k = abs(m)
        radial = jnp.zeros_like(r2)
        for s in range((n - k) // 2 + 1):  # falling powers of rho^2, by Horner's rule
            term = (-1) ** s * math.factorial(n - s)
            down = math.factorial(s) * math.factorial((n + k) // 2 - s) * math.factorial((n - k) // 2 - s)
            radial = radial * r2 + term // down
        norm = math.sqrt((n + 1) * (2 if m else 1))
        values.append(norm * radial * (imaginary[k] if m < 0 else real[k]))
    return jnp.stack(values, -1)


def double_zernike(table: np.ndarray, x: Array, y: Array) -> Array:
    """(..., J) pupil coefficients at field points (x, y) of the unit disc: sum_k table[j, k] Z_(k + 1)(x, y)
    (Kwee & Braat 1993, Pure Appl. Opt. 2, 21)."""
    return zernikes(table.shape[1], jnp.asarray(x), jnp.asarray(y)) @ jnp.asarray(table.T, jnp.float32)


def fit_double_zernike(x: np.ndarray, y: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """(J, count) table by least squares from values (N, J) at N field points of the unit disc.

    Raises ValueError where the points do not determine `count` terms.
    """
    from twin.numerics.zernike import zernike

    design = np.stack([zernike(k, np.asarray(x, float), np.asarray(y, float)) for k in range(1, count + 1)], -1)
    table, _, rank, _ = np.linalg.lstsq(design, np.asarray(values, float), rcond=None)
    if rank < count:
        raise ValueError(f"{len(design)} points of the field determine {rank} terms of a map, not {count}")
    return table.T
