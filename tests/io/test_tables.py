"""Round trips of each table format, and the line that each broken file ends in."""

import gzip
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.utils.masked import Masked

from twin.io import csv_tables, tables
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


@pytest.mark.parametrize("fmt", ["ascii.ecsv", "fits", "parquet", "csv"])
def test_gzipped_files_are_read_like_the_files_in_them(tmp_path, fmt):
    path = write(tmp_path / "t", fmt)
    (tmp_path / "t.gz").write_bytes(gzip.compress(path.read_bytes()))
    table = read_table(tmp_path / "t.gz")
    assert number_column(table, "seeing", "mas", "f") == pytest.approx([800, 900, 1100])


def test_gzipped_files_that_are_cut_or_unfold_to_too_much(tmp_path, monkeypatch):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n,\n" + b"1,2\n" * 100_000))
    monkeypatch.setattr(tables, "MAX_BYTES", 2**17)
    assert path.stat().st_size < 2**17
    assert problem(path).endswith(": larger than 0 MB")
    path.write_bytes(gzip.compress(b"a,b\n,\n1,2\n")[:-6])
    assert problem(path) == ": is truncated, or no whole gzip file"


def test_csv_without_units_where_it_is_asked_for(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("# comment\nwind (m/s),T [deg C],name,note (x)\n5,11,a,1\n6,,b,2\n")
    table = read_table(path, bare=True)
    assert table.colnames == ["wind", "T", "name", "note (x)"]
    assert table.meta["bare"] is True
    assert list(table.meta["lines"]) == [3, 4]
    assert number_column(table, "wind", "km/h", "f") == pytest.approx([18, 21.6])
    assert str(table["T"].unit) == "deg_C"
    path.write_text("time,band\n2016-01-01T05:00:00,g\n")  # no number, and yet no units
    assert list(read_table(path, bare=True)["band"]) == ["g"]
    path.write_text("a,b\nm,\n1,2\n")
    assert "bare" not in read_table(path, bare=True).meta


PLAIN = "a,b,c\nm,,\n" + "".join(f"{k}.5,{k},x{k}\n" for k in range(50))


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("7.5,7,", " 7.5 , ,"),
        PLAIN.replace("x9", '"x, 9"').replace("9.5,9", "+9.5,1e1"),
        PLAIN.replace("9.5,9", "nan,inf"),
        PLAIN[:-1],
    ],
)
def test_the_fast_way_gives_what_the_slow_one_gives(tmp_path, monkeypatch, text):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    fast = read_table(path)
    assert isinstance(fast.meta["lines"], range)
    monkeypatch.setattr(csv_tables, "_fast", lambda *_: None)
    slow = read_table(path)
    assert list(fast.meta["lines"]) == list(slow.meta["lines"])
    for name in slow.colnames:
        assert str(getattr(fast[name], "unit", None)) == str(getattr(slow[name], "unit", None))
        assert [str(value) for value in fast[name]] == [str(value) for value in slow[name]]


def test_lines_that_are_no_rows_are_left_to_the_slow_way(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('a,b\nm,\n1,x\n\n2,"two\nlines"\n3,y\n')
    table = read_table(path)
    assert list(table.meta["lines"]) == [3, 6, 7]
    assert list(table["b"]) == ["x", "two\nlines", "y"]


def test_units_that_observatories_write(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("T,p,v,s,f\ndeg C,Torr,mph,sfu,%\n10,760,10,100,50\n")
    table = read_table(path)
    for name, unit, expected in (("T", "K", 283.15), ("p", "hPa", 1013.25), ("v", "m/s", 4.4704), ("f", "", 0.5)):
        assert number_column(table, name, unit, "f") == pytest.approx([expected])
    columns = [("T", "degC", 10), ("v", "mph", 10), ("s", "sfu", 100)]
    made = [fits.Column(name=name, format="D", unit=unit, array=[value]) for name, unit, value in columns]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy's, of units that it does not know
        fits.BinTableHDU.from_columns(made).writeto(tmp_path / "t.fits")
    table = read_table(tmp_path / "t.fits")
    assert number_column(table, "T", "K", "f") == pytest.approx([283.15])
    assert number_column(table, "v", "m/s", "f") == pytest.approx([4.4704])
