"""The line-spread function, in angstrom.

A line at wavelength l falls on x = (l' - l) / sigma(l) with the density

    L(x) = (1 - w) phi(x) [1 + g/6 (x^3 - 3 x)] + w phi(x / k) / k,     sigma^2 = sigma_0(l)^2 + blur,

phi the standard normal density, w the share of the wings, k their width over the core's, g the core's skewness (a
Gram-Charlier series: not negative anywhere it matters for abs(g) < 0.5). Its integral is closed:

    F(x) = (1 - w) [Phi(x) - g/6 (x^2 - 1) phi(x)] + w Phi(x / k).
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import erf

from twin.observatory.spectrograph.state import SpectrographState

FWHM = 2 * float(np.sqrt(2 * np.log(2)))  # of a Gaussian, in standard deviations
_ROOT_HALF, _NORM = float(np.sqrt(0.5)), float(1 / np.sqrt(2 * np.pi))


def series(coefficients: Array, u: Array | np.ndarray) -> Array:
    """Legendre series sum_k c_k P_k(u) of coefficients (K,) at u."""
    u = jnp.asarray(u)
    before, now = jnp.zeros_like(u), jnp.ones_like(u)  # P_(k-1), P_k
    total: Array = coefficients[0] * now
    for k in range(1, coefficients.shape[-1]):
        before, now = now, ((2 * k - 1) * u * now - (k - 1) * before) / k
        total = total + coefficients[k] * now
    return total


def place(state: SpectrographState, wavelength: Array) -> Array:
    """u of a wavelength [AA]: -1 to 1 over the spectrum."""
    first, last = state.span[..., 0], state.span[..., 1]
    return (2 * wavelength - first - last) / (last - first)


def sigma(state: SpectrographState, u: Array) -> Array:
    """Standard deviation of the core [AA] at u."""
    return jnp.sqrt(series(state.lsf_sigma, u) ** 2 + state.lsf_blur)


def integral(x: Array, state: SpectrographState) -> Array:
    """F(x), see above: share of a line's light up to x standard deviations from its wavelength."""
    core = 0.5 + 0.5 * erf(x * _ROOT_HALF)
    core = core - state.lsf_skew / 6 * (x * x - 1) * _NORM * jnp.exp(-0.5 * x * x)
    wing = 0.5 + 0.5 * erf(x / state.lsf_wing_width * _ROOT_HALF)
    return core + state.lsf_wing * (wing - core)


def density(x: Array, state: SpectrographState) -> Array:
    """L(x), see above."""
    core = _NORM * jnp.exp(-0.5 * x * x) * (1 + state.lsf_skew / 6 * (x**3 - 3 * x))
    wing = _NORM * jnp.exp(-0.5 * (x / state.lsf_wing_width) ** 2) / state.lsf_wing_width
    return core + state.lsf_wing * (wing - core)


def lsf(state: SpectrographState, wavelength: float | Array, offset: Array) -> Array:
    """Density [1/AA] at `offset` [AA] from a line of that wavelength [AA], before the pixel. Of unbatched states."""
    width = sigma(state, place(state, jnp.asarray(wavelength, jnp.float32)))
    return density(offset / width, state) / width


def fwhm(state: SpectrographState, wavelength: float | Array) -> Array:
    """FWHM [AA] of the core at a wavelength [AA]."""
    return FWHM * sigma(state, place(state, jnp.asarray(wavelength, jnp.float32)))
