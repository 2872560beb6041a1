"""Benchmark `ps1-lenses`: real lensed quasars, their separations, and their neighbours on the sky.

The protocol stands in `twin/configs/benchmarks/ps1-lenses.yaml`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from twin.data import Dataset
from twin.evaluate import scores
from twin.evaluate.config import RealLenses, folder
from twin.evaluate.matching import locate_pairs, read_pairs
from twin.evaluate.predict import Predictor
from twin.evaluate.real_objects import Objects, concentration, read_objects, select_others, select_quasars
from twin.evaluate.result import Result
from twin.evaluate.scores import Metrics
from twin.evaluate.two_star import fit_two_stars
from twin.train.prediction import Prediction


def run(
    model: Predictor, dataset: Dataset, config: RealLenses, say: Callable[[str], None] = lambda text: None
) -> Result:
    """Score `model` (anything with `predict(frames, rms) -> Prediction`) by the protocol of `config`."""
    everything = read_objects(dataset, config)
    quasars = select_quasars(everything, config)
    others, counts = select_others(everything)
    path = folder() / config.matching.pairs
    pairs = locate_pairs(read_pairs(path), everything.name[quasars], everything.name[others], path)

    used = np.concatenate([quasars, others[pairs[:, 1]]])
    objects = everything.take(used)
    say(f"predicting {len(objects)} real objects")
    prediction = model.predict(objects.crops, objects.rms)

    n = len(quasars)
    lens = objects.take(np.arange(n))
    aside = np.isin(lens.name, [entry.name for entry in config.set_aside])
    say(f"fitting two stars to {n} quasars")
    two_star = np.array(
        [
            fit_two_stars(*cut, config.pixel_scale).separation
            for cut in zip(lens.crops, lens.rms, lens.gain, strict=True)
        ]
    )
    say("bootstrapping")
    metrics = _separation(prediction.take(np.arange(n)), lens, two_star, aside)
    index = np.concatenate([pairs[:, 0], n + np.arange(len(pairs))])
    label = np.repeat([1, 0], len(pairs))
    metrics |= _matched(prediction.lens_mean()[index], label, objects.take(index), config)
    low, high = config.quasars.separation
    counts |= {
        "quasars": n,
        "quasars_set_aside": int(aside.sum()),
        "pairs": len(pairs),
        "quasars_without_partner": n - len(pairs),
    }
    notes = (
        f"{n} quasars of {low:g} to {high:g} arcsec; {len(pairs)} of them have a partner of equal brightness among "
        f"{len(others)} objects beside lenses; {counts['others_incomplete_in_crop']} more were left out as incomplete "
        f"in the crop, {counts['others_not_beside_a_lens']} as lying in no lens's field.",
        *(f"Set aside: {entry.name} ({entry.reason})." for entry in config.set_aside),
    )
    return Result(
        benchmark=config.benchmark, title=config.title, protocol=config.protocol, n=n, metrics=metrics, counts=counts,
        notes=notes, bands=config.bands, names=objects.name, position=objects.position, prediction=prediction,
        crops=objects.crops, rms=objects.rms, separation_index=np.arange(n), separation_truth=lens.separation,
        separation_aside=aside, lens_index=index, lens_label=label, two_star=two_star,
    )  # fmt: skip


def _separation(prediction: Prediction, lens: Objects, two_star: np.ndarray, aside: np.ndarray) -> Metrics:
    """Part (a): as given and with entries set aside, all and by half; beside two-star fit and catalogue median."""

    def score(index: np.ndarray) -> Metrics:
        truth = lens.separation[index]
        out = scores.separation_metrics(prediction.take(index), truth, lens.name[index])
        out["sep_median_rel_error_two_star"] = scores.median_of(scores.relative_error(two_star[index], truth))
        constant = np.full(len(index), np.median(truth))
        out["sep_median_rel_error_catalogue_median"] = scores.median_of(scores.relative_error(constant, truth))
        return out

    half = scores.halves(lens.name)
    kept = np.flatnonzero(~aside)
    without = scores.by_half(lambda index: score(kept[index]), half[kept], "_set_aside")
    return scores.by_half(score, half) | without


def _matched(prob: np.ndarray, label: np.ndarray, objects: Objects, config: RealLenses) -> Metrics:
    """Part (b) on pairs; a pair belongs to the half of its lens. Brighter, and less concentrated, means lens."""
    looks = {
        "auc_matched": prob,
        "auc_magnitude_only": -objects.mag_r,
        "auc_concentration_only": -concentration(objects.crops, config),
    }
    field = np.unique(objects.field, return_inverse=True)[1]

    def score(index: np.ndarray) -> Metrics:
        out = {name: scores.auc_metric(look[index], label[index], field[index]) for name, look in looks.items()}
        return out | scores.lens_metrics(prob[index], label[index], field[index])

    half = scores.halves(objects.name[: len(label) // 2])
    return scores.by_half(score, np.concatenate([half, half]))
