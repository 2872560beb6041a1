"""Polynomial trigonometry against NumPy in double precision."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.numerics.angles import arcsin, sincos


def test_arcsin_over_its_whole_domain() -> None:
    x = np.linspace(-1, 1, 4001, dtype=np.float32)
    assert np.abs(np.asarray(jax.jit(arcsin)(x)) - np.arcsin(x.astype(float))).max() < 3e-7
    assert float(arcsin(jnp.float32(0))) == 0


def test_sincos_far_from_zero() -> None:
    x = np.concatenate([np.linspace(-10, 10, 4001), np.linspace(-1e3, 1e3, 20001)]).astype(np.float32)
    sine, cosine = jax.jit(sincos)(x)
    assert np.abs(np.asarray(sine) - np.sin(x.astype(float))).max() < 2e-7
    assert np.abs(np.asarray(cosine) - np.cos(x.astype(float))).max() < 2e-7


def test_slopes_are_those_of_the_functions() -> None:
    x = jnp.linspace(-0.9, 0.9, 37, dtype=jnp.float32)
    assert jax.vmap(jax.grad(arcsin))(x) == pytest.approx(1 / np.sqrt(1 - np.square(x)), rel=1e-4)
    assert jax.vmap(jax.grad(lambda v: sincos(v)[0]))(9 * x) == pytest.approx(np.cos(9 * np.asarray(x)), abs=1e-4)
