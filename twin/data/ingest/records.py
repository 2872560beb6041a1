"""What a reader returns, and careful reading of the files that readers meet."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from twin.io.layout import DatasetSpec
from twin.schema import UserError, suggest


@dataclass(frozen=True)
class Records:
    """Real objects in the layout of a dataset.

    arrays     every array of `spec`, first axis the object
    catalogue  column -> one value an object (None where unknown): names, positions, catalogue values
    sha256     hash of all source files
    notes      what the reader did that a user should know
    """

    spec: DatasetSpec
    arrays: dict[str, np.ndarray]
    catalogue: dict[str, list[Any]]
    sha256: str
    notes: list[str] = field(default_factory=list)

    @property
    def n(self) -> int:
        return len(self.arrays["frame"])


def load_any(path: Path) -> dict[str, np.ndarray]:
    """Every array of an npz file; never unpickles. Raises UserError for a missing, truncated or damaged file."""
    if not path.is_file():
        raise UserError("no such file", file=path)
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise UserError(f"cannot be read as npz ({error})", file=path) from error


def load_npz(path: Path, wanted: Mapping[str, tuple[tuple[int, ...], str]]) -> dict[str, np.ndarray]:
    """Arrays of an npz file, each checked against (shape, dtype); never unpickles.

    Raises UserError for a missing, truncated or damaged file, a missing array, another shape or dtype.
    """
    held = load_any(path)
    for name, (shape, dtype) in wanted.items():
        if name not in held:
            raise UserError(f"has no array {name}, only {', '.join(held)}", file=path)
        if held[name].shape != shape or held[name].dtype != np.dtype(dtype):
            raise UserError(f"is {held[name].dtype} {held[name].shape}, expected {dtype} {shape}", file=path, key=name)
    return {name: held[name] for name in wanted}


def read_fits(path: Path) -> list[tuple[np.ndarray | None, dict[str, Any]]]:
    """(data, header) of every HDU of a FITS file, gzipped or not, in order: images as arrays, tables as records.

    Raises UserError for a file that is missing, truncated or no FITS.
    """
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyUserWarning

    if not path.is_file():
        raise UserError("no such file", file=path)
    try:
        raw = path.read_bytes()
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)  # astropy reads a truncated one as far as it goes and says nothing
        with warnings.catch_warnings():
            warnings.simplefilter("error", AstropyUserWarning)  # truncation is a warning there
            with fits.open(io.BytesIO(raw), memmap=False) as hdus:
                return [(None if h.data is None else _native(h.data), dict(h.header)) for h in hdus]
    except (OSError, EOFError, ValueError, TypeError, zlib.error, AstropyUserWarning) as error:
        raise UserError(f"cannot be read as FITS ({error})", file=path) from error


def _native(data: Any) -> np.ndarray:
    values = np.asarray(data)
    return values if values.dtype.names else values.astype(values.dtype.newbyteorder("="))


class Table:
    """A CSV file with a header line; cells are checked where they are asked for."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        """Raises UserError for a missing file, missing columns and lines of another length."""
        self.path = path
        if not path.is_file():
            raise UserError("no such file", file=path)
        try:
            with open(path, encoding="utf-8", newline="") as file:
                lines = list(csv.reader(file, strict=True))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"cannot be read as CSV ({error})", file=path) from error
        if not lines:
            raise UserError("is empty", file=path)
        header, self._rows = lines[0], lines[1:]
        for name in columns:
            if name not in header:
                raise UserError("no such column", file=path, line=1, key=name, suggestion=suggest(name, header))
        for number, row in enumerate(self._rows, start=2):
            if len(row) != len(header):
                raise UserError(f"{len(row)} cells, the header has {len(header)}", file=path, line=number)
        self._at = {name: i for i, name in enumerate(header)}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: str) -> bool:
        return name in self._at

    def text(self, name: str) -> list[str]:
        return [row[self._at[name]] for row in self._rows]

    def numbers(self, name: str) -> np.ndarray:
        """A column as float64, NaN where the cell is empty. Raises UserError for a cell that is no number."""
        return np.array([self._number(i, name) for i in range(len(self))], dtype=np.float64)

    def _number(self, row: int, name: str) -> float:
        cell = self._rows[row][self._at[name]].strip()
        if not cell:
            return math.nan
        try:
            value = float(cell)
        except ValueError:
            value = math.inf
        if not math.isfinite(value):
            raise UserError(f'"{cell}" is no finite number', file=self.path, line=row + 2, key=name)
        return value


def hash_files(paths: Sequence[Path]) -> str:
    """SHA-256 over the names and bytes of files, in the given order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
