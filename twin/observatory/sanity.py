"""Dead sensors, sentinels, spikes, unit mistakes: found, named, and never averaged in."""

from __future__ import annotations

import numpy as np

from twin.observatory.convert import Reading, Telemetry
from twin.observatory.findings import Finding, Place, finding, where
from twin.observatory.keywords import Site
from twin.observatory.kinds import KINDS
from twin.observatory.time_checks import check_times
from twin.observatory.unit_mistakes import unit_mistake

SENTINELS = (0.0, -1.0, 99.0, -99.0, 999.0, -999.0, 9999.0, -9999.0, 99999.0, -99999.0, 32767.0, -32768.0)
# Channels that no two readings of a working sensor leave unchanged for hours; with the smallest jump that is a spike.
VARYING: dict[str, float] = {
    "outside_temperature": 3.0, "dome_temperature": 3.0, "mirror_temperature": 3.0, "mirror_air_temperature": 3.0,
    "truss_temperature": 3.0, "humidity": 0.3, "pressure": 4.0, "detector_temperature": 10.0,
}  # fmt: skip
STUCK_TOO = ("seeing", "wind_speed", "wind_direction", "guider_rms", "tau0", "measured_fwhm")
_LONG = 0.25  # days of one value in which a sensor is stuck
_MANY = 50  # rows of it


def check(found: Telemetry) -> None:
    """Looks for everything that can be wrong, appends it to `findings`, and makes what cannot be meant missing.

    The order matters: units first (a whole channel in another unit is no heap of bad values), then sentinels and values
    that no site has, then sensors that stand still, then spikes.
    """
    found.findings += check_times(found)
    for reading in found.readings.values():
        problems = check_channel(reading, found.days, found.place, found.map.site)
        for problem in problems:
            if problem.effect == "channel":
                reading.values = np.full(len(reading.values), np.nan)
        found.findings += problems


def check_channel(reading: Reading, days: np.ndarray | None, place: Place, site: Site | None = None) -> list[Finding]:
    """Findings about one channel; the values that cannot be meant become NaN in it."""
    kind, problems = reading.kind, []

    def say(what: str, text: str, rows: np.ndarray, effect: str = "") -> None:
        problems.append(finding(what, reading.source, reading.channel, text, rows, effect))

    mistake = unit_mistake(kind, reading.raw, reading.values, reading.unit)
    if mistake is not None:
        unit = KINDS[kind].unit
        guess = (
            f"; is it in {' or '.join(map(_named, mistake.likely))}, not {_named(reading.unit)}?"
            if mistake.likely
            else ""
        )
        first = f", first {place(int(mistake.rows[0]))}" if mistake.certain else ""
        kept = "" if mistake.certain else " (kept as it is)"
        say("unit", f"as {_named(unit)}, {mistake.text}{first}{guess}{kept}", mistake.rows,
            "channel" if mistake.certain else "")  # fmt: skip
        if mistake.certain:
            return problems
    for rows, text in (*_sentinels(reading, place), *_out_of_limits(reading, place)):
        say("sentinel" if "sentinel" in text else "range", text, rows, "missing")
        reading.values[rows] = np.nan
    pressure = _pressure(reading, site)
    if pressure:
        say("pressure", pressure, np.flatnonzero(np.isfinite(reading.values)))
    stuck, whole = _stuck(reading, days)
    if len(stuck):
        value = f"{reading.values[stuck[0]]:g} {KINDS[kind].unit}".rstrip()
        span = "in all rows" if whole else f"for {len(stuck)} rows from {place(int(stuck[0]))}"
        if days is None:  # rows without times may be of one moment, or made up
            say("stuck", f"stays {value} {span}: is the sensor stuck? (kept, as there are no times)", stuck)
        else:
            say("stuck", f"stays {value} {span}: the sensor is stuck", stuck, "channel" if whole else "missing")
            reading.values[stuck] = np.nan
    spikes = _spikes(reading, days)
    if len(spikes):
        value = f"{reading.values[spikes[0]]:g} {KINDS[kind].unit}".rstrip()
        say("spike", f"jumps to {value} and back: {where(spikes, place)}", spikes, "missing")
        reading.values[spikes] = np.nan
    return problems


def _named(unit: str) -> str:
    return unit or "a share of one"


