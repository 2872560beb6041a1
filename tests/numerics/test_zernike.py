"""Zernike polynomials: Noll's order, unit variance, orthogonality."""

from __future__ import annotations

import numpy as np
import pytest

from twin.numerics.zernike import noll_to_nm, zernike

# Noll 1976, table I: (n, m) of j = 1 ... 15, m < 0 for sines
NOLL = [
    (0, 0),
    (1, 1),
    (1, -1),
    (2, 0),
    (2, -2),
    (2, 2),
    (3, -1),
    (3, 1),
    (3, -3),
    (3, 3),
    (4, 0),
    (4, 2),
    (4, -2),
    (4, 4),
    (4, -4),
]


def test_nolls_table() -> None:
    assert [noll_to_nm(j) for j in range(1, 16)] == NOLL
    with pytest.raises(ValueError, match="Noll index 0"):
        noll_to_nm(0)


def test_orthonormal_over_the_disc() -> None:
    nodes, weights = np.polynomial.legendre.leggauss(40)
    rho = np.sqrt(0.5 * (nodes + 1))  # uniform in area
    phi = 2 * np.pi * np.arange(64) / 64
    x, y = rho[:, None] * np.cos(phi), rho[:, None] * np.sin(phi)
    weight = np.broadcast_to(0.5 * weights[:, None] / 64, x.shape)
    z = np.stack([zernike(j, x, y) for j in range(1, 23)])
    assert np.einsum("ayx,byx,yx->ab", z, z, weight) == pytest.approx(np.eye(22), abs=1e-12)


def test_names_that_opticians_know() -> None:
    x, y = np.array([0.3, -0.5]), np.array([0.2, 0.4])
    r2 = x**2 + y**2
    assert zernike(4, x, y) == pytest.approx(np.sqrt(3) * (2 * r2 - 1))  # defocus
    assert zernike(5, x, y) == pytest.approx(np.sqrt(6) * 2 * x * y)  # oblique astigmatism
    assert zernike(8, x, y) == pytest.approx(np.sqrt(8) * (3 * r2 - 2) * x)  # coma along x
    assert zernike(11, x, y) == pytest.approx(np.sqrt(5) * (6 * r2**2 - 6 * r2 + 1))  # spherical
