"""What the forecast takes seeing to be: its parameters, what is known of them beforehand, and the observed quantity.

A frame's FWHM F is a floor f that no weather changes (optics, dome, pixel) and the atmosphere, in quadrature. What is
modelled is s = ln(F^2 - f^2) / 2:

    s_i = mu + a ln X_i + b ln(lambda_i / 500 nm) + c_band(i) + sum_j x_j(t_i) + e_i

X airmass. The x_j are Ornstein-Uhlenbeck processes (correlation exp(-dt / tau_j), sd sigma_j) of 4 minutes to a day, a
spectrum of turbulence by sums, as damped random walks are (Kelly+ 2014, ApJ 788, 33). Two heavy tails: the noise e is a
scale mixture of normal distributions (variances 1, 2.5, 7, 25 times R_i = rest^2 + (shaking^2) (100 s / exposure time):
fast turbulence averages away), and turbulence is intermittent: in a share of short intervals (fading
within half an hour) the processes' new variance is 4 times larger and in the others as much smaller that the mean
stays; and at a rate per minute they jump, with a variance that is larger still.
Turbulence in another direction is another stretch of the same processes: where the telescope moves, dt is longer by
slew * abs(change of ln X). All scales of an exposure of T seconds go as (T / 100 s)^averaging.
ln of all scales drifts by v, driven by how far observations miss (a score-driven scale: Creal+ 2013, J. Appl. Econom.
28, 777), and forgets within tau_v. The mean knows nothing of the exposure time, on purpose: observers set it
from seeing that a forecast may not see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.nn import softplus

MULTIPLES = (1.0, 2.5, 7.0, 25.0)  # variances of the noise's components, over R
REFERENCE = 500.0  # nm
EXPTIME = 100.0  # seconds
SOFT = 8.0  # how sharply the atmosphere's part ends at the floor, in units of the floor's square

Parameters = dict[str, Any]  # name -> array, all unconstrained

# name: (prior mean, prior sd), unconstrained. ln of minutes and of sd of ln FWHM unless another meaning is given.
PRIORS: dict[str, tuple[Any, Any]] = {
    "level": (0.0, 1.0),
    "airmass": (0.5, 0.3),
    "wavelength": (-0.25, 0.3),
    "floor": (0.0, 2.0),  # logit of floor / highest floor
    "times": (tuple(np.log([4.0, 14.0, 50.0, 180.0, 1500.0])), 0.2),
    "sizes": (tuple(np.log([0.05, 0.07, 0.09, 0.09, 0.15])), 1.0),
    "noise_rest": (np.log(0.01), 1.5),
    "noise_short": (np.log(0.04), 1.0),
    "tails": ((-1.5, -2.0, -4.0), 2.0),  # ln weights of the wider components over that of the first
    "jump_rate": (np.log(0.003), 1.5),  # ln a minute
    "jump_size": (2.3, 1.0),  # ln of the factor of the variance, less 1
    "slew": (np.log(60.0), 1.5),  # ln of the minutes that a change of ln airmass by 1 is worth
    "averaging": (0.0, 0.1),  # power of the exposure time in all scales
    "bursts": (0.0, 1.5),  # logit of the share of bursts / highest share
    "drift": (0.03, 0.05),  # step of v
    "drift_time": (np.log(90.0), 1.0),
}
BAND_SD = 0.05


def prior_arrays(bands: int) -> tuple[Parameters, Parameters]:
    """Prior means and standard deviations; one offset for each of `bands` bands and one, unused, for all others."""
    mean = {name: np.asarray(middle, float) for name, (middle, _) in PRIORS.items()}
    sd = {name: np.broadcast_to(np.asarray(width, float), mean[name].shape) for name, (_, width) in PRIORS.items()}
    mean["band"], sd["band"] = np.zeros(bands + 1), np.full(bands + 1, BAND_SD)
    return mean, sd


def floor_of(p: Parameters, highest: float) -> Array:
    """Floor f [arcsec]."""
    return highest / (1 + jnp.exp(-p["floor"]))


def atmosphere(ln_fwhm: Array, floor: Array) -> tuple[Array, Array]:
    """s and ln ds/dlnF of ln FWHM. Near and below the floor F^2 - f^2 turns over softly, so that every F has an s."""
    k = SOFT / floor**2
    square = jnp.exp(2 * ln_fwhm)
    u = k * (square - floor**2)
    part = softplus(u) / k
    return 0.5 * jnp.log(part), -softplus(-u) + jnp.log(square / part)


def noise_variance(p: Parameters, exptime: Array) -> Array:
    """R of exposures of `exptime` [s]."""
    return jnp.exp(2 * p["noise_rest"]) + jnp.exp(2 * p["noise_short"]) * EXPTIME / exptime


def mean_level(p: Parameters, data: dict[str, Array]) -> Array:
    """Mean of s: all of the first line of the equation but processes and noise."""
    known = p["band"].at[-1].set(0.0)[data["band"]]
    return p["level"] + p["airmass"] * data["ln_airmass"] + p["wavelength"] * data["ln_wavelength"] + known


def columns(
    airmass: np.ndarray, wavelength: np.ndarray, exptime: np.ndarray, band: np.ndarray, bands: Sequence[str]
) -> dict[str, np.ndarray]:
    """What the model conditions on, (n,) each; a band that is not in `bands` has the last index, offset 0."""
    number = {name: i for i, name in enumerate(bands)}
    return {
        "ln_airmass": np.log(np.asarray(airmass, float)),
        "ln_wavelength": np.log(np.asarray(wavelength, float) / REFERENCE),
        "exptime": np.clip(np.asarray(exptime, float), 1.0, 2000.0),
        "band": np.array([number.get(str(name), len(bands)) for name in band], np.int32),
    }
