"""Tables from ECSV, CSV, FITS and Parquet, gzipped or not, with their units; what is wrong with one fits one line."""

from __future__ import annotations

import gzip
import io
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.io.csv_tables import check_names, is_number, read_csv, unit_at
from twin.io.units import convert, same_kind
from twin.io.units import unit as unit_of
from twin.schema import UserError

if TYPE_CHECKING:
    from astropy.table import Table

MAX_BYTES = 2**29  # of a file, and of what a compressed one unfolds to
MAX_ROWS = 20_000_000


_WRONG = "not a table: expected ECSV, CSV with a row of units, FITS or Parquet"


def read_table(path: str | Path, bare: bool = False) -> Table:
    """A table as an astropy QTable, whatever its format; the content decides, not the name.

    Text columns stay text; columns keep their units, none where the file gives none. CSV has a row of names, then a row
    of units (empty for pure numbers and text), which may be absent if `bare` (then `meta["bare"]` is True);
    `meta["lines"]` are the line numbers of a CSV's rows. A gzipped file is read like the file in it.
    Raises UserError, naming file and column or HDU, for a file that is missing, empty, truncated, too large or no
    table, for unknown units, and for column names that stand twice.
    """
    path = Path(path)
    data = read_bytes(path)
    if data.startswith(b"SIMPLE"):
        table = _fits(path, data)
    elif data.startswith(b"PAR1"):
        table = _parquet(path, data)
    elif data.startswith(b"# %ECSV"):
        table = _ecsv(path, data)
    elif b"\0" in data[:4096]:
        raise UserError(_WRONG, file=path)
    else:
        table = read_csv(path, data, MAX_ROWS, bare, _WRONG)
    if len(table) == 0:
        raise UserError("the table has no rows", file=path)
    return table


@contextmanager
def plain_read_errors(path: Path) -> Iterator[None]:
    """What keeps a file, gzipped or not, from being read, as one line about it. Raises UserError."""
    try:
        yield
    except FileNotFoundError:
        raise UserError("no such file", file=path) from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UserError("is truncated, or no whole gzip file", file=path) from None
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", file=path) from None


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """What a file holds, unfolded where it is gzipped: whole, or the first `most` bytes. Raises UserError.

    Refused are files beyond MAX_BYTES, and gzipped ones that unfold to more.
    """
    limit = MAX_BYTES + 1 if most is None else most
    with plain_read_errors(path):
        with path.open("rb") as stream:
            zipped = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            data = (gzip.GzipFile(fileobj=stream) if zipped else stream).read(limit)
    if not data:
        raise UserError("the file is empty", file=path)
    if most is None and len(data) > MAX_BYTES:
        raise UserError(f"larger than {MAX_BYTES // 2**20} MB", file=path)
    return data


def missing_rows(column: Any) -> np.ndarray:
    """(n,) bool: masked values and empty cells, which say that there is no value."""
    values, masked = _data_and_mask(column)
    empty = np.array([not str(value).strip() for value in values]) if values.dtype.kind in "OSU" else False
    return masked | empty if values.ndim == 1 else np.zeros(len(values), bool)


def number_column(table: Table, name: str, unit: str, file: str | Path, absent: np.ndarray | None = None) -> np.ndarray:
    """Column `name` as finite float64 in `unit` (astropy's spelling, "" for pure numbers); NaN in the rows `absent`.

    Raises UserError that names the row (counted from 1, or the line of a text file) of a missing or non-numeric value,
    and for a unit that is missing or of another kind.
    """
    from astropy import units as u

    column = table[name]
    values, masked = _data_and_mask(column)
    absent = np.zeros(len(table), bool) if absent is None else absent
    if np.ndim(values) != 1:
        raise UserError(f"needs one number a row, has {values.shape[1:]}", file=file, key=name)
    if values.dtype.kind in "OSU":
        values = np.where(absent, "nan", values) if absent.any() else values
        for row, value in enumerate(values):
            if absent[row]:
                continue
            if masked[row] or not str(value).strip():
                raise row_error(table, file, name, row, "has no value")
            if not is_number(value):
                raise row_error(table, file, name, row, f'needs a number, not "{value}"')
    elif values.dtype.kind not in "iufb":
        raise UserError("holds no numbers", file=file, key=name)
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise UserError("holds no numbers", file=file, key=name) from None
    for row in np.flatnonzero((masked | ~np.isfinite(numbers)) & ~absent)[:1]:
        empty = masked[row] or np.isnan(numbers[row])
        raise row_error(table, file, name, int(row), "has no value" if empty else "is infinite")
    numbers[absent] = np.nan
    given, wanted = getattr(column, "unit", None), unit_of(unit)
    if given is None:
        if wanted != u.dimensionless_unscaled:
            raise UserError(f"has no unit: expected {unit}", file=file, key=name)
        return numbers
    if not same_kind(given, wanted):
        expected = unit or "a pure number"
        raise UserError(f'the unit "{given}" is not one of {expected}', file=file, key=name)
    return convert(numbers, given, wanted)


