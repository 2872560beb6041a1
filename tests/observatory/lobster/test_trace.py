"""The separable PSF against the photon-by-photon ray trace of the same State."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.observatory.lobster.common import IRIDIUM, both, fractions, ideal, reduced_chi_square, separable, traced
from twin.observatory.lobster.psf import optic_area
from twin.observatory.lobster.state import LobsterState
from twin.observatory.lobster.telescope import load_lobster
from twin.observatory.lobster.trace import trace

AXES = [(0.0, 0.0), (120.0, 0.0), (240.0, 0.0), (170.0, 170.0)]


def compare(rays: int, state: LobsterState, source: tuple[float, float], model: LobsterState) -> tuple[float, float]:
    """Largest difference of a fraction, largest reduced chi-square of the two marginals."""
    kinds, found, variance, _ = traced(state, source, rays)
    expected, marginals = separable(model, source)
    difference = np.abs(fractions(kinds) - fractions(expected)).max()
    return float(difference), float(reduced_chi_square(marginals, found, variance, rays).max())


@pytest.mark.parametrize("source", AXES[:3], ids=str)
def test_quick(source: tuple[float, float]) -> None:
    state = ideal(tilt=1.0)
    difference, chi_square = compare(400_000, state, source, state)
    assert difference < 0.01
    assert chi_square < 1.5


def test_a_real_telescope() -> None:
    """Plates with gaps, tilts and lengths of their own, lossy bounces, a wing, broadened arms; towards a corner."""
    state = load_lobster("ep-wxt").state()
    difference, chi_square = compare(400_000, state, (279.0, 279.0), state)
    assert difference < 0.01
    assert chi_square < 1.5


def across(
    state: LobsterState, source: tuple[float, float], model: LobsterState, edges: np.ndarray, even: bool, straight: bool
) -> float:
    """Reduced chi-square of 400,000 rays in bins of x about the source: arms along y, or what x did not turn (`even`).

    straight: of a model whose arms do not bend
    """
    found, variance = np.zeros((2, len(edges) - 1))
    for k in range(2):
        r = trace(jax.random.key(k), state, IRIDIUM, 1.0, jnp.asarray(source, jnp.float32), 200_000)
        x, weight, n = (np.asarray(v, float) for v in (r.x, r.weight, r.bounces))
        use = n[0] % 2 == 0 if even else (n[0] % 2 == 1) & (n[1] % 2 == 0)
        found += np.histogram(x[use], edges, weights=weight[use])[0] / 2
        variance += np.histogram(x[use], edges, weights=weight[use] ** 2)[0] / 4
    at, wide = jnp.asarray(source, jnp.float32), jnp.linspace(-1100.0, 1100.0, 2201)
    x, _ = both(model, IRIDIUM, 1.0, at, jnp.asarray(edges, jnp.float32))
    _, y = both(model, IRIDIUM, 1.0, at, wide)
    if even:
        light = (x.zero + x.many) * y.whole.sum()
    else:
        bent = 0 * x.bent if straight else x.bent - x.odd
        light = x.odd * (y.zero + y.many).sum() + y.far.sum(-1) @ bent
    expected = np.asarray(light * optic_area(model), float)
    use = variance > 0
    return float(((found - expected)[use] ** 2 / variance[use]).mean())


CORE = np.linspace(-9, 9, 7)


@pytest.mark.parametrize("source", AXES[1:], ids=str)
def test_arms_bend(source: tuple[float, float]) -> None:
    """Off the middle of the field, arms leave the pores' axes; along an arm that does not, nothing changes."""
    state = ideal(tilt=1.0)
    assert across(state, source, state, CORE, even=False, straight=False) < 2
    assert across(state, source, state, CORE, even=False, straight=True) > 3


def test_the_edge_of_the_plates_is_where_two_bounces_send_it() -> None:
    """Their light leaves pores on their other side: the plates' edge at 247.2' is seen at 246.9'."""
    state, edges = ideal(), np.arange(243.5, 250.1, 0.5)
    assert across(state, AXES[3], state, edges, even=True, straight=False) < 2.5
    assert across(state, AXES[3], replace(state, pore_width=jnp.float32(1e-7)), edges, even=True, straight=False) > 5


@pytest.mark.parametrize("wrong", [{"pore_ratio": 62.5 * 1.05}, {"efficiency": 0.95}], ids=str)
def test_a_wrong_model_is_seen(wrong: dict[str, float]) -> None:
    _, chi_square = compare(400_000, ideal(tilt=1.0), (0.0, 0.0), ideal(tilt=1.0, **wrong))
    assert chi_square > 3


@pytest.mark.slow
@pytest.mark.parametrize("source", AXES, ids=str)
def test_four_million_rays(source: tuple[float, float]) -> None:
    state = ideal(tilt=1.0)
    difference, chi_square = compare(4_000_000, state, source, state)
    assert difference < 0.01
    assert chi_square < 1.5


@pytest.mark.slow
@pytest.mark.parametrize("source", AXES, ids=str)
def test_four_million_rays_of_a_real_telescope(source: tuple[float, float]) -> None:
    """Gaps filled by the wing, and its light beyond the plates."""
    state = load_lobster("ep-wxt").state()
    kinds, found, variance, _ = traced(state, source, 4_000_000)

    def worst(model: LobsterState) -> float:
        expected, marginals = separable(model, source)
        assert np.abs(fractions(kinds) - fractions(expected)).max() < 0.01
        return float(reduced_chi_square(marginals, found, variance, 4_000_000, wing=True).max())

    assert worst(state) < 1.2
    assert worst(replace(state, pore_ratio=state.pore_ratio * 1.02)) > 2
    assert worst(replace(state, efficiency=state.efficiency * 0.97)) > 2
