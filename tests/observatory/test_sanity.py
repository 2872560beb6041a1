"""What can be wrong with telemetry is found and named; the same telemetry without it is not flagged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from twin.observatory.findings import Finding
from twin.observatory.keywords import KeywordMap, load_map
from twin.observatory.sources import load

N = 300
SITE = load_map("decam")


def night(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Columns of 300 exposures of three nights at Cerro Tololo, all as they should be."""
    days = np.concatenate([57640.0 + 10 * k + np.arange(100) * 200 / 86400 for k in range(3)])

    def walk(start: float, step: float) -> np.ndarray:
        return np.round(start + np.cumsum(rng.normal(0, step, N)) * 0.3 + rng.normal(0, step, N), 2)

    return {
        "MJD-OBS": days, "DIMMSEE": np.round(np.exp(rng.normal(-0.2, 0.2, N)), 3),
        "AIRMASS": np.round(rng.uniform(1, 1.9, N), 2),
        "OUTTEMP": walk(11, 0.1), "MSURTEMP": walk(12, 0.05), "MAIRTEMP": walk(12.5, 0.1),
        "HUMIDITY": np.round(walk(30, 0.5)),
        "PRESSURE": np.round(walk(780, 0.6)), "WINDSPD": np.round(np.abs(rng.normal(15, 6, N)), 3),
        "WINDDIR": np.round(rng.uniform(0, 359, N)),
        "AZ": np.round(rng.uniform(0, 360, N), 2), "ZD": np.round(rng.uniform(2, 60, N), 2),
    }  # fmt: skip


def findings(folder: Path, columns: dict[str, np.ndarray], keyword_map: KeywordMap | str = "decam") -> list[Finding]:
    return load(write(folder, columns), keyword_map).findings


def write(folder: Path, columns: dict[str, np.ndarray]) -> Path:
    path = folder / "t.csv"
    rows = zip(*([str(value) for value in values] for values in columns.values()), strict=True)
    path.write_text("\n".join([",".join(columns), *map(",".join, rows)]) + "\n")
    return path


def kinds(found: list[Finding], without: str = "gap") -> list[str]:
    return [finding.kind for finding in found if finding.kind != without]


def test_good_telemetry_is_not_flagged(tmp_path: Path, rng: np.random.Generator) -> None:
    columns = night(rng)
    found = findings(tmp_path, columns)
    assert kinds(found) == []
    assert [str(each) for each in found] == [  # ten days without an exposure, twice
        "MJD-OBS: 2 gaps of more than 33.3 min (every 3.33 min as a rule), the longest 9.77 d after 2016-09-09T05:30"
    ]


@pytest.mark.parametrize("code", [-999.0, -9999.0, 9999.0, 99.0])
def test_codes_for_no_value_are_missing(tmp_path: Path, rng: np.random.Generator, code: float) -> None:
    columns = night(rng)
    columns["OUTTEMP"][[4, 7]] = code
    telemetry = load(write(tmp_path, columns), "decam")
    values = telemetry.readings["outside_temperature"].values
    assert np.isnan(values[[4, 7]]).all()
    assert np.isfinite(np.delete(values, [4, 7])).all()
    assert np.nanmax(np.abs(values)) < 30
    if code != -999:  # which the map says is a code
        assert [str(f) for f in telemetry.findings if f.kind != "gap"][0].startswith("OUTTEMP: 2 rows, first line 6: ")


def test_zero_kelvin_and_zero_degrees(tmp_path: Path, rng: np.random.Generator) -> None:
    columns = night(rng)
    columns["OUTTEMP"][10] = 0.0
    found = findings(tmp_path, columns)
    assert kinds(found) == ["sentinel"]
    assert 'OUTTEMP: line 12: 0, a sentinel for "no value" (all others' in str(found[-1])
    columns = night(rng)
    columns["OUTTEMP"] = np.round(columns["OUTTEMP"] - 11, 2)  # a night around the freezing point
    columns["OUTTEMP"][10] = 0.0
    assert kinds(findings(tmp_path, columns)) == []


def test_impossible_values(tmp_path: Path, rng: np.random.Generator) -> None:
    columns = night(rng)
    columns["AIRMASS"][[3, 5]] = 0.2
    columns["DIMMSEE"][9] = 77.0
    telemetry = load(write(tmp_path, columns), "decam")
    said = [str(f) for f in telemetry.findings if f.kind == "range"]
    assert said == [
        "DIMMSEE: line 11: is 77 arcsec, outside 0.1 to 15 arcsec",
        "AIRMASS: 2 rows, first line 5: is 0.2, outside 0.99 to 40",
    ]
    assert np.isnan(telemetry.readings["seeing"].values[9])


