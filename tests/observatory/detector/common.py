"""A detector of which one effect at a time is switched on."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from twin.observatory.detector import DetectorConfig
from twin.observatory.state import STATE_FIELDS, ImagerState

WELL = 60000.0  # e-


def detector(**effects: Any) -> DetectorConfig:
    plain = {"gain": "2 e-/ct", "read_noise": "5 e-", "bias": "300 ct", "saturation": f"{WELL} e-", "size": (512, 256)}
    return DetectorConfig.model_validate(plain | effects)


def state(bands: int = 1, **values: Any) -> ImagerState:
    """Of that detector, one read of 100 s; `values` are per band."""
    given = {"gain": 2.0, "read_noise": 5.0, "bias": 300.0, "reads": 1.0, "exptime": 100.0, "sky": 0.0, "dark": 0.0}
    given = given | {"saturation": WELL / 2 + 300, "resampling": 0.0} | values
    leaves = {name: jnp.broadcast_to(jnp.asarray(v, jnp.float32), (bands,)) for name, v in given.items()}
    return ImagerState(**{name: leaves.get(name, jnp.zeros((bands, 3), jnp.float32)) for name in STATE_FIELDS})
