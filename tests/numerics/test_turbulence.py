"""Von Karman's structure function against Bessel functions from SciPy."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gamma, kv

from twin.numerics.turbulence import half_structure, saturation, structure_function

X = np.logspace(-4, 1.7, 400)
EXACT = 1 - 2 ** (1 / 6) / gamma(5 / 6) * X ** (5 / 6) * kv(5 / 6, X)


def test_saturation() -> None:
    ours = np.asarray(saturation(jnp.asarray(X, jnp.float32), jnp.asarray(X ** (5 / 3), jnp.float32)))
    # the tail of Hankel's expansion: 3e-5 of the whole where the two series meet at x = 3
    assert ours == pytest.approx(EXACT, abs=5e-5)
    assert ours[X < 1] == pytest.approx(EXACT[X < 1], rel=1e-5)
    assert float(saturation(jnp.float32(0), jnp.float32(0))) == 0


def test_short_series_below_one() -> None:
    x = X[X < 1]
    ours = saturation(jnp.asarray(x, jnp.float32), jnp.asarray(x ** (5 / 3), jnp.float32), 5)
    assert np.asarray(ours) == pytest.approx(EXACT[X < 1], rel=2e-6)


def test_kolmogorov_is_the_limit_of_a_wide_outer_scale() -> None:
    for r in (0.1, 1.0):
        d = float(structure_function(jnp.float32(r), jnp.float32(0.15), jnp.float32(1e6)))
        first = 1 - 1.485 * (r / 1e6) ** (1 / 3)  # of the expansion in r / L0
        assert d == pytest.approx(6.8839 * (r / 0.15) ** (5 / 3) * first, rel=5e-4)


def test_variance_saturates_at_twice_the_phase_variance() -> None:
    """Far apart two points are independent: D = 2 sigma^2, sigma^2 = 0.0863 (L0/r0)^(5/3) (Tokovinin 2002)."""
    d = float(structure_function(jnp.float32(500.0), jnp.float32(0.1), jnp.float32(10.0)))
    assert d == pytest.approx(2 * 0.0863 * 100 ** (5 / 3), rel=1e-3)


def test_otf_of_a_long_exposure() -> None:
    r = np.linspace(0, 2, 50)
    r53 = jnp.asarray(r ** (5 / 3), jnp.float32)
    for scale, most in ((25.0, 2 * np.pi * 2 / 25), (5.0, 2 * np.pi * 2 / 5)):
        otf = jnp.exp(-half_structure(jnp.asarray(r, jnp.float32), r53, jnp.float32(0.2), jnp.float32(scale), most))
        d = structure_function(jnp.asarray(r, jnp.float32), jnp.float32(0.2), jnp.float32(scale))
        assert np.asarray(otf) == pytest.approx(np.exp(-0.5 * np.asarray(d)), abs=1e-6)
    air = jnp.exp(-half_structure(jnp.asarray(r, jnp.float32), r53, jnp.float32(jnp.inf), jnp.float32(25.0), 1.0))
    assert np.all(np.asarray(air) == 1)  # no atmosphere
