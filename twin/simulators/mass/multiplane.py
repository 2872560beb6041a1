"""Deflectors at several distances before one source, in flat space.

A ray leaves the observer along theta. In comoving transverse distances T its place and direction change by
x_j = x_i + (T_j - T_i) a_i, a_i = a_(i-1) - T_s / (T_s - T_i) alpha_i(x_i / T_i), with alpha_i reduced for the source,
as in one plane (Blandford & Narayan 1986, ApJ 310, 568; lenstronomy's MultiPlane).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from twin.simulators.mass import compound
from twin.simulators.mass.compound import Mass

DAYS = 0.0280005  # arcsec^2 Mpc / c in days
_NEAR_SOURCE = 1e-3  # planes within this share of the source's distance, or behind it, deflect nothing


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Planes:
    """Deflectors from the nearest to the farthest: their masses, comoving distances (P,) and the source's [Mpc].

    The order must be that of distance; a plane as far as the source, or farther, deflects nothing, so that planes may
    stand at fixed redshifts before sources at any.
    """

    masses: tuple[Mass, ...]
    distances: Array
    source: Array


def _efficiency(planes: Planes, i: int) -> Array:
    """T_s / (T_s - T_i), 0 for planes that are not before the source."""
    before = planes.source - planes.distances[i]
    there = before > _NEAR_SOURCE * planes.source
    return jnp.where(there, planes.source / jnp.where(there, before, 1.0), 0.0)


def _rays(planes: Planes, x: Array, y: Array) -> list[tuple[Array, Array]]:
    """Angular positions [arcsec] where the ray crosses each plane, and the source's at last."""
    behind, px, py = jnp.zeros_like(planes.source), jnp.zeros_like(x), jnp.zeros_like(y)
    ax, ay = x, y
    crossed = []
    for i, mass in enumerate(planes.masses):
        distance = jnp.minimum(planes.distances[i], planes.source)
        step, inverse = distance - behind, 1 / distance
        px, py, behind = px + step * ax, py + step * ay, distance
        crossed.append((px * inverse, py * inverse))
        dx, dy = compound.deflection(mass, *crossed[-1])
        efficiency = _efficiency(planes, i)
        ax, ay = ax - efficiency * dx, ay - efficiency * dy
    step, inverse = planes.source - behind, 1 / planes.source
    return [*crossed, ((px + step * ax) * inverse, (py + step * ay) * inverse)]


def shoot(planes: Planes, x: Array, y: Array) -> tuple[Array, Array]:
    """Source position (beta_x, beta_y) [arcsec] of rays seen at x, y."""
    return _rays(planes, x, y)[-1]


def jacobian(planes: Planes, x: Array, y: Array) -> tuple[Array, Array, Array, Array]:
    """d beta_x / dx, d beta_x / dy, d beta_y / dx, d beta_y / dy: several planes can rotate."""
    one, zero = jnp.ones_like(x), jnp.zeros_like(x)

    def beta(x: Array, y: Array) -> tuple[Array, Array]:
        return shoot(planes, x, y)

    (xx, yx), (xy, yy) = (jax.jvp(beta, (x, y), step)[1] for step in ((one, zero), (zero, one)))
    return xx, xy, yx, yy


def magnification(planes: Planes, x: Array, y: Array) -> Array:
    """Signed 1 / det of the Jacobian; +-1e12 where it vanishes."""
    xx, xy, yx, yy = jacobian(planes, x, y)
    return compound.invert(xx * yy - xy * yx)


def arrival_time(planes: Planes, x: Array, y: Array) -> Array:
    """Delay [days] against an undeflected ray: sum_i tau(i, i+1) |theta_i - theta_(i+1)|^2 / 2 - tau(i, s) psi_i, with
    tau(i, j) = T_i T_j / (T_j - T_i) / c. Only differences between images of one source mean anything."""
    crossed = _rays(planes, x, y)
    total = jnp.zeros_like(x)
    ends = [*(planes.distances[i] for i in range(len(planes.masses))), planes.source]
    for i, mass in enumerate(planes.masses):
        near, far = (jnp.minimum(end, planes.source) for end in ends[i : i + 2])
        (ax, ay), (bx, by) = crossed[i], crossed[i + 1]
        gap = far - near
        apart = jnp.where(gap > 0, near * far / jnp.where(gap > 0, gap, 1.0), 0.0)
        total = total + 0.5 * apart * ((ax - bx) ** 2 + (ay - by) ** 2)
        total = total - near * _efficiency(planes, i) * compound.potential(mass, ax, ay)
    return DAYS * total
