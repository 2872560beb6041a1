"""CSV with or without a row of units: fast where the file is plain, exact about the line where it is not."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.io.units import unit
from twin.schema import UserError

if TYPE_CHECKING:
    from astropy.table import Table

TIMES = ("utc", "iso", "isot")  # what a row of units may say of a column of times
_BLANK = re.compile(r"\A\s*(\n|\Z)|\n[ \t\r]*\n")  # an empty line, which is no row
_DATE = re.compile(r"\d{2,4}[-:/]\d\d")  # the first row of values may hold a time and nothing else
_NAMED_UNIT = re.compile(r"\s*[(\[]([^()\[\]]*)[)\]]\s*$")  # "wind velocity (m/s)"


def is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def unit_at(text: str, file: Path, column: str) -> Any:
    try:
        return unit(text)
    except ValueError as error:
        raise UserError(str(error), file=file, key=column) from None


def check_names(names: Sequence[str], file: Path, line: int | None = None) -> None:
    seen: set[str] = set()
    for name in names:
        if not name.strip():
            raise UserError("a column has no name", file=file, line=line)
        if name in seen:
            raise UserError("the column stands twice", file=file, line=line, key=name)
        seen.add(name)


def read_csv(path: Path, data: bytes, max_rows: int, bare: bool, wrong: str) -> Table:
    """The table of CSV bytes. `meta["lines"]` are the line numbers of its rows.

    bare   a file without a row of units is read too, with `meta["bare"] = True`; units in brackets behind a column's
           name are taken from there, "wind (m/s)"
    wrong  what to say of a file that is no table
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError("not a table: the text is not UTF-8", file=path) from None
    head, lines = _rows(path, text, 2)
    if not head:
        raise UserError("the file is empty", file=path)
    names = head[0]
    check_names(names, path, lines[0])
    if len(head) == 1 and len(names) == 1:
        raise UserError(wrong, file=path)
    without = len(head) == 1 or any(is_number(cell) and cell != "1" or _DATE.match(cell) for cell in head[1])
    if without and (not bare or len(head) == 1):
        line = lines[min(1, len(lines) - 1)]
        raise UserError("the second row must give the units, empty for pure numbers", file=path, line=line)
    skip = 1 if without else 2
    numbers: Sequence[int]
    fast = _fast(text, names, lines[skip - 1], max_rows)
    if fast is not None:
        columns, numbers = fast
    else:
        rows, lines = _rows(path, text, max_rows + skip)
        if len(rows) >= max_rows + skip:
            raise UserError(f"more than {max_rows} rows", file=path)
        for cells, line in zip(rows, lines, strict=True):
            if len(cells) != len(names):
                raise UserError(f"has {len(cells)} cells for {len(names)} columns", file=path, line=line)
        columns = [np.array([row[k] for row in rows[skip:]], dtype=object) for k in range(len(names))]
        numbers = lines[skip:]
    if len(columns[0]) > max_rows:
        raise UserError(f"more than {max_rows} rows", file=path)
    units = [""] * len(names) if without else head[1]
    if without:
        names, units = _units_in_names(names)
    return _table(path, names, units, columns, {"lines": numbers, **({"bare": True} if without else {})})


def _rows(path: Path, text: str, most: int) -> tuple[list[list[str]], list[int]]:
    """Up to `most` rows of stripped cells, with their lines; comments before the names are left out."""
    rows: list[list[str]] = []
    lines: list[int] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if not cells and len(rows) == 1 == len(rows[0]):
                cells = [""]  # the units of a lone pure number
            if not cells or (not rows and cells[0].lstrip().startswith("#")):
                continue
            rows.append([cell.strip() for cell in cells])
            lines.append(reader.line_num)
            if len(rows) >= most:
                break
    except csv.Error as error:
        raise UserError(f"not a readable CSV table: {error}", file=path, line=reader.line_num) from None
    return rows, lines


def _fast(text: str, names: list[str], after: int, most: int) -> tuple[list[np.ndarray], range] | None:
    """Columns of cells by pyarrow, if every line is a row; None where only the slow way can tell."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    start = 0
    for _ in range(after):
        start = text.find("\n", start) + 1
        if start == 0:
            return None
    body = text[start:]
    count = body.count("\n") + (not body.endswith("\n"))
    if count > most or body.count('"') % 2 or _BLANK.search(body):
        return None
    try:
        table = arrow.read_csv(
            pa.py_buffer(body.encode()),
            read_options=arrow.ReadOptions(column_names=[str(k) for k in range(len(names))], use_threads=False),
            parse_options=arrow.ParseOptions(ignore_empty_lines=False, newlines_in_values=True),
            convert_options=arrow.ConvertOptions(
                column_types={str(k): pa.string() for k in range(len(names))}, strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != count:
        return None
    return [_cells(column) for column in table.columns], range(after + 1, after + 1 + count)


def _cells(column: Any) -> np.ndarray:
    """float64 with NaN for empty cells, where all others are numbers; else an object array of stripped text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pc.utf8_trim_whitespace(column)
    empty = pc.equal(column, "")
    if not pc.all(empty).as_py():
        try:
            numbers = pc.cast(pc.if_else(empty, pa.scalar(None, pa.string()), column), pa.float64())
            return np.ma.array(
                numbers.fill_null(np.nan).to_numpy(), mask=empty.to_numpy() if pc.any(empty).as_py() else np.ma.nomask
            )
        except pa.ArrowInvalid:
            pass
    return np.asarray(column.to_numpy(), dtype=object)


def _units_in_names(names: list[str]) -> tuple[list[str], list[str]]:
    """Names without the units in brackets behind them, as far as they are units and the names stay different."""
    bare, units = [], []
    for name in names:
        match = _NAMED_UNIT.search(name)
        try:
            known = match is not None and bool(unit(match[1]) is not None)
        except ValueError:
            known = False
        bare.append(name[: match.start()] if match and known else name)
        units.append(match[1] if match and known else "")
    return (bare, units) if len(set(bare)) == len(bare) else (names, [""] * len(names))


def _table(path: Path, names: list[str], units: list[str], columns: list[np.ndarray], meta: dict[str, Any]) -> Table:
    from astropy.table import QTable
    from astropy.utils.masked import Masked

    table = QTable(meta=meta)
    for name, text, cells in zip(names, units, columns, strict=True):
        if cells.dtype == object:
            filled = [cell for cell in cells if cell]
            if filled and all(map(is_number, filled)):
                cells = np.ma.array(
                    [float(cell) if cell else np.nan for cell in cells], mask=[not cell for cell in cells]
                )
        if cells.dtype != object:
            values, mask = np.ma.getdata(cells), np.ma.getmaskarray(cells)
            quantity = values if text in ("", "1") else values * unit_at(text, path, name)
            table[name] = Masked(quantity, mask=mask) if mask.any() else quantity
        else:
            table[name] = cells if len(cells) > 10_000 else cells.astype(str)
            if text and text.lower() not in TIMES:
                table[name].unit = unit_at(text, path, name)
    return table