def test_text_among_numbers(tmp_path: Path, rng: np.random.Generator) -> None:
    columns: dict[str, np.ndarray] = {k: v.astype(object) for k, v in night(rng).items()}
    columns["DIMMSEE"][6] = "cloudy"
    columns["DIMMSEE"][8] = "NaN"
    telemetry = load(write(tmp_path, columns), "decam")
    assert [str(f) for f in telemetry.findings if f.kind == "text"] == ['DIMMSEE: line 8: "cloudy" is no number']
    assert np.flatnonzero(np.isnan(telemetry.readings["seeing"].values)).tolist() == [6, 8]


@pytest.mark.parametrize("column", ["OUTTEMP", "DIMMSEE", "WINDDIR", "PRESSURE"])
def test_a_sensor_that_never_moves(tmp_path: Path, rng: np.random.Generator, column: str) -> None:
    columns = night(rng)
    columns[column] = np.full(N, columns[column][0])
    telemetry = load(write(tmp_path, columns), "decam")
    assert kinds(telemetry.findings) == ["stuck"]
    assert telemetry.findings[-1].effect == "channel"
    assert telemetry.findings[-1].column == column
    channel = telemetry.findings[-1].channel
    assert np.isnan(telemetry.readings[channel].values).all()


def test_without_times_a_constant_is_named_and_kept(tmp_path: Path) -> None:
    telemetry = load(write(tmp_path, {"DIMMSEE": np.full(40, 0.9), "AIRMASS": np.full(40, 1.2)}), "decam")
    assert [str(f) for f in telemetry.findings] == [
        "DIMMSEE: stays 0.9 arcsec in all rows: is the sensor stuck? (kept, as there are no times)"
    ]
    assert telemetry.readings["seeing"].values == pytest.approx(0.9)


def test_a_sensor_that_stops_for_a_while(tmp_path: Path, rng: np.random.Generator) -> None:
    columns = night(rng)
    columns["OUTTEMP"][120:260] = 10.44
    found = findings(tmp_path, columns)
    assert kinds(found) == ["stuck"]
    assert "OUTTEMP: stays 10.44 deg_C for 140 rows from line 122: the sensor is stuck" in str(found[-1])


def test_what_may_stand_still_is_not_stuck(tmp_path: Path, rng: np.random.Generator) -> None:
    columns = night(rng)
    columns["EXPTIME"] = np.full(N, 90.0)
    columns["PRESSURE"] = np.repeat([780.0, 781.0, 780.0, 779.0, 780.0, 781.0], 50)  # a barometer of whole hPa
    assert kinds(findings(tmp_path, columns)) == []
    short = {name: values[:15] for name, values in columns.items()}
    short["OUTTEMP"] = np.full(15, 11.0)  # an hour of it
    assert kinds(findings(tmp_path, short)) == []


def test_spikes(tmp_path: Path, rng: np.random.Generator) -> None:
    columns = night(rng)
    columns["MSURTEMP"][50] += 9
    columns["MSURTEMP"][70:] += 4  # a step stays
    telemetry = load(write(tmp_path, columns), "decam")
    assert kinds(telemetry.findings) == ["spike"]
    assert "MSURTEMP: jumps to 2" in str(telemetry.findings[-1])
    assert "and back: line 52" in str(telemetry.findings[-1])
    assert np.flatnonzero(np.isnan(telemetry.readings["mirror_temperature"].values)).tolist() == [50]


@pytest.mark.parametrize(
    ("column", "change", "likely"),
    [
        ("OUTTEMP", lambda x: x + 273.15, "K"),
        ("MSURTEMP", lambda x: x * 1.8 + 32, "deg_F"),
        ("AZ", np.deg2rad, "rad"),
        ("ZD", np.deg2rad, None),
        ("DIMMSEE", lambda x: x * 1000, "mas"),
        ("PRESSURE", lambda x: x * 100, "Pa"),
    ],
)
def test_a_channel_in_another_unit_counts_as_missing(tmp_path: Path, rng, column, change, likely) -> None:
    columns = night(rng)
    columns[column] = np.round(change(columns[column]), 4)
    telemetry = load(write(tmp_path, columns), "decam")
    found = [finding for finding in telemetry.findings if finding.kind == "unit"]
    if likely is None:  # 90 deg minus radians: all exposures within 1.05 deg of the zenith
        return
    assert [finding.column for finding in found] == [column]
    assert f"is it in {likely}" in str(found[0])
    assert found[0].effect == "channel"
    assert "line" in str(found[0]) or column == "AZ"
    assert np.isnan(telemetry.readings[found[0].channel].values).all()


