"""What the twin says of the windowed second moments of stars, and how they change with what is not known of it.

Moments as SExtractor's X2WIN_IMAGE: sum w I (x - c)^2 / sum w I over pixels, w a Gaussian whose FWHM is the star's
half-light diameter, c its own windowed centre (Bertin & Arnouts 1996, A&AS 117, 393; SExtractor manual, "Windowed
positional parameters").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.fourier import Grid, image
from twin.observatory.imager import Imager
from twin.observatory.psf import Optics, otf
from twin.observatory.state import ImagerState

NPIX = 32  # side of the stamp that moments are taken on [pixel]
COMPONENTS = ("e1", "e2", "ln_size")
_STROKE = 3e-7  # rms of the aberrations up to which the PSF is exact [m]
_CENTRE = 4  # steps to the windowed centre


@dataclass(frozen=True)
class Unknowns:
    """Corrections theta to an exposure's State, with the standard deviations of their Gaussian priors, around zero.

    ln_seeing of the seeing; jitter covariance (xx + yy) / 2, (xx - yy) / 2, xy [arcsec^2]; path of every Zernike that
    the instrument has [nm], and of the first three its slope along the field's x and y [nm / deg].
    """

    imager: Imager
    ln_seeing: float = 0.3
    jitter: float = 0.02
    zernike: float = 60.0
    slope: float = 60.0

    @cached_property
    def zernikes(self) -> tuple[str, ...]:
        names = [c.name for c in self.imager.telemetry_channels if c.kind[0] == "z" and c.kind[1:].isdecimal()]
        return tuple(sorted(names, key=lambda name: int(name[1:])))

    @property
    def names(self) -> tuple[str, ...]:
        slopes = [f"{z}_slope_{axis}" for z in self.zernikes[:3] for axis in "xy"]
        return ("ln_seeing", "jitter_round", "jitter_plus", "jitter_cross", *self.zernikes, *slopes)

    @property
    def units(self) -> tuple[str, ...]:
        j = len(self.zernikes)
        return ("", *["arcsec2"] * 3, *["nm"] * j, *["nm/deg"] * (2 * min(3, j)))

    @cached_property
    def prior_sd(self) -> np.ndarray:
        """(K,)"""
        sizes = {"": self.ln_seeing, "arcsec2": self.jitter, "nm": self.zernike, "nm/deg": self.slope}
        return np.array([sizes[unit] for unit in self.units])

    def state(self, theta: Array, row: Array, place: Array) -> ImagerState:
        """State at telemetry `row` (C,) and `place` (2,), degrees from the middle of the stars, under theta (K,)."""
        channel = {name: i for i, name in enumerate(self.imager.channel_names)}
        for i, name in enumerate(self.imager.channel_names):
            if self.imager.telemetry_channels[i].kind == "seeing":
                row = row.at[channel[name]].multiply(jnp.exp(theta[0]))
        j = len(self.zernikes)
        path, slope = theta[4 : 4 + j], theta[4 + j :].reshape(-1, 2) @ place
        for k, name in enumerate(self.zernikes):
            row = row.at[channel[name]].add(path[k] + (slope[k] if k < len(slope) else 0.0))
        for axis, name in enumerate(("field_x", "field_y")):
            if name in channel:  # where in the telescope's field: its map of aberrations enters
                row = row.at[channel[name]].add(place[axis])
        state = self.imager.state(row)
        return replace(state, jitter=state.jitter + jnp.stack([theta[1] + theta[2], theta[1] - theta[2], theta[3]]))


def one_band(state: ImagerState, bands: int, band: int) -> ImagerState:
    """The State of one band, with a band axis of 1."""

    def part(name: str, value: Array) -> Array:
        return value if name == "aberration" or value.ndim == 0 or value.shape[0] != bands else value[band : band + 1]

    return replace(state, **{name: part(name, value) for name, value in vars(state).items()})


def windowed(stamp: Array, sigma: float) -> Array:
    """(e1, e2, ln size) of a star image (y, x) about its middle: window of standard deviation `sigma` [pixel]; size =
    sqrt((xx + yy) / 2) [pixel], e1 = (xx - yy) / (xx + yy), e2 = 2 xy / (xx + yy)."""
    axis = jnp.arange(stamp.shape[-1]) - (stamp.shape[-1] - 1) / 2
    cx = cy = jnp.float32(0.0)
    for step in range(_CENTRE + 1):
        dx, dy = axis - cx, axis - cy
        weight = jnp.exp(-0.5 * (dx / sigma) ** 2)[None, :] * jnp.exp(-0.5 * (dy / sigma) ** 2)[:, None] * stamp
        per_flux = 1 / weight.sum()
        if step < _CENTRE:  # twice the first moment: the window pulls the mean half-way to itself
            cx, cy = cx + 2 * (weight @ dx).sum() * per_flux, cy + 2 * (dy @ weight).sum() * per_flux
    xx, yy = (weight @ dx**2).sum() * per_flux, (dy**2 @ weight).sum() * per_flux
    xy = (dy @ weight @ dx) * per_flux
    return jnp.stack([(xx - yy) / (xx + yy), 2 * xy / (xx + yy), 0.5 * jnp.log(0.5 * (xx + yy))])


def band_optics(imager: Imager, band: int) -> Optics:
    """The telescope in one band, for aberrations as calibration tries them."""
    return replace(
        imager.optics, wavelengths=(imager.optics.wavelengths[band],), stroke=max(_STROKE, imager.optics.stroke)
    )


def star_image(imager: Imager, band: int, grid: Grid) -> Callable[[ImagerState], Array]:
    """State of all bands -> image (npix, npix) of a star of flux 1 in one band, pixel integrated, centred."""
    optics = band_optics(imager, band)

    def draw(state: ImagerState) -> Array:
        re, im = otf(optics, one_band(state, len(imager.bands), band), grid)
        return image(grid, (re * grid.pixel, im * grid.pixel))[0]

    return draw


Field = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def moments_field(unknowns: Unknowns, band: int, window: float) -> Field:
    """Compiled (theta (K,), row (C,), places (M, 2)) -> moments (M, 3) and their derivatives (M, 3, K)."""
    draw = star_image(unknowns.imager, band, Grid(NPIX, unknowns.imager.pixel_scale))

    def one(theta: Array, row: Array, place: Array) -> Array:
        return windowed(draw(unknowns.state(theta, row, place)), window)

    @jax.jit
    def both(theta: Array, row: Array, places: Array) -> tuple[Array, Array]:
        def at(place: Array) -> tuple[Array, Array]:
            basis = jnp.eye(len(theta), dtype=theta.dtype)
            value, push = jax.linearize(lambda t: one(t, row, place), theta)
            return value, jax.lax.map(push, basis).T

        return jax.lax.map(at, places)

    def run(theta: np.ndarray, row: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, slope = both(*(jnp.asarray(a, jnp.float32) for a in (theta, row, places)))
        return np.asarray(value, float), np.asarray(slope, float)

    return run
