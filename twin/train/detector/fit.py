"""Training of a detector: fields into memory, steps, checkpoints, scores on other fields, the model folder."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

import twin
from twin.io.layout import ShardSource
from twin.schema import UserError
from twin.train.detector import scores
from twin.train.detector.catalogue import sources
from twin.train.detector.config import DetectorConfig
from twin.train.detector.fields import candidate_batches, simulate_fields, with_times
from twin.train.detector.model import KINDS, Detector, Detectors, Said, Widths, detector_config, detectors, save
from twin.train.fit import begin, run
from twin.train.folder import RUN, prepare_folder, withdraw
from twin.train.progress import Bar
from twin.train.source import VALIDATION_SHARD
from twin.train.weights import Checkpoints


def train_detector(
    recipe: ShardSource, out: str | Path, seed: int = 0, resume: bool = True, progress: bool = True
) -> Detector:
    """Train what a recipe's `train:` section of kind detector describes and write the model folder `out`.

    Ctrl-C leaves a checkpoint and the same command goes on. Raises UserError for a recipe without sources, mistakes in
    the section, an `out` that holds something else.
    """
    config = detector_config(recipe.node)
    out = Path(out)
    begun = {"recipe_sha256": recipe.sha256, "train": config.model_dump(mode="json"), "seed": seed,
             "twin": twin.__version__}  # fmt: skip
    fields = with_times(recipe, config.slices)
    existed = out.is_dir()
    if prepare_folder(out, begun, resume):
        return Detector.load(out)
    started, networks = time.monotonic(), detectors(config)
    keys, checkpoints = networks.keys(seed), Checkpoints(out / "checkpoints")
    try:
        first, state = begin(networks, keys, checkpoints)
        batches: Any = iter(())
        if first < config.steps:
            with Bar(f"simulating {recipe.name}", config.samples, progress) as bar:
                pool = simulate_fields(fields, seed, config.samples, 0, config.mistaken, bar.advance)
            batches = candidate_batches(pool, config, seed, first)
        with Bar("training", config.steps, progress, frames=config.members * config.batch, done=first) as bar:
            state = run(networks, keys, first, state, batches, checkpoints, bar)
    except UserError:
        if not checkpoints.steps:
            withdraw(out, existed)
        raise
    finally:
        checkpoints.close()
    with Bar("simulating held-out fields", config.validation, progress) as bar:
        held = simulate_fields(fields, seed, config.validation, VALIDATION_SHARD, config.mistaken, bar.advance)
    metrics, least, widen = judge(networks, state.mean, held)
    metrics["seconds_of_last_run"] = round(time.monotonic() - started, 1)
    save(out, recipe, state.mean, metrics, _card(recipe, config, metrics, least), begun, threshold=least, widen=widen)
    shutil.rmtree(out / "checkpoints")
    (out / RUN).unlink()
    return Detector.load(out)


def judge(networks: Detectors, weights: Any, held: dict[str, np.ndarray]) -> tuple[dict[str, Any], float, Widths]:
    """Scores, threshold, factors of standard deviations: half of the fields set the latter, the other half scores."""
    said = said_of(networks, weights, held)
    many = len(held["there"])
    half = many // 2

    def matched(first: int, last: int) -> list[scores.Match]:
        out = []
        for k in range(first, last):
            there = held["there"][k]
            x, y = (np.where(there, held["sources"][k, :, axis], 1e6) for axis in (0, 1))
            out.append(scores.match(sources(said, k), x, y))
        return out

    tuned = matched(0, half)
    least, widen = scores.threshold(tuned), {}
    for kind, exact in zip(KINDS, (True, False), strict=True):
        its = np.flatnonzero(held["exact"][:half] == exact)
        widen[kind] = scores.widths([tuned[k] for k in its], held["sources"][its], least)
    said = said.widened(widen, held["exact"])
    metrics = scores.table(matched(half, many), held["sources"][half:], held["there"][half:], least)
    return {"held_out": metrics, "threshold": least}, least, widen


def said_of(networks: Detectors, weights: Any, held: dict[str, np.ndarray]) -> Said:
    """What is said of simulated fields' candidates, field by field."""
    number = np.bincount(held["field"], minlength=len(held["there"]))
    there = np.arange(max(number.max(initial=0), 1)) < number[:, None]

    def unfolded(name: str) -> np.ndarray:
        out = np.zeros((*there.shape, held[name].shape[-1]), held[name].dtype)
        out[there] = held[name]
        return out

    return networks.predict(weights, unfolded("features"), unfolded("base"), unfolded("sigma"), there)


def _card(recipe: ShardSource, config: DetectorConfig, metrics: dict[str, Any], least: float) -> str:
    held = metrics["held_out"]
    true, total = held["purity"]
    rows = "\n".join(f"| {name} | {hit} of {many} |" for name, (hit, many) in held["completeness_by_counts"].items())
    words = f"""\
# Source detector of `{recipe.name}`

{config.members} networks, {config.steps:,} steps on {config.samples:,} simulated fields.
A source is listed from a probability of {least:.3f}: then {scores.PURITY:.0%} of those listed were true
on one half of {config.validation:,} other fields. On the other half {true} of {total} were.

| counts on the image | found |
|---|---|
{rows}

Coverage of 1 and 2 standard deviations, and of how many: {json.dumps(held["coverage_68_95"])}.
What the network sees holds the PSF of the image: give it the right one.
"""
    return words
