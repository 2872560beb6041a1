"""What a recipe's YAML may say, and what is checked of it beyond its types."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from twin.observatory.imager import Imager, list_instruments, load_instrument
from twin.priors import sed
from twin.priors.bands import load_bands
from twin.priors.laws import Law
from twin.priors.sites import misfit
from twin.recipe.selection import Selection, check_selection
from twin.schema import Node, UserError, suggest, validate
from twin.simulators.base import NAMES, simulator


class FrameConfig(BaseModel):
    """Geometry of a frame. npix pixels a side; factor: frequencies kept in units of the pixel's Nyquist limit;
    subsamples: midpoints a side of each convolution cell for sampled light; blocks: of 8x8 cells (or what divides the
    frame) in which light behind a lens is integrated by points x points of Gauss and Legendre in each cell."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    npix: int = Field(64, ge=8, le=1024)
    factor: int = Field(1, ge=1, le=4)
    pad: int = Field(2, ge=1, le=4)
    subsamples: int = Field(3, ge=1, le=16)
    blocks: int = Field(12, ge=0, le=4096)
    points: int = Field(4, ge=1, le=16)


class RecipeConfig(BaseModel):
    """What a recipe's YAML holds.

    colours      what gives a source its magnitudes in bands: the slopes of two colours, or spectra (twin.priors.sed)
    throughputs  YAML file with the bands' curves, for an instrument whose curves are not shipped
    selection    what a draw must have, as rendered, to become a sample; None = every draw does
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    description: str = ""
    simulator: str = "optical"
    scene: dict[str, Any] = {}
    instrument: str
    bands: tuple[str, ...] = Field(min_length=1)
    telemetry: str | None = None
    calibration: str | None = None
    colours: Literal["slopes", "sed"] = "slopes"
    throughputs: str | None = None
    frame: FrameConfig = FrameConfig()
    classes: dict[str, float]
    prior: dict[str, Law]
    selection: Selection | None = None
    train: dict[str, Any] = {}


def read_config(node: Node) -> RecipeConfig:
    """The validated recipe of a YAML node. Raises UserError with file, line and key for whatever is wrong in it."""
    config = validate(RecipeConfig, node)
    if config.simulator not in NAMES:
        raise node.error(
            f"must be {' or '.join(NAMES)}, not {config.simulator}", ("simulator",), suggest(config.simulator, NAMES)
        )
    physics = simulator(config.simulator)
    for name, share in config.classes.items():
        place = ("classes", name)
        if name not in physics.classes:
            raise node.error("unknown class", place, suggest(name, physics.classes))
        if not 0 <= share < float("inf"):
            raise node.error(f"must be a finite share, at least 0, not {share:g}", place)
    if not sum(config.classes.values()) > 0:
        raise node.error("the shares of the classes add up to 0", ("classes",))
    if config.selection is not None:
        check_selection(node, config.selection, physics.classes)
    for name, law in config.prior.items():
        if name not in physics.sites:
            raise node.error("unknown key", ("prior", name), suggest(name, physics.sites))
        problem = misfit(physics.sites[name], law)
        if problem is not None:
            raise node.error(problem, ("prior", name))
    return config


def absolute_paths(node: Node, config: RecipeConfig) -> Node:
    """The node with the files that it names as absolute paths, so that a copy of it elsewhere still finds them.

    A recipe file names them beside itself, a command line where the user is.
    """
    named = {key: getattr(config, key) for key in ("telemetry", "calibration", "throughputs", "instrument")}
    if config.instrument in list_instruments() or not _is_path(config.instrument):
        del named["instrument"]
    found: dict[str, Any] = {}
    for key, text in named.items():
        if text is not None:
            said_in = node.where((key,))[0]
            found[key] = str((Path() if said_in == "--set" else Path(said_in).parent).joinpath(text).absolute())
    scene = dict(config.scene)
    for key in getattr(simulator(config.simulator), "files", ()):
        said_in = node.where(("scene", key))[0]
        beside = (Path() if said_in == "--set" else Path(said_in).parent) / str(scene.get(key) or "")
        if beside.is_file():  # else the simulator looks among the real observations
            scene[key] = str(beside.absolute())
    if scene != config.scene:
        found["scene"] = scene
    return replace(node, value={**node.value, **found})


def _is_path(text: str) -> bool:
    return Path(text).suffix in (".yaml", ".yml") or len(Path(text).parts) > 1


def read_instrument(node: Node, config: RecipeConfig) -> Imager:
    """The recipe's instrument, calibrated where the recipe names a calibration; it must have the recipe's bands."""
    try:
        instrument = load_instrument(node.value["instrument"])
        if config.calibration is not None:
            from twin.observatory.calibrate.apply import calibrated

            instrument = calibrated(instrument, node.value["calibration"])
    except UserError as mistake:
        if mistake.file is not None:  # the mistake is in the instrument's own file
            raise
        raise node.error(mistake.problem, ("instrument",), mistake.suggestion) from None
    for k, band in enumerate(config.bands):
        if band not in instrument.bands:
            problem = f"instrument {instrument.name!r} has no band {band!r}"
            raise node.error(problem, ("bands", k), suggest(band, instrument.bands))
    if len(set(config.bands)) < len(config.bands):
        raise node.error("a band stands twice", ("bands",))
    return instrument


def read_colours(node: Node, config: RecipeConfig, instrument: Imager) -> dict[str, sed.Colours] | None:
    """Tables of colours in the recipe's bands by family of spectra, None for a recipe without spectra."""
    if config.colours != "sed":
        if config.throughputs is not None:
            raise node.error("goes with colours: sed", ("throughputs",))
        return None
    try:
        curves = load_bands(node.value.get("throughputs") or instrument.config.name)
    except UserError as mistake:
        if mistake.file is not None:  # the mistake is in the curves' own file
            raise
        raise node.error(f"{mistake.problem}: name a file of them in `throughputs`", ("colours",)) from None
    for k, band in enumerate(config.bands):
        if band not in curves:
            raise node.error(
                f"has no throughput, which colours: sed needs (there are {', '.join(curves)})", ("bands", k)
            )
    return {family: sed.colours(family, [curves[band] for band in config.bands]) for family in sed.FAMILIES}


def read_table(node: Node, instrument: Imager) -> np.ndarray | None:
    """Telemetry (n, C) of the table that the recipe names, if it names one."""
    path = node.value.get("telemetry")
    if path is None:
        return None
    table = instrument.read_exposures(path)
    if len(table) == 0:
        raise UserError("the table has no exposure", file=path)
    return table
