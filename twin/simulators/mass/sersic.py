"""Sersic's surface density, round or with ellipticity in its potential.

kappa = k_eff exp(-b_n [(r / R_e)^(1/n) - 1]) (Cardone 2004, A&A 415, 839); lenstronomy's "SERSIC" (q = 1) and
"SERSIC_ELLIPSE_POTENTIAL", but with b_n exact where lenstronomy takes 1.9992 n - 0.3271: R_e holds half the mass.

With a = 2 n, z = b_n (r / R_e)^(1/n) and Kummer's function 1F1(1; a + 1; z) = sum z^k / ((a + 1) ... (a + k)),
alpha / r = kappa 1F1(1; a + 1; z),
psi = kappa r^2 / 2 sum a H_k z^k / ((a + 1) ... (a + k)), H_k = sum_{j<=k} 1 / (a + j):
sums of positive terms, without a gamma function. Beyond z = 48 (float32; 80 in float64) all the mass is inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import digamma, gammaln

from twin.numerics.sersic import b_n
from twin.simulators.mass import api, round

N_MIN, N_MAX = 0.5, 8.0
R_MIN = 1e-3


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sersic:
    k_eff: Array = api.parameter("convergence at R_e, of the round profile; 0 = absent", "", 0, 1000)
    R_e: Array = api.parameter("radius that holds half the mass", "arcsec", R_MIN, 10000, absent=1)
    n: Array = api.parameter("Sersic index", "", N_MIN, N_MAX, absent=1)
    q: Array = api.parameter("axis ratio of the potential", "", 0.5, 1, absent=1)
    angle: Array = api.angle()
    x: Array = api.centre("x")
    y: Array = api.centre("y")


def _sums(a: Array, z: Array, terms: int) -> tuple[Array, Array]:
    """1F1(1; a + 1; z) and the potential's series, by Horner's rule."""
    steps = 1 / (a + jnp.arange(1, terms + 1, dtype=z.dtype))
    weights = 1 + a * jnp.cumsum(steps)

    def nest(sums: tuple[Array, Array], term: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        of_mass, of_psi = sums
        step, weight = term
        zs = z * step
        return (1 + zs * of_mass, weight + zs * of_psi), None

    start = jnp.ones_like(z), jnp.broadcast_to(weights[-1], z.shape)
    before = jnp.concatenate([jnp.ones_like(weights[:1]), weights[:-1]])
    (of_mass, of_psi), _ = jax.lax.scan(nest, start, (steps, before), reverse=True, unroll=10)
    return of_mass, of_psi


def _radial(p: Sersic, r2: Array) -> round.Radial:
    wide = r2.dtype == jnp.float64
    limit, terms = (80.0, 220) if wide else (48.0, 110)
    n, size = jnp.clip(p.n, N_MIN, N_MAX), jnp.maximum(p.R_e, R_MIN)
    b, a = b_n(n).astype(r2.dtype), 2 * n
    log_r = 0.5 * jnp.log(r2) - jnp.log(size)
    z = b * jnp.exp(jnp.minimum(log_r / n, 10.0))
    kappa = p.k_eff * jnp.exp(b - z)
    of_mass, of_psi = _sums(a, jnp.minimum(z, limit), terms)
    # mass inside / pi of all: 2 half
    half = n * p.k_eff * jnp.exp(b - a * jnp.log(b) + gammaln(a)) * size * size
    outside = z > limit
    mean = jnp.where(outside, 2 * half / r2, kappa * of_mass)
    psi = jnp.where(outside, 2 * half * (log_r + (jnp.log(b) - digamma(a)) * n), 0.5 * kappa * r2 * of_psi)
    return round.Radial(mean, kappa, psi)


deflection, potential, convergence, hessian = round.lensing(_radial, round.stretched)
