"""Brighter-fatter: collected charge pushes the borders of pixels.

A border between two pixels moves by the difference of K * Q over it, Q the charge and K the kernel whose discrete
Laplacian are the area coefficients a (Coulton+ 2018, AJ 155, 258; Antilogus+ 2014, JINST 9, C03048). Charge that falls
on the area that changed hands goes to the other pixel; while the exposure lasts the border is half-way in the mean:

    Q'_p = Q_p + 1/2 sum over the four borders of (Q_p + Q_q) / 2 x (shift of the border away from p)

Flats then have covariance a_ij mu^2 at lag ij and variance mu + a_00 mu^2 (a_00 < 0).
"""

from __future__ import annotations

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.observatory.detector.config import BrighterFatter

_SMALL = 256  # pixels a side
_MARGIN = 4  # the kernel falls as r^-4 or faster beyond the reach of the coefficients


def coefficients(config: BrighterFatter) -> np.ndarray:
    """a_ij (2 reach + 1, 2 reach + 1) [1/electron]: change of a pixel's area per electron at lag ij, in pixels.

    -strength at lag 0, falling as r^-slope elsewhere, of sum zero (areas are only exchanged): the form that measured
    covariances have (Astier+ 2019, A&A 629, A36, fig. 9: about -2e-6 at lag 0, r^-3).
    """
    lag = np.arange(-config.reach, config.reach + 1)
    r = np.hypot(lag[:, None], lag[None, :])
    r[config.reach, config.reach] = np.inf
    a = r**-config.slope
    a *= config.strength / a.sum()
    a[config.reach, config.reach] = -config.strength
    return a


@lru_cache
def kernel(config: BrighterFatter) -> np.ndarray:
    """K (n, n) [pixel^2/electron]: its discrete five-point Laplacian is `coefficients`."""
    a, n = coefficients(config), 128
    plane = np.zeros((n, n))
    middle = slice(n // 2 - config.reach, n // 2 + config.reach + 1)
    plane[middle, middle] = a
    cosine = 2 * np.cos(2 * np.pi * np.fft.fftfreq(n))
    laplacian = cosine[:, None] + cosine[None, :] - 4
    laplacian[0, 0] = 1.0  # the plane has no mean
    k = np.fft.ifft2(np.fft.fft2(plane) / laplacian).real
    k -= k[0].mean()
    reach = config.reach + _MARGIN
    return k[n // 2 - reach : n // 2 + reach + 1, n // 2 - reach : n // 2 + reach + 1]


def displace(charge: Array, background: Array, full: Array, config: BrighterFatter) -> Array:
    """Charge (B, ny, nx) [electron] after its own repulsion; its sum stays.

    background (B,) lies around the frame; more than a `full` well (broadcastable) in a pixel repels no more.
    """
    potential = convolve(jnp.minimum(charge, full) - background[:, None, None], config)
    return charge + _flow(charge, potential, -1) + _flow(charge, potential, -2)


def convolve(charge: Array, config: BrighterFatter) -> Array:
    """K * charge (B, ny, nx), nothing around the frame.

    Small frames take K as a sum of products of its eigenvectors, that is as matrix products with banded matrices: a
    thirtieth of the convolution's time on 64 x 64 pixels.
    """
    k = kernel(config)
    if max(charge.shape[-2:]) > _SMALL:
        pad = [(k.shape[0] // 2,) * 2] * 2
        taps = jnp.asarray(k[None, None], jnp.float32)
        return jax.lax.conv_general_dilated(charge[:, None], taps, (1, 1), pad, precision="highest")[:, 0]
    values, vectors = np.linalg.eigh(k)
    kept = np.abs(values) > 1e-7 * np.abs(values).max()
    along_y, along_x = (_banded(vectors[:, kept], n) for n in charge.shape[-2:])
    weighted = jnp.asarray(values[kept, None, None] * along_y, jnp.float32)
    half = jnp.einsum("rij,bjk->brik", weighted, charge, precision="highest")
    return jnp.einsum("brik,rlk->bil", half, jnp.asarray(along_x, jnp.float32), precision="highest")


def _banded(vectors: np.ndarray, n: int) -> np.ndarray:
    """(r, n, n) matrices that convolve n pixels with each of the vectors (taps, r)."""
    reach = vectors.shape[0] // 2
    lag = np.subtract.outer(np.arange(n), np.arange(n))
    inside = np.abs(lag) <= reach
    return np.where(inside, vectors.T[:, np.clip(lag + reach, 0, 2 * reach)], 0.0)


def _flow(charge: Array, potential: Array, axis: int) -> Array:
    """Charge that each pixel gains over its two borders along `axis`; none crosses the frame's edge."""
    q, shift = jnp.moveaxis(charge, axis, -1), jnp.diff(jnp.moveaxis(potential, axis, -1))
    moved = 0.25 * (q[..., 1:] + q[..., :-1]) * shift
    gained = jnp.pad(moved, ((0, 0), (0, 0), (0, 1))) - jnp.pad(moved, ((0, 0), (0, 0), (1, 0)))
    return jnp.moveaxis(gained, -1, axis)
