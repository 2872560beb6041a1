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
    reader = _Reader(sources, names)
    skip = start * batch
    rest: Batch | None = None
    for number, window in enumerate(windows):
        size = sum(len(block.ids) for block in window)
        if skip >= size:
            skip -= size
            continue
        buffer, place = reader.read(window, np.random.default_rng([seed, epoch, number]))
        place, skip = place[skip:], 0
        while len(place):
            wanted = batch - (0 if rest is None else len(next(iter(rest.values()))))
            taken, place = place[:wanted], place[wanted:]
            part = {name: values[taken] for name, values in buffer.items()}  # a copy: the buffer is used again
            if rest is not None:
                part = {name: np.concatenate([rest[name], values]) for name, values in part.items()}
            rest = part if len(taken) < wanted else None
            if rest is None:
                yield part


class _Reader:
    """Fills one buffer a window, again and again; keeps what is small enough to be one chunk a shard."""

    def __init__(self, sources: Sequence[Dataset], names: Sequence[str]) -> None:
        self._sources, self._names = sources, names
        self._buffer: Batch = {}
        self._small: dict[tuple[int, str, int], np.ndarray | DamagedShard] = {}
        self._said: set[str] = set()

    def read(self, window: Sequence[_Block], rng: np.random.Generator) -> tuple[Batch, np.ndarray]:
        """Healthy samples of a window, and in random order the place of each sample among them.

        Places of damaged samples are given to healthy ones.
        """
        sizes = [len(block.ids) for block in window]
        self._reserve(sum(sizes))
        good = np.zeros(sum(sizes), bool)
        filled = 0
        for block, end in zip(window, np.cumsum(sizes), strict=True):
            try:
                values = [self._values(block, name) for name in self._names]
            except DamagedShard as error:
                if str(error) not in self._said:
                    self._said.add(str(error))
                    log.warning("%s: left out; `twin verify` names all damage", error)
                continue
            good[end - len(block.ids) : end] = True
            for name, part in zip(self._names, values, strict=True):
                self._buffer[name][filled : filled + len(part)] = part
            filled += len(block.ids)
        if not filled:
            raise UserError(
                "every chunk of a whole buffer is damaged; `twin verify` names them", file=self._sources[0].path
            )
        place = np.where(good, np.cumsum(good) - 1, -1)[rng.permutation(len(good))]
        place[place < 0] = np.resize(place[place >= 0], int((place < 0).sum()))
        return self._buffer, place

    def _reserve(self, samples: int) -> None:
        source = self._sources[0]
        for name in self._names:
            if name not in self._buffer or len(self._buffer[name]) < samples:
                self._buffer[name] = np.empty((samples, *source.shape(name)), source.dtype(name))

    def _values(self, block: _Block, name: str) -> np.ndarray:
        source = self._sources[block.source]
        if source.chunk_samples(name) < source.shard_samples:
            return source.read_block(name, block.start, block.stop)[block.ids - block.start]
        shard = block.start // source.shard_samples
        first = shard * source.shard_samples
        key = (block.source, name, shard)
        if key not in self._small:
            try:
                self._small[key] = source.read_block(name, first, min(first + source.shard_samples, source.n))
            except DamagedShard as error:
                self._small[key] = error
        found = self._small[key]
        if isinstance(found, DamagedShard):
            raise found
        return found[block.ids - first]


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
