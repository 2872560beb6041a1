"""Arrays and attributes of the datasets that a recipe makes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial

from twin.io.layout import ArraySpec, DatasetSpec
from twin.recipe.program import Program

_TRIES = (ArraySpec("label/tries", (), "uint8", (), "", "meta.number", "the draw that was accepted, 0 if none was"),)


def unit_of(name: str, endings: Mapping[str, str]) -> str:
    """VOUnit of a truth parameter: that of the longest of `endings` with which its name ends, its number aside."""
    if "_mag" in name:
        return "mag"
    stem = re.sub(r"_\d+$", "", name)
    fits = [end for end in endings if stem.endswith(end)]
    return endings[max(fits, key=len)] if fits else ""


def dataset_spec(program: Program, sha256: str) -> DatasetSpec:
    """Layout of a program's samples, with the recipe and its identity as attributes."""
    n, bands = program.config.frame.npix, len(program.bands)
    names = {"band": program.bands}
    frame = ArraySpec(
        "frame", (bands, n, n), "int16" if program.stacked else "uint16", ("band", "y", "x"), "ct", "phot.count",
        "sky-subtracted counts in steps of noise/scale" if program.stacked else "detector counts, with sky and bias",
        names,
    )  # fmt: skip
    per_band = partial(ArraySpec, shape=(bands,), dtype="float32", dims=("band",), coords=names)
    truth_units = tuple(unit_of(name, program.simulator.units) for name in program.truth_names)
    channels = program.instrument.telemetry_channels
    units = tuple(channel.unit.replace("px", "pixel") for channel in channels)
    arrays = [
        frame,
        per_band("noise/scale", unit="ct", description="counts a step of frame stands for"),
        per_band("noise/rms", unit="ct", ucd="stat.stdev;instr.background", description="noise of an empty pixel"),
        per_band("noise/gain", ucd="instr.det", description="electrons a count stands for"),
        *program.simulator.label_arrays(),
        *(_TRIES if program.config.selection is not None else ()),
        ArraySpec("label/class", (), "uint8", (), "", "meta.code.class", "index into the attribute classes"),
        ArraySpec(
            "truth", (len(program.truth_names),), "float32", ("parameter",),
            description="what the prior drew, NaN where a class lacks it",
            coords={"parameter": program.truth_names, "parameter_unit": truth_units},
        ),
        ArraySpec(
            "telemetry", (len(channels),), "float32", ("channel",),
            description="telemetry of the exposure",
            coords={"channel": tuple(channel.name for channel in channels), "channel_unit": units},
        ),
        ArraySpec("exposure_id", (), "int64", (), "", "meta.id;obs", "row of the telemetry table, or number"),
        ArraySpec("object_id", (), "int64", (), "", "meta.id;src", "index of the object: split by it"),
    ]  # fmt: skip
    if not program.stacked:
        arrays.insert(2, per_band("noise/sky", unit="ct", description="level of an empty pixel: sky, dark, bias"))
    attrs = {
        "recipe": json.loads(json.dumps(program.node.value, default=str)),
        "recipe_name": program.name,
        "recipe_sha256": sha256,
        "classes": list(program.classes),
        "bands": list(program.bands),
        "pixel_scale": program.pixel_scale,
    }
    if program.config.selection is not None:
        attrs["tries"] = program.tries
    return DatasetSpec(tuple(arrays), attrs)
