"""Finite exposures, slowly: layers of turbulence blown across the pupil, frame after frame. The witness of `speckle`.

A layer is a strip, frozen (Taylor 1938, Proc. R. Soc. A 164, 476), as long as the wind blows and only as wide as the
pupil. Along the wind it is a sum of waves of frequency f; its rows, a distance y apart, have the cross spectrum

    S(f, y) = integral of the power spectrum 0.0229 r0^(-5/3) (f^2 + g^2 + L0^-2)^(-11/6) exp(2 pi i g y) over g
            = 0.0229 r0^(-5/3) 2 pi^(11/6) / Gamma(11/6) (y / k)^(4/3) K_4/3(2 pi k y),   k^2 = f^2 + L0^-2,

so that rows drawn with the Cholesky factor of S at each f are exact at every separation, the widest too, with no
sub-harmonics. A screen that comes round instead would show the same turbulence again and again: what is left of the
speckles would cease to fall with the exposure time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import gamma, pi

import numpy as np
import scipy.fft
import scipy.sparse
from scipy.special import kv

from twin.observatory.screens import _KOLMOGOROV, Setup
from twin.observatory.speckle import Layers

_POWER = gamma(11 / 6) ** 2 / (2 * pi ** (11 / 3)) * _KOLMOGOROV  # 0.0229 (Noll 1976, JOSA 66, 207)
_KNOTS = 300  # frequencies at which rows are factorised; between them the factor is interpolated
_REACH = 6  # points of the interpolation in a strip: 4 would smooth away some of the wings


@lru_cache(maxsize=16)
def _rows(count: int, pitch: float, along: float, length: int, outer_scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Knots (K,) among the `length // 2 + 1` frequencies, and factors (K, count, count) for r0 = 1 m."""
    top = length // 2
    knots = np.unique(np.round(np.geomspace(1, top + 1, _KNOTS)).astype(int) - 1)
    y = np.maximum(np.arange(count) * pitch, 1e-9)
    folds = np.arange(-2, 3)[:, None, None] / along  # what lies above the lattice's Nyquist frequency is folded back
    k = np.hypot(knots[None, :, None] / (length * along) + folds, 1 / outer_scale)
    spectrum = (_POWER * 2 * pi ** (11 / 6) / gamma(11 / 6) * (y / k) ** (4 / 3) * kv(4 / 3, 2 * pi * k * y)).sum(0)
    apart = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    return knots, np.linalg.cholesky(spectrum[:, apart] / (length * along)).astype(np.float32)


