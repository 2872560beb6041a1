"""Progress on a terminal as a bar, elsewhere as a line now and then; always with frames a second and time left."""

from __future__ import annotations

import logging
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger("twin")
LINE_SECONDS = 30.0


class Bar:
    """`with Bar(what, total) as bar: bar.advance(n)`.

    total   things to do, of which `done` are done already; frames  frames in one of them; show  False = say nothing
    """

    def __init__(self, what: str, total: int, show: bool = True, *, frames: int = 1, done: int = 0) -> None:
        self._what, self._total, self._frames, self._first, self._done = what, total, frames, done, done
        console = Console(stderr=True)
        self._lines = show and not console.is_terminal
        self._bar = Progress(
            TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console, disable=not show or self._lines,
        )  # fmt: skip
        self._task = self._bar.add_task(what, total=total, completed=done, speed="", note="")
        self._start = self._said = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._bar.stop()

    def advance(self, n: int, note: str = "") -> None:
        """n more are done."""
        self._done += n
        now = time.monotonic()
        rate = (self._done - self._first) / max(now - self._start, 1e-9)
        speed = f"{rate * self._frames:,.0f} frames/s"
        self._bar.update(self._task, completed=self._done, speed=speed, note=note)
        if self._lines and (now - self._said > LINE_SECONDS or self._done == self._total):
            self._said = now
            left = (self._total - self._done) / rate
            log.info("%s: %d of %d, %s, %s left%s", self._what, self._done, self._total, speed, clock(left),
                     f", {note}" if note else "")  # fmt: skip


def clock(seconds: float) -> str:
    """1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
