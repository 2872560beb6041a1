"""A plain spectrograph: Gaussian line-spread function in Angstrom, photon and sky noise at a given S/N.

It has what `SpectrumRecipe` asks of an instrument, and is for as long as `twin.observatory` has no other.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.priors.sites import Site

CHANNELS: dict[str, Site] = {
    "lsf": Site("standard deviation of the line-spread function", "Angstrom", 0.02, 20),
    "snr": Site("median signal-to-noise ratio of a pixel", "", 0.3, 10000),
    "sky": Site("noise of the sky, as a share of the variance at the median flux", "", 0, 1),
    "tilt": Site("error of the flux calibration, from the middle to the red end, relative", "", -0.9, 0.9),
    "bend": Site("the same, quadratic, at both ends", "", -0.9, 0.9),
}


class GaussianSpectrograph:
    """Pixels at wavelength (P,) [Angstrom, vacuum]. A State is a dict of CHANNELS."""

    channels = tuple(CHANNELS)
    units = tuple(site.unit for site in CHANNELS.values())

    def __init__(self, wavelength: np.ndarray) -> None:
        self.wavelength = wavelength

    def state(self, row: Array) -> dict[str, Array]:
        """The State of a row of telemetry (C,)."""
        return {name: row[..., k] for k, name in enumerate(self.channels)}

    def blur(self, grid: np.ndarray) -> Callable[[Array, dict[str, Array]], Array]:
        """A function (flux (L,), state) -> (P,) for a grid (L,) of equal steps in log wavelength.

        exp(-(k sigma)^2 / 2) in Fourier space, sigma in the grid's steps at the middle of the pixels, times the
        transform of a pixel. The flux wraps around at the ends: the grid must have six sigma to spare on either side.
        """
        step = np.log(grid[1] / grid[0])
        at = np.log(self.wavelength / grid[0]) / step
        pixel = np.gradient(np.log(self.wavelength)) / step
        n = len(grid)
        middle = float(np.median(self.wavelength))
        k = 2 * np.pi * np.arange(n // 2 + 1) / n
        width = float(np.median(pixel))
        # frequencies that a line-spread function of 0.45 of a pixel or 1.2 steps hardly lets through are left out
        used = k <= min(np.pi, 4.0 / max(0.45 * width, 1.2))
        k = k[used]
        phase = k[:, None] * at
        weight = (
            np.where((k > 0) & (k < np.pi - 1e-9), 2.0, 1.0)[:, None] * np.sinc(k[:, None] * pixel / (2 * np.pi)) / n
        )
        back = np.concatenate([weight * np.cos(phase), -weight * np.sin(phase)]).astype(np.float32)
        squares = (-0.5 * k**2 / (middle * step) ** 2).astype(np.float32)
        count = len(k)

        def blurred(flux: Array, state: dict[str, Array]) -> Array:
            modes = jnp.fft.rfft(flux)[:count] * jnp.exp(squares * state["lsf"] ** 2)
            return jnp.concatenate([modes.real, modes.imag]) @ jnp.asarray(back)

        return blurred

    def expose(self, key: Array, expected: Array, state: dict[str, Array]) -> tuple[Array, Array, Array]:
        """(flux, inverse variance, mask) (P,) of expected flux (P,): variance (m/S)^2 [(1 - s) F/m + s], m the mean."""
        x = np.linspace(-1, 1, expected.shape[-1], dtype=np.float32)
        expected = expected * (1 + state["tilt"] * x + state["bend"] * x**2)
        level = jnp.maximum(jnp.mean(expected), 1e-6)
        shape = (1 - state["sky"]) * jnp.maximum(expected / level, 0.0) + state["sky"]
        variance = (level / state["snr"]) ** 2 * jnp.maximum(shape, 1e-3)
        flux = expected + jnp.sqrt(variance) * jax.random.normal(key, expected.shape)
        return flux, 1 / variance, jnp.zeros(expected.shape, jnp.uint8)
