import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from twin.metrics import auc, calibration_error, log_loss, reliability_curve


def test_auc_equals_scikit_learn_with_ties():
    rng = np.random.default_rng(0)
    score, label = rng.integers(0, 12, 300) / 12, rng.random(300) < 0.3
    assert auc(score, label) == pytest.approx(roc_auc_score(label, score), abs=1e-12)


def test_auc_of_two_shifted_gaussians_is_its_closed_form():
    rng = np.random.default_rng(1)
    score = np.concatenate([rng.normal(1.0, 1, 20000), rng.normal(0, 1, 20000)])
    label = np.repeat([1, 0], 20000)
    assert auc(score, label) == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.006)
    assert auc(-score, label) == pytest.approx(1 - auc(score, label))


def test_auc_of_one_class_is_nan_and_of_nan_an_error():
    assert np.isnan(auc(np.arange(3.0), np.ones(3)))
    with pytest.raises(ValueError, match="NaN"):
        auc(np.array([0.1, np.nan]), np.array([0, 1]))
    with pytest.raises(ValueError, match="equal 1-D"):
        auc(np.zeros(3), np.zeros(4))


def test_log_loss_equals_scikit_learn():
    rng = np.random.default_rng(2)
    prob, label = rng.random(100), rng.random(100) < 0.5
    assert log_loss(prob, label) == pytest.approx(sklearn_log_loss(label, prob))


def test_reliability_curve_of_known_counts():
    prob, label = np.repeat([0.2, 0.8], 10), np.array([1, 1] + [0] * 8 + [1] * 7 + [0] * 3)
    curve = reliability_curve(prob, label, bins=2)
    np.testing.assert_allclose(curve.predicted, [0.2, 0.8])
    np.testing.assert_allclose(curve.observed, [0.2, 0.7])
    np.testing.assert_array_equal(curve.count, [10, 10])
    assert np.all(curve.low < curve.observed)
    assert np.all(curve.observed < curve.high)


def _calibrated(n, seed):
    rng = np.random.default_rng(seed)
    prob = rng.beta(1.0, 1.0, n)
    return prob, (rng.random(n) < prob).astype(int)


def test_debiased_error_of_perfect_probabilities_is_unbiased_where_the_plain_one_is_not():
    squares, plain = [], []
    for seed in range(300):
        prob, label = _calibrated(200, seed)
        found = calibration_error(prob, label, repeats=1)
        curve = reliability_curve(prob, label)
        squares.append(found.value**2)
        plain.append(np.sqrt(np.average((curve.predicted - curve.observed) ** 2, weights=curve.count)))
    assert np.mean(plain) > 0.08
    assert np.median(np.sqrt(squares)) < 0.4 * np.mean(plain)


def test_calibration_test_accepts_right_and_rejects_overconfident_probabilities():
    accepted = rejected = 0
    for seed in range(40):
        prob, label = _calibrated(292, seed)
        logit = np.log(prob / (1 - prob))
        accepted += calibration_error(prob, label, repeats=200).calibrated
        rejected += not calibration_error(1 / (1 + np.exp(-2.5 * logit)), label, repeats=200).calibrated
    assert accepted >= 34  # 5 % of 40 are expected to fail
    assert rejected >= 38


def test_calibration_error_measures_a_constant_offset():
    rng = np.random.default_rng(5)
    prob = rng.uniform(0.3, 0.5, 40000)
    label = rng.random(40000) < prob + 0.2
    assert calibration_error(prob, label, repeats=20).value == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(("prob", "label"), [([1.2], [1]), ([0.5], [2]), ([], []), ([0.5, 0.5], [1])])
def test_calibration_error_refuses_what_is_no_probability_or_label(prob, label):
    with pytest.raises(ValueError, match=r"probabilities"):
        calibration_error(np.array(prob), np.array(label))
