"""Measured exposures in the order in which they were taken, and which of them a forecast may see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from twin.io.tables import read_table
from twin.observatory.calibrate.exposures import (
    BANDS,
    OTHERS,
    PLAUSIBLE,
    UNITS,
    fwhm_column,
    night_of,
    tolerant_column,
)
from twin.schema import UserError

IDENTITY = ("expnum", "exposure", "obsid", "filename", "expid")
EXPTIME = 100.0  # seconds, where a table does not say
SAME = 1e-6  # days: two rows closer than this are one exposure
MINUTES = 1440.0


@dataclass(frozen=True)
class Exposures:
    """Columns (n,): name, mjd [d], strictly increasing, night (number), FWHM [arcsec], airmass, wavelength [nm],
    exptime [s], band (name of the filter).

    Raises UserError that names the row (from 0) of a value that is missing or out of range, of a time that is not after
    the one before, and of a night that another interrupts.
    """

    name: np.ndarray
    mjd: np.ndarray
    night: np.ndarray
    fwhm: np.ndarray
    airmass: np.ndarray
    wavelength: np.ndarray
    exptime: np.ndarray
    band: np.ndarray

    def __post_init__(self) -> None:
        for column in fields(self):
            if np.shape(getattr(self, column.name)) != self.mjd.shape or self.mjd.ndim != 1:
                raise UserError(f"needs one value an exposure, {len(self.mjd)}", key=column.name)
        for key, low, high in (
            ("mjd", -np.inf, np.inf),
            ("fwhm", 0.0, 60.0),
            ("airmass", 0.9899, 40.0),
            ("wavelength", 100.0, 30000.0),
            ("exptime", 0.0, np.inf),
        ):
            values = getattr(self, key)
            for row in np.flatnonzero(~((values > low) & (values < high)))[:1]:
                raise UserError(f"row {row} ({self.name[row]}) has {values[row]:g}", key=key)
        for row in np.flatnonzero(np.diff(self.mjd) <= 0)[:1]:
            problem = "has the time of" if self.mjd[row + 1] == self.mjd[row] else "is earlier than"
            raise UserError(f"row {row + 1} ({self.name[row + 1]}) {problem} the row before", key="mjd")
        for row in np.flatnonzero(np.diff(self.night) < 0)[:1]:
            raise UserError(f"row {row + 1} ({self.name[row + 1]}) is of an earlier night", key="night")

    def __len__(self) -> int:
        return len(self.mjd)

    def take(self, index: np.ndarray) -> Exposures:
        """Some of them, in order."""
        return Exposures(*(getattr(self, column.name)[index] for column in fields(self)))


def last_visible(exposures: Exposures, age: float | np.ndarray) -> np.ndarray:
    """(n,) row of the latest exposure of the same night that began at least `age` [minutes] before each; -1: none.

    An exposure never sees itself, also where its age is 0.
    """
    minutes = exposures.mjd * MINUTES
    row = np.arange(len(exposures))
    found = np.searchsorted(minutes, minutes - np.asarray(age, float), side="right") - 1
    found = np.minimum(found, row - 1)
    first = np.searchsorted(exposures.night, exposures.night, side="left")
    return np.where(found >= first, found, -1)


def read_exposures(
    path: str | Path, wavelengths: Mapping[str, float], say: Callable[[str], None] = lambda text: None
) -> Exposures:
    """Exposures of a table with a measured FWHM [arcsec], airmass, MJD and band a row, in order of time; columns are
    named as `twin calibrate` reads them; `wavelengths` [nm] by band.

    Rows without a value, in other bands, and rows that stand twice (one exposure measured on two detectors: the first
    row stays) are left out, and `say` hears how many. Raises UserError for a table without these columns, of other
    units, of text, or with no row left.
    """
    table = read_table(path, bare=True)
    lower, source = fwhm_column(table, path)
    columns = {"fwhm": tolerant_column(table, source, "arcsec", path)}
    for key in ("airmass", "mjd", "exptime"):
        name = next((lower[name] for name in OTHERS[key] if name in lower), None)
        if name is None and key != "exptime":
            raise UserError(f"the column {key} is missing", file=path)
        columns[key] = tolerant_column(table, name, UNITS[key], path) if name else np.full(len(table), np.nan)
    band_name = next((lower[name] for name in BANDS if name in lower), None)
    if band_name is None:
        raise UserError("the column band is missing", file=path)
    band = np.array([str(value).strip() for value in table[band_name]])
    identity = next((lower[name] for name in IDENTITY if name in lower), None)
    names = (
        np.array([str(value).removesuffix(".0") for value in table[identity]])
        if identity
        else np.char.mod("%.6f", columns["mjd"])
    )
    known, index = np.unique(band, return_inverse=True)
    wavelength = np.array([wavelengths.get(name, np.nan) for name in known.tolist()])[index]
    exptime = np.where(columns["exptime"] > 0, columns["exptime"], EXPTIME)
    keep = np.ones(len(table), bool)
    with np.errstate(invalid="ignore"):
        for bad, reason in (
            (~((columns["fwhm"] > 0) & (columns["fwhm"] < 60)), "without a measured FWHM"),
            (~((columns["airmass"] >= 0.99) & (columns["airmass"] < 40)), "without an airmass"),
            (~np.isfinite(columns["mjd"]), "without a time"),
            (~np.isfinite(wavelength), "in bands of unknown wavelength"),
        ):
            if (keep & bad).any():
                say(f"{Path(path).name}: {(keep & bad).sum():,} rows left out: {reason}")
                keep &= ~bad
    rows = np.flatnonzero(keep)
    mjd = columns["mjd"]
    ordered = rows[np.argsort(mjd[rows], kind="stable")]
    if not np.array_equal(ordered, rows):
        say(f"{Path(path).name}: the rows are not in order of time; sorted")
    again = np.zeros(len(ordered), bool)
    again[1:] = np.diff(mjd[ordered]) <= SAME
    if again.any():
        shown = ", ".join(names[ordered[again]][:3])
        say(f"{Path(path).name}: {again.sum():,} rows left out: the time of another row ({shown})")
    rows = ordered[~again]
    if len(rows) == 0:
        raise UserError("no row is of use", file=path)
    median = float(np.median(columns["fwhm"][rows]))
    if not PLAUSIBLE[0] <= median <= PLAUSIBLE[1]:
        problem = f"has the median {median:.4g}: no FWHM in arcsec (give the column its unit)"
        raise UserError(problem, file=path, key=source)
    return Exposures(
        names[rows], mjd[rows], night_of(mjd[rows]), columns["fwhm"][rows], columns["airmass"][rows],
        wavelength[rows], exptime[rows], band[rows],
    )  # fmt: skip
