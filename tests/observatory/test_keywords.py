"""Keyword maps: the shipped ones hold, mistakes in one's own are marked with file and line, the right one is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable

from twin.io.units import same_kind, unit
from twin.observatory.keywords import list_maps, load_map
from twin.observatory.kinds import KINDS
from twin.observatory.matching import detect, identified, normal
from twin.schema import UserError

SMALL = """\
name: mine
description: a small observatory
site: {latitude: 49.9 deg, longitude: 14.78 deg, height: 528 m}
missing: [-999, off]
utc_offset: 1 h
time:
  - {keyword: DATE}
band: {keywords: [FILT], rename: {red: r}}
channels:
  seeing: [{keyword: SEE, unit: arcsec}]
  wind_speed: [{mean_of: [W1, W2], unit: km/h}]
"""


def test_the_shipped_maps() -> None:
    assert list_maps() == ("decam", "generic", "lamost", "mmt", "ps1")
    for name in list_maps():
        found = load_map(name)
        assert found.name == name
        assert len(found.channels) >= 8


def test_a_map_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL)
    found = load_map(path)
    assert found.site is not None
    assert (found.site.latitude, found.site.longitude, found.site.height) == (49.9, 14.78, 528)
    assert found.utc_offset == 1
    assert found.missing == (-999, "off")
    assert found.channels["wind_speed"][0].groups == (("W1", "W2"),)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  seeing:", "  seing:", ':10: channels.seing: unknown channel; did you mean "seeing"?'),
        ("unit: arcsec", "unit: m", ':10: channels.seeing.0.unit: the unit "m" is not one of arcsec'),
        ("unit: arcsec", "unit: arcsek", ':10: channels.seeing.0.unit: unknown unit "arcsek"'),
        ("unit: arcsec", "units: arcsec", ':10: channels.seeing.0.units: unknown key; did you mean "unit"?'),
        ("{keyword: SEE,", "{keyword: SEE, item: 0,", ":10: channels.seeing.0.item:"),
        ("{keyword: SEE,", "{", ":10: channels.seeing.0: needs exactly one of keyword, mean_of"),
        ("{keyword: SEE,", "{keyword: S, mean_of: [A],", ":10: channels.seeing.0: needs exactly"),
        ("unit: arcsec", "form: moon age, unit: d", ":10: channels.seeing.0.form: goes with the channel moon"),
        ("unit: arcsec", "form: guess", ":10: channels.seeing.0.form:"),
        ("utc_offset: 1 h", "utc_offset: 25 h", ":5: utc_offset: must be at most 14 h"),
        ("latitude: 49.9 deg", "latitude: 49.9", ":3: site.latitude: has no unit"),
        ("  - {keyword: DATE}", "  - {form: iso}", ":7: time.0: needs either keyword or parts"),
        ("missing:", "mising:", ':4: mising: unknown key; did you mean "missing"?'),
        ("name: mine", "name: mine\nidentify: [{keyword: A}]", ":2: identify.0: needs either a keyword and what"),
    ],
)  # fmt: skip
def test_mistakes_in_a_map(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in SMALL
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        load_map(path)
    assert str(caught.value).removeprefix(str(path)).startswith(expected)


def test_unknown_maps() -> None:
    with pytest.raises(UserError, match='^unknown keyword map "decan" .*; did you mean "decam"'):
        load_map("decan")
    with pytest.raises(UserError, match=r"gone\.yaml: no such file"):
        load_map("gone.yaml")


def test_names_are_compared_loosely() -> None:
    assert normal("CCD-TEMP") == normal("ccd_temp") == normal(" Ccd Temp ") == normal("CCD.TEMP")
    assert normal("CCDTEMP") != normal("CCD-TEMP")


def table(**columns: object) -> QTable:
    return QTable({name: np.atleast_1d(values) for name, values in columns.items()})


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"INSTRUME": "DECam", "AIRMASS": 1.1}, "decam"),
        ({"INSTRUME": "Mosaic3", "AIRMASS": 1.1}, "generic"),
        ({"MSURTEMP": 11.0, "MAIRTEMP": 12.0, "AIRMASS": 1.1}, "decam"),
        ({"TELESCOP": "LAMOST", "TEMP_AIR": 3.0}, "lamost"),
        ({"TELNAME": "MMTO", "OSSTEMP": 3.0}, "mmt"),
        ({"FPA.TELESCOPE": "PS1", "FPA.ALT": 60.0}, "ps1"),
        ({"rabore": 1.0, "decbore": 1.0, "expfactor": 2.0, "seeing": 1.2}, "decam"),
        ({"airmass": 1.1, "exptime": 30.0, "seeing": 0.9}, "generic"),
    ],
)
def test_the_right_map_is_found(columns: dict[str, object], expected: str) -> None:
    best = detect(table(**columns))
    assert best is not None
    assert best[0].name == expected
    assert best[1][expected] >= 1


def test_nothing_fits() -> None:
    assert detect(table(fog=1.0, smog=2.0)) is None


def test_a_few_files_of_another_instrument_do_not_hide_the_first() -> None:
    decam = load_map("decam")
    assert identified(decam, table(INSTRUME=["DECam", "DECam", "90prime", ""]))
    assert not identified(decam, table(INSTRUME=["DECam", "90prime", "Mosaic3"]))


def test_every_kind_is_sound() -> None:
    from astropy.io.votable.ucd import parse_ucd

    for name, kind in KINDS.items():
        low, high = kind.limits
        assert low < high, name
        assert parse_ucd(kind.ucd, check_controlled_vocabulary=True), name
        assert kind.meaning, name
        assert kind.drives or name == "measured_fwhm", name
        assert not kind.neutral < low, name
        assert not kind.neutral > high, name
        assert same_kind(unit(kind.unit), unit(kind.unit))
