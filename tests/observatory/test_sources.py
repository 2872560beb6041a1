"""From any source to canonical channels: units, vectors, codes, header folders, what follows from what."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable, Table

from twin.io.tables import read_table
from twin.observatory.convert import Telemetry
from twin.observatory.derive import airmass_of, elevation_of, parallactic_of
from twin.observatory.keywords import load_map
from twin.observatory.sources import load
from twin.schema import UserError


def csv(folder: Path, text: str, name: str = "t.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def values(found: Telemetry, channel: str) -> np.ndarray:
    return found.readings[channel].values


DECAM = """\
INSTRUME,DATE-OBS,FILTER,DIMMSEE,DIMM2SEE,ZD,TELFOCUS,DODZ,WINDSPD,HUMIDITY,G-MEANX2,G-MEANY2,FWHM
DECam,2016-09-09T01:00:00,r DECam SDSS c0002,NaN,0.9,60,"1.5,20.25,300,-4,5,0",-12,36.0,45,0.01,0.03,4.0
DECam,2016-09-09T01:05:00,g DECam SDSS c0001,0.7,0.9,0,"[2,21,301,-4.5,5.5,0]",-999,18.0,50,0.02,,NaN
"""


def test_a_table_without_units_through_a_map(tmp_path: Path) -> None:
    found = load(csv(tmp_path, DECAM))
    assert found.map.name == "decam"
    assert values(found, "seeing") == pytest.approx([0.9, 0.7])
    assert found.readings["seeing"].source == "DIMMSEE or DIMM2SEE"
    assert values(found, "elevation") == pytest.approx([30, 90])
    assert values(found, "airmass") == pytest.approx([1.9939, 1.0], abs=1e-3)
    assert values(found, "hexapod_y") == pytest.approx([20.25, 21])
    assert values(found, "hexapod_tilt_x") == pytest.approx([-4, -4.5])
    assert values(found, "focus_offset") == pytest.approx([-12, np.nan], nan_ok=True)
    assert values(found, "wind_speed") == pytest.approx([10, 5])
    assert values(found, "humidity") == pytest.approx([0.45, 0.5])
    assert values(found, "guider_rms") == pytest.approx(np.sqrt([0.02, 0.02]))
    assert values(found, "measured_fwhm") == pytest.approx([1.052, np.nan], nan_ok=True)
    assert list(found.band) == ["r", "g"]  # type: ignore[arg-type]
    assert found.days == pytest.approx(57640 + np.array([60, 65]) / 1440)


def test_donuts_on_both_sides_of_the_focus(tmp_path: Path) -> None:
    def donut(z4: float, z5: float) -> str:
        return f"'[0.5,1.1,{z4},{z5},0.1,0.2,0.3,0.4,0.5,]'"

    lines = ["INSTRUME= 'DECam'", "DATE-OBS= '2016-09-09T01:00:00'"]
    lines += [f"DONUT{name}= {donut(8.8, 0.2)}" for name in ("FS1", "FS3", "FN2")]
    lines += [f"DONUT{name}= {donut(-8.6, 0.4)}" for name in ("FS4", "FN1", "FN3")]
    lines += ["DONUTFS2= '[]      '           / Mean Wavefront", "DONUTFN4= '[]      '", "END"]
    found = load(csv(tmp_path, "\n".join(lines), "x_header.txt"))
    assert values(found, "donut_z4") == pytest.approx([70.0])  # (8.8 - 8.6) / 2 waves of 700 nm
    assert values(found, "donut_z5") == pytest.approx([0.3 * 700])
    lines = [line for line in lines if "FS4" not in line and "FN1" not in line and "FN3" not in line]
    assert np.isnan(values(load(csv(tmp_path, "\n".join(lines), "x_header.txt")), "donut_z4")).all()  # one side only


def test_units_of_the_file_come_first(tmp_path: Path) -> None:
    table = QTable({"OUTTEMP": [283.15, 284.15] * u.K, "WINDSPD": [10.0, 20.0] * u.m / u.s, "AIRMASS": [1.0, 1.2]})
    table.write(tmp_path / "t.fits")
    found = load(tmp_path / "t.fits", "decam")
    assert values(found, "outside_temperature") == pytest.approx([10, 11])
    assert values(found, "wind_speed") == pytest.approx([10, 20])
    with pytest.raises(UserError, match=r'OUTTEMP: the unit "m" is not one of deg_C'):
        load(csv(tmp_path, "OUTTEMP,AIRMASS\nm,\n10,1\n"), "decam")


def test_units_in_comments_and_in_names(tmp_path: Path) -> None:
    header = fits.Header()
    for key, value, comment in (
        ("OUTT", 50.0, "[F]"), ("WSPEED", 10.0, '"Wind Speed [MPH]"'), ("CCDTEMP1", -102.4, "[deg] CCD temperature 1"),
        ("ENVTEM", 12.3, "[celsius] MSE temp7 - Ambient"), ("PRESSURE", 585.0, "(Torr)"), ("AIRMASS", 1.2, "Airmass"),
    ):  # fmt: skip
        header[key] = (value, comment)
    fits.PrimaryHDU(header=header).writeto(tmp_path / "x.fits")
    found = load(tmp_path / "x.fits")
    assert found.map.name == "generic"
    assert values(found, "wind_speed") == pytest.approx([4.4704])
    assert values(found, "detector_temperature") == pytest.approx([170.75])
    assert values(found, "outside_temperature") == pytest.approx([12.3])
    assert values(found, "pressure") == pytest.approx([779.93], rel=1e-4)
    found = load(
        csv(tmp_path, "year,month,day,wind velocity (km/h),temperature (degrees)\n2015,1,1,36,11\n2015,1,2,18,12\n")
    )
    assert values(found, "wind_speed") == pytest.approx([10, 5])
    assert values(found, "outside_temperature") == pytest.approx([11, 12])


def test_forms_of_numbers(tmp_path: Path) -> None:
    text = "TELESCOP,DATE-OBS,HUMIDITY,MOONPHA,TEMPCCDB,TEMPCCDR,SEEING,TEMP_AIR\n"
    text += "LAMOST,2016-01-01T15:00:00,0.34,14.765,-115.1,-120.4,4.8,-1.0\n"
    text += "LAMOST,2017-01-01T15:00:00,65.1,0,-999.00,-110,-1.00,17.2\n"
    found = load(csv(tmp_path, text))
    assert found.map.name == "lamost"
    assert values(found, "humidity") == pytest.approx([0.34, 0.651])
    assert values(found, "moon_illumination") == pytest.approx([1, 0], abs=1e-6)
    assert values(found, "detector_temperature") == pytest.approx([155.4, 163.15])
    assert values(found, "measured_fwhm") == pytest.approx([4.8, np.nan], nan_ok=True)
    assert values(found, "outside_temperature") == pytest.approx([-1, 17.2])
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "name: mine\ndescription: forms\nchannels:\n"
        "  seeing: [{keyword: fried, unit: cm, form: r0}]\n"
        "  transparency: [{keyword: ext, unit: mag, form: magnitudes lost}]\n"
        "  tau0: [{keyword: lnt, form: logarithm}]\n"
    )
    found = load(csv(tmp_path, "fried,ext,lnt\n10,2.5,-5\n"), mine)
    assert values(found, "seeing") == pytest.approx([1.0066], rel=1e-3)
    assert values(found, "transparency") == pytest.approx([0.1])
    assert values(found, "tau0") == pytest.approx([np.exp(-5)])


def test_image_measurements_are_no_site_seeing(tmp_path: Path) -> None:
    found = load(csv(tmp_path, "mjd,airmass,seeing\n57000,1.1,1.2\n57001,1.2,1.3\n"))
    assert set(found.readings) == {"airmass", "seeing", "elevation"}
    found = load(csv(tmp_path, "mjd,airmass,seeing,limmag\n57000,1.1,1.2,23\n57001,1.2,1.3,23\n"))
    assert set(found.readings) == {"airmass", "measured_fwhm", "elevation"}


def test_every_container_gives_the_same(tmp_path: Path) -> None:
    plain = csv(tmp_path, DECAM)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    table = Table(read_table(plain, bare=True))
    table.meta.clear()
    table.write(tmp_path / "t.fits")
    table.write(tmp_path / "t.parquet")
    table.write(tmp_path / "t.ecsv")
    wanted = load(plain)
    for name in ("t.csv.gz", "t.fits", "t.parquet", "t.ecsv"):
        found = load(tmp_path / name)
        assert list(found.readings) == list(wanted.readings), name
        for channel, reading in found.readings.items():
            assert reading.values == pytest.approx(values(wanted, channel), nan_ok=True), (name, channel)


def card_file(path: Path, **cards: object) -> None:
    header = fits.Header([(key.replace("__", "-"), value) for key, value in cards.items()])
    fits.HDUList([fits.PrimaryHDU(header=header), fits.ImageHDU(np.zeros((4, 4)))]).writeto(path)


def test_a_folder_of_headers(tmp_path: Path) -> None:
    same = {"INSTRUME": "DECam", "DATE__OBS": "2016-09-09T05:00:00", "FILTER": "r DECam", "AIRMASS": 1.3}
    card_file(tmp_path / "a_image.fits", **same)
    card_file(tmp_path / "a_mask.fits", DIMMSEE=0.8, **same)
    card_file(tmp_path / "b.fits", INSTRUME="DECam", DATE__OBS="2016-09-09T04:00:00", FILTER="g DECam", AIRMASS=1.2)
    card_file(tmp_path / "psf.fits", OBJECT="model")
    found = load(tmp_path)
    assert found.days == pytest.approx(57640 + np.array([4, 5]) / 24)
    assert values(found, "airmass") == pytest.approx([1.2, 1.3])
    assert values(found, "seeing") == pytest.approx([np.nan, 0.8], nan_ok=True)
    assert [found.place(0), found.place(1)] == ["b.fits", "a_mask.fits"]
    said = " | ".join(map(str, found.findings))
    assert "3 files show 2 exposures" in said
    assert "psf.fits: no telemetry in the header" in said
    assert "earlier" not in said


def test_files_that_hold_no_telemetry(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r'nothing is a telemetry channel by the keyword map "generic" \(it has: fog, smog\)'
    ):
        load(csv(tmp_path, "fog,smog\n1,2\n"))
    with pytest.raises(UserError, match=r"nothing is a telemetry channel by the keyword map \"mmt\""):
        load(csv(tmp_path, "DIMMSEE,DODZ\n1,2\n"), "mmt")
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "x.fits")
    with pytest.raises(UserError, match=r"x\.fits: holds no table, and its header no telemetry"):
        load(tmp_path / "x.fits")


def test_airmass_and_elevation_are_inverse() -> None:
    h = np.array([90.0, 60.0, 30.0, 20.0, 10.0])
    assert airmass_of(h) == pytest.approx([1.0, 1.1542, 1.9939, 2.9041, 5.586], rel=2e-3)
    assert elevation_of(airmass_of(h)) == pytest.approx(h, abs=0.1)
    assert np.isnan(elevation_of(np.array([np.nan]))).all()


def test_the_parallactic_angle_is_that_of_the_header() -> None:
    """Three pointings of the MMT, with the PA that its own control system wrote beside AZ and EL."""
    found = parallactic_of(np.array([59.12, 37.87, 59.37]), np.array([236.52, 207.13, 198.30]), 31.6888)
    assert found == pytest.approx([46.28, 23.54, 15.23], abs=0.3)


def test_what_time_and_pointing_tell(tmp_path: Path) -> None:
    text = "INSTRUME,DATE-OBS,TELRA,TELDEC,AIRMASS\n"
    rows = [
        f"DECam,2016-09-09T{h:02d}:{m:02d}:00,20:46:08.958,-53:40:35.792,{{}}\n" for h, m in ((1, 53), (3, 0), (5, 30))
    ]
    given = ("1.09", "1.10", "1.48")
    found = load(csv(tmp_path, text + "".join(row.format(x) for row, x in zip(rows, given, strict=True))))
    assert values(found, "elevation")[0] == pytest.approx(90 - 23.84, abs=0.2)  # the header's own ZD, AZ
    assert values(found, "azimuth")[0] == pytest.approx(171.27, abs=0.5)
    assert found.findings == []
    assert values(found, "moon_illumination") == pytest.approx(0.46, abs=0.02)
    assert values(found, "galactic_latitude") == pytest.approx(-38.34, abs=0.05)
    wrong = load(csv(tmp_path, text + "".join(row.format("2.2") for row in rows)))
    assert [f.kind for f in wrong.findings] == ["pointing"]
    assert "AIRMASS: 3 rows, first line 2: is 2.2, but 1.09 by pointing, time and site: is the time UTC?" in str(
        wrong.findings[0]
    )
    assert values(wrong, "elevation") == pytest.approx(elevation_of(np.full(3, 2.2)))  # the airmass is believed


def test_the_maps_know_their_sites() -> None:
    for name in ("decam", "lamost", "mmt", "ps1"):
        assert load_map(name).site is not None
