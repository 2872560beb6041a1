"""Stacks against exposures that are really shifted, resampled and averaged; masks against geometry."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, optimize

from tests.observatory.detector.common import detector, state
from twin.observatory.detector import DetectorConfig, expose_stack, log_prob, noise_rms, valid
from twin.observatory.detector.noise import kernel
from twin.observatory.detector.stack import coverage, mean_coverage

BAND = detector(resampling="band-limited")


def covariance(noise: np.ndarray) -> np.ndarray:
    """(3, 3) at lags 0 to 2 along y and x, over the variance."""
    h, w = noise.shape
    lags = [[np.mean(noise[i:, j:] * noise[: h - i, : w - j]) for j in range(3)] for i in range(3)]
    return np.array(lags) / lags[0][0]


def resampled(rng: np.random.Generator, order: int, epochs: int = 40, side: int = 512) -> np.ndarray:
    """Average of white exposures of variance `epochs`, each shifted by a share of a pixel and interpolated (order 1:
    linear; else Lanczos of that many lobes, as Pan-STARRS warps)."""
    reach = max(order, 1)
    total = np.zeros((side, side))
    for k in range(epochs):
        white = rng.normal(0, np.sqrt(epochs), (side, side))
        for axis, shift in enumerate(((k + 0.5) / epochs, k * 0.618034 % 1)):  # evenly, that few stand for many
            d = np.arange(-reach, reach + 1) - shift
            taps = np.maximum(1 - np.abs(d), 0) if order == 1 else np.sinc(d) * np.sinc(d / order) * (np.abs(d) < order)
            white = ndimage.correlate1d(white, taps / taps.sum(), axis, mode="wrap")
        total += white / epochs
    return total


def model(sigma: float, config: DetectorConfig) -> tuple[np.ndarray, float]:
    """Correlations at lags 0 to 2, and the share of the variance that is left, of one axis."""
    taps = np.asarray(kernel(jnp.float32(sigma), config), float)
    auto = np.correlate(taps, taps, "full")[len(taps) - 1 :]
    return auto[:3] / auto[0], float(auto[0])


def sigma_of(correlation: float, config: DetectorConfig) -> float:
    return float(optimize.brentq(lambda s: model(s, config)[0][1] - correlation, 0.1, 1.5))


def test_correlated_noise_is_that_of_resampled_exposures(rng: np.random.Generator) -> None:
    """Linear interpolation: the sigma of neighbours' correlation gives the variance and the other lags too, and is the
    blur of the PSF. Sampled at whole pixels, a Gaussian of that correlation would blur a third more."""
    noise = resampled(rng, 1)
    lags, kept = covariance(noise), noise.var()
    assert kept == pytest.approx(4 / 9, rel=0.02)  # the mean of (1 - d)^2 + d^2, squared
    right = sigma_of(lags[0, 1], BAND)
    rho, left = model(right, BAND)
    assert left**2 == pytest.approx(kept, rel=0.08)
    assert np.outer(rho, rho) == pytest.approx(lags, abs=0.05)
    blur = 1 / 6  # the mean of d (1 - d), what linear interpolation adds to second moments [px^2]
    assert right**2 == pytest.approx(blur, rel=0.25)
    assert sigma_of(lags[0, 1], detector()) ** 2 > 1.35 * blur


def test_drawn_stacks_have_that_noise(key: jax.Array) -> None:
    given = state(sky=500.0, resampling=0.38)
    frame = np.asarray(expose_stack(key, jnp.zeros((1, 1024, 1024)), given, BAND), float)[0]
    assert frame.std() == pytest.approx(float(noise_rms(given, True, BAND)[0]), rel=0.005)
    rho, _ = model(0.38, BAND)
    assert covariance(frame) == pytest.approx(np.outer(rho, rho), abs=0.005)


@pytest.mark.parametrize("sigma", [0.1, 0.2, 0.3])
def test_isotropic_noise_is_the_same_along_every_direction(key: jax.Array, sigma: float) -> None:
    """Variance as `noise_rms` says; correlations of the circle's spectrum, summed here over plane waves."""
    config = detector(resampling="isotropic")
    given = state(sky=500.0, resampling=sigma)
    frame = np.asarray(expose_stack(key, jnp.zeros((1, 768, 768)), given, config), float)[0]
    assert frame.std() == pytest.approx(float(noise_rms(given, True, config)[0]), rel=0.01)
    f = (np.arange(400) + 0.5) / 400 - 0.5
    x, y = np.meshgrid(f, f)
    power = np.exp(-4 * np.pi**2 * sigma**2 * (x**2 + y**2)) / (1 + np.exp((np.hypot(x, y) - 0.53) / 0.027))
    waves = [[np.mean(power * np.cos(2 * np.pi * (i * y + j * x))) for j in range(3)] for i in range(3)]
    assert covariance(frame) == pytest.approx(np.array(waves) / waves[0][0], abs=0.006)


