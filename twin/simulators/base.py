"""What a recipe needs of a simulator, and the simulators by name.

A simulator turns a drawn truth and a telescope's State into expected counts and labels. Recipes name one in their
`simulator:` line; what is its own business (how many members a cluster may have, say) stands under `scene:`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, Protocol

import numpy as np
from jax import Array
from pydantic import BaseModel, ConfigDict

from twin.io.layout import ArraySpec
from twin.numerics.fourier import Grid, Spectrum
from twin.observatory import psf
from twin.observatory.state import ImagerState
from twin.priors.fields import Prior, Truth
from twin.priors.sites import Site


@dataclass(frozen=True)
class Canvas:
    """Frame grid, the telescope before it, and the sub-pixels of sampled light: `cells` a pixel side enter the
    convolution, each the mean of `subsamples` x `subsamples` midpoints. Light behind a lens is taken at the middle of
    each cell, and by Gauss and Legendre's rule of `points` x `points` in the `blocks` of cells where it bends most.

    signal  whether the recipe selects by rendered signal: `Rendered.parts` is then to hold "signal" (B, npix, npix),
            the light of what the class is about as it is in `expected`, and "size" [arcsec], NaN for what has none
    """

    grid: Grid
    cells: int
    subsamples: int
    optics: psf.Optics | None = None
    blocks: int = 12
    points: int = 4
    signal: bool = False

    def transfer(self, state: ImagerState) -> Spectrum:
        """Optical transfer function (B, 2 half, half) on the frame's own frequencies, without the pixel."""
        assert self.optics is not None
        return psf.otf(self.optics, state, self.grid)

    @property
    def sample_area(self) -> float:
        """[arcsec^2] of a convolution cell."""
        return (self.grid.pixel_scale / self.cells) ** 2


@dataclass(frozen=True)
class Rendered:
    """expected (B, npix, npix) counts after PSF and pixel, before sky and noise; parts: what labels need of the
    scene."""

    expected: Array
    parts: dict[str, Any] = field(default_factory=dict)


class NoOptions(BaseModel):
    """A simulator without a `scene:` section."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Setup:
    """What a simulator is built for: bands and their wavelengths [nm], the frame's geometry, the `scene:` section."""

    bands: tuple[str, ...]
    wavelengths: np.ndarray
    npix: int
    pixel_scale: float
    options: Any


class Simulator(Protocol):
    """One physics.

    options   the pydantic model of a recipe's `scene:` section
    sites     what its laws may be of (`prior:` section)
    classes   names of its kinds of fields, in the order of label/class
    units     VOUnit of truth parameters by the ending of their name

    One that reads files has two attributes more: `files`, the options that name them, and `identity`, its options with
    the content of the files in place of their names.
    """

    options: ClassVar[type[BaseModel]]
    sites: ClassVar[Mapping[str, Site]]
    classes: ClassVar[tuple[str, ...]]
    units: ClassVar[Mapping[str, str]]

    def __init__(self, setup: Setup) -> None: ...

    def truth(self, cls: str, prior: Prior) -> Callable[[], Truth]:
        """NumPyro program of a class: draws scalars, (K,) vectors, and `*_mag` of shape (B,) or (K, B)."""
        ...

    def render(self, cls: str, truth: Truth, state: ImagerState, canvas: Canvas) -> Rendered: ...

    def labels(self, cls: str, truth: Truth, rendered: Rendered, state: ImagerState) -> dict[str, Array]:
        """One array for each of `label_arrays`, without the `label/` of its name; of the same shapes for every
        class."""
        ...

    def label_arrays(self) -> tuple[ArraySpec, ...]:
        """The arrays `label/...` beside label/class, which every recipe has."""
        ...


_SIMULATORS = {
    "optical": ("twin.simulators.optical", "Fields"),
    "galaxy-lens": ("twin.simulators.galaxy_lens.simulator", "GalaxyLens"),
    "cluster": ("twin.simulators.cluster", "Clusters"),
    "morphology": ("twin.simulators.morphology.simulator", "Morphology"),
    "real-lens": ("twin.simulators.real_galaxy.simulator", "RealLens"),
    "crowded": ("twin.simulators.morphology.crowded", "Crowded"),
}
NAMES = tuple(_SIMULATORS)


def simulator(name: str) -> type[Simulator]:
    """The class of a simulator, one of NAMES."""
    module, kind = _SIMULATORS[name]
    found: type[Simulator] = getattr(import_module(module), kind)
    return found
