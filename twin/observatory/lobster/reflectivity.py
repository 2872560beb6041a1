"""Reflectivity of a rough, thick metal coating in grazing incidence.

R = |(k0 - k1) / (k0 + k1)|^2 S,   k0 = sin(theta),  k1 = sqrt(n^2 - cos^2(theta))   (Fresnel, s; p agrees there)

S for roughness sigma, q = 2 pi sigma / lambda:  nevot-croce |exp(-2 q^2 k0 k1)|^2 (Nevot & Croce 1980, Rev. Phys.
Appl. 15, 761);  debye-waller exp(-(2 q k0)^2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from twin.observatory.lobster.materials import WAVELENGTH, Table, constants

Law = Literal["nevot-croce", "debye-waller"]


@dataclass(frozen=True)
class Coating:
    """What pores are coated with: element, the table of its optical constants, how roughness takes light away."""

    element: Literal["Ir", "Au"] = "Ir"
    table: Table = "henke"
    law: Law = "nevot-croce"


def reflectivity(coating: Coating, energy: ArrayLike, sine: ArrayLike, roughness: ArrayLike) -> Array:
    """Reflectivity for photons of `energy` [keV] at the sine of the grazing angle, rms `roughness` [m]."""
    energy, sine = jnp.asarray(energy, jnp.float32), jnp.abs(jnp.asarray(sine, jnp.float32))
    delta, beta = constants(coating.element, coating.table, energy)
    # k1 = a + ib without complex numbers: k1^2 = sin^2 - 2 delta + delta^2 - beta^2 + 2 i beta (1 - delta)
    re, im = sine**2 - 2 * delta + delta**2 - beta**2, 2 * beta * (1 - delta)
    size = jnp.sqrt(re**2 + im**2)
    large = jnp.sqrt((size + jnp.abs(re)) / 2)  # the other root by division: no difference of nearly equal numbers
    small = im / (2 * large)
    a, b = jnp.where(re > 0, large, small), jnp.where(re > 0, small, large)
    fresnel = ((sine - a) ** 2 + b**2) / ((sine + a) ** 2 + b**2)
    q2 = (2 * np.pi / WAVELENGTH * energy * roughness) ** 2
    if coating.law == "nevot-croce":
        return fresnel * jnp.exp(-4 * q2 * sine * a)
    return fresnel * jnp.exp(-4 * q2 * sine**2)
