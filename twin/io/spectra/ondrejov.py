"""Spectra of the Perek 2-m telescope at Ondrejov (CCD700): cut-outs of its Virtual Observatory archive, raw 1-D frames.

Cut-outs are tables of `spectral` (air) and `flux`. The flux of rectified ones is relative to the continuum and has no
unit; counts have the unit Count. Only what names the archive (DS_IDPUB) is taken for one of its files, and wavelengths
without a unit are refused. Raw frames are one-dimensional images in ADU with a linear scale of air wavelengths (CRVAL1,
CDELT1), positions in sexagesimal numbers at the equinox of the night, topocentric.
Neither gives errors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twin.io.spectra.files import FitsFile, measured, number, text
from twin.io.spectra.spectrum import Columns, Spectrum, checked
from twin.io.spectra.times import date_of, degrees, mjd_of, to_j2000
from twin.schema import UserError

ARCHIVE = "ivo://asu.cas.cz/stel/ccd700"
SURVEY = "Ondrejov-CCD700"
FLUX_UNITS = {"": "", "1": "", "count": "ct", "counts": "ct", "ct": "ct", "adu": "adu"}


def cutout(file: FitsFile) -> Spectrum | None:
    """The spectrum of a Virtual Observatory table; None where the file is none. Raises UserError for a damaged one."""
    hdu = next((hdu for hdu in file.hdus[1:] if {"SPECTRAL", "FLUX"} <= hdu.columns().keys()), None)
    if hdu is None:
        return None
    table, header = file.table(hdu), hdu.header
    wave = table.line("SPECTRAL").astype(np.float64) * _angstrom(file, hdu.place, table.unit("SPECTRAL"))
    unit = _flux_unit(file, hdu.place, table.unit("FLUX"))
    publisher = text(header, "DS_IDPUB")
    if not publisher.startswith(ARCHIVE):
        problem = f"is not of {ARCHIVE}: whether its wavelengths are in air or vacuum is not known"
        raise UserError(problem, file=file.path, key="DS_IDPUB")
    medium = "air"
    arrays: dict[str, Any] = checked(Columns(wave, table.line("FLUX")), file.path, hdu.place, medium)
    mjd = measured(header, "TMID")
    return Spectrum(
        **arrays,
        file=str(file.path),
        hdu=hdu.name,
        survey=SURVEY,
        layout="table",
        medium=medium,
        unit=unit,
        rectified=unit == "",
        class_=text(header, "SRCCLASS").upper(),
        ra=measured(header, "RA"),
        dec=measured(header, "DEC"),
        name=text(header, "OBJECT"),
        obsid=publisher.rpartition("/")[2] or file.path.name.split(".")[0],
        date=date_of(mjd),
        mjd=mjd,
    )


def frame(file: FitsFile) -> Spectrum | None:
    """The spectrum of a one-dimensional image; None where the file is none. Raises UserError for a damaged one."""
    hdu = file.hdus[0]
    header = hdu.header
    lines = number(header, "NAXIS2", 1) if number(header, "NAXIS", 0) == 2 else 1
    if not hdu.size or number(header, "NAXIS", 0) not in (1, 2) or lines != 1 or "CRVAL1" not in header:
        return None
    flux = file.image(hdu).reshape(-1)
    where = text(header, "OBSERVAT", "TELESCOP").upper()
    medium = {"AWAV": "air", "WAVE": "vacuum"}.get(text(header, "CTYPE1").upper())
    medium = medium or ("air" if "ONDREJOV" in where or "ZEISS-2M" in text(header, "TELESCOP").upper() else None)
    if medium is None:
        raise UserError("does not say whether its wavelengths are in air or vacuum", file=file.path, key="CTYPE1")
    scale = _angstrom(file, "CUNIT1", text(header, "CUNIT1") or _world_unit(text(header, "WAT1_001")))
    step, pixel = number(header, "CDELT1", number(header, "CD1_1")), number(header, "CRPIX1", 1.0)
    wave = number(header, "CRVAL1") + step * (np.arange(1, len(flux) + 1) - pixel)
    if not np.isfinite(wave).all():
        raise UserError("CRVAL1 and CDELT1 give no wavelengths", file=file.path, key=hdu.place)
    if number(header, "DC-FLAG", 0) == 1:  # IRAF: the scale is of log10 of the wavelength
        if not (np.abs(wave) < 10).all():
            raise UserError("CRVAL1 and CDELT1 give no logarithms of wavelengths", file=file.path, key="DC-FLAG")
        wave = 10.0**wave
    arrays: dict[str, Any] = checked(Columns(wave * scale, flux), file.path, hdu.place, medium)
    unit = _flux_unit(file, "BUNIT", text(header, "BUNIT"))
    equinox = number(header, "EQUINOX", 2000.0)
    ra, dec = to_j2000(degrees(text(header, "RA"), hours=True), degrees(text(header, "DEC"), hours=False), equinox)
    date = text(header, "DATE-OBS")
    date = f"{date}T{text(header, 'UT')}" if "T" not in date and text(header, "UT") else date
    middle = measured(header, "JD") - 2400000.5
    return Spectrum(
        **arrays,
        file=str(file.path),
        hdu=hdu.name,
        survey=SURVEY,
        layout="image",
        medium=medium,
        unit=unit,
        rectified=unit == "",
        ra=ra,
        dec=dec,
        name=text(header, "OBJECT"),
        obsid=file.path.name.split(".")[0],
        date=date,
        mjd=middle if math.isfinite(middle) else mjd_of(date),
    )


def _world_unit(words: str) -> str:
    """`units` of IRAF's WAT1_001: "wtype=linear label=Wavelength units=angstroms"."""
    return next((word.partition("=")[2] for word in words.split() if word.startswith("units=")), "")


def _angstrom(file: FitsFile, key: str, unit: str) -> float:
    """Angstroms of a unit of length. Raises UserError where there is none, or it is another's."""
    if unit.lower() in ("angstrom", "angstroms"):
        return 1.0
    if not unit:
        raise UserError("the wavelengths have no unit", file=file.path, key=key)
    from astropy import units as u

    from twin.io.units import unit as unit_of

    try:
        return float(unit_of(unit).to(u.Angstrom))
    except (ValueError, u.UnitsError):
        raise UserError(f'wavelengths are not in "{unit}"', file=file.path, key=key) from None


def _flux_unit(file: FitsFile, key: str, unit: str) -> str:
    if unit.lower() not in FLUX_UNITS:
        raise UserError(f'flux in "{unit}" is not what this archive has', file=file.path, key=key)
    return FLUX_UNITS[unit.lower()]