def _sentinels(reading: Reading, place: Place) -> list[tuple[np.ndarray, str]]:
    """Codes for "no value" that the channel's limits let through: far from all other values."""
    found = []
    raw = np.where(np.isfinite(reading.values), reading.raw, np.nan)
    for code in SENTINELS:
        rows = np.flatnonzero(raw == code)
        others = raw[np.isfinite(raw) & (raw != code)]
        if (
            not len(rows)
            or len(others) < 5
            or len(rows) > 0.9 * len(raw)
            or (code == 0 and reading.kind not in VARYING)
        ):
            continue
        low, high = np.quantile(others, [0.01, 0.99])
        margin = max(high - low, 0.05 * abs(high), 1e-9)
        if code < others.min() - 0.5 * margin or code > others.max() + 0.5 * margin:
            text = f'{where(rows, place)}: {code:g}, a sentinel for "no value" (all others {low:.4g} to {high:.4g})'
            found.append((rows, text))
    return found


def _out_of_limits(reading: Reading, place: Place) -> list[tuple[np.ndarray, str]]:
    kind = KINDS[reading.kind]
    low, high = kind.limits
    rows = np.flatnonzero((reading.values < low) | (reading.values > high))
    if not len(rows):
        return []
    span, value = f"{low:g} to {high:g} {kind.unit}".rstrip(), f"{reading.values[rows[0]]:g} {kind.unit}".rstrip()
    return [(rows, f"{where(rows, place)}: is {value}, outside {span}")]


def _pressure(reading: Reading, site: Site | None) -> str | None:
    """Pressure against the height of the site: Torr in a column of hPa is three quarters of it, and the other way."""
    if reading.kind != "pressure" or site is None or not np.isfinite(reading.values).any():
        return None
    expected = 1013.25 * np.exp(-site.height / 8434.0)
    ratio = float(np.nanmedian(reading.values)) / expected
    guess = {"Torr": 0.75006, "hPa, not Torr": 1.33322}
    for name, wanted in guess.items():
        if abs(ratio / wanted - 1) < 0.07:
            middle = np.nanmedian(reading.values)
            return (
                f"the median is {middle:.4g} hPa, {expected:.4g} expected at {site.height:g} m; is it in {name}? (kept)"
            )
    return None


def _stuck(reading: Reading, days: np.ndarray | None) -> tuple[np.ndarray, bool]:
    """(rows of a value that stands still for too long, whether that is the whole channel)."""
    none = np.zeros(0, int)
    if reading.kind not in VARYING and reading.kind not in STUCK_TOO:
        return none, False
    rows = np.flatnonzero(np.isfinite(reading.values))
    if len(rows) < 20:
        return none, False
    values = reading.values[rows]
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    lengths = np.diff(np.r_[starts, len(values)])
    if len(starts) == 1:
        least = 8 * _LONG if reading.kind == "pressure" else _LONG  # a barometer of whole hPa rests for a night
        known = days[rows][np.isfinite(days[rows])] if days is not None else np.zeros(0)
        return (none, False) if len(known) and np.ptp(known) < least else (rows, True)
    longest = int(np.argmax(lengths))
    run = rows[starts[longest] : starts[longest] + lengths[longest]]
    rest = np.delete(lengths, longest)
    lasting = days is None or bool(
        np.ptp(days[run][np.isfinite(days[run])]) >= _LONG if np.isfinite(days[run]).any() else 1
    )
    alone = (
        lengths[longest] >= _MANY
        and lengths[longest] > 10 * np.quantile(rest, 0.95)
        and lengths[longest] > 4 * rest.max()
    )
    return (run, False) if lasting and alone else (none, False)


def _spikes(reading: Reading, days: np.ndarray | None) -> np.ndarray:
    """Single values far from both neighbours, which agree; neighbours within two hours, where times are known."""
    rows = np.flatnonzero(np.isfinite(reading.values))
    if reading.kind not in VARYING or len(rows) < 10:
        return np.zeros(0, int)
    if days is not None:
        rows = rows[np.isfinite(days[rows])]
        rows = rows[np.argsort(days[rows], kind="stable")]
        if len(rows) < 10:
            return np.zeros(0, int)
    values = reading.values[rows]
    before, after = np.diff(values)[:-1], -np.diff(values)[1:]
    noise = 1.4826 * np.median(np.abs(np.diff(values)))
    limit = max(VARYING[reading.kind], 12 * noise)
    sharp = (np.sign(before) == np.sign(after)) & (np.minimum(np.abs(before), np.abs(after)) > limit)
    sharp &= np.abs(before - after) < 0.3 * np.minimum(np.abs(before), np.abs(after))
    if days is not None:
        sharp &= (days[rows[2:]] - days[rows[:-2]]) < 2 / 24
    return np.sort(rows[1:-1][sharp])
