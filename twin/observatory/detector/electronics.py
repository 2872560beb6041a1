"""From charge to counts: gain, non-linearity, crosstalk, bias, overscan, converter."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.observatory.detector import maps
from twin.observatory.detector.config import DetectorConfig
from twin.observatory.detector.place import Place, amplifier_values, mirror, split
from twin.observatory.state import ImagerState

SIXTEEN_BITS = 65535.0  # most that a raw frame holds [count]


def gain(state: ImagerState, place: Place, detector: DetectorConfig) -> Array:
    """(B, ny, nx) electrons a count: the State's, times the amplifier's over the detector's."""
    amplifiers = split(detector)
    if amplifiers.gain is None:
        return state.gain[:, None, None]
    ratio = tuple(g / detector.gain for g in amplifiers.gain)
    return state.gain[:, None, None] * amplifier_values(ratio, place, detector)


def read_noise(state: ImagerState, place: Place, detector: DetectorConfig) -> Array:
    """(B, ny, nx) [electron] of all reads together: each amplifier's own, or the State's."""
    amplifiers = split(detector)
    if amplifiers.read_noise is None:
        return state.read_noise[:, None, None]
    return jnp.sqrt(state.reads)[:, None, None] * amplifier_values(amplifiers.read_noise, place, detector)


def bend(charge: Array, full: Array, nonlinearity: tuple[float, ...]) -> Array:
    """What `charge` [electron] is read as: q (1 + c2 q/w + c3 (q/w)^2 + ...), w the full well (broadcastable)."""
    share, factor = charge / full, jnp.zeros_like(charge)
    for c in reversed(nonlinearity):
        factor = (factor + c) * share
    return charge * (1 + factor)


def crosstalk(signal: Array, outside: Array, place: Place, detector: DetectorConfig) -> Array:
    """Signal (B, ny, nx) above the bias [count] with what the other amplifiers add:

    S_v += sum over a of C[v][a] S_a, S_a being the signal of the pixel that amplifier a reads at that moment, or
    `outside` (B,) where that pixel lies outside the frame (Freyhammer+ 2001, Exp. Astron. 12, 147).
    """
    matrix = split(detector).crosstalk
    assert matrix is not None
    _, ny, nx = signal.shape
    added = jnp.zeros_like(signal)
    for a in range(len(matrix)):
        column = tuple(row[a] for row in matrix)
        if not any(column):
            continue
        other = mirror(place, detector, a)
        ix, iy = other.x - place.x[:, :1], other.y - place.y[:, :1]
        inside = ((iy >= 0) & (iy < ny))[:, :, None] & ((ix >= 0) & (ix < nx))[:, None, :]
        seen = jnp.take_along_axis(signal, jnp.clip(iy, 0, ny - 1)[:, :, None], 1)
        seen = jnp.take_along_axis(seen, jnp.clip(ix, 0, nx - 1)[:, None, :], 2)
        share = amplifier_values(column, place, detector)
        added = added + share * jnp.where(inside, seen, outside[:, None, None])
    return signal + added


def bias(key: Array, state: ImagerState, place: Place, detector: DetectorConfig) -> tuple[Array, Array]:
    """(pixels (B, ny, nx), rows (B, ny)) [count] of the bias of all reads together: what is fixed, offsets of the
    amplifiers included, and what each row adds anew."""
    offset, pattern = split(detector).offset, detector.bias_pattern
    reads, rows = state.reads[:, None, None], jnp.zeros(place.y.shape, jnp.float32)
    pixels = state.bias[:, None, None]
    if offset is not None:
        pixels = pixels + reads * amplifier_values(offset, place, detector)
    if pattern is not None:
        pixels = pixels + reads * maps.bias_pattern(place, detector)
        if pattern.row:
            rows = maps.row_levels(jax.random.normal(key, place.y.shape, jnp.float32), detector)
            rows = rows * jnp.sqrt(state.reads)[:, None]
    return pixels, rows


def overscan(key: Array, state: ImagerState, rows: Array, place: Place, detector: DetectorConfig) -> Array:
    """(B, ny, columns) counts of the virtual pixels that follow each row, as the frame's first amplifier reads them:
    bias, level of the row, read noise."""
    assert detector.overscan is not None
    first = Place(place.x[:, :1], place.y)
    noise = read_noise(state, first, detector) / gain(state, first, detector)
    offset = split(detector).offset
    level = state.bias[:, None, None] + rows[:, :, None]
    if offset is not None:
        level = level + state.reads[:, None, None] * amplifier_values(offset, first, detector)
    normal = jax.random.normal(key, (*place.y.shape, detector.overscan.columns), jnp.float32)
    return jnp.round(jnp.maximum(level + noise * normal, 0.0))


def corrected(counts: Array, strip: Array, state: ImagerState, place: Place, detector: DetectorConfig) -> Array:
    """Counts with the row's overscan mean taken off and the nominal bias put back; offsets of amplifiers go too."""
    offset = split(detector).offset
    level = strip.mean(-1)[:, :, None] - state.bias[:, None, None]
    if offset is not None:
        step = amplifier_values(offset, place, detector)
        level = level + state.reads[:, None, None] * (step - step[:, :, :1])
    return counts - level


def top(state: ImagerState, place: Place, detector: DetectorConfig) -> Array:
    """(B, ny, nx) most that a pixel of the frame reads [count]: the full well, 16 bits, the converter."""
    most = state.saturation[:, None, None]
    if split(detector).gain is not None:
        well = (most - state.bias[:, None, None]) * state.gain[:, None, None] / gain(state, place, detector)
        most = jnp.minimum(well + state.bias[:, None, None], SIXTEEN_BITS)
    if detector.adc is not None:
        most = jnp.minimum(most, state.reads[:, None, None] * np.float32(2**detector.adc.bits - 1))
    return most
