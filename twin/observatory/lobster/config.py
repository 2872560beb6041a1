"""What a lobster-eye instrument's YAML file may say, and where the shipped ones lie."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from twin.observatory.lobster.materials import Table
from twin.observatory.lobster.reflectivity import Law
from twin.schema import Node, UserError, load_yaml, quantity, suggest, validate

Share = Annotated[float, quantity("", ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CoatingConfig(_Strict):
    """The pores' walls. table: optical constants (twin.observatory.lobster.materials); law: what roughness does."""

    element: Literal["Ir", "Au"] = "Ir"
    table: Table = "henke"
    law: Law = "nevot-croce"
    roughness: Annotated[float, quantity("nm", ge=0, lt=5)] = 0.0


class PlatesConfig(_Strict):
    """Square plates of pores side by side, `count` along an axis; how far real ones are from ideal. See
    LobsterState."""

    count: int = Field(ge=1, le=8)
    pitch: Annotated[float, quantity("mm", gt=1, lt=500)]
    gap: Annotated[float, quantity("mm", ge=0, lt=50)] = 0.0
    tilt: Annotated[float, quantity("arcmin", ge=0, lt=10)] = 0.0
    ratio_spread: Annotated[float, quantity("", ge=0, lt=0.3)] = 0.0


class OpticsConfig(_Strict):
    """Radius of the sphere of pores, the pores, and what every bounce costs. See LobsterState."""

    radius: Annotated[float, quantity("mm", gt=10, lt=100000)]
    pore_width: Annotated[float, quantity("um", gt=1, lt=1000)]
    pore_length: Annotated[float, quantity("mm", gt=0.1, lt=100)]
    open_area: Annotated[float, quantity("", gt=0, le=1)]
    coating: CoatingConfig = CoatingConfig()
    plates: PlatesConfig
    efficiency: Annotated[float, quantity("", gt=0, le=1)] = 1.0
    scatter: Annotated[float, quantity("", ge=0, lt=1)] = 0.0
    scatter_width: Annotated[float, quantity("arcmin", gt=0.1, lt=600)] = 20.0
    second_order: Annotated[float, quantity("arcmin", ge=0, lt=60)] = 0.0


class SensorConfig(_Strict):
    """One detector of `npix` pixels a side, and what lies in front of its silicon. `centre` in the field of the
    plates."""

    npix: int = Field(ge=8, le=16384)
    pixel: Annotated[float, quantity("um", gt=0.1, lt=1000)]
    centre: tuple[Annotated[float, quantity("arcmin")], Annotated[float, quantity("arcmin")]] = (0.0, 0.0)
    roll: Annotated[float, quantity("deg", ge=-180, le=180)] = 0.0
    frame_time: Annotated[float, quantity("s", gt=0)]
    aluminium: Annotated[float, quantity("nm", ge=0, lt=10000)] = 0.0
    depletion: Annotated[float, quantity("um", gt=0.1, lt=1000)]
    dead_layer: Annotated[float, quantity("nm", ge=0, lt=10000)] = 0.0
    oxide: Annotated[float, quantity("nm", ge=0, lt=10000)] = 0.0
    nitride: Annotated[float, quantity("nm", ge=0, lt=10000)] = 0.0
    throughput: Share = 1.0


class LobsterConfig(_Strict):
    """A lobster-eye telescope: one detector behind its plates."""

    name: str = Field(min_length=1)
    kind: Literal["lobster"]
    description: str
    energies: tuple[Annotated[float, quantity("keV", ge=0.1, le=12)], Annotated[float, quantity("keV", ge=0.1, le=12)]]
    optics: OpticsConfig
    detector: SensorConfig


def _shipped() -> dict[str, Path]:
    folder = files("twin") / "configs" / "instruments" / "lobster"
    return {Path(str(item)).stem: Path(str(item)) for item in folder.iterdir() if item.name.endswith(".yaml")}


def list_lobsters() -> tuple[str, ...]:
    """Names of the shipped lobster-eye instruments."""
    return tuple(sorted(_shipped()))


def find_lobster(name_or_path: str | Path) -> Node:
    """YAML of a shipped lobster-eye instrument, or of a file. Raises UserError where there is neither."""
    shipped, text = _shipped(), str(name_or_path)
    if text in shipped:
        return load_yaml(shipped[text])
    if Path(text).suffix in (".yaml", ".yml") or len(Path(text).parts) > 1:
        return load_yaml(text)
    raise UserError(
        f'unknown lobster-eye instrument "{text}" (known: {", ".join(sorted(shipped))})',
        suggestion=suggest(text, shipped),
    )


def read_lobster(node: Node) -> LobsterConfig:
    """The validated instrument of a YAML node. Raises UserError with file, line and key."""
    config = validate(LobsterConfig, node)
    if config.optics.plates.gap >= config.optics.plates.pitch:
        raise node.error("the gap leaves nothing open of the pitch", ("optics", "plates", "gap"))
    if config.energies[0] >= config.energies[1]:
        raise node.error("the band ends before it begins", ("energies",))
    return config
