"""How a benchmark says what it measured: one JSON line a figure."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable
from typing import Any


def figure(
    name: str,
    value: float,
    unit: str,
    peer: str | None = None,
    peer_value: float | None = None,
    *,
    less_is_better: bool = False,
) -> dict[str, str | float | None]:
    """Print one figure as a JSON line and return it.

    name, value, unit   what was measured, for example ("samples_per_second", 1834.0, "1/s")
    peer, peer_value    who else was measured in the same run, and what it reached; None where there is no peer
    less_is_better      for times and errors: `ratio` is peer_value / value instead of value / peer_value

    `ratio` says how many times better than the peer. Raises ValueError for a value that is not finite, a peer without
    a value (or the other way round), and a ratio that would divide by zero.
    """
    if not math.isfinite(value):
        raise ValueError(f"{name}: {value} is no measurement")
    if (peer is None) != (peer_value is None):
        raise ValueError(f"{name}: a peer comes with its value")
    ratio = None
    if peer_value is not None:
        better, worse = (peer_value, value) if less_is_better else (value, peer_value)
        if not math.isfinite(peer_value) or worse == 0:
            raise ValueError(f"{name}: no ratio of {better} to {worse}")
        ratio = better / worse
    line = {"figure": name, "value": value, "unit": unit, "peer": peer, "peer_value": peer_value, "ratio": ratio}
    print(json.dumps(line), flush=True)
    return line


def cpu_seconds(call: Callable[[], Any], per: int, runs: int = 7) -> float:
    """Median CPU seconds of a call, for each of the `per` results that it makes."""
    call()
    times = []
    for _ in range(runs):
        begin = time.process_time()
        call()
        times.append(time.process_time() - begin)
    return statistics.median(times) / per
