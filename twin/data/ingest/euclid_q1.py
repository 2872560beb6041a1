"""Reader `euclid-q1`: strong lenses of Euclid's first quick release, VIS with NISP and DES bands resampled to 0.1".

Traps handled here: files state different zero points (30 and 24.6), so all are brought to 30; one has VIS alone and
more pixels (its middle is kept, other bands are absent); PSFs and noise maps lie among the images; the resampled bands
have correlated noise, so the rms of a band is measured, and only VIS has the median of its own map.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from twin.data.ingest.records import Records, hash_files, read_fits
from twin.data.ingest.stamps import Stamp, arrays, catalogue, layout
from twin.schema import UserError

FOLDER = "euclid_q1_lenses"
BANDS = ("DES_G", "DES_R", "VIS", "DES_I", "DES_Z", "NIR_Y", "NIR_J", "NIR_H")
SIZE, PIXEL_SCALE, ZERO_POINT = 100, 0.1, 30.0
IMAGES = ("BGSUB", "FLUX")


def can_read(path: Path) -> bool:
    return _root(path) is not None


def read(path: Path) -> Records:
    """Every FITS file of the folder, by name. Raises UserError for one that is damaged, has no VIS or another scale."""
    root = _root(path)
    assert root is not None
    files = _files(root)
    stamps = [_lens(file, k) for k, file in enumerate(files)]
    attrs = {"pixel_scale": PIXEL_SCALE, "instrument": "Euclid VIS and NISP, DES", "zero_point": ZERO_POINT}
    return Records(
        layout(BANDS, SIZE, ("lens",), attrs, "ct"), arrays(stamps, BANDS, SIZE),
        catalogue(stamps, ("name",), ("ra", "dec")), hash_files(files),
        [f"{len(stamps)} lenses, all at zero point {ZERO_POINT:g}; bands that a file lacks are absent"],
    )  # fmt: skip


def _lens(file: Path, number: int) -> Stamp:
    hdus = {str(header.get("EXTNAME", "")).strip(): (data, header) for data, header in read_fits(file)}
    pixels, rms = {}, {}
    for band in BANDS:
        name = next((f"{band}_{word}" for word in IMAGES if f"{band}_{word}" in hdus), None)
        if name is None:
            continue
        data, header = hdus[name]
        scale = abs(float(header.get("CD2_2", np.nan))) * 3600
        if data is None or data.ndim != 2 or not abs(scale - PIXEL_SCALE) < 1e-3:
            raise UserError(f"is no image with pixels of {PIXEL_SCALE:g} arcsec", file=file, key=name)
        if "MAGZERO" not in header:
            raise UserError("states no zero point (MAGZERO)", file=file, key=name)
        factor = 10 ** (0.4 * (ZERO_POINT - float(header["MAGZERO"])))
        pixels[band] = (data * factor).astype(np.float32)
        noise = hdus.get(f"{band}_RMS", (None, {}))[0]
        if band == "VIS" and noise is not None:
            rms[band] = float(np.nanmedian(noise) * factor)
    if "VIS" not in pixels:
        raise UserError("has no VIS image", file=file)
    ny, nx = pixels["VIS"].shape
    ra, dec = _position(hdus, nx, ny)
    return Stamp(pixels, 0, number, {"name": file.name.split(".")[0], "ra": ra, "dec": dec}, rms)


def _position(hdus: dict, nx: int, ny: int) -> tuple[float, float]:
    """RA, Dec [deg] of the cut-out's middle, by its WCS."""
    from astropy.io.fits import Header
    from astropy.wcs import WCS

    header = next(head for name, (_, head) in hdus.items() if name.startswith("VIS_") and "CRVAL1" in head)
    cards = Header({k: v for k, v in header.items() if k[:5] in ("CTYPE", "CUNIT", "CRVAL", "CRPIX") or k[:3] == "CD1"
                    or k[:3] == "CD2"})  # fmt: skip
    ra, dec = WCS(cards).wcs_pix2world(nx / 2 - 0.5, ny / 2 - 0.5, 0)
    return float(ra), float(dec)


def _files(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.name.endswith((".fits", ".fits.gz")))


def _root(path: Path) -> Path | None:
    places = (path / FOLDER, path / "imaging" / FOLDER, path)
    return next((p for p in places if p.is_dir() and p.name == FOLDER and _files(p)), None)
