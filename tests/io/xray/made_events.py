"""Small event lists with the columns, header cards and quirks of Einstein Probe's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from twin.io.xray import Events, Tangent, write_events

SKY = Tangent((5000.5, 5000.5), (82.88033, 22.83775), ((-2.261458e-3, 0.0), (0.0, 2.261458e-3)))
START, STOP = 130486702.0, 130487202.0
GTI = np.array([[START, STOP]])


def made(rng: np.random.Generator, count: int) -> Events:
    """Events all over the detector, in time order."""
    det = rng.integers(1, 4097, (2, count)).astype(np.int16)
    return Events(
        time=np.sort(np.round(rng.uniform(START, STOP - 1, count) / 0.05) * 0.05),
        x=(det[0] + 2900).astype(np.int16),
        y=(det[1] + 3000).astype(np.int16),
        detx=det[0],
        dety=det[1],
        rawx=np.minimum(det[0] + 18, 4096).astype(np.int16),
        rawy=np.minimum(det[1] - 22, 4096).clip(1).astype(np.int16),
        pi=rng.integers(50, 400, count).astype(np.int32),
        grade=rng.integers(0, 13, count).astype(np.int16),
    )


def write(folder: Path, events: Events, **changes: object) -> Path:
    path = folder / "made.evt"
    options: dict = {"gti": GTI, "exposure": 500.0, "sky": SKY} | changes
    write_events(path, [events], **options)
    return path
