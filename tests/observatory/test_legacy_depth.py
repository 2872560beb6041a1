"""DESI Legacy: depths of simulated stacks against those that the survey gives for its exposure times."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.numerics.fourier import Grid, image
from twin.observatory.detector import expose
from twin.observatory.imager import Imager, load_instrument
from twin.observatory.psf import otf
from twin.simulators.optical import counts

NPIX, STACKS = 64, 480  # 20 nights
# mag at 5 sigma of a galaxy, in so many seconds in all under median conditions (legacysurvey.org/decamls; Dey+ 2019, AJ
# 157, 168)
PUBLISHED = {"g": 24.0, "r": 23.4, "z": 22.5}
SECONDS = {"g": 166.0, "r": 134.0, "z": 200.0}
HALF_LIGHT = 0.45  # arcsec, of its exponential profile
MAGNITUDE = 20.0


@pytest.fixture(scope="module")
def legacy() -> Imager:
    return load_instrument("legacy")


def depths(legacy: Imager, half_light: float, seconds: dict[str, float] | None = None) -> np.ndarray:
    """Median magnitudes (B,) at which a galaxy has 5 times the scatter of its flux in empty stacks of so many seconds,
    or as drawn, fitted with its own profile through the stack's PSF; the scatter is that of all places in a simulated
    stack without light."""
    grid = Grid(NPIX, legacy.pixel_scale, 1, 2)
    k2 = (2 * np.pi * half_light / 1.67835) ** 2 * (grid.fx[None, :] ** 2 + grid.fy[:, None] ** 2)
    disc = ((1 + k2) ** -1.5).astype(np.float32)

    def one(args: tuple[jax.Array, jax.Array]) -> jax.Array:
        state = legacy.state(args[1])
        re, im = otf(legacy.optics, state, grid)
        shape = image(grid, (re * grid.pixel * disc, im * grid.pixel * disc))  # of unit flux
        light = counts(jnp.full(len(legacy.bands), MAGNITUDE), state)
        empty = expose(args[0], 0 * shape, state, legacy.config.detector, stacked=True)
        # what sky subtraction left is no noise: planes
        empty = empty - jnp.mean(empty, (1, 2), keepdims=True)
        waves = jnp.conj(jnp.fft.rfft2(shape)) * jnp.fft.rfft2(empty)
        flux = jnp.fft.irfft2(waves, (NPIX, NPIX)) / jnp.sum(shape**2, (1, 2), keepdims=True)
        return MAGNITUDE + 2.5 * jnp.log10(light / (5 * jnp.std(flux, (1, 2))))

    rows = legacy.draw_exposures(3, STACKS)
    for band, time in (seconds or {}).items():
        rows[:, legacy.channel_names.index(f"exptime_{band}")] = time
    keys = jax.random.split(jax.random.key(5), STACKS)
    return np.median(np.asarray(jax.jit(lambda *a: jax.lax.map(one, a))(keys, jnp.asarray(rows))), 0)


def test_five_sigma_depth_of_galaxies(legacy: Imager) -> None:
    """Zero points, sky, read noise and seeing together: the depth of the survey's times, to 0.15 mag."""
    found = dict(zip(legacy.bands, depths(legacy, HALF_LIGHT, SECONDS), strict=True))
    assert found == pytest.approx(PUBLISHED, abs=0.15)
    half = {band: 0.5 * time for band, time in SECONDS.items()}
    assert depths(legacy, HALF_LIGHT, half) == pytest.approx([found[b] - 0.38 for b in legacy.bands], abs=0.1)


def test_the_depths_that_the_instrument_file_names(legacy: Imager) -> None:
    """Of stacks as they are drawn: galaxies, and stars, which go deeper by the ratio of effective areas."""
    assert depths(legacy, HALF_LIGHT) == pytest.approx([24.3, 23.5, 22.6], abs=0.06)
    assert depths(legacy, 1e-3) == pytest.approx([24.5, 23.8, 22.9], abs=0.06)
