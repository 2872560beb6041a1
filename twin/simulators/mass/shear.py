"""External shear: psi = gamma1 (dx^2 - dy^2) / 2 + gamma2 dx dy; lenstronomy's "SHEAR"."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from twin.simulators.mass import api


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Shear:
    gamma1: Array = api.parameter("shear along x", "", -1, 1)
    gamma2: Array = api.parameter("shear along the diagonal", "", -1, 1)
    x: Array = api.parameter("x where it deflects nothing", "arcsec")
    y: Array = api.parameter("y where it deflects nothing", "arcsec")


def deflection(p: Shear, x: Array, y: Array) -> tuple[Array, Array]:
    dx, dy = x - p.x, y - p.y
    return p.gamma1 * dx + p.gamma2 * dy, p.gamma2 * dx - p.gamma1 * dy


def potential(p: Shear, x: Array, y: Array) -> Array:
    dx, dy = x - p.x, y - p.y
    return 0.5 * p.gamma1 * (dx * dx - dy * dy) + p.gamma2 * dx * dy


def convergence(p: Shear, x: Array, y: Array) -> Array:
    return jnp.zeros_like(x * p.gamma1)


def hessian(p: Shear, x: Array, y: Array) -> tuple[Array, Array, Array]:
    one = jnp.ones_like(x)
    return p.gamma1 * one, -p.gamma1 * one, p.gamma2 * one
