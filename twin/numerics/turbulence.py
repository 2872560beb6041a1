"""Von Karman phase structure function without a Bessel call.

D(r) = 0.17253 (L0/r0)^(5/3) [1 - 2^(1/6)/Gamma(5/6) x^(5/6) K_(5/6)(x)],  x = 2 pi r / L0,
in rad^2 (Conan 2000, PhD thesis, eq. 2.18; Tokovinin 2002, PASP 114, 1156, eq. 3). For L0 -> inf it is Kolmogorov's
6.88 (r/r0)^(5/3).
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jax import Array

_NU = 5.0 / 6.0
_AMPLITUDE = (
    2.0
    * math.gamma(11 / 6)
    / (2 ** (5 / 6) * math.pi ** (8 / 3))
    * (24 / 5 * math.gamma(6 / 5)) ** (5 / 6)
    * (math.gamma(5 / 6) / 2 ** (1 / 6))
)
_NORM = 2 ** (1 / 6) / math.gamma(_NU)
_SPLIT = 3.0
_TERMS = 12


def _series() -> tuple[np.ndarray, np.ndarray]:
    """Coefficients in v = (x/2)^2 of x^nu I_(-nu) (from k = 1) and of x^-nu I_nu, times pi / (2 sin(nu pi))."""
    front = math.pi / (2 * math.sin(_NU * math.pi))
    minus = [front * 2**_NU / (math.factorial(k) * math.gamma(k - _NU + 1)) for k in range(1, _TERMS + 1)]
    plus = [front * 2**-_NU / (math.factorial(k) * math.gamma(k + _NU + 1)) for k in range(_TERMS)]
    return np.array(minus), np.array(plus)


_MINUS, _PLUS = _series()


def _horner(coefficients: np.ndarray, v: Array) -> Array:
    result = jnp.full_like(v, coefficients[-1])
    for c in coefficients[-2::-1]:
        result = result * v + c
    return result


def saturation(x: Array, x53: Array, terms: int = _TERMS) -> Array:
    """1 - 2^(1/6)/Gamma(5/6) x^(5/6) K_(5/6)(x) for x >= 0, given x53 = x^(5/3); 0 at x = 0, 1 at infinity.

    Power series below x = 3 (first `terms` terms: 5 give 1e-7 for x < 1), large-argument expansion above it.
    """
    small = x if terms < _TERMS else jnp.minimum(x, _SPLIT)
    v = 0.25 * small * small
    small53 = x53 if terms < _TERMS else jnp.minimum(x53, _SPLIT ** (5 / 3))
    below = _NORM * (small53 * _horner(_PLUS[:terms], v) - v * _horner(_MINUS[:terms], v))
    if terms < _TERMS:
        return below
    large = jnp.maximum(x, _SPLIT)
    mu, u = 4 * _NU * _NU, 1 / (8 * large)
    tail, term = jnp.ones_like(large), jnp.ones_like(large)
    for k in range(1, 6):  # Hankel's expansion, Abramowitz & Stegun 9.7.2
        term = term * (mu - (2 * k - 1) ** 2) / k * u
        tail = tail + term
    above = 1 - _NORM * math.sqrt(math.pi / 2) * large ** (_NU - 0.5) * jnp.exp(-large) * tail
    return jnp.where(x < _SPLIT, below, above)


def structure_function(r: Array, r0: Array, outer_scale: Array) -> Array:
    """Phase structure function D(r) [rad^2] at separation r [m], Fried parameter r0 [m], outer scale [m]; arrays
    broadcast."""
    x = 2 * jnp.pi * r / outer_scale
    return _AMPLITUDE * (outer_scale / r0) ** (5 / 3) * saturation(x, x ** (5 / 3))


def half_structure(r: Array, r53: Array, r0: Array, outer_scale: Array, max_x: float) -> Array:
    """D(r)/2 with r53 = r^(5/3) ready-made (static grids pay for the power once); r0 = inf gives 0.

    exp(-D/2) is the OTF of a long exposure.
    max_x  an upper bound of 2 pi r / L0, static: below 1 the short series is exact to float32
    """
    scale = 2 * jnp.pi / outer_scale
    terms = 5 if max_x <= 1.0 else _TERMS
    return 0.5 * _AMPLITUDE * (outer_scale / r0) ** (5 / 3) * saturation(scale * r, scale ** (5 / 3) * r53, terms)
