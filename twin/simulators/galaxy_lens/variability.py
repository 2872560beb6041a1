"""What point sources do with time: type Ia supernovae, and quasars as damped random walks."""

from __future__ import annotations

from functools import cache

import jax.numpy as jnp
import numpy as np
from jax import Array

_NICKEL, _COBALT = 8.8, 111.3  # d
_HEAT_NICKEL, _HEAT_COBALT = 3.9e10, 6.78e9  # erg/s/g
_DIFFUSION, _ESCAPE = 16.0, 30.0  # d
_LAST, _STEP = 300.0, 0.25  # d


@cache
def _curve() -> np.ndarray:
    """Brightness from explosion to _LAST in steps of _STEP, 1 at maximum (16.3 d after explosion).

    Arnett 1982 (ApJ 253, 785): L(t) = e^(-x^2) int_0^x 2 z e^(z^2) heating(z) dz, x = t / diffusion time, with heating
    by nickel and cobalt; of its gamma rays 1 - exp(-(30 d / t)^2) are kept (Jeffery 1999, astro-ph/9907015).
    """
    t = np.arange(0, _LAST + _STEP / 2, _STEP)
    fine = np.linspace(0, _LAST, 60001)
    z = fine / _DIFFUSION
    heat = (_HEAT_NICKEL - _HEAT_COBALT) * np.exp(-fine / _NICKEL) + _HEAT_COBALT * np.exp(-fine / _COBALT)
    # by the recurrence L(x + h) = e^-(2 x h + h^2) L(x) + ...: e^(z^2) alone would overflow
    light = np.zeros_like(fine)
    for k in range(1, len(fine)):
        h = z[k] - z[k - 1]
        decay = np.exp(-h * (z[k] + z[k - 1]))
        light[k] = decay * light[k - 1] + h * (z[k] * heat[k] + z[k - 1] * heat[k - 1] * decay)
    light *= 1 - np.exp(-((_ESCAPE / np.maximum(fine, 1e-3)) ** 2))
    return (np.interp(t, fine, light) / light.max()).astype(np.float32)


def supernova_brightness(age: Array, stretch: Array) -> Array:
    """Brightness of a type Ia supernova of some age since explosion [d, its own time], 1 at maximum; 0 before."""
    curve = _curve()
    t = age / stretch
    return jnp.where(t > 0, jnp.interp(t, np.arange(len(curve), dtype=np.float32) * _STEP, curve), 0.0)


def random_walk(lag: Array, walk: Array, tau: Array, structure: Array) -> Array:
    """Magnitudes (N,) of a damped random walk at times -lag, lag (N,) [d] not decreasing, from unit normals (N,).

    Covariance structure^2/2 exp(-|dt|/tau) (MacLeod+ 2010, ApJ 721, 1014): a Markov process, drawn one time after
    another.
    """
    sigma = structure * np.float32(np.sqrt(0.5))
    value = sigma * walk[0]
    values = [value]
    for k in range(1, len(walk)):
        kept = jnp.exp(-jnp.maximum(lag[k] - lag[k - 1], 0.0) / tau)
        value = kept * value + sigma * jnp.sqrt(jnp.maximum(1 - kept * kept, 0.0)) * walk[k]
        values.append(value)
    return jnp.stack(values)
