"""FITS images: written whole or not at all, read with mistakes in plain words; the WCS of a cutout."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from twin.io.atomic import atomic_path
from twin.schema import UserError, suggest


def stamp_wcs(shape: tuple[int, int], pixel_scale: float) -> dict[str, Any]:
    """Tangent-plane WCS cards of a cutout (y, x): north up, east left, reference at the cutout's centre.

    `pixel_scale` in arcsec. CRVAL1/2 differ from sample to sample and stand in the catalogue (ra, dec), if known.
    """
    ny, nx = shape
    return {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "CRPIX1": nx / 2 + 0.5,
        "CRPIX2": ny / 2 + 0.5,
        "CDELT1": -pixel_scale / 3600.0,
        "CDELT2": pixel_scale / 3600.0,
    }


def write_images(
    path: str | Path, images: Mapping[str, np.ndarray], cards: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """One image extension a name, in order; `cards[name]` are its header cards, `cards["PRIMARY"]` the file's.

    A card's value is a FITS scalar or a pair (value, comment). Raises UserError when the disk is full or refuses.
    """
    from astropy.io import fits

    cards = cards or {}

    def header(name: str) -> Any:
        made = fits.Header()
        for key, value in cards.get(name, {}).items():
            made[key] = value
        return made

    hdus = fits.HDUList([fits.PrimaryHDU(header=header("PRIMARY"))])
    for name, image in images.items():
        hdus.append(fits.ImageHDU(np.asarray(image), header=header(name), name=name))
    with atomic_path(path) as part:
        hdus.writeto(part, checksum=True)


def read_images(path: str | Path) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """All image extensions of a FITS file: name -> (array, header). A primary image is called PRIMARY.

    Raises UserError for a file that is missing, truncated, damaged (checksum) or no FITS.
    """
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyUserWarning

    path = Path(path)
    if not path.is_file():
        here = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError("no such file", file=path, suggestion=suggest(path.name, here))
    found: dict[str, tuple[np.ndarray, dict[str, Any]]] = {}
    try:
        with warnings.catch_warnings(), open(path, "rb") as file:
            warnings.simplefilter("error", AstropyUserWarning)  # truncation and checksum trouble are warnings there
            with fits.open(file, memmap=False, checksum=True) as hdus:
                for hdu in hdus:
                    if hdu.is_image and hdu.data is not None:
                        data = np.asarray(hdu.data)
                        found[hdu.name] = (data.astype(data.dtype.newbyteorder("=")), dict(hdu.header))
    except (OSError, AstropyUserWarning, ValueError, TypeError) as error:
        raise UserError(f"cannot be read as FITS ({error})", file=path) from error
    if not found:
        raise UserError("holds no image", file=path)
    return found
