"""The Poisson sampler against SciPy's probabilities."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32
from scipy import stats

from twin.numerics.poisson import poisson, quantile
from twin.numerics.poisson_tables import poisson_image
from twin.numerics.words import words

RATES = (1e-3, 1e-2, 0.1, 1.0, 5.0, 11.9, 12.1, 30.0, 100.0, 1e3, 1e4, 1e5)
DRAWS = 1_000_000
DRAW = jax.jit(poisson)


def p_value(draws: np.ndarray, rate: float, least: float = 20.0) -> float:
    """Of Pearson's chi-square between draws and the Poisson law: at most 200 bins, both tails among them, down to
    `least` expected draws each."""
    low, high = stats.poisson.ppf([least / len(draws), 1 - least / len(draws)], rate).astype(int)
    edges = np.arange(low, high + 1, max(1, (high - low) // 200))  # a bin ends with its edge
    below = np.concatenate([stats.poisson.cdf(edges, rate), [1.0]])
    above = np.concatenate([[1.0], stats.poisson.sf(edges, rate)])  # both, so that neither tail is a difference of ones
    share = np.where(below < 0.5, np.diff(below, prepend=0), above - np.append(above[1:], 0))
    expected = share * len(draws)
    observed = np.bincount(np.searchsorted(edges, draws), minlength=len(edges) + 1)
    # a tail too thin for a bin of its own joins its neighbour
    first, last = int(expected[0] < least), int(expected[-1] < least)
    groups = [0, *range(1 + first, len(expected) - last)]
    seen, law = (np.add.reduceat(values, groups) for values in (observed, expected))
    return float(stats.chi2.sf(np.sum((seen - law) ** 2 / law), len(law) - 1))


@pytest.mark.parametrize("rate", RATES)
def test_draws_follow_the_law_at_every_rate(rate: float) -> None:
    draws = np.asarray(DRAW(jax.random.key(int(rate * 1000)), jnp.full(DRAWS, rate, jnp.float32))).astype(float)
    assert np.all(draws == np.round(draws))
    assert draws.min() >= 0
    assert 1e-3 < p_value(draws, rate) < 1 - 1e-6
    error = 4 / np.sqrt(DRAWS)
    assert draws.mean() == pytest.approx(rate, abs=error * np.sqrt(rate))
    assert draws.var() == pytest.approx(rate, rel=error * np.sqrt(2 + 1 / rate))


@pytest.mark.parametrize("rate", RATES)
def test_the_check_tells_wrong_samplers_from_right_ones(rate: float, rng: np.random.Generator) -> None:
    """NumPy's draws pass. A rate off by 8 sigma of the mean, a rounded Gaussian and a tail that is cut do not."""
    draws = rng.poisson(rate, DRAWS).astype(float)
    assert 1e-3 < p_value(draws, rate) < 1 - 1e-6
    assert p_value(rng.poisson(rate + 8 * np.sqrt(rate / DRAWS), DRAWS).astype(float), rate) < 1e-3
    if rate < 2e3:
        gaussian = np.maximum(np.round(rng.normal(rate, np.sqrt(rate), DRAWS)), 0)
        assert p_value(gaussian, rate) < 1e-6
    cut = stats.poisson.isf(3e-4, rate)
    if rate > 0.005:  # below, a million draws have no tail
        assert p_value(np.minimum(draws, cut), rate) < 1e-6


def test_rates_of_one_image_are_independent(key: jax.Array) -> None:
    """Low and high rates in one array, each pixel with its own."""
    rate = jnp.tile(jnp.asarray([0.0, 3.0, 30.0, 3000.0]), (20_000, 1))
    draws = np.asarray(poisson(key, rate))
    assert np.all(draws[:, 0] == 0)
    assert draws.mean(0) == pytest.approx([0, 3, 30, 3000], rel=0.02)
    assert np.abs(np.corrcoef(draws[:, 1:].T) - np.eye(3)).max() < 0.03


