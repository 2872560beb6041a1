"""Dual pseudo-isothermal ellipsoid (dPIE, PIEMD), elliptical in its mass.

kappa = b0 / 2 cut / (cut - core) (1 / sqrt(core^2 + R^2) - 1 / sqrt(cut^2 + R^2)), R^2 = q u^2 + v^2 / q.

Kassiola & Kovner 1993, ApJ 417, 450; Eliasdottir+ 2007, arXiv:0710.5636. It is the difference of two non-singular
isothermal ellipsoids: lenstronomy's NIE(theta_E = b0 cut / (cut - core), s_scale = core) less the same with
s_scale = cut, and for q = 1 its PJAFFE(sigma0 = b0 / (2 core), Ra = core, Rs = cut).
Lenstool measures radii by R (1 + q) / (2 sqrt(q)) instead: its core, cut and b0 are ours times that factor.

The NIE with s along the major axis, psi^2 = q^2 (s^2 + u^2) + v^2, f^2 = 1 - q^2 has
alpha = b/f (arctan(f u / (psi + s)), arctanh(f v / (psi + q^2 s)))   (Keeton & Kochanek 1998, ApJ 495, 157).
Both moduli are one number, E = (psi + s)^2 + f^2 u^2 = ((psi + q^2 s)^2 - f^2 v^2) / q^2: the difference of two such
angles, halved for the polynomials, needs one more square root. cut - core cancels from every expression, so no digits
are lost where core is near cut or the cut is far inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from twin.numerics.lens_functions import arctan_over, arctanh_over
from twin.simulators.mass import api

CUT_MIN = 1e-3


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DPIE:
    b0: Array = api.parameter(
        "deflection far outside core, far inside cut: 4 pi (sigma/c)^2 D_ls/D_s; 0 = absent", "arcsec", 0, 1000
    )
    core: Array = api.parameter("core radius, at most the cut", "arcsec", 0, 10000)
    cut: Array = api.parameter("cut radius", "arcsec", CUT_MIN, 100000, absent=1)
    q: Array = api.axis_ratio()
    angle: Array = api.angle()
    x: Array = api.centre("x")
    y: Array = api.centre("y")


@dataclass(frozen=True)
class _Pair:
    """The two ellipsoids at a point: 1 the core's, 2 the cut's."""

    strength: Array  # b0 cut
    q2: Array
    f2: Array
    s1: Array
    s2: Array
    u2: Array
    v2: Array
    psi1: Array
    psi2: Array
    e1: Array
    e2: Array


def _pair(p: DPIE, u: Array, v: Array) -> _Pair:
    q = api.clip_q(p.q)
    cut = jnp.maximum(p.cut, CUT_MIN)
    to_major = jax.lax.rsqrt(q)
    s1, s2 = jnp.minimum(p.core, cut) * to_major, cut * to_major
    q2, f2 = q * q, (1 - q) * (1 + q)
    u2, v2 = u * u, v * v + api.softening(v)
    psi1, psi2 = (jnp.sqrt(q2 * u2 + (v2 + q2 * s * s)) for s in (s1, s2))
    e1, e2 = ((1 + q2) * s * s + 2 * psi * s + (u2 + v2) for s, psi in ((s1, psi1), (s2, psi2)))
    return _Pair(p.b0 * cut, q2, f2, s1, s2, u2, v2, psi1, psi2, e1, e2)


def _in_axes(k: _Pair, u: Array, v: Array) -> tuple[Array, Array]:
    """Half the angle between the two complex numbers psi + s + i f u, and the same for arctanh."""
    sigma, both = k.psi1 + k.psi2, k.s1 + k.s2
    modulus = jnp.sqrt(k.e1 * k.e2)
    wu = u * (sigma + k.q2 * both) / (sigma * ((k.psi1 + k.s1) * (k.psi2 + k.s2) + k.f2 * k.u2 + modulus))
    real = (k.psi1 + k.q2 * k.s1) * (k.psi2 + k.q2 * k.s2) - k.f2 * k.v2
    wv = v * (k.q2 * (sigma + both)) / (sigma * (real + k.q2 * modulus))
    gap = k.f2 * (k.s2 - k.s1) * (k.s2 - k.s1)
    return (
        2 * k.strength * wu * arctan_over(gap * wu * wu),
        2 * k.strength * wv * arctanh_over(gap * wv * wv),
    )


def _slope(k: _Pair) -> Array:
    """(e2 - e1) / (s2 - s1)."""
    both = k.s1 + k.s2
    return (1 + k.q2) * both + 2 * (k.psi2 + k.s1 * k.q2 * both / (k.psi1 + k.psi2))


def _kappa(k: _Pair) -> Array:
    return 0.5 * k.strength * k.q2 * (k.s1 + k.s2) / (k.psi1 * k.psi2 * (k.psi1 + k.psi2))


def deflection(p: DPIE, x: Array, y: Array) -> tuple[Array, Array]:
    u, v, c, s = api.to_axes(p, x, y)
    au, av = _in_axes(_pair(p, u, v), u, v)
    return api.vector_to_sky(au, av, c, s)


def round_deflection(p: DPIE, x: Array, y: Array) -> tuple[Array, Array]:
    """Deflection of the same with q = 1, whatever q is: two square roots and a division. Sum over many with
    `compound.sum_components(round_deflection, members, x, y)`."""
    dx, dy = x - p.x, y - p.y
    r2 = dx * dx + dy * dy + api.softening(dx)
    cut = jnp.maximum(p.cut, CUT_MIN)
    core = jnp.minimum(p.core, cut)
    w1, w2 = jnp.sqrt(core * core + r2), jnp.sqrt(cut * cut + r2)
    per_r = p.b0 * cut * (w1 + w2 + (core + cut)) / ((w1 + w2) * (core + w1) * (cut + w2))
    return per_r * dx, per_r * dy


def potential(p: DPIE, x: Array, y: Array) -> Array:
    """With the constant of lenstronomy's NIEs: psi = r alpha - b (s1 ln e1 - s2 ln e2) / 2."""
    u, v, _, _ = api.to_axes(p, x, y)
    k = _pair(p, u, v)
    au, av = _in_axes(k, u, v)
    per_gap = _slope(k) / k.e1
    z = (k.s2 - k.s1) * per_gap
    far = z > 1e-3
    ratio = jnp.where(far, jnp.log1p(z) / jnp.where(far, z, 1.0), 1 - z * (0.5 - z * (1 / 3 - 0.25 * z)))
    return u * au + v * av + 0.5 * k.strength * (jnp.log(k.e2) + k.s1 * per_gap * ratio)


def convergence(p: DPIE, x: Array, y: Array) -> Array:
    u, v, _, _ = api.to_axes(p, x, y)
    return _kappa(_pair(p, u, v))


def hessian(p: DPIE, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """psi_uu of an NIE is b (q^2 s^2 + v^2 + s psi) / (psi E), psi_uv = -b u v / (psi E)."""
    u, v, c, s = api.to_axes(p, x, y)
    k = _pair(p, u, v)
    both = k.s1 + k.s2
    second = 1 / (k.psi2 * k.e2)
    # (1 / (psi1 e1) - 1 / (psi2 e2)) / (s2 - s1)
    fall = (k.e2 * k.q2 * both / (k.psi1 + k.psi2) + k.psi1 * _slope(k)) / (k.psi1 * k.e1) * second
    shear = 0.5 * k.strength * ((k.v2 - k.u2) * fall - k.f2 * (k.s1 * k.s1 * fall - both * second))
    return api.hessian_to_sky(_kappa(k), shear, -k.strength * u * v * fall, c, s)
