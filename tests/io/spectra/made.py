"""Made-up files of every layout that the surveys have, gzipped as they come."""

from __future__ import annotations

import gzip
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from twin.io.spectra import vacuum_to_air

FIRST, STEP, PIXELS = 3.5682, 1e-4, 3905
CENTRE, SIGMA = 6564.6, 3.0


def wavelengths(n: int = PIXELS) -> np.ndarray:
    return 10 ** (FIRST + STEP * np.arange(n))


def profile(wave: np.ndarray, depth: float = 0.5, level: float = 200.0) -> np.ndarray:
    """A straight continuum with a Gaussian line: `depth` > 0 absorption, < 0 emission."""
    continuum = level * (1 - 5e-5 * (wave - CENTRE))
    return continuum * (1 - depth * np.exp(-0.5 * ((wave - CENTRE) / SIGMA) ** 2))


def width(depth: float = 0.5) -> float:
    """Equivalent width of `profile` [A]."""
    return depth * SIGMA * np.sqrt(2 * np.pi)


LAMOST = {
    "TELESCOP": "LAMOST",
    "VACUUM": True,
    "HELIO": True,
    "DATE-OBS": "2011-10-27T20:02:34.19",
    "MJD": 55863,
    "PLANID": "B6212",
    "SPID": 6,
    "FIBERID": 5,
    "RA": 99.499478,
    "DEC": 27.152342,
    "DESIG": "LAMOST J063759.87+270908.4",
    "CLASS": "STAR",
    "SUBCLASS": "M0",
    "Z": -0.0002856,
}


