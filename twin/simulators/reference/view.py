"""A frame, and the plane of frequencies on which its witness is drawn: a plain FFT, far larger than the frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.fft

from twin.observatory.psf import Optics

_SMALL, _LARGE = 8, 2  # frames after which the plane repeats: what leaves a frame comes back so far away
_USUAL = 512  # pixels of the period between the two


@dataclass(frozen=True)
class View:
    """What of a recipe the witness needs to know.

    npix, pixel_scale   of the frame, [arcsec]
    cells, subsamples   cells a pixel side of sampled light, each the mean of subsamples x subsamples midpoints
    optics              the telescope and its wavelengths
    data                what a simulator has read from files and its witness shares
    """

    npix: int
    pixel_scale: float
    cells: int
    subsamples: int
    optics: Optics
    data: Any = None

    @property
    def nyquist(self) -> float:
        """Of the pixel [cycle/arcsec]."""
        return 0.5 / self.pixel_scale


@dataclass(frozen=True)
class Plane:
    """Frequencies up to `factor` times the pixel's Nyquist limit, spaced for a period of several frames."""

    view: View
    factor: int

    @cached_property
    def period(self) -> int:
        """After which the plane repeats [pixel]."""
        return max(min(_SMALL * self.view.npix, _USUAL), _LARGE * self.view.npix)

    @property
    def size(self) -> int:
        """Samples along an axis of the period."""
        return self.period * self.factor

    @property
    def step(self) -> float:
        """[cycle/arcsec]"""
        return 1 / (self.period * self.view.pixel_scale)

    @cached_property
    def fx(self) -> np.ndarray:
        """(size / 2 + 1,) frequencies along x [cycle/arcsec]."""
        return np.arange(self.size // 2 + 1) * self.step

    @cached_property
    def fy(self) -> np.ndarray:
        """(size,) frequencies along y, from below zero up."""
        return (np.arange(self.size) - self.size // 2) * self.step

    @cached_property
    def radius(self) -> np.ndarray:
        """(size, size / 2 + 1)"""
        return np.hypot(self.fx[None, :], self.fy[:, None])

    @cached_property
    def pixel(self) -> np.ndarray:
        """Transfer function of the square pixel."""
        scale = self.view.pixel_scale
        return np.sinc(self.fy * scale)[:, None] * np.sinc(self.fx * scale)[None, :]

    def shift(self, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
        """Phases along y and along x of something at (x, y) [arcsec]."""
        return np.exp(-2j * np.pi * self.fy * y), np.exp(-2j * np.pi * self.fx * x)

    def profile(self, galsim_object: Any) -> np.ndarray:
        """Spectrum of a GalSim object."""
        import galsim

        half = self.size // 2
        out = galsim.ImageCD(galsim.BoundsI(0, half, -half, half - 1), scale=2 * np.pi * self.step)
        galsim_object.drawKImage(image=out, recenter=False)
        return np.asarray(out.array)

    def sampled(self, samples: np.ndarray) -> np.ndarray:
        """Spectrum of light in cells (cells npix, cells npix), summed over pixels: no finer than the cells tell."""
        view = self.view
        cells = samples.shape[-1] // view.npix
        scale = view.pixel_scale / cells
        at = (np.arange(samples.shape[-1]) - (samples.shape[-1] - 1) / 2) * scale
        within = (np.arange(cells) - (cells - 1) / 2) * scale
        limit = 0.5 / scale * (1 + 1e-9)
        waves = []
        for f in (self.fy, self.fx):
            pixel = np.exp(-2j * np.pi * np.outer(f, within)).mean(1)
            waves.append(np.exp(-2j * np.pi * np.outer(f, at)) * (pixel * (np.abs(f) <= limit))[:, None])
        found: np.ndarray = waves[0] @ samples @ waves[1].T
        return found

    def image(self, spectrum: np.ndarray) -> np.ndarray:
        """Frame (npix, npix) at the pixel centres."""
        npix, scale = self.view.npix, self.view.pixel_scale
        first = -(npix - 1) / 2 * scale
        phases = self.shift(-first, -first)
        whole = scipy.fft.irfft2(
            scipy.fft.ifftshift(spectrum * phases[0][:, None] * phases[1][None, :], axes=0), s=(self.size, self.size)
        )
        taken = slice(0, npix * self.factor, self.factor)
        found: np.ndarray = whole[taken, taken] * self.factor**2
        return found
