"""A lobster-eye telescope: an instrument's YAML, and the State of an exposure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from twin.observatory.lobster.bounces import ARCMIN
from twin.observatory.lobster.config import LobsterConfig, find_lobster, read_lobster
from twin.observatory.lobster.reflectivity import Coating
from twin.observatory.lobster.state import LobsterState
from twin.schema import Node


class Lobster:
    """A lobster-eye telescope as its YAML describes it.

    config   LobsterConfig
    node     the YAML it came from, whose values enter a recipe's hash
    coating  what `twin.observatory.lobster.psf` and `trace` take
    """

    def __init__(self, node: Node) -> None:
        """Raises UserError with file, line and key where the YAML is wrong."""
        self.node = node
        self.config: LobsterConfig = read_lobster(node)
        walls = self.config.optics.coating
        self.coating = Coating(walls.element, walls.table, walls.law)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def identity(self) -> dict[str, Any]:
        """What enters a recipe's hash: the instrument's YAML."""
        value: dict[str, Any] = self.node.value
        return value

    def state(self) -> LobsterState:
        """The telescope as built; `dataclasses.replace` changes what an exposure changes."""
        optics, detector = self.config.optics, self.config.detector
        plates = optics.plates
        half = plates.count * plates.pitch / 2 / optics.radius / ARCMIN
        values = {
            "radius": optics.radius * 1e-3,
            "pore_width": optics.pore_width * 1e-6,
            "pore_ratio": optics.pore_length * 1e3 / optics.pore_width,
            "ratio_spread": plates.ratio_spread,
            "aperture": [[-half, half], [-half, half]],
            "plate_pitch": plates.pitch * 1e-3,
            "plate_gap": plates.gap * 1e-3,
            "tilt": plates.tilt,
            "roughness": optics.coating.roughness * 1e-9,
            "efficiency": optics.efficiency,
            "scatter": optics.scatter,
            "scatter_width": optics.scatter_width,
            "second_order": optics.second_order,
            "roll": detector.roll,
            "open_area": optics.open_area,
            "filter_al": detector.aluminium * 1e-9,
            "depletion": detector.depletion * 1e-6,
            "dead_layer": detector.dead_layer * 1e-9,
            "oxide": detector.oxide * 1e-9,
            "nitride": detector.nitride * 1e-9,
            "throughput": detector.throughput,
        }
        return LobsterState(**{key: jnp.asarray(value, jnp.float32) for key, value in values.items()})

    @property
    def pixel_scale(self) -> float:
        """Side of a pixel [arcmin]: the detector's sphere has half the pores' radius."""
        return self.config.detector.pixel * 1e-3 / (self.config.optics.radius / 2) / ARCMIN

    def edges(self, bins: int) -> tuple[np.ndarray, np.ndarray]:
        """Edges (bins + 1,) along x and along y [arcmin] of `bins` bins a side that cover the detector."""
        detector = self.config.detector
        half = detector.npix * self.pixel_scale / 2
        x, y = (middle + np.linspace(-half, half, bins + 1) for middle in detector.centre)
        return x, y


def load_lobster(name_or_path: str | Path) -> Lobster:
    """A shipped lobster-eye instrument by name, or one from a YAML file. Raises UserError."""
    return Lobster(find_lobster(name_or_path))
