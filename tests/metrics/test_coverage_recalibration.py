import numpy as np
import pytest
from scipy.stats import norm

from twin.metrics import Tempering, coverage_of_interval, coverage_of_pit, fit_tempering, out_of_fold, pit

EDGES = np.linspace(-8, 8, 161)


def gaussian(mean, sigma):
    return np.diff(norm.cdf((EDGES - np.asarray(mean)[:, None]) / sigma), axis=1)


def test_coverage_counts_the_intervals_that_contain_the_truth():
    low, high = np.zeros(10), np.ones(10)
    truth = np.array([0.5] * 7 + [1.5, -0.5, 2.0])
    found = coverage_of_interval(low, high, truth, 0.68)
    assert found.estimate.value == pytest.approx(0.7)
    assert found.holds
    assert not coverage_of_interval(low, high, truth, 0.99).holds
    assert coverage_of_pit(np.array([0.16, 0.5, 0.84, 0.159]), 0.68).estimate.value == pytest.approx(0.75)


@pytest.mark.parametrize("pit_values", [np.array([]), np.array([1.2]), np.array([np.nan])])
def test_coverage_refuses_what_is_no_pit(pit_values):
    with pytest.raises(ValueError, match="PIT"):
        coverage_of_pit(pit_values, 0.68)


def test_tempering_of_a_gaussian_is_a_wider_gaussian():
    wide = Tempering(4.0, 0.0).apply(gaussian([0.3], 0.5), EDGES)
    np.testing.assert_allclose(wide, gaussian([0.3], 1.0), atol=2e-3)
    mixed = Tempering(1.0, 0.25).apply(gaussian([0.0], 0.5), EDGES)
    np.testing.assert_allclose(mixed, 0.75 * gaussian([0.0], 0.5) + 0.25 / 160, atol=1e-12)


def test_fit_finds_the_temperature_and_the_share_of_outliers():
    rng = np.random.default_rng(0)
    mean = rng.uniform(-2, 2, 4000)
    truth = np.where(rng.random(4000) < 0.1, rng.uniform(-8, 8, 4000), mean + rng.normal(0, 1.0, 4000))
    found = fit_tempering(gaussian(mean, 0.5), EDGES, truth)
    assert found.temperature == pytest.approx(4.0, rel=0.12)
    assert found.share == pytest.approx(0.1, abs=0.02)


def test_out_of_fold_repairs_the_coverage_of_overconfident_densities():
    rng = np.random.default_rng(1)
    mean = rng.uniform(-3, 3, 146)
    truth = mean + rng.normal(0, 1.0, 146)
    density = gaussian(mean, 0.5)
    assert not coverage_of_pit(pit(density, EDGES, truth), 0.68).holds
    repaired = out_of_fold(density, EDGES, truth)
    for level in (0.68, 0.95):
        assert coverage_of_pit(pit(repaired, EDGES, truth), level).holds


def test_out_of_fold_never_uses_an_object_to_recalibrate_itself():
    rng = np.random.default_rng(2)
    mean = rng.uniform(-3, 3, 60)
    truth = mean + rng.normal(size=60)
    density, groups = gaussian(mean, 0.7), np.arange(60) // 2
    first = out_of_fold(density, EDGES, truth, groups=groups)
    moved = truth.copy()
    moved[:2] = mean[:2] + 5.0  # the two objects of one group
    second = out_of_fold(density, EDGES, moved, groups=groups)
    np.testing.assert_array_equal(first[:2], second[:2])
    assert not np.allclose(first[2:], second[2:])


def test_out_of_fold_needs_as_many_groups_as_folds():
    with pytest.raises(ValueError, match="3 groups"):
        out_of_fold(gaussian([0.0] * 3, 1.0), EDGES, np.zeros(3), folds=5)
