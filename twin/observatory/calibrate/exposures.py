"""Exposures with a measured FWHM: what a table of them holds, and which of its rows are of use."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from twin.io.tables import read_table, row_error
from twin.io.units import convert, same_kind
from twin.io.units import unit as unit_of
from twin.observatory.imager import Imager
from twin.schema import UserError, suggest

_NANOMETRES = re.compile(r"[A-Z](\d{3,4})$")  # M490: a filter at 490 nm


@dataclass(frozen=True)
class Exposures:
    """Columns (n,): FWHM [arcsec], airmass, wavelength [nm], mjd [d], night (number), exptime [s], and NaN where there
    is none: seeing that telemetry reports [arcsec, 500 nm, zenith], warm = mirror minus its air [K].

    dropped  rows that were left out, by reason
    """

    fwhm: np.ndarray
    airmass: np.ndarray
    wavelength: np.ndarray
    mjd: np.ndarray
    night: np.ndarray
    exptime: np.ndarray
    seeing: np.ndarray
    warm: np.ndarray
    dropped: dict[str, int]

    def __len__(self) -> int:
        return len(self.fwhm)

    def take(self, index: np.ndarray) -> Exposures:
        """Some of them."""
        return replace(self, **{f.name: getattr(self, f.name)[index] for f in fields(self) if f.name != "dropped"})


FWHM = ("measured_fwhm", "fwhm", "psf_fwhm", "fwhm_arcsec", "seeing")  # the first that a table has
OTHERS = {
    "airmass": ("airmass", "secz"),
    "mjd": ("mjd_obs", "mjd-obs", "mjd", "time", "date-obs"),
    "exptime": ("exptime", "exposure"),
    "seeing": ("dimmsee", "dimm_seeing", "dimm", "seeing"),
    "mirror": ("mirror_temperature", "msurtemp"),
    "air": ("mirror_air_temperature", "mairtemp"),
}
BANDS = ("band", "filter")
UNITS = {"airmass": "", "mjd": "d", "exptime": "s", "seeing": "arcsec", "mirror": "deg_C", "air": "deg_C"}
MISSING = -90.0  # -99, -999: how tables say that there is no value
PLAUSIBLE = (0.2, 8.0)  # median FWHM that a table in arcsec can have
NIGHT_STARTS = 0.6  # of the day: noon in Chile; nights of other sites between 4 h west and 16 h east are whole too


def night_of(mjd: np.ndarray) -> np.ndarray:
    """Number of an exposure's night: floor(mjd - 0.6)."""
    return np.floor(np.asarray(mjd) - NIGHT_STARTS).astype(int)


def held_out(night: np.ndarray, folds: int = 5, fold: int = 1) -> np.ndarray:
    """(n,) nights that no fit may see, so that what it says can be held to them: int(sha256("night<N>"), 16) % 5 == 1.

    The choice depends on the night's number alone: no order of rows, no other table changes it.
    """
    nights, index = np.unique(night, return_inverse=True)
    digest = [int(hashlib.sha256(f"night{n}".encode()).hexdigest(), 16) % folds == fold for n in nights.tolist()]
    return np.array(digest, bool)[index]


def wavelengths(bands: np.ndarray, imager: Imager) -> np.ndarray:
    """Wavelength [nm] of filters by name: the instrument's, or in the name itself (M490: 490 nm); NaN for others."""
    known = {name: band.wavelength for name, band in imager.config.bands.items()}

    def one(name: str) -> float:
        number = _NANOMETRES.match(name)
        return known.get(name, float(number[1]) if number else np.nan)

    names, index = np.unique(np.asarray(bands, str), return_inverse=True)
    return np.array([one(name.strip()) for name in names.tolist()])[index]


def fwhm_column(table: Any, path: str | Path) -> tuple[dict[str, str], str]:
    """Names of a table's columns by their names in small letters, and the one of the measured FWHM. Raises
    UserError where there is none."""
    lower = {name.lower(): name for name in table.colnames}
    source = next((lower[name] for name in FWHM if name in lower), None)
    if source is None:
        near = suggest("fwhm", table.colnames)
        raise UserError(f"no column gives the measured FWHM (one of {', '.join(FWHM)})", file=path, suggestion=near)
    return lower, source


