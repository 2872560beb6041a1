"""LAMOST spectra, low and medium resolution, every data release; the layout is told by what a file holds.

Low resolution (3,690-9,100 A, vacuum, log10 step 1e-4, relative flux), five layouts:
  image of 5 rows: flux, inverse variance, X, and-mask, or-mask
    1. X is the continuum-normalised flux (DR1); wavelengths stand in CRVAL1, CD1_1 alone
    2. X is the wavelength (DR2 to DR8)
    3. the same, and CRPIX1 = -9999 makes of the header's wavelengths numbers ten times too large: row X holds
  table of one row with FLUX, IVAR, WAVELENGTH, ANDMASK, ORMASK (DR7 and later)
    4. these columns;  5. with NORMALIZATION, the continuum-normalised flux, beside them
Version keys do not tell layouts 1 and 2 apart, the median of X does: it is about 1, or thousands.
Medium resolution (4,950-5,350 and 6,300-6,800 A, vacuum): a table for the sum of each arm (COADD_B, COADD_R) and one
for each exposure (B-..., R-...; those of the red arm run from red to blue) with FLUX, IVAR, LOGLAM and masks.
Tables have no TUNIT: the survey's data model fixes angstrom (WAVELENGTH), log10 of it (LOGLAM) and relative flux.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twin.io.spectra.files import MISSING, FitsFile, Table, is_true, measured, number, text, whole
from twin.io.spectra.spectrum import Columns, Spectrum, checked
from twin.io.spectra.times import mjd_of
from twin.io.xray.hdus import Hdu
from twin.schema import UserError

BANDS = "ugriz"
LEAST_WAVELENGTH = 100.0  # median of image row 3 above it: wavelengths, not flux over continuum
ROWS = ("flux", "inverse variance", "wavelength or normalised flux", "and-mask", "or-mask")


def is_lamost(file: FitsFile) -> bool:
    return any("LAMOST" in text(file.header, key).upper() for key in ("TELESCOP", "ORIGIN", "AUTHOR"))


def low_resolution(file: FitsFile) -> Spectrum | None:
    """The spectrum of a low-resolution file; None where it is none. Raises UserError for a damaged one."""
    if not is_lamost(file):
        return None
    primary = file.hdus[0]
    if primary.size and number(primary.header, "NAXIS", 0) == 2 and number(primary.header, "NAXIS2", 0) == len(ROWS):
        return _image(file, primary)
    for hdu in file.hdus[1:]:
        table = file.table(hdu)
        if all(name in table for name in ("FLUX", "IVAR", "WAVELENGTH")):
            return _table(file, table)
    return None


def medium_resolution(file: FitsFile) -> list[str]:
    """Names of the HDUs that hold spectra, sums first; [] where it is no medium-resolution file."""
    if not is_lamost(file):
        return []
    found = [hdu.name for hdu in file.hdus[1:] if {"FLUX", "IVAR", "LOGLAM"} <= hdu.columns().keys()]
    return sorted(found, key=lambda name: not name.startswith("COADD"))


def read_medium(file: FitsFile, name: str) -> Spectrum:
    """The spectrum of one HDU of a medium-resolution file."""
    hdu = next(hdu for hdu in file.hdus if hdu.name == name)
    table = file.table(hdu)
    masks = {"and_mask": "ANDMASK", "or_mask": "ORMASK" if "ORMASK" in table else "PIXMASK"}
    columns = Columns(
        wavelength=10.0 ** table.line("LOGLAM").astype(np.float64),
        flux=table.line("FLUX"),
        ivar=table.line("IVAR"),
        **{key: table.line(column) for key, column in masks.items() if column in table},
    )
    kind = "MRS coadd" if name.startswith("COADD") else "MRS exposure"
    snr = measured(hdu.header, "SNR")
    known = _known(file, {"all": snr} if math.isfinite(snr) else {})
    return _spectrum(file, hdu, columns, "LAMOST-MRS", kind, known)


def _image(file: FitsFile, hdu: Hdu) -> Spectrum:
    rows = file.image(hdu)
    broken = number(hdu.header, "CRPIX1", 1.0) <= MISSING
    if np.nanmedian(rows[2]) > LEAST_WAVELENGTH:
        layout = "image, row 3 wavelength" + (", CRPIX1 -9999" if broken else "")
        wave, normalised = rows[2], None
    else:
        layout, wave, normalised = (
            "image, row 3 normalised flux",
            _header_wavelengths(file, hdu, rows.shape[1]),
            rows[2],
        )
    columns = Columns(wave, rows[0], rows[1], rows[3], rows[4], normalised)
    return _spectrum(file, hdu, columns, "LAMOST-LRS", layout, _known(file, _snr(file)))


def _header_wavelengths(file: FitsFile, hdu: Hdu, n: int) -> np.ndarray:
    """10^(CRVAL1 + CD1_1 (i + 1 - CRPIX1)), or COEFF0 and COEFF1; CRPIX1 = -9999 says nothing and counts as 1."""
    first, step = (
        measured(hdu.header, "CRVAL1", "COEFF0"),
        measured(hdu.header, "CD1_1", "CDELT1", "COEFF1"),
    )
    pixel = measured(hdu.header, "CRPIX1")
    first -= (pixel - 1) * step if math.isfinite(pixel) else 0.0
    if not (3.0 < first < 4.5 and 1e-6 < step < 1e-2):
        raise UserError("CRVAL1 and CD1_1 give no wavelengths", file=file.path, key=hdu.place)
    return 10.0 ** (first + step * np.arange(n))


def _table(file: FitsFile, table: Table) -> Spectrum:
    optional = {"and_mask": "ANDMASK", "or_mask": "ORMASK", "normalised": "NORMALIZATION"}
    columns = Columns(
        table.line("WAVELENGTH"),
        table.line("FLUX"),
        table.line("IVAR"),
        **{key: table.line(name) for key, name in optional.items() if name in table},
    )
    layout = "table" + (", normalised flux" if columns.normalised is not None else "")
    return _spectrum(file, table.hdu, columns, "LAMOST-LRS", layout, _known(file, _snr(file)))


def _spectrum(file: FitsFile, hdu: Hdu, columns: Columns, survey: str, layout: str, known: dict[str, Any]) -> Spectrum:
    medium = "air" if "VACUUM" in file.header and not is_true(file.header, "VACUUM") else "vacuum"
    arrays: dict[str, Any] = checked(columns, file.path, hdu.place, medium)
    return Spectrum(
        **arrays, **known, file=str(file.path), hdu=hdu.name, survey=survey, layout=layout, medium=medium, unit="",
        rectified=False,
    )  # fmt: skip


def _snr(file: FitsFile) -> dict[str, float]:
    """SN_U ... in DR1 and DR2, SNRU ... later."""
    found = {band: measured(file.header, f"SNR{band.upper()}", f"SN_{band.upper()}") for band in BANDS}
    return {band: value for band, value in found.items() if math.isfinite(value)}


def _known(file: FitsFile, snr: dict[str, float]) -> dict[str, Any]:
    header = file.header
    date = text(header, "DATE-OBS")
    return {
        "release": text(header, "DATA_V"),
        "heliocentric": is_true(header, "HELIO"),
        "snr": snr,
        "class_": text(header, "CLASS"),
        "subclass": text(header, "SUBCLASS"),
        "z": measured(header, "Z"),
        "ra": measured(header, "RA"),
        "dec": measured(header, "DEC"),
        "name": text(header, "DESIG"),
        "obsid": text(header, "OBSID") or _stem(file),
        "date": date,
        "mjd": mjd_of(date),  # DR1 has another day in MJD than in DATE-OBS
        "plate": text(header, "PLANID"),
        "spectrograph": whole(header, "SPID"),
        "fibre": whole(header, "FIBERID"),
    }


def _stem(file: FitsFile) -> str:
    return text(file.header, "FILENAME").split(".fits")[0] or file.path.name.split(".fits")[0]
