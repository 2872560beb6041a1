import numpy as np
import pytest
from astropy import units
from astropy.io import fits, votable
from astropy.io.votable.ucd import parse_ucd
from astropy.table import QTable
from pyarrow import parquet

from twin.evaluate.catalogue import calibration_words, columns, flags, write_catalogue
from twin.schema import UserError
from twin.train.calibration import Calibration

CALIBRATION = Calibration(temperature=2.0, name="sdss", objects="50 labelled quasars at resolution θ, " + "long " * 20)
META = {"model": "modèle", **calibration_words(CALIBRATION)}


@pytest.fixture
def cols(fake):
    names = np.array(["HE0435-1223", "J1640+1045", "a"])
    prediction = fake.delta(np.array([2.5, 1.1, 3.0]), np.array([0.95, 0.6, 0.02]))
    position = np.array([[69.56, -12.28], [np.nan, np.nan], [1.0, 2.0]])
    return columns(names, prediction, position=position, complete=np.array([True, True, False]))


def test_every_format_gives_back_the_values_with_units(tmp_path, cols):
    for ending in ("parquet", "fits", "vot", "ecsv"):
        path = tmp_path / f"c.{ending}"
        write_catalogue(path, cols, META)
        if ending == "parquet":
            table = parquet.read_table(path)
            got = {name: np.array(table.column(name).to_pylist()) for name in table.column_names}
        elif ending == "ecsv":
            table = QTable.read(path)
            got = {name: np.asarray(getattr(table[name], "value", table[name])) for name in table.colnames}
            assert table["separation"].unit == units.arcsec
            assert table.meta == META
        elif ending == "fits":
            with fits.open(path) as hdus:
                got = {name: np.array(hdus[1].data[name]) for name in hdus[1].columns.names}
                assert hdus[1].columns["separation"].unit == "arcsec"
                header = hdus[1].header
                assert (header["CALIB"], header["CALIBCOL"]) == ("sdss", "separation")
                assert header["CALIBSET"] == META["calibrated_on"].replace("θ", "?").strip()
                assert "model: mod?le" in str(header["HISTORY"])
        else:
            table = votable.parse_single_table(path).to_table()
            got = {name: np.array(table[name]) for name in table.colnames}
            assert table["separation"].unit == units.arcsec
        for col in cols:
            if col.values.dtype.kind == "f":
                np.testing.assert_allclose(got[col.name].astype(float), col.values, err_msg=f"{ending} {col.name}")
            else:
                assert [str(v) for v in got[col.name]] == col.values.tolist(), f"{ending} {col.name}"


def test_parquet_says_which_calibration(tmp_path, cols):
    write_catalogue(tmp_path / "c.parquet", cols, META)
    said = parquet.read_schema(tmp_path / "c.parquet").metadata
    assert {key: said[key.encode()].decode() for key in META} == META


def test_what_a_calibration_changes_is_named():
    assert calibration_words(None) == {"calibration": "none", "calibrated": "nothing"}
    assert calibration_words(Calibration(name="x"))["calibrated"] == "nothing"
    both = Calibration(offset=0.1, share=0.1, name="x")
    assert calibration_words(both)["calibrated"] == "lens_probability, separation"
    assert META["calibrated"] == "separation"


def test_units_and_ucds_are_known_words(cols):
    for col in cols:
        assert parse_ucd(col.ucd, check_controlled_vocabulary=True)
        if col.unit:
            units.Unit(col.unit, format="vounit")


def test_ucds_and_descriptions_are_written(tmp_path, cols):
    for ending in ("parquet", "fits", "vot", "ecsv"):
        write_catalogue(tmp_path / f"c.{ending}", cols, META)
    about = parquet.read_schema(tmp_path / "c.parquet").field("separation").metadata
    assert about[b"ucd"] == b"pos.angDistance;stat.median"
    assert about[b"unit"] == b"arcsec"
    at = [col.name for col in cols].index("separation")
    assert fits.getheader(tmp_path / "c.fits", 1)[f"TUCD{at + 1}"] == "pos.angDistance;stat.median"
    assert votable.parse_single_table(tmp_path / "c.vot").fields[at].ucd == "pos.angDistance;stat.median"
    assert QTable.read(tmp_path / "c.ecsv")["separation"].info.meta["ucd"] == "pos.angDistance;stat.median"


def test_flags_speak_plainly(fake):
    prediction = fake.delta(np.array([2.5, 1.1, 3.0]), np.array([0.95, 0.6, 0.02]))
    assert flags(prediction, np.array([True, True, False])).tolist() == [
        "likely a lens",
        "possibly a lens",
        "very probably no lens; cutout incomplete",
    ]
    vague = fake.Guess().predict(np.zeros((1, 3, 40, 40)), np.ones((1, 3)))
    sure = type(vague)(np.full((2, 1), 0.97), vague.separation, vague.edges)
    assert flags(sure, np.array([True]))[0] == "likely a lens; separation poorly known"


def test_an_unknown_ending_is_refused_and_nothing_is_written(tmp_path, cols):
    with pytest.raises(UserError, match=r'unknown catalogue format ".fit".*did you mean ".fits"'):
        write_catalogue(tmp_path / "c.fit", cols, META)
    assert list(tmp_path.iterdir()) == []
