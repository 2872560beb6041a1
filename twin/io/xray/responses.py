"""Effective areas (ARF) and redistribution matrices (RMF): OGIP memos CAL/GEN/92-002 and 92-002a, read and written.

The expected counts of channel c are  exposure * sum_i  f_i A_i R_ic,  f_i the photons/cm2/s of energy bin i.
"""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr

from twin.io.atomic import atomic_path
from twin.io.xray.hdus import walk
from twin.schema import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arf:
    """Effective area [cm2] (n,) in energy bins from `low` to `high` (n,) [keV]."""

    low: np.ndarray
    high: np.ndarray
    area: np.ndarray

    def at(self, energy: np.ndarray) -> np.ndarray:
        """Area [cm2] at energies [keV], straight between bin centres, zero outside the bins."""
        energy = np.asarray(energy, float)
        inside = (energy >= self.low[0]) & (energy <= self.high[-1])
        return np.where(inside, np.interp(energy, 0.5 * (self.low + self.high), self.area), 0.0)


@dataclass(frozen=True)
class Rmf:
    """Probability (energy, channel) that a photon of bin `low` to `high` [keV] lands in a channel.

    first  number of the first channel;  e_min, e_max  nominal bounds of channels [keV]
    """

    low: np.ndarray
    high: np.ndarray
    matrix: np.ndarray
    first: int
    e_min: np.ndarray
    e_max: np.ndarray

    def channels_between(self, low: float, high: float) -> tuple[int, int]:
        """Least and greatest channel that lie within `low` to `high` [keV] by their centres."""
        centre = 0.5 * (self.e_min + self.e_max)
        inside = np.flatnonzero((centre >= low) & (centre <= high))
        if not len(inside):
            raise ValueError(f"no channel between {low:g} and {high:g} keV")
        return int(inside[0]) + self.first, int(inside[-1]) + self.first


def gaussian_rmf(low: np.ndarray, high: np.ndarray, e_min: np.ndarray, e_max: np.ndarray, sigma: np.ndarray) -> Rmf:
    """R_ic = Phi((e_max_c - E_i) / sigma_i) - Phi((e_min_c - E_i) / sigma_i), E_i the middle of bin i; channels from 0.

    sigma (n,) [keV]. What falls outside the channels is lost, as it is in a detector with thresholds.
    """
    centre, sigma = 0.5 * (low + high), np.asarray(sigma, float)[:, None]
    edges = np.append(e_min, e_max[-1])
    matrix = np.diff(ndtr((edges - centre[:, None]) / sigma), axis=1)
    return Rmf(np.asarray(low), np.asarray(high), matrix, 0, np.asarray(e_min), np.asarray(e_max))


def covered_channels(rmf: Rmf, arf: Arf) -> tuple[int, int]:
    """Least and greatest channel whose energies the ARF covers. Raises UserError where there is none."""
    inside = np.flatnonzero((rmf.e_min >= arf.low[0] - 1e-9) & (rmf.e_max <= arf.high[-1] + 1e-9))
    if not len(inside):
        raise UserError(
            f"the ARF's {arf.low[0]:g}-{arf.high[-1]:g} keV hold none of the channels'"
            f" {rmf.e_min[0]:g}-{rmf.e_max[-1]:g} keV"
        )
    return int(inside[0]) + rmf.first, int(inside[-1]) + rmf.first


def table_of(path: Path, names: tuple[str, ...], what: str) -> tuple[Any, dict[str, object], str]:
    """Rows, header and place of the first table called one of `names`. Raises UserError where there is none."""
    from astropy.io import fits

    hdus = walk(path)
    hdu = next((h for h in hdus if h.name.upper() in names and "TFIELDS" in h.header), None)
    if hdu is None:
        there = ", ".join(h.name for h in hdus[1:] if h.name) or "no extension"
        raise UserError(f"holds no {what} ({' or '.join(names)}), but {there}", file=path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fits.verify.VerifyWarning)
            with fits.open(path, memmap=False) as opened:
                return opened[hdu.index].data, {**hdus[0].header, **hdu.header}, hdu.place
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"cannot be read ({error})", file=path, key=hdu.place) from error


def column(rows: Any, name: str, path: Path, place: str) -> np.ndarray:
    """A column as float64. Raises UserError where it is missing, or holds what is no number."""
    found = next((n for n in rows.columns.names if n.upper() == name), None)
    if found is None:
        raise UserError(f"no column {name}", file=path, key=place)
    values = np.asarray(rows[found], float)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(1))[0])
        raise UserError(f"{name} is no number in row {row + 1}", file=path, key=place)
    return values


def _bins(rows: Any, path: Path, place: str, low: str, high: str) -> tuple[np.ndarray, np.ndarray]:
    lows, highs = column(rows, low, path, place), column(rows, high, path, place)
    if not len(lows):
        raise UserError("has no rows", file=path, key=place)
    if (highs <= lows).any() or (np.diff(lows) <= 0).any():
        raise UserError(f"{low} and {high} are not increasing", file=path, key=place)
    return lows, highs


def read_arf(path: str | Path) -> Arf:
    """Read an ARF. Negative areas, which fits of area curves leave at their ends, become zero with a warning."""
    path = Path(path)
    rows, _, place = table_of(path, ("SPECRESP",), "effective area")
    low, high = _bins(rows, path, place, "ENERG_LO", "ENERG_HI")
    area = column(rows, "SPECRESP", path, place)
    if (area < 0).any():
        log.warning("%s: %s: %d negative areas count as zero", path, place, int((area < 0).sum()))
    if not (area > 0).any():
        raise UserError("SPECRESP is nowhere positive", file=path, key=place)
    return Arf(low, high, np.maximum(area, 0.0))