def test_what_is_no_rate_gives_nan_and_huge_rates_are_cut(key: jax.Array) -> None:
    draws = np.asarray(poisson(key, jnp.asarray([-1.0, jnp.nan, 2.0, 1e12])))
    assert np.isnan(draws[:2]).all()
    assert np.isfinite(draws[2])
    assert draws[3] == pytest.approx(1e8, rel=1e-3)


@pytest.mark.parametrize("rate", [12.01, 17.3, 40.0, 333.0, 1e4, 1e6])
def test_quantiles_are_scipys_to_a_millionth_of_the_distribution_function(rate: float) -> None:
    """Phi(w) lies between SciPy's distribution function below the count of w and at it."""
    w = np.linspace(-5.3, 5.3, 20_001).astype(np.float32)

    def error(w: np.ndarray) -> float:
        count = np.asarray(quantile(jnp.asarray(w), jnp.float32(rate)), float)
        share = stats.norm.cdf(np.linspace(-5.3, 5.3, 20_001).astype(np.float32).astype(float))
        return max((stats.poisson.cdf(count - 1, rate) - share).max(), (share - stats.poisson.cdf(count, rate)).max())

    assert error(w) < 1e-6
    assert error(w + np.float32(0.001)) > 3e-6  # a thousandth of a sigma would show


def test_the_far_tail_is_there() -> None:
    """4e6 draws reach 5 sigma as often as the law says."""
    for rate in (0.01, 30.0, 2000.0):
        draws = np.asarray(jax.jit(poisson)(jax.random.key(7), jnp.full(4_000_000, rate, jnp.float32)))
        edge = stats.poisson.isf(2e-5, rate)
        tail = stats.poisson.sf(edge, rate) * len(draws)
        assert stats.poisson.sf((draws > edge).sum() - 1, tail) > 1e-3
        assert stats.poisson.cdf((draws > edge).sum(), tail) > 1e-3


IMAGE = jax.jit(poisson_image)


@pytest.mark.parametrize("rate", [1e-3, 0.1, 0.24, 0.26, 1.1, 5.0, 30.2, 63.9, 64.1, 200.0, 1e4])
def test_numbers_from_tables_follow_the_law_at_every_rate(rate: float) -> None:
    """Faint bins, or bright ones, by themselves; and both in one image."""
    draws = np.asarray(IMAGE(jax.random.key(int(rate * 1000) + 1), jnp.full(DRAWS, rate, jnp.float32))).astype(float)
    assert 1e-3 < p_value(draws, rate) < 1 - 1e-6
    mixed = np.full((DRAWS // 1000, 1000), 2.0, np.float32)
    mixed[:, :70] = rate
    draws = np.asarray(IMAGE(jax.random.key(3), mixed))
    assert 1e-3 < p_value(draws[:, :70].ravel().astype(float), rate) < 1 - 1e-6
    assert 1e-3 < p_value(draws[:, 70:].ravel().astype(float), 2.0) < 1 - 1e-6


def test_numbers_from_tables_are_independent_and_never_negative(key: jax.Array) -> None:
    rate = jnp.full((400, 2500), 3.3)
    draws = np.asarray(IMAGE(key, rate)).astype(float)
    assert abs(np.corrcoef(draws[:, :-1].ravel(), draws[:, 1:].ravel())[0, 1]) < 4e-3
    assert draws.mean(1).var() == pytest.approx(3.3 / 2500, rel=0.3)
    np.testing.assert_array_equal(IMAGE(key, jnp.array([0.0, -1.0])), 0)


def test_words_are_threefrys() -> None:
    first, second = words(jax.random.key(5), 1000)
    zero_up = jnp.concatenate([jnp.zeros(1000, jnp.uint32), jnp.arange(1000, dtype=jnp.uint32)])
    expected = threefry_2x32(jax.random.key_data(jax.random.key(5)), zero_up)
    np.testing.assert_array_equal(jnp.concatenate([first, second]), expected)