def test_torr_at_a_known_height(tmp_path: Path, rng: np.random.Generator) -> None:
    columns = night(rng)
    columns["PRESSURE"] = np.round(columns["PRESSURE"] * 0.75006, 1)
    found = findings(tmp_path, columns)
    assert kinds(found) == ["pressure"]
    assert "is it in Torr?" in str(found[-1])


def test_order_and_duplicates(tmp_path: Path, rng: np.random.Generator) -> None:
    columns = {name: values[:60] for name, values in night(rng).items()}
    order = np.r_[0:20, 30:40, 20:30, 40:60, 40, 41]
    mixed = {name: values[order].copy() for name, values in columns.items()}
    mixed["DIMMSEE"][61] = 2.0
    found = findings(tmp_path, mixed)
    assert kinds(found) == ["order", "duplicate", "duplicate"]
    assert [str(f) for f in found[:3]] == [
        "MJD-OBS: 2 rows, first line 32: is earlier than the row before",
        "MJD-OBS: line 62: repeats another row",
        "MJD-OBS: line 63: has the time of another row, with other values",
    ]


@pytest.mark.parametrize("hours", [-4, -3])
def test_local_time(tmp_path: Path, rng: np.random.Generator, hours: int) -> None:
    """Nights at Cerro Tololo are centred on 4:40 UTC: in local time they begin in daylight."""
    columns = night(rng)
    columns["MJD-OBS"] = np.concatenate([57640.97 + 10 * k + np.arange(100) * 400 / 86400 for k in range(3)])
    assert kinds(findings(tmp_path, columns)) == []
    columns["MJD-OBS"] = columns["MJD-OBS"] + hours / 24
    found = [finding for finding in findings(tmp_path, columns) if finding.kind == "local time"]
    assert len(found) == 1
    offset = int(str(found[0]).split("UTC")[1].split(" ")[0])
    assert abs(offset - hours) <= 1
    allowed = load_map("decam").model_copy(update={"utc_offset": float(hours)})
    assert kinds(findings(tmp_path, columns, allowed)) == []


def test_a_clock_that_disagrees(tmp_path: Path, rng: np.random.Generator) -> None:
    columns: dict[str, np.ndarray] = dict(night(rng))
    seconds = np.round((columns["MJD-OBS"] % 1) * 86400).astype(int)
    columns["TIME-OBS"] = np.array([f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}" for s in seconds])
    assert kinds(findings(tmp_path, columns)) == []
    columns["TIME-OBS"] = np.array([f"{(s // 3600 + 4) % 24:02d}:{s // 60 % 60:02d}:{s % 60:02d}" for s in seconds])
    found = [finding for finding in findings(tmp_path, columns) if finding.kind == "clock"]
    assert "is +4.0 h from TIME-OBS, the time of day in UTC: local time?" in str(found[0])


def test_times_that_are_not_utc_by_their_header(tmp_path: Path, rng: np.random.Generator) -> None:
    columns: dict[str, np.ndarray] = dict(night(rng))
    columns["TIMESYS"] = np.full(N, "UTC approximate")
    assert kinds(findings(tmp_path, columns)) == []
    columns["TIMESYS"] = np.full(N, "tai")
    said = [str(f) for f in findings(tmp_path, columns) if f.kind == "zone"]
    assert said == ["TIMESYS: 300 rows, first line 2: times are TAI, taken as UTC"]


def test_no_time_and_no_date(tmp_path: Path, rng: np.random.Generator) -> None:
    columns: dict[str, np.ndarray] = {k: v.astype(object) for k, v in night(rng).items()}
    columns["MJD-OBS"][3] = ""
    columns["MJD-OBS"][5] = 1e9
    found = findings(tmp_path, columns)
    assert [str(f) for f in found if f.kind == "text"] == [
        "MJD-OBS: line 7: is no date of an exposure",
        "MJD-OBS: 2 rows, first line 5: has no time",
    ]
