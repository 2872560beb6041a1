"""What the YAML of a recipe of spectra may say, and what is checked of it beyond its types."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from twin.priors.laws import Law
from twin.priors.sites import misfit
from twin.priors.spectra import KINDS, StarsConfig
from twin.recipe.spectra_adapter import CHANNELS
from twin.schema import Node, suggest, validate
from twin.simulators.spectra.labels import SIDES, ProfileConfig


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GridConfig(_Strict):
    """The frame's pixels, centres from `low` to `high` [Angstrom, vacuum], even in wavelength or its logarithm."""

    low: float = Field(6519.0, ge=3600, le=9200)
    high: float = Field(6732.0, ge=3600, le=9200)
    pixels: int = Field(140, ge=16, le=16384)
    law: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _ordered(self) -> GridConfig:
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        return self

    @property
    def wavelength(self) -> np.ndarray:
        """(P,) [Angstrom]"""
        make = np.linspace if self.law == "linear" else np.geomspace
        return make(self.low, self.high, self.pixels)


class FineConfig(_Strict):
    """The simulator's grid: steps of log10 wavelength, `margin` [Angstrom] beyond the pixels, components of the table
    of photospheres."""

    step: float = Field(2.5e-5, ge=1e-6, le=2e-4)
    margin: float = Field(20.0, ge=1, le=300)
    components: int = Field(48, ge=8, le=256)


class SpectrumConfig(_Strict):
    """A recipe of spectra.

    spectrograph   `gaussian`: the plain one of `twin.recipe.spectra_adapter`
    telemetry      laws of its channels
    kinds          shares of the kinds of stars
    normalisation  of the frame: `median` of the spectrum, or the `continuum` about H alpha, as it is without noise
    """

    name: str
    description: str = ""
    spectrograph: Literal["gaussian"]
    grid: GridConfig = GridConfig()
    fine: FineConfig = FineConfig()
    telemetry: dict[str, Law]
    kinds: dict[str, float]
    stars: StarsConfig
    profile: ProfileConfig = ProfileConfig()
    normalisation: Literal["median", "continuum"] = "median"
    train: dict[str, Any] = {}

    @property
    def span(self) -> tuple[float, float]:
        """Of the simulator's grid [Angstrom]: the pixels and their margin, and where H alpha's continuum is read."""
        low = min(self.grid.low - self.fine.margin, SIDES[0][0] - self.fine.margin)
        return low, max(self.grid.high + self.fine.margin, SIDES[1][1] + self.fine.margin)


def is_spectrum(node: Node) -> bool:
    """Whether a recipe is one of spectra."""
    return isinstance(node.value, dict) and "spectrograph" in node.value


def read_spectrum(node: Node) -> SpectrumConfig:
    """The validated recipe of a YAML node. Raises UserError with file, line and key for whatever is wrong in it."""
    config = validate(SpectrumConfig, node)
    for kind, share in config.kinds.items():
        if kind not in KINDS:
            raise node.error("unknown kind of star", ("kinds", kind), suggest(kind, KINDS))
        if not 0 <= share < float("inf"):
            raise node.error(f"must be a finite share, at least 0, not {share:g}", ("kinds", kind))
    if not sum(config.kinds.values()) > 0:
        raise node.error("the shares of the kinds add up to 0", ("kinds",))
    mistake = config.stars.mistake(tuple(kind for kind in KINDS if config.kinds.get(kind, 0) > 0))
    if mistake is not None:
        problem, key, known = mistake
        raise node.error(problem, ("stars", *key), suggest(key[-1], known))
    for name, law in config.telemetry.items():
        if name not in CHANNELS:
            raise node.error("unknown channel", ("telemetry", name), suggest(name, list(CHANNELS)))
        unfit = misfit(CHANNELS[name], law)
        if unfit is not None:
            raise node.error(unfit, ("telemetry", name))
    for name, site in CHANNELS.items():
        if name not in config.telemetry:
            raise node.error(f"has no law of {name} ({site.meaning})", ("telemetry",))
    if not config.grid.low < 6564.6 < config.grid.high:
        raise node.error("must hold H alpha, 6564.6 Angstrom", ("grid",))
    narrow = config.telemetry["lsf"].support[0]
    cell = config.fine.step * np.log(10) * config.grid.low
    if cell > 0.9 * narrow:
        raise node.error(
            f"is {cell:.3g} Angstrom, too coarse for a line-spread function of {narrow:.3g}", ("fine", "step")
        )
    if config.fine.margin < 6 * config.telemetry["lsf"].support[1]:
        widest = config.telemetry["lsf"].support[1]
        raise node.error(
            f"is below six times the widest line-spread function, {widest:.3g} Angstrom", ("fine", "margin")
        )
    return config
