"""Files read in their order, by one process or by several."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait

from twin.io.spectra.resample import Grid
from twin.io.spectra.rows import Row, read_rows
from twin.schema import UserError

CHUNK = 32  # files that a process gets at a time
FEW = 2_000  # fewer files are read sooner than processes start


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_all(
    names: Iterable[str], count: int, source: str, grid: Grid, method: str, workers: int | None = None
) -> Iterator[tuple[str, Row | str]]:
    """Each name with its row, or with the reason for which the file is set aside, in order.

    count    of the names;  workers  processes; default: one a core, one where there are few files

    A few chunks a process are under way, so that memory does not depend on the number of files.
    """
    chunks = _chunks(names)
    many = (cores() if count > FEW else 1) if workers is None else workers
    if many == 1:
        for chunk in chunks:
            yield from zip(chunk, read_rows(chunk, source, grid, method), strict=True)
        return
    pool = ProcessPoolExecutor(many, mp_context=get_context("spawn"), initializer=_begin)
    under_way: deque[tuple[list[str], Future[list[Row | str]]]] = deque()
    try:
        for chunk in chunks:
            under_way.append((chunk, pool.submit(read_rows, chunk, source, grid, method)))
            if len(under_way) > 3 * many:
                first, future = under_way.popleft()
                yield from zip(first, future.result(), strict=True)
        while under_way:
            first, future = under_way.popleft()
            yield from zip(first, future.result(), strict=True)
    except BrokenExecutor:
        problem = "a process that reads was killed, for want of memory perhaps; the same command continues"
        raise UserError(problem, key="--workers") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _chunks(names: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(names)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _begin() -> None:
    """Of a reading process. Ctrl-C reaches every process of the terminal: the parent alone answers it. When the parent
    was killed, its readers would wait for work for ever: they end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
