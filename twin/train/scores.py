"""Held-out simulated scores of a finished training, and the card that states them."""

from __future__ import annotations

from typing import Any

import numpy as np

import twin
from twin.metrics import auc, calibration_error, coverage_of_pit, log_loss
from twin.train.config import TrainConfig
from twin.train.prediction import Prediction


def held_out(prediction: Prediction, lens: np.ndarray, separation: np.ndarray) -> dict[str, float | int | None]:
    """Scores of n samples: lens (n,) 0 or 1, separation (n,) in arcsec, NaN where there is none.

    Relative errors are of the median; None where a score has no samples to stand on.
    """
    probability = prediction.lens_mean()
    ece = calibration_error(np.clip(probability, 0, 1), lens, repeats=200)
    known = np.isfinite(separation)
    part, truth = prediction.take(known), separation[known]
    error = np.abs(part.separation_quantile(0.5) / truth - 1)
    pit = part.pit(truth)
    scores: dict[str, Any] = {
        "n": len(lens),
        "lens_auc": auc(probability, lens),
        "lens_log_loss": log_loss(probability, lens),
        "lens_ece": ece.value,
        "lens_ece_if_calibrated": ece.null_high,
        "n_separation": int(known.sum()),
        "sep_median_rel_error": float(np.median(error)) if known.any() else None,
        "sep_cover68": coverage_of_pit(pit, 0.68).estimate.value if known.any() else None,
        "sep_cover95": coverage_of_pit(pit, 0.95).estimate.value if known.any() else None,
    }
    return {key: None if value is None or not np.isfinite(value) else value for key, value in scores.items()}


def card(name: str, config: TrainConfig, parameters: int, data: str, seed: int, metrics: dict[str, Any]) -> str:
    """The model card: what the model is, what it learned from, how well it does on held-out simulations."""
    lines = [
        f"# {name}",
        "",
        f"An ensemble of {config.members} residual networks, {parameters:,} parameters each, trained by twin "
        f"{twin.__version__} with seed {seed}.",
        "",
        f"- input: {config.crop}x{config.crop} pixels around the peak of the {config.centre_band} band, and the sky "
        "noise of every band",
        "- output: " + "; ".join(f"{key} ({head.kind})" for key, head in config.heads.items()),
        f"- data: {data}",
        f"- fitting: {config.steps:,} steps of {config.batch} samples a member",
        "",
        f"Scores on {metrics['held_out']['n']:,} held-out simulations of the same recipe. They say nothing about real "
        "observations: `twin evaluate` does. Separation densities are recalibrated by `calibration/simulations.json`, "
        "fitted on other simulations; lens probabilities are as the networks say.",
        "",
        "| score | value |",
        "|---|---|",
    ]
    for key, value in metrics["held_out"].items():
        lines.append(f"| {key} | {'-' if value is None else format(value, '.4g')} |")
    return "\n".join(lines) + "\n"
