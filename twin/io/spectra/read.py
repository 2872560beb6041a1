"""Spectra from files of any known survey: which it is, the file's content says."""

from __future__ import annotations

from pathlib import Path

from twin.io.spectra import lamost, ondrejov, sdss
from twin.io.spectra.files import FitsFile, open_fits, place_of
from twin.io.spectra.spectrum import Spectrum
from twin.schema import UserError, suggest


def read_spectrum(path: str | Path, hdu: str | None = None) -> Spectrum:
    """The spectrum of a file: LAMOST LRS or MRS, Ondrejov, SDSS; gzipped or not.

    hdu  LAMOST MRS: which (COADD_B, COADD_R, B-..., R-...); default COADD_R, else the first sum, else the first
         exposure. Other files have one spectrum.

    Raises UserError, naming file and HDU or key: no FITS file, truncated, no spectrum of a known layout, wavelengths
    without a unit or out of order, values that are not finite, inverse variance zero everywhere.
    """
    file = open_fits(path)
    names = lamost.medium_resolution(file)
    if hdu is not None and hdu not in (names or [only.hdu for only in _read(file, exposures=False)]):
        raise UserError("holds no such spectrum", file=path, key=hdu, suggestion=suggest(hdu, names))
    if names:
        wanted = hdu or next((name for name in ("COADD_R", "COADD_B") if name in names), names[0])
        return _guarded(file, wanted)
    return _read(file, exposures=False)[0]


def read_spectra(path: str | Path, exposures: bool = True) -> list[Spectrum]:
    """All spectra of a file: of LAMOST MRS sums and exposures of both arms (`exposures` False: sums alone, where there
    are any), of others the one. Raises as `read_spectrum`."""
    return _read(open_fits(path), exposures)


def _read(file: FitsFile, exposures: bool) -> list[Spectrum]:
    names = lamost.medium_resolution(file)
    if names:
        sums = [name for name in names if name.startswith("COADD")]
        return [_guarded(file, name) for name in (names if exposures or not sums else sums)]
    return [_guarded(file, None)]


def _guarded(file: FitsFile, name: str | None) -> Spectrum:
    """A spectrum, or UserError also for what a damaged header makes NumPy refuse."""
    try:
        if name is not None:
            return lamost.read_medium(file, name)
        for reader in (lamost.low_resolution, sdss.coadd, ondrejov.cutout, ondrejov.frame):
            found = reader(file)
            if found is not None:
                return found
    except UserError:
        raise
    except (ValueError, TypeError, IndexError, OverflowError, MemoryError) as error:
        raise UserError(f"cannot be read as a spectrum ({error})", file=file.path) from error
    raise UserError(f"holds no spectrum of a known layout ({place_of(file.hdus)})", file=file.path)
