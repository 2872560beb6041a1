"""Round profiles, and ellipticity put into their potential.

psi is a function of (1 - e) u^2 + (1 + e) v^2, e = (1 - q^2) / (1 + q^2). q is the axis ratio of the potential's
contours; those of the surface density are about three times as elliptical, and dip below zero along the minor axis far
out where q is small (Golse & Kneib 2002, A&A 390, 821). lenstronomy's "..._ELLIPSE_POTENTIAL".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from twin.simulators.mass import api


class Radial(NamedTuple):
    """A round profile at a radius: mean convergence inside (alpha / r), convergence, potential [arcsec^2]."""

    mean: Array
    kappa: Array
    psi: Array


class Stretched(NamedTuple):
    """Position in the axes where the potential is round, with the factors that led there."""

    x: Array
    y: Array
    r2: Array
    along: Array
    across: Array
    c: Array
    s: Array


def from_centre(p: Any, x: Array, y: Array) -> Stretched:
    """For a profile without axes."""
    dx, dy, r2 = api.from_centre(p, x, y)
    one, zero = jnp.ones_like(p.x), jnp.zeros_like(p.x)
    return Stretched(dx, dy, r2, one, one, one, zero)


def stretched(p: Any, x: Array, y: Array) -> Stretched:
    """For a profile with q and angle."""
    u, v, c, s = api.to_axes(p, x, y)
    q2 = api.clip_q(p.q) ** 2
    along, across = jnp.sqrt(2 * q2 / (1 + q2)), jnp.sqrt(2 / (1 + q2))
    u, v = along * u, across * v
    return Stretched(u, v, u * u + v * v + api.softening(u), along, across, c, s)


def _second(at: Stretched, radial: Radial) -> tuple[Array, Array, Array]:
    per_r2 = (radial.mean - radial.kappa) / at.r2
    shear = per_r2 * (at.y * at.y - at.x * at.x)
    uu, vv = at.along**2 * (radial.kappa + shear), at.across**2 * (radial.kappa - shear)
    return uu, vv, -2 * at.along * at.across * per_r2 * at.x * at.y


Pair = tuple[Array, Array]
Lensing = tuple[
    Callable[[Any, Array, Array], Pair],
    Callable[[Any, Array, Array], Array],
    Callable[[Any, Array, Array], Array],
    Callable[[Any, Array, Array], tuple[Array, Array, Array]],
]


def lensing(radial: Callable[[Any, Array], Radial], place: Callable[[Any, Array, Array], Stretched]) -> Lensing:
    """deflection, potential, convergence and hessian of a profile, from what it is at a squared radius and `place`:
    `from_centre` or `stretched`."""

    def deflection(p: Any, x: Array, y: Array) -> Pair:
        at = place(p, x, y)
        mean = radial(p, at.r2).mean
        return api.vector_to_sky(at.along * mean * at.x, at.across * mean * at.y, at.c, at.s)

    def potential(p: Any, x: Array, y: Array) -> Array:
        return radial(p, place(p, x, y).r2).psi

    def convergence(p: Any, x: Array, y: Array) -> Array:
        at = place(p, x, y)
        uu, vv, _ = _second(at, radial(p, at.r2))
        return 0.5 * (uu + vv)

    def hessian(p: Any, x: Array, y: Array) -> tuple[Array, Array, Array]:
        at = place(p, x, y)
        uu, vv, uv = _second(at, radial(p, at.r2))
        return api.hessian_to_sky(0.5 * (uu + vv), 0.5 * (uu - vv), uv, at.c, at.s)

    return deflection, potential, convergence, hessian
