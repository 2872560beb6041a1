"""Exposures against Poisson's law convolved with a Gaussian, stacks against what their kernel does to white noise."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, stats

from twin.observatory.detector import background_variance, expose_single, expose_stack, level, log_prob, noise_rms
from twin.observatory.imager import load_instrument
from twin.observatory.state import STATE_FIELDS, ImagerState

GAIN, READ, DARK, BIAS = 1.7, 4.0, 3.0, 100.0  # e-/ct, e-, e-, ct


def camera(bands: int = 1, **values: object) -> ImagerState:
    """A detector of GAIN, READ, DARK and BIAS with no sky, below saturation; `values` are per band."""
    given = {"gain": GAIN, "sky": 0.0, "dark": DARK, "read_noise": READ, "bias": BIAS}
    given |= {"saturation": 6e4, "resampling": 0.0} | values
    leaves = {name: jnp.broadcast_to(jnp.asarray(v, jnp.float32), (bands,)) for name, v in given.items()}
    return ImagerState(**{name: leaves.get(name, jnp.zeros((bands, 3), jnp.float32)) for name in STATE_FIELDS})


def dark_sky(bands: int, side: int = 256) -> jax.Array:
    return jnp.zeros((bands, side, side), jnp.float32)


def taps(sigma: float) -> np.ndarray:
    """Gaussian of `sigma` pixels on five pixels, of sum 1."""
    t = np.exp(-0.5 * (np.arange(-2, 3) / sigma) ** 2)
    return t / t.sum()


# single exposures


def test_mean_and_variance_from_darkness_to_bright_sky(key: jax.Array) -> None:
    sky = np.array([0.0, 0.05, 1.0, 12.0, 300.0, 2e4])
    frame = np.asarray(expose_single(key, dark_sky(6) + 2.0, camera(6, sky=sky)), float).reshape(6, -1)
    photons = (sky + 2) * GAIN + DARK
    mean, variance = photons / GAIN + BIAS, (photons + READ**2) / GAIN**2 + 1 / 12
    n, fourth = frame.shape[1], 3 + 1 / photons  # kurtosis of Poisson's law; the Gaussian only lowers it
    assert np.all(np.abs(frame.mean(1) - mean) < 4 * np.sqrt(variance / n))
    assert np.all(np.abs(frame.var(1) / variance - 1) < 4 * np.sqrt((fourth - 1) / n))


def law(rate: float, read: float) -> np.ndarray:
    """Probability of 0 .. 999 counts: Poisson(rate) electrons, Gaussian read noise, gain, bias, rounding."""
    electrons = np.arange(int(rate + 12 * np.sqrt(rate) + 30))
    edges = (np.arange(1001) - 0.5 - BIAS)[:, None] * GAIN
    return np.diff(stats.norm.cdf(edges, electrons, read) @ stats.poisson.pmf(electrons, rate))


def p_value(frame: np.ndarray, probability: np.ndarray) -> float:
    """Of chi-square, counts of fewer than 10 expected joined at either end."""
    expected = probability * frame.size
    likely = np.flatnonzero(expected > 10)
    ends = [0, *likely[1:], len(expected)]
    seen = np.histogram(frame, bins=np.arange(len(expected) + 1))[0]
    a, b = (np.add.reduceat(values, ends[:-1]) for values in (seen, expected))
    return float(stats.chi2.sf(np.sum((a - b) ** 2 / b), len(b) - 1))


@pytest.mark.parametrize("rate", [DARK, 5.0, 11.9, 12.1, 60.0, 900.0])
def test_counts_follow_the_convolution_of_poisson_and_gauss(key: jax.Array, rate: float) -> None:
    """Also that the test would tell: read noise off by 3 %, a lost bias cut, a Gaussian in place of Poisson."""
    state = camera(sky=(rate - DARK) / GAIN)
    frame = np.asarray(expose_single(key, dark_sky(1, 1024), state), float)
    assert p_value(frame, law(rate, READ)) > 1e-3
    assert p_value(frame, law(rate + 0.01 * rate + 0.1, READ)) < 1e-6
    if rate < 20:  # elsewhere the photons' own noise hides it
        assert p_value(frame, law(rate, 1.03 * READ)) < 1e-6
        counts = np.arange(1001) - 0.5
        normal = np.diff(stats.norm.cdf(counts, rate / GAIN + BIAS, np.sqrt(rate + READ**2) / GAIN))
        assert p_value(frame, normal) < 1e-6
        without = np.asarray(expose_single(key, dark_sky(1, 1024), replace(state, bias=jnp.zeros(1))), float) + BIAS
        assert p_value(without, law(rate, READ)) < 1e-6


def test_whole_counts_from_zero_to_saturation(key: jax.Array) -> None:
    state = camera(3, sky=[0.0, 200.0, 9e4], bias=[0.0, BIAS, BIAS], saturation=[6e4, 6e4, 6e4 + BIAS])
    dark, grey, white = np.asarray(expose_single(key, dark_sky(3), state))
    assert all(np.all(frame == np.round(frame)) for frame in (dark, grey))
    assert np.unique(white) == pytest.approx([6e4 + BIAS])
    assert dark.min() == 0
    assert np.mean(dark == 0) == pytest.approx(law(DARK, READ)[: int(BIAS) + 1].sum(), abs=0.01)  # what bias prevents
    assert grey.min() > 0
    assert grey.max() < 6e4


def test_negative_light_is_none(key: jax.Array) -> None:
    state = camera(sky=40.0)
    below, none = (np.asarray(expose_single(key, dark_sky(1, 32) + flux, state)) for flux in (-5.0, 0.0))
    assert np.all(below == none)


@pytest.mark.parametrize("name", ["ps1", "csst"])
def test_an_empty_frame_has_the_noise_and_level_it_says(key: jax.Array, name: str) -> None:
    """In every band, nearly dark ones included; a 3 % wrong noise_rms would show."""
    imager = load_instrument(name)
    state, stacked = imager.state(jnp.asarray(imager.draw_exposures(3, 1)[0])), name == "ps1"
    bands = len(imager.bands)
    state = replace(state, sky_residual=jnp.zeros((bands, 3)))
    expose, empty = (expose_stack, np.zeros(bands)) if stacked else (expose_single, np.asarray(level(state)))
    frame = np.asarray(expose(key, dark_sky(bands), state), float).reshape(bands, -1)
    rms = np.asarray(noise_rms(state, stacked))
    assert frame.std(1) / rms == pytest.approx(np.ones(bands), abs=0.015)
    assert (frame.mean(1) - empty) / rms == pytest.approx(np.zeros(bands), abs=0.03)
    if not stacked:  # without bias, noise and level of the near ultraviolet are wrong
        cut = np.asarray(expose(key, dark_sky(bands), replace(state, bias=jnp.zeros(bands))), float)[0]
        assert cut.std() / rms[0] < 0.95


def test_coarse_counts_add_their_rounding_to_the_noise(key: jax.Array) -> None:
    state = camera(gain=8.0, sky=1.0)
    frame = np.asarray(expose_single(key, dark_sky(1, 512), state), float)
    rms, white = float(noise_rms(state, stacked=False)[0]), float(jnp.sqrt(background_variance(state))[0]) / 8
    assert frame.std() == pytest.approx(rms, rel=0.005)
    assert rms / white > 1.05


# stacks


@pytest.mark.parametrize("sigma", [0.3, 0.45, 0.8])
def test_correlation_of_a_stack_is_the_kernels(key: jax.Array, sigma: float) -> None:
    """Variance (sum t^2)^2 and correlation sum t_i t_(i+d) / sum t^2 along either axis, at the border as within."""
    state = camera(sky=500.0, resampling=sigma)
    frame = np.asarray(expose_stack(key, dark_sky(1, 1024), state), float)[0]
    t = taps(sigma)
    variance = float(background_variance(state)[0]) / GAIN**2 * np.sum(t**2) ** 2
    assert variance == pytest.approx((500 * GAIN + DARK + READ**2) / GAIN**2 * np.sum(t**2) ** 2)
    assert frame.var() == pytest.approx(variance, rel=0.01)
    rim = np.concatenate([frame[:2].ravel(), frame[-2:].ravel(), frame[:, :2].ravel(), frame[:, -2:].ravel()])
    assert rim.var() == pytest.approx(variance, rel=0.08)
    for d in (1, 2, 3, 4, 5):
        expected = np.sum(t[d:] * t[:-d]) / np.sum(t**2) if d < 5 else 0.0
        for a, b in ((frame[d:], frame[:-d]), (frame[:, d:], frame[:, :-d])):
            assert np.mean(a * b) / variance == pytest.approx(expected, abs=0.006)


def test_noise_of_a_bright_source_is_smeared_by_the_kernel(key: jax.Array) -> None:
    """Variance of each pixel over draws: that of its neighbours by the squared kernel, empty sky outside the frame."""
    sigma, sky = 0.7, 80.0
    expected = np.zeros((1, 24, 24), np.float32)
    expected[0, 8:11, 12:15], expected[0, 0, 20] = 2000.0, 5000.0
    state = camera(sky=sky, resampling=sigma)
    draw = jax.jit(jax.vmap(lambda k: expose_stack(k, jnp.asarray(expected), state)))
    frames = np.asarray(draw(jax.random.split(key, 20000)), float)[:, 0]
    white = ((expected[0] + sky) * GAIN + DARK + READ**2) / GAIN**2
    empty = (sky * GAIN + DARK + READ**2) / GAIN**2
    smeared = ndimage.convolve(white, np.outer(taps(sigma), taps(sigma)) ** 2, mode="constant", cval=empty)
    ratio = frames.var(0) / smeared
    assert np.abs(ratio - 1).max() < 5 * np.sqrt(2 / len(frames))
    assert np.abs(frames.mean(0) - expected[0]).max() < 5 * np.sqrt(smeared.max() / len(frames))


def test_what_sky_subtraction_left_is_a_plane(key: jax.Array) -> None:
    """Constant at the middle, x along the last axis, rising by the gradient from edge to edge."""
    left = np.array([[3.0, 10.0, -4.0]])
    state = replace(camera(dark=0.0, read_noise=0.0, resampling=0.4), sky_residual=jnp.asarray(left, jnp.float32))
    frame = np.asarray(expose_stack(key, dark_sky(1, 20), state), float)[0]
    at = (np.arange(20) + 0.5) / 20 - 0.5
    assert frame == pytest.approx(3 + 10 * at[None, :] - 4 * at[:, None], abs=1e-4)
    state = replace(state, saturation=jnp.asarray([5.0]))
    assert np.asarray(expose_stack(key, dark_sky(1, 20), state)).max() == 5


# likelihood


def witness(counts: np.ndarray, expected: np.ndarray, sky: float, sigma: float | None) -> float:
    """Log likelihood in double precision; sigma of the stack's kernel, None = single exposure."""
    variance = ((expected + sky) * GAIN + DARK + READ**2) / GAIN**2
    mean = expected + sky + DARK / GAIN + BIAS
    if sigma is not None:
        mean, variance = expected, variance * np.sum(taps(sigma) ** 2) ** 2
    else:
        variance = variance + 1 / 12
    return float(stats.norm.logpdf(counts, mean, np.sqrt(variance)).sum())


