"""Rotational broadening of a stellar line."""

from __future__ import annotations

import numpy as np
from scipy.special import j1

LIMB_DARKENING = 0.6  # linear, of the Sun's continuum in the visible (Gray 2005, chapter 18)


def kernel(x: np.ndarray, darkening: float = LIMB_DARKENING) -> np.ndarray:
    """Gray's kernel (2005, eq. 18.14), of unit area, at x = v / (v sin i):

    G = [2 (1 - e) sqrt(1 - x^2) + (pi/2) e (1 - x^2)] / (pi (1 - e/3)), |x| < 1.
    """
    inside = np.maximum(1 - np.asarray(x, float) ** 2, 0)
    shape = 2 * (1 - darkening) * np.sqrt(inside) + np.pi / 2 * darkening * inside
    found: np.ndarray = shape / (np.pi * (1 - darkening / 3))
    return found


def transform(k: np.ndarray, darkening: float = LIMB_DARKENING) -> np.ndarray:
    """Its Fourier transform, 1 at k = 0: int G(x) cos(k x) dx
    = [(1 - e) 2 J1(k)/k + 2 e (sin k - k cos k)/k^3] / (1 - e/3)."""
    k = np.asarray(k, float)
    large = np.where(np.abs(k) < 1e-2, 1.0, k)
    disc = np.where(np.abs(k) < 1e-2, 1 - k**2 / 8, 2 * j1(large) / large)
    ball = np.where(np.abs(k) < 1e-2, (1 - k**2 / 10) / 3, (np.sin(large) - large * np.cos(large)) / large**3)
    found: np.ndarray = ((1 - darkening) * disc + 2 * darkening * ball) / (1 - darkening / 3)
    return found


def broadened(flux: np.ndarray, step: float, vsini: float) -> np.ndarray:
    """flux (..., L) on a grid of `step` [km/s], seen through rotation by `vsini` [km/s]; beyond its ends lies what lies
    on them."""
    if vsini <= 0:
        return flux
    pad = int(np.ceil(vsini / step)) + 1
    wide = np.pad(flux, [(0, 0)] * (flux.ndim - 1) + [(pad, pad)], mode="edge")
    n = wide.shape[-1]
    k = 2 * np.pi * np.fft.rfftfreq(n, step) * vsini
    found: np.ndarray = np.fft.irfft(np.fft.rfft(wide) * transform(k), n)[..., pad:-pad]
    return found