def _data_and_mask(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Bare values of any kind of column, and where they are missing."""
    from astropy.utils.masked import Masked

    if isinstance(column, Masked):
        mask, column = column.mask, column.unmasked
    else:
        mask = np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else False
    values = np.asarray(np.ma.getdata(getattr(column, "value", column)))
    return values, np.broadcast_to(mask, values.shape)


def row_error(table: Table, file: str | Path, name: str, row: int, problem: str) -> UserError:
    """A UserError about one value: the line of a text file, else the row counted from 1."""
    lines = table.meta.get("lines")
    if lines:
        return UserError(problem, file=file, line=lines[row], key=name)
    return UserError(f"row {row + 1} {problem}", file=file, key=name)


@contextmanager
def _as_user_error(file: Path, what: str) -> Iterator[None]:
    """Every failure of a foreign reader as one line about the file; its warnings are checked for by ourselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (UserError, MemoryError):
            raise
        except Exception as error:  # readers raise what they like about hostile bytes
            lines = str(error).strip().splitlines()
            raise UserError(
                f"not a readable {what}: {lines[0] if lines else type(error).__name__}", file=file
            ) from None


def _ecsv(path: Path, data: bytes) -> Table:
    from astropy.table import QTable

    with _as_user_error(path, "ECSV table"):
        table = None
        if len(data) > 2**20:  # the reader of old is slow, and a temporary one; the new one came with astropy 7.2
            try:
                table = QTable.read(io.BytesIO(data), format="ecsv", engine="pyarrow")
            except Exception:  # noqa: S110 - whatever it stumbles over, the other one names
                pass
        if table is None:
            table = QTable.read(data.decode("utf-8").splitlines(), format="ascii.ecsv")
        _check_units(table, path)
        return table


def _fits(path: Path, data: bytes) -> Table:
    from astropy.io import fits
    from astropy.table import QTable

    with _as_user_error(path, "FITS file"), fits.open(io.BytesIO(data), lazy_load_hdus=False) as hdus:
        numbers = [k for k, hdu in enumerate(hdus) if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        if not numbers:
            whole = len(data) % 2880 == 0
            raise UserError("holds no table" if whole else "is truncated before its first table", file=path)
        number = numbers[0]
        header = hdus[number].header
        needed = hdus[number]._data_offset + header["NAXIS1"] * header["NAXIS2"]
        if needed > len(data):
            raise UserError(f"HDU {number} is truncated", file=path)
        check_names(list(hdus[number].columns.names), path)
        for column in hdus[number].columns:
            if column.unit:
                unit_at(column.unit, path, f"HDU {number}: {column.name}")
        table = QTable.read(hdus[number])
        _check_units(table, path)
        for name in table.colnames:
            if table[name].dtype.kind == "S":
                table[name] = np.char.decode(np.asarray(table[name]), "ascii", "replace")
        return table


def _parquet(path: Path, data: bytes) -> Table:
    with _as_user_error(path, "Parquet table"):
        import pyarrow.parquet as pq
        from astropy.table import QTable

        meta = pq.read_metadata(io.BytesIO(data))
        unfolded = sum(meta.row_group(k).total_byte_size for k in range(meta.num_row_groups))
        if meta.num_rows > MAX_ROWS or unfolded > MAX_BYTES:
            raise UserError(f"larger than {MAX_ROWS} rows or {MAX_BYTES // 2**20} MB", file=path)
        schema = pq.read_schema(io.BytesIO(data))
        check_names(schema.names, path)
        table = QTable.read(io.BytesIO(data), format="parquet")
        _check_units(table, path)
        for name in table.colnames:
            text = ((schema.field(name).metadata or {}).get(b"unit") or b"").decode()
            if text and getattr(table[name], "unit", None) is None:
                table[name] = table[name] * unit_at(text, path, name)
        return table


def _check_units(table: Table, path: Path) -> None:
    from astropy.units import UnrecognizedUnit

    for name in table.colnames:
        unit = getattr(table[name], "unit", None)
        if isinstance(unit, UnrecognizedUnit):
            known = unit_at(str(unit), path, name)
            table[name] = np.asarray(table[name]) * known if table[name].dtype.kind in "iuf" else table[name]
