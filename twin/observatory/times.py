"""Times of exposures, whatever they are written in, as modified Julian dates in UTC."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from twin.io.csv_tables import is_number
from twin.observatory.keywords import KeywordMap, TimeSource
from twin.observatory.matching import Columns
from twin.schema import UserError

if TYPE_CHECKING:
    from astropy.table import Table

_UNIX, _JD = 40587.0, 2400000.5  # modified Julian dates of 1970 and of Julian day 0
_EARLIEST, _LATEST = -36934.0, 88069.0  # 1757 and 2100: what lies beyond is no date of an exposure
_ZONE = re.compile(r"([+-])(\d\d):?(\d\d)$")
_NAMED = re.compile(r"\s(?!UTC?$|GMT$)([A-Z]{2,5})$")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d(?:\.\d*)?))?$")
Say = Callable[[str, str, np.ndarray], None]


def read_times(table: Table, each: KeywordMap, say: Say) -> tuple[np.ndarray | None, str]:
    """(modified Julian dates (n,), NaN where a row has none; the columns they come from), None without such columns.

    `say(column, problem, rows)` hears of times that cannot be read and of time zones that were
    taken off. Raises UserError for times in another scale than UTC, and in zones that only have a name.
    """
    columns = Columns.of(table)
    days = np.full(len(table), np.nan)
    used: list[str] = []
    for source in each.time:
        if not (columns[source.keyword] if source.keyword else all(columns[name] for name in source.parts[:4])):
            continue
        empty = np.isnan(days)
        if not empty.any():
            break
        found = _parts(table, source, columns) if source.parts else _column(table, source, columns, say)
        if np.isfinite(found[empty]).any():
            used.append(source.keyword or " ".join(source.parts))
            days = np.where(empty, found, days)
    if not used:
        return None, ""
    wrong = np.flatnonzero((days < _EARLIEST) | (days > _LATEST))
    if len(wrong):
        say(used[0], "is no date of an exposure", wrong)
        days[wrong] = np.nan
    return days - each.utc_offset / 24, ", ".join(used)


def _column(table: Table, source: TimeSource, columns: Columns, say: Say) -> np.ndarray:
    from astropy.time import Time

    name = columns[source.keyword]
    assert name is not None
    column = table[name]
    if isinstance(column, Time):
        if column.scale != "utc":
            raise UserError(f"times are {column.scale.upper()}: give UTC", key=name)
        return np.where(np.broadcast_to(column.mask, len(table)), np.nan, np.asarray(column.mjd.filled(np.nan)
                        if hasattr(column.mjd, "filled") else column.mjd))  # fmt: skip
    values = np.ma.filled(np.ma.asarray(getattr(column, "value", column)), np.nan if column.dtype.kind == "f" else "")
    if values.dtype.kind == "M":
        return _days(values)
    if values.dtype.kind in "iuf":
        return _numbers(values.astype(float), source.form)
    texts = np.char.strip(values.astype(str))
    filled = [text for text in texts[:100] if text]
    if filled and all(map(is_number, filled)):
        return _numbers(np.array([float(text) if is_number(text) else np.nan for text in texts]), source.form)
    if source.form == "text":
        texts = np.array([_rearranged(text) for text in texts])
    words = (source.clock,) if isinstance(source.clock, str) else source.clock
    clock = next((found for word in words if (found := columns[word]) is not None), None)
    if clock is not None and len(texts):
        times = np.char.strip(np.asarray(table[clock]).astype(str))
        texts = np.where(np.char.str_len(texts) == 10, np.char.add(np.char.add(texts, "T"), times), texts)
    return _iso(texts, name, say)


def _numbers(values: np.ndarray, form: str) -> np.ndarray:
    """Days of the form; numbers in a column of ISO times are taken for what their size shows."""
    values = np.where(values > 0, values, np.nan)
    if form == "unix":
        return values / 86400 + _UNIX
    if form == "jd":
        return np.where(values > 1e6, values - _JD, values)
    middle = np.nanmedian(values) if np.isfinite(values).any() else 0.0
    if 1.75e7 < middle < 2.2e7:  # 20160131
        whole = np.nan_to_num(values).astype(int)
        texts = [f"{v // 10000:04d}-{v // 100 % 100:02d}-{v % 100:02d}" if v else "NaT" for v in whole]
        return _iso(np.array(texts), "", lambda *_: None)
    if middle > 1e8:
        return values / (86400 * (1e3 if middle > 1e11 else 1)) + _UNIX
    return np.where(values > 2.3e6, values - _JD, values)


def _parts(table: Table, source: TimeSource, columns: Columns) -> np.ndarray:
    from twin.observatory.columns import numbers

    given = [numbers(table[name])[0] for part in source.parts if (name := columns[part]) is not None]
    given += [np.zeros(len(table))] * (6 - len(given))
    year, month, day, hour, minute, second = given
    bad = ~np.isfinite(sum(given)) | (month < 1) | (month > 12) | (day < 1) | (day > 31) | (year < 1800) | (year > 2200)
    months = np.where(bad, 0, (year - 1970) * 12 + month - 1).astype("datetime64[M]")
    start = _days(months.astype("datetime64[D]"))
    return np.where(bad, np.nan, start + day - 1 + hour / 24 + minute / 1440 + second / 86400)


def _days(times: np.ndarray) -> np.ndarray:
    """Modified Julian dates of datetime64."""
    micro = times.astype("datetime64[us]")
    days = (micro - np.datetime64("1858-11-17", "us")) / np.timedelta64(1, "D")
    return np.where(np.isnat(micro), np.nan, days)


def _iso(texts: np.ndarray, name: str, say: Say) -> np.ndarray:
    """Of ISO texts; the fast way if all are plain, else one by one."""
    plain = np.char.rstrip(texts, "Z") if len(texts) else texts
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy warns of time zones, which it would take off in silence
        try:
            return _days(np.where(plain == "", "NaT", plain).astype("datetime64[us]"))
        except (ValueError, Warning):
            return _one_by_one(texts, name, say)


def _one_by_one(texts: np.ndarray, name: str, say: Say) -> np.ndarray:
    days = np.full(len(texts), np.nan)
    bad, shifted = [], []
    for row, text in enumerate(texts):
        if not text or text.lower() in ("nan", "none", "--", "nat"):
            continue
        bare = text.removesuffix("Z").strip()
        if (named := _NAMED.search(bare[10:])) is not None:
            raise UserError(f"has the time zone {named[1]}: give UTC", key=name)
        offset = 0.0
        if (zone := _ZONE.search(bare[10:])) is not None:
            offset = (int(zone[2]) + int(zone[3]) / 60) / 24 * (1 if zone[1] == "+" else -1)
            bare = bare[: len(bare) - len(zone[0])].strip()
            if offset:
                shifted.append(row)
        for word in ("UTC", "UT", "GMT"):
            bare = bare.removesuffix(word).strip()
        try:
            days[row] = (
                _days(np.array([bare.replace("/", "-").replace(":60", ":59.999")], "datetime64[us]"))[0] - offset
            )
        except (ValueError, Warning):
            bad.append(row)
    if bad:
        say(name, f'is no time: "{texts[bad[0]]}"', np.array(bad))
    if shifted:
        say(name, "has a time zone, taken off: times are UTC now", np.array(shifted))
    return days


def _rearranged(text: str) -> str:
    """2017-03-18 of "Sat Mar 18 2017"; the text itself where it is none such."""
    months = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
    words = [word for word in re.split(r"[\s,]+", text) if word]
    month = [months.index(word[:3].lower()) + 1 for word in words if word[:3].lower() in months]
    figures = [int(word) for word in words if word.isdecimal()]
    if len(month) != 1 or len(figures) != 2:
        return text
    year, day = max(figures), min(figures)
    return f"{year:04d}-{month[0]:02d}-{day:02d}"


def clock_difference(table: Table, days: np.ndarray, keywords: Sequence[str]) -> tuple[str, np.ndarray] | None:
    """(keyword, hours that the times are behind a keyword of the time of day in UTC, NaN where unknown)."""
    columns = Columns.of(table)
    for keyword in keywords:
        name = columns[keyword]
        if name is None or table[name].dtype.kind not in "OSU":
            continue
        found = [_CLOCK.search(str(text).strip().removesuffix("Z")) for text in table[name]]
        hours = np.array([int(m[1]) + int(m[2]) / 60 + float(m[3] or 0) / 3600 if m else np.nan for m in found])
        if np.isfinite(hours).any():
            return name, (hours - (days % 1) * 24 + 12) % 24 - 12
    return None
