"""Canonical telemetry as ECSV: what `twin telemetry -o` writes, and every reader here reads back."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from twin.io.atomic import atomic_path
from twin.observatory.convert import Telemetry
from twin.observatory.kinds import KINDS, kind_of

_DAY0 = np.datetime64("1858-11-17T00:00:00.000", "ms")


def iso_of(days: np.ndarray) -> np.ndarray:
    """ISO 8601 of modified Julian dates, to the millisecond, "" of NaN."""
    known = np.isfinite(days)
    steps = np.round(np.where(known, days, 0.0) * 86400e3).astype("timedelta64[ms]")
    return np.where(known, np.datetime_as_string(_DAY0 + steps), "")


def write_ecsv(found: Telemetry, path: str | Path) -> None:
    """time (UTC), exposure, band and every channel with its unit, UCD and meaning; missing values are empty.

    Whole or not at all; `meta: twin: {telemetry: 1}` says that it is canonical, and names keyword map and source.
    Raises UserError where the disk refuses.
    """
    import pyarrow as pa
    from astropy.table import Column, Table
    from pyarrow import csv

    from twin.io.units import unit

    about = {"telemetry": 1, "map": found.map.name, "source": found.path.name}
    head, body = Table(meta={"twin": about}), dict[str, pa.Array]()
    texts = {"time": None if found.days is None else iso_of(found.days), "exposure": found.exposure, "band": found.band}
    for name, values in texts.items():
        if values is not None:
            head[name] = Column([], name, dtype=str, description="UTC" if name == "time" else None)
            body[name] = pa.array([str(value) or None for value in values], pa.string())
    for name, reading in found.readings.items():
        if not np.isfinite(reading.values).any():
            continue
        kind = KINDS[kind_of(name)[0]]
        of = f", from {reading.source}" if reading.source else ""
        head[name] = Column(
            [], name, dtype=float, unit=unit(kind.unit) if kind.unit else None, description=kind.meaning + of,
            meta={"ucd": kind.ucd},
        )  # fmt: skip
        body[name] = pa.array(reading.values, from_pandas=True)
    text = io.StringIO()
    head.write(text, format="ascii.ecsv", delimiter=",")
    with atomic_path(path) as part, open(part, "wb") as stream:
        stream.write(text.getvalue().rstrip("\n").encode() + b"\n")
        csv.write_csv(pa.table(body), stream, csv.WriteOptions(include_header=False, quoting_style="needed"))
