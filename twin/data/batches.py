"""Shuffled batches for training: a pure function of (seed, epoch), read ahead by a thread."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from twin.data.load import DamagedShard, Dataset
from twin.schema import UserError

log = logging.getLogger("twin")

Batch = dict[str, np.ndarray]


@dataclass(frozen=True)
class _Block:
    """Samples `ids` (sorted, within one chunk [start, stop)) of dataset number `source`."""

    source: int
    start: int
    stop: int
    ids: np.ndarray


def batches_per_epoch(
    datasets: Dataset | Sequence[Dataset], batch: int, keep: Sequence[np.ndarray | None] | None = None
) -> int:
    """Whole batches in an epoch of `shuffled_batches` with the same arguments."""
    return sum(len(block.ids) for block in _blocks(_listed(datasets), keep)) // batch


def shuffled_batches(
    datasets: Dataset | Sequence[Dataset],
    names: Sequence[str],
    batch: int,
    seed: int,
    epoch: int,
    start: int = 0,
    keep: Sequence[np.ndarray | None] | None = None,
    buffer: int = 4096,
) -> Iterator[Batch]:
    """One epoch of batches name -> (batch, ...), each kept sample once, the incomplete last batch left out.

    start   begin at this batch; what comes is what an epoch from 0 would have given from there on
    keep    one array of sample indices (or None = all) a dataset: a training split, say
    buffer  samples shuffled together; chunks from all datasets are shuffled before they enter it

    Unfinished shards are left out and named in the log. A damaged chunk is named and its places are filled with other
    samples of the same buffer, so that the number of batches and what comes after do not change.

    Raises UserError for unknown names, arrays that differ in shape or dtype between datasets, fewer samples than a
    batch, and a buffer in which every chunk is damaged.
    """
    sources = _listed(datasets)
    _require_alike(sources, names)
    for source in sources:
        if source.unfinished:
            log.warning("%s: shards %s are unfinished: left out", source.path, ", ".join(map(str, source.unfinished)))
    blocks = _blocks(sources, keep)
    if sum(len(block.ids) for block in blocks) < batch:
        raise UserError(f"has fewer usable samples than one batch of {batch}", file=sources[0].path)
    order = np.random.default_rng([seed, epoch]).permutation(len(blocks))
    windows = _windows([blocks[i] for i in order], buffer)
    return _prefetched(_batches(sources, names, windows, batch, seed, epoch, start), depth=4)


def _listed(datasets: Dataset | Sequence[Dataset]) -> Sequence[Dataset]:
    return [datasets] if isinstance(datasets, Dataset) else datasets


def _require_alike(sources: Sequence[Dataset], names: Sequence[str]) -> None:
    for name in names:
        kinds = {(source.shape(name), source.dtype(name)) for source in sources}
        if len(kinds) > 1:
            raise UserError(f"differs in shape or type between the datasets: {sorted(map(str, kinds))}", key=name)


def _blocks(sources: Sequence[Dataset], keep: Sequence[np.ndarray | None] | None) -> list[_Block]:
    """The kept samples of all finished shards, cut at the frames' inner chunks."""
    found = []
    for number, source in enumerate(sources):
        kept = None if keep is None else keep[number]
        wanted = np.arange(source.n) if kept is None else np.unique(kept)
        length = source.chunk_samples("frame")
        for shard in source.shards:
            for first in range(shard.start, shard.stop, length):
                last = min(first + length, shard.stop)
                ids = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, last)]
                if len(ids):
                    found.append(_Block(number, first, last, ids))
    return found


def _windows(blocks: Sequence[_Block], buffer: int) -> list[list[_Block]]:
    """Consecutive blocks, about `buffer` samples together; a small rest joins the window before it."""
    windows: list[list[_Block]] = [[]]
    filled = 0
    for block in blocks:
        if filled >= buffer:
            windows.append([])
            filled = 0
        windows[-1].append(block)
        filled += len(block.ids)
    if len(windows) > 1 and filled < buffer // 2:
        windows[-2:] = [windows[-2] + windows[-1]]
    return windows


def _batches(
    sources: Sequence[Dataset],
    names: Sequence[str],
    windows: Sequence[Sequence[_Block]],
    batch: int,
    seed: int,
    epoch: int,
    start: int,
) -> Iterator[Batch]:
    skip = start * batch
    rest: Batch | None = None
    said: set[str] = set()
    for number, window in enumerate(windows):
        size = sum(len(block.ids) for block in window)
        if skip >= size:
            skip -= size
            continue
        mixed = _read_window(sources, names, window, np.random.default_rng([seed, epoch, number]), said)
        mixed = {name: values[skip:] for name, values in mixed.items()}
        skip = 0
        if rest is not None:
            mixed = {name: np.concatenate([rest[name], values]) for name, values in mixed.items()}
        length = len(next(iter(mixed.values())))
        for first in range(0, length - batch + 1, batch):
            yield {name: values[first : first + batch] for name, values in mixed.items()}
        rest = {name: values[length - length % batch :] for name, values in mixed.items()}


def _read_window(
    sources: Sequence[Dataset], names: Sequence[str], window: Sequence[_Block], rng: np.random.Generator, said: set[str]
) -> Batch:
    """All samples of a window in random order; places of damaged ones are filled with healthy ones."""
    sizes = [len(block.ids) for block in window]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    healthy = []
    for block in window:
        source = sources[block.source]
        inside = block.ids - block.start
        try:
            read = [source.read_block(name, block.start, block.stop)[inside] for name in names]
        except DamagedShard as error:
            healthy.append(False)
            if str(error) not in said:
                said.add(str(error))
                log.warning("%s: left out; `twin verify` names all damage", error)
            continue
        healthy.append(True)
        for name, values in zip(names, read, strict=True):
            parts[name].append(values)
    if not any(healthy):
        raise UserError("every chunk of a whole buffer is damaged; `twin verify` names them", file=sources[0].path)
    # place of each sample of the window among the samples that could be read, -1 = damaged
    good = np.repeat(healthy, sizes)
    place = np.where(good, np.cumsum(good) - 1, -1)[rng.permutation(len(good))]
    place[place < 0] = np.resize(place[place >= 0], int((place < 0).sum()))
    return {name: np.concatenate(values)[place] for name, values in parts.items()}


def _prefetched(source: Iterator[Batch], depth: int) -> Iterator[Batch]:
    """The same items, made ahead by a thread that ends when the consumer does."""
    ready: queue.Queue[Batch | BaseException | None] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(item: Batch | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in source:
                if not put(item):
                    return
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=work, name="batches", daemon=True)

    def consume() -> Iterator[Batch]:
        thread.start()
        try:
            while (item := ready.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            thread.join()

    return consume()
