"""Reader `as1063-arcs`: the three images of system 4 in the cluster Abell S1063, NIRCam F115W, F150W, F200W.

Traps handled here: 1/f stripes along the rows make the frames' noise larger than their error maps say, so the rms is
measured in the frame; the PSFs are models (WebbPSF), not observed, and are left out; the three images are of one
source, so they share an exposure_id: never split them.
"""

from __future__ import annotations

from pathlib import Path

from twin.data.ingest.records import Records, hash_files, load_npz
from twin.data.ingest.stamps import Stamp, arrays, catalogue, layout

FOLDER, PIXELS = "as1063_jwst_arcs", "as1063_system4.npz"
BANDS = ("F115W", "F150W", "F200W")
SIZE, PIXEL_SCALE = 120, 0.031  # arcsec: NIRCam's short-wavelength pixel


def can_read(path: Path) -> bool:
    return _root(path) is not None


def read(path: Path) -> Records:
    """The three images in three bands."""
    root = _root(path)
    assert root is not None
    names = [f"{band.lower()}_image{k}" for k in (1, 2, 3) for band in BANDS]
    held = load_npz(root / PIXELS, dict.fromkeys(names, ((SIZE, SIZE), "float32")))
    stamps = [
        Stamp({band: held[f"{band.lower()}_image{k}"] for band in BANDS}, 0, 0, {"name": f"as1063-4.{k}"})
        for k in (1, 2, 3)
    ]
    attrs = {"pixel_scale": PIXEL_SCALE, "instrument": "JWST NIRCam"}
    return Records(
        layout(BANDS, SIZE, ("arc",), attrs, "ct"), arrays(stamps, BANDS, SIZE), catalogue(stamps, ("name",), ()),
        hash_files([root / PIXELS]), ["3 images of one lensed source, in striped frames: rms measured in them"],
    )  # fmt: skip


def _root(path: Path) -> Path | None:
    places = (path, path / FOLDER, path / "imaging" / FOLDER)
    return next((p for p in places if (p / PIXELS).is_file()), None)