def read_exposures(path: str | Path, imager: Imager) -> Exposures:
    """Exposures of a table with a measured FWHM [arcsec], airmass, MJD and band a row; other columns are of use where
    they stand: exptime, the seeing of a DIMM, temperatures of the mirror and of its air.

    A column named only `seeing` is the measured one where the table has no other; beside another it is the DIMM's.
    Rows without a value (NaN, -999), without a known filter and rows that stand twice are left out and counted.
    Raises UserError for a table without these columns, of other units, of text, or with no row left.
    """
    table = read_table(path, bare=True)
    lower, source = fwhm_column(table, path)
    found = {key: next((lower[name] for name in names if name in lower and lower[name] != source), None)
             for key, names in OTHERS.items()}  # fmt: skip
    band = next((lower[name] for name in BANDS if name in lower), None)
    for key, name in (("airmass", found["airmass"]), ("mjd", found["mjd"]), ("band", band)):
        if name is None:
            raise UserError(f"the column {key} is missing", file=path)
    columns = {key: tolerant_column(table, name, UNITS[key], path) if name else np.full(len(table), np.nan)
               for key, name in found.items()}  # fmt: skip
    fwhm = tolerant_column(table, source, "arcsec", path)
    wavelength = wavelengths(np.array([str(value) for value in table[band]]), imager)
    keep, dropped = np.ones(len(table), bool), {}
    first = np.zeros(len(table), bool)
    first[np.unique(np.stack([columns["mjd"], wavelength, fwhm]), axis=1, return_index=True)[1]] = True
    with np.errstate(invalid="ignore"):
        for bad, reason in (
            (~(fwhm > 0), "without a measured FWHM"),
            (~(columns["airmass"] >= 0.99) | (columns["airmass"] > 10), "without an airmass"),
            (~np.isfinite(columns["mjd"]), "without a time"),
            (~np.isfinite(wavelength), f"in filters that {imager.name} does not have"),
            (~first, "twice in the table"),
        ):
            if (keep & bad).any():
                dropped[reason] = int((keep & bad).sum())
                keep &= ~bad
    if not keep.any():
        raise UserError("no row is of use: " + ", ".join(f"{n} {why}" for why, n in dropped.items()), file=path)
    median = float(np.median(fwhm[keep]))
    if not PLAUSIBLE[0] <= median <= PLAUSIBLE[1]:
        problem = f"has the median {median:.4g}: no FWHM in arcsec (give the column its unit)"
        raise UserError(problem, file=path, key=source)
    warm = columns["mirror"] - columns["air"]
    seeing = np.where(columns["seeing"] > 0.05, columns["seeing"], np.nan)
    mjd = columns["mjd"]
    night = night_of(np.nan_to_num(mjd))
    everything = Exposures(fwhm, columns["airmass"], wavelength, mjd, night, columns["exptime"], seeing, warm, dropped)
    return everything.take(np.flatnonzero(keep))


def tolerant_column(table: Any, name: str, unit: str, path: str | Path) -> np.ndarray:
    """A column in `unit`, taken to be so where it states none; NaN for what is missing. Raises UserError for text."""
    column = table[name]
    mask = np.broadcast_to(np.asarray(getattr(column, "mask", False)), len(table))
    values = np.asarray(column.unmasked if hasattr(column, "unmasked") else np.ma.getdata(column))
    out = np.full(len(table), np.nan)
    if values.dtype.kind in "OSU":
        for row, value in enumerate(values.tolist()):
            text = "" if mask[row] or value is None else str(value).strip()
            if text.lower() not in ("", "nan", "--", "none", "null"):
                try:
                    out[row] = float(text)
                except ValueError:
                    raise row_error(table, path, name, row, f'needs a number, not "{text}"') from None
    elif values.dtype.kind in "iuf":
        out[~mask] = values[~mask].astype(float)
    else:
        raise UserError("holds no numbers", file=path, key=name)
    out[~np.isfinite(out) | (out < MISSING)] = np.nan
    given = getattr(column, "unit", None)
    if given is None:
        return out
    wanted = unit_of(unit)
    if not same_kind(given, wanted):
        raise UserError(f'the unit "{given}" is not one of {unit or "a pure number"}', file=path, key=name)
    return convert(out, given, wanted)
