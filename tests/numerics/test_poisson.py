"""The Poisson sampler against SciPy's probabilities."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from twin.numerics.poisson import poisson, quantile

RATES = (1e-3, 0.05, 1.0, 5.0, 11.9, 12.1, 20.0, 50.0, 300.0, 3e3, 1e5)


def p_value(draws: np.ndarray, rate: float) -> float:
    """Of Pearson's chi-square between draws and the Poisson law, in bins with at least five expected."""
    low, high = stats.poisson.ppf([1e-5, 1 - 1e-5], rate).astype(int)
    width = max(1, (high - low) // 60)
    edges = np.concatenate([[-1], np.arange(low, high + width, width) - 0.5, [1e9]])
    expected = np.diff(stats.poisson.cdf(edges, rate)) * len(draws)
    observed = np.histogram(draws, edges)[0]
    full = expected > 5
    observed = np.append(observed[full], observed[~full].sum())
    expected = np.append(expected[full], expected[~full].sum())
    kept = expected > 1
    chi2 = np.sum((observed - expected)[kept] ** 2 / expected[kept])
    return float(stats.chi2.sf(chi2, kept.sum() - 1))


def test_draws_follow_the_law_at_every_rate() -> None:
    draw, n = jax.jit(poisson), 400_000
    for i, rate in enumerate(RATES):
        draws = np.asarray(draw(jax.random.key(i), jnp.full(n, rate, jnp.float32))).astype(float)
        assert np.all(draws == np.round(draws))
        assert draws.min() >= 0
        assert p_value(draws, rate) > 1e-4, rate
        error = 5 / np.sqrt(n)
        assert draws.mean() == pytest.approx(rate, abs=error * np.sqrt(rate))
        assert draws.var() == pytest.approx(rate, rel=error * np.sqrt(2 + 1 / rate))


def test_the_check_rejects_a_rate_wrong_by_a_percent() -> None:
    draws = np.random.default_rng(0).poisson(50.5, 400_000)
    assert p_value(draws, 50.0) < 1e-10


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
