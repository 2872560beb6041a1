"""What a benchmark run found, ready for the JSON file, the catalogue and the report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from twin.evaluate.scores import Metrics
from twin.metrics import Estimate
from twin.train.prediction import Prediction


@dataclass(frozen=True)
class Result:
    """One benchmark, one model.

    n           objects behind the main figure
    metrics     name -> estimate with its 95 % interval
    counts      how many objects each step of the protocol kept or dropped
    notes       sentences for the report
    names       (n,) identifiers of all objects predicted; `prediction`, `crops` (n, band, y, x) counts and `rms`
                (n, band) are in the same order
    position    (n, 2) RA, Dec in degrees, NaN where unknown
    separation  index of the objects with a true separation, their truth [arcsec], those set aside, the two-star peer
    lens        index of the objects whose class is scored, and 1 for a lens
    """

    benchmark: str
    title: str
    protocol: str
    n: int
    metrics: Metrics
    counts: dict[str, int]
    notes: tuple[str, ...]
    bands: tuple[str, ...]
    names: np.ndarray
    position: np.ndarray
    prediction: Prediction
    crops: np.ndarray
    rms: np.ndarray
    separation_index: np.ndarray
    separation_truth: np.ndarray
    separation_aside: np.ndarray
    lens_index: np.ndarray
    lens_label: np.ndarray
    two_star: np.ndarray | None = field(default=None)

    def as_json(self) -> str:
        """The JSON of the benchmark, see `scores_json`."""
        return scores_json(self.benchmark, self.n, self.metrics, self.counts)


def scores_json(benchmark: str, n: int, metrics: Mapping[str, Estimate], counts: Mapping[str, int]) -> str:
    """`{"benchmark", "n", "metrics": {NAME: {"value", "low", "high"}}, "counts"}`.

    A number that does not exist (an AUC of one class) is null.
    """
    numbers = {
        name: {key: _number(value) for key, value in estimate._asdict().items()} for name, estimate in metrics.items()
    }
    document: dict[str, Any] = {"benchmark": benchmark, "n": n, "metrics": numbers, "counts": counts}
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
