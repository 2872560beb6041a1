"""Sheet of constant convergence: psi = kappa r^2 / 2; lenstronomy's "CONVERGENCE"."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from twin.simulators.mass import api


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sheet:
    kappa: Array = api.parameter("convergence", "", -10, 10)
    x: Array = api.parameter("x where it deflects nothing", "arcsec")
    y: Array = api.parameter("y where it deflects nothing", "arcsec")


def deflection(p: Sheet, x: Array, y: Array) -> tuple[Array, Array]:
    return p.kappa * (x - p.x), p.kappa * (y - p.y)


def potential(p: Sheet, x: Array, y: Array) -> Array:
    dx, dy = x - p.x, y - p.y
    return 0.5 * p.kappa * (dx * dx + dy * dy)


def convergence(p: Sheet, x: Array, y: Array) -> Array:
    return p.kappa * jnp.ones_like(x)


def hessian(p: Sheet, x: Array, y: Array) -> tuple[Array, Array, Array]:
    kappa = convergence(p, x, y)
    return kappa, kappa, jnp.zeros_like(kappa)
