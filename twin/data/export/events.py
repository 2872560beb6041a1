"""Event lists as X-ray tools read them: OGIP's columns and cards, one a sample, with GTI and projection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from twin.data.events import read_events
from twin.data.load import Dataset
from twin.io.xray import Events, Tangent, write_events
from twin.schema import UserError


def writer(dataset: Dataset, indices: np.ndarray) -> Callable[[Path], None]:
    """What writes a `NNNNNNNN.evt` a frame. Raises UserError for a dataset without events."""
    lists = [read_events(dataset, int(index)) for index in indices]
    sensor = dataset.attrs.get("sensor")
    if not isinstance(sensor, dict):
        raise UserError("does not say what sensor its events are of", file=dataset.path, key="sensor")
    names = dataset.coordinate("channel")
    rows = dataset.read("telemetry", indices)

    def write(folder: Path) -> None:
        side, channels = int(sensor["side"]), int(sensor["channels"])
        middle, scale = (1.5 * side + 1) / 2, float(sensor["pixel_scale"]) / 3600
        for index, table, row in zip(indices, lists, rows, strict=True):
            told = dict(zip(names, map(float, row), strict=True))
            sky = Tangent((middle, middle), (told["ra"], told["dec"]), ((-scale, 0.0), (0.0, scale)))
            cards = {
                "TELESCOP": "SIMULATED",
                "INSTRUME": str(sensor["instrument"]).upper(),
                "OBS_ID": str(int(index)),
                "OBJECT": f"{dataset.attrs.get('recipe_name', '')} sample {int(index)}",
                "TIMEDEL": float(sensor["frame_time"]),
                "RA_PNT": told["ra"],
                "DEC_PNT": told["dec"],
                "PA_PNT": told["position_angle"],
                "CREATOR": "twin",
            }
            gti = np.array([[0.0, told["exposure"]]])
            path = folder / f"{int(index):08d}.evt"
            write_events(
                path, [_events(table)], gti, told["exposure"], sky, channels, side, float(sensor["pixel"]) * 1e-3, cards
            )

    return write


def _events(table: np.ndarray) -> Events:
    raw = {name: table[name.upper()] for name in ("x", "y", "detx", "dety", "pi", "grade")}
    return Events(time=table["TIME"], rawx=table["DETX"], rawy=table["DETY"], **raw)
