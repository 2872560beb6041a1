"""Singular isothermal ellipsoid (SIE) with external shear: deflection, lens equation, magnification.

The ellipsoid is that of `twin.simulators.mass.sie`. Its deflection alpha depends on the direction phi alone, that of
the shear is Gamma theta.

So theta - alpha(phi) - Gamma theta = beta has, along each direction phi, at most one solution, and images are the
roots of one function of phi on a circle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.simulators.mass import sie

MAX_IMAGES = 4
_DIRECTIONS = 96


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SIE:
    """theta_E [arcsec], axis ratio q, position angle of the major axis [rad], centre [arcsec], shear (gamma1,
    gamma2)."""

    theta_E: Array
    q: Array
    angle: Array
    x: Array
    y: Array
    gamma1: Array
    gamma2: Array


def _deflect_direction(lens: SIE, cos: Array, sin: Array) -> tuple[Array, Array]:
    """SIE deflection along (cos, sin) from the lens centre, of any length, in sky axes [arcsec]; 0 for (0, 0)."""
    zero = jnp.zeros_like(lens.theta_E)
    return sie.deflection(sie.SIE(lens.theta_E, lens.q, lens.angle, zero, zero), cos, sin)


def deflection(lens: SIE, x: Array, y: Array) -> tuple[Array, Array]:
    """Deflection of SIE and shear at sky positions [arcsec]; zero for the SIE at its very centre."""
    dx, dy = x - lens.x, y - lens.y
    ax, ay = _deflect_direction(lens, dx, dy)
    return ax + lens.gamma1 * dx + lens.gamma2 * dy, ay + lens.gamma2 * dx - lens.gamma1 * dy


def magnification(lens: SIE, x: Array, y: Array) -> Array:
    """Signed magnification 1/det A at sky positions [arcsec]."""
    dx, dy = x - lens.x, y - lens.y
    ca, sa = jnp.cos(lens.angle), jnp.sin(lens.angle)
    q = lens.q
    u, v = ca * dx + sa * dy, ca * dy - sa * dx
    two_kappa = lens.theta_E * jnp.sqrt(q) * jax.lax.rsqrt(jnp.maximum(q * q * u * u + v * v, 1e-20))
    r2 = jnp.maximum(dx * dx + dy * dy, 1e-20)
    a11 = 1 - lens.gamma1 - two_kappa * dy * dy / r2
    a22 = 1 + lens.gamma1 - two_kappa * dx * dx / r2
    a12 = -lens.gamma2 + two_kappa * dx * dy / r2
    return 1 / (a11 * a22 - a12 * a12)


def cut(lens: SIE, phi: Array) -> tuple[Array, Array]:
    """Point of the cut (the caustic within which a second image exists) that belongs to direction phi, sky axes
    [arcsec]."""
    ax, ay = _deflect_direction(lens, jnp.cos(phi), jnp.sin(phi))
    return lens.x - ax, lens.y - ay


def images(lens: SIE, beta_x: Array, beta_y: Array) -> tuple[Array, Array, Array, Array]:
    """Image positions of one point source: x, y [arcsec], signed magnification and `exists`, each (MAX_IMAGES,).

    theta(phi) = (1 - Gamma)^-1 (beta + alpha(phi)) must point along phi: the cross product of the two changes sign
    there. Sign changes on 96 directions are refined by bisection to float32; two images within 3.75 degrees of one
    another as seen from the lens, on the brink of merging, can be missed together.
    """
    bx, by = beta_x - lens.x, beta_y - lens.y
    # no division by it below: on one device XLA turns that into a product, on several it does not
    inverse_det = 1 / (1 - lens.gamma1**2 - lens.gamma2**2)

    def theta(phi: Array) -> tuple[Array, Array, Array, Array]:
        cos, sin = jnp.cos(phi), jnp.sin(phi)
        ax, ay = _deflect_direction(lens, cos, sin)
        sx, sy = bx + ax, by + ay
        tx = ((1 + lens.gamma1) * sx + lens.gamma2 * sy) * inverse_det
        ty = (lens.gamma2 * sx + (1 - lens.gamma1) * sy) * inverse_det
        return tx, ty, tx * sin - ty * cos, tx * cos + ty * sin

    grid = jnp.asarray(2 * np.pi * np.arange(_DIRECTIONS + 1) / _DIRECTIONS, beta_x.dtype)
    cross, along = theta(grid)[2:]
    changes = (cross[:-1] * cross[1:] < 0) & (along[:-1] + along[1:] > 0)
    start = jnp.argsort(~changes, stable=True)[:MAX_IMAGES]

    def off_direction(phi: Array) -> Array:
        return theta(phi)[2]

    def bisect(off: Callable[[Array], Array], low: Array) -> Array:
        def halve(_: int, bracket: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            low, high, at_low = bracket
            middle = 0.5 * (low + high)
            value = off(middle)
            left = value * at_low > 0
            return jnp.where(left, middle, low), jnp.where(left, high, middle), jnp.where(left, value, at_low)

        low, high, _ = jax.lax.fori_loop(0, 22, halve, (low, grid[start + 1], cross[start]))
        return 0.5 * (low + high)

    # custom_root: bisection has no derivative, the root's is that of the equation it solves
    phi = jax.lax.custom_root(off_direction, grid[start], bisect, lambda slope, y: y / slope(jnp.ones_like(y)))
    tx, ty, _, along = theta(phi)
    exists = changes[start] & (along > 0)
    x, y = tx + lens.x, ty + lens.y
    return x, y, magnification(lens, x, y), exists


def largest_separation(x: Array, y: Array, exists: Array) -> Array:
    """Largest distance between two existing images [arcsec]; 0 where there are fewer than two."""
    d = jnp.hypot(x[:, None] - x[None, :], y[:, None] - y[None, :])
    return jnp.max(jnp.where(exists[:, None] & exists[None, :], d, 0.0))


def sample_points(npix: int, pixel_scale: float, subsamples: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y (subsamples, subsamples, npix, npix) of the midpoint rule in every pixel [arcsec], as float32."""
    centre = (np.arange(npix) - (npix - 1) / 2) * pixel_scale
    offset = ((np.arange(subsamples) + 0.5) / subsamples - 0.5) * pixel_scale
    shape = (subsamples, subsamples, npix, npix)
    x = np.broadcast_to(centre + offset[None, :, None, None], shape)
    y = np.broadcast_to(centre[:, None] + offset[:, None, None, None], shape)
    return x.astype(np.float32), y.astype(np.float32)
