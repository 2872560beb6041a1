"""Truths by hand, and a quick way through the frame's optics without a telescope."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from twin.numerics.fourier import Grid
from twin.priors.laws import at_quantiles
from twin.recipe import Recipe, load_recipe
from twin.simulators.base import Canvas

GRID = Grid(64, 0.074, 2, 2, graded=True)
CANVAS = Canvas(GRID, 2, 1)
DISC: dict[str, float] = {
    "z_galaxy": 0.1, "galaxy_x": 0.05, "galaxy_y": -0.08, "galaxy_angle": 0.6, "cos_inclination": 0.7,
    "disc_scale": 0.35, "disc_height": 0.05, "bulge_radius": 0.12, "bulge_n": 2.0, "bulge_q": 0.9,
    "bar_length": 0.4, "bar_q": 0.3,
    "bar_angle": 0.5, "ring_radius": 0.6, "ring_width": 0.09, "arm_count": 2.0, "arm_pitch": 0.35, "arm_sense": 1.0,
    "arm_sharpness": 3.0, "arm_start_radius": 0.3, "arm_start_angle": 0.2, "flocculence": 0.5, "dust_tau": 0.8,
}  # fmt: skip


def disc(**changes: Any) -> dict[str, jax.Array]:
    patches = {"patch_phase": np.array([0.3, 2.0, 4.4, 5.1]), "patch_winding": np.array([0.7, 1.3, 0.9, 1.1])}
    return {name: jnp.asarray(value, jnp.float32) for name, value in (DISC | patches | changes).items()}


@cache
def recipe(name: str) -> Recipe:
    """A shipped recipe with frames of 64 pixels and fewer frequencies, which compiles sooner."""
    return load_recipe(name, ("frame.npix=64", "frame.factor=2"))


def extreme(name: str, cls: str, count: int, seed: int) -> dict[str, jax.Array]:
    """Truths (count, ...) of a class with every site at its median, or at the least or the largest that it draws."""
    r, edges = recipe(name), jnp.asarray([2.0**-24, 0.5, 1 - 2.0**-24])
    number = r._draws[cls]

    def one(key: jax.Array) -> dict[str, jax.Array]:
        u = jax.random.choice(key, edges, (number,))
        return handlers.substitute(r.simulator.truth(cls, r.laws), substitute_fn=at_quantiles(u))()

    return jax.vmap(one)(jax.random.split(jax.random.key(seed), count))
