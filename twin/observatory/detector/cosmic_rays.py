"""Cosmic rays: tracks of minimum-ionising particles through the silicon.

Each enters at a random place, at an angle theta to the normal: p(cos theta) ~ cos^(1 + m) theta through a plane, m = 0
for isotropic particles and 2 for muons on the ground (intensity ~ cos^2 of the zenith distance, for a detector that
looks up). It crosses a layer d thick along d / cos theta of silicon and d tan theta of pixels. Over each piece of its
path its loss is Landau's (1944, J. Phys. USSR 8, 201): Delta = Delta_p + xi (L - L_p), with xi = 17.8 eV/um of path and
the most probable Delta_p = xi (ln(2 m c^2 xi / (hbar omega_p)^2) + 0.200) (Workman+ 2022, PTEP 2022, 083C01, eq. 34.13;
hbar omega_p = 31.05 eV). An electron-hole pair costs 3.65 eV. Left out: atomic binding, which broadens
the loss in layers of a few microns; stopping particles, showers and X-rays of the dewar.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.poisson import poisson
from twin.observatory.detector.config import DetectorConfig

XI = 0.1535e6 * 14 / 28.0855 * 2.329e-4  # [eV/um] for particles of charge and speed 1: 0.1535 MeV cm2/g Z/A rho
PAIR = 3.65  # [eV]
_PLASMA, _ELECTRON = 31.05, 510998.95  # [eV]
_MODE = -0.2227830  # most probable value of Landau's distribution
_STEPS = 96  # pieces of a track
_BLOCK = 4  # tracks added together
_REACH = 48  # a track is cut at so many pixels: at that angle few enter, and their length is no longer seen
_HARDEST = 60.0  # xi of the whole track: an electron with more leaves the layer, and takes the energy along


def landau(key: Array, shape: tuple[int, ...]) -> Array:
    """Draws of Landau's distribution, pdf 1/(2 pi i) int exp(s ln s + x s) ds: the stable law of index 1 and skewness
    1, after Chambers, Mallows & Stuck (1976, JASA 71, 340)."""
    angle_key, size_key = jax.random.split(key)
    angle = jnp.pi * (jax.random.uniform(angle_key, shape, jnp.float32) - 0.5)
    wait = jnp.maximum(jax.random.exponential(size_key, shape, jnp.float32), 1e-12)
    lean = jnp.pi / 2 + angle
    # tan of an angle that lean measures from -pi/2; near there it is infinite and lean times it is not
    lean = jnp.maximum(lean, 1e-6)
    return -lean / jnp.tan(lean) - jnp.log(wait * jnp.sin(lean) / lean)


def losses(key: Array, path: Array, pieces: int) -> Array:
    """Energy [eV] (..., pieces) lost in equal pieces of `path` (...) [um]; their sum has Landau's law of the whole."""
    xi = XI * path[..., None] / pieces
    likely = xi * (jnp.log(2 * _ELECTRON * xi / _PLASMA**2) + 0.200)
    excess = landau(key, (*path.shape, pieces)) - _MODE
    return jnp.maximum(likely + xi * jnp.minimum(excess, _HARDEST * pieces), 0.0)


def _tracks(key: Array, shape: tuple[int, ...], count: int, detector: DetectorConfig) -> tuple[Array, Array, Array]:
    """x, y [pixel from the frame's corner] and charge [electron] (B, count, steps) of the tracks' pieces."""
    rays = detector.cosmic_rays
    assert rays is not None
    assert detector.pixel is not None
    bands, ny, nx = shape
    enter, angles, loss, spread = jax.random.split(key, 4)
    u = jax.random.uniform(enter, (2, bands, count, 1), jnp.float32)
    v = jax.random.uniform(angles, (2, bands, count), jnp.float32, minval=1e-6)
    cosine = v[0] ** (1 / (4 if rays.muons else 2))
    across = jnp.minimum(rays.thickness / detector.pixel * jnp.sqrt(1 - cosine**2) / cosine, _REACH)[..., None]
    path = jnp.hypot(rays.thickness, across[..., 0] * detector.pixel)
    depth = (np.arange(_STEPS, dtype=np.float32) + 0.5) / _STEPS
    turn = 2 * jnp.pi * v[1][..., None]
    x = (nx + 2 * _REACH) * u[0] - _REACH + across * depth * jnp.cos(turn)
    y = (ny + 2 * _REACH) * u[1] - _REACH + across * depth * jnp.sin(turn)
    if detector.diffusion:  # charge spreads as the root of the way it drifts
        drift = detector.diffusion * np.sqrt(depth) * jax.random.normal(spread, (2, *x.shape), jnp.float32)
        x, y = x + drift[0], y + drift[1]
    return x, y, losses(loss, path, _STEPS) / PAIR


def mean_number(shape: tuple[int, ...], exptime: Array, detector: DetectorConfig) -> Array:
    """(B,) mean number of tracks that enter a frame (B, ny, nx) and its surroundings within reach."""
    rays = detector.cosmic_rays
    assert rays is not None
    assert detector.pixel is not None
    area = (shape[-2] + 2 * _REACH) * (shape[-1] + 2 * _REACH) * (detector.pixel * 1e-4) ** 2
    return rays.rate * area * exptime


@partial(jax.jit, static_argnums=(1, 3))
def deposit(key: Array, shape: tuple[int, ...], exptime: Array, detector: DetectorConfig) -> Array:
    """Charge (B, ny, nx) [electron] that cosmic rays leave in an exposure of `exptime` (B,) [s]."""
    bands, ny, nx = shape
    count_key, track_key = jax.random.split(key)
    count = poisson(count_key, mean_number(shape, exptime, detector)).astype(jnp.int32)
    band = np.arange(bands)[:, None, None]

    def add(block: Array, charge: Array) -> Array:
        x, y, electrons = _tracks(jax.random.fold_in(track_key, block), shape, _BLOCK, detector)
        there = (block * _BLOCK + np.arange(_BLOCK)) < count[:, None]
        # outside the frame, or beyond the count: an index that is dropped
        ix = jnp.where(there[..., None] & (x >= 0), jnp.floor(x), nx).astype(jnp.int32)
        iy = jnp.where(y >= 0, jnp.floor(y), ny).astype(jnp.int32)
        return charge.at[band, iy, ix].add(electrons, mode="drop")

    blocks = (count.max() + _BLOCK - 1) // _BLOCK
    return jax.lax.fori_loop(0, blocks, add, jnp.zeros(shape, jnp.float32))
