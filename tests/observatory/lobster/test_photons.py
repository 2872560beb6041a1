"""Photons drawn from the profiles have the separable PSF as their mean, and Poisson numbers."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from tests.observatory.lobster.common import IRIDIUM, ideal
from twin.observatory.lobster.photons import count, exposed, photons, ways
from twin.observatory.lobster.psf import optic_area, profile, psf
from twin.observatory.lobster.state import LobsterState
from twin.observatory.lobster.telescope import load_lobster

EDGES = np.linspace(-288, 288, 33).astype(np.float32)
SIZE = 60_000


@partial(jax.jit, static_argnames=("draws",))
def drawn(state: LobsterState, source: jax.Array, background: jax.Array, draws: int) -> tuple[jax.Array, ...]:
    w = ways(state, profile(state, IRIDIUM, 1.0))

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        x, y, which, there = photons(key, state, w, source, jnp.array([50_000.0]), background, EDGES, EDGES, SIZE)
        return count(x, y, there, EDGES, EDGES), (there & (which == 1)).sum()

    images, other = jax.lax.map(one, jax.random.split(jax.random.key(3), draws))
    expected = psf(state, IRIDIUM, 1.0, source[0], EDGES, EDGES) / (optic_area(state) * w.light**2)
    return images, other, expected * 50_000


def chi_square(images: np.ndarray, expected: np.ndarray) -> float:
    mean = expected * len(images)
    use = mean > 25
    return float(((images.sum(0) - mean)[use] ** 2 / mean[use]).mean())


def test_the_mean_is_the_psf() -> None:
    for state in (ideal(tilt=1.0), load_lobster("ep-wxt").state()):
        images, _, expected = (np.asarray(v) for v in drawn(state, jnp.array([[60.0, -110.0]]), jnp.float32(0), 8))
        assert chi_square(images, expected) < 1.5


def test_numbers_are_poisson() -> None:
    images, other, expected = (
        np.asarray(v, float) for v in drawn(ideal(tilt=1.0), jnp.array([[0.0, 0.0]]), jnp.float32(2000), 400)
    )
    numbers = images.sum((1, 2))
    assert abs(numbers.mean() / (expected.sum() + 2000) - 1) < 0.01
    assert 0.7 < numbers.var() / numbers.mean() < 1.3
    assert 0.7 < other.var() / other.mean() < 1.3
    assert abs(other.mean() - 2000) < 25


def test_bins_are_drawn_as_photons_are() -> None:
    """From the expected image: the same means as photons', Poisson numbers, background and all."""
    state = load_lobster("ep-wxt").state()
    source, counts = jnp.array([[60.0, -110.0]]), jnp.array([50_000.0])
    images, _, expected = (np.asarray(v, float) for v in drawn(state, source, jnp.float32(2000), 8))
    expected = expected + 2000 / expected.size

    @jax.jit
    def bins(key: jax.Array) -> jax.Array:
        p = profile(state, IRIDIUM, 1.0)
        return jax.lax.map(
            lambda k: exposed(k, state, p, source, counts, 2000.0, EDGES, EDGES), jax.random.split(key, 64)
        )

    found = np.asarray(bins(jax.random.key(5)), float)
    assert chi_square(found, expected) < 1.2
    assert chi_square(images, expected) < 1.5
    bright = expected > 5
    assert 0.97 < (found.var(0, ddof=1)[bright] / expected[bright]).mean() < 1.03


def test_a_wrong_mean_is_seen() -> None:
    state = ideal(tilt=1.0)
    images, _, _ = drawn(state, jnp.array([[60.0, -110.0]]), jnp.float32(0), 8)
    _, _, wrong = drawn(ideal(tilt=1.0, pore_ratio=62.5 * 1.05), jnp.array([[60.0, -110.0]]), jnp.float32(0), 8)
    assert chi_square(np.asarray(images), np.asarray(wrong)) > 2
