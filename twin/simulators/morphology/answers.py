"""Answers to the questions of Galaxy Zoo 2 (Willett+ 2013, MNRAS 435, 2835, table 2) from the truth, and what of it
can be seen."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.io.layout import ArraySpec
from twin.priors.fields import Truth

NONE = 255  # the question does not arise
FEATURES = ("bar", "arms", "ring", "clumps", "dust", "tides")
CLASSES_WITH = {
    "bar": ("barred",),
    "arms": ("spiral", "barred"),
    "ring": ("ring",),
    "clumps": ("spiral", "barred", "ring", "irregular", "merger"),
    "dust": ("spiral", "barred", "edge_on"),
    "tides": ("merger",),
}

_MEANING = {
    "features": "0 smooth, 1 features or disc, 2 star",
    "edge_on": "1 where a disc is seen from its edge",
    "bulge": "bulge of a disc: 0 none (below 0.03 of the light), 1 just noticeable, 2 obvious (0.2), 3 dominant (0.5)",
    "roundness": "a smooth galaxy is 0 round (q above 0.8), 1 in between, 2 cigar-shaped (q below 0.45)",
    "arm_number": "number of spiral arms",
    "winding": "arms wound 0 tightly (pitch below 0.26 rad), 1 medium, 2 loosely (above 0.44)",
    "sense": "sense in which trailing arms turn, y up: 0 anticlockwise (S), 1 clockwise (Z)",
    "odd": "0 nothing odd, 1 ring, 2 irregular, 3 merger, 4 dust lane",
}


def _steps(value: Array, *edges: float) -> Array:
    """How many of increasing edges a value has reached."""
    return jnp.asarray(sum((value >= np.float32(edge)).astype(jnp.uint8) for edge in edges), jnp.uint8)


def answers(cls: str, truth: Truth) -> dict[str, Array]:
    """Truth's answer to each question, as uint8."""

    def says(value: int) -> Array:
        return jnp.uint8(value)

    disc, arms = "cos_inclination" in truth, "arm_count" in truth
    odd = {"ring": 1, "irregular": 2, "merger": 3, "edge_on": 4}.get(cls, 0)
    return {
        "features": says({"smooth": 0, "star": 2}.get(cls, 1)),
        "edge_on": says(cls == "edge_on") if disc else says(NONE),
        "bulge": _steps(truth["bulge_share"], 0.03, 0.2, 0.5) if disc else says(NONE),
        "roundness": 2 - _steps(truth["bulge_q"], 0.45, 0.8) if cls == "smooth" else says(NONE),
        "arm_number": truth["arm_count"].astype(jnp.uint8) if arms else says(0),
        "winding": _steps(truth["arm_pitch"], 0.26, 0.44) if arms else says(NONE),
        "sense": (truth["arm_sense"] > 0).astype(jnp.uint8) if arms else says(NONE),
        "odd": says(odd),
    }


def seen(cls: str, snr: dict[str, Array], threshold: float) -> dict[str, Array]:
    """For every feature, whether it is there, and whether it can be seen; `looks` answers the first question anew."""
    signal = {name: snr.get(name, jnp.float32(0)) for name in FEATURES}
    there = {name: jnp.uint8(cls in CLASSES_WITH[name]) for name in FEATURES}
    visible = {f"{name}_visible": (signal[name] >= threshold).astype(jnp.uint8) for name in FEATURES}
    anything = jnp.max(jnp.stack(list(visible.values())))
    looks = {"smooth": jnp.uint8(0), "star": jnp.uint8(2), "edge_on": jnp.uint8(1)}.get(cls, anything)
    return {**there, **visible, "looks": looks, "signal": jnp.stack(list(signal.values()))}


def label_arrays(threshold: float) -> tuple[ArraySpec, ...]:
    """The arrays of both."""
    scalar = [ArraySpec(f"label/{name}", (), "uint8", (), "", "meta.code", f"{text}; {NONE} = not asked")
              for name, text in _MEANING.items()]  # fmt: skip
    for name in FEATURES:
        scalar += [
            ArraySpec(f"label/{name}", (), "uint8", (), "", "meta.code", f"1 if the galaxy has {name}"),
            ArraySpec(
                f"label/{name}_visible", (), "uint8", (), "", "meta.code", f"1 if its signal is {threshold:g} or more"
            ),
        ]
    return (
        *scalar,
        ArraySpec("label/looks", (), "uint8", (), "", "meta.code", "as features, of what can be seen"),
        ArraySpec(
            "label/signal", (len(FEATURES),), "float32", ("feature",), "", "stat.snr",
            "signal-to-noise ratio of a feature in the middle band, the light it stands out from taken away",
            {"feature": FEATURES},
        ),
    )  # fmt: skip
