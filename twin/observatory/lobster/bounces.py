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
NODES = 512
ORDERS = 11  # bounces are counted from 0 to one less
STEP = REACH / NODES
SINES = ((np.arange(NODES) + 0.5) * STEP).astype(np.float32)
# H at q - n for n from -1 to ORDERS, to the chance of n: second differences, of which a matrix makes each H once only
_SECOND = sum(c * np.eye(ORDERS, ORDERS + 2, k, dtype=np.float32) for k, c in ((0, 1.0), (1, -2.0), (2, 1.0)))
_FAR = 6.0  # standard deviations beyond which a blurred ramp is the ramp


def chance(ratio: ArrayLike, sine: ArrayLike, tilt: ArrayLike = 0.0, spread: ArrayLike = 0.0) -> Array:
    """(ORDERS, ...) probability of each number of bounces; `tilt` [rad] and `spread` of L/w are standard deviations."""
    sine = jnp.abs(jnp.asarray(sine, jnp.float32))
    q = jnp.asarray(ratio) * sine / jnp.sqrt(1 - sine**2)
    sigma = jnp.sqrt((tilt * ratio) ** 2 + (spread * q) ** 2 + 1e-8)
    h = _ramp(q - jnp.asarray(np.arange(-1, ORDERS + 1, dtype=np.float32)).reshape(-1, *[1] * q.ndim), sigma)
    p = jnp.maximum(jnp.tensordot(_SECOND, h, 1), 0)
    # what a tilt takes past s = 0 meets the opposite wall: one bounce too
    return p.at[1].add(_ramp(-q, sigma))


def _ramp(z: ArrayLike, sigma: Array) -> Array:
    """H(z): max(0, z) blurred by sigma."""
    u = jnp.clip(z / sigma, -_FAR, _FAR)  # exp of less is slow: its results are no normal numbers
    blurred = u * 0.5 * (1 + jax.lax.erf(u * 0.70710678)) + 0.39894228 * jnp.exp(-0.5 * u**2)
    return jnp.maximum(z - _FAR * sigma, 0) + sigma * blurred


def weights(state: LobsterState, coating: Coating, energy: ArrayLike) -> Array:
    """(ORDERS, NODES) share of photons of one energy [keV] that leave a pore at +-SINES after n bounces."""
    p = chance(state.pore_ratio, SINES, state.tilt * ARCMIN, state.ratio_spread)
    each = state.efficiency * reflectivity(coating, energy, SINES, state.roughness)
    return p * jnp.exp(jnp.arange(ORDERS)[:, None] * jnp.log(jnp.maximum(each, 1e-12)))
