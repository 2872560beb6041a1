"""Scores and calibration diagnostics as functions of arrays."""

from twin.metrics.classification import auc, calibration_error, log_loss, reliability_curve
from twin.metrics.coverage import Coverage, coverage_of_interval, coverage_of_pit, pit_uniformity
from twin.metrics.densities import crps, nll, pit, quantile
from twin.metrics.intervals import Estimate, binomial_interval, bootstrap
from twin.metrics.recalibration import Tempering, fit_tempering, out_of_fold

__all__ = [
    "Coverage", "Estimate", "Tempering", "auc", "binomial_interval", "bootstrap", "calibration_error",
    "coverage_of_interval", "coverage_of_pit", "crps", "fit_tempering", "log_loss", "nll", "out_of_fold", "pit",
    "pit_uniformity", "quantile", "reliability_curve",
]  # fmt: skip
