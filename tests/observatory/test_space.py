"""Orbit and dark current against closed forms and SciPy's constants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.constants

from twin.observatory import space


def test_dark_current_is_janesicks():
    """A warm CCD doubles its dark current every 7 K or so around -20 deg_C; silicon's gap is 1.11 eV at 300 K."""
    assert space.gap_of_silicon(jnp.float32(300.0)) == pytest.approx(1.11, abs=0.01)
    k = scipy.constants.k / scipy.constants.e

    def law(t):
        gap = 1.1557 - 7.021e-4 * t**2 / (1108 + t)
        return t**1.5 * np.exp(-gap / (2 * k * t))

    for t in (163.0, 173.0, 188.0, 253.0):
        assert space.dark_ratio(jnp.float32(t), 173.0) == pytest.approx(law(t) / law(173.0), rel=1e-4)
        fixed = (t / 173.0) ** 1.5 * np.exp(-1.1 / (2 * k) * (1 / t - 1 / 173.0))
        assert space.dark_ratio(jnp.float32(t), 173.0, 1.1) == pytest.approx(fixed, rel=1e-4)
    assert space.dark_ratio(jnp.float32(173.0), 173.0) == 1
    doubling = np.log(2) / float(jax.grad(lambda t: jnp.log(space.dark_ratio(t, 253.0)))(jnp.float32(253.0)))
    assert 5.5 < doubling < 8


def test_breathing_and_daylight():
    phase = jnp.linspace(0, 1, 9)
    z4 = space.breathing(phase, 20.0, 0.25)
    assert z4 == pytest.approx(2e-8 * np.cos(2 * np.pi * (np.linspace(0, 1, 9) - 0.25)), abs=1e-14)
    share = space.daylight(phase, 0.5)
    assert share == pytest.approx(np.maximum(-np.cos(2 * np.pi * np.linspace(0, 1, 9)), 0), abs=1e-6)
