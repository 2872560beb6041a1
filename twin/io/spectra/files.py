"""A FITS file in memory: headers parsed once, images and table columns as arrays, cards as text and numbers.

A tenth of what astropy takes for it, which tells where files are read by the million.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from twin.io.tables import read_bytes
from twin.io.xray.hdus import Hdu, walk_stream
from twin.schema import UserError, suggest

_ITEMS = {"L": "u1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "C": ">c8", "M": ">c16"}
_PIXELS = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_FORM = re.compile(r"\s*(\d*)([LXBIJKAEDCMPQ])")
MISSING = -9990.0  # LAMOST writes -9999 for a number that there is not


@dataclass(frozen=True)
class FitsFile:
    """path for messages; data, all bytes of the (unfolded) file; hdus, where what is."""

    path: Path
    data: bytes
    hdus: list[Hdu]

    @property
    def header(self) -> dict[str, object]:
        """Of the primary HDU."""
        return self.hdus[0].header

    def image(self, hdu: Hdu) -> np.ndarray:
        """float64 pixels of an image, BSCALE and BZERO applied, last axis NAXIS1. Raises UserError where it is none."""
        kind = _PIXELS.get(int(number(hdu.header, "BITPIX", 0)))
        shape = [int(number(hdu.header, f"NAXIS{n}", 0)) for n in range(int(number(hdu.header, "NAXIS", 0)), 0, -1)]
        if kind is None or not shape or math.prod(shape) * np.dtype(kind).itemsize != hdu.size:
            raise UserError("is no image", file=self.path, key=hdu.place)
        values = np.frombuffer(self.data, kind, math.prod(shape), hdu.start).reshape(shape).astype(np.float64)
        scale, zero = number(hdu.header, "BSCALE", 1.0), number(hdu.header, "BZERO", 0.0)
        return values if (scale, zero) == (1.0, 0.0) else values * scale + zero

    def table(self, hdu: Hdu) -> Table:
        return Table(self, hdu)


@dataclass(frozen=True)
class Table:
    """A binary table; a column is read when it is asked for."""

    file: FitsFile
    hdu: Hdu

    @cached_property
    def columns(self) -> dict[str, int]:
        """Upper-case names and their numbers, from 1."""
        return self.hdu.columns()

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    @cached_property
    def rows(self) -> np.ndarray:
        """All rows as records; columns are called by their numbers. Raises UserError for a format FITS has not."""
        names, forms, offsets, width = [], [], [], 0
        for n in range(1, int(number(self.hdu.header, "TFIELDS", 0)) + 1):
            match = _FORM.match(str(self.hdu.header.get(f"TFORM{n}", "")))
            if match is None:
                raise UserError(f"TFORM{n} is missing or wrong", file=self.file.path, key=self.hdu.place)
            many, kind = int(match[1] or 1), match[2]
            if kind in _ITEMS and many:
                names.append(str(n))
                forms.append(f"({many},){_ITEMS[kind]}" if many > 1 else _ITEMS[kind])
                offsets.append(width)
            elif kind == "A" and many:
                names.append(str(n))
                forms.append(f"S{many}")
                offsets.append(width)
            item = np.dtype(_ITEMS[kind]).itemsize if kind in _ITEMS else 0
            width += {"X": -(-many // 8), "A": many, "P": 8 * many, "Q": 16 * many}.get(kind, item * many)
        if width != number(self.hdu.header, "NAXIS1", 0) or width == 0:
            raise UserError(
                f"its columns take {width} bytes a row, not NAXIS1", file=self.file.path, key=self.hdu.place
            )
        dtype = np.dtype({"names": names, "formats": forms, "offsets": offsets, "itemsize": width})
        return np.frombuffer(self.file.data, dtype, self.hdu.rows, self.hdu.start)

    def numbers(self, name: str) -> np.ndarray:
        """A column as the numbers that it holds, (row,) or (row, item), TSCAL and TZERO applied."""
        found = self._column(name)
        if found.dtype.kind not in "iuf":
            raise UserError(f"column {name} holds no numbers", file=self.file.path, key=self.hdu.place)
        n = self.columns[name]
        scale, zero = number(self.hdu.header, f"TSCAL{n}", 1.0), number(self.hdu.header, f"TZERO{n}", 0.0)
        native = found.astype(found.dtype.newbyteorder("="))
        return native if (scale, zero) == (1.0, 0.0) else native * scale + zero

    def line(self, name: str) -> np.ndarray:
        """A column as one line of numbers: a number a row, or one row that holds them all."""
        found = self.numbers(name)
        if found.ndim == 2 and len(found) != 1:
            raise UserError(
                f"column {name} is {found.shape[0]} rows of {found.shape[1]} numbers: one spectrum is expected",
                file=self.file.path,
                key=self.hdu.place,
            )
        return found.reshape(-1)

    def value(self, name: str) -> object:
        """The first row's cell of a column, text or a number; None where there is no such column."""
        if name not in self.columns or not len(self.rows):
            return None
        cell = self._column(name)[0]
        if isinstance(cell, bytes):
            return cell.decode("ascii", "replace").strip()
        return cell.item() if np.ndim(cell) == 0 else cell

    def unit(self, name: str) -> str:
        return text(self.hdu.header, f"TUNIT{self.columns[name]}")

    def _column(self, name: str) -> np.ndarray:
        if name not in self.columns:
            raise UserError(
                f"has no column {name}", file=self.file.path, key=self.hdu.place, suggestion=suggest(name, self.columns)
            )
        at = str(self.columns[name])
        if at not in (self.rows.dtype.names or ()):
            raise UserError(f"column {name} has a format that is not read", file=self.file.path, key=self.hdu.place)
        return self.rows[at]