def save(path: Path, hdus: list[Any]) -> Path:
    """Gzipped where the name says so."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits.HDUList(hdus).writeto(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(out.getvalue(), 1) if path.suffix == ".gz" else out.getvalue())
    return path


def header(cards: Mapping[str, Any]) -> fits.Header:
    found = fits.Header()
    for key, value in cards.items():
        if value is not None:
            found[key] = value
    return found


def lamost_image(
    path: Path, normalised: bool = False, rows: Mapping[int, np.ndarray] | None = None, dtype: str = "f4", **cards: Any
) -> Path:
    """Five rows; row 2 is flux over continuum (DR1) or the wavelength. `rows` replaces some, `cards` header cards."""
    wave = wavelengths()
    flux = profile(wave)
    zero = np.zeros(len(wave))
    data = [flux, np.full(len(wave), 0.04), profile(wave, level=1.0) if normalised else wave, zero, zero]
    for number, values in (rows or {}).items():
        data[number] = values
    scale = {"CRVAL1": FIRST, "CD1_1": STEP, "CRPIX1": 1, "COEFF0": FIRST, "COEFF1": STEP}
    snr = {"SN_G": 6.19, "SN_R": 19.68} if normalised else {"SNRG": 44.69, "SNRR": 73.65, "DATA_V": "LAMOST DR5"}
    given = {**LAMOST, **scale, **snr, **{key.replace("_8", "-"): value for key, value in cards.items()}}
    return save(path, [fits.PrimaryHDU(np.array(data, dtype), header(given))])


def lamost_table(path: Path, normalised: bool = True, **columns: np.ndarray) -> Path:
    """One row whose cells are the spectrum."""
    wave = wavelengths()
    given = {"FLUX": profile(wave), "IVAR": np.full(len(wave), 0.04), "WAVELENGTH": wave}
    given |= {"ANDMASK": np.zeros(len(wave)), "ORMASK": np.zeros(len(wave))}
    if normalised:
        given["NORMALIZATION"] = profile(wave, level=1.0)
    given |= columns
    made = [fits.Column(name, f"{len(v)}E", array=np.asarray(v, "f4")[None]) for name, v in given.items()]
    table = fits.BinTableHDU.from_columns(made, name="COADD")
    return save(path, [fits.PrimaryHDU(header=header({**LAMOST, "DATA_V": "LAMOST DR9"})), table])


def lamost_medium(path: Path) -> Path:
    """Sums and two exposures an arm; those of the red arm run from red to blue."""

    def arm(name: str, first: float, n: int, step: float, mask: str, snr: float) -> fits.BinTableHDU:
        loglam = first + step * np.arange(n)
        wave = 10**loglam
        columns = [
            fits.Column("FLUX", "E", array=profile(wave)),
            fits.Column("IVAR", "E", array=np.full(n, 0.01)),
            fits.Column("LOGLAM", "E", array=loglam),
            fits.Column(mask, "I", array=np.zeros(n, int)),
            *([fits.Column("ORMASK", "I", array=np.zeros(n, int))] if mask == "ANDMASK" else []),
        ]
        return fits.BinTableHDU.from_columns(columns, header({"SNR": snr}), name=name)

    hdus = [
        arm("B-84420148", 3.69002, 4136, 1e-5, "PIXMASK", 12.9),
        arm("R-84420148", 3.83528, 4136, -9.16e-6, "PIXMASK", 21.0),
        arm("COADD_B", 3.69003, 4156, 1e-5, "ANDMASK", 26.5),
        arm("COADD_R", 3.79739, 3800, 1e-5, "ANDMASK", 44.7),
    ]
    cards = {**LAMOST, "CLASS": None, "SUBCLASS": None, "Z": None, "OBSID": 744812076}
    return save(path, [fits.PrimaryHDU(header=header(cards)), *hdus])


def ondrejov_table(path: Path, unit: str | None = "Angstrom", flux_unit: str | None = None, **cards: Any) -> Path:
    """A cut-out of the archive: air wavelengths, rectified flux."""
    air = vacuum_to_air(np.float64(6283.8)) + 0.2567 * np.arange(1757)
    wave = air * 6564.6 / vacuum_to_air(np.float64(6564.6))
    columns = [
        fits.Column("spectral", "D", unit=unit, array=air),
        fits.Column("flux", "D", unit=flux_unit, array=profile(wave, level=1.0)),
    ]
    known = {
        "DS_IDPUB": "ivo://asu.cas.cz/stel/ccd700/uk220017",
        "OBJECT": "gamma Cas",
        "SRCCLASS": "star",
        "RA": 14.177,
        "DEC": 60.7167,
        "TMID": 56691.723101852,
    }
    return save(path, [fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, header({**known, **cards}))])


def ondrejov_frame(path: Path, **cards: Any) -> Path:
    """Counts on a linear scale of air wavelengths."""
    first, step, n = 6252.97384602315, 0.256687346934193, 1997
    air = first + step * np.arange(n)
    wave = air * 6564.6 / vacuum_to_air(np.float64(6564.6))
    known = {
        "OBSERVAT": "ONDREJOV",
        "TELESCOP": "ZEISS-2m",
        "BUNIT": "ADU",
        "OBJECT": "17 Sex",
        "DATE-OBS": "2011-01-29",
        "UT": "02:27:39",
        "JD": 2455590.60542824,
        "RA": "10:10:07.540",
        "DEC": "-08:24:29.40",
        "EQUINOX": 2011.07666,
        "WAT1_001": "wtype=linear label=Wavelength units=angstroms",
        "CTYPE1": "LINEAR",
        "CRVAL1": first,
        "CRPIX1": 1.0,
        "CDELT1": step,
        "DC-FLAG": 0,
    }
    given = {**known, **{key.replace("_8", "-"): value for key, value in cards.items()}}
    return save(path, [fits.PrimaryHDU(profile(wave, level=9000.0).astype("f4"), header(given))])


def sdss(path: Path, objects: str = "SPECOBJ", **cards: Any) -> Path:
    """COADD and the table of the pipeline's results; RA and DEC of the primary header are the telescope's."""
    loglam = 3.5785 + 1e-4 * np.arange(3850)
    n = len(loglam)
    coadd = fits.BinTableHDU.from_columns(
        [
            fits.Column("flux", "E", array=profile(10**loglam, level=20.0)),
            fits.Column("loglam", "E", array=loglam),
            fits.Column("ivar", "E", array=np.full(n, 4.0)),
            fits.Column("and_mask", "J", array=np.zeros(n, int)),
            fits.Column("or_mask", "J", array=np.where(np.arange(n) == 7, 2**30, 0)),
        ],
        name="COADD",
    )
    row = fits.BinTableHDU.from_columns(
        [
            fits.Column("CLASS", "6A", array=["QSO"]),
            fits.Column("SUBCLASS", "21A", array=["BROADLINE"]),
            fits.Column("Z", "E", array=[0.1]),
            fits.Column("PLUG_RA", "D", array=[184.03]),
            fits.Column("PLUG_DEC", "D", array=[-2.24]),
            fits.Column("SN_MEDIAN", "5E", array=[[8.0, 22.0, 35.0, 38.0, 28.0]]),
            fits.Column("SPECOBJID", "22A", array=["    373974455765985280"]),
        ],
        name=objects,
    )
    known = {
        "TELESCOP": "SDSS 2.5-M",
        "RA": 145.89,
        "DEC": 0.06,
        "BUNIT": "1E-17 erg/cm^2/s/Ang",
        "VACUUM": True,
        "HELIO_RV": 4.97,
        "PLATEID": 332,
        "MJD": 52367,
        "FIBERID": 639,
        "TAI": 4524513689.0,
    }
    return save(path, [fits.PrimaryHDU(header=header({**known, **cards})), coadd, row])