def read_rmf(path: str | Path) -> Rmf:
    """Read an RMF, its channel groups unfolded into a full matrix."""
    path = Path(path)
    rows, header, place = table_of(path, ("MATRIX", "SPECRESP MATRIX"), "redistribution matrix")
    bounds, _, bounds_place = table_of(path, ("EBOUNDS",), "channel energies")
    e_min, e_max = _bins(bounds, path, bounds_place, "E_MIN", "E_MAX")
    low, high = _bins(rows, path, place, "ENERG_LO", "ENERG_HI")
    names = [n.upper() for n in rows.columns.names]
    for need in ("N_GRP", "F_CHAN", "N_CHAN", "MATRIX"):
        if need not in names:
            raise UserError(f"no column {need}", file=path, key=place)
    start = header.get(f"TLMIN{names.index('F_CHAN') + 1}")
    channel = column(bounds, "CHANNEL", path, bounds_place)
    first = int(start) if isinstance(start, int | float) else int(channel[0])
    matrix = np.zeros((len(low), len(e_min)))
    for i, row in enumerate(rows):
        values = np.ravel(row["MATRIX"])
        taken = 0
        groups = zip(np.ravel(row["F_CHAN"]), np.ravel(row["N_CHAN"]), strict=False)
        for _, (begin, count) in zip(range(int(row["N_GRP"])), groups, strict=False):
            at, count = int(begin) - first, int(count)
            if at < 0 or at + count > matrix.shape[1] or taken + count > len(values):
                raise UserError(f"row {i + 1} reaches outside the {matrix.shape[1]} channels", file=path, key=place)
            matrix[i, at : at + count] = values[taken : taken + count]
            taken += count
    if not np.isfinite(matrix).all() or (matrix < 0).any():
        raise UserError("MATRIX holds what is no probability", file=path, key=place)
    return Rmf(low, high, matrix, first, e_min, e_max)


def save_tables(path: str | Path, tables: list[tuple[str, list[tuple[str, str, str, Any]], dict[str, object]]]) -> None:
    from astropy.io import fits

    hdus = fits.HDUList([fits.PrimaryHDU()])
    for name, columns, cards in tables:
        made = [fits.Column(n, form, unit or None, array=array) for n, form, unit, array in columns]
        table = fits.BinTableHDU.from_columns(made, name=name)
        table.header.update({"HDUCLASS": "OGIP", **cards})
        hdus.append(table)
    with atomic_path(path) as part:
        hdus.writeto(part, checksum=True)


def write_arf(path: str | Path, arf: Arf, telescope: str = "", instrument: str = "") -> None:
    """Write an ARF that XSPEC and its kin open."""
    cards = {"TELESCOP": telescope, "INSTRUME": instrument, "HDUCLAS1": "RESPONSE", "HDUCLAS2": "SPECRESP"}
    columns = [
        ("ENERG_LO", "E", "keV", arf.low),
        ("ENERG_HI", "E", "keV", arf.high),
        ("SPECRESP", "E", "cm**2", arf.area),
    ]
    save_tables(path, [("SPECRESP", columns, {**cards, "HDUVERS": "1.1.0"})])


def write_rmf(path: str | Path, rmf: Rmf, telescope: str = "", instrument: str = "") -> None:
    """Write an RMF with one group of channels a row: from the first to the last above 1e-6 of the row's greatest."""
    number, starts, counts = len(rmf.low), [], []
    parts = np.empty(number, object)
    for i, row in enumerate(rmf.matrix):
        above = np.flatnonzero(row > 1e-6 * row.max()) if row.max() > 0 else np.zeros(1, int)
        starts.append(int(above[0]) + rmf.first)
        counts.append(int(above[-1] - above[0]) + 1)
        parts[i] = row[above[0] : above[-1] + 1].astype(np.float32)
    channels = np.arange(len(rmf.e_min)) + rmf.first
    cards = {"TELESCOP": telescope, "INSTRUME": instrument, "HDUCLAS1": "RESPONSE", "DETCHANS": len(channels)}
    cards |= {"CHANTYPE": "PI", "TLMIN4": rmf.first, "TLMAX4": int(channels[-1]), "HDUVERS": "1.3.0"}
    matrix = [
        ("ENERG_LO", "E", "keV", rmf.low),
        ("ENERG_HI", "E", "keV", rmf.high),
        ("N_GRP", "I", "", np.ones(number)),
        ("F_CHAN", "I", "", np.array(starts)),
        ("N_CHAN", "I", "", np.array(counts)),
        ("MATRIX", "PE()", "", parts),
    ]
    bounds = [("CHANNEL", "I", "", channels), ("E_MIN", "E", "keV", rmf.e_min), ("E_MAX", "E", "keV", rmf.e_max)]
    ebounds = {k: cards[k] for k in ("TELESCOP", "INSTRUME", "HDUCLAS1", "DETCHANS", "CHANTYPE")}
    matrix_cards, ebounds = {**cards, "HDUCLAS2": "RSP_MATRIX"}, {**ebounds, "HDUCLAS2": "EBOUNDS"}
    save_tables(path, [("MATRIX", matrix, matrix_cards), ("EBOUNDS", bounds, ebounds)])


def fold(photons: np.ndarray, arf: Arf, rmf: Rmf) -> np.ndarray:
    """Counts/s (channel,) of photons/cm2/s in the RMF's energy bins; the ARF is taken at their middles."""
    area = arf.at(0.5 * (rmf.low + rmf.high))
    return (np.asarray(photons) * area) @ rmf.matrix


def bins(low: float, high: float, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Energy bins [keV] of one width."""
    edges = low + width * np.arange(math.floor((high - low) / width + 1e-9) + 1)
    return edges[:-1], edges[1:]
