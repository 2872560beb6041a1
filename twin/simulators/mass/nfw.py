"""Navarro, Frenk & White's halo, round or with ellipticity in its potential.

rho = rho0 / (r/Rs (1 + r/Rs)^2) (ApJ 490, 493, 1997); lensing after Wright & Brainerd 2000, ApJ 534, 34. lenstronomy's
"NFW" (q = 1) and "NFW_ELLIPSE_POTENTIAL".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from twin.numerics.lens_functions import nfw_functions
from twin.simulators.mass import api, round

RS_MIN = 1e-3
NORM = 1 - math.log(2)  # of the deflection at Rs


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NFW:
    Rs: Array = api.parameter("scale radius", "arcsec", RS_MIN, 10000, absent=1)
    alpha_Rs: Array = api.parameter("deflection at Rs, of the round halo; 0 = absent", "arcsec", 0, 1000)
    q: Array = api.parameter("axis ratio of the potential", "", 0.5, 1, absent=1)
    angle: Array = api.angle()
    x: Array = api.centre("x")
    y: Array = api.centre("y")


def _radial(p: NFW, r2: Array) -> round.Radial:
    scale = jnp.maximum(p.Rs, RS_MIN)
    f = nfw_functions(jnp.sqrt(r2) / scale)
    strength = p.alpha_Rs / (NORM * scale)
    return round.Radial(strength * f.mean, 0.5 * strength * f.ring, 0.5 * strength * scale * scale * f.well)


deflection, potential, convergence, hessian = round.lensing(_radial, round.stretched)
