"""Where training batches come from: a dataset on disk, or frames simulated into memory at the start.

Both are pure functions of (seed, step), so that a resumed training sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.io.layout import FRAME_ARRAYS, ShardSource, decode
from twin.schema import UserError, suggest
from twin.train.config import Binary, Binned, Categorical, TrainConfig
from twin.train.frames import crop_at, find_peak

if TYPE_CHECKING:
    from twin.data import Dataset

CHUNK = 2048  # samples that the recipe is asked for at a time
VALIDATION_SHARD = 50_000  # the first shard of the held-out samples; no training reaches it, exposures end at 2^31
Arrays = dict[str, np.ndarray]
Progress = Callable[[int], None]  # told how many samples were added


def check_recipe(recipe: ShardSource, config: TrainConfig) -> None:
    """Refuse, before anything is simulated, a `train:` section that asks for what the recipe's samples lack."""
    spec = recipe.spec
    _check_size(spec["frame"].shape[-2:], config, config.augment.shift, recipe.name)
    names, classes = [array.name for array in spec.arrays], spec.attrs.get("classes", ())
    for name, head in config.heads.items():
        if head.label not in names:
            raise UserError(f'the recipe has no array "{head.label}"', file=recipe.name,
                            key=f"train.heads.{name}.label", suggestion=suggest(head.label, names))  # fmt: skip
        if isinstance(head, Categorical) and head.label == "label/class" and head.classes < len(classes):
            raise UserError(f"is {head.classes}, the recipe has {len(classes)} classes", file=recipe.name,
                            key=f"train.heads.{name}.classes")  # fmt: skip


def _check_size(shape: tuple[int, ...], config: TrainConfig, margin: int, source: str) -> None:
    size = config.crop + 2 * margin
    if min(shape) < size:
        raise UserError(f"frames of {shape[0]}x{shape[1]} are smaller than crop + 2 shift = {size}",
                        file=source, key="train.crop")  # fmt: skip


