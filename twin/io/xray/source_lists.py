"""Lists of X-ray sources of the literature: X-ray binaries as HEASARC hands them out, and Swift-BAT's survey."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twin.io.tables import number_column, read_bytes, read_table
from twin.schema import UserError, suggest

_FLUX = (("flux_limit", "flux", "flux_max"), ("fx_limit", "fx", "fx_max"))  # of low-mass, and of high-mass binaries
_BELOW = ("<", "&lt;")


@dataclass(frozen=True)
class SourceList:
    """Sources with fluxes or without.

    name       (n,) as the list has them
    ra, dec    (n,) [deg], J2000
    low, high  (n,) mean flux density over 2-10 keV [uJy], the range where the list has one; NaN where it has none
    transient  (n,) only now and then as bright: of type T, or with an upper limit at other times
    left_out   rows that said nothing of their flux, in words; empty where there were none
    """

    name: tuple[str, ...]
    ra: np.ndarray
    dec: np.ndarray
    low: np.ndarray
    high: np.ndarray
    transient: np.ndarray
    left_out: str = ""


def read_binaries(path: str | Path) -> SourceList:
    """Read a catalogue of X-ray binaries (Liu+ 2006, A&A 455, 1165; 2007, A&A 469, 807) as HEASARC's tables lmxbcat and
    hmxbcat are saved as text: cells between "|" or tabs below a line of names, of which it needs name, ra, dec and the
    flux (flux or fx, [uJy], 2-10 keV).

    Rows without a flux, or with a negative one, are left out and told. Raises UserError with file, line and column.
    """
    path = Path(path)
    lines = read_bytes(path).decode("utf-8", "replace").splitlines()
    first, mark, header = _header(lines, path)
    limit, flux, most = next((f for f in _FLUX if f[1] in header), _FLUX[0])
    for needed in ("ra", "dec", flux):
        if needed not in header:
            raise UserError("is missing among the columns", file=path, key=needed, suggestion=suggest(needed, header))
    found: list[tuple[str, float, float, float, float, bool]] = []
    without = []
    for number, line in enumerate(lines[first + 1 :], first + 2):
        if not line.strip():
            continue
        cells = dict(zip(header, (cell.strip() for cell in line.split(mark)), strict=False))
        if len(line.split(mark)) != len(header):
            raise UserError(f"has {len(line.split(mark))} cells for {len(header)} columns", file=path, line=number)
        ra, dec = (_angle(cells[key], key, path, number) for key in ("ra", "dec"))
        low, high = (_flux(cells.get(key, ""), key, path, number) for key in (flux, most))
        low, high = (high if math.isnan(low) else low), (low if math.isnan(high) else high)
        if not low > 0:
            without.append(cells["name"])
            continue
        faint = cells.get(limit, "") in _BELOW or "T" in cells.get("xray_type", "").replace("?", "").split(", ")
        found.append((cells["name"], ra, dec, min(low, high), max(low, high), faint))
    if not found:
        raise UserError("holds no source with a position and a flux", file=path)
    ra_of, dec_of, lowest, highest, now = np.array([row[1:] for row in found], float).T
    told = f"{len(without)} sources have no flux: {', '.join(without[:3])}" + (", ..." if without[3:] else "")
    names = tuple(row[0] for row in found)
    return SourceList(names, ra_of, dec_of, lowest, highest, now > 0, told if without else "")


def read_bat(path: str | Path) -> SourceList:
    """Read a list of Swift-BAT's survey: NAME, RA_OBJ, DEC_OBJ in the first table of a FITS file. It has no fluxes.

    Raises UserError with file and column.
    """
    table = read_table(path)
    for needed in ("NAME", "RA_OBJ", "DEC_OBJ"):
        if needed not in table.colnames:
            raise UserError("is missing among the columns", file=path, key=needed,
                            suggestion=suggest(needed, table.colnames))  # fmt: skip
    ra, dec = (number_column(table, key, "deg", path) for key in ("RA_OBJ", "DEC_OBJ"))
    for key, values, low, high in (("RA_OBJ", ra, 0, 360), ("DEC_OBJ", dec, -90, 90)):
        for row in np.flatnonzero((values < low) | (values > high))[:1]:
            raise UserError(f"row {row + 1} has {values[row]:g}, outside {low} to {high}", file=path, key=key)
    names = tuple(str(name).strip() for name in table["NAME"])
    nothing = np.full(len(ra), np.nan)
    return SourceList(names, ra, dec, nothing, nothing, np.zeros(len(ra), bool))


def _header(lines: list[str], path: Path) -> tuple[int, str, list[str]]:
    """Number of the line of names (from 0), what divides its cells, the names."""
    for number, line in enumerate(lines[:50]):
        for mark in ("|", "\t"):
            names = [cell.strip().lower() for cell in line.split(mark)]
            if "name" in names:
                return number, mark, names
    raise UserError('no list of sources: none of its first lines names a column "name" between "|" or tabs', file=path)


def _angle(text: str, key: str, path: Path, line: int) -> float:
    """[deg] of "16 03 54.00" (hours where it is a right ascension) or of one number of degrees."""
    parts = text.replace(":", " ").split()
    try:
        numbers = [abs(float(part)) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3) or (len(numbers) == 3 and max(numbers[1:]) >= 60):
        raise UserError(f'no angle: "{text}"', file=path, line=line, key=key)
    value = numbers[0] if len(numbers) == 1 else numbers[0] + numbers[1] / 60 + numbers[2] / 3600
    value *= (15.0 if key == "ra" and len(numbers) == 3 else 1.0) * (-1 if text.startswith("-") else 1)
    low, high = (0, 360) if key == "ra" else (-90, 90)
    if not low <= value <= high:
        raise UserError(f"is {value:g} deg, outside {low} to {high}", file=path, line=line, key=key)
    return value


def _flux(text: str, key: str, path: Path, line: int) -> float:
    """[uJy]; NaN for an empty cell or a negative number, which stands for none."""
    try:
        value = float(text) if text else math.nan
    except ValueError:
        raise UserError(f'needs a number, not "{text}"', file=path, line=line, key=key) from None
    if math.isinf(value):
        raise UserError("is infinite", file=path, line=line, key=key)
    return value if value > 0 else math.nan
