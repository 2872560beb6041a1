"""Fitting a recipe's ensemble: data, steps, checkpoints, scores, and the model folder at the end."""

from __future__ import annotations

import logging
import shutil
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

import twin
from twin.io.layout import ShardSource
from twin.schema import UserError
from twin.train import model as models
from twin.train import scores
from twin.train.calibration import SIMULATIONS, Calibration
from twin.train.config import Binary, Binned
from twin.train.detector.model import Detector, is_detector
from twin.train.ensemble import Ensemble, ensemble
from twin.train.folder import RUN, prepare_folder, withdraw
from twin.train.members import Fitting, Members, State
from twin.train.progress import Bar
from twin.train.source import (
    VALIDATION_SHARD,
    Arrays,
    centre_band,
    check_recipe,
    dataset_batches,
    pool_batches,
    simulate_pool,
    training_set,
)
from twin.train.weights import Checkpoints, flatten, named, unflatten

log = logging.getLogger("twin")
AHEAD = 2  # steps that are handed to the devices before the last one is waited for
WARN_AFTER = 50  # steps after which the time needed is known


def train(
    recipe: ShardSource,
    out: str | Path,
    dataset: str | Path | None = None,
    seed: int = 0,
    resume: bool = True,
    progress: bool = True,
) -> models.Model | Detector:
    """Train the ensemble that a recipe describes and write the model folder `out`.

    dataset   Zarr dataset of the same recipe; None = simulate `train.samples` samples into memory first
    resume    go on from what an interrupted run left in `out`, with the same result as an uninterrupted one on the same
              machine; a finished model is loaded. False = begin anew

    Ctrl-C leaves a checkpoint; kill -9 loses the steps since the last one. Raises UserError for mistakes in the
    recipe's `train:` section, a dataset of another recipe, an `out` that holds something else or another training.
    """
    if is_detector(recipe.node):
        from twin.train.detector.fit import train_detector

        if dataset is not None:
            raise UserError("is for other networks: a detector's fields are simulated as they are needed", key="--data")
        return train_detector(recipe, out, seed, resume, progress)
    config = models.train_config(recipe.node)
    centre = centre_band(config, recipe.bands)
    out = Path(out)
    if dataset is not None:
        training_set(dataset, recipe, config)  # refuses before anything is written
    check_recipe(recipe, config)
    begun = {"recipe_sha256": recipe.sha256, "train": config.model_dump(mode="json"), "seed": seed,
             "dataset": str(dataset) if dataset else None, "twin": twin.__version__}  # fmt: skip
    existed = out.is_dir()
    if prepare_folder(out, begun, resume):
        log.info("%s: is trained already", out)
        return models.Model.load(out)
    networks = ensemble(config, len(recipe.bands), centre)
    keys = networks.keys(seed)
    margin, bands = config.augment.shift, len(recipe.bands)
    started = time.monotonic()
    checkpoints = Checkpoints(out / "checkpoints")
    try:
        first, state = begin(networks, keys, checkpoints)
        if first == config.steps:  # only the scores and the model folder were missing
            batches: Iterator[Arrays] = iter(())
        elif dataset is None:
            with Bar(f"simulating {recipe.name}", config.samples, progress, frames=bands) as bar:
                pool = simulate_pool(recipe, config, seed, config.samples, margin, 0, bar.advance)
            batches = pool_batches(pool, config, seed, first)
        else:
            batches = dataset_batches(dataset, recipe, config, seed, margin, first)
        per_step = config.members * config.batch * bands
        with Bar("training", config.steps, progress, frames=per_step, done=first) as bar:
            state = run(networks, keys, first, state, batches, checkpoints, bar)
    except UserError:
        if not checkpoints.steps:
            withdraw(out, existed)
        raise
    finally:
        checkpoints.close()
    with Bar("simulating held-out samples", config.validation, progress, frames=bands) as bar:
        held_out, adjusted = _score(recipe, networks, state.mean, seed, bar)
    metrics = {"held_out": held_out, "seconds_of_last_run": round(time.monotonic() - started, 1)}
    data = f"{config.samples:,} simulations of {recipe.name}" if dataset is None else f"dataset {Path(dataset).name}"
    card = scores.card(recipe.name, config, models.parameter_count(state.mean), data, seed, metrics)
    adjusted.save(out, SIMULATIONS, f"simulations of {recipe.name} that no training reached")
    models.save(out, recipe, state.mean, metrics, card, begun)
    shutil.rmtree(out / "checkpoints")
    (out / RUN).unlink()
    return models.Model.load(out)


