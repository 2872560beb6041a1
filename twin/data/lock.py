"""Only overlapping shard ranges of one dataset exclude each other."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twin.io.atomic import plain_disk_errors
from twin.schema import UserError


@contextmanager
def shard_range_lock(folder: Path, start: int, stop: int) -> Iterator[None]:
    """Hold the shards [start, stop) of the dataset in `folder`. Raises UserError when another writer holds one of them.

    Each writer holds a flock on a file of its own that names its range; the kernel drops it when the writer dies,
    however it dies. Registering is serialised by a flock on the manifest folder itself.
    """
    place = folder / "manifest"
    with _flock(place):
        for other in place.glob(".*.lock"):
            first, last = (int(word) for word in other.name.strip(".").split(".")[0].split("-"))
            if first < stop and start < last and _held(other):
                raise UserError(f"another process is writing shards {first} to {last - 1}", file=folder)
        mine = place / f".{start}-{stop}.lock"
        with plain_disk_errors(mine):
            handle = os.open(mine, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        with _flock(place):
            mine.unlink(missing_ok=True)
        os.close(handle)


@contextmanager
def _flock(place: Path) -> Iterator[None]:
    handle = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _held(path: Path) -> bool:
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