def open_fits(path: str | Path) -> FitsFile:
    """A file, gzipped or not, whole in memory. Raises UserError where it is missing, empty, truncated or no FITS."""
    path = Path(path)
    data = read_bytes(path)
    return FitsFile(path, data, walk_stream(io.BytesIO(data), path))


def text(header: dict[str, object], *keys: str) -> str:
    """The first of these cards that holds anything, as text; "" where none does."""
    for key in keys:
        value = header.get(key)
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        if value is not None and str(value).strip():
            return str(value).strip()
    return ""


def number(header: dict[str, object], key: str, default: float = math.nan) -> float:
    """A card as a finite number, quoted or not; `default` where it is missing or none."""
    value = header.get(key)
    try:
        found = float(value) if isinstance(value, float | int | str) else math.nan
    except ValueError:
        return default
    return found if math.isfinite(found) else default


def measured(header: dict[str, object], *keys: str) -> float:
    """The first of these cards that is a number and not -9999; NaN where none is."""
    found = (number(header, key) for key in keys)
    return next((value for value in found if value > MISSING), math.nan)


def whole(header: dict[str, object], *keys: str) -> int:
    """The first of these cards that is a number, as an integer; -1 where none is."""
    found = measured(header, *keys)
    return int(found) if math.isfinite(found) else -1


def is_true(header: dict[str, object], key: str) -> bool:
    return header.get(key) is True or text(header, key).upper() in ("T", "TRUE", "1")


def place_of(hdus: Sequence[Hdu]) -> str:
    """What a file holds, for a message: shapes of images, columns of tables."""
    words = []
    for hdu in hdus[:6]:
        if columns := list(hdu.columns()):
            words.append(f"{hdu.place}: table of {', '.join(columns[:6])}{', ...' if len(columns) > 6 else ''}")
        elif hdu.size:
            axes = [int(number(hdu.header, f"NAXIS{n + 1}", 0)) for n in range(int(number(hdu.header, "NAXIS", 0)))]
            words.append(f"{hdu.place}: image {'x'.join(map(str, axes))}")
    return "; ".join(words) or "no data at all"
