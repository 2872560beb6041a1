"""Truncated NFW halo, for subhalos: rho = rho_NFW r_trunc^2 / (r^2 + r_trunc^2).

Baltz, Marshall & Oguri 2009, JCAP 01, 015 (appendix A.1); lenstronomy's "TNFW". Their projected mass is a difference of
terms much larger than itself for small radii; with s = sqrt(t^2 + x^2), t = r_trunc / Rs, F and g of the NFW it is

g / x^2 = t^2 / (t^2 + 1)^2 {(t^2 - 1) [g_NFW / x^2 - ln(1 + x^2 / (2 t (s + t))) / x^2 + L / (t (s + t))]
                             + 2 F - pi / (s + t)},  L = -arcsinh(t / x),

which keeps its digits everywhere. In float32 the convergence is good to 1e-5 of itself within 3 r_trunc; beyond, where
it falls as r^-4 and hardly matters, to 1e-6 of the mean convergence inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.lens_functions import arcsin_over, nfw_functions
from twin.simulators.mass import api, round
from twin.simulators.mass.nfw import NORM, RS_MIN


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TNFW:
    Rs: Array = api.parameter("scale radius", "arcsec", RS_MIN, 10000, absent=1)
    alpha_Rs: Array = api.parameter("deflection at Rs, were there no truncation; 0 = absent", "arcsec", 0, 1000)
    r_trunc: Array = api.parameter("truncation radius", "arcsec", RS_MIN, 10000, absent=1)
    x: Array = api.centre("x")
    y: Array = api.centre("y")


def _log1p_over(z: Array) -> Array:
    """ln(1 + z) / z for z >= 0."""
    large = z > 1e-3
    return jnp.where(large, jnp.log1p(z) / jnp.where(large, z, 1.0), 1 - z * (0.5 - z * (1 / 3 - 0.25 * z)))


def _radial(p: TNFW, r2: Array) -> round.Radial:
    scale = jnp.maximum(p.Rs, RS_MIN)
    t = jnp.clip(p.r_trunc / scale, 1e-2, 1e4)
    x = jnp.sqrt(r2) / scale
    f = nfw_functions(x)
    t2, x2 = t * t, x * x
    s = jnp.sqrt(t2 + x2)
    v = t / x
    log = -jnp.log1p(v * (1 + v / (1 + jnp.sqrt(1 + v * v))))
    # 2 F - pi / (s + t) and 2 F - pi / s; beyond x = 2 the leading terms of F = (pi/2 - arcsin(1/x)) / w cancel by hand
    out = x > 2
    far = jnp.where(out, x, 2.0)
    w = jnp.sqrt((far - 1) * (far + 1))
    arc = 2 * arcsin_over(1 / (far * far)) / far
    gap = (t2 + 1) / (s + w)  # s - w
    of_mass = jnp.where(out, (np.pi * (t + gap) / (s + t) - arc) / w, 2 * f.arc - np.pi / (s + t))
    of_kappa = jnp.where(out, (np.pi * gap / s - arc) / w, 2 * f.arc - np.pi / s)
    z = x2 / (2 * t * (s + t))
    mean = (t2 - 1) * (f.mean + (log - 0.5 * _log1p_over(z)) / (t * (s + t))) + of_mass
    kappa = (t2 + 1) * f.ring + of_kappa + (t2 - 1) * log / (t * s)
    # Baltz's h without its constant, its logarithms of x taken together so that none is left at x = 0
    lz = jnp.log1p(z)
    well = (
        (t2 - 1) * (f.well + 4 * z * log - lz * (2 + 2 * log + lz))
        - 2 * np.pi * t * (2 * z - lz)
        + 4 * x2 * (f.arc - f.mean)
    )
    strength = p.alpha_Rs / (NORM * scale)
    front = strength * t2 / ((t2 + 1) * (t2 + 1))
    return round.Radial(front * mean, 0.5 * front * kappa, 0.5 * front * scale * scale * well)


deflection, potential, convergence, hessian = round.lensing(_radial, round.from_centre)
