"""Persistence of infrared arrays: traps that an earlier exposure filled let go during this one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.poisson import poisson
from twin.observatory.detector.config import Persistence

_MOST = 8  # stars of the exposure before that a frame can have


def rate(filled: Array, since: Array | float, config: Persistence) -> Array:
    """Afterglow [e-/s] of pixels `since` [s] after they had been filled to `filled` [electron].

    P = A (x / x0)^slope / (exp(-(x - x0) / dx) + 1) (t / 1000 s)^-decay (Long, Baggett & MacKenty 2012, Proc. SPIE
    8442, 84421W; HST/WFC3: A = 0.17 e-/s, x0 = 90,000, dx = 18,000, slope 0.2, decay 1)
    """
    x = jnp.maximum(filled, 0)
    fermi = jax.nn.sigmoid((x - config.knee) / config.width)
    return config.amplitude * (x / config.knee) ** config.slope * fermi * (since / 1000.0) ** -config.decay


def afterglow(filled: Array, exptime: Array, config: Persistence) -> Array:
    """Electrons (B, ny, nx) in an exposure of `exptime` (B,) [s]: the integral of `rate` from `since` to its end."""
    ratio, power = 1 + exptime / config.since, 1 - config.decay
    # (r^p - 1) / p with its limit ln r at p = 0
    share = jnp.log(ratio) if abs(power) < 1e-6 else jnp.expm1(power * jnp.log(ratio)) / power
    return rate(filled, config.since, config) * (config.since * share)[:, None, None]


def ghosts(key: Array, shape: tuple[int, ...], config: Persistence) -> Array:
    """Charge (B, ny, nx) [electron] that stars of the exposure before left in pixels: Gaussians of `fwhm` pixels, their
    number of Poisson's law, central pixels from `knee` to `brightest` as dN/dx ~ x^-2."""
    bands, ny, nx = shape
    count_key, place_key, peak_key = jax.random.split(key, 3)
    count = poisson(count_key, jnp.full((bands, 1), config.stars * ny * nx / 1e4))
    at = jax.random.uniform(place_key, (2, bands, _MOST, 1))
    u = jax.random.uniform(peak_key, (bands, _MOST))
    low, high = 1 / config.brightest, 1 / config.knee
    peak = jnp.where(np.arange(_MOST) < count, 1 / (low + u * (high - low)), 0.0)
    spread = config.fwhm / 2.3548
    gx, gy = (
        jnp.exp(-0.5 * ((np.arange(n) + 0.5 - n * share) / spread) ** 2) for n, share in ((nx, at[0]), (ny, at[1]))
    )
    return jnp.einsum("bk,bky,bkx->byx", peak, gy, gx, precision="highest")
