"""Arrays and attributes of the datasets of a recipe of spectra."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from twin.io.layout import ArraySpec, DatasetSpec
from twin.priors.spectra import KINDS
from twin.simulators.spectra.labels import CLASSES

if TYPE_CHECKING:
    from twin.recipe.spectra import SpectrumRecipe

LABELS = {
    "ha_ew": ("Angstrom", "spect.line.eqWidth", "of H alpha in the noise-free spectrum, negative for emission"),
    "teff": ("K", "phys.temperature.effective", "of the star"),
    "logg": ("", "phys.gravity", "log10 of the star's surface gravity [cm/s2]"),
    "metallicity": ("", "phys.abund.Fe", "[Fe/H]"),
    "vsini": ("km.s-1", "phys.veloc.rotat", "projected speed of rotation"),
    "velocity": ("km.s-1", "spect.dopplerVeloc", "radial velocity"),
}


def spectrum_spec(recipe: SpectrumRecipe) -> DatasetSpec:
    """Layout of a recipe's samples, with the recipe and its identity as attributes."""
    wavelength = recipe.instrument.wavelength
    names = {"wavelength": tuple(f"{value:.4f}" for value in wavelength)}
    shape, dims = (len(wavelength),), ("wavelength",)
    level = {"median": "its median", "continuum": "the continuum about H alpha"}[recipe.config.normalisation]
    arrays = (
        ArraySpec("frame", shape, "float32", dims, "", "phot.flux.density;em.wl", f"flux over {level}", names,
                  {"wavelength_unit": "Angstrom", "medium": "vacuum"}),
        ArraySpec("noise/ivar", shape, "float32", dims, "", "stat.variance;phot.flux.density",
                  "1 / variance of frame", names),
        *(ArraySpec(f"label/{name}", (), "float32", (), unit, ucd, meaning)
          for name, (unit, ucd, meaning) in LABELS.items()),
        ArraySpec("label/class", (), "uint8", (), "", "meta.code.class",
                  "index into the attribute classes: H alpha without noise, as the instrument resolves it"),
        ArraySpec("label/kind", (), "uint8", (), "", "meta.code.class", "index into the attribute kinds: what it is"),
        ArraySpec("truth", (len(recipe.truth_names),), "float32", ("parameter",),
                  description="what the prior drew, NaN where a kind lacks it",
                  coords={"parameter": recipe.truth_names, "parameter_unit": recipe.truth_units}),
        ArraySpec("telemetry", (len(recipe.instrument.channels),), "float32", ("channel",),
                  description="telemetry of the exposure",
                  coords={"channel": recipe.instrument.channels, "channel_unit": recipe.instrument.units}),
        ArraySpec("exposure_id", (), "int64", (), "", "meta.id;obs", "number of the exposure"),
        ArraySpec("object_id", (), "int64", (), "", "meta.id;src", "index of the star: split by it"),
    )  # fmt: skip
    attrs = {
        "recipe": json.loads(json.dumps(recipe.node.value, default=str)),
        "recipe_name": recipe.name,
        "recipe_sha256": recipe.sha256,
        "classes": list(CLASSES),
        "kinds": list(KINDS),
        "grid": {"first": float(wavelength[0]), "last": float(wavelength[-1]), "n": len(wavelength),
                 "law": recipe.config.grid.law, "medium": "vacuum"},
    }  # fmt: skip
    return DatasetSpec(arrays, attrs)
