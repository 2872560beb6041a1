"""Reader `cfhtls-arcs`: group and cluster arcs of CFHTLS and fields without, g r i colour pictures.

Traps handled here: the pictures are stretched 8-bit JPEGs and no linear flux: the attribute `stretched` says so, what
needs flux refuses them, and the rms is that of the picture's own dark pixels; red is i, green r, blue g; the first row
of a JPEG is the top, of a frame the bottom; 161 and 440 pixels a side are padded to 440; labels were given by eye.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from twin.data.ingest.records import Records, Table, hash_files
from twin.data.ingest.stamps import Stamp, arrays, catalogue, layout
from twin.schema import UserError

FOLDER, TABLE = "cluster_arcs", "images.csv"
BANDS = ("g", "r", "i")
SIZE, PIXEL_SCALE = 440, 0.187
CLASSES = ("arc", "field", "uncertain", "artifact")
COLUMNS = ("file", "label", "name", "ra", "dec", "gal_z", "expert_grade", "npix", "arcsec_per_px")


def can_read(path: Path) -> bool:
    return _root(path) is not None


def read(path: Path) -> Records:
    """All pictures in the order of the table. Raises UserError for one that is missing, no JPEG, or of another size."""
    root = _root(path)
    assert root is not None
    table = Table(root / TABLE, COLUMNS)
    text = {name: table.text(name) for name in ("file", "label", "name")}
    number = {name: table.numbers(name) for name in COLUMNS[3:]}
    stamps = []
    for i, file in enumerate(text["file"]):
        kind = next((k for k, words in enumerate((("arc",), ("non_lens",), ("uncertain",), ("artifact",)))
                     if text["label"][i].startswith(words)), None)  # fmt: skip
        if kind is None:
            raise UserError(f'unknown label "{text["label"][i]}"', file=table.path, line=i + 2, key="label")
        if abs(number["arcsec_per_px"][i] - PIXEL_SCALE) > 1e-3:
            raise UserError(f"is not {PIXEL_SCALE:g}", file=table.path, line=i + 2, key="arcsec_per_px")
        side = int(number["npix"][i])
        picture = _picture(root / file, side)
        row = {"name": text["name"][i], "label": text["label"][i]}
        row |= {key: number[key][i] for key in ("ra", "dec", "gal_z", "expert_grade", "npix")}
        stamps.append(Stamp({band: picture[:, :, 2 - k] for k, band in enumerate(BANDS)}, kind, i, row))
    attrs = {"pixel_scale": PIXEL_SCALE, "instrument": "CFHT MegaCam", "stretched": True}
    return Records(
        layout(BANDS, SIZE, CLASSES, attrs, ""), arrays(stamps, BANDS, SIZE),
        catalogue(stamps, ("name", "label"), ("ra", "dec", "gal_z", "expert_grade", "npix")),
        hash_files([root / TABLE, *(root / file for file in text["file"])]),
        [f"{len(stamps)} stretched 8-bit pictures: for the eye, not for fluxes, noise or PSF"],
    )  # fmt: skip


def _picture(path: Path, side: int) -> np.ndarray:
    """(side, side, 3) float32 0 to 255, first row at the bottom; red, green, blue last."""
    from PIL import Image

    if not path.is_file():
        raise UserError("no such file", file=path)
    try:
        with open(path, "rb") as raw, Image.open(raw) as image:
            values = np.asarray(image.convert("RGB"), np.float32)
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"cannot be read as a picture ({error})", file=path) from error
    if values.shape != (side, side, 3):
        raise UserError(f"has {values.shape[1]}x{values.shape[0]} pixels, the table says {side}", file=path)
    return values[::-1]


def _root(path: Path) -> Path | None:
    places = (path / FOLDER, path / "imaging" / FOLDER, path)
    return next((p for p in places if p.name == FOLDER and (p / TABLE).is_file()), None)
