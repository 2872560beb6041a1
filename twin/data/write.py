"""`simulate`: a recipe's samples into a dataset, shard by shard, resumable after anything."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from twin.data import layout
from twin.data.load import MAX_SHARDS, read_attrs
from twin.data.lock import shard_range_lock
from twin.data.manifest import Manifest, fingerprint, read_manifest, sizes_match
from twin.data.progress import Bar
from twin.data.shard import write_shard
from twin.io.fits import stamp_wcs
from twin.io.layout import ShardSource
from twin.schema import UserError

log = logging.getLogger("twin")


@dataclass(frozen=True)
class Written:
    """What a call of `simulate` did."""

    path: Path
    n: int
    shards: tuple[int, ...]
    samples: int
    seconds: float

    @property
    def samples_per_second(self) -> float:
        return self.samples / self.seconds if self.seconds > 0 else 0.0


def simulate(
    recipe: ShardSource,
    path: str | Path,
    n: int,
    seed: int = 0,
    resume: bool = True,
    mixed: bool = False,
    progress: bool = True,
    shards: tuple[int, int] | None = None,
) -> Written:
    """Write `n` samples of a recipe to the dataset at `path`; shards that stand finished are kept.

    resume    False = make the shards anew, even if they stand finished
    mixed     True = finish a dataset that another version or another kind of machine began
    progress  show a bar with samples/s and time left
    shards    (start, stop): only these shards; several processes may fill one dataset with disjoint ranges

    Raises UserError when something else stands at `path` (other files; another recipe, seed or n), when another
    process writes one of the shards, or when the disk is full. After Ctrl-C, kill -9 or a full disk the same call
    continues: only unfinished shards are lost.
    """
    folder, spec = Path(path), recipe.spec
    total = layout.shard_count(n, spec.shard_samples)
    if not 1 <= total <= MAX_SHARDS:
        raise UserError(f"is {n}, must be 1 to {MAX_SHARDS * spec.shard_samples}", key="n")
    if not 0 <= seed < 2**32:
        raise UserError(f"is {seed}, must be 0 to {2**32 - 1}", key="seed")
    start, stop = shards or (0, total)
    if not 0 <= start < stop <= total:
        raise UserError(f"is {start}:{stop}, the dataset has shards 0:{total}", key="shards")
    _open_or_create(folder, recipe, n, seed)
    began = time.monotonic()
    with shard_range_lock(folder, start, stop):
        todo = [k for k in range(start, stop) if not (resume and _finished(folder, k))]
        if todo:
            made_by = fingerprint() | getattr(recipe, "maker", {})
            _require_same_maker(folder, total, set(todo) if not resume else set(), made_by, mixed)
            run_shards(recipe, folder, n, seed, todo, made_by, progress)
    ranges = [layout.shard_range(k, n, spec.shard_samples) for k in todo]
    return Written(folder, n, tuple(todo), sum(b - a for a, b in ranges), time.monotonic() - began)


def run_shards(
    recipe: ShardSource,
    folder: Path,
    n: int,
    seed: int,
    shards: Sequence[int],
    made_by: dict[str, str],
    progress: bool,
    accept: Callable[[int, Mapping[str, np.ndarray]], None] = lambda shard, arrays: None,
) -> None:
    """Simulate and write the shards; a thread writes one while the next is simulated.

    accept  called with (shard, arrays) before the arrays are written; may refuse them by raising
    """
    spec = recipe.spec
    ranges = {k: layout.shard_range(k, n, spec.shard_samples) for k in shards}

    def save(shard: int, arrays: Mapping[str, np.ndarray]) -> Manifest:
        return write_shard(folder, spec, shard, n, arrays, seed=seed, recipe_sha256=recipe.sha256, fingerprint=made_by)

    done = 0
    waiting = f"{recipe.name}, compiling (minutes the first time)"
    bar = Bar(recipe.name, sum(b - a for a, b in ranges.values()), progress, waiting=waiting)
    with bar as advance, _Writer(save) as writer:
        try:
            for shard, (first, last) in ranges.items():
                arrays = recipe.shard(seed, shard, last - first)
                accept(shard, arrays)
                writer.put(shard, arrays)
                done += 1
                advance(last - first)
        except KeyboardInterrupt:
            log.warning("%s: stopped after %d of %d shards; the same command continues", folder, done, len(ranges))
            raise


class _Writer:
    """A thread that writes shards in order. Its first error ends the block: at the next `put`, or at the end."""

    def __init__(self, save: Callable[[int, Mapping[str, np.ndarray]], object]) -> None:
        self._save = save
        self._queue: queue.Queue[tuple[int, Mapping[str, np.ndarray]] | None] = queue.Queue(maxsize=1)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="shard writer", daemon=True)

    def put(self, shard: int, arrays: Mapping[str, np.ndarray]) -> None:
        self._queue.put((shard, arrays))
        if self._error:
            raise self._error

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._save(*item)
                except BaseException as error:
                    self._error = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # also after Ctrl-C: what is simulated already is worth the second that writing it takes
        self._queue.put(None)
        self._thread.join()
        if self._error and error is None:
            raise self._error


def group_attrs(recipe: ShardSource, seed: int) -> dict[str, Any]:
    """Root attributes of a simulated dataset beside `spec.attrs`: enough to make it again."""
    frame = recipe.spec["frame"]
    return {
        "kind": "simulated",
        "recipe_name": recipe.name,
        "recipe_sha256": recipe.sha256,
        "recipe": recipe.node.value,
        "seed": seed,
        "bands": list(recipe.bands),
        "pixel_scale": recipe.pixel_scale,
        **({"wcs": stamp_wcs((frame.shape[-2], frame.shape[-1]), recipe.pixel_scale)} if frame.dims[-1] == "x" else {}),
    }


def _open_or_create(folder: Path, recipe: ShardSource, n: int, seed: int) -> None:
    """Leave a dataset of this recipe, seed and n at `folder`, or raise UserError."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        try:
            layout.create(folder, recipe.spec, n, group_attrs(recipe, seed))
        except UserError:
            if not (folder / "zarr.json").exists():  # else another process was first
                raise
    attrs = {"engine": "jax"} | read_attrs(folder)
    engine = recipe.spec.attrs.get("engine", "jax")
    for key, mine in (("recipe_sha256", recipe.sha256), ("seed", seed), ("n", n), ("engine", engine)):
        if attrs.get(key) != mine:
            name = {"recipe_sha256": "recipe"}.get(key, key)
            there, here = (str(v)[:12] for v in (attrs.get(key, "none"), mine))
            raise UserError(
                f"holds a dataset with {name} {there}, not {here}: write to another folder", file=folder, key=name
            )


