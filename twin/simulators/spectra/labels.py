"""What a spectrum shows: equivalent width of H alpha, and its profile's class as an instrument resolves it."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import Array
from pydantic import BaseModel, ConfigDict, Field

from twin.simulators.spectra.hydrogen import H_ALPHA
from twin.simulators.spectra.photosphere import LIGHT

CLASSES = ("absorption", "emission", "double-peak", "p-cygni")
LINE = (6544.6, 6584.6)  # Angstrom, vacuum
SIDES = ((6500.0, 6530.0), (6600.0, 6640.0))


class ProfileConfig(BaseModel):
    """When a noise-free profile has which class. Heights are of the continuum, after the line-spread function.

    height  least that emission stands above both the star without it and its own surroundings in the profile
    dip     least depth between two peaks, of the lesser one's emission
    least   least depth between two peaks, of the continuum
    trough  least depth of the blue absorption of a P Cygni profile below the continuum and the star
    within  [km/s] from H alpha, in which peaks are looked for; [N II] 6548 is 673 away
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    height: float = Field(0.05, gt=0, lt=10)
    dip: float = Field(0.06, gt=0, lt=1)
    least: float = Field(0.015, gt=0, lt=1)
    trough: float = Field(0.05, gt=0, lt=1)
    within: float = Field(450.0, gt=50, le=3000)


def equivalent_width(wavelength: np.ndarray) -> Callable[[Array], tuple[Array, Array]]:
    """A function flux (L,) -> (W [Angstrom], continuum at H alpha) on a grid that covers SIDES.

    W = int over LINE of (1 - F / C), C linear, fitted by least squares on SIDES; negative for emission; lines stay
    where they are, whatever the star's velocity. Raises ValueError for a grid that is too short.
    """
    edges = np.gradient(wavelength)
    if wavelength[0] > SIDES[0][0] or wavelength[-1] < SIDES[1][1]:
        raise ValueError(f"the grid covers {wavelength[0]:.1f} to {wavelength[-1]:.1f}, not 6500 to 6640 Angstrom")
    beside = np.any([(wavelength >= a) & (wavelength <= b) for a, b in SIDES], 0)
    x = (wavelength - H_ALPHA) / 50
    design = np.stack([np.ones_like(x), x], 1)
    fit = np.zeros((2, len(x)))
    fit[:, beside] = np.linalg.pinv(design[beside])
    first, last = np.searchsorted(wavelength, LINE)
    inside = slice(first - 1, last + 1)
    # cells at the ends count by their share within LINE
    low, high = wavelength - edges / 2, wavelength + edges / 2
    share = np.clip(np.minimum(high, LINE[1]) - np.maximum(low, LINE[0]), 0, None)[inside]

    def measure(flux: Array) -> tuple[Array, Array]:
        level, slope = jnp.asarray(fit, jnp.float32) @ flux
        continuum = level + slope * jnp.asarray(x[inside], jnp.float32)
        width = jnp.sum(jnp.asarray(share, jnp.float32) * (1 - flux[inside] / continuum))
        return width, level

    return measure


def classify(wavelength: np.ndarray, config: ProfileConfig) -> Callable[[Array, Array, Array], Array]:
    """A function (flux (P,), star (P,), velocity [km/s]) -> index in CLASSES, both in units of the continuum.

    With p the flux, e = p - star its emission, a sample shows emission if e >= height and p stands by height above the
    lowest point on one side of it and on the other. `emission`: one does. `double-peak`: two that do are parted by a
    point lower than both by `dip` of the lesser one's e and by `least`. `p-cygni`: bluewards of the highest such sample
    p is below 1 - trough and e below -trough. Else `absorption`.
    """
    speed = LIGHT * np.log(wavelength / H_ALPHA)
    near = np.flatnonzero(np.abs(speed) < config.within + 350)
    first, last = int(near[0]), int(near[-1]) + 1
    v = speed[first:last].astype(np.float32)

    def decide(flux: Array, star: Array, velocity: Array) -> Array:
        p = flux[first:last]
        e = p - star[first:last]
        counts = jnp.abs(v - velocity) < config.within
        from_left, from_right = _running(-jnp.where(counts, p, jnp.inf))
        ground = -jnp.minimum(from_left, from_right)
        shown = counts & (e >= config.height) & (p - ground >= config.height)
        emits = jnp.any(shown)
        peaks = jnp.where(shown, p, -jnp.inf)
        lesser = jnp.minimum(*_running(peaks))
        light = jnp.minimum(*_running(jnp.where(shown, e, -jnp.inf)))
        double = jnp.any(lesser - p >= jnp.maximum(config.dip * light, config.least))
        top = jnp.argmax(peaks)
        blue = counts & (jnp.arange(p.shape[0]) < top)
        wind = emits & jnp.any(blue & (p < 1 - config.trough) & (e < -config.trough))
        red = counts & (jnp.arange(p.shape[0]) > top)
        wind &= ~jnp.any(red & (p < 1 - config.trough) & (e < -config.trough))
        wind &= ~double
        return jnp.where(wind, 3, jnp.where(double & emits, 2, emits.astype(jnp.int32))).astype(jnp.uint8)

    return decide


def _running(values: Array) -> Array:
    """(2, L): the greatest of all values (L,) up to each, and of all from each on."""
    n = values.shape[0]
    before = np.tril(np.ones((n, n), bool))  # a dense mask compiles faster than a scan, and lines have few pixels
    return jnp.max(jnp.where(np.stack([before, before.T]), values, -jnp.inf), -1)
