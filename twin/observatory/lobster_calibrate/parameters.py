"""What a calibration may change of a telescope, with what was known of it before: a table, not code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.observatory.lobster.bounces import ARCMIN
from twin.observatory.lobster.config import LobsterConfig
from twin.observatory.lobster.state import LobsterState
from twin.observatory.lobster_calibrate.frame import Window
from twin.observatory.lobster_calibrate.model import Figure


@dataclass(frozen=True)
class Law:
    """A parameter before any frame was seen: normal about `middle` with `sd`, or its logarithm (relative `sd`), or its
    logit, so that the value cannot leave what is physical.
    """

    name: str
    unit: str
    scale: str
    sd: float

    def free(self, value: float) -> float:
        """The number on the line from minus to plus infinity that the fit moves."""
        if self.scale == "log":
            return float(np.log(max(value, 1e-9)))
        if self.scale == "logit":
            value = min(max(value, 1e-4), 1 - 1e-4)
            return float(np.log(value / (1 - value)))
        return value

    def value(self, free: Array) -> Array:
        """The parameter, of the number that the fit moves."""
        if self.scale == "log":
            return jnp.exp(free)
        if self.scale == "logit":
            return jax.nn.sigmoid(free)
        return free

    def slope(self, free: float) -> float:
        """d value / d free"""
        value = float(self.value(jnp.asarray(free)))
        return {"log": value, "logit": value * (1 - value)}.get(self.scale, 1.0)


OPTICS = (
    Law("pore_ratio", "", "log", 0.05),
    Law("ratio_spread", "", "log", 0.7),
    Law("tilt", "arcmin", "log", 0.5),
    Law("efficiency", "", "logit", 1.0),
    Law("roughness", "nm", "log", 0.5),
    Law("scatter", "", "logit", 1.0),
    Law("scatter_width", "arcmin", "log", 1.0),
    Law("second_order", "arcmin", "log", 1.0),
    Law("plate_gap", "mm", "log", 1.0),
    Law("plate_pitch", "mm", "log", 0.03),
    Law("roll", "deg", "", 2.0),
    Law("throughput", "", "log", 1.0),
)
"""Of LobsterState. `throughput` also takes up what the source's flux is wrong by."""
FIGURE = (
    Law("twist", "deg", "log", 1.0),
    Law("halo", "", "logit", 1.0),
    Law("halo_width", "arcmin", "log", 0.5),
    Law("bend_x", "", "", 2.0),
    Law("bend_y", "", "", 2.0),
    Law("gap_ratio", "", "log", 0.7),
    Law("patch", "", "log", 0.3),
)
"""Of the model's Figure."""
PLACE = (
    Law("source_x", "arcmin", "", 10.0),
    Law("source_y", "arcmin", "", 10.0),
    Law("centre_x", "arcmin", "", 15.0),
    Law("centre_y", "arcmin", "", 15.0),
    Law("turn", "deg", "", 5.0),
    Law("left", "arcmin", "", 15.0),
    Law("right", "arcmin", "", 40.0),
    Law("bottom", "arcmin", "", 15.0),
    Law("top", "arcmin", "", 40.0),
)
"""The source's image, the detector's middle in the field of the plates, the detector's turn in the image, and the
edges of
what light reaches."""
BACKGROUND = (
    Law("diffuse", "ct/s/cm2", "log", 1.0),
    Law("particles", "ct/s/cm2", "log", 1.0),
    Law("vignetting", "", "", 0.15),
)
LAWS = OPTICS + FIGURE + PLACE + BACKGROUND
_UNIT = {"roughness": 1e-9, "plate_gap": 1e-3, "plate_pitch": 1e-3}


def start(state: LobsterState, config: LobsterConfig, half: float, source: Sequence[float]) -> dict[str, float]:
    """Values before the fit: the instrument's, a source at `source` [arcmin], a detector of `half` its width lit
    wholly."""
    found = {law.name: float(getattr(state, law.name)) / _UNIT.get(law.name, 1.0) for law in OPTICS}
    found |= {"source_x": float(source[0]), "source_y": float(source[1]), "turn": 0.0}
    found |= {"centre_x": config.detector.centre[0], "centre_y": config.detector.centre[1]}
    found |= {"left": -half, "right": half, "bottom": -half, "top": half}
    found |= {
        "twist": 1.0,
        "halo": 0.1,
        "halo_width": 10.0,
        "bend_x": 1.0,
        "bend_y": 1.0,
        "gap_ratio": 1.0,
        "patch": 1.0,
    }
    return found | {"diffuse": 0.04, "particles": 0.04, "vignetting": 0.15}


def state_of(state: LobsterState, count: int, values: Mapping[str, float | Array]) -> LobsterState:
    """The State with fitted values in their units."""
    new = {law.name: jnp.asarray(values[law.name], jnp.float32) * _UNIT.get(law.name, 1.0) for law in OPTICS}
    half = count * new["plate_pitch"] / 2 / state.radius / ARCMIN
    return replace(state, **new, aperture=half * jnp.array([[-1.0, 1.0], [-1.0, 1.0]]))


def figure_of(values: Mapping[str, float | Array]) -> Figure:
    """The model's Figure with fitted values."""
    return Figure(
        jnp.deg2rad(values["twist"]),
        jnp.asarray(values["halo"]),
        jnp.asarray(values["halo_width"]),
        jnp.stack([jnp.asarray(values["bend_x"]), jnp.asarray(values["bend_y"])]),
        jnp.asarray(values["gap_ratio"]),
        jnp.asarray(values["patch"]),
    )


def window_of(values: Mapping[str, float | Array], half: float) -> Window:
    """The detector, `half` wide [arcmin], and what light reaches of it."""
    lit = jnp.stack([jnp.asarray(values[name]) for name in ("left", "right", "bottom", "top")]).reshape(2, 2)
    whole = jnp.array([[-half, half]] * 2)
    return Window(jnp.asarray(values["turn"]), whole, jnp.clip(lit, -half, half))
