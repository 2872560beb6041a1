"""What is fixed in a detector: a number for each of its pixels, the same in every exposure.

A pixel's number is a hash of its place, Threefry (Salmon et al. 2011, SC11, doi:10.1145/2063384.2063405) with the
detector's serial number as the key. A frame anywhere needs no map of the whole detector, and cut-outs that overlap
agree.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.random import threefry_2x32
from jax.scipy.special import ndtri

from twin.observatory.detector.config import DetectorConfig
from twin.observatory.detector.place import Place

_RESPONSE, _DARK, _BIAS, _COLUMN = range(1, 5)
_FAR = 5.0  # standard deviations beyond which no pixel lies


def hashed(serial: int, stream: int, x: Array, y: Array) -> tuple[Array, Array]:
    """Two independent uniforms in (0, 1) for each of the places x, y (int32), float32."""
    words = threefry_2x32(
        jnp.asarray([serial, stream], jnp.uint32), jnp.concatenate([y.ravel(), x.ravel()]).astype(jnp.uint32)
    )
    first, second = ((word >> 8).astype(jnp.float32) * 2**-24 + 2**-25 for word in jnp.split(words, 2))
    return first.reshape(x.shape), second.reshape(x.shape)


def _pixels(place: Place, detector: DetectorConfig, stream: int) -> tuple[Array, Array]:
    """(normal, uniform) (B, ny, nx) of each pixel."""
    x, y = (jnp.broadcast_to(v, place.shape) for v in (place.x[:, None, :], place.y[:, :, None]))
    first, second = hashed(detector.serial, stream, x, y)
    return jnp.clip(ndtri(first), -_FAR, _FAR), second


def dead(place: Place, detector: DetectorConfig) -> Array:
    """(B, ny, nx) pixels that see no light."""
    flat = detector.flat_field
    if flat is None or flat.dead == 0:
        return jnp.zeros(place.shape, bool)
    return _pixels(place, detector, _RESPONSE)[1] < flat.dead


def response(place: Place, detector: DetectorConfig) -> Array:
    """(B, ny, nx) photo-response 1 + prnu n, n standard normal; 0 where dead."""
    flat = detector.flat_field
    assert flat is not None
    normal, uniform = _pixels(place, detector, _RESPONSE)
    return jnp.where(uniform < flat.dead, 0.0, 1 + flat.prnu * normal)


def hot(place: Place, detector: DetectorConfig) -> Array:
    """(B, ny, nx) hot pixels."""
    dark = detector.dark_pattern
    if dark is None or dark.hot == 0:
        return jnp.zeros(place.shape, bool)
    return _pixels(place, detector, _DARK)[1] < dark.hot


def dark_factor(place: Place, detector: DetectorConfig) -> Array:
    """(B, ny, nx) dark current over the detector's: exp(s n - s^2 / 2), of mean 1; f exp(s_hot n) where hot.

    A factor, so that hot pixels too cool with the detector: they have about its activation energy (Widenhorn+ 2002,
    Proc. SPIE 4669, 193).
    """
    dark = detector.dark_pattern
    assert dark is not None
    normal, uniform = _pixels(place, detector, _DARK)
    usual = jnp.exp(dark.sigma * normal - 0.5 * dark.sigma**2)
    return jnp.where(uniform < dark.hot, dark.hot_factor * jnp.exp(dark.hot_sigma * normal), usual)


def bias_pattern(place: Place, detector: DetectorConfig) -> Array:
    """(B, ny, nx) fixed part of the bias of one read over its mean [count]: of each pixel and of each column."""
    pattern = detector.bias_pattern
    assert pattern is not None
    fixed = jnp.zeros(place.shape, jnp.float32)
    if pattern.pixel:
        fixed = fixed + pattern.pixel * _pixels(place, detector, _BIAS)[0]
    if pattern.column:
        first = hashed(detector.serial, _COLUMN, place.x, jnp.zeros_like(place.x))[0]
        fixed = fixed + pattern.column * jnp.clip(ndtri(first), -_FAR, _FAR)[:, None, :]
    return fixed


def row_levels(normal: Array, detector: DetectorConfig) -> Array:
    """(B, ny) level of each row of one read over its mean [count] from as many standard normals: a first-order
    autoregression along y, as low-frequency noise of the electronics leaves it."""
    pattern = detector.bias_pattern
    assert pattern is not None
    rho, rows = pattern.row_correlation, normal.shape[-1]
    lag = np.subtract.outer(np.arange(rows), np.arange(rows))
    weight = np.where(lag >= 0, np.sqrt(1 - rho**2) * rho ** np.maximum(lag, 0.0), 0.0)
    weight[:, 0] = rho ** np.arange(rows)  # so that the first row too has the full variance
    return pattern.row * jnp.einsum("yr,br->by", jnp.asarray(weight, jnp.float32), normal, precision="highest")
