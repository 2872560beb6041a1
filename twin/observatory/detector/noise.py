"""What a detector, or a stack of exposures, makes of an expected image.

Single exposures: counts = (Poisson(gain (signal + sky) + dark) + read noise) / gain + bias, cut at 0 and at saturation,
whole counts.
Stacks (resampling > 0): Gaussian noise of the same variance, correlated by the resampling kernel, on a sky-subtracted
image; hundreds of electrons of sky a pixel make the Poisson law Gaussian to better than its own quantisation.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.poisson import poisson
from twin.observatory.state import ImagerState

_REACH = 2  # the resampling kernel is cut at this many pixels
_ROUNDING = 1 / 12  # variance that whole counts add (Sheppard 1897, Proc. London Math. Soc. 29, 353) [count^2]


def _kernel(sigma: Array) -> Array:
    """(..., 2 reach + 1) taps of a Gaussian of `sigma` pixels that sum to 1; sigma = 0 gives a delta."""
    offset = np.arange(-_REACH, _REACH + 1, dtype=np.float32)
    taps = jnp.exp(-0.5 * offset**2 / jnp.maximum(sigma, 0.05)[..., None] ** 2)
    return taps / taps.sum(-1, keepdims=True)


def variance(expected: Array, state: ImagerState) -> Array:
    """Variance (B, y, x) [count^2] of a pixel before resampling, for expected counts above the sky."""
    electrons = jnp.maximum(expected, 0) * state.gain[:, None, None] + background_variance(state)[:, None, None]
    return electrons / state.gain[:, None, None] ** 2


def background_variance(state: ImagerState) -> Array:
    """Variance (B,) of an empty pixel [electron^2]."""
    return state.sky * state.gain + state.dark + state.read_noise**2


def noise_rms(state: ImagerState, stacked: bool) -> Array:
    """Standard deviation (B,) of an empty pixel of a stack, after resampling, or of a single exposure [count]."""
    white = jnp.sqrt(background_variance(state)) / state.gain
    if not stacked:
        return jnp.sqrt(white**2 + _ROUNDING)
    return white * jnp.sum(_kernel(state.resampling) ** 2, -1)


def level(state: ImagerState) -> Array:
    """Mean (B,) of an empty pixel of a single exposure: sky, dark signal and bias [count]."""
    return state.sky + state.dark / state.gain + state.bias


def _sky_residual(state: ImagerState, npix: int) -> Array:
    ramp = jnp.asarray((np.arange(npix) + 0.5) / npix - 0.5, jnp.float32)
    constant, gx, gy = (state.sky_residual[:, k, None, None] for k in range(3))
    return constant + gx * ramp[None, None, :] + gy * ramp[None, :, None]


def expose_stack(key: Array, expected: Array, state: ImagerState) -> Array:
    """Sky-subtracted stack (B, npix, npix) [count, float32] of an expected image above the sky [count]."""
    bands, npix = expected.shape[0], expected.shape[-1]
    r = _REACH
    white = jax.random.normal(key, (bands, npix + 2 * r, npix + 2 * r), jnp.float32)
    # the border only feeds the kernel: it takes the variance of the empty sky
    sigma = jnp.sqrt(variance(jnp.pad(expected, ((0, 0), (r, r), (r, r))), state))
    noise, taps = white * sigma, _kernel(state.resampling)
    noise = sum(taps[:, k, None, None] * noise[:, k : k + npix, :] for k in range(2 * r + 1))  # type: ignore[assignment]
    noise = sum(taps[:, k, None, None] * noise[:, :, k : k + npix] for k in range(2 * r + 1))  # type: ignore[assignment]
    frame = expected + noise + _sky_residual(state, npix)
    return jnp.minimum(frame, state.saturation[:, None, None])


def expose_single(key: Array, expected: Array, state: ImagerState) -> Array:
    """Raw counts (B, npix, npix) of one exposure, sky and bias included, for an expected image above the sky
    [count]."""
    gain = state.gain[:, None, None]
    photon_key, read_key = jax.random.split(key)
    rate = (jnp.maximum(expected, 0) + state.sky[:, None, None]) * gain + state.dark[:, None, None]
    electrons = poisson(photon_key, rate)
    electrons = electrons + state.read_noise[:, None, None] * jax.random.normal(read_key, expected.shape, jnp.float32)
    counts = electrons / gain + state.bias[:, None, None]
    return jnp.round(jnp.clip(counts, 0.0, state.saturation[:, None, None]))


def log_prob(counts: Array, expected: Array, state: ImagerState, stacked: bool) -> Array:
    """Log likelihood of a frame given the expected image above the sky: Gaussian with the pixel's variance.

    Counts are those of `expose_stack` or of `expose_single`, below saturation. Correlations of resampled noise are left
    out: variances are those of the resampled pixels, so parameters are unbiased and their errors too small by the
    correlation's share.
    """
    var = variance(expected, state)
    if stacked:
        empty = _sky_residual(state, expected.shape[-1])
        var = var * jnp.sum(_kernel(state.resampling) ** 2, -1)[:, None, None] ** 2
    else:
        empty = level(state)[:, None, None]
        var = var + _ROUNDING
    return -0.5 * jnp.sum((counts - expected - empty) ** 2 / var + jnp.log(2 * jnp.pi * var))