def begin(networks: Members, keys: jax.Array, checkpoints: Checkpoints) -> tuple[int, State]:
    """(next step, state): the newest checkpoint's, or new ones."""
    like = networks.shapes()
    found = checkpoints.restore({name: np.empty(leaf.shape, leaf.dtype) for name, leaf in named(like).items()})
    if found is None:
        return 0, networks.init(keys)
    step, flat = found
    log.info("%s: going on from step %d", checkpoints.folder.parent, step)
    return step, networks.place(unflatten(like, flat, checkpoints.folder))


def run(
    networks: Members,
    keys: jax.Array,
    first: int,
    state: State,
    batches: Iterator[Arrays],
    checkpoints: Checkpoints,
    bar: Bar,
) -> State:
    """All steps from `first` on. A state that was interrupted is saved before the interruption is passed on."""
    config = networks.config
    saved_at, saved = time.monotonic(), first
    begun: float | None = None
    losses: deque[dict[str, jax.Array]] = deque()
    try:
        for step in range(first, config.steps):
            state, parts = networks.step(state, networks.place_batch(next(batches)), keys)
            losses.append(parts)
            if len(losses) > AHEAD:  # wait for an old step: the devices stay busy, batches do not pile up
                bar.advance(1, _shown(losses.popleft()))
                begun = begun or time.monotonic()  # the first step holds the compilation
            if step + 1 == first + WARN_AFTER and begun:
                _warn_if_long(config, (time.monotonic() - begun) / (WARN_AFTER - AHEAD) * config.steps)
            if time.monotonic() - saved_at > config.checkpoint_seconds:
                checkpoints.save(step + 1, flatten(state))
                saved_at, saved = time.monotonic(), step + 1
        for parts in losses:
            bar.advance(1, _shown(parts))
    except KeyboardInterrupt:
        done = int(state.step[0])
        if done > saved:
            checkpoints.save(done, flatten(state))
        raise
    if saved < config.steps:
        checkpoints.save(config.steps, flatten(state))
    return state


def _shown(losses: dict[str, jax.Array]) -> str:
    """Losses of one step, the mean over members; stops where they are no numbers any more."""
    means = {name: float(np.mean(value)) for name, value in losses.items()}
    if not np.all(np.isfinite(list(means.values()))):
        raise UserError("the loss is no finite number any more; lower it", key="train.learning_rate")
    return " ".join(f"{name} {mean:.3f}" for name, mean in means.items())


def _warn_if_long(config: Fitting, seconds: float) -> None:
    if seconds > 60 * config.minutes:
        log.warning("%d steps take about %.0f minutes here, train.minutes allows %g", config.steps, seconds / 60,
                    config.minutes)  # fmt: skip


def _score(
    recipe: ShardSource, networks: Ensemble, weights: Any, seed: int, bar: Bar
) -> tuple[dict[str, Any], Calibration]:
    """Scores and calibration on `validation` samples that no training reaches.

    The mean over flips and members is sharper than any one of them, its density is not: half of the samples say by how
    much to narrow it, the other half are scored.
    """
    config = networks.config
    pool = simulate_pool(recipe, config, seed, config.validation, 0, VALIDATION_SHARD, bar.advance)
    counts = pool["frame"].astype(np.float32) * pool["scale"][:, :, None, None]
    prediction = models.predict(networks, weights, counts, pool["rms"])
    lens, separation = (
        pool[next(name for name, head in config.heads.items() if isinstance(head, kind))] for kind in (Binary, Binned)
    )
    first, rest = np.array_split(np.arange(len(lens)), 2)
    unknown = np.full(len(first), np.nan)  # lens probabilities come out calibrated; they are left alone
    adjusted = Calibration.fit(prediction.take(first), unknown, separation[first])
    if "separation" in adjusted.adjusts:
        adjusted = replace(adjusted, share=max(adjusted.share, config.outliers))
    return scores.held_out(adjusted.apply(prediction.take(rest)), lens[rest], separation[rest]), adjusted
