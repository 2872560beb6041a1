"""Galaxies in the GalSim RealGalaxy format: a catalogue and, beside it, files of images, PSFs and noise correlations.

Rowe+ 2015 (Astron. Comput. 10, 121), Mandelbaum+ 2014 (ApJS 212, 5). HDUs are counted from the primary, which is 0.
Files may be gzipped, and may carry a prefix NAME__ that the catalogue carries too.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twin.schema import UserError

COLUMNS = (
    "IDENT", "MAG", "BAND", "GAL_FILENAME", "PSF_FILENAME", "GAL_HDU", "PSF_HDU", "PIXEL_SCALE", "NOISE_VARIANCE",
)  # fmt: skip
SAME_FLUX = 0.1  # most that an image's sum may differ from `stamp_flux`, of it: more is another galaxy's image


@dataclass(frozen=True)
class RealGalaxy:
    """One observed galaxy.

    image           (y, x) counts, sky-subtracted, centred on the middle of the stamp
    psf             (y, x) effective PSF (with the pixel) on the same pixel scale, centred, of sum 1
    pixel_scale     [arcsec]
    noise_variance  of a pixel [count^2]
    correlation     (y, x) of the noise at lags about the middle, 1 in the middle; None = white
    """

    ident: str
    magnitude: float
    band: str
    image: np.ndarray
    psf: np.ndarray
    pixel_scale: float
    noise_variance: float
    correlation: np.ndarray | None


@dataclass(frozen=True)
class Catalogue:
    """galaxies  in the order of the catalogue; sha256  of the content of every file read; notes  what was amiss"""

    galaxies: tuple[RealGalaxy, ...]
    sha256: str
    notes: tuple[str, ...]


def read_catalogue(path: str | Path, psf: str | Path | None = None) -> Catalogue:
    """Every galaxy of a catalogue.

    psf  FITS image (or NumPy .npz, its first array) to use for all, where the catalogue's own files are not there

    Noise whose correlation file is not there counts as white, which `notes` tells. Raises UserError naming file and
    HDU for whatever is missing, truncated, not finite, or has no positive pixel scale, variance or flux.
    """
    path = Path(path)
    files = _Files(path)
    table = files.table()
    shared = None if psf is None else _psf(_first_image(files, Path(psf)), Path(psf), None)
    galaxies, white = [], set()
    for row in table:
        ident = _text(row["IDENT"])
        scale, variance = _positive(row, "PIXEL_SCALE", path, ident), _positive(row, "NOISE_VARIANCE", path, ident)
        image = files.image(_text(row["GAL_FILENAME"]), int(row["GAL_HDU"]), "GAL_FILENAME", ident)
        _check_flux(image, row, files, ident)
        if shared is None:
            name, hdu = _text(row["PSF_FILENAME"]), int(row["PSF_HDU"])
            star = _psf(files.image(name, hdu, "PSF_FILENAME", ident), files.find(name) or path, hdu)
        else:
            star = shared
        name = _text(row["NOISE_FILENAME"]) if "NOISE_FILENAME" in (table.dtype.names or ()) else ""
        correlation = files.correlation(name) if name and files.find(name) is not None else None
        if name and correlation is None:
            white.add(name)
        galaxies.append(
            RealGalaxy(ident, float(row["MAG"]), _text(row["BAND"]), image, star, scale, variance, correlation)
        )
    if not galaxies:
        raise UserError("holds no galaxy", file=path)
    notes = tuple(f"{name} is not there: its noise counts as white" for name in sorted(white))
    return Catalogue(tuple(galaxies), files.sha256, notes)


class _Files:
    """The files of a catalogue, each read once."""

    def __init__(self, catalogue: Path) -> None:
        self.catalogue = catalogue
        before, mark, _ = catalogue.name.partition("__")
        self._prefix = before + mark if mark else ""
        self._read: dict[Path, list[Any]] = {}
        self._digest: dict[Path, str] = {}

    @property
    def sha256(self) -> str:
        return hashlib.sha256("".join(self._digest.values()).encode()).hexdigest()

    def hdus(self, path: Path) -> list[Any]:
        """Data of every HDU."""
        if path not in self._read:
            if not path.is_file():
                raise UserError("no such file", file=path)
            raw = path.read_bytes()
            self._digest[path] = hashlib.sha256(raw).hexdigest()
            self._read[path] = _parse(path, raw)
        return self._read[path]

    def find(self, name: str) -> Path | None:
        ours = [f"{prefix}{name}{ending}" for prefix in ("", self._prefix) for ending in ("", ".gz")]
        return next((p for p in (self.catalogue.parent / one for one in ours) if p.is_file()), None)

    def table(self) -> np.ndarray:
        tables = [data for data in self.hdus(self.catalogue) if data is not None and data.dtype.names]
        if not tables:
            raise UserError("holds no table", file=self.catalogue)
        found: np.ndarray = tables[0]
        for column in COLUMNS:
            if column not in (found.dtype.names or ()):
                raise UserError("no such column", file=self.catalogue, key=column)
        return found

    def image(self, name: str, hdu: int, key: str, ident: str) -> np.ndarray:
        path = self.find(name)
        if path is None:
            raise UserError(f"{name} of galaxy {ident} is not beside the catalogue", file=self.catalogue, key=key)
        hdus = self.hdus(path)
        if not 0 <= hdu < len(hdus):
            raise UserError(f"galaxy {ident} asks for it, but there are {len(hdus)}", file=path, key=f"HDU {hdu}")
        return _image(hdus[hdu], path, f"HDU {hdu}")

    def correlation(self, name: str) -> np.ndarray:
        path = self.find(name)
        assert path is not None
        values = _image(self.hdus(path)[0], path, "HDU 0")
        middle = values[values.shape[0] // 2, values.shape[1] // 2]
        if min(values.shape) % 2 == 0 or max(values.shape) % 2 == 0 or not middle > 0 or middle < np.abs(values).max():
            raise UserError("is no correlation: odd in size, with its largest value in the middle", file=path)
        return values / middle


def _parse(path: Path, raw: bytes) -> list[Any]:
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyUserWarning

    try:
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)
        with warnings.catch_warnings():
            warnings.simplefilter("error", AstropyUserWarning)  # truncation is a warning there
            with fits.open(io.BytesIO(raw), memmap=False) as hdus:
                return [None if h.data is None else np.asarray(h.data) for h in hdus]
    except (OSError, EOFError, ValueError, TypeError, zlib.error, AstropyUserWarning) as error:
        raise UserError(f"cannot be read as FITS ({error})", file=path) from error


def _image(data: Any, path: Path, key: str) -> np.ndarray:
    if data is None or data.dtype.names or data.ndim != 2:
        raise UserError("holds no image", file=path, key=key)
    values = np.asarray(data, float)
    if not np.isfinite(values).all():
        raise UserError("holds a pixel that is no number", file=path, key=key)
    return values


def _first_image(files: _Files, path: Path) -> np.ndarray:
    if path.suffix != ".npz":
        images = [data for data in files.hdus(path) if data is not None and not data.dtype.names]
        return _image(images[0] if images else None, path, "HDU 0")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            first = arrays[arrays.files[0]]
    except (OSError, ValueError, IndexError, zlib.error) as error:
        raise UserError(f"cannot be read as a NumPy file ({error})", file=path) from error
    files._digest[path] = hashlib.sha256(np.ascontiguousarray(first).tobytes()).hexdigest()
    return _image(first, path, "first array")


def _psf(values: np.ndarray, path: Path, hdu: int | None) -> np.ndarray:
    total = values.sum()
    if not total > 0:
        raise UserError("is no PSF: its sum is not positive", file=path, key=None if hdu is None else f"HDU {hdu}")
    return values / total


def _check_flux(image: np.ndarray, row: Any, files: _Files, ident: str) -> None:
    path, key = files.find(_text(row["GAL_FILENAME"])), f"HDU {int(row['GAL_HDU'])}"
    flux = image.sum()
    if not flux > 0:
        raise UserError(f"galaxy {ident} has no positive flux", file=path, key=key)
    if "stamp_flux" in row.dtype.names and abs(flux - float(row["stamp_flux"])) > SAME_FLUX * abs(flux):
        said = float(row["stamp_flux"])
        raise UserError(f"has flux {flux:g}, galaxy {ident} of the catalogue {said:g}", file=path, key=key)


def _positive(row: Any, column: str, path: Path, ident: str) -> float:
    value = float(row[column])
    if not (np.isfinite(value) and value > 0):
        raise UserError(f"of galaxy {ident} must be positive, not {value:g}", file=path, key=column)
    return value


def _text(cell: Any) -> str:
    return (cell.decode("ascii", "replace") if isinstance(cell, bytes) else str(cell)).strip()
