"""Tables with units from ECSV, CSV with a row of units, FITS and Parquet; what is wrong with one fits one line."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.schema import UserError

if TYPE_CHECKING:
    from astropy.table import Table

MAX_BYTES = 2**29  # of a file, and of what a compressed one unfolds to
MAX_ROWS = 20_000_000


def read_table(path: str | Path) -> Table:
    """A table as an astropy QTable, whatever its format; the content decides, not the name.

    Text columns stay text; columns keep their units, none where the file gives none. CSV has a row of names, then a row
    of units (empty for pure numbers and text); there `meta["lines"]` are the line numbers of the rows.
    Raises UserError, naming file and column or HDU, for a file that is missing, empty, truncated, too large or no
    table, for unknown units, and for column names that stand twice.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(4096)
        size = path.stat().st_size
    except FileNotFoundError:
        raise UserError("no such file", file=path) from None
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", file=path) from None
    if not head:
        raise UserError("the file is empty", file=path)
    if size > MAX_BYTES:
        raise UserError(f"larger than {MAX_BYTES // 2**20} MB", file=path)
    if head.startswith(b"SIMPLE"):
        table = _fits(path)
    elif head.startswith(b"PAR1"):
        table = _parquet(path)
    elif head.startswith(b"# %ECSV"):
        table = _ecsv(path)
    elif b"\0" in head:
        raise UserError("not a table: expected ECSV, CSV with a row of units, FITS or Parquet", file=path)
    else:
        table = _csv(path)
    if len(table) == 0:
        raise UserError("the table has no rows", file=path)
    return table


def number_column(table: Table, name: str, unit: str, file: str | Path) -> np.ndarray:
    """Column `name` as finite float64 in `unit` (astropy's spelling, "" for pure numbers).

    Raises UserError that names the row (counted from 1, or the line of a text file) of a missing or non-numeric value,
    and for a unit that is missing or of another kind.
    """
    from astropy import units as u

    column = table[name]
    values, masked = _data_and_mask(column)
    if np.ndim(values) != 1:
        raise UserError(f"needs one number a row, has {values.shape[1:]}", file=file, key=name)
    if values.dtype.kind in "OSU":
        for row, value in enumerate(values):
            if masked[row] or not str(value).strip():
                raise row_error(table, file, name, row, "has no value")
            if not _is_number(value):
                raise row_error(table, file, name, row, f'needs a number, not "{value}"')
    elif values.dtype.kind not in "iufb":
        raise UserError("holds no numbers", file=file, key=name)
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise UserError("holds no numbers", file=file, key=name) from None
    for row in np.flatnonzero(masked | ~np.isfinite(numbers))[:1]:
        empty = masked[row] or np.isnan(numbers[row])
        raise row_error(table, file, name, int(row), "has no value" if empty else "is infinite")
    given, wanted = getattr(column, "unit", None), u.Unit(unit)
    if given is None:
        if wanted != u.dimensionless_unscaled:
            raise UserError(f"has no unit: expected {unit}", file=file, key=name)
        return numbers
    if not given.is_equivalent(wanted):
        expected = unit or "a pure number"
        raise UserError(f'the unit "{given}" is not one of {expected}', file=file, key=name)
    return (numbers * given).to_value(wanted)