def draw_strip(
    rng: np.random.Generator, count: int, length: int, pitch: float, along: float, r0: float, outer_scale: float
) -> np.ndarray:
    """Phase (count, length) float32 [rad]: rows `pitch` metres apart, points `along` metres apart, periodic along x."""
    knots, factors = _rows(count, pitch, along, length, outer_scale)
    noise = rng.standard_normal((length // 2 + 1, 2, count), np.float32) * np.float32(0.5**0.5)
    noise[0] *= np.float32(2**0.5) * np.array([[1], [0]], np.float32)
    waves = np.empty_like(noise)
    for low, high, left, right in zip(knots[:-1], knots[1:], factors[:-1], factors[1:], strict=True):
        share = (np.arange(high - low, dtype=np.float32) / np.float32(high - low))[:, None, None]
        part = noise[low:high]
        waves[low:high] = (part * (1 - share)) @ left.T + (part * share) @ right.T
    waves[-1] = noise[-1] @ factors[-1].T
    spectrum = np.empty((count, length // 2 + 1), np.complex64)
    spectrum.real, spectrum.imag = waves[:, 0].T, waves[:, 1].T
    return scipy.fft.irfft(spectrum, length, norm="forward") * np.float32(r0 ** (-5 / 6))


def _lagrange(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First lattice point (P,) and weights (P, _REACH) of the polynomial through the points around `at`."""
    first = np.floor(at).astype(int) - (_REACH // 2 - 1)
    t = at - first
    nodes = np.arange(_REACH)
    others = [[n for n in nodes if n != k] for k in nodes]
    return first, np.stack([np.prod([(t - n) / (k - n) for n in others[k]], axis=0) for k in nodes], 1)


class _Blown:
    """One layer over the open points of the pupil: what frames k, k + 1, ... see."""

    def __init__(
        self, rng: np.random.Generator, setup: Setup, layers: Layers, i: int, frames: int, step: float
    ) -> None:
        x, y = _open_points(setup)
        turn = np.deg2rad(layers.directions[i])
        blown = layers.speeds[i] * step
        if not blown > 0:
            raise ValueError(f"layer {i} stands still: its turbulence never averages out")
        self.stride = max(round(blown / setup.pitch), 1)  # points of the strip that pass from frame to frame
        along = blown / self.stride
        # upwind comes later: the strip moves with the wind, the pupil against it
        u, v = -(np.cos(turn) * x + np.sin(turn) * y) / along, (np.cos(turn) * y - np.sin(turn) * x) / setup.pitch
        (u_first, u_weight), (v_first, v_weight) = (
            _lagrange(u - u.min() + _REACH // 2),
            _lagrange(v - v.min() + _REACH // 2),
        )
        self.width, rows = int(u_first.max()) + _REACH, int(v_first.max()) + _REACH
        outer_scale = layers.outer_scales[i] if layers.outer_scales else setup.outer_scale
        length = scipy.fft.next_fast_len(frames * self.stride + self.width + int(4 * outer_scale / along), True)
        r0 = setup.r0 * layers.shares[i] ** (-3 / 5) if layers.shares[i] else np.inf
        self.strip = draw_strip(rng, rows, length, setup.pitch, along, r0, outer_scale)
        steps = np.arange(_REACH)
        columns = ((v_first[:, None] + steps) * self.width)[:, :, None] + (u_first[:, None] + steps)[:, None, :]
        weights = v_weight[:, :, None] * u_weight[:, None, :]
        points = np.repeat(np.arange(len(x)), _REACH**2)
        self.matrix = scipy.sparse.csr_matrix(
            (weights.ravel().astype(np.float32), (points, columns.ravel())), (len(x), rows * self.width)
        )

    def __call__(self, first: int, frames: int) -> np.ndarray:
        """Phase (points, frames) [rad]."""
        part = self.strip[:, first * self.stride : (first + frames - 1) * self.stride + self.width]
        windows = np.lib.stride_tricks.sliding_window_view(part, self.width, 1)[:, :: self.stride]
        return self.matrix @ np.ascontiguousarray(windows.swapaxes(1, 2)).reshape(-1, frames)


def _open_points(setup: Setup) -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(setup.across) - (setup.across - 1) / 2) * setup.pitch
    iy, ix = np.nonzero(setup.pupil)
    return axis[ix], axis[iy]


def exposures(
    rng: np.random.Generator, setup: Setup, layers: Layers, seconds: float, count: int, step: float = 0.05
) -> Iterator[np.ndarray]:
    """`count` PSF images (grid, grid) that each sum to 1, of exposures of `seconds` that follow on each other at once.

    An exposure is the mean of the images at every `step` seconds, none of them shifted.
    """
    frames = max(round(seconds / step), 1)
    blown = [_Blown(rng, setup, layers, i, frames * count, step) for i in range(len(layers.shares))]
    iy, ix = np.nonzero(setup.pupil)
    still = np.angle(setup.pupil[iy, ix]).astype(np.float32)[:, None]
    for k in range(count):
        total = np.zeros((setup.grid, setup.grid))
        for first in range(0, frames, 64):
            some = min(64, frames - first)
            phase = still + sum(layer(k * frames + first, some) for layer in blown)
            field = np.zeros((some, setup.grid, setup.grid), np.complex64)
            field.real[:, iy, ix], field.imag[:, iy, ix] = np.cos(phase).T, np.sin(phase).T
            wave = scipy.fft.ifft2(field, norm="forward", overwrite_x=True)
            total += (wave.real**2 + wave.imag**2).sum(0)
        yield setup.finish(total)
