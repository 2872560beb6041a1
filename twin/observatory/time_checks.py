"""Order, repeated rows, gaps, local time: what can be wrong with the times of a telemetry source."""

from __future__ import annotations

import numpy as np

from twin.observatory.convert import Telemetry
from twin.observatory.findings import Finding, finding, where
from twin.observatory.matching import Columns
from twin.observatory.places import sun_altitude
from twin.observatory.times import clock_difference


def check_times(found: Telemetry) -> list[Finding]:
    """Order, duplicates, gaps, local time, and clocks that disagree."""
    days, place, column = found.days, found.place, found.time_source
    if days is None:
        return []
    problems: list[Finding] = []
    unknown = np.flatnonzero(np.isnan(days))
    if len(unknown):
        problems.append(finding("text", column, "", f"{where(unknown, place)}: has no time", unknown))
    rows = np.flatnonzero(np.isfinite(days))
    steps = np.diff(days[rows])
    back = rows[1:][steps < 0]
    if len(back):
        text = f"{where(back, place)}: is earlier than the row before"
        problems.append(finding("order", column, "", text, back))
    problems += _duplicates(found)
    problems += _scale(found)
    problems += _gaps(np.sort(days[rows]), column)
    problems += _local(found, rows)
    clock = clock_difference(found.table, days, found.map.check)
    if clock is not None:
        name, hours = clock
        off = np.flatnonzero(np.abs(np.nan_to_num(hours)) > 0.25)
        if len(off):
            text = f"{where(off, place)}: is {hours[off[0]]:+.1f} h from {name}, the time of day in UTC: local time?"
            problems.append(finding("clock", column, "", text, off))
    return problems


def duplicates(found: Telemetry) -> tuple[np.ndarray, np.ndarray]:
    """(rows that repeat an earlier row in time, filter and every channel, rows that share time and filter only)."""
    none = np.zeros(0, int)
    if found.days is None:
        return none, none
    rows = np.flatnonzero(np.isfinite(found.days))
    band = np.zeros(len(found), int) if found.band is None else np.unique(found.band, return_inverse=True)[1]
    order = rows[np.lexsort((rows, band[rows], found.days[rows]))]
    same = (np.diff(found.days[order]) == 0) & (np.diff(band[order]) == 0)
    later, earlier = order[1:][same], order[:-1][same]
    equal = np.ones(len(later), bool)
    for reading in found.readings.values():
        a, b = reading.values[later], reading.values[earlier]
        equal &= (a == b) | (np.isnan(a) & np.isnan(b))
    return np.sort(later[equal]), np.sort(later[~equal])


def _duplicates(found: Telemetry) -> list[Finding]:
    repeated, different = duplicates(found)
    problems = []
    if len(repeated):
        text = f"{where(repeated, found.place)}: repeats another row"
        problems.append(finding("duplicate", found.time_source, "", text, repeated))
    if len(different):
        text = f"{where(different, found.place)}: has the time of another row, with other values"
        problems.append(finding("duplicate", found.time_source, "", text, different))
    return problems


def _scale(found: Telemetry) -> list[Finding]:
    """A header that says in which scale its times are, and it is not UTC."""
    name = Columns.of(found.table)["TIMESYS"]
    if name is None or found.table[name].dtype.kind not in "OSU":
        return []
    said = np.array([str(value).strip().upper() for value in found.table[name]])
    other = np.flatnonzero([not text.startswith("UT") and text not in ("", "NAN", "NONE") for text in said])
    if not len(other):
        return []
    return [finding("zone", name, "", f"{where(other, found.place)}: times are {said[other[0]]}, taken as UTC", other)]


def _gaps(days: np.ndarray, column: str) -> list[Finding]:
    """Of a series with a steady beat, or of nights: pauses much longer than usual."""
    steps = np.diff(days)
    steps = steps[steps > 0]
    if len(steps) < 10:
        return []
    usual = float(np.median(steps))
    short = np.quantile(steps, 0.9) <= 3 * usual  # a steady beat
    limit = max(10 * usual, 0.5 / 24) if short else 1.5  # nights: more than one without an exposure
    gaps = steps[steps > limit]
    if not len(gaps):
        return []
    where_longest = int(np.argmax(np.diff(days)))
    start = np.datetime64("1858-11-17", "m") + np.timedelta64(int(days[where_longest] * 1440), "m")
    beat = f"every {_span(usual)} as a rule" if short else "no beat"
    text = f"{len(gaps)} gaps of more than {_span(limit)} ({beat}), the longest {_span(gaps.max())} after {start}"
    return [finding("gap", column, "", text, np.zeros(0, int))]


def _span(days: float) -> str:
    for size, name in ((1.0, "d"), (1 / 24, "h"), (1 / 1440, "min")):
        if days >= size:
            return f"{days / size:.3g} {name}"
    return f"{days * 86400:.3g} s"


def _local(found: Telemetry, rows: np.ndarray) -> list[Finding]:
    """Exposures in daylight that another zone would put into the night."""
    site, days = found.map.site, found.days
    if site is None or days is None or len(rows) < 5:
        return []
    some = days[rows][:: max(1, len(rows) // 20000)]
    lit = {hours: float((sun_altitude(some - hours / 24, site) > -5).mean()) for hours in range(-14, 15)}
    if lit[0] < 0.2 or min(lit.values()) > 0.25 * lit[0]:
        return []
    best = [hours for hours, share in lit.items() if share <= min(lit.values()) + 0.02]
    offset = min(best, key=lambda hours: abs(hours - ((site.longitude + 180) % 360 - 180) / 15))
    day = rows[sun_altitude(days[rows], site) > -5]
    text = (
        f"the sun is up in {100 * lit[0]:.0f} % of the rows ({where(day, found.place)}); if they are local time, "
        f"UTC{offset:+d} h, in {100 * lit[offset]:.0f} %: give UTC, or utc_offset in a keyword map"
    )
    return [finding("local time", found.time_source, "", text, day)]
