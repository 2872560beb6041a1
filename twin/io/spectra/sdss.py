"""SDSS and BOSS spectra: table COADD (flux, loglam, ivar, and_mask, or_mask), vacuum, heliocentric; table SPECOBJ or
SPALL with one row of what the pipeline says of the object.

RA and DEC of the primary header are those of the telescope's axis: the object's are PLUG_RA and PLUG_DEC. Tables have
no TUNIT; the survey's data model fixes log10 of angstrom, and BUNIT of the primary header the flux.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twin.io.spectra.files import FitsFile, Table, is_true, measured, number, text, whole
from twin.io.spectra.spectrum import Columns, Spectrum, checked
from twin.io.spectra.times import date_of
from twin.schema import UserError

BANDS = "ugriz"
UNITS = {"1E-17 ERG/CM^2/S/ANG": "10**-17 erg.s**-1.cm**-2.Angstrom**-1"}
OBJECT_TABLES = ("SPECOBJ", "SPALL")


def coadd(file: FitsFile) -> Spectrum | None:
    """The spectrum of an SDSS file; None where it is none. Raises UserError for a damaged one."""
    wanted = {"FLUX", "LOGLAM", "IVAR", "AND_MASK", "OR_MASK"}
    hdu = next((hdu for hdu in file.hdus[1:] if wanted <= hdu.columns().keys()), None)
    if hdu is None:
        return None
    header, table = file.header, file.table(hdu)
    unit = text(header, "BUNIT")
    if unit.upper() not in UNITS:
        raise UserError(f'the unit of the flux is "{unit}"' if unit else "the flux has no unit", file=file.path,
                        key="BUNIT")  # fmt: skip
    columns = Columns(
        wavelength=10.0 ** table.line("LOGLAM").astype(np.float64),
        flux=table.line("FLUX"),
        ivar=table.line("IVAR"),
        and_mask=table.line("AND_MASK"),
        or_mask=table.line("OR_MASK"),
    )
    medium = "air" if "VACUUM" in header and not is_true(header, "VACUUM") else "vacuum"
    arrays: dict[str, Any] = checked(columns, file.path, hdu.place, medium)
    row = next((file.table(h) for h in file.hdus if h.name in OBJECT_TABLES), None)
    plate, mjd, fibre = whole(header, "PLATEID", "PLATE"), number(header, "MJD"), whole(header, "FIBERID")
    fibre = _whole(row, "FIBERID", fibre)
    beginning = number(header, "TAI") / 86400  # seconds since MJD 0
    return Spectrum(
        **arrays,
        file=str(file.path),
        hdu=hdu.name,
        survey="SDSS",
        layout="COADD",
        medium=medium,
        unit=UNITS[unit.upper()],
        rectified=False,
        release=_text(row, "RUN2D") or text(header, "RUN2D", "VERS2D"),
        heliocentric="HELIO_RV" in header,
        snr=_snr(row),
        class_=_text(row, "CLASS"),
        subclass=_text(row, "SUBCLASS"),
        z=_number(row, "Z"),
        ra=_position(file, row, "PLUG_RA"),
        dec=_position(file, row, "PLUG_DEC"),
        name=f"{plate:04d}-{mjd:.0f}-{fibre:04d}",
        obsid=_text(row, "SPECOBJID"),
        date=date_of(beginning),
        mjd=beginning if math.isfinite(beginning) else mjd,
        plate=str(plate),
        spectrograph=_whole(row, "SPECTROGRAPHID", -1),
        fibre=fibre,
    )


def _position(file: FitsFile, row: Table | None, key: str) -> float:
    found = _number(row, key)
    return found if math.isfinite(found) else measured(file.header, key)


def _number(row: Table | None, name: str) -> float:
    value = None if row is None else row.value(name)
    return float(value) if isinstance(value, int | float) and value > -9990 else math.nan


def _whole(row: Table | None, name: str, default: int) -> int:
    found = _number(row, name)
    return int(found) if math.isfinite(found) else default


def _text(row: Table | None, name: str) -> str:
    value = None if row is None else row.value(name)
    return "" if value is None else str(value).strip()


def _snr(row: Table | None) -> dict[str, float]:
    """Median over the pixels of each band, and of all."""
    value = None if row is None else row.value("SN_MEDIAN")
    given = value if isinstance(value, np.ndarray) and value.shape == (len(BANDS),) else ()
    found = dict(zip(BANDS, map(float, given), strict=False))
    every = _number(row, "SN_MEDIAN_ALL")
    return found | ({"all": every} if math.isfinite(every) else {})