def _data_and_mask(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Bare values of any kind of column, and where they are missing."""
    from astropy.utils.masked import Masked

    if isinstance(column, Masked):
        mask, column = column.mask, column.unmasked
    else:
        mask = np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else False
    values = np.asarray(np.ma.getdata(getattr(column, "value", column)))
    return values, np.broadcast_to(mask, values.shape)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


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


def _unit(text: str, file: Path, column: str) -> Any:
    from astropy import units as u

    for spelling in (text, text.replace("px", "pix")):
        try:
            return u.Unit(spelling)
        except (ValueError, TypeError):
            continue
    raise UserError(f'unknown unit "{text}"', file=file, key=column)


def _check_names(names: list[str], file: Path, line: int | None = None) -> None:
    seen: set[str] = set()
    for name in names:
        if not name.strip():
            raise UserError("a column has no name", file=file, line=line)
        if name in seen:
            raise UserError("the column stands twice", file=file, line=line, key=name)
        seen.add(name)


def _csv(path: Path) -> Table:
    from astropy.table import QTable
    from astropy.utils.masked import Masked

    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            for cells in reader:
                if not cells and len(rows) == 1 == len(rows[0]):
                    cells = [""]  # the units of a lone pure number
                if not cells or (not rows and cells[0].lstrip().startswith("#")):
                    continue
                rows.append([cell.strip() for cell in cells])
                lines.append(reader.line_num)
                if len(rows) > MAX_ROWS:
                    raise UserError(f"more than {MAX_ROWS} rows", file=path)
    except UnicodeDecodeError:
        raise UserError("not a table: the text is not UTF-8", file=path) from None
    except csv.Error as error:
        raise UserError(f"not a readable CSV table: {error}", file=path, line=reader.line_num) from None
    if not rows:
        raise UserError("the file is empty", file=path)
    names = rows[0]
    _check_names(names, path, lines[0])
    for cells, line in zip(rows, lines, strict=True):
        if len(cells) != len(names):
            raise UserError(f"has {len(cells)} cells for {len(names)} columns", file=path, line=line)
    if len(rows) == 1 and len(names) == 1:
        raise UserError("not a table: expected ECSV, CSV with a row of units, FITS or Parquet", file=path)
    if len(rows) == 1 or any(_is_number(cell) and cell != "1" for cell in rows[1]):
        line = lines[min(1, len(rows) - 1)]
        raise UserError("the second row must give the units, empty for pure numbers", file=path, line=line)
    table = QTable(meta={"lines": lines[2:]})
    for index, (name, unit) in enumerate(zip(names, rows[1], strict=True)):
        cells = [row[index] for row in rows[2:]]
        filled = [cell for cell in cells if cell]
        if filled and all(map(_is_number, filled)):
            values = np.array([float(cell) if cell else np.nan for cell in cells])
            mask = np.array([not cell for cell in cells])
            quantity = values if unit in ("", "1") else values * _unit(unit, path, name)
            table[name] = Masked(quantity, mask=mask) if mask.any() else quantity
        else:
            table[name] = cells
            if unit and unit.lower() not in ("utc", "iso", "isot"):
                table[name].unit = _unit(unit, path, name)
    return table


def _ecsv(path: Path) -> Table:
    from astropy.table import QTable

    with _as_user_error(path, "ECSV table"):
        table = QTable.read(path, format="ascii.ecsv")
        _check_units(table, path)
        return table


def _fits(path: Path) -> Table:
    from astropy.io import fits
    from astropy.table import QTable

    with _as_user_error(path, "FITS file"), fits.open(path, memmap=False, lazy_load_hdus=False) as hdus:
        numbers = [k for k, hdu in enumerate(hdus) if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        if not numbers:
            whole = path.stat().st_size % 2880 == 0
            raise UserError("holds no table" if whole else "is truncated before its first table", file=path)
        number = numbers[0]
        header = hdus[number].header
        needed = hdus[number]._data_offset + header["NAXIS1"] * header["NAXIS2"]
        if needed > path.stat().st_size:
            raise UserError(f"HDU {number} is truncated", file=path)
        _check_names(list(hdus[number].columns.names), path)
        for column in hdus[number].columns:
            if column.unit:
                _unit(column.unit, path, f"HDU {number}: {column.name}")
        table = QTable.read(hdus[number])
        for name in table.colnames:
            if table[name].dtype.kind == "S":
                table[name] = np.char.decode(np.asarray(table[name]), "ascii", "replace")
        return table


def _parquet(path: Path) -> Table:
    with _as_user_error(path, "Parquet table"):
        import pyarrow.parquet as pq
        from astropy.table import QTable

        meta = pq.read_metadata(path)
        unfolded = sum(meta.row_group(k).total_byte_size for k in range(meta.num_row_groups))
        if meta.num_rows > MAX_ROWS or unfolded > MAX_BYTES:
            raise UserError(f"larger than {MAX_ROWS} rows or {MAX_BYTES // 2**20} MB", file=path)
        schema = pq.read_schema(path)
        _check_names(schema.names, path)
        table = QTable.read(path, format="parquet")
        _check_units(table, path)
        for name in table.colnames:
            text = ((schema.field(name).metadata or {}).get(b"unit") or b"").decode()
            if text and getattr(table[name], "unit", None) is None:
                unit = _unit(text, path, name)
                table[name] = table[name] * unit
        return table


def _check_units(table: Table, path: Path) -> None:
    from astropy.units import UnrecognizedUnit

    for name in table.colnames:
        unit = getattr(table[name], "unit", None)
        if isinstance(unit, UnrecognizedUnit):
            raise UserError(f'unknown unit "{unit}"', file=path, key=name)
