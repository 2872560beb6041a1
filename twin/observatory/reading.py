"""A telemetry table becomes an instrument's telemetry array; what cannot be meant is named, what is missing is said."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twin.io.tables import number_column, read_table, row_error
from twin.observatory.config import InstrumentConfig
from twin.observatory.telemetry import Channel
from twin.schema import UserError, suggest

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

_ZONE = re.compile(r"([+-]\d\d:?\d\d)$|\s(?!UTC$)[A-Z]{2,5}$")


def read_telemetry(
    path: str | Path, channels: Sequence[Channel], config: InstrumentConfig
) -> tuple[np.ndarray, list[int]]:
    """(values (n, C) float32, columns that the table lacks) of a table with one exposure a row.

    A column belongs to a channel by its canonical name or one of the YAML's keywords, in any case of letters; the
    bare name of a channel that differs by band serves all bands. Other columns are left alone. A time column, where
    there is one, must be UTC and rise from row to row. Lacking channels are logged as a warning; the caller draws them.
    Raises UserError for missing values, values outside a channel's range, wrong units, two columns for one channel.
    """
    table = read_table(path)
    _check_time(table, path, config.time_keywords)
    found = {channel.name: _column(table, channel, config, path) for channel in channels}
    if not any(found.values()):
        known = ", ".join(dict.fromkeys(channel.kind for channel in channels))
        raise UserError(f"no column is a telemetry channel of {config.name} (these are: {known})", file=path)
    values = np.zeros((len(table), len(channels)), np.float32)
    for index, channel in enumerate(channels):
        name = found[channel.name]
        if name is None:
            continue
        numbers = number_column(table, name, channel.unit.replace("px", "pix"), path)
        for row in np.flatnonzero((numbers < channel.low) | (numbers > channel.high))[:1]:
            limits = f"{channel.low:g} to {channel.high:g} {channel.unit}".rstrip()
            problem = f"is {numbers[row]:g} {channel.unit}".rstrip() + f", outside {limits}"
            raise row_error(table, path, name, int(row), problem)
        values[:, index] = numbers
    missing = [index for index, channel in enumerate(channels) if found[channel.name] is None]
    if missing:
        kinds = list(dict.fromkeys(channels[index].kind for index in missing))
        used = {
            *found.values(),
            *(name for name in table.colnames if name.lower() in map(str.lower, config.time_keywords)),
        }
        unused = [name for name in table.colnames if name not in used]
        hints = [f"{kind} (is it {near}?)" if (near := suggest(kind, unused)) else kind for kind in kinds]
        log.warning("%s has no %s: drawn from %s's prior", path, ", ".join(hints), config.name)
    return values, missing


def _column(table: Table, channel: Channel, config: InstrumentConfig, path: str | Path) -> str | None:
    """The column that gives a channel; names that carry the band come before those that serve all bands."""
    words = (channel.kind, *channel.keywords)
    groups = [words]
    if channel.band is not None:
        band = list(config.bands)[channel.band]
        groups.insert(0, tuple(f"{word}_{band}" for word in words))
    for group in groups:
        wanted = {word.lower() for word in group}
        matches = [name for name in table.colnames if name.lower() in wanted]
        if len(matches) > 1:
            raise UserError(
                f"gives the channel {channel.name}, and so does the column {matches[0]}", file=path, key=matches[1]
            )
        if matches:
            return matches[0]
    return None


def _check_time(table: Table, path: str | Path, keywords: Sequence[str]) -> None:
    """Times must be UTC and rise. ISO text, days (MJD or JD) and astropy times are understood."""
    from astropy.time import Time

    wanted = {word.lower() for word in keywords}
    names = [name for name in table.colnames if name.lower() in wanted]
    if not names:
        return
    name = names[0]
    column = table[name]
    if isinstance(column, Time):
        if column.scale != "utc":
            raise UserError(f"times are {column.scale.upper()}: give UTC", file=path, key=name)
        for row in np.flatnonzero(np.broadcast_to(column.mask, len(table)))[:1]:
            raise row_error(table, path, name, int(row), "has no value")
        days = np.asarray(column.mjd)
    elif column.dtype.kind in "OSU":
        days = np.array([_iso(table, path, name, row, str(value).strip()) for row, value in enumerate(column)])
    else:
        days = number_column(table, name, "d", path)
    for row in np.flatnonzero(np.diff(days) <= 0)[:1]:
        problem = "has the time of the row before" if days[row + 1] == days[row] else "is earlier than the row before"
        raise row_error(table, path, name, int(row) + 1, problem)


def _iso(table: Table, path: str | Path, name: str, row: int, text: str) -> float:
    """Modified Julian date of an ISO time in UTC."""
    from astropy.time import Time

    if not text or text in ("--", "nan"):
        raise row_error(table, path, name, row, "has no value")
    zone = _ZONE.search(text.removesuffix("Z")[10:])
    if zone and zone[0].strip() not in ("+00:00", "+0000"):
        raise row_error(table, path, name, row, f"has the time zone {zone[0].strip()}: give UTC")
    bare = text.removesuffix("Z").removesuffix("UTC").strip()
    bare = bare[: len(bare) - len(zone[0])] if zone else bare
    try:
        return float(Time(bare, scale="utc").mjd)
    except ValueError:
        raise row_error(table, path, name, row, f'is no ISO time: "{text}"') from None
