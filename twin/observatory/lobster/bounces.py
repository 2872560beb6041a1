"""How often a photon is reflected in a square pore, axis by axis.

A pore that a photon enters at a direction sine s of an axis is crossed q = (L/w) tan(asin s) times; n bounces happen
to the share P(n) = max(0, 1 - |q - n|), each with reflectivity R(s). Tilts and lengths of plates are normal about
their mean, so the mean of P is that triangle blurred by sigma^2 = (tilt L/w)^2 + (q spread)^2:

<P(n)> = H(q - n + 1) - 2 H(q - n) + H(q - n - 1),   H(z) = z Phi(z/sigma) + sigma phi(z/sigma).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from twin.observatory.lobster.reflectivity import Coating, reflectivity
from twin.observatory.lobster.state import LobsterState

ARCMIN = np.pi / 10800
REACH = 0.16  # direction sine beyond which (9.2 deg) nothing is reflected often enough to matter
NODES = 1024
ORDERS = 11  # bounces are counted from 0 to one less
STEP = REACH / NODES
SINES = ((np.arange(NODES) + 0.5) * STEP).astype(np.float32)


def chance(ratio: ArrayLike, sine: ArrayLike, tilt: ArrayLike = 0.0, spread: ArrayLike = 0.0) -> Array:
    """(ORDERS, ...) probability of each number of bounces; `tilt` [rad] and `spread` of L/w are standard deviations."""
    sine = jnp.abs(jnp.asarray(sine, jnp.float32))
    q = jnp.asarray(ratio) * sine / jnp.sqrt(1 - sine**2)
    sigma = jnp.sqrt((tilt * ratio) ** 2 + (spread * q) ** 2 + 1e-8)
    h = _ramp(q - jnp.asarray(np.arange(-1, ORDERS + 1, dtype=np.float32)).reshape(-1, *[1] * q.ndim), sigma)
    p = jnp.maximum(h[:-2] - 2 * h[1:-1] + h[2:], 0)
    # what a tilt takes past s = 0 meets the opposite wall: one bounce too
    return p.at[1].add(_ramp(-q, sigma))


def _ramp(z: ArrayLike, sigma: Array) -> Array:
    """H(z): max(0, z) blurred by sigma."""
    z = jnp.asarray(z)
    return z * 0.5 * (1 + jax.lax.erf(z / sigma * 0.70710678)) + sigma * 0.39894228 * jnp.exp(-0.5 * (z / sigma) ** 2)


def weights(state: LobsterState, coating: Coating, energy: ArrayLike) -> Array:
    """(ORDERS, NODES) share of photons of one energy [keV] that leave a pore at +-SINES after n bounces."""
    p = chance(state.pore_ratio, SINES, state.tilt * ARCMIN, state.ratio_spread)
    each = state.efficiency * reflectivity(coating, energy, SINES, state.roughness)
    return p * jnp.exp(jnp.arange(ORDERS)[:, None] * jnp.log(jnp.maximum(each, 1e-12)))
