"""From detector frames to what a network sees: recentring, channels. NumPy and JAX arrays alike."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

CENTRE_RADIUS = 12  # pixels from the middle within which the peak is sought: a crop of 40 then stays inside 64
PEAK_FLOOR = 3.0  # sky sigmas below which a peak is noise and no longer sets the scale of the linear image


def find_peak(frames: Any, valid: Any, band_index: int, radius: float = CENTRE_RADIUS) -> Any:
    """(n, 2) row and column of the brightest pixel of one band, after a 3x3 mean over the valid pixels.

    Sought among valid pixels within `radius` pixels of the middle (y // 2, x // 2); where none is valid, the middle.

    frames  (n, band, y, x) counts; valid (n, band, y, x) bool
    """
    xp = frames.__array_namespace__()
    _, _, ny, nx = frames.shape
    usable = valid[:, band_index]
    plane = xp.where(usable, frames[:, band_index], 0)
    mean = _box(xp, plane) / xp.maximum(_box(xp, usable.astype(plane.dtype)), 1)
    row, column = np.mgrid[:ny, :nx]
    near = (row - ny // 2) ** 2 + (column - nx // 2) ** 2 <= radius**2
    seen = usable & xp.asarray(near)
    index = xp.argmax(xp.where(seen, mean, -xp.inf).reshape(-1, ny * nx), axis=1)
    index = xp.where(xp.any(seen, axis=(1, 2)), index, (ny // 2) * nx + nx // 2)
    return xp.stack([index // nx, index % nx], axis=1)


def crop_at(array: Any, centre: Any, size: int) -> tuple[Any, Any]:
    """Squares (n, band, size, size) whose pixel (size // 2, size // 2) is `centre`, and (n, size, size) bool: inside.

    Pixels outside the array repeat its edge; `inside` says which.
    """
    xp = array.__array_namespace__()
    n, bands, ny, nx = array.shape
    steps = xp.arange(size) - size // 2
    row, column = centre[:, :1] + steps, centre[:, 1:] + steps
    inside = ((row >= 0) & (row < ny))[:, :, None] & ((column >= 0) & (column < nx))[:, None, :]
    at = (xp.arange(n)[:, None, None, None], xp.arange(bands)[None, :, None, None],
          xp.clip(row, 0, ny - 1)[:, None, :, None], xp.clip(column, 0, nx - 1)[:, None, None, :])  # fmt: skip
    return array[at], inside


def recentre_crop(
    frames: Any, valid: Any, band_index: int, size: int, radius: float = CENTRE_RADIUS
) -> tuple[Any, Any, Any]:
    """Crop every frame to size x size around its peak in one band (`find_peak`).

    frames  (n, band, y, x) counts, NaN where unusable; valid (n, band, y, x) bool, or None = all
    Returns (crops, complete, shift): crops (n, band, size, size) float32, peak at (size // 2, size // 2), 0 at
    invalid pixels and beyond the frame; complete (n,) bool, False where a crop has such pixels in any band;
    shift (n, 2) int, row and column of the peak minus the middle of the frame.
    """
    xp = frames.__array_namespace__()
    usable = xp.isfinite(frames) if valid is None else xp.isfinite(frames) & (valid != 0)
    frames = xp.where(usable, frames, 0).astype(xp.float32)
    centre = find_peak(frames, usable, band_index, radius)
    crops, inside = crop_at(frames, centre, size)
    good = crop_at(usable, centre, size)[0] & inside[:, None]
    middle = xp.asarray([frames.shape[2] // 2, frames.shape[3] // 2])
    return xp.where(good, crops, 0), xp.all(good, axis=(1, 2, 3)), centre - middle


def channels(counts: jax.Array, rms: jax.Array, band_index: int) -> jax.Array:
    """(n, y, x, 3 * band) network input from counts (n, band, y, x) and sky rms (n, band); free of the flux unit.

    For each band, with P the highest 3x3 mean of band `band_index` in the central 8x8 (9x9) pixels (at least 3 rms):
    asinh(counts / rms) / 4 shows faint companions at the noise level; counts / P is linear, so that a blend keeps its
    shape; asinh(30 counts / P) / 4 shows wings and colours whatever the signal-to-noise ratio.
    """
    ny, nx = counts.shape[-2:]
    smooth = _box(jnp, counts[:, band_index]) / 9
    edge_y, edge_x = max(ny // 2 - 4, 0), max(nx // 2 - 4, 0)  # symmetric, so that a flipped frame has the same peak
    core = smooth[:, edge_y : ny - edge_y, edge_x : nx - edge_x]
    peak = jnp.maximum(core.max(axis=(1, 2)), PEAK_FLOOR * rms[:, band_index])
    last = counts.transpose(0, 2, 3, 1)  # first, not last: ten times faster on a CPU
    relative = last / peak[:, None, None, None]
    parts = (
        jnp.arcsinh(last / rms[:, None, None]) / 4,
        jnp.clip(relative, -1, 8),
        jnp.arcsinh(30 * relative) / 4,
    )
    return jnp.concatenate(parts, axis=-1)


def _box(xp: Any, plane: Any) -> Any:
    """Sum over 3x3 neighbours of (n, y, x), zero beyond the edge."""
    padded = xp.pad(plane, ((0, 0), (1, 1), (1, 1)))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
