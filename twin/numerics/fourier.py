"""Frames and their spectra on one half-plane: Fourier transforms as matrix products.

A matrix product beats `fft` inside a jitted program on CPU, evaluates the frame's own pixels alone, folds frequencies
above the pixel's Nyquist limit exactly as a detector does, and takes frequencies at any spacing. A spectrum is a pair
(re, im) of real arrays (..., ky, kx): XLA's complex products on CPU are slower than the real ones they stand for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.angles import sincos

Spectrum = tuple[Array, Array]

_NEAR, _FAR, _WIDTH = 7.0, 0.85, 1.5  # graded grids: frequencies a step at zero, least far from it, over so many steps


@dataclass(frozen=True)
class Grid:
    """A square frame and the frequencies on which its sky is built.

    npix         pixels on a side
    pixel_scale  [arcsec]
    factor       frequencies reach `factor` times the pixel's Nyquist limit: 1 where seeing resolves it, 3 in space
    pad          period of the plane over the frame's side; 2 keeps what is compact from coming round
    graded       frequencies lie closer near zero and farther apart elsewhere, about as many in all: wings of galaxies
                 and PSF come round at 7 periods. At one they bring 3e-3 of the peak where a de Vaucouleurs galaxy has
                 its half-light radius at a quarter of the frame.

    Positions are in arcsec from the frame's centre, which for even npix lies on a pixel corner: pixel j is centred at
    (j - (npix - 1) / 2) * pixel_scale; x runs along the last axis, y along the one before.
    """

    npix: int
    pixel_scale: float
    factor: int = 1
    pad: int = 2
    graded: bool = False
    limit: float = np.inf

    @property
    def half(self) -> int:
        """Frequencies along an axis, zero and the positive ones."""
        return len(self._nodes[0])

    @property
    def _all(self) -> int:
        """The same without a limit."""
        steps = self.npix * self.pad * self.factor // 2
        if not self.graded:
            return steps
        return 8 * int(np.ceil((_FAR * steps + (_NEAR - _FAR) * _bend(steps)) / 8))

    @property
    def step(self) -> float:
        """Spacing of the frequencies where they are not graded [cycle/arcsec]."""
        return 1.0 / (self.npix * self.pad * self.pixel_scale)

    @cached_property
    def _nodes(self) -> tuple[np.ndarray, np.ndarray]:
        u, spacing = self._unlimited
        kept = min(len(u), 8 * int(np.ceil((np.count_nonzero(u * self.step <= self.limit) + 1) / 8)))
        return u[:kept], spacing[:kept]

    @property
    def _unlimited(self) -> tuple[np.ndarray, np.ndarray]:
        """(half,) frequencies u and their spacings, in steps. Graded: equal steps of t = far u + (near - far) bend(u).
        The trapezoidal rule in t converges as in u, for t is odd and analytic; waves of frequency u have period dt/du.
        """
        t = np.arange(self._all, dtype=float)
        if not self.graded:
            return t, np.ones(len(t))
        steps = self.npix * self.pad * self.factor // 2
        far = (len(t) - _NEAR * _bend(steps)) / (steps - _bend(steps))  # so that t(steps) = len(t)
        u, density = np.zeros(len(t)), np.full(len(t), _NEAR)
        for _ in range(100):  # Newton from the left of a concave function
            u = u - (far * u + (_NEAR - far) * _bend(u) - t) / density
            density = far + (_NEAR - far) / (1 + (0.5 * np.pi * u / _WIDTH) ** 2)
        return u, 1 / density

    @cached_property
    def fx(self) -> np.ndarray:
        """(half,) frequencies >= 0 along x."""
        return (self._nodes[0] * self.step).astype(np.float32)

    @cached_property
    def fy(self) -> np.ndarray:
        """(2 half,) frequencies along y: 0, the positive ones, then the same negative (the row of 0 stands twice)."""
        return np.concatenate([self.fx, -self.fx])

    @cached_property
    def weight(self) -> np.ndarray:
        """(half,) spacings of the frequencies in steps."""
        return self._nodes[1]

    @cached_property
    def centres(self) -> np.ndarray:
        """(npix,) pixel centres [arcsec]."""
        return ((np.arange(self.npix) - (self.npix - 1) / 2) * self.pixel_scale).astype(np.float64)

    @cached_property
    def pixel(self) -> np.ndarray:
        """(2 half, half) transfer function of the square pixel."""
        sx, sy = np.sinc(self.fx * self.pixel_scale), np.sinc(self.fy * self.pixel_scale)
        return (sy[:, None] * sx[None, :]).astype(np.float32)

    def cell(self, cells: int) -> np.ndarray:
        """(2 half, half) transfer function of a pixel summed over cells x cells samples: a Dirichlet kernel."""
        j = (np.arange(cells) - (cells - 1) / 2) * self.pixel_scale / cells
        kx = np.cos(2 * np.pi * self.fx[:, None] * j).mean(-1)
        ky = np.cos(2 * np.pi * self.fy[:, None] * j).mean(-1)
        return (ky[:, None] * kx[None, :]).astype(np.float32)


def _bend(u: np.ndarray | float) -> np.ndarray:
    """u near zero, _WIDTH far from it."""
    return _WIDTH * 2 / np.pi * np.arctan(0.5 * np.pi / _WIDTH * u)


def image(grid: Grid, spectrum: Spectrum) -> Array:
    """Frame (..., npix, npix) at the pixel centres of a half-plane spectrum (..., 2 half, half).

    With a = 2 pi kx x, b = 2 pi ky y: f = sum cos b (re cos a - im sin a) - sin b (re sin a + im cos a). Pixels at -x
    and -y differ from those at x and y in signs alone: the cosines and sines of one quadrant do for all four.
    """
    h, n = grid.half, grid.npix
    count = np.where(np.arange(h) == 0, 1.0, 2.0) * grid.weight  # kx and -kx are one column
    part = grid.centres[n // 2 :]  # >= 0
    angle_x, angle_y = 2 * np.pi * np.outer(grid.fx, part), 2 * np.pi * np.outer(part, grid.fy[:h])
    weight_x = (count / (n * grid.pad) ** 2)[:, None]
    once = np.ones((h, 1), np.float32)
    once[0] = 0  # the row ky = 0 stands twice

    def twice(
        v: Array, sign: int, wave_x: Callable[[np.ndarray], np.ndarray], wave_y: Callable[..., np.ndarray]
    ) -> Array:
        """Along y, then x, of what is even (sign 1) or odd in ky: added up first, both transforms are half as long."""
        along_x, along_y = (
            jnp.asarray(wave_x(angle_x) * weight_x, v.dtype),
            jnp.asarray(wave_y(angle_y) * grid.weight, v.dtype),
        )
        return along_y @ ((v[..., :h, :] + sign * once * v[..., h:, :]) @ along_x)

    re, im = spectrum
    m = len(part)
    even_re, even_im = twice(re, 1, np.cos, np.cos), twice(im, 1, np.sin, np.cos)
    odd_re, odd_im = twice(re, -1, np.sin, np.sin), twice(im, -1, np.cos, np.sin)
    below, above = (
        jnp.concatenate(
            [
                (even_re + even_im + sign * (odd_re - odd_im))[..., ::-1][..., : n - m],
                even_re - even_im - sign * (odd_re + odd_im),
            ],
            -1,
        )
        for sign in (-1, 1)
    )
    return jnp.concatenate([below[..., ::-1, :][..., : n - m, :], above], -2)


def spectrum(grid: Grid, cells: Array) -> Spectrum:
    """Half-plane spectrum of samples (..., m npix, m npix) that tile the frame, m per pixel; flux per sample."""
    m = cells.shape[-1] // grid.npix
    side = m * grid.npix
    centres = (np.arange(side) - (side - 1) / 2) * grid.pixel_scale / m
    angle_x = 2 * np.pi * np.outer(centres, grid.fx)
    cos_x, sin_x = jnp.asarray(np.cos(angle_x), cells.dtype), jnp.asarray(np.sin(angle_x), cells.dtype)
    row_re, row_im = cells @ cos_x, -(cells @ sin_x)
    angle_y = 2 * np.pi * np.outer(grid.fy[: grid.half], centres)
    cos_y, sin_y = jnp.asarray(np.cos(angle_y), cells.dtype), jnp.asarray(np.sin(angle_y), cells.dtype)
    c_re, s_re = jnp.einsum("ky,...yx->...kx", cos_y, row_re), jnp.einsum("ky,...yx->...kx", sin_y, row_re)
    c_im, s_im = jnp.einsum("ky,...yx->...kx", cos_y, row_im), jnp.einsum("ky,...yx->...kx", sin_y, row_im)
    return jnp.concatenate([c_re + s_im, c_re - s_im], -2), jnp.concatenate([c_im - s_re, c_im + s_re], -2)


def phasors(grid: Grid, x: Array, y: Array) -> tuple[Array, Array, Array, Array]:
    """cos and -sin of 2 pi f x along x (..., half) and of 2 pi f y along y (..., 2 half), for positions [arcsec]."""
    (sx, cx), (sy, cy) = (sincos(2 * jnp.pi * v[..., None] * grid.fx) for v in (x, y))
    return cx, -sx, jnp.concatenate([cy, cy], -1), jnp.concatenate([-sy, sy], -1)


def product(a: Spectrum, b: Spectrum) -> Spectrum:
    """Complex product of two spectra."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]
