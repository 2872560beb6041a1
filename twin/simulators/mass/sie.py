"""Singular isothermal ellipsoid: kappa = theta_E / (2 sqrt(q u^2 + v^2 / q)).

Kormann, Schneider & Bartelmann 1994, A&A 284, 285; lenstronomy's "SIE". With psi^2 = q^2 u^2 + v^2 and f^2 = 1 - q^2,
alpha = theta_E sqrt(q)/f (arctan(f u / psi), arctanh(f v / psi)); both are halved once by their addition theorem, which
leaves f^2 alone and so a round lens without a special case.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from twin.numerics.lens_functions import arctan_over, arctanh_over
from twin.simulators.mass import api


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SIE:
    theta_E: Array = api.theta_E()
    q: Array = api.axis_ratio()
    angle: Array = api.angle()
    x: Array = api.centre("x")
    y: Array = api.centre("y")


def _in_axes(p: SIE, u: Array, v: Array) -> tuple[Array, Array, Array]:
    """Deflection along both axes, and psi."""
    q = api.clip_q(p.q)
    f2 = (1 - q) * (1 + q)
    u2, v2 = u * u, v * v + api.softening(v)
    r, psi = jnp.sqrt(u2 + v2), jnp.sqrt(q * q * u2 + v2)
    wu, wv = u / (psi + r), v / (psi + q * r)
    twice_b = 2 * p.theta_E * jnp.sqrt(q)
    return twice_b * wu * arctan_over(f2 * wu * wu), twice_b * wv * arctanh_over(f2 * wv * wv), psi


def deflection(p: SIE, x: Array, y: Array) -> tuple[Array, Array]:
    u, v, c, s = api.to_axes(p, x, y)
    au, av, _ = _in_axes(p, u, v)
    return api.vector_to_sky(au, av, c, s)


def potential(p: SIE, x: Array, y: Array) -> Array:
    u, v, _, _ = api.to_axes(p, x, y)
    au, av, _ = _in_axes(p, u, v)
    return u * au + v * av


def convergence(p: SIE, x: Array, y: Array) -> Array:
    u, v, _, _ = api.to_axes(p, x, y)
    q = api.clip_q(p.q)
    return 0.5 * p.theta_E * jnp.sqrt(q) * jax.lax.rsqrt(q * q * u * u + v * v + api.softening(v))


def hessian(p: SIE, x: Array, y: Array) -> tuple[Array, Array, Array]:
    u, v, c, s = api.to_axes(p, x, y)
    kappa = convergence(p, x, y)
    u2, v2 = u * u, v * v + api.softening(v)
    per_r2 = kappa / (u2 + v2)
    return api.hessian_to_sky(kappa, per_r2 * (v2 - u2), -2 * per_r2 * u * v, c, s)
