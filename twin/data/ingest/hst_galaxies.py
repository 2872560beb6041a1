"""Reader `hst-galaxies`: HST galaxies of COSMOS and AEGIS in the GalSim RealGalaxy format (catalogue, images, PSFs).

Traps handled here: images lie one an extension, whose number GAL_HDU counts from the primary, but that of slsim says 2
for two galaxies: the image is the one with the flux of the catalogue; files are gzipped under the catalogue's name with
a prefix; entries whose image file is not there are passed over and told; the AEGIS galaxies are there in two bands with
the same IDENT: one object each; stamps of all sizes are padded about their middle, and cut where larger than 160.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from twin.data.ingest.records import Records, hash_files, read_fits
from twin.data.ingest.stamps import Stamp, arrays, catalogue, layout
from twin.schema import UserError

FOLDER = "hst_galaxies_cosmos_aegis"
BANDS = ("F606W", "F814W")
SIZE = 160
PIXEL_SCALE = 0.03  # arcsec
EXACT, SAME_FLUX = 1e-3, 0.1  # relative differences between an image's sum and the catalogue's: none, and the largest
SETS = (  # catalogue, prefix of its image files, band, class
    ("paltas__real_galaxy_catalog_23.5.fits.gz", "paltas__", "F814W", "cosmos"),
    ("slsim__real_galaxy_catalog_23.5.fits.gz", "slsim__", "F814W", "cosmos"),
    ("galsim__AEGIS_F606w_catalog.fits.gz", "galsim__", "F606W", "aegis"),
    ("galsim__AEGIS_F814w_catalog.fits.gz", "galsim__", "F814W", "aegis"),
)
CLASSES = ("cosmos", "aegis")
COLUMNS = (
    "IDENT",
    "RA",
    "DEC",
    "MAG",
    "GAL_FILENAME",
    "GAL_HDU",
    "PIXEL_SCALE",
    "NOISE_VARIANCE",
    "stamp_flux",
)


def can_read(path: Path) -> bool:
    return _root(path) is not None


def read(path: Path) -> Records:
    """All galaxies whose image is there, COSMOS first. Raises UserError for files that are damaged or lack a column."""
    root = _root(path)
    assert root is not None
    found: dict[tuple[str, int], Stamp] = {}
    used, missing = [], 0
    for name, prefix, band, kind in SETS:
        file = root / name
        if not file.is_file():
            raise UserError("no such file", file=file)
        used.append(file)
        for row in _rows(file):
            image_file = _image_file(root, prefix, _text(row["GAL_FILENAME"]))
            if image_file is None:
                missing += 1
                continue
            if image_file not in used:
                used.append(image_file)
            scale = float(row["PIXEL_SCALE"])
            if abs(scale - PIXEL_SCALE) > 1e-4:
                raise UserError(f"is {scale:g}, expected {PIXEL_SCALE:g}", file=file, key="PIXEL_SCALE")
            pixels = _image(image_file, row)
            key = (kind, int(row["IDENT"]))
            before = found.get(key)
            known = {
                "name": f"{kind}-{key[1]}", "ra": float(row["RA"]), "dec": float(row["DEC"]),
                **(before.row if before else {}), f"mag_{band}": float(row["MAG"]),
            }  # fmt: skip
            found[key] = Stamp(
                {**(before.pixels if before else {}), band: pixels}, CLASSES.index(kind), 0, known,
                {**(before.rms if before else {}), band: math.sqrt(float(row["NOISE_VARIANCE"]))},
            )  # fmt: skip
    if not found:
        raise UserError("holds no image that its catalogues name", file=root)
    stamps = [Stamp(s.pixels, s.label, i, s.row, s.rms) for i, s in enumerate(found.values())]
    notes = [f"{len(stamps)} galaxies; in a COSMOS galaxy F606W is absent"]
    if missing:
        notes.append(f"{missing} entries name an image that is not there")
    large = sum(max(p.shape) > SIZE for s in stamps for p in s.pixels.values())
    if large:
        notes.append(f"{large} images are larger than {SIZE} pixels: their middle was kept")
    attrs = {"pixel_scale": PIXEL_SCALE, "instrument": "HST ACS/WFC"}
    return Records(
        layout(BANDS, SIZE, CLASSES, attrs, "ct.s-1"), arrays(stamps, BANDS, SIZE),
        catalogue(stamps, ("name",), ("ra", "dec", *(f"mag_{band}" for band in BANDS))), hash_files(used), notes,
    )  # fmt: skip


def _root(path: Path) -> Path | None:
    places = (path, path / FOLDER, path / "imaging" / FOLDER)
    return next((p for p in places if (p / SETS[0][0]).is_file()), None)


def _rows(path: Path) -> list[Any]:
    tables = [data for data, _ in read_fits(path) if data is not None and data.dtype.names]
    if not tables:
        raise UserError("holds no table", file=path)
    for name in COLUMNS:
        if name not in (tables[0].dtype.names or ()):
            raise UserError("no such column", file=path, key=name)
    return list(tables[0])


def _text(cell: Any) -> str:
    return (cell.decode("ascii", "replace") if isinstance(cell, bytes) else str(cell)).strip()


def _image_file(root: Path, prefix: str, name: str) -> Path | None:
    ours = [root / f"{prefix}{name}{ending}" for ending in ("", ".gz")]
    return next((path for path in ours if path.is_file()), None)


def _image(path: Path, row: Any) -> np.ndarray:
    """The image whose sum is the catalogue's flux: the extension that it names if that is exact, else the nearest."""
    images = [data if data is not None and data.ndim == 2 else None for data, _ in read_fits(path)]
    flux, hdu = float(row["stamp_flux"]), int(row["GAL_HDU"])
    sums = [np.inf if image is None else float(np.nansum(image)) for image in images]
    at = hdu if 0 <= hdu < len(images) and images[hdu] is not None else 0
    if abs(sums[at] - flux) > EXACT * abs(flux):
        at = int(np.argmin(np.abs(np.array(sums) - flux)))
    image = images[at]
    if image is None or abs(sums[at] - flux) > SAME_FLUX * abs(flux):
        raise UserError(f"no image has the flux {flux:g} of galaxy {row['IDENT']}", file=path, key="stamp_flux")
    return image.astype(np.float32)
