"""Afterglow against its law, integrated by quadrature."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from twin.observatory.detector.config import Persistence
from twin.observatory.detector.persistence import afterglow, ghosts, rate

WFC3 = {"amplitude": "0.17 e-/s/px", "knee": "90000 e-", "width": "18000 e-", "slope": 0.2}


def law(x: float, t: float, decay: float) -> float:
    return 0.17 * (x / 9e4) ** 0.2 / (np.exp(-(x - 9e4) / 1.8e4) + 1) * (t / 1000) ** -decay


@pytest.mark.parametrize("decay", [1.0, 0.6, 1.4])
def test_electrons_of_an_exposure(decay: float) -> None:
    config = Persistence.model_validate(WFC3 | {"decay": decay, "since": "200 s"})
    filled = np.array([0.0, 2e4, 9e4, 3e5])
    found = np.asarray(afterglow(jnp.asarray(filled, jnp.float32)[None, None], jnp.full(1, 350.0), config))[0, 0]
    truth = [integrate.quad(lambda t, x=x: law(x, t, decay), 200, 550)[0] for x in filled]
    assert found == pytest.approx(truth, rel=1e-4, abs=1e-6)
    assert float(rate(jnp.asarray(9e4), 1000.0, config)) == pytest.approx(0.085)
    assert found[1] < 0.02 * found[3]  # unsaturated pixels leave next to nothing


def test_ghosts_have_the_stated_number_and_brightness(key: jax.Array) -> None:
    config = Persistence.model_validate(WFC3 | {"stars": 2.0, "fwhm": "2 px"})
    draw = jax.jit(jax.vmap(lambda k: ghosts(k, (2, 64, 64), config)))
    frames = np.asarray(draw(jax.random.split(key, 600)))
    assert frames.shape == (600, 2, 64, 64)
    empty = np.mean(frames.max((2, 3)) < 1e4)
    assert empty == pytest.approx(np.exp(-2.0 * 0.4096), abs=0.04)
    # dN/dx ~ x^-2: as many from x to 2x as beyond 2x; a star sampled between pixels is a little fainter
    peak = frames.max((2, 3))[frames.max((2, 3)) > 1.8e5]
    assert np.mean(peak > 3.6e5) == pytest.approx(0.5, abs=0.08)
