"""A bar that says how far a long run is."""

from __future__ import annotations

import time
from collections.abc import Callable


class Bar:
    """Progress with throughput and time left, on stderr; silent where `shown` is False. Enter it for `advance(count)`.

    waiting  what it is called until the first advance; done, how many of `total` were finished by an earlier run
    """

    def __init__(
        self, name: str, total: int, shown: bool, unit: str = "samples", waiting: str = "", done: int = 0
    ) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TextColumn("{task.fields[rate]:,.0f} " + unit + "/s"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not shown,
        )
        self._name = name
        self._task = self._progress.add_task(waiting or name, total=total, completed=done, rate=0.0)
        self._began, self._done = time.monotonic(), 0

    def __enter__(self) -> Callable[[int], None]:
        self._progress.start()
        return self._advance

    def _advance(self, count: int) -> None:
        self._done += count
        rate = self._done / max(time.monotonic() - self._began, 1e-9)
        self._progress.update(self._task, description=self._name, advance=count, rate=rate)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
