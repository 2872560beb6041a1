"""Quantiles, moments and PIT of a binned mixture against closed forms."""

import numpy as np
import pytest
from scipy.stats import lognorm

from twin.train.prediction import Prediction, log_edges


def lognormal_prediction(centres, sigmas, bins=400):
    edges = log_edges(0.3, 8.0, bins)
    mass = np.stack([np.diff(lognorm.cdf(edges, s, scale=c)) for c, s in zip(centres, sigmas, strict=True)])
    mass /= mass.sum(axis=1, keepdims=True)
    return Prediction(np.full((1, len(mass)), 0.5), mass[None], edges)


def test_quantiles_moments_and_pit_match_a_log_normal():
    centres, sigmas = np.array([0.9, 1.5, 3.0]), np.array([0.05, 0.1, 0.15])
    prediction = lognormal_prediction(centres, sigmas)
    for q in (0.025, 0.16, 0.5, 0.84, 0.975):
        exact = lognorm.ppf(q, sigmas, scale=centres)
        np.testing.assert_allclose(prediction.separation_quantile(q), exact, rtol=1e-3)
        np.testing.assert_allclose(prediction.pit(exact), q, atol=2e-3)
    np.testing.assert_allclose(prediction.separation_mean(), lognorm.mean(sigmas, scale=centres), rtol=1e-4)
    np.testing.assert_allclose(prediction.separation_std(), lognorm.std(sigmas, scale=centres), rtol=5e-3)
    low, high = prediction.interval(0.68)
    np.testing.assert_allclose(low, lognorm.ppf(0.16, sigmas, scale=centres), rtol=1e-3)
    np.testing.assert_allclose(high, lognorm.ppf(0.84, sigmas, scale=centres), rtol=1e-3)


def test_one_bin_is_even_in_the_logarithm():
    edges = np.array([1.0, 2.0, 4.0])
    prediction = Prediction(np.ones((1, 1)), np.array([[[1.0, 0.0]]]), edges)
    assert prediction.separation_quantile(0.5)[0] == pytest.approx(np.sqrt(2))
    assert prediction.separation_quantile(1.0)[0] == pytest.approx(2.0)
    assert prediction.separation_mean()[0] == pytest.approx(1 / np.log(2))
    assert prediction.pit(np.array([np.sqrt(2)]))[0] == pytest.approx(0.5)


def test_the_ensemble_is_the_mixture_of_its_members():
    edges = np.array([1.0, 2.0, 4.0])
    members = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    prediction = Prediction(np.array([[0.2], [0.6]]), members, edges)
    assert prediction.lens_mean()[0] == pytest.approx(0.4)
    assert prediction.lens_std()[0] == pytest.approx(0.2)
    assert prediction.separation_quantile(0.5)[0] == pytest.approx(2.0)
    assert prediction.separation_quantile(0.75)[0] == pytest.approx(2 * np.sqrt(2))


def test_quantile_takes_one_level_per_object_and_empty_bins_hold_nothing():
    edges = np.array([1.0, 2.0, 4.0, 8.0])
    prediction = Prediction(np.ones((1, 2)), np.array([[[0.5, 0.0, 0.5], [0.0, 0.0, 1.0]]]), edges)
    np.testing.assert_allclose(prediction.separation_quantile(np.array([0.75, 0.0])), [4 * np.sqrt(2), 1.0])
    np.testing.assert_allclose(prediction.pit(np.array([3.0, 3.0])), [0.5, 0.0])


def test_pit_outside_the_bins_and_for_unknown_values():
    prediction = Prediction(np.ones((1, 3)), np.full((1, 3, 2), 0.5), np.array([1.0, 2.0, 4.0]))
    np.testing.assert_array_equal(prediction.pit(np.array([0.5, 9.0, np.nan])), [0.0, 1.0, np.nan])


def test_take_keeps_every_member():
    prediction = Prediction(np.arange(6.0).reshape(2, 3) / 6, np.full((2, 3, 2), 0.5), np.array([1.0, 2.0, 4.0]))
    np.testing.assert_array_equal(prediction.take(np.array([True, False, True])).lens, [[0, 2 / 6], [3 / 6, 5 / 6]])


def test_wrong_shapes_are_refused():
    edges = np.array([1.0, 2.0, 4.0])
    with pytest.raises(ValueError, match="separation is"):
        Prediction(np.ones((1, 3)), np.ones((1, 3, 4)), edges)
    with pytest.raises(ValueError, match="increasing"):
        Prediction(np.ones((1, 3)), np.ones((1, 3, 2)), edges[::-1])
    with pytest.raises(ValueError, match="quantile"):
        Prediction(np.ones((1, 3)), np.full((1, 3, 2), 0.5), edges).separation_quantile(1.5)
    with pytest.raises(ValueError, match="value is"):
        Prediction(np.ones((1, 3)), np.full((1, 3, 2), 0.5), edges).pit(np.ones(2))
