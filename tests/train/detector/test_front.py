"""What the network is shown: scores, fitted bright sources."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.detector.made_up import lit, psf_of
from twin.train.detector import front

N = 48
SHAPE = np.ones((N, N), np.float32)


WIDE = 0.45  # [bin], WXT's


def shifted(x: float, y: float) -> np.ndarray:
    return lit(x, y, N, 0.0, WIDE)


def image(seed: int, *sources: tuple[float, float, float], background: float = 0.3) -> np.ndarray:
    expected = np.full((N, N), background) + sum(c * shifted(x, y) for x, y, c in sources)
    return np.random.default_rng(seed).poisson(expected).astype(np.float32)


@cache
def kernel() -> front.Kernel:
    with jax.ensure_compile_time_eval():
        return front.kernel(jnp.asarray(psf_of(N, 0.0, WIDE)), N)


def test_scores_of_nothing_are_normal() -> None:
    """Mean 0 and variance 1 in the middle of empty images, and of a source what its counts say."""
    score = jax.jit(lambda n, m: front.score(n, m, kernel()))
    model = jnp.full((N, N), 3.0)
    empty = np.stack([np.asarray(score(image(k, background=3.0), model)[0]) for k in range(60)])
    assert abs(empty.mean()) < 0.02
    assert empty.std() == pytest.approx(1, abs=0.03)
    assert np.asarray(score(image(1, background=3.0), 0.8 * model)[0]).mean() > 1  # a background too low shows
    counts = [float(np.asarray(score(image(k, (20, 25, 60), background=3.0), model)[1])[25, 20]) for k in range(60)]
    assert np.mean(counts) == pytest.approx(60, abs=4 * np.std(counts) / np.sqrt(60))


def test_the_source_image_is_the_psf() -> None:
    """Between bins, too, for a PSF as narrow as a bin; from whole bins alone it would not be."""
    peak = shifted(20.0, 25.0).max()
    coarse = lit(N - 1.0, N - 1.0, 2 * N - 1, 0.0, WIDE)

    def wrong(fine: int, psf: np.ndarray, x: float, y: float) -> float:
        k = front.kernel(jnp.asarray(psf, jnp.float32), N, fine)
        return float(np.abs(np.asarray(front.source_image(k, jnp.float32(x), jnp.float32(y), N)) - shifted(x, y)).max())

    for x, y in ((20.0, 25.0), (0.0, 47.0), (20.5, 25.5), (18.3, 30.8), (-0.5, 47.4)):
        assert wrong(2, psf_of(N, 0.0, WIDE), x, y) < 1e-2 * peak
    assert wrong(1, coarse, 20.5, 25.5) > 5e-2 * peak


def test_slopes_are_those_of_the_image() -> None:
    """Against differences over 0.02 bins, in double steps of the same splines."""

    def at(x: float, y: float) -> np.ndarray:
        return np.asarray(front.source_image(kernel(), jnp.float32(x), jnp.float32(y), N), float)

    x, y, h = 20.3, 25.8, 0.01
    image, by_x, by_y = (np.asarray(v) for v in front.source_slopes(kernel(), jnp.float32(x), jnp.float32(y), N))
    assert np.abs(image - at(x, y)).max() < 1e-6
    for got, wanted in ((by_x, at(x + h, y) - at(x - h, y)), (by_y, at(x, y + h) - at(x, y - h))):
        seen = image > 1e-4
        assert np.abs(got - wanted / (2 * h))[seen].max() < 2e-3 * np.abs(got).max()


def test_bright_sources_are_fitted_with_what_their_arms_hide() -> None:
    """A bright source and a fainter one on its arm: counts within 4 sigma, places within a tenth of a bin; without the
    arms in the model the bright one leaves false peaks."""
    counts = image(3, (18.3, 30.2, 9000), (36.0, 30.9, 800))
    found = jax.jit(lambda n: front.bright_sources(n, kernel(), SHAPE))(counts)
    assert int(found.number) == 2
    x, y, c = (np.asarray(v)[:2] for v in (found.x, found.y, found.counts))
    assert np.allclose(x, [18.3, 36.0], atol=[0.05, 0.3])
    assert np.allclose(y, [30.2, 30.9], atol=[0.05, 0.3])
    assert np.allclose(c, [9000, 800], atol=[4 * np.sqrt(9000) + 90, 200])
    assert float(found.background) == pytest.approx(0.3, abs=0.05)
    away = np.hypot(np.arange(N)[None] - 18.3, np.arange(N)[:, None] - 30.2) > 3
    truth = 0.3 + 9000 * shifted(18.3, 30.2) + 800 * shifted(36.0, 30.9)
    right, _ = front.score(jnp.asarray(counts), jnp.asarray(truth, jnp.float32), kernel())
    assert np.abs(np.asarray(found.z - right)[away]).max() < 1.5
    plain, _ = front.score(jnp.asarray(counts), jnp.full((N, N), 0.3), kernel())
    assert np.asarray(plain)[away].max() > 20


def test_an_empty_image() -> None:
    found = jax.jit(lambda n: front.bright_sources(n, kernel(), SHAPE))(np.zeros((N, N), np.float32))
    assert int(found.number) == 0
    assert np.all(np.isfinite(np.asarray(found.z)))
