"""Reader `lensed-quasars`: HST and JWST images of lensed quasars (samana), one image a row.

Traps handled here: every image has its own instrument, filter and pixel scale: a row has one band, `image`, the
catalogue its filter and `scale_arcsec`, and the attribute `mixed_scales` says that the dataset's `pixel_scale` (that of
most) does not hold for all; MIRI F560W is named 540W in the source; where there is a noise map, its median over the
fainter half of the pixels is the rms, else that is measured; images are padded about their middle.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from twin.data.ingest.records import Records, Table, hash_files, load_any
from twin.data.ingest.stamps import Stamp, arrays, catalogue, layout
from twin.schema import UserError

FOLDER, TABLE, PIXELS = "samana_lensed_quasars", "images.csv", "samana_images.npz"
SIZE = 212
CLASSES = ("HST", "MIRI", "NIRCAM")
COLUMNS = ("key", "object", "instrument", "band", "ny", "nx", "pixscale_nominal", "z_lens", "z_source", "has_noise_map")
BAND = "image"


def can_read(path: Path) -> bool:
    return _root(path) is not None


def read(path: Path) -> Records:
    """All images in the order of the table. Raises UserError for files that are damaged or contradict each other."""
    root = _root(path)
    assert root is not None
    table = Table(root / TABLE, COLUMNS)
    held = load_any(root / PIXELS)
    text = {name: table.text(name) for name in ("key", "object", "instrument", "band")}
    number = {name: table.numbers(name) for name in COLUMNS[4:]}
    objects = {name: k for k, name in enumerate(dict.fromkeys(text["object"]))}
    stamps = []
    for i, key in enumerate(text["key"]):
        shape = (int(number["ny"][i]), int(number["nx"][i]))
        image = held.get(f"{key}/image_data")
        if image is None or image.shape != shape:
            raise UserError(f"has no image of {shape} pixels", file=root / PIXELS, key=f"{key}/image_data")
        if text["instrument"][i] not in CLASSES:
            raise UserError(
                f'unknown instrument "{text["instrument"][i]}"', file=table.path, line=i + 2, key="instrument"
            )
        noise = held.get(f"{key}/noise_map") if number["has_noise_map"][i] == 1 else None
        rms = {BAND: float(np.median(noise[image <= np.median(image)]))} if noise is not None else {}
        row = {
            "name": key, "object": text["object"][i], "instrument": text["instrument"][i],
            "filter": _filter(text["band"][i]), "scale_arcsec": number["pixscale_nominal"][i],
            "z_lens": number["z_lens"][i], "z_source": number["z_source"][i],
        }  # fmt: skip
        stamps.append(Stamp({BAND: image}, CLASSES.index(text["instrument"][i]), objects[text["object"][i]], row, rms))
    attrs = {"pixel_scale": 0.04, "instrument": "HST and JWST", "mixed_scales": True}
    return Records(
        layout((BAND,), SIZE, CLASSES, attrs, "ct.s-1"), arrays(stamps, (BAND,), SIZE),
        catalogue(stamps, ("name", "object", "instrument", "filter"), ("scale_arcsec", "z_lens", "z_source")),
        hash_files([root / TABLE, root / PIXELS]),
        [f"{len(stamps)} images of {len(objects)} objects; pixel scales differ: see scale_arcsec of the catalogue"],
    )  # fmt: skip


def _root(path: Path) -> Path | None:
    places = (path, path / FOLDER, path / "imaging" / FOLDER)
    return next((p for p in places if (p / PIXELS).is_file()), None)


def _filter(band: str) -> str:
    """The filter's name: HST814W, 814w, f814W are F814W; MIRI540W is F560W."""
    digits = "".join(ch for ch in band.replace("HST", "").replace("MIRI", "") if ch.isalnum()).upper().lstrip("F")
    return "F560W" if digits == "540W" else f"F{digits}"
