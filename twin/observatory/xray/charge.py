"""Charge in pixels, and the events that are found in it: splitting, grades and pile-up are one mechanism.

A photon's charge is a Gaussian cloud shared by the 3 x 3 pixels about it. Frames are sparse, so that only pixels with
charge are kept, as a sorted list. An event is a pixel above the event threshold that no neighbour exceeds; its energy
is the sum of its 3 x 3 pixels, its grade the pattern of those above the split threshold. Two photons whose pixels touch
in one frame therefore become one event of their summed energy, and often of a grade that is refused: pile-up.

Grades are numbered as Swift-XRT's in photon counting (Burrows+ 2005, SSRv 120, 165), whose software EP's follows:
0 one pixel; 1-4 two (the second above, left, right, below); 5-8 three in an L; 9-12 a square of four; 32 all others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from twin.observatory.xray.config import SensorConfig

REFUSED = 32
_AROUND = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))  # row by row; the middle is number 4


def _grade_table() -> np.ndarray:
    """(512,) grade of each pattern of the 3 x 3 pixels, bit k for pixel k of `_AROUND`."""
    table = np.full(512, REFUSED, np.int16)
    up, left, right, down = 7, 3, 5, 1
    table[0] = 0
    for grade, pixel in enumerate((up, left, right, down), 1):
        table[1 << pixel] = grade
    corners = ((up, left, 6), (up, right, 8), (down, left, 0), (down, right, 2))
    for k, (a, b, between) in enumerate(corners):
        table[1 << a | 1 << b] = 5 + k
        table[1 << a | 1 << b | 1 << between] = 9 + k
    return table


_GRADES = _grade_table()


@dataclass(frozen=True)
class Charge:
    """Charge [eV] in single pixels (n,) of frames: `frame`, `x`, `y` count from 0, and may repeat."""

    frame: np.ndarray
    x: np.ndarray
    y: np.ndarray
    energy: np.ndarray

    @staticmethod
    def joined(parts: list[Charge]) -> Charge:
        names = ("frame", "x", "y", "energy")
        return Charge(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class Pulses:
    """Events (n,): frame and pixel (from 0), measured energy [eV], grade (REFUSED is no X-ray's)."""

    frame: np.ndarray
    x: np.ndarray
    y: np.ndarray
    energy: np.ndarray
    grade: np.ndarray


def shares(offset: np.ndarray, sigma: float) -> np.ndarray:
    """(..., 3) shares of a cloud, `sigma` wide and `offset` from the middle one's centre [pixel], in three in a row."""
    if sigma == 0:
        return np.broadcast_to(np.array([0.0, 1.0, 0.0]), (*np.shape(offset), 3))
    edges = np.array([-1.5, -0.5, 0.5, 1.5])
    return np.diff(ndtr((edges - np.asarray(offset)[..., None]) / sigma), axis=-1)


def deposit_photons(
    rng: np.random.Generator, frame: np.ndarray, x: np.ndarray, y: np.ndarray, energy: np.ndarray, sensor: SensorConfig
) -> Charge:
    """Charge of photons of `energy` [eV] at x, y [pixel; pixel 0 from -0.5 to 0.5], Fano's noise and gain in it."""
    ix, iy = np.floor(x + 0.5).astype(np.int64), np.floor(y + 0.5).astype(np.int64)
    freed = energy + rng.normal(size=len(energy)) * np.sqrt(sensor.fano * sensor.pair * energy)
    freed = np.maximum(freed * (1 + sensor.gain_spread * rng.normal(size=len(energy))), 0.0)
    sigma = sensor.cloud / sensor.pixel
    across, along = shares(x - ix, sigma), shares(y - iy, sigma)
    charge = (along[:, :, None] * across[:, None, :] * freed[:, None, None]).reshape(-1)
    step = np.array(_AROUND)
    return Charge(
        np.repeat(np.asarray(frame, np.int64), 9),
        (ix[:, None] + step[:, 1]).reshape(-1),
        (iy[:, None] + step[:, 0]).reshape(-1),
        charge,
    )


def find_pulses(rng: np.random.Generator, charge: Charge, sensor: SensorConfig, noise: float | None = None) -> Pulses:
    """Events in the charge of frames, in order of frame, row and column.

    noise  standard deviation of a pixel [eV]; the sensor's read noise where None
    Pixels that no charge fell in have noise too: it enters the sum of 9, not the pattern, which it does not reach.
    """
    side = sensor.side
    noise = sensor.pair * sensor.read_noise if noise is None else noise
    on = (charge.x >= 0) & (charge.x < side) & (charge.y >= 0) & (charge.y < side)
    keys, owner = np.unique((charge.frame[on] * side + charge.y[on]) * side + charge.x[on], return_inverse=True)
    total = np.bincount(owner, weights=charge.energy[on], minlength=len(keys)) + rng.normal(size=len(keys)) * noise
    middle = np.flatnonzero(total > sensor.event_threshold)
    key, peak = keys[middle], total[middle]
    x, y = key % side, key // side % side
    best, pattern = np.ones(len(key), bool), np.zeros(len(key), np.int64)
    energy, found = np.zeros(len(key)), np.zeros(len(key), np.int64)
    for bit, (dy, dx) in enumerate(_AROUND):
        inside = (x + dx >= 0) & (x + dx < side) & (y + dy >= 0) & (y + dy < side)
        wanted = key + dy * side + dx
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        there = inside & (keys[at] == wanted)
        value = np.where(there, total[at], 0.0)
        energy += value
        found += there
        if bit != 4:
            # of two equal pixels the later in reading order is the event
            best &= ~there | (peak > value) | ((peak == value) & (bit < 4))
            pattern |= (value > sensor.split_threshold).astype(np.int64) << bit
    energy += rng.normal(size=len(key)) * noise * np.sqrt(9 - found)
    keep = best
    return Pulses((key // side // side)[keep], x[keep], y[keep], energy[keep], _GRADES[pattern[keep]])


def grade_fractions(energy: float, sensor: SensorConfig, steps: int = 400) -> np.ndarray:
    """(13,) probabilities of grades 0-12 of photons of `energy` [eV] that fall anywhere in a pixel, without noise.

    The integral over the place in the pixel of the pattern that the error functions of `shares` give there, by the
    midpoint rule on `steps` x `steps` places. What is missing to 1 has another grade, or no pixel above the threshold.
    """
    place = (np.arange(steps) + 0.5) / steps - 0.5
    share = shares(place, sensor.cloud / sensor.pixel)
    pattern = np.zeros((steps, steps), np.int64)
    for bit, (dy, dx) in enumerate(_AROUND):
        if bit != 4:
            part = share[:, dy + 1][:, None] * share[:, dx + 1][None]
            pattern |= (part * energy > sensor.split_threshold).astype(np.int64) << bit
    seen = share[:, 1][:, None] * share[:, 1][None] * energy > sensor.event_threshold
    return np.bincount(_GRADES[pattern[seen]], minlength=REFUSED + 1)[:13] / steps**2
