"""Singular isothermal sphere: kappa = theta_E / (2 r); lenstronomy's "SIS"."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from twin.simulators.mass import api


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SIS:
    theta_E: Array = api.theta_E("Einstein radius; 0 = absent")
    x: Array = api.centre("x")
    y: Array = api.centre("y")


def deflection(p: SIS, x: Array, y: Array) -> tuple[Array, Array]:
    dx, dy, r2 = api.from_centre(p, x, y)
    per_r = p.theta_E * jax.lax.rsqrt(r2)
    return per_r * dx, per_r * dy


def potential(p: SIS, x: Array, y: Array) -> Array:
    return p.theta_E * jnp.sqrt(api.from_centre(p, x, y)[2])


def convergence(p: SIS, x: Array, y: Array) -> Array:
    return 0.5 * p.theta_E * jax.lax.rsqrt(api.from_centre(p, x, y)[2])


def hessian(p: SIS, x: Array, y: Array) -> tuple[Array, Array, Array]:
    dx, dy, r2 = api.from_centre(p, x, y)
    inverse = jax.lax.rsqrt(r2)
    per_r3 = p.theta_E * inverse * inverse * inverse
    return per_r3 * dy * dy, per_r3 * dx * dx, -per_r3 * dx * dy
