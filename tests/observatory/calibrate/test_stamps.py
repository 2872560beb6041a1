"""The twin's PSF parameters from images of stars; spoiled images are named and refused."""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
import pytest

from tests.observatory.calibrate.made import small
from twin.numerics.fourier import Grid
from twin.observatory.calibrate.moments import Unknowns, star_image
from twin.observatory.calibrate.stamps import fit_stamps, saturated

SIZE, SKY, READ = 25, 300.0, 7.0
TRUTH = {"ln_seeing": 0.15, "jitter_plus": 0.004, "jitter_cross": -0.003, "z4": 40.0, "z5": 30.0, "z6": -25.0}


@dataclass(frozen=True)
class Made:
    unknowns: Unknowns
    row: np.ndarray
    stamps: np.ndarray
    variance: np.ndarray
    places: np.ndarray
    position: np.ndarray


@pytest.fixture(scope="module")
def made() -> Made:
    """Eight stars of 2e5 to 1e6 electrons, Poisson light and read noise, where theta is TRUTH."""
    rng, imager = np.random.default_rng(3), small()
    unknowns = Unknowns(imager)
    theta = jnp.asarray([TRUTH.get(name, 0.0) for name in unknowns.names], jnp.float32)
    row = np.array([c.at(0.0) for c in imager.telemetry_channels], np.float32)
    draw = star_image(imager, 1, Grid(SIZE, imager.pixel_scale))
    places, position = rng.uniform(-0.1, 0.1, (8, 2)), rng.uniform(-0.6, 0.6, (8, 2))
    stamps = []
    for place, at, flux in zip(places, position, np.geomspace(2e5, 1e6, 8), strict=True):
        state = unknowns.state(theta, jnp.asarray(row), jnp.asarray(place, jnp.float32))
        shifted = replace(state, offset=state.offset + jnp.asarray(at * imager.pixel_scale, jnp.float32))
        light = np.clip(flux * np.asarray(draw(shifted), float), 0, None) + SKY
        stamps.append(rng.poisson(light) + READ * rng.standard_normal(light.shape))
    whole = np.stack(stamps)
    return Made(unknowns, row, whole, np.maximum(whole, SKY) + READ**2, places, position)


def test_parameters_are_recovered_and_spoiled_stamps_refused(made: Made) -> None:
    stamps, variance = made.stamps.copy(), made.variance.copy()
    stamps[2, 9, 16] += 6000.0  # a cosmic ray beside the core
    variance[2, 9, 16] += 6000.0
    stamps[6] = np.minimum(stamps[6], 0.5 * stamps[6].max())  # a saturated core
    fit = fit_stamps(stamps, variance, made.places, made.unknowns, 1, made.row)
    assert sorted(fit.refused) == [2, 6]
    assert "saturated core" in fit.refused[6]
    assert "pixel x 16, y 9" in fit.refused[2]
    assert fit.used.tolist() == [0, 1, 3, 4, 5, 7]
    sd = np.sqrt(np.diag(fit.covariance))
    truth = np.array([TRUTH.get(name, 0.0) for name in made.unknowns.names])
    z = (truth - fit.theta) / sd
    assert np.abs(z).max() < 3.5, dict(zip(made.unknowns.names, z, strict=True))
    told = sd < 0.5 * made.unknowns.prior_sd
    assert {"ln_seeing", "jitter_plus", "jitter_cross"} <= {made.unknowns.names[k] for k in np.flatnonzero(told)}
    np.testing.assert_allclose(fit.position, made.position[fit.used], atol=0.05)
    np.testing.assert_allclose(fit.sky, SKY, rtol=0.02)
    assert np.abs(fit.chi2 - 1).max() < 0.25


def test_cores_that_cannot_be_trusted(made: Made) -> None:
    star = made.stamps[7]
    assert saturated(star) is None
    assert "pixels at 20000" in str(saturated(np.minimum(star, 20000), 20000))
    assert "equal" in str(saturated(np.minimum(star, 0.7 * star.max())))
    assert "without a value" in str(saturated(np.where(star == star.max(), np.nan, star)))


def test_nothing_left_to_fit(made: Made) -> None:
    with pytest.raises(ValueError, match="no stamp is left: 0: saturated core"):
        fit_stamps(made.stamps[:1], made.variance[:1], made.places[:1], made.unknowns, 1, made.row, saturation=1000)
