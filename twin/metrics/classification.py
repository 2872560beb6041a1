"""Scores of a binary classifier: ranking, and whether its probabilities mean what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from twin.metrics.intervals import binomial_interval


def auc(score: np.ndarray, label: np.ndarray) -> float:
    """Area under the ROC curve: the probability that a positive outranks a negative, ties counting half.

    Mann-Whitney form `(R+ - n+ (n+ + 1) / 2) / (n+ n-)` with mid-ranks; equal to scikit-learn's `roc_auc_score`, and
    fast enough for thousands of bootstrap repeats. NaN if a class is missing. Raises ValueError for NaN scores.
    """
    score, positive = np.asarray(score, float), np.asarray(label, bool)
    if score.shape != positive.shape or score.ndim != 1:
        raise ValueError(f"scores {score.shape} and labels {positive.shape} must be equal 1-D arrays")
    if np.isnan(score).any():
        raise ValueError("a score is NaN")
    n_pos = int(positive.sum())
    n_neg = len(positive) - n_pos
    if n_pos == 0 or n_neg == 0:
        return float("nan")
    return float((rankdata(score)[positive].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


def log_loss(prob: np.ndarray, label: np.ndarray) -> float:
    """Mean negative log-likelihood [nat] of binary labels, probabilities clipped to [1e-7, 1 - 1e-7]."""
    prob = np.clip(np.asarray(prob, float), 1e-7, 1 - 1e-7)
    return float(-np.where(np.asarray(label, bool), np.log(prob), np.log1p(-prob)).mean())


@dataclass(frozen=True)
class ReliabilityCurve:
    """Per bin of predicted probability: mean prediction, observed fraction with its Wilson interval, count."""

    predicted: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray


def reliability_curve(prob: np.ndarray, label: np.ndarray, bins: int = 10) -> ReliabilityCurve:
    """Reliability diagram in bins that hold equally many objects (equal predictions stay in one bin)."""
    prob, label = _checked(prob, label)
    which = _equal_mass_bins(prob, bins)
    rows = []
    for b in range(which.max() + 1):
        inside = which == b
        fraction = binomial_interval(int(label[inside].sum()), int(inside.sum()))
        rows.append((prob[inside].mean(), *fraction, inside.sum()))
    predicted, observed, low, high, count = np.array(rows).T
    return ReliabilityCurve(predicted, observed, low, high, count.astype(int))


@dataclass(frozen=True)
class CalibrationError:
    """Debiased calibration error, and where it would lie if the probabilities were perfect.

    value       root of the debiased mean squared difference, 0 where the debiased square is negative
    null_high   95 % quantile of `value` for labels drawn from the very probabilities
    p_value     fraction of such draws whose debiased square is at least the measured one
    calibrated  p_value >= 0.05
    """

    value: float
    null_high: float
    p_value: float

    @property
    def calibrated(self) -> bool:
        return self.p_value >= 0.05


def calibration_error(
    prob: np.ndarray, label: np.ndarray, *, bins: int = 10, repeats: int = 1000, seed: int = 0
) -> CalibrationError:
    """Expected calibration error without its small-sample bias, beside its distribution under perfect calibration.

    Per equal-mass bin with n objects, mean prediction p and observed fraction y, `(p - y)^2 - y (1 - y) / (n - 1)` is
    an unbiased estimate of the squared miscalibration (Broecker 2012; Kumar, Liang & Ma 2019); bins are weighted by n.
    The plain ECE of 100 perfectly calibrated objects in ten bins is about 0.1: it cannot be read without this.
    """
    prob, label = _checked(prob, label)
    which = _equal_mass_bins(prob, bins)
    count = np.bincount(which).astype(float)
    predicted = np.bincount(which, prob) / count

    def debiased(labels: np.ndarray) -> float:
        observed = np.bincount(which, labels) / count
        noise = observed * (1 - observed) / np.maximum(count - 1, 1)
        return float(np.sum(count * ((predicted - observed) ** 2 - noise)) / count.sum())

    measured = debiased(label)
    rng = np.random.default_rng(seed)
    null = np.array([debiased((rng.random(len(prob)) < prob).astype(float)) for _ in range(repeats)])
    high = float(np.sqrt(max(np.quantile(null, 0.95), 0.0)))
    p_value = (1 + np.count_nonzero(null >= measured)) / (1 + repeats)
    return CalibrationError(float(np.sqrt(max(measured, 0.0))), high, float(p_value))


def _checked(prob: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    prob, label = np.asarray(prob, float), np.asarray(label, float)
    if prob.shape != label.shape or prob.ndim != 1 or len(prob) == 0:
        raise ValueError(f"probabilities {prob.shape} and labels {label.shape} must be equal, non-empty 1-D arrays")
    if not np.all((prob >= 0) & (prob <= 1)) or not np.all((label == 0) | (label == 1)):
        raise ValueError("probabilities lie in [0, 1] and labels are 0 or 1")
    return prob, label


def _equal_mass_bins(prob: np.ndarray, bins: int) -> np.ndarray:
    """(n,) bin of each object, numbered without gaps."""
    inner = np.unique(np.quantile(prob, np.linspace(0, 1, min(bins, len(prob)) + 1)[1:-1]))
    return np.unique(np.searchsorted(inner, prob, side="right"), return_inverse=True)[1]
