"""`twin telemetry`: what it prints, what it writes, and that everything here reads what it wrote."""

from __future__ import annotations

import io
import logging
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from twin.observatory.imager import load_instrument
from twin.observatory.sources import load
from twin.observatory.telemetry_report import run
from twin.schema import UserError

RAW = """\
INSTRUME,DATE-OBS,FILTER,DIMMSEE,AIRMASS,OUTTEMP,EXPTIME,FWHM
DECam,2016-09-09T01:00:00,r DECam,0.9,1.3,11.5,90,4.0
DECam,2016-09-09T01:10:00,g DECam,-999,1.2,11.4,90,4.4
DECam,2016-09-09T01:20:00,i DECam,0.7,0.2,11.5,90,NaN
"""


def report(path: Path, **options: object) -> str:
    text = io.StringIO()
    run(path, console=Console(file=text, width=140), **options)  # type: ignore[arg-type]
    return text.getvalue()


def csv(folder: Path, text: str = RAW) -> Path:
    (folder / "raw.csv").write_text(text)
    return folder / "raw.csv"


def line_of(text: str, start: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.startswith(start))


def test_what_is_printed(tmp_path: Path) -> None:
    text = report(csv(tmp_path), instrument="ps1")
    assert "3 exposures, 2016-09-09T01:00 to 2016-09-09T01:20 UTC" in text
    assert 'keyword map "decam" (the one that fits best): 5 channels of 8 columns' in text
    assert line_of(text, "seeing ") == ["seeing", "DIMMSEE", "arcsec", "2", "0.7", "0.8", "0.9", "arcsec", "1"]
    assert line_of(text, "airmass") == ["airmass", "AIRMASS", "2", "1.2", "1.25", "1.3", "1", "(bad)"]
    assert line_of(text, "outer_scale") == ["outer_scale", "all", "lognormal", "22", "m"]
    assert line_of(text, "sky_brightness")[-4:] == ["/", "19.7", "/", "19.04"] or "19.7" in text
    assert "  range  AIRMASS: line 4: is 0.2, outside 0.99 to 40 -> counts as missing" in text
    assert "1 odd things:" in text


def test_what_is_written_is_read_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clean = tmp_path / "clean.ecsv"
    assert f"wrote {clean}: 3 rows" in report(csv(tmp_path), out=clean)
    raw, found = load(tmp_path / "raw.csv"), load(clean)
    assert found.map.name == "canonical"
    assert set(found.readings) == set(raw.readings)
    for name, reading in found.readings.items():
        assert reading.values == pytest.approx(raw.readings[name].values, nan_ok=True), name
    assert found.days == pytest.approx(raw.days, abs=2e-8)
    assert list(found.band) == ["r", "g", "i"]  # type: ignore[arg-type]
    ps1 = load_instrument("ps1")
    with caplog.at_level(logging.WARNING, logger="twin"):
        first, second = ps1.read_exposures(tmp_path / "raw.csv", seed=3), ps1.read_exposures(clean, seed=3)
    assert np.array_equal(first, second)
    names = ps1.channel_names
    assert first[[0, 2], names.index("seeing_r")] == pytest.approx([0.9, 0.7])
    assert first[1, names.index("seeing_r")] != 0
    said = caplog.text
    assert "seeing (1 of 3 rows)" in said
    assert "airmass (1 of 3 rows)" in said
    assert "AIRMASS: line 4: is 0.2, outside 0.99 to 40: missing" in said


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    from astropy.table import Table

    report(csv(tmp_path), out=tmp_path / "clean.ecsv")
    table = Table.read(tmp_path / "clean.ecsv", format="ascii.ecsv")
    assert table.meta["twin"] == {"telemetry": 1, "map": "decam", "source": "raw.csv"}
    assert table["seeing"].info.meta == {"ucd": "instr.obsty.seeing"}
    assert str(table["seeing"].unit) == "arcsec"
    assert table["seeing"].mask.tolist() == [False, True, False]


def test_rows_out_of_order_are_refused_or_sorted(tmp_path: Path) -> None:
    rows = RAW.splitlines()
    path = csv(tmp_path, "\n".join([rows[0], rows[2], rows[1], rows[3], rows[3]]) + "\n")
    with pytest.raises(UserError, match=r"raw\.csv: rows are out of order in time: --sort puts them in order"):
        report(path, out=tmp_path / "clean.ecsv")
    assert not (tmp_path / "clean.ecsv").exists()
    with pytest.raises(
        UserError, match=r"raw\.csv: DATE-OBS: line 3: is earlier than the row before: twin telemetry --sort"
    ):
        load_instrument("ps1").read_exposures(path)
    text = report(path, out=tmp_path / "clean.ecsv", sort=True)
    assert "3 rows (1 repeated rows left out, put in order of time)" in " ".join(text.split())
    assert np.diff(load(tmp_path / "clean.ecsv").days).min() > 0  # type: ignore[arg-type]


def test_mistakes(tmp_path: Path) -> None:
    path = csv(tmp_path)
    with pytest.raises(UserError, match='unknown instrument "ps2"'):
        report(path, instrument="ps2")
    with pytest.raises(UserError, match='unknown keyword map "decm" .*; did you mean "decam"'):
        report(path, keyword_map="decm")
    with pytest.raises(UserError, match="no such file"):
        report(tmp_path / "none.csv")


def test_many_rows_take_seconds(tmp_path: Path, rng: np.random.Generator) -> None:
    import pyarrow as pa
    from pyarrow import csv as arrow

    n = 250_000
    days = 57000 + np.cumsum(rng.uniform(60, 120, n)) / 86400
    times = np.datetime64("1858-11-17", "ms") + (days * 86400e3).astype("timedelta64[ms]")
    columns = {
        "DATE-OBS": np.datetime_as_string(times), "AIRMASS": rng.uniform(1, 2, n).round(3), "INSTRUME": ["DECam"] * n,
        "DIMMSEE": np.exp(rng.normal(0, 0.3, n)).round(3), "OUTTEMP": (11 + rng.normal(0, 0.5, n)).round(2),
    }  # fmt: skip
    arrow.write_csv(pa.table(columns), tmp_path / "big.csv")
    start = time.process_time()
    report(tmp_path / "big.csv", out=tmp_path / "clean.ecsv")
    assert time.process_time() - start < 10  # CPU seconds, so that a million rows take less than a minute; 2 measured
    assert (tmp_path / "clean.ecsv").read_text().count("\n") > n