def _finished(folder: Path, shard: int) -> bool:
    try:
        found = read_manifest(folder, shard)
    except ValueError:
        return False
    return found is not None and sizes_match(folder, found)


def _require_same_maker(folder: Path, total: int, anew: set[int], mine: dict[str, str], mixed: bool) -> None:
    """Refuse to add shards to others that were made by something else: the dataset would not be one."""
    for shard in range(total):
        if shard in anew or not _finished(folder, shard):
            continue
        found = read_manifest(folder, shard)
        require_fingerprint(folder, shard, found.fingerprint if found else mine, mine, mixed)


def differing(there: dict[str, str], mine: dict[str, str]) -> list[str]:
    """Keys in which the maker of a shard is not this one."""
    return [key for key in mine if there.get(key) != mine[key]]


def require_fingerprint(folder: Path, shard: int, there: dict[str, str], mine: dict[str, str], mixed: bool) -> None:
    """Raise UserError where a shard's maker is not this one, unless `mixed`."""
    differ = differing(there, mine)
    if differ and not mixed:
        key = differ[0]
        raise UserError(
            f"shard {shard} was made with {key} {there.get(key)!r}, this is {mine[key]!r}: values would not be "
            "reproducible as a whole; --mixed (mixed=True) allows it",
            file=folder,
            key=key,
        )
