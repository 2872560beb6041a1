"""Cut-outs of different sizes and bands as one dataset: padded about their middle, marked invalid beyond."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from twin.io.fits import stamp_wcs
from twin.io.layout import ArraySpec, DatasetSpec

CLIP, ROUNDS = 3.0, 10


@dataclass(frozen=True)
class Stamp:
    """One object.

    pixels  (y, x) of each band that there is, NaN = no value
    rms     noise of an empty pixel of each of these bands; absent = measured here (`background_rms`)
    label   index into the dataset's classes
    group   number of its field on the sky: what must not be parted
    row     what is known of it, under the catalogue's column names
    """

    pixels: Mapping[str, np.ndarray]
    label: int
    group: int
    row: Mapping[str, Any]
    rms: Mapping[str, float] = field(default_factory=dict)
    gain: Mapping[str, float] = field(default_factory=dict)


def background_rms(pixels: np.ndarray) -> float:
    """Standard deviation of the pixels that are left when those beyond CLIP sigma of the median are left out, again and
    again; NaN without pixels."""
    values = pixels[np.isfinite(pixels)].astype(np.float64)
    if not values.size:
        return float("nan")
    for _ in range(ROUNDS):
        middle = np.median(values)
        spread = 1.4826 * np.median(np.abs(values - middle)) or values.std()
        kept = values[np.abs(values - middle) <= CLIP * spread]
        if len(kept) == len(values) or len(kept) < 16:
            break
        values = kept
    return float(values.std())


def pad(pixels: np.ndarray, size: int) -> np.ndarray:
    """(size, size) float32 with pixel (h // 2, w // 2) at (size // 2, size // 2), NaN around it, cut where larger."""
    out = np.full((size, size), np.nan, np.float32)
    start = [size // 2 - side // 2 for side in pixels.shape]
    into = tuple(slice(max(a, 0), min(a + side, size)) for a, side in zip(start, pixels.shape, strict=True))
    of = tuple(slice(max(-a, 0), max(-a, 0) + s.stop - s.start) for a, s in zip(start, into, strict=True))
    out[into] = pixels[of]
    return out


def layout(bands: Sequence[str], size: int, classes: Sequence[str], attrs: Mapping[str, Any], unit: str) -> DatasetSpec:
    """Arrays and attributes of a dataset of stamps. attrs must name `pixel_scale` [arcsec] and `instrument`."""
    band: dict[str, tuple[str, ...]] = {"band": tuple(bands)}
    shape, axes = (len(bands), size, size), ("band", "y", "x")
    return DatasetSpec(
        (
            ArraySpec("frame", shape, "float32", axes, unit, "phot.count", "0 where there is no value", band),
            ArraySpec("valid", shape, "uint8", axes, description="1 = pixel with a value", coords=band),
            ArraySpec("noise/rms", (len(bands),), "float32", ("band",), unit, "stat.stdev;instr.background",
                      "of an empty pixel, NaN = no such band"),
            ArraySpec("noise/gain", (len(bands),), "float32", ("band",), "", "", "electrons a count, NaN = unknown"),
            ArraySpec("label/class", (), "uint8", (), "", "meta.code.class", "index into the attribute classes"),
            ArraySpec("exposure_id", (), "int64", description="field on the sky: split by it", ucd="meta.id"),
            ArraySpec("object_id", (), "int64", description="row of catalogue.parquet", ucd="meta.id;src"),
        ),
        {"bands": list(bands), "classes": list(classes), "wcs": stamp_wcs((size, size), attrs["pixel_scale"]), **attrs},
    )  # fmt: skip


def arrays(stamps: Sequence[Stamp], bands: Sequence[str], size: int) -> dict[str, np.ndarray]:
    """Every array of `layout`."""
    frame = np.full((len(stamps), len(bands), size, size), np.nan, np.float32)
    rms = np.full(frame.shape[:2], np.nan, np.float32)
    gain = rms.copy()
    for i, stamp in enumerate(stamps):
        for k, band in enumerate(bands):
            if band in stamp.pixels:
                frame[i, k] = pad(stamp.pixels[band], size)
                rms[i, k] = stamp.rms.get(band, background_rms(stamp.pixels[band]))
                gain[i, k] = stamp.gain.get(band, np.nan)
    return {
        "frame": np.nan_to_num(frame),
        "valid": np.isfinite(frame).astype(np.uint8),
        "noise/rms": rms,
        "noise/gain": gain,
        "label/class": np.array([stamp.label for stamp in stamps], np.uint8),
        "exposure_id": np.array([stamp.group for stamp in stamps], np.int64),
        "object_id": np.arange(len(stamps), dtype=np.int64),
    }


def catalogue(stamps: Sequence[Stamp], text: Sequence[str], numbers: Sequence[str]) -> dict[str, list[Any]]:
    """Columns of one type each; "" and NaN where unknown."""
    found: dict[str, list[Any]] = {name: [str(stamp.row.get(name, "")) for stamp in stamps] for name in text}
    return found | {name: [float(stamp.row.get(name, np.nan)) for stamp in stamps] for name in numbers}
