"""The HDUs of a FITS file and the rows of its binary tables, read piece by piece from a file, gzipped or not."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from twin.io.headers import BLOCK, parse_cards, read_header_cards
from twin.io.tables import plain_read_errors
from twin.schema import UserError, suggest

MAX_HDUS = 10_000
_TYPES = {"L": "u1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "C": ">c8", "M": ">c16"}
_FORM = re.compile(r"(\d*)([LXBIJKAEDCMPQ])")


@dataclass(frozen=True)
class Hdu:
    """A header, and where its data lie: `start` and `size` in bytes of the unfolded file."""

    index: int
    name: str
    header: dict[str, object]
    start: int
    size: int

    @property
    def place(self) -> str:
        """How a message names it."""
        return f"HDU {self.index} ({self.name or 'no name'})"

    @property
    def rows(self) -> int:
        return _whole(self.header.get("NAXIS2"))

    def columns(self) -> dict[str, int]:
        """Upper-case names of a table's columns and their numbers, from 1."""
        count = _whole(self.header.get("TFIELDS"))
        return {str(self.header.get(f"TTYPE{n}", f"COL{n}")).upper(): n for n in range(count, 0, -1)}


@contextmanager
def open_stream(path: str | Path) -> Iterator[BinaryIO]:
    """A file's bytes, unfolded where it is gzipped; what goes wrong while reading is one line about it."""
    path = Path(path)
    if not path.is_file():
        here = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError("no such file", file=path, suggestion=suggest(path.name, here))
    with plain_read_errors(path), path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        yield gzip.GzipFile(fileobj=raw) if zipped else raw  # type: ignore[misc]


def walk(path: str | Path) -> list[Hdu]:
    """All HDUs of a file. Raises UserError, naming file and HDU, where it is empty, truncated or no FITS file."""
    path = Path(path)
    with open_stream(path) as stream:
        return walk_stream(stream, path)


def walk_stream(stream: BinaryIO, path: Path) -> list[Hdu]:
    """`walk` of a file that is open, or of its bytes in memory; `path` is for the messages."""
    found: list[Hdu] = []
    length = _length(stream)
    stream.seek(0)
    at = 0
    while len(found) < MAX_HDUS:
        start = stream.read(80)
        first = b"SIMPLE" if not found else b"XTENSION"
        if not start.startswith(first):
            if found:  # what follows the last HDU is not of the standard's concern
                return found
            raise UserError("is no FITS file" if start else "the file is empty", file=path)
        header_bytes = _Counted(stream, at + len(start))
        cards = parse_cards(read_header_cards(path, header_bytes, start, f"the header of HDU {len(found)}"))
        header = {key: value for key, (value, _) in cards.items()}
        hdu = _hdu(len(found), header, header_bytes.at)
        if hdu.start + hdu.size > length:
            raise UserError(
                f"is truncated: {max(length - hdu.start, 0)} of {hdu.size} bytes of data",
                file=path,
                key=hdu.place,
            )
        found.append(hdu)
        at = hdu.start + -(-hdu.size // BLOCK) * BLOCK
        stream.seek(min(at, length))
    raise UserError(f"has more than {MAX_HDUS} HDUs", file=path)


class _Counted:
    """A stream that knows how far it was read."""

    def __init__(self, stream: BinaryIO, at: int) -> None:
        self.stream, self.at = stream, at

    def read(self, count: int) -> bytes:
        data = self.stream.read(count)
        self.at += len(data)
        return data


def _length(stream: BinaryIO) -> int:
    if not isinstance(stream, gzip.GzipFile):
        return stream.seek(0, 2)
    while stream.read(1 << 20):  # a gzip file does not know its length, and may end early
        pass
    return stream.tell()


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else 0


def _hdu(index: int, header: dict[str, object], start: int) -> Hdu:
    axes = [_whole(header.get(f"NAXIS{n + 1}")) for n in range(_whole(header.get("NAXIS")))]
    bits = header.get("BITPIX")
    item = abs(int(bits)) // 8 if isinstance(bits, int | float) else 1
    groups = max(_whole(header.get("GCOUNT")), 1)
    size = item * groups * (_whole(header.get("PCOUNT")) + int(np.prod(axes, dtype=object))) if axes else 0
    return Hdu(index, str(header.get("EXTNAME", "PRIMARY" if index == 0 else "")), header, start, size)


def row_type(hdu: Hdu, names: list[str], path: Path) -> np.dtype:
    """The dtype of a table's rows that picks the columns `names`, big-endian. Raises UserError for strange ones."""
    columns = hdu.columns()
    picked: dict[str, tuple[str, int]] = {}
    offset = 0
    for n in range(1, len(columns) + 1):
        form = str(hdu.header.get(f"TFORM{n}", ""))
        match = _FORM.match(form)
        if match is None:
            raise UserError(f"TFORM{n} is {form!r}, which FITS does not know", file=path, key=hdu.place)
        repeat, kind = int(match[1] or 1), match[2]
        width = {"X": -(-repeat // 8), "A": repeat, "P": 8 * repeat, "Q": 16 * repeat}.get(kind)
        width = repeat * np.dtype(_TYPES[kind]).itemsize if width is None else width
        name = next((name for name in names if columns.get(name) == n), None)
        if name is not None:
            if kind not in "BIJKED" or repeat != 1:
                raise UserError(f"{name} has the format {form}: a number a row is needed", file=path, key=hdu.place)
            picked[name] = (_TYPES[kind], offset)
        offset += width
    width = _whole(hdu.header.get("NAXIS1"))
    if offset != width:
        raise UserError(f"its columns take {offset} bytes a row, NAXIS1 says {width}", file=path, key=hdu.place)
    names_, forms, offsets = list(picked), [f for f, _ in picked.values()], [o for _, o in picked.values()]
    return np.dtype({"names": names_, "formats": forms, "offsets": offsets, "itemsize": width})


def table_rows(
    stream: BinaryIO, hdu: Hdu, names: list[str], path: Path, at_once: int
) -> Iterator[dict[str, np.ndarray]]:
    """Columns of `at_once` rows after another, in the machine's byte order; TSCALn and TZEROn applied."""
    kind, columns = row_type(hdu, names, path), hdu.columns()
    stream.seek(hdu.start)
    left = hdu.rows
    while left > 0:
        count = min(at_once, left)
        data = stream.read(count * kind.itemsize)
        if len(data) < count * kind.itemsize:
            raise UserError(f"is truncated {left} rows before its end", file=path, key=hdu.place)
        table = np.frombuffer(data, kind)
        chunk = {}
        for name in names:
            values = table[name].astype(kind[name].newbyteorder("="))
            scale, zero = (hdu.header.get(f"{key}{columns[name]}", d) for key, d in (("TSCAL", 1.0), ("TZERO", 0.0)))
            if scale != 1.0 or zero != 0.0:
                values = values * float(scale) + float(zero)  # type: ignore[arg-type]
            chunk[name] = values
        yield chunk
        left -= count
