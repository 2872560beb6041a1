"""Telemetry tables of every format become the same array; every mistake in one is named."""

import logging

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from astropy.time import Time

from twin.observatory.imager import load_instrument
from twin.schema import UserError


@pytest.fixture(scope="module")
def ps1():
    return load_instrument("ps1")


def full_table(imager, n=6) -> tuple[QTable, np.ndarray]:
    rows = imager.draw_exposures(9, n)
    table = QTable({"time": [f"2012-03-01T0{k}:00:00" for k in range(n)]})
    for channel, values in zip(imager.telemetry_channels, rows.T, strict=True):
        unit = u.Unit(channel.unit.replace("px", "pix"))
        table[channel.name] = values.astype(float) * unit if channel.unit else values.astype(float)
    return table, rows


def write_csv(table, path):
    units = [str(getattr(table[name], "unit", None) or "") for name in table.colnames]
    cells = [",".join(str(getattr(row[name], "value", row[name])) for name in table.colnames) for row in table]
    path.write_text("\n".join([",".join(table.colnames), ",".join(units), *cells]) + "\n")


@pytest.mark.parametrize("fmt", ["ascii.ecsv", "fits", "parquet", "csv"])
def test_every_format_gives_the_same_array(ps1, tmp_path, caplog, fmt):
    table, rows = full_table(ps1)
    path = tmp_path / "telemetry"
    write_csv(table, path) if fmt == "csv" else table.write(path, format=fmt)
    assert ps1.read_exposures(path) == pytest.approx(rows, rel=1e-6)
    assert not caplog.records


def test_the_time_is_not_offered_for_a_missing_channel(ps1, tmp_path, caplog):
    (tmp_path / "t.csv").write_text("time,seeing\n,arcsec\n2016-01-01T05:00:00,1.0\n")
    with caplog.at_level(logging.WARNING, logger="twin"):
        ps1.read_exposures(tmp_path / "t.csv")
    assert "exptime, " in caplog.messages[0]
    assert "is it" not in caplog.messages[0]


def test_missing_channels_are_drawn_and_said(ps1, tmp_path, caplog):
    path = tmp_path / "t.csv"
    path.write_text("DIMMSEE,Secz,sky_brightnes\narcsec,,mag/arcsec2\n" + "0.9,1.1,21\n" * 400)
    with caplog.at_level(logging.WARNING, logger="twin"):
        values = ps1.read_exposures(path, seed=1)
    assert len(caplog.messages) == 1
    assert "sky_brightness (is it sky_brightnes?)" in caplog.messages[0]
    assert caplog.messages[0].endswith("drawn from ps1's prior")
    assert "seeing," not in caplog.messages[0]
    names = ps1.channel_names
    for band in "gri":  # one DIMM serves all bands
        assert values[:, names.index(f"seeing_{band}")] == pytest.approx(0.9)
    assert values[:, names.index("airmass")] == pytest.approx(1.1)
    drawn = values[:, names.index("outer_scale")]
    assert np.exp(np.mean(np.log(drawn))) == pytest.approx(22, rel=0.1)
    assert len(np.unique(drawn)) == 400
    assert np.array_equal(ps1.read_exposures(path, seed=1), values)
    assert not np.array_equal(ps1.read_exposures(path, seed=2), values)


def test_units_are_converted_and_band_columns_win(ps1, tmp_path, caplog):
    path = tmp_path / "t.csv"
    path.write_text("seeing,seeing_g,exptime\nmas,arcsec,min\n900,1.2,10\n")
    values = ps1.read_exposures(path)[0]
    found = [values[ps1.channel_names.index(name)] for name in ("seeing_g", "seeing_r", "exptime_i")]
    assert found == pytest.approx([1.2, 0.9, 600.0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seeing\narcsec\n-999\n", ":3: seeing: is -999 arcsec, outside 0.2 to 5 arcsec"),
        ("airmass\n\n1.2\n0.9\n", ":4: airmass: is 0.9, outside 1 to 3"),
        ("seeing\narcsec\n0.9\nnan\n", ":4: seeing: has no value"),
        ("seeing\nm\n0.9\n", ': seeing: the unit "m" is not one of arcsec'),
        ("seeing,x\n,\n0.9,1\n", ": seeing: has no unit: expected arcsec"),
        (
            "seeing,dimmsee\narcsec,arcsec\n1,1\n",
            ": dimmsee: gives the channel seeing_g, and so does the column seeing",
        ),
        ("time,seeing\n,arcsec\n2012-01-01T01:00,1\n2012-01-01T01:00,1\n", ":4: time: has the time of the row before"),
        ("time,seeing\n,arcsec\n2012-01-01T02:00,1\n2012-01-01T01:00,1\n", ":4: time: is earlier than the row before"),
        ("time,seeing\n,arcsec\n2012-01-01T02:00+02:00,1\n", ":3: time: has the time zone +02:00: give UTC"),
        ("time,seeing\n,arcsec\n2012-01-01 02:00:00 HST,1\n", ":3: time: has the time zone HST: give UTC"),
        ("time,seeing\n,arcsec\nyesterday,1\n", ':3: time: is no ISO time: "yesterday"'),
        ("time,seeing\n,arcsec\n2012-13-01T02:00,1\n", ':3: time: is no ISO time: "2012-13-01T02:00"'),
        ("mjd,seeing\nd,arcsec\n56000.2,1\n56000.1,1\n", ":4: mjd: is earlier than the row before"),
        ("mjd,seeing\nm,arcsec\n56000.2,1\n", ': mjd: the unit "m" is not one of d'),
        ("fog,smog\nm,m\n1,2\n", ": no column is a telemetry channel of ps1 (these are: seeing, seeing_scatter,"),
    ],
)
def test_mistakes_in_a_table(ps1, tmp_path, text, expected):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        ps1.read_exposures(path)
    assert str(caught.value).removeprefix(str(path)).startswith(expected)


