"""Powers of two and their logarithm, against NumPy in float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.numerics.exponentials import exp2, log2


def test_log2_of_all_magnitudes() -> None:
    x = np.exp(np.linspace(-80, 80, 200_001)).astype(np.float32)
    exact = np.log2(x.astype(np.float64))
    error = np.abs(np.asarray(jax.jit(log2)(x), np.float64) - exact)
    assert np.all(error < 4e-7 + 1e-7 * np.abs(exact))
    assert float(log2(jnp.float32(1))) == 0


def test_exp2_and_where_it_stays() -> None:
    x = np.linspace(-125, 125, 200_001).astype(np.float32)
    value = np.asarray(jax.jit(exp2)(x), np.float64)
    assert np.all(np.abs(value / np.exp2(x.astype(np.float64)) - 1) < 3e-7)
    ends = np.asarray(exp2(jnp.asarray([-np.inf, -1e30, 1e30, np.inf], jnp.float32)))
    assert ends == pytest.approx([2.0**-126, 2.0**-126, 2.0**126, 2.0**126])


@pytest.mark.parametrize(
    ("function", "x", "slope"), [(log2, 0.3, 1 / (0.3 * np.log(2))), (exp2, 1.7, 2**1.7 * np.log(2))]
)
def test_derivatives(function: object, x: float, slope: float) -> None:
    assert float(jax.grad(function)(jnp.float32(x))) == pytest.approx(slope, rel=1e-6)  # type: ignore[arg-type]


def test_double_precision_is_kept() -> None:
    with jax.enable_x64(True):
        x = jnp.asarray([0.1, 3.0, 1e200], jnp.float64)
        assert np.asarray(log2(x)) == pytest.approx(np.log2([0.1, 3.0, 1e200]), rel=1e-15)
        assert np.asarray(exp2(jnp.asarray([-700.5], jnp.float64))) == pytest.approx(np.exp2([-700.5]), rel=1e-14)
