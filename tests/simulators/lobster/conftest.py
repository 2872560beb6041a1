"""One lobster-eye recipe with a single slot for a source, and exposures of it as the tests want them."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.priors.xray.field import KINDS
from twin.recipe import load_recipe
from twin.recipe.xray import XrayRecipe
from twin.simulators.lobster.field import CHANNELS
from twin.simulators.lobster.optics import Optic

ALONE = ("sky.extragalactic.density=0", "sky.galactic.density=0", "sky.transients={}")


@pytest.fixture(scope="session")
def recipe() -> XrayRecipe:
    found = load_recipe("ep-wxt", ALONE)
    assert isinstance(found, XrayRecipe)
    return found


@pytest.fixture(scope="session")
def row() -> Callable[..., np.ndarray]:
    """A telemetry row: the instrument as built, a quiet background, with what a test changes."""

    def made(**changes: float) -> np.ndarray:
        values = {
            "roll": 3.0, "tilt": 0.9, "pore_ratio": 62.5, "ratio_spread": 0.02, "efficiency": 0.68, "scatter": 0.08,
            "scatter_width": 20.0, "second_order": 4.0, "throughput": 1.0, "exposure": 1000.0, "latitude": 25.0,
            "diffuse": 1.0, "particles": 1.0, "drift": 0.0, "leak": 0.0, "flicker": 0.0, "column": 0.0, "ra": 83.6,
            "dec": 22.0, "position_angle": 0.0,
        }  # fmt: skip
        return np.array([{**values, **changes}[name] for name in CHANNELS], np.float32)

    return made


def source(x: float, y: float, mcrab: float, shape: float = 2.1, nh: float = 0.36, family: int = 0) -> dict:
    """The one slot: a steady source at x, y [arcmin] from the middle of the frame."""
    kind = KINDS.index("bright") if mcrab else 0
    values = {"x": x, "y": y, "flux": mcrab, "shape": shape, "nh": nh, "rise": 0.0, "fall": 100.0, "onset": 0.0}
    found = {name: jnp.full(1, value, jnp.float32) for name, value in values.items()}
    return found | {"family": jnp.full(1, family, jnp.int32), "kind": jnp.full(1, kind, jnp.int32)}


@pytest.fixture(scope="session")
def optics(recipe: XrayRecipe) -> Callable[[np.ndarray], Optic]:
    """The tables of a telemetry row's State, made once each."""
    made = jax.jit(lambda row: recipe.simulator.optic(recipe.simulator.state(row)))
    return lambda row: made(jnp.asarray(row))


@pytest.fixture(scope="session")
def exposures(recipe: XrayRecipe, optics: Callable[[np.ndarray], Optic]) -> Callable[..., dict[str, np.ndarray]]:
    """Exposures of one field and one telemetry row, differing in their keys only."""

    @jax.jit
    def many(keys: jax.Array, field: dict, row: jax.Array, o: Optic) -> dict:
        return jax.lax.map(lambda key: recipe.simulator.sample(key, field, row, o)[0], keys)

    def draw(field: dict, row: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        keys = jax.random.split(jax.random.key(seed), 64)
        return jax.device_get(many(keys, field, jnp.asarray(row), optics(row)))

    return draw
