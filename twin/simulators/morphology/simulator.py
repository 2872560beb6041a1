"""Galaxies with the features of Galaxy Zoo, as a simulator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array
from pydantic import BaseModel, ConfigDict, Field

from twin.io.layout import ArraySpec
from twin.observatory.state import ImagerState
from twin.priors import morphology as prior_of
from twin.priors.fields import Prior, Truth
from twin.priors.sites import Site
from twin.simulators.base import Canvas, Rendered, Setup
from twin.simulators.morphology import galaxies
from twin.simulators.morphology.answers import answers, label_arrays, seen

Scenes = Mapping[str, Callable[[galaxies.Studio, Truth, ImagerState], galaxies.Sketch]]
SCENES: Scenes = {
    "smooth": galaxies.smooth,
    "merger": galaxies.merger,
    "star": galaxies.star,
} | dict.fromkeys(("lenticular", "spiral", "barred", "ring", "edge_on", "irregular"), galaxies.disc)


class MorphologyOptions(BaseModel):
    """cells: sampled light's cells a pixel side; visible: signal-to-noise ratio from which a feature counts as seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    cells: int = Field(2, ge=1, le=8)
    visible: float = Field(25.0, gt=0)


class Morphology:
    """One galaxy of any shape in the middle of a frame (`twin.priors.morphology`)."""

    options: ClassVar[type[BaseModel]] = MorphologyOptions
    sites: ClassVar[Mapping[str, Site]] = prior_of.SITES
    classes: ClassVar[tuple[str, ...]] = tuple(prior_of.CLASSES)
    units: ClassVar[Mapping[str, str]] = prior_of.UNITS

    def __init__(self, setup: Setup) -> None:
        self._options: MorphologyOptions = setup.options
        self._wavelengths: np.ndarray = setup.wavelengths

    def truth(self, cls: str, prior: Prior) -> Callable[[], Truth]:
        return lambda: {**prior_of.CLASSES[cls](prior), **prior_of.around(prior)}

    def render(self, cls: str, truth: Truth, state: ImagerState, canvas: Canvas) -> Rendered:
        studio = galaxies.Studio(canvas, self._options.cells, self._wavelengths)
        sketch = SCENES[cls](studio, truth, state)
        around = galaxies.field_spectrum(canvas.grid, truth, state)
        expected, snr = galaxies.develop(studio, sketch, around, state)
        return Rendered(expected, {"snr": snr, **sketch.parts})

    def labels(self, cls: str, truth: Truth, rendered: Rendered, state: ImagerState) -> dict[str, Array]:
        nothing = {"strayed": jnp.float32(0), "separation": jnp.float32(jnp.nan)}
        found = {name: rendered.parts.get(name, value) for name, value in nothing.items()}
        return answers(cls, truth) | seen(cls, rendered.parts["snr"], self._options.visible) | found

    def label_arrays(self) -> tuple[ArraySpec, ...]:
        return (
            *label_arrays(self._options.visible),
            ArraySpec(
                "label/strayed", (), "float32", (), "", "", "share of the discs' light that an encounter has thrown out"
            ),
            ArraySpec(
                "label/separation", (), "float32", (), "arcsec", "pos.angDistance",
                "distance of the nuclei of a merger, NaN for others",
            ),
        )  # fmt: skip
