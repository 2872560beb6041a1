"""Recalibration of an ensemble's predictions by objects whose truth is known; one JSON file a calibration set."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from twin.io.atomic import write_json
from twin.metrics import Tempering
from twin.schema import UserError, suggest
from twin.train.prediction import Prediction

SIMULATIONS = "simulations"  # the calibration that training leaves, by name
NONE = "none"  # the name that stands for no calibration
LEAST = 20  # objects of a kind below which its numbers stay as they are
TINY = 1e-7
LIMIT = float(np.log(5.0))  # of ln slope


@dataclass(frozen=True)
class Calibration:
    """Four numbers; the defaults change nothing.

    slope, offset       logit of the lens probability -> slope * logit + offset, for every member
    temperature, share  `Tempering` of every member's separation density in ln(separation)
    name, objects       where it was loaded: NAME of `calibration/NAME.json`, and what it was fitted on
    """

    slope: float = 1.0
    offset: float = 0.0
    temperature: float = 1.0
    share: float = 0.0
    name: str = field(default="", compare=False)
    objects: str = field(default="", compare=False)

    @property
    def numbers(self) -> dict[str, float]:
        return {key: getattr(self, key) for key in ("slope", "offset", "temperature", "share")}

    @property
    def adjusts(self) -> tuple[str, ...]:
        """The parts of a prediction that it changes: "lens_probability", "separation"."""
        lens, separation = (self.slope, self.offset) != (1, 0), (self.temperature, self.share) != (1, 0)
        return ("lens_probability",) * lens + ("separation",) * separation

    def apply(self, prediction: Prediction) -> Prediction:
        """The prediction with recalibrated lens probabilities and separation densities; what it does not adjust stays
        as it is to the bit."""
        lens, separation = prediction.lens, prediction.separation
        if "lens_probability" in self.adjusts:
            lens = _sigmoid(self.slope * _logit(lens) + self.offset)
        if "separation" in self.adjusts:
            flat = separation.reshape(-1, separation.shape[-1]).astype(float)
            tempered = Tempering(self.temperature, self.share).apply(flat, np.log(prediction.edges))
            separation = tempered.reshape(separation.shape)
        return replace(prediction, lens=lens, separation=separation)

    @classmethod
    def fit(cls, prediction: Prediction, lens: np.ndarray, separation: np.ndarray) -> Calibration:
        """Maximum likelihood of the mixture over members.

        lens        (n,) 1 or 0, NaN where unknown; separation (n,) in the edges' unit, NaN where unknown
        A part with fewer than 20 known objects, or lenses of one kind only, stays as it is.
        """
        found = cls()
        known = np.isfinite(lens)
        truth = np.asarray(lens)[known] > 0.5
        if min(truth.sum(), (~truth).sum()) >= LEAST / 2:
            part = prediction.take(known)

            def line(p: np.ndarray) -> Calibration:
                # bounded: where all labels are told apart, likelihood knows no largest slope
                return cls(slope=float(np.exp(np.clip(p[0], -LIMIT, LIMIT))), offset=float(np.clip(p[1], -5, 5)))

            def lens_loss(p: np.ndarray) -> float:
                q = line(p).apply(part).lens_mean().clip(TINY, 1 - TINY)
                return float(-np.where(truth, np.log(q), np.log1p(-q)).mean())

            found = line(_minimum(lens_loss, np.array([0.0, 0.0])))
        known = np.isfinite(separation)
        if known.sum() >= LEAST:
            narrow = prediction.take(known)
            place = np.searchsorted(prediction.edges, np.asarray(separation)[known], side="right") - 1
            place = place.clip(0, len(prediction.edges) - 2)

            def build(p: np.ndarray) -> Calibration:
                temperature = float(np.exp(np.clip(p[0], np.log(0.2), np.log(20.0))))
                return replace(found, temperature=temperature, share=float(0.5 * _sigmoid(p[1])))

            def separation_loss(p: np.ndarray) -> float:
                density = build(p).apply(narrow).separation_density()
                return float(-np.log(density[np.arange(len(place)), place] + TINY).mean())

            found = build(_minimum(separation_loss, np.array([0.3, -3.0])))
        return found

    def save(self, model: Path, name: str, objects: str) -> Path:
        """Write `calibration/NAME.json` into a model folder. `objects` says what it was fitted on."""
        path = model / "calibration" / f"{name}.json"
        write_json(path, self.numbers | {"objects": objects})
        return path

    @staticmethod
    def names(model: Path) -> list[str]:
        """Names of a model folder's calibrations."""
        return sorted(path.stem for path in (model / "calibration").glob("*.json"))

    @classmethod
    def load(cls, model: Path, name: str) -> Calibration:
        """`calibration/NAME.json` of a model folder. Raises UserError where there is none, or it is damaged."""
        there = [NONE, *cls.names(model)]
        if name not in there[1:]:
            raise UserError(
                f'has no calibration "{name}"; there are {", ".join(there)}',
                file=model, key="--calibration", suggestion=suggest(name, there),
            )  # fmt: skip
        path = model / "calibration" / f"{name}.json"
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            found = cls(**{key: float(held[key]) for key in cls().numbers}, name=name, objects=str(held["objects"]))
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"is damaged ({error!r})", file=path) from error
        if not (np.isfinite(list(found.numbers.values())).all() and found.temperature > 0 and 0 <= found.share <= 1):
            raise UserError("is damaged (its numbers are no calibration)", file=path)
        return found


def _minimum(loss: Callable[[np.ndarray], float], start: np.ndarray) -> np.ndarray:
    return minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-6}).x


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.asarray(p, float).clip(TINY, 1 - TINY)
    return np.log(p) - np.log1p(-p)


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return expit(z)
