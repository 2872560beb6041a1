"""Navarro, Frenk & White's halo with elliptical surface density, kappa a function of q u^2 + v^2 / q.

Oguri 2021, PASP 133, 074504: a sum of 44 cored steep ellipsoids, kappa = A / (2 (s^2 + xi^2)^(3/2)), whose potential
and derivatives are elementary (his table 1), good to 1e-4 for 1e-4 < r / Rs < 1e3. lenstronomy's "NFW_ELLIPSE_CSE".
Ten times the cost of `nfw`, whose ellipticity is in the potential.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.simulators.mass import api
from twin.simulators.mass.nfw import NORM, RS_MIN

# fmt: off
_CORES = np.array([
    1.082411e-06, 3.292868e-06, 8.786566e-06, 1.860019e-05, 3.274231e-05, 6.232485e-05, 9.256333e-05, 1.546762e-04,
    2.097321e-04, 3.391140e-04, 5.178790e-04, 8.636736e-04, 1.405152e-03, 2.193855e-03, 3.179572e-03, 4.970987e-03,
    7.631970e-03, 1.119413e-02, 1.827267e-02, 2.945251e-02, 4.562723e-02, 6.782509e-02, 1.127751e-01, 1.596987e-01,
    2.169469e-01, 3.423835e-01, 5.194527e-01, 8.623185e-01, 1.382737e+00, 2.034929e+00, 3.402979e+00, 5.594276e+00,
    8.052345e+00, 1.349045e+01, 2.603825e+01, 4.736823e+01, 6.559320e+01, 1.087932e+02, 1.477673e+02, 2.495341e+02,
    4.305999e+02, 7.760206e+02, 1.935749e+03, 2.143057e+03,
])
_STRENGTHS = np.array([
    1.648988e-18, 3.646620e-17, 6.274458e-16, 3.459206e-15, 2.457389e-14, 1.059319e-13, 4.211597e-13, 1.142832e-12,
    4.391215e-12, 1.556500e-11, 6.951271e-11, 3.147466e-10, 1.379109e-09, 3.829778e-09, 1.384858e-08, 5.370951e-08,
    1.804384e-07, 5.788608e-07, 3.205256e-06, 1.102422e-05, 4.093971e-05, 1.282206e-04, 7.995270e-04, 4.575541e-04,
    5.013701e-03, 1.403508e-02, 5.230727e-02, 1.898907e-01, 3.643448e-01, 7.203734e-01, 1.717667e+00, 2.217566e+00,
    3.187447e+00, 8.194898e+00, 1.765210e+01, 1.974319e+01, 2.783688e+01, 4.482311e+01, 5.598897e+01, 1.426485e+02,
    2.279833e+02, 5.401335e+02, 1.775124e+03, 9.743682e+02,
])
# fmt: on


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EllipticalNFW:
    Rs: Array = api.parameter("scale radius", "arcsec", RS_MIN, 10000, absent=1)
    alpha_Rs: Array = api.parameter("deflection at Rs, of the round halo; 0 = absent", "arcsec", 0, 1000)
    q: Array = api.axis_ratio()
    angle: Array = api.angle()
    x: Array = api.centre("x")
    y: Array = api.centre("y")


@dataclass(frozen=True)
class _Ellipsoid:
    """One of the sum, at positions in units of its core: all then stays within float32, and so do gradients.

    a = A / s^3, psi^2 = q^2 (1 + u^2) + v^2, phi = (psi + 1)^2 + (1 - q^2) u^2; wide = (psi + q^2) / psi, thin =
    (psi + 1) / psi.
    """

    a: Array
    s: Array
    u: Array
    v: Array
    per_psi: Array
    phi: Array
    per_phi: Array
    wide: Array
    thin: Array
    q2: Array


@dataclass(frozen=True)
class _Frame:
    """Positions in units of Rs / sqrt(q) along the axes, the deflection at Rs over the NFW's norm, Rs, q; the angle."""

    u: Array
    v: Array
    norm: Array
    scale: Array
    q: Array
    c: Array
    s: Array


def _frame(p: EllipticalNFW, x: Array, y: Array) -> _Frame:
    u, v, c, s = api.to_axes(p, x, y)
    q, scale = api.clip_q(p.q), jnp.maximum(p.Rs, RS_MIN)
    unit = jnp.sqrt(q) / scale
    return _Frame(u * unit, v * unit, p.alpha_Rs / NORM, scale, q, c, s)


def _sums(at: _Frame, terms: Callable[[_Ellipsoid], tuple[Array, ...]], count: int) -> tuple[Array, ...]:
    """Sums of `count` terms over the ellipsoids."""
    q2 = at.q * at.q

    def add(total: tuple[Array, ...], row: tuple[Array, Array, Array]) -> tuple[tuple[Array, ...], None]:
        a, s, per_s = row
        u, v = at.u * per_s, at.v * per_s
        u2, v2 = u * u, v * v
        psi = jnp.sqrt(q2 * (1 + u2) + v2)
        per_psi, phi = 1 / psi, 1 + q2 + 2 * psi + (u2 + v2)
        each = _Ellipsoid(a, s, u, v, per_psi, phi, 1 / phi, 1 + q2 * per_psi, 1 + per_psi, q2)
        return tuple(map(jnp.add, total, terms(each))), None

    rows = (_STRENGTHS / _CORES**3, _CORES, 1 / _CORES)
    start = (jnp.zeros_like(at.u),) * count
    total, _ = jax.lax.scan(jax.checkpoint(add), start, tuple(jnp.asarray(r, at.u.dtype) for r in rows), unroll=4)
    return total


def deflection(p: EllipticalNFW, x: Array, y: Array) -> tuple[Array, Array]:
    at = _frame(p, x, y)
    along, across = _sums(at, lambda e: (e.a * e.per_phi * e.wide, e.a * e.per_phi * e.thin), 2)
    front = at.norm * jnp.sqrt(at.q)
    return api.vector_to_sky(front * at.u * along, front * at.v * across, at.c, at.s)


def potential(p: EllipticalNFW, x: Array, y: Array) -> Array:
    at = _frame(p, x, y)
    least = 1 / (1 + at.q) ** 2
    (total,) = _sums(at, lambda e: (0.5 * e.a * e.s * e.s * jnp.log(e.phi * least),), 1)
    return at.norm * at.scale * total


def _kappa(e: _Ellipsoid) -> Array:
    return 0.5 * e.a * e.per_psi * e.per_psi * e.per_psi


def convergence(p: EllipticalNFW, x: Array, y: Array) -> Array:
    at = _frame(p, x, y)
    (total,) = _sums(at, lambda e: (_kappa(e),), 1)
    return at.norm / at.scale * at.q * at.q * at.q * total


def hessian(p: EllipticalNFW, x: Array, y: Array) -> tuple[Array, Array, Array]:
    at = _frame(p, x, y)

    def terms(e: _Ellipsoid) -> tuple[Array, ...]:
        u, v = e.u * e.per_psi, e.v * e.per_psi
        core = e.q2 * e.per_psi
        wide, thin = e.u * e.wide, e.v * e.thin
        shear = 0.5 * core * ((e.q2 - 1) * e.per_psi * e.per_psi + v * v - u * u)
        shear = shear - (wide * e.per_phi * wide - thin * e.per_phi * thin)
        front = e.a * e.per_phi
        return _kappa(e), front * shear, -front * (core * u * v + 2 * wide * e.per_phi * thin)

    kappa, shear, cross = _sums(at, terms, 3)
    front = at.norm / at.scale * at.q
    return api.hessian_to_sky(front * at.q * at.q * kappa, front * shear, front * cross, at.c, at.s)
