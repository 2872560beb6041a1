"""Singular isothermal ellipsoid (SIE) with external shear: deflection, lens equation, magnification.

Convergence kappa = theta_E sqrt(q) / (2 sqrt(q^2 x^2 + y^2)) with x along the major axis (Kormann, Schneider &
Bartelmann 1994, A&A 284, 285; lenstronomy's "SIE"). The deflection depends on the direction alone; in complex
notation (Tessore & Metcalf 2015, A&A 580, A79, with slope 2)

alpha = 2 theta_E sqrt(q) / (1 + q) e^{i v} F(f e^{2iv}),   F(w) = arctan(sqrt w) / sqrt w,
f = (1 - q) / (1 + q),   v the angle of (q x, y).

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

MAX_IMAGES = 4
_DIRECTIONS = 96


def _convergent(order: int) -> tuple[list[float], list[float]]:
    """Numerator and denominator in powers of w of F(w) = 1 / (1 + w / (3 + 4 w / (5 + 9 w / (7 + ...)))) (Gauss)."""
    above, below = np.poly1d([1.0]), np.poly1d([2.0 * order + 1])
    w = np.poly1d([1.0, 0.0])
    for k in range(order, 0, -1):
        above, below = below, (2 * k - 1) * below + k * k * w * above
    return (above.coeffs[::-1] / below.coeffs[-1]).tolist(), (below.coeffs[::-1] / below.coeffs[-1]).tolist()


_ABOVE, _BELOW = _convergent(11)  # 3e-7 for q > 0.2, where |w| < 2/3


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


def _at_circle(coefficients: list[float], twice_cos: Array, square: Array) -> tuple[Array, Array]:
    """a, b so that a real polynomial of complex w is a + b w: synthetic division by w^2 - 2 Re(w) w + |w|^2, half the
    work of complex products."""
    second, first = jnp.zeros_like(twice_cos), jnp.full_like(twice_cos, coefficients[-1])
    for c in coefficients[-2:0:-1]:
        second, first = first, c + twice_cos * first - square * second
    return coefficients[0] - square * second, first


def _deflect_direction(lens: SIE, cos: Array, sin: Array) -> tuple[Array, Array]:
    """SIE deflection along (cos, sin) from the lens centre, of any length, in sky axes [arcsec]; 0 for (0, 0)."""
    ca, sa = jnp.cos(lens.angle), jnp.sin(lens.angle)
    q = lens.q
    f = (1 - q) / (1 + q)
    u, v = q * (ca * cos + sa * sin), ca * sin - sa * cos
    inverse = jax.lax.rsqrt(jnp.maximum(u * u + v * v, 1e-24))
    c, s = u * inverse, v * inverse
    re, im = f * (c * c - s * s), (2 * f) * (c * s)
    a0, a1 = _at_circle(_ABOVE, 2 * re, f * f)
    b0, b1 = _at_circle(_BELOW, 2 * re, f * f)
    p, pi, d, di = a0 + a1 * re, a1 * im, b0 + b1 * re, b1 * im
    factor = (2 * lens.theta_E * jnp.sqrt(q) / (1 + q)) / (d * d + di * di)
    g, gi = (p * d + pi * di) * factor, (pi * d - p * di) * factor
    ax, ay = c * g - s * gi, c * gi + s * g
    return ca * ax - sa * ay, sa * ax + ca * ay


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
