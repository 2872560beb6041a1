"""Double Zernikes against closed forms, and their fit."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.numerics.zernike import zernike
from twin.observatory.modes import double_zernike, fit_double_zernike, zernikes

RNG = np.random.default_rng(0)
X, Y = RNG.uniform(-0.7, 0.7, (2, 200))


def test_polynomials_are_noll_s() -> None:
    """To Z37 those of the pupil's own formula; the first few written out."""
    found = np.asarray(zernikes(37, jnp.asarray(X, jnp.float32), jnp.asarray(Y, jnp.float32)))
    for j in range(1, 38):
        assert found[:, j - 1] == pytest.approx(zernike(j, X, Y), abs=2e-5), j
    r2 = X**2 + Y**2
    closed = {1: 1 + 0 * X, 2: 2 * X, 3: 2 * Y, 4: np.sqrt(3) * (2 * r2 - 1), 5: 2 * np.sqrt(6) * X * Y}
    closed |= {6: np.sqrt(6) * (X**2 - Y**2), 7: np.sqrt(8) * (3 * r2 - 2) * Y, 8: np.sqrt(8) * (3 * r2 - 2) * X}
    closed |= {11: np.sqrt(5) * (6 * r2**2 - 6 * r2 + 1)}
    for j, values in closed.items():
        assert found[:, j - 1] == pytest.approx(values, abs=1e-5), j


def test_third_order_aberrations_over_the_field() -> None:
    """Curved field, astigmatism with the square of the field and coma along it, as a table of double Zernikes."""
    table = np.zeros((5, 6))  # z4 .. z8 over Z1 .. Z6
    table[0, 3], table[0, 0] = 50 / np.sqrt(3) / 2, 25.0  # z4 = 50 r^2
    table[1, 4], table[2, 5] = 30 / np.sqrt(6), 30 / np.sqrt(6)  # (z5, z6) = 30 (2xy, x^2 - y^2)
    table[3, 2], table[4, 1] = 20 / 2, 20 / 2  # (z7, z8) = 20 (y, x)
    found = np.asarray(double_zernike(table, X, Y))
    truth = np.stack([50 * (X**2 + Y**2), 60 * X * Y, 30 * (X**2 - Y**2), 20 * Y, 20 * X], -1)
    assert found == pytest.approx(truth, abs=1e-4)
    assert double_zernike(table, jnp.zeros((2, 3)), jnp.zeros((2, 3))).shape == (2, 3, 5)


def test_gradients_on_the_axis() -> None:
    """There hypot and arctan2 have none."""
    table = np.zeros((1, 11))
    table[0, [1, 4, 7]] = 3.0, 2.0, 1.0
    slope = jax.grad(lambda p: double_zernike(table, p[0], p[1])[0])(jnp.zeros(2))
    assert np.asarray(slope) == pytest.approx([3 * 2 - 2 * np.sqrt(8), 0], abs=1e-5)


def test_a_fit_finds_the_table() -> None:
    table = RNG.normal(0, 100, (8, 15))
    values = np.asarray(double_zernike(table, X, Y), float)
    assert fit_double_zernike(X, Y, values, 15) == pytest.approx(table, abs=0.02)
    noisy = values + RNG.normal(0, 10, values.shape)
    found = fit_double_zernike(X, Y, noisy, 15)
    assert found != pytest.approx(table, abs=0.02)
    left = noisy - np.asarray(double_zernike(found, X, Y))
    assert left.std() == pytest.approx(10 * np.sqrt(1 - 15 / 200), rel=0.05)  # least squares


def test_points_that_do_not_determine_a_map() -> None:
    with pytest.raises(ValueError, match="determine"):
        fit_double_zernike(X, 0 * X, np.zeros((200, 1)), 6)  # all on one line
    with pytest.raises(ValueError, match="determine"):
        fit_double_zernike(X[:5], Y[:5], np.zeros((5, 1)), 6)