def test_pan_starrs_pixels_do_not_correlate_along_diagonals(key: jax.Array) -> None:
    """Measured: 0.19 along the axes, -0.055 along diagonals. Separable kernels have the square of the first there."""
    given = state(sky=500.0, resampling=0.2)
    frames = [
        np.asarray(expose_stack(key, jnp.zeros((1, 768, 768)), given, detector(resampling=kind)), float)[0]
        for kind in ("isotropic", "band-limited")
    ]
    right, wrong = (covariance(frame) for frame in frames)
    assert right[0, 1] == pytest.approx(0.19, abs=0.02)
    assert right[1, 1] == pytest.approx(-0.055, abs=0.02)
    assert wrong[1, 1] > -0.01


def test_stacks_of_pan_starrs_have_their_measured_correlation() -> None:
    """Neighbours 0.2 at 0.33 px, and 26 % less noise: the Gaussian that the PSF is blurred with, cut at Nyquist."""
    rho, left = model(0.33, BAND)
    f = (np.arange(5000) + 0.5) / 10000
    power = np.exp(-4 * np.pi**2 * 0.33**2 * f**2)
    assert left == pytest.approx(power.mean(), rel=5e-3)
    assert rho[1] == pytest.approx(np.mean(power * np.cos(2 * np.pi * f)) / power.mean(), abs=3e-3)
    assert rho[1] == pytest.approx(0.20, abs=0.01)
    assert model(0.33, detector())[0][1] < 0.03  # what sampling it gives


def test_likelihood_has_the_kernels_variance(key: jax.Array) -> None:
    given = state(sky=500.0, resampling=0.4)
    frame = expose_stack(key, jnp.zeros((1, 128, 128)), given, BAND)
    value = jax.jit(lambda scale: log_prob(frame * scale, jnp.zeros((1, 128, 128)), given, True, BAND))
    best = [float(value(s)) + np.log(s) * frame.size for s in (0.97, 1.0, 1.03)]  # of the noise's size
    assert best[1] > max(best[0], best[2])


MASKS = {"epochs": 10, "pitch": "60 px", "gap": "6 px"}


def test_coverage_of_the_mosaic(key: jax.Array) -> None:
    """Shares in tenths, their mean the area between the gaps, and gaps that are straight lines at random angles."""
    config = detector(masks=MASKS)
    masks = config.masks
    assert masks is not None
    draw = jax.jit(jax.vmap(lambda k: coverage(k, (1, 64, 64), masks)))
    share = np.asarray(draw(jax.random.split(key, 150)))
    assert np.allclose(share * 10, np.round(share * 10), atol=1e-4)
    assert mean_coverage(masks) == pytest.approx(0.81)
    assert share.mean() == pytest.approx(0.81, abs=0.01)
    single = detector(masks=MASKS | {"epochs": 1}).masks
    assert single is not None
    one = np.asarray(coverage(key, (1, 200, 200), single))[0] == 0
    widths = [np.diff(np.flatnonzero(np.diff(np.pad(line.astype(int), 1))))[::2] for line in one if line.any()]
    assert np.median(np.concatenate(widths)) >= 6  # cut at an angle they are wider
    assert one.mean() == pytest.approx(0.19, abs=0.03)


def test_discs_are_rejected(key: jax.Array) -> None:
    masks = detector(masks=MASKS | {"gap": "0 px", "discs": 1.5, "radius": "7 px"}).masks
    assert masks is not None
    share = np.asarray(jax.jit(jax.vmap(lambda k: coverage(k, (1, 64, 64), masks)))(jax.random.split(key, 80)))
    # in the middle, where discs whose centres lie outside the frame are not missed
    lost = 1 - share[:, 0, 16:48, 16:48].mean()
    assert lost == pytest.approx(1 - np.exp(-1.5 * np.pi * 49 / 64**2), rel=0.1)


def test_noise_grows_where_exposures_lack_and_none_leave_nothing(key: jax.Array) -> None:
    config = detector(masks=MASKS | {"epochs": 2, "gap": "24 px"})
    assert config.masks is not None
    given = replace(state(sky=400.0), resampling=jnp.full(1, 0.05))
    keys = jax.random.split(key, 200)
    both = jax.jit(lambda k: (expose_stack(k, jnp.zeros((1, 64, 64)), given, config), valid(k, (1, 64, 64), config)))
    frames, seen = (np.asarray(v) for v in jax.lax.map(both, keys))
    draw = jax.jit(lambda k: coverage(jax.random.fold_in(k, 101), (1, 64, 64), config.masks))
    share = np.asarray(jax.lax.map(draw, keys))
    assert np.array_equal(seen, share > 0)
    assert np.all(frames[~seen] == 0)
    assert 0.2 < np.mean(~seen) < 0.6
    rms = float(noise_rms(given, True)[0])
    for part in (0.5, 1.0):
        expected = rms * np.sqrt(mean_coverage(config.masks) / part)
        assert frames[share == part].std() == pytest.approx(expected, rel=0.01)
    assert np.all(np.asarray(valid(key, (1, 64, 64), detector())))


def test_without_masks_the_noise_is_the_same(key: jax.Array) -> None:
    given = state(sky=400.0, resampling=0.3)
    plain, off = (np.asarray(expose_stack(key, jnp.zeros((1, 32, 32)), given, c)) for c in (None, detector()))
    assert np.array_equal(plain, off)
