"""Round trips of each table format, and the line that each broken file ends in."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable, Table
from astropy.utils.masked import Masked

from twin.io import tables
from twin.io.tables import number_column, read_table
from twin.schema import UserError


def good() -> QTable:
    table = QTable()
    table["seeing"] = [0.8, 0.9, 1.1] * u.arcsec
    table["sky"] = [21.0, 20.5, 19.0] * u.mag / u.arcsec**2
    table["airmass"] = [1.0, 1.2, 1.9]
    table["object"] = ["a", "b", "c"]
    return table


def write(path, fmt):
    if fmt == "csv":
        path.write_text(
            "# a comment\nseeing,sky,airmass,object\narcsec,mag/arcsec2,,\n.8,21,1,a\n.9,20.5,1.2,b\n1.1,19,1.9,c\n"
        )
    elif fmt == "plain parquet":  # units in the fields' metadata, as pyarrow users write them
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = good()
        columns = {name: np.asarray(getattr(table[name], "value", table[name])) for name in table.colnames}
        arrow = pa.table(columns)
        unit = {"seeing": {"unit": "arcsec"}, "sky": {"unit": "mag/arcsec2"}}
        fields = [arrow.schema.field(name).with_metadata(unit.get(name, {})) for name in table.colnames]
        pq.write_table(pa.table(columns, schema=pa.schema(fields)), path)
    else:
        good().write(path, format=fmt)
    return path


@pytest.mark.parametrize("fmt", ["ascii.ecsv", "fits", "parquet", "plain parquet", "csv"])
def test_round_trip(tmp_path, fmt):
    table = read_table(write(tmp_path / "no_telling_name", fmt))
    assert number_column(table, "seeing", "mas", "f") == pytest.approx([800, 900, 1100])
    assert number_column(table, "sky", "mag/arcsec2", "f") == pytest.approx([21.0, 20.5, 19.0])
    assert number_column(table, "airmass", "", "f") == pytest.approx([1.0, 1.2, 1.9])
    assert [str(name) for name in table["object"]] == ["a", "b", "c"]


def problem(path) -> str:
    with pytest.raises(UserError) as caught:
        read_table(path)
    return str(caught.value).removeprefix(str(path))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ": the file is empty"),
        (b"\x00\x01\x02", ": not a table: expected ECSV, CSV with a row of units, FITS or Parquet"),
        (b"hello\nworld\n", ': hello: unknown unit "world"'),
        (b"hello\n", ": not a table: expected ECSV, CSV with a row of units, FITS or Parquet"),
        (b"a,b\n1,2\n3,4\n", ":2: the second row must give the units, empty for pure numbers"),
        (b"a,b\n", ":1: the second row must give the units, empty for pure numbers"),
        (b"a,b\narcsec,m\n", ": the table has no rows"),
        (b"a,b\narcsek,m\n1,2\n", ': a: unknown unit "arcsek"'),
        (b"a,a\narcsec,m\n1,2\n", ":1: a: the column stands twice"),
        (b"a,\narcsec,m\n1,2\n", ":1: a column has no name"),
        (b"a,b\n,\n1,2\n3\n", ":4: has 1 cells for 2 columns"),
        (b'a,b\n,\n1,"2\n', ":3: not a readable CSV table: unexpected end of data"),
        (b"a,b\n,\n1,\xff\n", ": not a table: the text is not UTF-8"),
        (b"# %ECSV 1.0\nnonsense\n", ": not a readable ECSV table"),
    ],
)
def test_broken_text(tmp_path, content, expected):
    path = tmp_path / "t"
    path.write_bytes(content)
    assert problem(path).startswith(expected)


def test_missing_file_and_folder(tmp_path):
    assert problem(tmp_path / "none") == ": no such file"
    assert problem(tmp_path) == ": cannot be read: Is a directory"


def test_fits_trouble(tmp_path):
    from astropy.io import fits

    whole = write(tmp_path / "t.fits", "fits").read_bytes()
    cut = tmp_path / "cut.fits"
    cut.write_bytes(whole[: len(whole) - 2880 + 10])
    assert problem(cut) == ": HDU 1 is truncated"
    cut.write_bytes(whole[:4000])
    assert problem(cut) == ": is truncated before its first table"
    image = tmp_path / "image.fits"
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(image)
    assert problem(image) == ": holds no table"
    odd = tmp_path / "odd.fits"
    column = fits.Column(name="seeing", format="D", unit="arcsek", array=[1.0])
    fits.BinTableHDU.from_columns([column]).writeto(odd)
    assert problem(odd) == ': HDU 1: seeing: unknown unit "arcsek"'
    empty = tmp_path / "empty.fits"
    fits.BinTableHDU.from_columns([fits.Column(name="seeing", format="D")]).writeto(empty)
    assert problem(empty) == ": the table has no rows"


def test_a_table_larger_than_its_file(tmp_path):
    whole = write(tmp_path / "t.fits", "fits").read_bytes()
    lying = tmp_path / "lying.fits"
    lying.write_bytes(whole.replace(b"NAXIS2  =                    3", b"NAXIS2  =        9000000000000"))
    assert problem(lying).startswith((": HDU 1 is truncated", ": not a readable FITS file"))


def test_parquet_trouble(tmp_path):
    whole = write(tmp_path / "t.parquet", "parquet").read_bytes()
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole[: len(whole) // 2])
    assert problem(cut).startswith(": not a readable Parquet table")


def test_unknown_units_of_ecsv_and_parquet(tmp_path):
    text = write(tmp_path / "t.ecsv", "ascii.ecsv").read_text().replace("unit: arcsec,", "unit: arcsek,")
    (tmp_path / "t.ecsv").write_text(text)
    assert problem(tmp_path / "t.ecsv") == ': seeing: unknown unit "arcsek"'


@pytest.mark.parametrize("fmt", ["csv", "parquet"])
def test_size_limits(tmp_path, monkeypatch, fmt):
    path = write(tmp_path / "t", fmt)
    monkeypatch.setattr(tables, "MAX_ROWS", 2)
    assert problem(path).startswith((": more than 2 rows", ": larger than 2 rows"))
    monkeypatch.setattr(tables, "MAX_BYTES", 10)
    assert problem(path).startswith(": larger than 0 MB")


def column_problem(table, name="x", unit="arcsec") -> str:
    with pytest.raises(UserError) as caught:
        number_column(table, name, unit, "f")
    return str(caught.value)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([1.0, np.nan] * u.arcsec, "f: x: row 2 has no value"),
        ([1.0, -np.inf] * u.arcsec, "f: x: row 2 is infinite"),
        (Masked([1.0, 2.0] * u.arcsec, mask=[True, False]), "f: x: row 1 has no value"),
        ([1.0, 2.0] * u.m, 'f: x: the unit "m" is not one of arcsec'),
        ([1.0, 2.0], "f: x: has no unit: expected arcsec"),
        (["1.0", "two"], 'f: x: row 2 needs a number, not "two"'),
        (["1.0", ""], "f: x: row 2 has no value"),
        (np.ones((2, 3)) * u.arcsec, "f: x: needs one number a row, has (3,)"),
        (np.array([1, 2j]), "f: x: holds no numbers"),
    ],
)
def test_columns_that_give_no_numbers(column, expected):
    assert column_problem(QTable({"x": column})) == expected


def test_masked_integers_and_pure_numbers():
    assert column_problem(Table({"x": np.ma.array([1, 2], mask=[0, 1])})) == "f: x: row 2 has no value"
    assert column_problem(QTable({"x": [1.0] * u.m}), unit="") == 'f: x: the unit "m" is not one of a pure number'
    assert number_column(QTable({"x": [50.0] * u.percent}), "x", "", "f") == pytest.approx([0.5])


def test_csv_names_the_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\narcsec,\n1,2\n\n,3\n")
    table = read_table(path)
    with pytest.raises(UserError) as caught:
        number_column(table, "a", "arcsec", path)
    assert str(caught.value) == f"{path}:5: a: has no value"
    path.write_text("a,b\narcsec,\n1,2\nfog,3\n")
    with pytest.raises(UserError) as caught:
        number_column(read_table(path), "a", "arcsec", path)
    assert str(caught.value) == f'{path}:4: a: needs a number, not "fog"'
