"""A telemetry source becomes an instrument's telemetry array: what cannot be meant is named, what is missing said."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from twin.io.tables import missing_rows, number_column, row_error
from twin.observatory.convert import Telemetry
from twin.observatory.findings import where
from twin.observatory.kinds import KINDS, kind_of
from twin.observatory.sources import load, read_source
from twin.observatory.telemetry import Channel
from twin.schema import UserError, suggest

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

_ZONE = re.compile(r"([+-]\d\d:?\d\d)$|\s(?!UTC$)[A-Z]{2,5}$")
_SAID = 8  # findings about one file that are said one by one


class Instrument(Protocol):
    """What reading needs to know of an instrument's configuration, an imager's or a spectrograph's."""

    @property
    def name(self) -> str: ...
    @property
    def bands(self) -> Collection[str]: ...
    @property
    def time_keywords(self) -> tuple[str, ...]: ...


def read_telemetry(
    path: str | Path, channels: Sequence[Channel], config: Instrument, keyword_map: str | Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(values (n, C) float32, missing (n, C) bool) of a source with one exposure a row.

    A table with units is taken at its word: a column belongs to a channel by its canonical name or one of the YAML's
    keywords, in any case of letters; the bare name of a channel that differs by band serves all bands; others are
    left alone. Times must be UTC and rise from row to row. Empty cells and masked values are missing.
    Anything else (header folders, tables without units, AOT files, what `twin telemetry` wrote, or tables with units of
    which no column is a channel of the instrument) goes through a keyword map, `keyword_map` or the one that fits best:
    codes for "no value" and values that cannot be meant are missing then. So are, in a channel that is measured in one
    filter (the sky), the other bands of a row that names its filter.
    What is missing is logged as a warning; the caller draws it.
    Raises UserError for values of a table with units that are NaN or outside a channel's range, for wrong units, two
    columns for one channel, times out of order or in local time.
    """
    table = read_source(path)
    known = not (table.meta.get("bare") or table.meta.get("aot") or "telemetry" in (table.meta.get("twin") or {}))
    if known and keyword_map is None:
        found = {channel.name: _column(table, channel, config, path) for channel in channels}
        if any(found.values()):
            _check_time(table, path, config.time_keywords)
            return _with_units(table, found, path, channels, config)
    try:
        telemetry = load(path, keyword_map, tuple(config.bands))
    except UserError as error:
        if not known:
            raise
        problem = f"no column is a telemetry channel of {config.name} (these are: {_kinds(channels)})"
        raise UserError(problem, file=path) from (None if "nothing is" in error.problem else error)
    return _mapped(telemetry, path, channels, config)


def _kinds(channels: Sequence[Channel]) -> str:
    return ", ".join(dict.fromkeys(channel.kind for channel in channels))


def _with_units(
    table: Table, found: dict[str, str | None], path: str | Path, channels: Sequence[Channel], config: Instrument
) -> tuple[np.ndarray, np.ndarray]:
    values = np.zeros((len(table), len(channels)), np.float32)
    missing = np.ones(values.shape, bool)
    band = table["band"] if "band" in table.colnames and table["band"].dtype.kind in "OSU" else None
    empty: dict[str, int] = {}
    for index, channel in enumerate(channels):
        name = found[channel.name]
        if name is None:
            continue
        absent = missing_rows(table[name])
        numbers = number_column(table, name, channel.unit.replace("px", "pix"), path, absent)
        for row in np.flatnonzero((numbers < channel.low) | (numbers > channel.high))[:1]:
            limits = f"{channel.low:g} to {channel.high:g} {channel.unit}".rstrip()
            problem = f"is {numbers[row]:g} {channel.unit}".rstrip() + f", outside {limits}"
            raise row_error(table, path, name, int(row), problem)
        if absent.any():
            empty[name] = int(absent.sum())
        other = _other_band(channel, name, band, config)
        missing[:, index] = absent | other
        values[:, index] = np.where(missing[:, index], 0, numbers)
    for name, count in empty.items():
        log.warning("%s: %s has no value in %d rows: drawn from %s's prior", path, name, count, config.name)
    lost = [index for index, channel in enumerate(channels) if found[channel.name] is None]
    if lost:
        kinds = list(dict.fromkeys(channels[index].kind for index in lost))
        used = {
            *found.values(),
            *(name for name in table.colnames if name.lower() in map(str.lower, config.time_keywords)),
        }
        spare = [name for name in table.colnames if name not in used]
        hints = [f"{kind} (is it {near}?)" if (near := suggest(kind, spare)) else kind for kind in kinds]
        log.warning("%s has no %s: drawn from %s's prior", path, ", ".join(hints), config.name)
    return values, missing


def _other_band(channel: Channel, column: str, band: object, config: Instrument) -> np.ndarray | bool:
    """Rows whose filter is another than the channel's, for what is measured in one filter and has one column."""
    if band is None or channel.band is None or not KINDS[channel.kind].by_band:
        return False
    own = list(config.bands)[channel.band]
    if column.lower().endswith(f"_{own}".lower()):
        return False
    return np.asarray(band).astype(str) != own


def _mapped(
    found: Telemetry, path: str | Path, channels: Sequence[Channel], config: Instrument
) -> tuple[np.ndarray, np.ndarray]:
    """The channels of a telemetry that came through a keyword map."""
    for finding in found.findings:
        if finding.kind in ("order", "local time", "clock"):
            hint = ": twin telemetry --sort -o puts it in order" if finding.kind == "order" else ""
            raise UserError(finding.text + hint, file=path, key=finding.column or None)
    said = [finding for finding in found.findings if finding.kind != "gap"]
    for finding in said[:_SAID]:
        effect = {"missing": ": missing", "channel": ": the whole channel is missing"}.get(finding.effect, "")
        log.warning("%s: %s%s", path, finding, effect)
    if len(said) > _SAID:
        log.warning("%s: %d more such things (twin telemetry shows them)", path, len(said) - _SAID)
    values = np.zeros((len(found), len(channels)), np.float32)
    missing = np.ones(values.shape, bool)
    lost: dict[str, int] = {}
    for index, channel in enumerate(channels):
        reading = found.readings.get(channel.name) or found.readings.get(channel.kind)
        if reading is None:
            lost[channel.kind] = len(found)
            continue
        out = np.flatnonzero((reading.values < channel.low) | (reading.values > channel.high))
        if len(out) and (channel.band in (None, 0)):
            limits = f"{channel.low:g} to {channel.high:g} {channel.unit}".rstrip()
            what = f"is {reading.values[out[0]]:g} {channel.unit}".rstrip() + f", outside {limits} of {config.name}"
            log.warning("%s: %s: %s: %s: missing", path, reading.source, where(out, found.place), what)
        absent = ~np.isfinite(reading.values)
        absent[out] = True
        lost[channel.kind] = max(lost.get(channel.kind, 0), int(absent.sum()))
        if not kind_of(reading.channel)[1]:
            absent |= _other_band(channel, reading.channel, found.band, config)
        missing[:, index] = absent
        values[:, index] = np.where(absent, 0, reading.values)
    if missing.all():
        raise UserError(f"nothing in it is a telemetry channel of {config.name} ({_kinds(channels)})", file=path)
    n = len(found)
    some = [kind if count == n else f"{kind} ({count} of {n} rows)" for kind, count in lost.items() if count]
    if some:
        log.warning("%s has no %s: drawn from %s's prior", path, ", ".join(some), config.name)
    return values, missing


def _column(table: Table, channel: Channel, config: Instrument, path: str | Path) -> str | None:
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
