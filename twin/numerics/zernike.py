"""Zernike polynomials in Noll's order (Noll 1976, JOSA 66, 207), unit variance over the full disc."""

from __future__ import annotations

import math

import numpy as np


def noll_to_nm(j: int) -> tuple[int, int]:
    """Radial order n and signed azimuthal order m (m < 0: sine) of Noll index j >= 1."""
    if j < 1:
        raise ValueError(f"Noll index {j} is below 1")
    n = int((math.sqrt(8 * j - 7) - 1) / 2)
    rest = j - n * (n + 1) // 2 - 1
    m = n % 2 + 2 * ((rest + (n + 1) % 2) // 2)
    return n, m if j % 2 == 0 else -m


def zernike(j: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Z_j at points (x, y) of the unit disc; extrapolates outside."""
    n, m = noll_to_nm(j)
    rho, phi, k = np.hypot(x, y), np.arctan2(y, x), abs(m)
    radial = sum(
        (-1) ** s
        * math.factorial(n - s)
        / (math.factorial(s) * math.factorial((n + k) // 2 - s) * math.factorial((n - k) // 2 - s))
        * rho ** (n - 2 * s)
        for s in range((n - k) // 2 + 1)
    )
    if m == 0:
        return math.sqrt(n + 1) * radial * np.ones_like(phi)
    return math.sqrt(2 * (n + 1)) * radial * (np.cos(k * phi) if m > 0 else np.sin(k * phi))
