"""Point mass: psi = theta_E^2 ln r; lenstronomy's "POINT_MASS"."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from twin.simulators.mass import api


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Point:
    theta_E: Array = api.theta_E("Einstein radius; 0 = absent")
    x: Array = api.centre("x")
    y: Array = api.centre("y")


def deflection(p: Point, x: Array, y: Array) -> tuple[Array, Array]:
    dx, dy, r2 = api.from_centre(p, x, y)
    per_r2 = p.theta_E * p.theta_E / r2
    return per_r2 * dx, per_r2 * dy


def potential(p: Point, x: Array, y: Array) -> Array:
    return 0.5 * p.theta_E * p.theta_E * jnp.log(api.from_centre(p, x, y)[2])


def convergence(p: Point, x: Array, y: Array) -> Array:
    """0: all the mass is at the centre itself."""
    return jnp.zeros_like(x * p.theta_E)


def hessian(p: Point, x: Array, y: Array) -> tuple[Array, Array, Array]:
    dx, dy, r2 = api.from_centre(p, x, y)
    per_r2 = p.theta_E / r2
    per_r4 = per_r2 * per_r2
    gamma1, gamma2 = per_r4 * (dy * dy - dx * dx), -2 * per_r4 * dx * dy
    return gamma1, -gamma1, gamma2
