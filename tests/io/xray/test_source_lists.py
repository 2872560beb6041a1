"""Lists of real sources: positions, ranges of flux, what is left out, faults by line; the real lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from twin.io.xray.source_lists import read_bat, read_binaries
from twin.schema import UserError

LMXB = """|name     |ra         |dec        |flux_limit|flux    |flux_max|xray_type|
|H 1617-155 |16 19 55.07|-15 38 24.8|   |14000.00|        |Z, M, R |
|X 0001+00  |00 01 00.00|-00 30 00.0|&lt;|0.10   |     70 |        |
|X 0002+00  |15.5       |+20.25     |   |        |     30 |T, B    |
|X 0003+00  |00 03 00.00|+10 00 00.0|   | -1.02  |        |T, R?   |
|X 0004+00  |00 04 00.00|+10 00 00.0|   |        |        |        |
"""
HMXB = (
    "Service\nLinks\tname\toptical_name\tra\tdec\tporb\tfx_limit\tfx\tfx_max\n"
    "None\tA\tB ?\t12 26 37.60\t-62 46 13.0\t41\t\t9.00\t1000.0\n"
)


def test_binaries_have_positions_and_ranges(tmp_path: Path) -> None:
    path = tmp_path / "lmxb.dat"
    path.write_text(LMXB)
    found = read_binaries(path)
    assert found.name == ("H 1617-155", "X 0001+00", "X 0002+00")
    np.testing.assert_allclose(found.ra, [244.97946, 0.25, 15.5], atol=1e-5)
    np.testing.assert_allclose(found.dec, [-15.64022, -0.5, 20.25], atol=1e-5)
    np.testing.assert_array_equal(found.low, [14000, 0.1, 30])
    np.testing.assert_array_equal(found.high, [14000, 70, 30])
    np.testing.assert_array_equal(found.transient, [False, True, True])
    assert found.left_out == "2 sources have no flux: X 0003+00, X 0004+00"
    path.write_text(HMXB)
    found = read_binaries(path)
    assert (found.name, found.low[0], found.high[0], found.left_out) == (("A",), 9, 1000, "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("|name ", "|source "), 'none of its first lines names a column "name"'),
        (("flux    |", "fluss   |"), "lmxb.dat: flux: is missing among the columns"),
        (("16 19 55.07", "16 19 x"), 'lmxb.dat:2: ra: no angle: "16 19 x"'),
        (("16 19 55.07", "16 61 55.0"), 'lmxb.dat:2: ra: no angle: "16 61 55.0"'),
        (("16 19 55.07", "25 19 55.07"), "lmxb.dat:2: ra: is 379.979 deg, outside 0 to 360"),
        (("14000.00", "many"), 'lmxb.dat:2: flux: needs a number, not "many"'),
        (("|14000.00|", "|"), "lmxb.dat:2: has 8 cells for 9 columns"),
    ],
)
def test_faults_of_binaries_are_told(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    (tmp_path / "lmxb.dat").write_text(LMXB.replace(*change))
    with pytest.raises(UserError) as mistake:
        read_binaries(tmp_path / "lmxb.dat")
    assert said in str(mistake.value)


def test_a_list_without_fluxes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_text(LMXB.splitlines()[0] + "\n" + LMXB.splitlines()[-1] + "\n")
    with pytest.raises(UserError, match="holds no source with a position and a flux"):
        read_binaries(tmp_path / "a.dat")
    with pytest.raises(UserError, match="no such file"):
        read_binaries(tmp_path / "b.dat")


def bat(path: Path, **columns: list) -> Path:
    values = {"NAME": ["A ", "B"], "RA_OBJ": [10.0, 350.5], "DEC_OBJ": [-80.0, 20.0], **columns}
    Table(values, units={"RA_OBJ": "deg", "DEC_OBJ": "deg"}).write(path)
    return path


def test_a_list_of_bat_has_positions(tmp_path: Path) -> None:
    found = read_bat(bat(tmp_path / "bat.fits"))
    assert found.name == ("A", "B")
    np.testing.assert_array_equal(found.dec, [-80, 20])
    assert np.isnan(found.high).all()
    with pytest.raises(UserError, match="DEC_OBJ: row 2 has 95, outside -90 to 90"):
        read_bat(bat(tmp_path / "b.fits", DEC_OBJ=[1.0, 95.0]))
    with pytest.raises(UserError, match="RA_OBJ: row 1 has no value"):
        read_bat(bat(tmp_path / "c.fits", RA_OBJ=[np.nan, 5.0]))
    Table({"NAME": ["A"], "RA": [1.0]}).write(tmp_path / "d.fits")
    with pytest.raises(UserError, match="RA_OBJ: is missing among the columns"):
        read_bat(tmp_path / "d.fits")


@pytest.mark.real
def test_the_real_lists(real_data: Path) -> None:
    low = read_binaries(real_data / "xray/xrb_cat/lmxb_cat.dat")
    high = read_binaries(real_data / "xray/xrb_cat/hmxb_cat.dat")
    found = read_bat(real_data / "xray/bat_cat/survey6b_2.cat")
    assert (len(low.name), len(high.name), len(found.name)) == (179, 114, 1276)
    sco = low.name.index("H 1617-155")
    assert (low.ra[sco], low.dec[sco], low.high[sco]) == (
        pytest.approx(244.9795, abs=1e-3),
        pytest.approx(-15.6402, abs=1e-3),
        14000,
    )
    assert low.left_out.startswith("8 sources have no flux: ")
    assert "4U 0614+091" not in low.name  # its flux is negative in HEASARC's table
    crab = found.name.index("Crab Nebula/Pulsar")
    assert (found.ra[crab], found.dec[crab]) == (pytest.approx(83.633, abs=0.01), pytest.approx(22.015, abs=0.01))
