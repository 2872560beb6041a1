"""Arrays and attributes of the datasets of an X-ray recipe."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from twin.io.layout import ArraySpec, DatasetSpec
from twin.priors.xray.config import FAMILIES, KINDS
from twin.simulators.lobster.field import (
    CHANNELS,
    CONDITIONS,
    FIELD_UNITS,
    FIELDS,
    OPTICS,
    TRUTH,
    TRUTH_UNITS,
)

if TYPE_CHECKING:
    from twin.recipe.xray import XrayRecipe

EVENTS = np.dtype(
    [
        ("sample", "<i8"), ("TIME", "<f8"), ("X", "<i2"), ("Y", "<i2"), ("DETX", "<i2"), ("DETY", "<i2"),
        ("PI", "<i4"), ("GRADE", "<i2"), ("SOURCE", "<i2"),
    ]
)  # fmt: skip


def xray_spec(recipe: XrayRecipe) -> DatasetSpec:
    """Layout of a recipe's samples, with the recipe and its identity as attributes."""
    config, frame = recipe.config, recipe.frame
    bins, bands = frame.bins, recipe.bands
    names = {"band": bands}
    per_band = partial(ArraySpec, shape=(len(bands),), dtype="float32", dims=("band",), coords=names)
    image = partial(ArraySpec, unit="ct", ucd="phot.count")
    sources, frame_of = config.list.sources, config.frame
    side = frame_of.fine * (frame_of.psf - 1) + 1
    units = {name: site.unit for name, site in (OPTICS | CONDITIONS).items()}
    times = () if frame.sliced or not frame.times else (
        image("input/times", (frame.times, bins, bins), "uint16", ("time", "y", "x"),
              description="counts of all bands in equal slices of the exposure"),
    )  # fmt: skip
    known = {"catalogue": recipe.files.catalogue, "template": recipe.files.templates}
    real = tuple(
        ArraySpec(f"label/{name}", (sources,), "int16", ("source",), "", "meta.id",
                  f"index into the attribute {name}, -1 where a source is none of them")
        for name, there in known.items() if there is not None
    )  # fmt: skip
    arrays = (
        image("frame", (len(bands), bins, bins), "uint16", ("band", "y", "x"), coords=names,
              description="counts in bins of the detector" + (", slices of the exposure" if frame.sliced else "")),
        *times,
        per_band("noise/scale", unit="ct", description="counts a step of frame stands for"),
        per_band("noise/sky", unit="ct", description="mean background a bin, without single pixels and columns"),
        per_band("noise/rms", unit="ct", ucd="stat.stdev;instr.background", description="noise of an empty bin"),
        per_band("noise/gain", ucd="instr.det", description="photons a count stands for"),
        ArraySpec("input/psf", (side, side), "float16", ("psf_y", "psf_x"), "", "",
                  "light of a source in the middle of the detector, over that on a boundless one",
                  attrs={"bins_a_bin": frame_of.fine}),
        ArraySpec("label/sources", (sources, len(FIELDS)), "float32", ("source", "field"),
                  description="sources by their photons, the most first; NaN beyond label/n_sources",
                  coords={"field": FIELDS, "field_unit": FIELD_UNITS}),
        ArraySpec("label/kind", (sources,), "uint8", ("source",), "", "meta.code.class",
                  "index into the attribute kinds, 0 beyond label/n_sources"),
        *real,
        ArraySpec("label/n_sources", (), "uint8", (), "", "meta.number", "sources in label/sources"),
        ArraySpec("label/class", (), "uint8", (), "", "meta.code.class", "index into the attribute classes"),
        ArraySpec("truth", (len(TRUTH),), "float32", ("parameter",), description="what the prior drew of the field",
                  coords={"parameter": TRUTH, "parameter_unit": TRUTH_UNITS}),
        ArraySpec("telemetry", (len(CHANNELS),), "float32", ("channel",), description="telemetry of the exposure",
                  coords={"channel": CHANNELS,
                          "channel_unit": tuple(units.get(name, "deg") for name in CHANNELS)}),
        ArraySpec("exposure_id", (), "int64", (), "", "meta.id;obs", "number of the exposure"),
        ArraySpec("object_id", (), "int64", (), "", "meta.id;src", "index of the field: split by it"),
        ArraySpec("pointing_id", (), "int64", (), "", "meta.id;obs", "exposures that share the optics"),
    )  # fmt: skip
    attrs = {
        "recipe": json.loads(json.dumps(recipe.node.value, default=str)),
        "recipe_name": recipe.name,
        "recipe_sha256": recipe.sha256,
        "classes": list(recipe.classes),
        "bands": list(bands),
        "kinds": list(KINDS),
        "families": list(FAMILIES),
        **{name: list(there.names) for name, there in known.items() if there is not None},
        "pixel_scale": recipe.pixel_scale,
        "sensor": {
            "instrument": recipe.instrument.name,
            "side": config.sensor.side,
            "channels": len(recipe.channels.lines),
            "pixel": config.sensor.pixel,
            "pixel_scale": 60 * frame.pixel,
            "frame_time": recipe.instrument.config.detector.frame_time,
        },
        **({"events": list(EVENTS.names or ())} if config.events else {}),
    }
    return DatasetSpec(arrays, attrs)
