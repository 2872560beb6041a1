"""Sky-subtracted stacks of exposures."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.poisson import poisson
from twin.observatory.detector.config import DetectorConfig, Masks
from twin.observatory.detector.noise import kernel, response, sky_residual, variance
from twin.observatory.state import ImagerState

_MASKS = 101  # stream of random numbers beside that of the noise, which masks do not change
_MOST = 10  # discs in a frame of one exposure


def expose_stack(key: Array, expected: Array, state: ImagerState, detector: DetectorConfig | None = None) -> Array:
    """Sky-subtracted stack (B, npix, npix) [count, float32] of an expected image above the sky [count].

    With the detector's `masks` the variance of a pixel grows as its share of exposures falls; pixels with none hold 0,
    see `valid`.
    """
    bands, npix = expected.shape[0], expected.shape[-1]
    taps, masks = kernel(state.resampling, detector), detector.masks if detector else None
    r = taps.shape[-1] // 2
    white = jax.random.normal(key, (bands, npix + 2 * r, npix + 2 * r), jnp.float32)
    # the border only feeds the kernel: it takes the variance of the empty sky
    sigma = jnp.sqrt(variance(jnp.pad(expected, ((0, 0), (r, r), (r, r))), state))
    share = jnp.ones((bands, npix, npix), jnp.float32)
    if masks is not None:
        share = coverage(jax.random.fold_in(key, _MASKS), expected.shape, masks)
        seen = jnp.pad(share, ((0, 0), (r, r), (r, r)), mode="edge")
        sigma = sigma * jnp.sqrt(mean_coverage(masks) / jnp.maximum(seen, 1 / masks.epochs))
    if detector is not None and detector.resampling == "isotropic":
        damped = jnp.fft.rfft2(white * sigma) * response(state.resampling, npix + 2 * r)
        noise = jnp.fft.irfft2(damped, (npix + 2 * r,) * 2)[:, r:-r, r:-r]
    else:
        along = jnp.einsum("bk,kij->bij", taps, _shifts(npix, 2 * r + 1))  # products beat sums of shifted images
        noise = along @ (white * sigma) @ along.swapaxes(-1, -2)
    frame = jnp.minimum(expected + noise + sky_residual(state, npix), state.saturation[:, None, None])
    return frame if masks is None else jnp.where(share > 0, frame, 0.0)


@cache
def _shifts(npix: int, taps: int) -> np.ndarray:
    """(taps, npix, npix + taps - 1) matrices: the k-th takes k pixels off the front."""
    return np.stack([np.eye(npix, npix + taps - 1, k, np.float32) for k in range(taps)])


def valid(key: Array, shape: tuple[int, ...], detector: DetectorConfig | None = None) -> Array:
    """(B, npix, npix) pixels that at least one exposure of the stack saw, of the frame that `expose_stack` makes of the
    same key."""
    if detector is None or detector.masks is None:
        return jnp.ones(shape, bool)
    return coverage(jax.random.fold_in(key, _MASKS), shape, detector.masks) > 0


def mean_coverage(masks: Masks) -> float:
    """Share of a pixel's exposures that are not in a gap, in the mean."""
    return (1 - masks.gap / masks.pitch) ** 2


def coverage(key: Array, shape: tuple[int, ...], masks: Masks) -> Array:
    """(B, ny, nx) share of the stack's exposures that saw the pixel: not in a gap of the mosaic, whose phase and angle
    are new in each, and in none of its discs."""
    bands, ny, nx = shape
    x, y = np.arange(nx, dtype=np.float32)[None, :], np.arange(ny, dtype=np.float32)[:, None]

    def epoch(total: Array, key: Array) -> tuple[Array, None]:
        grid_key, count_key, place_key = jax.random.split(key, 3)
        turn, along, across = jax.random.uniform(grid_key, (3, bands, 1, 1), jnp.float32)
        cos, sin = jnp.cos(2 * jnp.pi * turn), jnp.sin(2 * jnp.pi * turn)
        seen = jnp.ones(shape, bool)
        for u, phase in ((cos * x + sin * y, along), (cos * y - sin * x, across)):
            seen = seen & (jnp.mod(u / masks.pitch + phase, 1.0) >= masks.gap / masks.pitch)
        if masks.discs:
            count = poisson(count_key, jnp.full((bands, 1), masks.discs))
            at = jax.random.uniform(place_key, (2, bands, _MOST, 1, 1), jnp.float32)
            near = (x - nx * at[0]) ** 2 + (y - ny * at[1]) ** 2 < masks.radius**2
            there = np.arange(_MOST) < count
            seen = seen & ~jnp.any(near & there[:, :, None, None], 1)
        return total + seen, None

    start = jnp.zeros(shape, jnp.float32)
    return jax.lax.scan(epoch, start, jax.random.split(key, masks.epochs))[0] * np.float32(1 / masks.epochs)
