import numpy as np
import pytest
from scipy.stats import norm

from twin.metrics import coverage_of_pit, crps, nll, pit, pit_uniformity, quantile


def gaussian(mean, sigma, edges):
    """Binned normal densities, (n, bins)."""
    return np.diff(norm.cdf((edges - np.asarray(mean)[:, None]) / sigma), axis=1)


EDGES = np.linspace(-8, 8, 801)


def test_uniform_density_has_its_closed_forms():
    edges, flat = np.linspace(0, 1, 5), np.ones((3, 4))
    truth = np.array([0.1, 0.5, 0.93])
    np.testing.assert_allclose(pit(flat, edges, truth), truth)
    np.testing.assert_allclose(crps(flat, edges, truth), truth**3 / 3 + (1 - truth) ** 3 / 3, rtol=1e-12)
    np.testing.assert_allclose(nll(flat, edges, truth), 0.0, atol=1e-12)
    np.testing.assert_allclose(quantile(flat, edges, 0.3), 0.3)


def test_gaussian_density_has_its_closed_forms():
    mean, truth = np.array([-1.0, 0.0, 2.0]), np.array([-0.4, 1.1, 2.0])
    density = gaussian(mean, 1.0, EDGES)
    z = truth - mean
    closed = z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi)
    np.testing.assert_allclose(crps(density, EDGES, truth), closed, atol=1e-4)
    np.testing.assert_allclose(nll(density, EDGES, truth), -norm.logpdf(z), atol=2e-2)
    np.testing.assert_allclose(pit(density, EDGES, truth), norm.cdf(z), atol=1e-5)
    np.testing.assert_allclose(quantile(density, EDGES, 0.975), mean + 1.959964, atol=1e-3)


def test_crps_of_a_spike_is_the_distance_also_beyond_the_edges():
    edges = np.array([0.0, 1.0, 1.0 + 1e-9, 5.0])
    spike = np.array([[0.0, 1.0, 0.0]] * 3)
    np.testing.assert_allclose(crps(spike, edges, np.array([3.0, 0.2, 7.0])), [2.0, 0.8, 6.0], atol=1e-6)


def test_crps_is_least_for_the_right_width():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=3000)
    score = {s: crps(gaussian(np.zeros(3000), s, EDGES), EDGES, truth).mean() for s in (0.6, 1.0, 1.6)}
    assert score[1.0] < score[0.6]
    assert score[1.0] < score[1.6]


def test_nll_is_infinite_where_the_density_says_never():
    edges = np.array([0.0, 1.0, 2.0])
    assert np.isinf(nll(np.array([[1.0, 0.0]]), edges, np.array([1.5])))[0]
    assert np.isinf(nll(np.array([[1.0, 1.0]]), edges, np.array([2.5])))[0]


def test_pit_is_uniform_for_right_and_not_for_wrong_densities():
    rng = np.random.default_rng(3)
    mean = rng.normal(size=500)
    truth = mean + rng.normal(size=500)
    assert pit_uniformity(pit(gaussian(mean, 1.0, EDGES), EDGES, truth)) > 0.05
    assert pit_uniformity(pit(gaussian(mean, 2.0, EDGES), EDGES, truth)) < 1e-3
    assert pit_uniformity(pit(gaussian(mean + 0.4, 1.0, EDGES), EDGES, truth)) < 1e-3


def _coverages(scale, level, repeats=300, n=146):
    """Fraction of repeats in which the coverage claim holds, sigma being `scale` times the right one."""
    rng = np.random.default_rng(11)
    return np.mean([coverage_of_pit(norm.cdf(rng.normal(size=n) / scale), level).holds for _ in range(repeats)])


@pytest.mark.parametrize("level", [0.68, 0.95])
def test_coverage_claim_holds_for_the_right_sigma_and_fails_for_one_wrong_by_half(level):
    assert _coverages(1.0, level) > 0.9
    assert _coverages(1.5, level) < 0.05
    assert _coverages(1 / 1.5, level) < 0.05


@pytest.mark.parametrize(
    ("density", "edges", "truth", "message"),
    [
        (np.ones((2, 3)), np.arange(4.0), np.zeros(3), "truth"),
        (np.ones((2, 3)), np.arange(3.0), np.zeros(2), "edges"),
        (np.ones((2, 3)), np.array([0.0, 2.0, 1.0, 3.0]), np.zeros(2), "edges"),
        (-np.ones((2, 3)), np.arange(4.0), np.zeros(2), "non-negative"),
        (np.full((2, 3), np.nan), np.arange(4.0), np.zeros(2), "finite"),
        (np.zeros((2, 3)), np.arange(4.0), np.zeros(2), "zero"),
        (np.ones((2, 3)), np.arange(4.0), np.array([1.0, np.nan]), "truth"),
    ],
)
@pytest.mark.parametrize("score", [pit, crps, nll])
def test_densities_refuse_wrong_input(score, density, edges, truth, message):
    with pytest.raises(ValueError, match=message):
        score(density, edges, truth)