def simulate_pool(
    recipe: ShardSource, config: TrainConfig, seed: int, n: int, margin: int, first_shard: int, progress: Progress
) -> Arrays:
    """n samples of a recipe as `prepare` leaves them, from shards `first_shard` on."""
    pool: Arrays = {}
    whole = min(CHUNK, n)  # asked for every time, so that the recipe compiles one shape
    for start in range(0, n, whole):
        count = min(whole, n - start)
        arrays = recipe.shard(seed, first_shard + start // whole, whole)
        part = prepare(arrays, config, recipe.bands, margin, recipe.name)
        for name, values in part.items():
            held = pool.setdefault(name, np.empty((n, *values.shape[1:]), values.dtype))
            held[start : start + count] = values[:count]
        progress(count)
    return pool


def prepare(
    arrays: Mapping[str, np.ndarray], config: TrainConfig, bands: tuple[str, ...], margin: int, source: str
) -> Arrays:
    """Arrays of a dataset as training keeps them.

    frame (n, band, crop + 2 margin, ...) in the dataset's integers, recentred, 0 where invalid; scale, rms (n, band);
    one array for each head, named like it. Raises UserError for frames smaller than that and for impossible labels.
    """
    frame, scale = arrays["frame"], arrays["noise/scale"]
    size = config.crop + 2 * margin
    _check_size(frame.shape[2:], config, margin, source)
    counts, valid = decode(arrays)
    if "noise/sky" in arrays:  # raw counts: what is kept is above the sky, like a stack's
        frame = frame.astype(np.int32) - np.rint(arrays["noise/sky"])[:, :, None, None].astype(np.int32)
    centre = find_peak(counts, valid, centre_band(config, bands))
    crops, inside = crop_at(np.where(valid, frame, 0).astype(frame.dtype), centre, size)
    out = {"frame": crops * inside[:, None], "scale": scale, "rms": arrays["noise/rms"]}
    if not (np.isfinite(scale).all() and np.isfinite(out["rms"]).all() and (out["rms"] > 0).all()):
        raise UserError("must be finite and positive", file=source, key="noise/rms")
    for name, head in config.heads.items():
        label = arrays[head.label]
        out[name] = label.astype(np.float32 if isinstance(head, Binned) else np.int32)
        _check_label(label, head, source)
    return out


def _check_label(label: np.ndarray, head: Binary | Binned | Categorical, source: str) -> None:
    if label.ndim != 1:
        raise UserError(f"has shape {label.shape[1:]} a sample, a number is needed", file=source, key=head.label)
    if isinstance(head, Binned):
        if np.any(label <= 0):
            raise UserError("must be positive, or NaN where unknown", file=source, key=head.label)
        return
    highest = 1 if isinstance(head, Binary) else head.classes - 1
    if len(label) and (label.min() < 0 or label.max() > highest):
        raise UserError(f"lies from {label.min()} to {label.max()}, the head takes 0 to {highest}",
                        file=source, key=head.label)  # fmt: skip


def centre_band(config: TrainConfig, bands: tuple[str, ...]) -> int:
    """Index of the band whose peak is the centre. Raises UserError where the recipe has no such band."""
    if config.centre_band not in bands:
        raise UserError(f'"{config.centre_band}" is none of the bands {", ".join(bands)}', key="train.centre_band")
    return bands.index(config.centre_band)


def pool_batches(pool: Arrays, config: TrainConfig, seed: int, start: int) -> Iterator[Arrays]:
    """Arrays (member, batch, ...) from step `start` on; every member goes through the pool in its own order."""
    n, batch = len(pool["frame"]), config.batch
    orders: dict[tuple[int, int], np.ndarray] = {}

    def order(member: int, epoch: int) -> np.ndarray:
        if (member, epoch) not in orders:
            orders.pop((member, epoch - 2), None)
            orders[member, epoch] = np.random.default_rng([seed, member, epoch]).permutation(n)
        return orders[member, epoch]

    for step in range(start, config.steps):
        place = np.arange(step * batch, (step + 1) * batch)
        epochs, at = np.divmod(place, n)
        index = np.empty((config.members, batch), int)
        for member in range(config.members):
            for epoch in np.unique(epochs):
                index[member, epochs == epoch] = order(member, int(epoch))[at[epochs == epoch]]
        yield {name: values[index] for name, values in pool.items()}


def training_set(path: str | Path, recipe: ShardSource, config: TrainConfig) -> Dataset:
    """The dataset, opened. Raises UserError where it is of another recipe (its training section aside) or too small."""
    from twin.data import batches_per_epoch, open_dataset

    dataset = open_dataset(path)
    _same_recipe(dataset, recipe)
    total = config.members * config.batch
    if batches_per_epoch(dataset, total) == 0:
        raise UserError(f"has {dataset.n} samples, one step of all members takes {total}", file=path)
    return dataset


def dataset_batches(
    path: str | Path, recipe: ShardSource, config: TrainConfig, seed: int, margin: int, start: int
) -> Iterator[Arrays]:
    """Arrays (member, batch, ...) of a dataset on disk from step `start` on; members see different samples."""
    from twin.data import batches_per_epoch, shuffled_batches

    dataset = training_set(path, recipe, config)
    names = ["noise/rms", *dict.fromkeys(head.label for head in config.heads.values())]
    names += [name for name in FRAME_ARRAYS if name in dataset.names]
    total = config.members * config.batch
    per_epoch = batches_per_epoch(dataset, total)
    step = start
    while step < config.steps:
        epoch, first = divmod(step, per_epoch)
        for arrays in shuffled_batches(dataset, names, total, seed, epoch, start=first):
            ready = prepare(arrays, config, recipe.bands, margin, str(path))
            yield {k: v.reshape(config.members, config.batch, *v.shape[1:]) for k, v in ready.items()}
            step += 1
            if step == config.steps:
                return


def _same_recipe(dataset: Dataset, recipe: ShardSource) -> None:
    """The dataset comes from this recipe; how it is trained on may differ."""

    def simulated(value: Any) -> Any:
        return {key: part for key, part in value.items() if key != "train"} if isinstance(value, dict) else value

    found = dataset.attrs.get("recipe")
    if dataset.attrs.get("recipe_sha256") == recipe.sha256 or simulated(found) == simulated(recipe.node.value):
        return
    name = dataset.attrs.get("recipe_name")
    if name is None:
        raise UserError(f"was not simulated: training takes frames of the recipe {recipe.name}", file=dataset.path)
    detail = f"the recipe {name}" if name != recipe.name else f"another version of {name}"
    raise UserError(f"was made by {detail}, not by the recipe {recipe.name} given here", file=dataset.path)
