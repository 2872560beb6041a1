"""Metrics of a separation density and of a lens probability, as every benchmark reports them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from twin import metrics as m
from twin.metrics import Estimate
from twin.train.prediction import Prediction

LEVELS = (0.68, 0.95)
HALVES = ("tune", "held")
Metrics = dict[str, Estimate]


def halves(names: np.ndarray) -> np.ndarray:
    """(n,) 0 = tune, 1 = held: the parity of the object name's SHA-256, so that an object never changes sides.

    Develop on `tune`, quote `held`.
    """
    return np.array([hashlib.sha256(str(name).encode()).digest()[-1] & 1 for name in names], int)


def relative_error(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(n,) `|predicted - truth| / truth`."""
    return np.abs(predicted - truth) / truth


def median_of(values: np.ndarray) -> Estimate:
    """Median with its bootstrap interval over objects."""
    return m.bootstrap(lambda i: float(np.median(values[i])), len(values))


def recalibrated(prediction: Prediction, truth: np.ndarray, names: np.ndarray) -> Prediction:
    """The same objects with separation densities recalibrated out of fold (five folds by object), as one member."""
    density = m.out_of_fold(prediction.separation_density(), np.log(prediction.edges), np.log(truth), groups=names)
    return Prediction(prediction.lens_mean()[None], density[None], prediction.edges)


def separation_metrics(prediction: Prediction, truth: np.ndarray, names: np.ndarray) -> Metrics:
    """Scores of (n,) true separations [arcsec], raw and recalibrated out of fold.

    The point prediction is the median of the mixture density; intervals are central; `sep_crps` is in arcsec (of the
    density as binned in arcsec), `sep_nll` in nat per unit of ln(separation), `sep_median_ratio` predicted over true.
    Names end in `_recalibrated` for the second; the recalibration is left out for fewer than 20 objects.
    """
    out = _separation_metrics(prediction, truth)
    if len(truth) >= 20:
        repaired = _separation_metrics(recalibrated(prediction, truth, names), truth)
        out |= {f"{name}_recalibrated": value for name, value in repaired.items()}
    return out


def _separation_metrics(prediction: Prediction, truth: np.ndarray) -> Metrics:
    point = prediction.separation_quantile(0.5)
    density, edges = prediction.separation_density(), prediction.edges
    log_height = m.nll(np.maximum(density, 1e-12), np.log(edges), np.clip(np.log(truth), *np.log(edges[[0, -1]])))
    crps = m.crps(density, edges, truth)
    out = {
        "sep_median_rel_error": median_of(relative_error(point, truth)),
        "sep_median_ratio": median_of(point / truth),
        "sep_crps": m.bootstrap(lambda i: float(crps[i].mean()), len(crps)),
        "sep_nll": m.bootstrap(lambda i: float(log_height[i].mean()), len(log_height)),
    }
    pit = prediction.pit(truth)
    for level in LEVELS:
        out[f"sep_cover{level * 100:.0f}"] = m.coverage_of_pit(pit, level).estimate
    p_value = m.pit_uniformity(pit)
    out["sep_pit_p"] = Estimate(p_value, p_value, p_value)
    return out


def auc_metric(score: np.ndarray, label: np.ndarray, groups: np.ndarray) -> Estimate:
    """AUC with its bootstrap interval over groups (fields)."""
    return m.bootstrap(lambda i: m.auc(score[i], label[i]), len(score), groups=groups)


def lens_metrics(prob: np.ndarray, label: np.ndarray, groups: np.ndarray) -> Metrics:
    """Calibration of lens probabilities: debiased error with bootstrap interval, its 95 % bound under perfect
    calibration, and the p-value of the measured one under perfect calibration."""
    found = m.calibration_error(prob, label)
    interval = m.bootstrap(
        lambda i: m.calibration_error(prob[i], label[i], repeats=1).value, len(prob), groups=groups, repeats=200
    )
    loss = m.bootstrap(lambda i: m.log_loss(prob[i], label[i]), len(prob), groups=groups)
    return {
        "lens_ece": Estimate(found.value, interval.low, interval.high),
        "lens_ece_if_perfect": Estimate(0.0, 0.0, found.null_high),
        "lens_ece_p": Estimate(found.p_value, found.p_value, found.p_value),
        "lens_log_loss": loss,
    }


def by_half(score: Callable[[np.ndarray], Metrics], half: np.ndarray, suffix: str = "") -> Metrics:
    """`score(index)` of all objects, named with `suffix`, and of each half with `_tune` or `_held` behind that."""
    out = {f"{metric}{suffix}": estimate for metric, estimate in score(np.arange(len(half))).items()}
    for value, name in enumerate(HALVES):
        index = np.flatnonzero(half == value)
        if len(index) >= 10:  # fewer say nothing
            out |= {f"{metric}{suffix}_{name}": estimate for metric, estimate in score(index).items()}
    return out
