"""What is wrong with a telemetry file, or odd: one record each, with the place and the plain words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from astropy.table import Table


@dataclass(frozen=True)
class Finding:
    """One problem of a telemetry file.

    kind     "gap", "order", "duplicate", "zone", "local time", "clock", "text", "sentinel", "range", "unit", "stuck",
             "spike", "mixed", "pressure", "pointing"
    column   where it stands in the file, "" for the whole file
    channel  canonical channel, "" for times and the whole file
    text     what is wrong, with the first place and the number of rows
    rows     which rows
    effect   "missing" (these values count as missing), "channel" (the whole channel does), "" (named only)
    """

    kind: str
    column: str
    channel: str
    text: str
    rows: tuple[int, ...]
    effect: str = ""

    def __str__(self) -> str:
        return f"{self.column}: {self.text}" if self.column else self.text


Place = Callable[[int], str]


def placer(table: Table) -> Place:
    """How a row is called: the file of a folder, the line of a text file, else its number from 1."""
    files: Sequence[str] | None = table.meta.get("files")
    lines: Sequence[int] | None = table.meta.get("lines")
    if files is not None:
        return lambda row: files[row]
    if lines is not None:
        return lambda row: f"line {lines[row]}"
    return lambda row: f"row {row + 1}"


def where(rows: np.ndarray, place: Place) -> str:
    """ "line 7" of one row, "12 rows, first line 7" of more."""
    first = place(int(rows[0]))
    return first if len(rows) == 1 else f"{len(rows)} rows, first {first}"


def finding(kind: str, column: str, channel: str, text: str, rows: np.ndarray, effect: str = "") -> Finding:
    return Finding(kind, column, channel, text, tuple(int(row) for row in rows[:1000]), effect)
