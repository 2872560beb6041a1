"""Refined integration of a lensed source against a fine uniform one; supernova and quasar with time."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.numerics.sersic import brightness as sersic_light
from twin.simulators import quadrature
from twin.simulators.galaxy_lens.variability import random_walk, supernova_brightness
from twin.simulators.mass import sie
from twin.simulators.mass.sie import SIE

F = jnp.float32
SIDE, CELL = 96, 0.037


def arcs(x: jax.Array, y: jax.Array) -> jax.Array:
    """A small source behind an isothermal lens."""
    ax, ay = sie.deflection(SIE(F(1.0), F(0.7), F(0.4), F(0.02), F(-0.03)), x, y)
    return sersic_light(x - ax, y - ay, (F(0.08), F(0.05)), F(0.08), F(0.6), F(1.0), F(2.0))[None]


def binned(blocks: int, points: int) -> np.ndarray:
    """Two cells a pixel, summed."""
    frame = jax.jit(lambda: quadrature.integrate(arcs, SIDE, CELL, blocks, points))()
    return np.asarray(quadrature.bin_cells(frame, 2))[0]


def test_refinement_takes_the_error_where_it_is() -> None:
    """A fifth of the blocks refined is as good as all of them, and 17 times as good as the midpoint rule; too few
    points a cell are not."""
    reference = binned(10**6, 12)
    error = [np.abs(binned(*how) - reference).max() / reference.max() for how in ((0, 2), (29, 2), (29, 4), (10**6, 4))]
    assert error[2] < error[0] / 15
    assert error[2] < 1.2e-2
    assert error[2] == pytest.approx(error[3], rel=0.01)
    assert error[1] > 5 * error[2]


def test_a_polynomial_is_exact() -> None:
    """Gauss and Legendre with two points integrate cubics; the frame's axes are x along the last."""
    frame = quadrature.integrate(lambda x, y: (x**3 + 2 * y)[None] + 1, 24, 0.1, 10**6, 2)[0]
    edges = (np.arange(25) - 12) * 0.1
    exact = np.diff(edges**4 / 4)[None, :] * 0.1 + np.diff(edges**2)[:, None] * 0.1 + 0.01
    assert np.asarray(frame) == pytest.approx(exact, abs=1e-7)
    assert quadrature.bin_cells(frame, 4)[0, 5] == pytest.approx(exact[:4, 20:24].sum(), rel=1e-5)
    assert quadrature.block_side(30) == 6


def test_a_supernova_rises_and_fades() -> None:
    """Dark before it explodes; brightest after 16-19 d (Hayden+ 2010: 17.4 d); fading by 0.8-1.2 mag in 15 d
    (Phillips 1993: 1.1 in B, slower in bolometric light); stretched in time."""
    age = np.arange(-5, 100, 0.25).astype(np.float32)
    light = np.asarray(supernova_brightness(age, F(1)))
    assert np.all(light[age <= 0] == 0)
    assert np.all(light[age > 0] > 0)
    peak = age[light.argmax()]
    assert 16 < peak < 19
    assert light.max() == pytest.approx(1, abs=1e-3)
    decline = -2.5 * np.log10(light[np.argmin(np.abs(age - peak - 15))])
    assert 0.8 < decline < 1.2
    late = -2.5 * np.log10(light[-1] / light[np.argmin(np.abs(age - age[-1] + 30))]) / 30
    assert 0.01 < late < 0.04
    slow = np.asarray(supernova_brightness(age * 1.2, F(1.2)))
    assert slow == pytest.approx(light, abs=1e-4)


def test_a_random_walk_has_its_covariance(rng: np.random.Generator) -> None:
    lag = np.array([0.0, 30.0, 45.0, 400.0], np.float32)
    walks = rng.normal(size=(20000, 4)).astype(np.float32)
    values = np.asarray(jax.vmap(lambda w: random_walk(lag, w, F(100), F(0.2)))(walks))
    expected = 0.5 * 0.2**2 * np.exp(-np.abs(lag[:, None] - lag) / 100)
    assert np.cov(values.T) == pytest.approx(expected, abs=7e-4)
    padded = random_walk(np.array([0.0, 30.0, 0.0], np.float32), walks[0, :3], F(100), F(0.2))
    assert np.isfinite(padded).all()
