"""What a finite exposure leaves of the speckles, against turbulence that is blown across the pupil frame by frame."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import kv

from tests.observatory.test_against_screens import closed_form
from twin.metrics.psf_shape import adaptive_moments, measure
from twin.observatory import speckle
from twin.observatory.flow import draw_strip, exposures
from twin.observatory.screens import ARCSEC, Setup, structure
from twin.observatory.speckle import SIX_LAYERS, Layers, anisotropy, ellipticity_response, motion, residual, winds

# D = 1 m, obscuration 0.33, 650 nm, r0(500 nm) = 0.15 m, L0 = 25 m, no aberrations, jitter or pixel
SETUP = Setup(grid=64, across=32, zernikes_waves=(), jitter_sigma=0.0, pixel=0.0)
BLOCK, COUNT, NIGHTS = 5.0, 60, 12


def predicted(exptime: float, layers: Layers = SIX_LAYERS, setup: Setup = SETUP) -> tuple[np.ndarray, np.ndarray]:
    """rms an axis of ellipticity, and of the centroid [arcsec]."""
    run = jax.jit(lambda r0, scale, t: residual(layers, setup.diameter, r0, scale, t))
    shape, tilt = run(*(jnp.float32(v) for v in (setup.r0, setup.outer_scale, exptime)))
    response = ellipticity_response(setup.diameter, setup.obscuration, setup.wavelength, setup.r0, setup.outer_scale)
    tilt = np.sqrt(np.asarray(tilt[:2])) * setup.wavelength / (2 * np.pi) / ARCSEC
    return float(response) * np.sqrt(np.asarray(shape[:2])), tilt


@pytest.fixture(scope="module")
def witness() -> np.ndarray:
    """(nights, 60, 64, 64) PSFs of 5 s that follow on each other: an hour of wind, 72,000 images."""
    rng = np.random.default_rng(1)
    return np.array([list(exposures(rng, SETUP, SIX_LAYERS, BLOCK, COUNT)) for _ in range(NIGHTS)])


def shapes(witness: np.ndarray, blocks: int, most: int = 250) -> np.ndarray:
    """(n, 4): e1, e2, x, y [arcsec] of exposures of that many blocks, no more than `most` of them."""
    stamps = witness.reshape(NIGHTS, COUNT // blocks, blocks, 64, 64).mean(2).reshape(-1, 64, 64)
    found = []
    for stamp in stamps[:: -(-len(stamps) // most)]:
        centre, c = adaptive_moments(stamp, 1e-5)
        trace = c[0, 0] + c[1, 1]
        found.append([(c[0, 0] - c[1, 1]) / trace, 2 * c[0, 1] / trace, *(centre - 31.5) * SETUP.sampling])
    return np.array(found)


@pytest.mark.slow
def test_ellipticity_of_thirty_seconds(witness: np.ndarray) -> None:
    """Within 20 % of the witness, whose own rms is known to 7 % an axis; about 0.029 is what images show."""
    found = np.sqrt((shapes(witness, 6) ** 2).mean(0))
    ellipticity, centroid = predicted(30.0)
    assert found[:2] == pytest.approx([0.029, 0.029], rel=0.15)
    assert ellipticity == pytest.approx(found[:2], rel=0.2)
    assert np.sqrt((ellipticity**2).mean()) == pytest.approx(np.sqrt((found[:2] ** 2).mean()), rel=0.1)
    assert centroid == pytest.approx(found[2:], rel=0.2)
    # a wrong witness or theory would show: half the wind, a smaller telescope, no outer scale
    slow = replace(SIX_LAYERS, speeds=tuple(v / 2 for v in SIX_LAYERS.speeds))
    for other in (predicted(30.0, slow), predicted(30.0, setup=replace(SETUP, outer_scale=1000.0))):
        assert other[0].mean() > 1.2 * found[:2].mean()


@pytest.mark.slow
def test_ellipticity_falls_with_the_root_of_time(witness: np.ndarray) -> None:
    """From 5 to 300 s, in the witness and in the prediction: the exponent within 15 % of 1/2."""
    seconds = np.array([5.0, 10.0, 30.0, 60.0, 100.0, 300.0])
    rms = np.array([np.sqrt((shapes(witness, int(t / BLOCK))[:, :2] ** 2).mean()) for t in seconds])
    theirs = np.polyfit(np.log(seconds), np.log(rms), 1, w=np.sqrt(300 / seconds))[0]
    assert theirs == pytest.approx(-0.5, rel=0.15)
    ours = np.array([np.sqrt((predicted(t)[0] ** 2).mean()) for t in seconds])
    assert np.polyfit(np.log(seconds), np.log(ours), 1)[0] == pytest.approx(-0.5, rel=0.02)
    assert ours * np.sqrt(seconds / 30) == pytest.approx(ours[2], rel=0.05)
    assert ours[:4] == pytest.approx(rms[:4], rel=0.15)


def test_strips_have_the_structure_function() -> None:
    """Along the wind, across it and between, on 50 rows of 1.5 km."""
    pitch, rng = 1 / 32, np.random.default_rng(2)
    strips = [draw_strip(rng, 50, 48_000, pitch, pitch, 0.2, 25.0) for _ in range(3)]
    for lag in (1, 8, 32, 49):
        steps = lag * pitch * np.array([1, 1, np.sqrt(2)])
        pairs = [(v[:, lag:] - v[:, :-lag], v[lag:] - v[:-lag], v[lag:, lag:] - v[:-lag, :-lag]) for v in strips]
        found = np.mean([[(d**2).mean() for d in pair] for pair in pairs], 0)
        assert found == pytest.approx(structure(steps, 0.2, 25.0), rel=0.05)
    far = np.mean([((v[:, 1600:] - v[:, :-1600]) ** 2).mean() for v in strips])
    assert far == pytest.approx(structure(np.array([50.0]), 0.2, 25.0)[0], rel=0.25)
    fine = draw_strip(rng, 8, 40_000, pitch, pitch / 3, 0.2, 25.0)  # points closer than rows
    near = ((fine[:, 6:] - fine[:, :-6]) ** 2).mean()
    assert near == pytest.approx(structure(np.array([2 * pitch]), 0.2, 25.0)[0], rel=0.05)


@pytest.mark.slow
def test_a_long_exposure_is_the_closed_form(witness: np.ndarray) -> None:
    """The mean over an hour is the PSF of unbounded time: the shares of the layers add up to r0.

    Interpolation in the strips smooths away some of what is finer than two pixels of 3 cm, which is wings.
    """
    mean, truth = witness.mean((0, 1)), closed_form(SETUP)
    assert np.abs(mean - truth).max() < 0.03 * truth.max()
    ours, theirs = measure(mean, SETUP.sampling), measure(truth, SETUP.sampling)
    assert (ours.fwhm, ours.ee50) == pytest.approx((theirs.fwhm, theirs.ee50), rel=0.02)
    assert ours.ee80 == pytest.approx(theirs.ee80, rel=0.035)


@pytest.mark.parametrize(("jitter", "pixel"), [(0.0, 0.0), (0.1, 0.268)])
def test_ellipticity_for_an_anisotropy(jitter: float, pixel: float) -> None:
    """First order and closed form, against the adaptive moments of a PSF whose structure function is turned."""
    setup = Setup(grid=128, across=64, zernikes_waves=(), jitter_sigma=jitter, pixel=pixel)
    blur = (jitter**2 + pixel**2 / 12) * ARCSEC**2
    response = ellipticity_response(setup.diameter, setup.obscuration, setup.wavelength, setup.r0, 25.0, blur)
    for a in ((0.03, 0.0), (0.0, -0.03), (0.02, 0.02)):
        shape = measure(closed_form(setup, a), setup.sampling)
        assert (shape.e1, shape.e2) == pytest.approx(float(response) * np.array(a), abs=3e-4)


def test_bessel_functions_of_slopes() -> None:
    x = np.geomspace(1e-5, 60, 300)
    n = 1 / kv(5 / 6, 1e-12) / 1e-12 ** (5 / 6)
    side, bend = speckle._slopes(jnp.asarray(x, jnp.float32))
    assert np.asarray(side) == pytest.approx(n * x ** (-1 / 6) * kv(1 / 6, x), rel=1e-3)
    assert np.asarray(bend) == pytest.approx(n * x ** (5 / 6) * kv(7 / 6, x), rel=1e-3)


def test_draws_have_their_covariance() -> None:
    covariance = jnp.asarray([[4e-4, 9e-4, -3e-4], [1e-4, 1e-4, 0.0]])
    normal = jax.random.normal(jax.random.key(0), (40_000, 1, 2))
    a = np.asarray(anisotropy(normal, covariance))
    for band in (0, 1):
        xx, yy, xy = np.asarray(covariance[band])
        assert np.cov(a[:, band].T) == pytest.approx(np.array([[xx, xy], [xy, yy]]), abs=2e-5)
    assert np.corrcoef(a[:, 0, 0], a[:, 1, 0])[0, 1] > 0.999  # bands of one exposure
    huge = np.asarray(anisotropy(normal, 100 * jnp.ones((1, 3)) * jnp.asarray([1.0, 1.0, 0.0])))
    assert np.hypot(huge[..., 0], huge[..., 1]).max() < 1
    shift = np.asarray(motion(normal, jnp.asarray([0.04, 0.04, 0.0]), 650e-9))
    assert shift.std() == pytest.approx(0.2 * 650e-9 / (2 * np.pi) / ARCSEC, rel=0.02)


def test_wind_alone_turns_the_anisotropy_with_it() -> None:
    """One layer: variances are largest along and across the wind; turning the wind by 45 degrees swaps the axes."""
    along, turned = (Layers((0.0,), (1.0,), (10.0,), (d,)) for d in (0.0, 45.0))
    f32 = jnp.float32
    (a, ta), (b, tb) = (residual(v, 1.0, f32(0.2), f32(25.0), f32(10.0)) for v in (along, turned))
    assert a[0] > a[1]
    assert (float(a[0]), float(a[1])) == pytest.approx((float(b[1]), float(b[0])), rel=1e-5)
    assert ta[0] < 0.7 * ta[1]  # along the wind a tilt's mean is the difference of two phases
    assert float(tb[0]) == pytest.approx(float(tb[1]), rel=1e-4)
    gradient = jax.jit(jax.grad(lambda r0: residual(along, 1.0, r0, f32(25.0), f32(10.0))[0].sum()))(f32(0.2))
    assert np.isfinite(gradient)


def test_winds_from_telemetry() -> None:
    nan = jnp.float32(jnp.nan)
    own = np.asarray(SIX_LAYERS.speeds)
    assert np.asarray(winds(SIX_LAYERS, nan, nan, nan, nan)) == pytest.approx(own)
    blown = np.asarray(winds(SIX_LAYERS, nan, nan, jnp.float32(3.0), jnp.float32(50.0)))
    assert blown == pytest.approx([3, own[1], *own[2:] * 50 / own[4]])
    tau0, r0 = 0.004, 0.15
    speeds = np.asarray(winds(SIX_LAYERS, jnp.float32(r0), jnp.float32(tau0), nan, nan))
    assert (np.array(SIX_LAYERS.shares) @ speeds ** (5 / 3)) ** 0.6 == pytest.approx(0.314 * r0 / tau0, rel=1e-5)
    assert speeds / own == pytest.approx(speeds[0] / own[0])
    assert np.asarray(winds(SIX_LAYERS, nan, nan, jnp.float32(0.0), nan))[0] == 0.5
    slope = jax.grad(lambda r0, known: winds(SIX_LAYERS, r0, known, nan, nan).sum())
    assert float(slope(jnp.float32(r0), jnp.float32(tau0))) > 0
    assert float(slope(jnp.float32(r0), nan)) == 0  # what is unknown leaves derivatives alone


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shares": (0.5,) * 6}, "shares"),
        ({"speeds": (8.0, -9.0, 12.0, 17.0, 25.0, 14.0)}, "speeds"),
        ({"directions": (0.0,)}, "number"),
        ({"heights": (np.nan,) * 6}, "finite"),
        ({"outer_scales": (0.0,) * 6}, "outer scales"),
    ],
)
def test_layers_that_cannot_be(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SIX_LAYERS, **change)


def test_still_air_has_no_witness() -> None:
    calm = Layers((0.0,), (1.0,), (0.0,), (0.0,))
    with pytest.raises(ValueError, match="stands still"):
        next(exposures(np.random.default_rng(0), SETUP, calm, 1.0, 1))
