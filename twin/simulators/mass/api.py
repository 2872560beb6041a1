"""What every mass profile has, and what they share.

A profile is a frozen dataclass, a pytree whose fields are arrays of shape (K,): K components, of which those of zero
strength are absent and deflect nothing. Its file holds, for ONE component (scalar fields) at positions of any shape:

deflection(p, x, y)    (alpha_x, alpha_y) [arcsec], reduced: beta = theta - alpha
potential(p, x, y)     psi with alpha = grad psi [arcsec^2]
hessian(p, x, y)       (psi_xx, psi_yy, psi_xy)
convergence(p, x, y)   kappa = (psi_xx + psi_yy) / 2

Positions in arcsec, angles of the major axis from +x to +y [rad]. Surface densities are in units of the critical one.
Elliptical ones are functions of q u^2 + v^2 / q, u along the major axis: radii are geometric means of the axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import jax.numpy as jnp
from jax import Array

Q_MIN = 0.2  # flatter lenses are treated as this flat: beyond it the series of the EPL and of arctanh are too short
P = TypeVar("P")


@dataclass(frozen=True)
class Parameter:
    """A field of a profile: meaning, unit, limits; `absent` is what components that are not there may hold."""

    meaning: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    absent: float = 0.0


def parameter(meaning: str, unit: str = "", low: float = -math.inf, high: float = math.inf, absent: float = 0.0) -> Any:
    """A dataclass field that says what it is."""
    return field(metadata={"parameter": Parameter(meaning, unit, low, high, absent)})


def parameters(profile: Any) -> dict[str, Parameter]:
    """Name -> meaning, unit and limits of the fields of a profile or its class."""
    return {f.name: f.metadata["parameter"] for f in fields(profile)}


def theta_E(meaning: str = "Einstein radius, of the circle of equal area; 0 = absent") -> Any:
    return parameter(meaning, "arcsec", 0, 1000)


def axis_ratio() -> Any:
    return parameter("axis ratio", "", Q_MIN, 1, absent=1)


def angle() -> Any:
    return parameter("position angle of the major axis", "rad")


def centre(axis: str) -> Any:
    return parameter(f"{axis} of the centre", "arcsec")


def pad(profile: P, count: int) -> P:
    """The same components followed by absent ones, `count` in all.

    Raises ValueError where there are more than `count` components already.
    """
    known: Any = profile
    padded = {}
    for name, about in parameters(known).items():
        value = jnp.atleast_1d(getattr(known, name))
        if len(value) > count:
            raise ValueError(f"{len(value)} components do not fit into {count}")
        padded[name] = jnp.pad(value, (0, count - len(value)), constant_values=about.absent)
    result: P = type(known)(**padded)
    return result


def softening(x: Array) -> float:
    """Added to r^2 [arcsec^2] so that centres have a value and a slope: 1e-6 arcsec in float32, 1e-12 in float64."""
    return 1e-24 if x.dtype == jnp.float64 else 1e-12


def clip_q(q: Array) -> Array:
    return jnp.clip(q, Q_MIN, 1.0)


def from_centre(p: Any, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Position from the centre, and its squared radius."""
    dx, dy = x - p.x, y - p.y
    return dx, dy, dx * dx + dy * dy + softening(dx)


def to_axes(p: Any, x: Array, y: Array) -> tuple[Array, Array, Array, Array]:
    """Position along the major and the minor axis, cos and sin of the major axis's angle."""
    dx, dy = x - p.x, y - p.y
    c, s = jnp.cos(p.angle), jnp.sin(p.angle)
    return c * dx + s * dy, c * dy - s * dx, c, s


def vector_to_sky(u: Array, v: Array, c: Array, s: Array) -> tuple[Array, Array]:
    return c * u - s * v, s * u + c * v


def hessian_to_sky(kappa: Array, shear: Array, cross: Array, c: Array, s: Array) -> tuple[Array, Array, Array]:
    """(psi_xx, psi_yy, psi_xy) from kappa, (psi_uu - psi_vv) / 2 and psi_uv in the lens's axes."""
    c2, s2 = c * c - s * s, 2 * c * s
    gamma1, gamma2 = c2 * shear - s2 * cross, s2 * shear + c2 * cross
    return kappa + gamma1, kappa - gamma1, gamma2
