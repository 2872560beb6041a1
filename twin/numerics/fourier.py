"""Frames and their spectra on one half-plane: Fourier transforms as matrix products.

A matrix product beats `fft` inside a jitted program on CPU, evaluates the frame's own pixels alone, folds frequencies
above the pixel's Nyquist limit exactly as a detector does, and takes frequencies at any spacing. A spectrum is a pair
(re, im) of real arrays (..., ky, kx): XLA's complex products on CPU are slower than the real ones they stand for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.angles import sincos

Spectrum = tuple[Array, Array]


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
    pad: float = 2
    graded: bool = False
    limit: float = np.inf
    grading: tuple[float, float, float] = (7.0, 0.7, 1.5)

    @property
    def half(self) -> int:
        """Frequencies along an axis, zero and the positive ones."""
        return len(self._nodes[0])

    @property
    def cells(self) -> int:
        """Samples a pixel side that hold all of these frequencies."""
        reach = min(self.factor, self.limit * 2 * self.pixel_scale)
        return max(1, int(np.ceil(reach - 1e-6)))

    @property
    def _all(self) -> int:
        """The same without a limit."""
        steps = int(np.ceil(self.npix * self.pad * self.factor / 2))
        if not self.graded:
            return steps
        near, far, width = self.grading
        return 8 * int(np.ceil((far * steps + (near - far) * _bend(steps, width)) / 8))

    @property
    def step(self) -> float:
        """Spacing of the frequencies where they are not graded [cycle/arcsec]."""
        return 1.0 / (self.npix * self.pad * self.pixel_scale)

    @cached_property
    def _nodes(self) -> tuple[np.ndarray, np.ndarray]:
        u, spacing = self._unlimited
        kept = min(len(u), 8 * int(np.ceil(np.count_nonzero(u * self.step <= self.limit) / 8)))
        return u[:kept], spacing[:kept]

    @property
    def _unlimited(self) -> tuple[np.ndarray, np.ndarray]:
        """(half,) frequencies u and their spacings, in steps. Graded: equal steps of t = far u + (near - far) bend(u).
        The trapezoidal rule in t converges as in u, for t is odd and analytic; waves of frequency u have period dt/du.
        """
        t = np.arange(self._all, dtype=float)
        if not self.graded:
            return t, np.ones(len(t))
        steps = self.npix * self.pad * self.factor / 2
        near, _, width = self.grading
        far = (len(t) - near * _bend(steps, width)) / (steps - _bend(steps, width))  # so that t(steps) = len(t)
        u, density = np.zeros(len(t)), np.full(len(t), near)
        for _ in range(100):  # Newton from the left of a concave function
            u = u - (far * u + (near - far) * _bend(u, width) - t) / density
            density = far + (near - far) / (1 + (0.5 * np.pi * u / width) ** 2)
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


def _bend(u: np.ndarray | float, width: float) -> np.ndarray:
    """u near zero, `width` far from it."""
    return width * 2 / np.pi * np.arctan(0.5 * np.pi / width * u)


def image(grid: Grid, spectrum: Spectrum) -> Array:
    """Frame (..., npix, npix) at the pixel centres of a half-plane spectrum (..., 2 half, half).

    With a = 2 pi kx x, b = 2 pi ky y: f = sum cos b (re cos a - im sin a) - sin b (re sin a + im cos a). Pixels at -x
    and -y differ from those at x and y in signs alone: the cosines and sines of one quadrant do for all four. Along x
    first, of both halves as they are: whatever makes the spectrum is computed once for each product that it enters.
    """
    h, n = grid.half, grid.npix
    count = np.where(np.arange(h) == 0, 1.0, 2.0) * grid.weight  # kx and -kx are one column
    part = grid.centres[n // 2 :]  # >= 0
    m = len(part)
    angle_x, angle_y = 2 * np.pi * np.outer(grid.fx, part), 2 * np.pi * np.outer(part, grid.fy[:h])
    weight_x = (count / (n * grid.pad) ** 2)[:, None]
    once = np.ones((h, 1), np.float32)
    once[0] = 0  # the row ky = 0 stands twice
    dtype = spectrum[0].dtype
    along_x = jnp.asarray(np.concatenate([np.cos(angle_x) * weight_x, np.sin(angle_x) * weight_x], 1), dtype)
    cos_y, sin_y = (jnp.asarray(wave(angle_y) * grid.weight, dtype) for wave in (np.cos, np.sin))

    def split(v: Array) -> tuple[Array, Array]:
        """What is even and what is odd in ky, along x: (..., half, cosines and sines)."""
        rows = v @ along_x
        above, below = rows[..., :h, :], once * rows[..., h:, :]
        return above + below, above - below

    (re_even, re_odd), (im_even, im_odd) = split(spectrum[0]), split(spectrum[1])
    even = cos_y @ jnp.concatenate([re_even[..., :m], im_even[..., m:]], -1)
    odd = sin_y @ jnp.concatenate([re_odd[..., m:], im_odd[..., :m]], -1)
    even_re, even_im, odd_re, odd_im = even[..., :m], even[..., m:], odd[..., :m], odd[..., m:]
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
    side, h = cells.shape[-1], grid.half
    m = side // grid.npix
    centres = (np.arange(side) - (side - 1) / 2) * grid.pixel_scale / m
    angle_x = 2 * np.pi * np.outer(centres, grid.fx)
    # cosines and sines in one product: whatever makes the cells is computed once
    rows = cells @ jnp.asarray(np.concatenate([np.cos(angle_x), -np.sin(angle_x)], 1), cells.dtype)
    # rows at y and -y differ in signs alone; the middle one of an odd number stands in both
    half = (side + 1) // 2
    behind, ahead = rows[..., :half, :][..., ::-1, :], rows[..., side - half :, :]
    angle_y = 2 * np.pi * np.outer(grid.fx, centres[side - half :])
    share = np.where((centres[side - half :] == 0) & (side % 2 == 1), 0.5, 1.0)
    c = jnp.asarray(np.cos(angle_y) * share, cells.dtype) @ (ahead + behind)
    s = jnp.asarray(np.sin(angle_y), cells.dtype) @ (ahead - behind)
    (c_re, c_im), (s_re, s_im) = ((v[..., :h], v[..., h:]) for v in (c, s))
    whole, sign = (*c_re.shape[:-2], 2 * h, h), np.array([1, -1], np.float32)[:, None, None]
    re, im = c_re[..., None, :, :] + sign * s_im[..., None, :, :], c_im[..., None, :, :] - sign * s_re[..., None, :, :]
    return re.reshape(whole), im.reshape(whole)


def phasors(grid: Grid, x: Array, y: Array) -> tuple[Array, Array, Array, Array]:
    """cos and -sin of 2 pi f x along x (..., half) and of 2 pi f y along y (..., 2 half), for positions [arcsec]."""
    (sx, cx), (sy, cy) = (sincos(2 * jnp.pi * v[..., None] * grid.fx) for v in (x, y))
    return cx, -sx, jnp.concatenate([cy, cy], -1), jnp.concatenate([-sy, sy], -1)


def settled(v: Array) -> Array:
    """v itself, computed once: XLA computes a vector that is broadcast anew for every element of the matrix."""
    return v @ jnp.eye(v.shape[-1], dtype=v.dtype)


def product(a: Spectrum, b: Spectrum) -> Spectrum:
    """Complex product of two spectra."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]
