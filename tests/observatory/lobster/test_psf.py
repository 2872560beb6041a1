"""The separable PSF's own rules: light is conserved, symmetric, differentiable; plates shade; roll turns."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.observatory.lobster.common import IRIDIUM, area_table, both, ideal
from twin.observatory.lobster.bounces import ORDERS, chance
from twin.observatory.lobster.psf import frame, optic_area, profile, psf, rolled, transmission
from twin.observatory.lobster.telescope import load_lobster

EDGES = np.linspace(-288, 288, 129).astype(np.float32)
image = jax.jit(psf, static_argnames="coating")


def test_every_photon_is_reflected_some_number_of_times() -> None:
    sine = jnp.linspace(0, 0.13, 301)  # q up to 8.2: blurred, too, ORDERS hold all of it
    for tilt, spread in ((0.0, 0.0), (3e-4, 0.0), (3e-4, 0.03)):
        p = chance(62.5, sine, tilt, spread)
        assert p.shape == (ORDERS, 301)
        assert float(jnp.abs(p.sum(0) - 1).max()) < 2e-3


def test_a_blurred_triangle_is_the_mean_of_sharp_ones(rng: np.random.Generator) -> None:
    sine = np.linspace(0.0002, 0.06, 40)
    tilt, spread = 5e-4, 0.02
    angle = np.tan(np.arcsin(sine))[:, None] + tilt * rng.normal(size=20000)
    q = 62.5 * (1 + spread * rng.normal(size=20000)) * np.abs(angle)
    for n in range(4):
        mean = np.maximum(0, 1 - np.abs(q - n)).mean(1)
        assert np.abs(np.asarray(chance(62.5, sine, tilt, spread))[n] - mean).max() < 0.004


def test_light_is_that_of_the_areas() -> None:
    for name in ("generic-lobster", "ep-wxt"):
        state = load_lobster(name).state()
        kinds = area_table(state, IRIDIUM, 1.0, jnp.zeros(2))
        wide = jnp.linspace(-1100, 1100, 1001)
        x, y = both(state, IRIDIUM, 1.0, jnp.zeros(2), wide)
        x, y = (jax.tree.map(lambda leaf: leaf[None], f) for f in (x, y))
        whole = float(frame(x, y, optic_area(state)[None]).sum())
        assert whole == pytest.approx(sum(float(kinds[k]) for k in ("focus", "arms", "diffuse")), rel=5e-3)


def test_a_source_in_the_middle_has_a_symmetric_cross() -> None:
    state = load_lobster("ep-wxt").state()
    found = np.asarray(image(state, IRIDIUM, 1.0, jnp.zeros(2), EDGES, EDGES))
    assert np.abs(found - found.T).max() < 1e-5 * found.max()
    assert np.abs(found - found[::-1]).max() < 1e-3 * found.max()
    assert (found >= 0).all()
    assert found[60:68].sum() > 10 * found[20:28].sum()


def test_the_edge_of_the_plates_takes_half_of_the_focus() -> None:
    """A source at the edge has pores on one side only: half of each axis' odd light."""
    state = ideal()
    middle = area_table(state, IRIDIUM, 1.0, jnp.zeros(2))["focus"]
    edge = area_table(state, IRIDIUM, 1.0, jnp.stack([state.aperture[0, 1], jnp.float32(0)]))["focus"]
    assert float(edge / middle) == pytest.approx(0.5, abs=0.01)
    assert float(area_table(state, IRIDIUM, 1.0, jnp.array([700.0, 0.0]))["focus"]) < 1e-3 * float(middle)


def test_gaps_darken_what_is_not_turned() -> None:
    """A gap of 2 mm shades 2 mm of the detector's light of even bounces, and costs the focus its share."""
    state = replace(ideal(), plate_pitch=jnp.float32(0.128 / 3))
    gaps = replace(state, plate_gap=jnp.float32(2e-3))
    edges = np.arange(-499.5, 500, 3).astype(np.float32)
    whole, shaded = (np.asarray(both(s, IRIDIUM, 1.0, jnp.zeros(2), edges)[0].zero) for s in (state, gaps))
    dark = 2 * 64.0 / 3 / 750 * 10800 / np.pi  # twice the angle of the middle plate's edge
    middle = (edges[1:] + edges[:-1]) / 2
    assert (shaded[np.abs(np.abs(middle) - dark) < 5] < 1e-6).all()
    clear = (np.abs(np.abs(middle) - dark) > 15) & (np.abs(middle) < 250)
    assert np.abs(shaded[clear] - whole[clear]).max() < 1e-3 * whole.max()  # single precision of bins' edges


def test_roll_turns_the_cross() -> None:
    """Without roll it is the separable PSF; by a quarter turn its transpose, mirrored."""
    state = replace(ideal(tilt=1.0), aperture=jnp.array([[-293.0, 200.0], [-293.0, 293.0]]))
    turn = jax.jit(partial(_rolled, edges=EDGES))
    straight = np.asarray(image(state, IRIDIUM, 1.0, jnp.array([20.0, -35.0]), EDGES, EDGES))
    at_rest = np.asarray(turn(state, jnp.array([20.0, -35.0])))
    assert np.abs(at_rest - straight).max() < 1e-4 * straight.max()
    quarter = np.asarray(turn(replace(state, roll=jnp.float32(90)), jnp.array([35.0, 20.0])))
    assert np.abs(quarter - straight.T[:, ::-1]).max() < 2e-3 * straight.max()
    some = np.asarray(turn(replace(state, roll=jnp.float32(3)), jnp.array([20.0, -35.0])))
    assert some.sum() == pytest.approx(straight.sum(), rel=0.02)


def _rolled(state: object, source: jax.Array, edges: np.ndarray) -> jax.Array:
    p = profile(state, IRIDIUM, 1.0)  # type: ignore[arg-type]
    return rolled(state, p, source, edges, edges, optic_area(state))  # type: ignore[arg-type]


def test_gradients_of_every_parameter_are_finite() -> None:
    state = load_lobster("ep-wxt").state()

    @jax.jit
    @jax.grad
    def slope(s: object) -> jax.Array:
        light = psf(s, IRIDIUM, 1.0, jnp.array([30.0, 20.0]), EDGES, EDGES)  # type: ignore[arg-type]
        return (light[50:90, 50:90] ** 2).sum() * transmission(s, IRIDIUM, 1.0)  # type: ignore[arg-type]

    found = slope(state)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(found))
    for name in ("tilt", "efficiency", "pore_ratio", "scatter", "second_order", "open_area", "filter_al"):
        assert float(getattr(found, name)) != 0