def test_good_times(ps1, tmp_path, caplog):
    for text in ("2012-01-01T02:00Z", "2012-01-01 02:00:00 UTC", "2012-01-01T02:00:00.5+00:00", "2012-01-01"):
        path = tmp_path / "t.csv"
        path.write_text(f"time,seeing\nUTC,arcsec\n{text},1\n2012-01-02T00:00:00,1\n")
        assert len(ps1.read_exposures(path)) == 2


@pytest.mark.parametrize("scale", ["utc", "tai"])
def test_astropy_times(ps1, tmp_path, caplog, scale):
    path = tmp_path / "t.ecsv"
    table = QTable({"time": Time([56000.0, 56000.1], format="mjd", scale=scale), "seeing": [1.0, 1.1] * u.arcsec})
    table.write(path, format="ascii.ecsv")
    if scale == "utc":
        assert len(ps1.read_exposures(path)) == 2
    else:
        with pytest.raises(UserError, match="time: times are TAI: give UTC$"):
            ps1.read_exposures(path)


def test_empty_cells_are_drawn_and_said(ps1, tmp_path, caplog):
    path = tmp_path / "t.csv"
    path.write_text("seeing,airmass\narcsec,\n0.9,1.1\n,1.2\n0.8,1.3\n")
    with caplog.at_level(logging.WARNING, logger="twin"):
        values = ps1.read_exposures(path)
    seeing = values[:, ps1.channel_names.index("seeing_g")]
    assert seeing[[0, 2]] == pytest.approx([0.9, 0.8])
    assert 0.3 < seeing[1] < 4
    assert "seeing has no value in 1 rows: drawn from ps1's prior" in caplog.text


def test_the_sky_of_one_filter_says_nothing_of_the_others(ps1, tmp_path, caplog):
    path = tmp_path / "t.csv"
    path.write_text("band,sky_brightness,seeing\n,mag/arcsec2,arcsec\n" + "g,19.9,0.9\ni,18.5,1.0\n" * 20)
    values = ps1.read_exposures(path)
    sky = {band: values[:, ps1.channel_names.index(f"sky_brightness_{band}")] for band in "gri"}
    assert sky["g"][::2] == pytest.approx(19.9)
    assert len(set(sky["g"][1::2])) == 20
    assert sky["i"][1::2] == pytest.approx(18.5)
    assert len(set(sky["r"])) == 40
    assert values[:, ps1.channel_names.index("seeing_r")] == pytest.approx([0.9, 1.0] * 20)


def test_a_header_folder_is_a_telemetry_table(ps1, tmp_path, caplog):
    for k, cards in enumerate(("DIMMSEE = 0.8 / [arcsec]", "DIMMSEE = 'NaN'")):
        text = f"INSTRUME= 'DECam'\nDATE-OBS= '2016-09-09T0{k}:00:00'\nAIRMASS = 1.3\nOUTTEMP = -999.\n{cards}\nEND\n"
        (tmp_path / f"{k}_header.txt").write_text(text)
    with caplog.at_level(logging.WARNING, logger="twin"):
        values = ps1.read_exposures(tmp_path)
    assert values.shape == (2, len(ps1.channel_names))
    assert values[:, ps1.channel_names.index("airmass")] == pytest.approx(1.3)
    assert values[0, ps1.channel_names.index("seeing_g")] == pytest.approx(0.8)
    assert "has no seeing (1 of 2 rows), seeing_scatter, outer_scale, transparency" in caplog.text


def test_an_instrument_s_limits_are_narrower_than_nature_s(ps1, tmp_path, caplog):
    path = tmp_path / "t.csv"
    path.write_text("DATE-OBS,airmass,exptime\n2016-01-01T05:00:00,3.5,90\n2016-01-01T05:10:00,1.5,90\n")
    with caplog.at_level(logging.WARNING, logger="twin"):
        values = ps1.read_exposures(path)
    airmass = values[:, ps1.channel_names.index("airmass")]
    assert airmass[1] == pytest.approx(1.5)
    assert 1 <= airmass[0] <= 3
    assert "airmass: line 2: is 3.5, outside 1 to 3 of ps1: missing" in caplog.text


def test_local_time_is_refused(ps1, tmp_path):
    path = tmp_path / "t.csv"
    rows = [f"DECam,2016-09-0{1 + k // 6}T{17 + k % 6:02d}:30:00,1.2" for k in range(30)]
    path.write_text("\n".join(["INSTRUME,DATE-OBS,AIRMASS", *rows]) + "\n")
    with pytest.raises(UserError, match=r"DATE-OBS: the sun is up in \d+ % of the rows .*give UTC"):
        ps1.read_exposures(path)
