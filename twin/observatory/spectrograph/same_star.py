"""One star seen by two spectrographs: how much wider the second one's lines are, in angstrom.

The sharper spectrum, divided by its continuum, is blurred with an extra Gaussian and shifted, into the pixels of the
other; a parabola of the wavelength stands for the other's continuum. Least squares over pixels gives the Gaussian's
standard deviation, the shift, and what remains: the rms of the residuals in units of the continuum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.observatory.spectrograph.blur import Blur, rebinning
from twin.observatory.spectrograph.grid import Grid, cells_around
from twin.observatory.spectrograph.state import SpectrographState

LIGHT = 299792.458  # [km/s]
_CELLS = 6  # of a pixel
_LEAST, _MOST = 0.3, 4.0  # [pixel] of the extra Gaussian
_FARTHEST = 3.0  # [pixel] of the shift


@dataclass(frozen=True)
class SameStar:
    """sigma of the extra Gaussian [AA] and its standard error were the residuals white noise, velocity of the second
    spectrum over the first [km/s], rms of the residuals over the continuum, the second's pixels as observed over its
    continuum, and as the first predicts them."""

    sigma: float
    error: float
    velocity: float
    rms: float
    wavelength: np.ndarray
    observed: np.ndarray
    predicted: np.ndarray


def fit_pair(sharp: tuple[np.ndarray, np.ndarray], blurred: np.ndarray, pixels: Grid) -> SameStar:
    """Extra blur of `blurred` (P,), any flux unit, in `pixels`, against a sharp spectrum (wavelength [AA, vacuum], flux
    over continuum). Raises ValueError where the sharp one does not cover the pixels and 3 pixels' Gaussians beyond."""
    from scipy.optimize import least_squares

    reach = int(np.ceil(6 * _MOST))
    cells = cells_around(sharp[0])
    fine = pixels.finer(_CELLS, reach)
    if cells.edges[0] > fine.edges[0] or cells.edges[-1] < fine.edges[-1]:
        raise ValueError(
            f"covers {cells.edges[0]:.1f} to {cells.edges[-1]:.1f} AA of {fine.edges[0]:.1f} to {fine.edges[-1]:.1f} AA"
        )
    take, weight = rebinning(cells, fine)
    flux = jnp.asarray(np.sum(np.asarray(sharp[1])[take] * weight, 0), jnp.float32)
    model = _model(pixels, reach)
    step = float(np.diff(pixels.edges).mean())
    x = np.linspace(-1, 1, pixels.count)
    powers = np.stack([np.ones_like(x), x, x * x], 1)

    origin = 10 * step  # of the shift as it is fitted: finite differences are a share of their parameter

    def seen(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        given = jnp.asarray(parameters - [0, origin], jnp.float32)
        shape = np.asarray(model(flux, given), np.float64)
        coefficients = np.linalg.lstsq(shape[:, None] * powers, blurred, rcond=None)[0]
        continuum = powers @ coefficients
        return shape, blurred / continuum

    def residual(parameters: np.ndarray) -> np.ndarray:
        shape, observed = seen(parameters)
        return np.asarray(observed - shape)

    bounds = ([_LEAST * step, origin - _FARTHEST * step], [_MOST * step, origin + _FARTHEST * step])
    best = least_squares(residual, [step, origin], bounds=bounds, diff_step=3e-3, x_scale=[step, step])
    shape, observed = seen(best.x)
    middle = float(pixels.centres.mean())
    rms = float(np.sqrt(np.mean((observed - shape) ** 2)))
    slope, other = best.jac.T  # of the residuals by sigma, and by the shift
    free = slope @ slope - (slope @ other) ** 2 / max(other @ other, 1e-30)
    error = rms / float(np.sqrt(max(free, 1e-30)))
    velocity = (float(best.x[1]) - origin) / middle * LIGHT
    return SameStar(float(best.x[0]), error, velocity, rms, pixels.centres, observed, shape)


@lru_cache(maxsize=4)
def _model(pixels: Grid, reach: int) -> Callable[[Array, Array], Array]:
    """Compiled (fine flux, (sigma, shift) [AA]) -> pixels."""
    blur = Blur(pixels, pixels.finer(_CELLS, reach), reach)

    @jax.jit
    def model(flux: Array, parameters: Array) -> Array:
        zero = jnp.zeros((), jnp.float32)
        names = SpectrographState.__dataclass_fields__
        state = SpectrographState(**dict.fromkeys(names, zero))
        widths = jnp.stack([parameters[0], zero, zero])
        state = replace(
            state,
            lsf_sigma=widths,
            lsf_wing_width=jnp.float32(2.0),
            wavelength_error=jnp.stack([parameters[1], zero, zero]),
        )
        return blur(flux, state)

    return model


def pixels_of(wavelength: np.ndarray, low: float, high: float) -> tuple[Grid, slice]:
    """Grid of an observed spectrum's pixels from low to high [AA], and which of its pixels these are; wavelengths
    (n,) [AA, vacuum] are even in log10. Raises ValueError where they are not, or do not cover the range."""
    logs = np.log10(np.asarray(wavelength, np.float64))
    step = float((logs[-1] - logs[0]) / (len(logs) - 1))
    if np.abs(np.diff(logs) / step - 1).max() > 0.05:
        raise ValueError("wavelengths are not even in their logarithm")
    whole = Grid("log10", float(logs[0]) - step / 2, step, len(logs))
    inside = np.flatnonzero((whole.edges[:-1] >= low) & (whole.edges[1:] <= high))
    if len(inside) == 0 or whole.edges[0] > low or whole.edges[-1] < high:
        raise ValueError(f"does not cover {low:g} to {high:g} AA")
    first = int(inside[0])
    return Grid("log10", whole.start + first * step, step, len(inside)), slice(first, first + len(inside))