@pytest.mark.parametrize("sigma", [None, 0.0, 0.5])
def test_likelihood_and_its_slope(key: jax.Array, sigma: float | None) -> None:
    """Value, gradient against double-precision differences, and a maximum where the truth is."""
    sky, stacked = 20.0, sigma is not None
    at = np.arange(24) - 11.5
    blob = 400 * np.exp(-0.5 * (at[:, None] ** 2 + at[None, :] ** 2) / 3.0**2)[None].astype(np.float32)
    state = camera(sky=sky, resampling=sigma or 0.0)
    expose = expose_stack if stacked else expose_single
    keys = jax.random.split(key, 400)
    frames = jax.jit(jax.vmap(lambda k: expose(k, jnp.asarray(blob), state)))(keys)
    value = jax.jit(lambda amplitude, counts: log_prob(counts, amplitude * blob, state, stacked))
    kernel = None if sigma is None else max(sigma, 0.05)
    counts, step = np.asarray(frames[0], float), 1e-4
    for amplitude in (0.7, 1.0, 1.4):
        theirs = [witness(counts, (amplitude + s) * blob.astype(float), sky, kernel) for s in (-step, 0, step)]
        assert float(value(amplitude, frames[0])) == pytest.approx(theirs[1], rel=1e-5)
        slope = float(jax.grad(value)(amplitude, frames[0]))
        assert slope == pytest.approx((theirs[2] - theirs[0]) / (2 * step), rel=1e-3, abs=0.5)
    score = jax.jit(jax.vmap(jax.grad(value), in_axes=(None, 0)))
    significance = {}
    for amplitude in (0.97, 1.0, 1.03):
        slopes = np.asarray(score(amplitude, frames))
        significance[amplitude] = slopes.mean() / slopes.std() * np.sqrt(len(slopes))
    assert abs(significance[1.0]) < 4
    assert significance[0.97] > 20
    assert significance[1.03] < -20
