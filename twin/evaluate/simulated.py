"""Benchmark `simulated`: fresh frames of the model's own recipe, for those without real observations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from twin.evaluate import scores
from twin.evaluate.config import Simulated
from twin.evaluate.predict import join
from twin.evaluate.result import Result
from twin.io.layout import decode
from twin.schema import UserError
from twin.train.frames import recentre_crop
from twin.train.model import Model

SHARD = 1000  # samples drawn at a time


def run(model: Model, config: Simulated, say: Callable[[str], None] = lambda text: None) -> Result:
    """Score `model` on `config.n` samples that its recipe draws with `config.seed`."""
    recipe = model.recipe
    say(f"simulating {config.n} held-out samples of {recipe.name}")
    crops, rms, label, truth, parts = [], [], [], [], []
    for shard, start in enumerate(range(0, config.n, SHARD)):
        count = min(SHARD, config.n - start)
        arrays = recipe.shard(config.seed, shard, count)
        crop, _, _ = recentre_crop(*decode(arrays), model.centre_band, model.crop)
        parts.append(model.predict(crop, arrays["noise/rms"]))
        crops.append(crop)
        rms.append(arrays["noise/rms"])
        label.append(arrays["label/lens"])
        truth.append(arrays["label/separation"])
    prediction = join(parts)
    lens, separation = np.concatenate(label).astype(int), np.concatenate(truth).astype(float)
    n = len(lens)
    names = np.array([f"{recipe.name}-{config.seed}-{i:06d}" for i in range(n)])
    say("bootstrapping")
    prob, groups = prediction.lens_mean(), np.arange(n)
    metrics = {"lens_auc": scores.auc_metric(prob, lens, groups)} | scores.lens_metrics(prob, lens, groups)
    edges = prediction.edges
    index = np.flatnonzero((lens == 1) & (separation >= edges[0]) & (separation <= edges[-1]))
    if len(index) == 0:
        raise UserError(f"none of {n} samples is a lens with a separation", file=recipe.name)
    metrics |= scores.separation_metrics(prediction.take(index), separation[index], names[index])
    constant = np.full(len(index), np.median(separation[index]))
    metrics["sep_median_rel_error_catalogue_median"] = scores.median_of(
        scores.relative_error(constant, separation[index])
    )
    return Result(
        benchmark=config.benchmark, title=config.title, protocol=config.protocol, n=n, metrics=metrics,
        counts={"samples": n, "lenses": int(lens.sum()), "lenses_with_separation": len(index)},
        notes=(f"Simulated, not observed: {n} samples of recipe {recipe.name}.",),
        bands=tuple(recipe.bands), names=names, position=np.full((n, 2), np.nan), prediction=prediction,
        crops=np.concatenate(crops), rms=np.concatenate(rms), separation_index=index,
        separation_truth=separation[index], separation_aside=np.zeros(len(index), bool),
        lens_index=np.arange(n), lens_label=lens,
    )  # fmt: skip
