"""Pan-STARRS1 cutouts of any size as rows of one 64x64 dataset: arrays, labels, catalogue."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from twin.io.fits import stamp_wcs
from twin.io.layout import INVALID, ArraySpec, DatasetSpec

BANDS = ("g", "r", "i")
SIZE = 64
PIXEL_SCALE = 0.25  # arcsec
CLASSES = ("lensed_galaxy", "lensed_quasar", "lensed_supernova", "neighbour", "field")


@dataclass(frozen=True)
class Ps1Object:
    """One row of the dataset: pixels as in the source, gain [electron/count] and exposure time [s] a band.

    label  index into CLASSES
    field  number of the field on the sky
    row    what is known of it, under the catalogue's column names
    """

    q: np.ndarray
    scale: np.ndarray
    gain: np.ndarray
    exptime: np.ndarray
    label: int
    field: int
    row: dict[str, Any]


def dataset_spec() -> DatasetSpec:
    band: dict[str, tuple[str, ...]] = {"band": BANDS}
    channel = {"channel": tuple(f"exptime_{b}" for b in BANDS), "channel_unit": ("s",) * len(BANDS)}
    stamp = (len(BANDS), SIZE, SIZE)
    return DatasetSpec(
        (
            ArraySpec(
                "frame",
                stamp,
                "int16",
                ("band", "y", "x"),
                "ct",
                "phot.count",
                "sky-subtracted stack; counts = frame * noise/scale, -32768 = no value",
                band,
            ),
            ArraySpec("valid", stamp, "uint8", ("band", "y", "x"), description="1 = pixel with a value", coords=band),
            ArraySpec("noise/scale", (3,), "float32", ("band",), "ct", "", "counts a unit of frame, 0 = no such band"),
            ArraySpec(
                "noise/rms",
                (3,),
                "float32",
                ("band",),
                "ct",
                "stat.stdev;instr.background",
                "sky rms of a pixel, NaN = no such band",
            ),
            ArraySpec("noise/gain", (3,), "float32", ("band",), "", "", "electrons a count"),
            ArraySpec("label/lens", (), "uint8", description="1 = confirmed lens", ucd="meta.code.class"),
            ArraySpec(
                "label/class", (), "uint8", description="index into the attribute classes", ucd="meta.code.class"
            ),
            ArraySpec(
                "label/separation",
                (),
                "float32",
                unit="arcsec",
                ucd="pos.angDistance",
                description="largest image separation as catalogued, NaN = unknown or no lens",
            ),
            ArraySpec(
                "telemetry",
                (3,),
                "float32",
                ("channel",),
                "s",
                "time.duration;obs.exposure",
                "exposure time",
                channel,
            ),
            ArraySpec("exposure_id", (), "int64", description="field on the sky: split by it", ucd="meta.id"),
            ArraySpec("object_id", (), "int64", description="row of catalogue.parquet", ucd="meta.id;src"),
        ),
        {
            "classes": list(CLASSES),
            "bands": list(BANDS),
            "pixel_scale": PIXEL_SCALE,
            "wcs": stamp_wcs((SIZE, SIZE), PIXEL_SCALE),
            "instrument": "Pan-STARRS1",
        },
    )


def arrays(objects: list[Ps1Object]) -> dict[str, np.ndarray]:
    n = len(objects)
    frame = np.full((n, len(BANDS), SIZE, SIZE), INVALID, np.int16)
    for i, o in enumerate(objects):
        edge = (SIZE - o.q.shape[-1]) // 2
        inside = slice(edge, edge + o.q.shape[-1])
        frame[i, :, inside, inside] = np.where(o.scale[:, None, None] > 0, o.q, INVALID)
    scale = np.stack([o.scale for o in objects]).astype(np.float32)
    separation = [o.row.get("separation_arcsec", math.nan) for o in objects]
    return {
        "frame": frame,
        "valid": (frame != INVALID).astype(np.uint8),
        "noise/scale": scale,
        "noise/rms": np.where(scale > 0, 4 * scale, np.nan).astype(np.float32),  # the source quantised at rms / 4
        "noise/gain": np.stack([o.gain for o in objects]).astype(np.float32),
        "label/lens": np.array([o.row["set"] == "lens" for o in objects], np.uint8),
        "label/class": np.array([o.label for o in objects], np.uint8),
        "label/separation": np.array(separation, np.float32),
        "telemetry": np.stack([o.exptime for o in objects]).astype(np.float32),
        "exposure_id": np.array([o.field for o in objects], np.int64),
        "object_id": np.arange(n, dtype=np.int64),
    }


_TEXT = ("name", "set", "sled_class", "source_type", "lens_type", "lens_name", "field", "same_as", "auto_shape")
_NUMBER = (
    "separation_arcsec",
    "n_img",
    "ra",
    "dec",
    "hlr_arcsec",
    "axis_ratio",
    *(f"{word}_{band}" for word in ("mag", "snr") for band in BANDS),
)


def catalogue(objects: list[Ps1Object]) -> dict[str, list[Any]]:
    """Columns of one type each; "" and NaN where unknown, lens_idx -1 where there is no lens nearby."""
    found: dict[str, list[Any]] = {name: [str(o.row.get(name, "")) for o in objects] for name in _TEXT}
    found |= {name: [float(o.row.get(name, math.nan)) for o in objects] for name in _NUMBER}
    found |= {f"exptime_{b}": [float(o.exptime[k]) for o in objects] for k, b in enumerate(BANDS)}
    found |= {"cutout": [int(o.q.shape[-1]) for o in objects]}
    return found | {"lens_idx": [int(o.row.get("lens_idx", -1)) for o in objects]}
