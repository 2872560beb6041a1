"""Elliptical power law: kappa = (3 - gamma) / 2 (theta_E / sqrt(q u^2 + v^2 / q))^(gamma - 1).

Tessore & Metcalf 2015, A&A 580, A79; lenstronomy's "EPL". With t = gamma - 1, b = theta_E sqrt(q),
Z = q u + i v, R = |Z|,
alpha = 2 / (1 + q) (b / R)^t Z 2F1(1, t/2; 2 - t/2; -f Z / Z*), f = (1 - q) / (1 + q)   (their eqs. 13, 22, 23).

The hypergeometric series converges at least as f^n: 36 terms for float32 and 90 for float64 leave 1e-7 and 1e-16 of the
deflection at q = 0.2, gamma = 2.9.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.simulators.mass import api

GAMMA_MIN, GAMMA_MAX = 1.1, 2.9  # slopes beyond are treated as these


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EPL:
    theta_E: Array = api.theta_E()
    gamma: Array = api.parameter(
        "slope of the density in space, -d ln rho / d ln r", "", GAMMA_MIN, GAMMA_MAX, absent=2
    )
    q: Array = api.axis_ratio()
    angle: Array = api.angle()
    x: Array = api.centre("x")
    y: Array = api.centre("y")


def _terms(dtype: np.dtype) -> int:
    return 90 if dtype == jnp.float64 else 36


def _in_axes(p: EPL, u: Array, v: Array) -> tuple[Array, Array, Array]:
    """Deflection along both axes, and b^t / R^t."""
    q, t = api.clip_q(p.q), jnp.clip(p.gamma, GAMMA_MIN, GAMMA_MAX) - 1
    qu = q * u
    u2, v2 = qu * qu, v * v + api.softening(v)
    inverse = 1 / (u2 + v2)
    # z = -f exp(2 i phi), phi the elliptical angle; a polynomial of complex z with real coefficients needs two products
    # a term (Knuth, The Art of Computer Programming 2, 4.6.4, eq. 3)
    minus_f = (q - 1) / (1 + q)
    re, im = minus_f * (u2 - v2) * inverse, minus_f * 2 * qu * v * inverse
    twice_re, minus_f2 = 2 * re, -minus_f * minus_f
    n = np.arange(1, _terms(v.dtype) + 1).astype(v.dtype)
    coefficients = jnp.cumprod((2 * n - (2 - t)) / (2 * n + (2 - t)))

    def step(later: tuple[Array, Array], coefficient: Array) -> tuple[tuple[Array, Array], None]:
        after, last = later
        return (last, (coefficient + minus_f2 * after) + twice_re * last), None

    start = jnp.zeros_like(re), jnp.broadcast_to(coefficients[-1], re.shape)
    # float32 is written out for speed; float64 in parts, for the compiler's sake
    unroll = 10 if v.dtype == jnp.float64 else len(n)
    (after, last), _ = jax.lax.scan(step, start, coefficients[-2::-1], unroll=unroll)
    sum_re, sum_im = 1 + re * last + minus_f2 * after, im * last
    b = p.theta_E * jnp.sqrt(q)
    # (b / R)^t as b exp((t - 1) ln b - t ln R): b = 0 stays 0
    power = b * jnp.exp((t - 1) * jnp.log(jnp.maximum(b, 1e-12)) - 0.5 * t * jnp.log(u2 + v2))
    front = 2 / (1 + q) * power
    return front * (qu * sum_re - v * sum_im), front * (qu * sum_im + v * sum_re), power


def deflection(p: EPL, x: Array, y: Array) -> tuple[Array, Array]:
    u, v, c, s = api.to_axes(p, x, y)
    au, av, _ = _in_axes(p, u, v)
    return api.vector_to_sky(au, av, c, s)


def potential(p: EPL, x: Array, y: Array) -> Array:
    """(r alpha) / (2 - t) (eq. 15)."""
    u, v, _, _ = api.to_axes(p, x, y)
    au, av, _ = _in_axes(p, u, v)
    return (u * au + v * av) / (3 - jnp.clip(p.gamma, GAMMA_MIN, GAMMA_MAX))


def convergence(p: EPL, x: Array, y: Array) -> Array:
    u, v, _, _ = api.to_axes(p, x, y)
    q, t = api.clip_q(p.q), jnp.clip(p.gamma, GAMMA_MIN, GAMMA_MAX) - 1
    b = p.theta_E * jnp.sqrt(q)
    log_r2 = jnp.log(q * q * u * u + v * v + api.softening(v))
    return (1 - 0.5 * t) * b * jnp.exp((t - 1) * jnp.log(jnp.maximum(b, 1e-12)) - 0.5 * t * log_r2)


def hessian(p: EPL, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Shear from deflection and convergence (eq. 17 as corrected in their corrigendum)."""
    u, v, c, s = api.to_axes(p, x, y)
    au, av, power = _in_axes(p, u, v)
    t = jnp.clip(p.gamma, GAMMA_MIN, GAMMA_MAX) - 1
    kappa = (1 - 0.5 * t) * power
    u2, v2 = u * u, v * v + api.softening(v)
    per_r2 = 1 / (u2 + v2)
    shear = ((1 - t) * (au * u - av * v) - kappa * (u2 - v2)) * per_r2
    cross = ((1 - t) * (av * u + au * v) - 2 * kappa * u * v) * per_r2
    return api.hessian_to_sky(kappa, shear, cross, c, s)
