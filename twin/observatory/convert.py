"""A table as an observatory wrote it becomes canonical channels, through a keyword map; everything done is recorded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twin.io.units import convert
from twin.observatory.columns import numbers
from twin.observatory.findings import Finding, Place, finding, placer, where
from twin.observatory.forms import formed, unit_of, units_of
from twin.observatory.keywords import KeywordMap, Source
from twin.observatory.kinds import KINDS, kind_of
from twin.observatory.matching import Columns, normal
from twin.observatory.times import read_times
from twin.schema import UserError

if TYPE_CHECKING:
    from astropy.table import Table


@dataclass
class Reading:
    """One channel of one file.

    channel  key of KINDS, with the band behind it ("seeing_g") where the column carries one
    source   the columns it comes from;  unit: what their numbers were taken for
    raw      (n,) numbers in that unit, before the form; NaN where the file has none
    values   (n,) float64 in the canonical unit; NaN is missing
    coded    rows that say "no value" by a code such as -999
    """

    channel: str
    source: str
    unit: str
    raw: np.ndarray
    values: np.ndarray
    coded: int = 0

    @property
    def kind(self) -> str:
        return kind_of(self.channel)[0]


@dataclass
class Telemetry:
    """What a file says, in canonical channels and units.

    readings  canonical name -> Reading, in the order of KINDS
    days      (n,) modified Julian dates in UTC, NaN where unknown; None without times;  time_source: their columns
    band      (n,) names of filters, None without;  exposure: (n,) identifiers, None without
    findings  what is wrong or odd;  place: how a row is called
    """

    path: Path
    map: KeywordMap
    table: Table
    readings: dict[str, Reading]
    days: np.ndarray | None
    time_source: str
    band: np.ndarray | None
    exposure: np.ndarray | None
    place: Place
    findings: list[Finding] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.table)

    def take(self, rows: np.ndarray) -> None:
        """Keep these rows, in this order."""
        self.table = self.table[rows]
        for name in ("files", "lines"):
            if name in self.table.meta:
                self.table.meta[name] = [self.table.meta[name][row] for row in rows]
        for reading in self.readings.values():
            reading.raw, reading.values = reading.raw[rows], reading.values[rows]
        self.days = None if self.days is None else self.days[rows]
        self.band = None if self.band is None else self.band[rows]
        self.exposure = None if self.exposure is None else self.exposure[rows]
        self.place = placer(self.table)


def read_channels(table: Table, each: KeywordMap, path: str | Path, bands: Sequence[str] = ()) -> Telemetry:
    """The canonical channels that a table gives through a keyword map.

    Of a table with units, columns with canonical names are read too, where the map does not speak of them; with a band
    of `bands` or of one letter behind the name, "seeing_g", they are that band's.
    Raises UserError, naming file and column, for a unit of another kind and for times that are not UTC.
    """
    path, place, columns = Path(path), placer(table), Columns.of(table)
    found: list[Finding] = []
    readings: dict[str, Reading] = {}
    claimed = {normal(word) for sources in each.channels.values() for s in sources for g in s.groups for word in g}
    for name in _names(columns, bands):
        sources = list(each.channels.get(name, ()))
        if normal(name) not in claimed and not table.meta.get("bare"):
            sources.append(Source(keyword=name, unit=KINDS[kind_of(name)[0]].unit))
        reading = _reading(table, each, name, [s for s in sources if columns.usable(s)], columns, path, found)
        if reading is not None:
            readings[name] = reading

    def say(column: str, problem: str, rows: np.ndarray) -> None:
        kind = "zone" if "zone" in problem else "text"
        found.append(finding(kind, column, "", f"{where(rows, place)}: {problem}", rows))

    try:
        days, source = read_times(table, each, say)
    except UserError as error:
        raise UserError(error.problem, file=path, key=error.key) from None
    return Telemetry(
        path, each, table, readings, days, source, _band(table, each, columns), _exposure(table, each, columns), place,
        found,
    )  # fmt: skip


def _names(columns: Columns, bands: Sequence[str]) -> list[str]:
    names: dict[str, None] = {}
    for kind in KINDS:
        names[kind] = None
        for column in columns.names.values():
            base, band = kind_of(column)
            if base == kind and band and (band in bands or len(band) == 1):
                names[column] = None
    return list(names)


def _reading(
    table: Table, each: KeywordMap, name: str, sources: list[Source], columns: Columns, path: Path, found: list[Finding]
) -> Reading | None:
    """A channel from the first of its sources that has a value, row by row."""
    values = raw = None
    used: list[str] = []
    units: list[str] = []
    coded = 0
    for source in sources:
        if values is not None and np.isfinite(values).all():
            break
        given, new_raw, new_coded = _values(table, each, name, source, columns, path, found)
        new = convert(formed(new_raw, source.form), *units_of(given, source.form, name))
        new = 90 - new if source.form == "zenith distance" else new
        coded += new_coded if values is None else 0
        if values is None or raw is None:
            values, raw = new, new_raw
        elif np.isfinite(new[np.isnan(values)]).any():
            raw = np.where(np.isnan(values), new_raw, raw)
            values = np.where(np.isnan(values), new, values)
        else:
            continue
        actual = " / ".join(", ".join(columns[w] or "" for w in g if columns[w]) for g in source.groups)
        used.append(f"{actual} [{source.item}]" if source.item else actual)
        units.append(given)
    if values is None or raw is None:
        return None
    return Reading(name, " or ".join(used), " or ".join(dict.fromkeys(units)), raw, values, coded)


def _values(
    table: Table, each: KeywordMap, name: str, source: Source, columns: Columns, path: Path, found: list[Finding]
) -> tuple[str, np.ndarray, int]:
    """(unit, numbers (n,), rows with a code for "no value") of one source."""
    codes = (*each.missing, *source.missing)
    groups, coded, given = [], 0, source.unit
    place = placer(table)
    for group in source.groups:
        members = []
        for column in (c for word in group if (c := columns[word]) is not None):
            got, coded_rows, bad = numbers(table[column], codes, source.item)
            coded = max(coded, len(coded_rows))
            if len(bad):
                problem = f'{where(bad, place)}: "{str(table[column][int(bad[0])])[:40]}" is no number'
                found.append(finding("text", column, name, problem, bad, "missing"))
            members.append(got)
            given = unit_of(table, each, column, name, source, path)
        groups.append(_mean(members))
    mean = np.mean(groups, axis=0)
    return given, np.where(np.abs(mean) < 1e100, mean, np.nan), coded


def _mean(members: list[np.ndarray]) -> np.ndarray:
    if len(members) == 1:
        return members[0]
    stack = np.array(members)
    there = np.isfinite(stack)
    return np.where(there.any(0), np.where(there, stack, 0).sum(0) / np.maximum(there.sum(0), 1), np.nan)


def _band(table: Table, each: KeywordMap, columns: Columns) -> np.ndarray | None:
    names = [name for word in each.band.keywords if (name := columns[word]) is not None]
    if not names:
        return None
    rename = {key.lower(): value for key, value in each.band.rename.items()}
    texts = np.full(len(table), "", object)
    for name in names:
        own = {text: _first_word(text, rename) for text in {str(value) for value in table[name]}}
        texts = np.array([text or own[str(value)] for text, value in zip(texts, table[name], strict=True)], object)
    return texts.astype(str) if any(texts) else None


def _first_word(text: str, rename: dict[str, str]) -> str:
    text = text.strip()
    if text.lower() in ("nan", "none", "--", "masked"):
        return ""
    word = re.split(r"[\s.,;]", text, maxsplit=1)[0]
    return rename.get(text.lower(), rename.get(word.lower(), word))


def _exposure(table: Table, each: KeywordMap, columns: Columns) -> np.ndarray | None:
    for word in each.exposure:
        name = columns[word]
        if name is not None and np.ndim(table[name]) == 1:
            values = np.asarray(np.ma.getdata(getattr(table[name], "value", table[name])))
            if values.dtype.kind == "f":
                return np.array([f"{v:.0f}" if np.isfinite(v) else "" for v in values])
            return values.astype(str)
    return None
