"""The State of an exposure against numbers worked out by hand, and against survey facts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.observatory.imager import Imager, load_instrument
from twin.observatory.state import STATE_FIELDS
from twin.schema import parse_yaml

RADIAN = 206264.80624709636  # arcsec


def toy(frame: str, channels: str = "", atmosphere: bool = True) -> Imager:
    return Imager(
        parse_yaml(
            f"""
name: toy
kind: imager
description: two bands
diameter: 1 m
atmosphere: {str(atmosphere).lower()}
pixel_scale: 0.5 arcsec
bands:
  g: {{wavelength: 500 nm, zero_point: 25 mag, extinction: 0.2 mag, exposure: 10 s}}
  i: {{wavelength: 1000 nm, zero_point: 24 mag, extinction: 0.1 mag, exposure: 10 s}}
detector: {{gain: 2 e-/ct, read_noise: 3 e-, bias: 30 ct, dark: 0.1 e-/s/px, saturation: 1000 e-,
  diffusion: 0.4 px}}
frame: {frame}
channels:
  seeing: {{range: [0.1 arcsec, 9 arcsec], law: constant, value: 1 arcsec}}
  seeing_scatter: {{range: [0, 1], law: constant, value: 0.2}}
  outer_scale: {{range: [1 m, 99 m], law: constant, value: 25 m}}
  airmass: {{range: [1, 3], law: constant, value: 2}}
  transparency: {{range: [0, 1], law: constant, value: 0.5}}
  exptime: {{range: [1 s, 1000 s], law: constant, value: 40 s}}
  sky_brightness: {{range: [15 mag/arcsec2, 25 mag/arcsec2], law: constant, value: 20 mag/arcsec2}}
{channels}""",
            "toy.yaml",
        )
    )


def state_of(imager: Imager):
    return imager.state(jnp.asarray(imager.draw_exposures(0, 1)[0]))


def test_raw_frame():
    state = state_of(toy("{epochs: 1}"))
    throughput = 0.5 * 10 ** (-0.4 * np.array([0.2, 0.1]))
    assert state.gain == pytest.approx([2, 2])
    # a source of zero_point magnitude gives one count, that is two electrons, in 40 s
    electrons = 10 ** (-0.4 * (np.asarray(state.zero_point, float) - [25, 24])) * throughput * 40
    assert electrons == pytest.approx([2, 2], rel=1e-5)
    # sky is what the detector sees: neither cloud nor extinction dims it again
    assert state.sky * state.gain == pytest.approx(10 ** (0.4 * np.array([5, 4])) * 0.25 * 40, rel=1e-5)
    assert state.dark == pytest.approx([4, 4])
    assert state.read_noise == pytest.approx([6, 6])  # four exposures of 10 s
    assert state.bias == pytest.approx([120, 120])
    assert state.saturation == pytest.approx([2120, 2120])  # the full well above the bias


def test_calibrated_frame_with_gaps():
    state = state_of(toy("{zero_point: 25 mag, coverage: 0.8, epochs: 1}"))
    assert state.zero_point == pytest.approx(25 + 2.5 * np.log10([40, 40]))
    throughput = 0.5 * 10 ** (-0.4 * np.array([0.2, 0.1]))
    # magnitude m: 40 x 10^(-0.4 (m - 25)) counts, and throughput x 0.8 x 40 s x 10^(-0.4 (m - Z)) electrons
    assert state.gain == pytest.approx(throughput * 0.8 * 10 ** (-0.4 * np.array([0, 1])), rel=1e-5)
    assert state.sky * state.gain == pytest.approx(10 ** (0.4 * np.array([5, 4])) * 0.25 * 32, rel=1e-5)
    assert state.dark == pytest.approx([3.2, 3.2])
    assert state.read_noise == pytest.approx(3 * np.sqrt([3.2, 3.2]))
    assert np.all(state.bias == 0)
    assert state.saturation * state.gain == pytest.approx([3200, 3200], rel=1e-5)


def test_raw_frames_are_stored_in_16_bits():
    """Two exposures of CSST with 90,000 electrons each would be more; stacks are scaled and have no such end."""
    csst = state_of(load_instrument("csst"))
    assert csst.saturation == pytest.approx(np.full(7, 65535))
    assert csst.bias == pytest.approx([2000, 1000, 1000, 1000, 1000, 1000, 2000])
    stack = state_of(toy("{zero_point: 40 mag, epochs: 1}"))
    assert stack.saturation.min() > 65535


def test_fried_parameter():
    state = state_of(toy("{epochs: 1}"))
    zenith = 0.976 * 500e-9 * RADIAN  # 1 arcsec at 500 nm
    assert zenith == pytest.approx(0.1007, abs=1e-4)
    assert state.r0[:, 0] == pytest.approx(zenith * np.array([1, 2**1.2]) * 2**-0.6, rel=1e-5)
    assert state.outer_scale == pytest.approx(np.full((2, 1), 25.0))


def test_epochs_have_the_spread_that_telemetry_gives():
    state = state_of(toy("{epochs: 4}"))
    weight, ln = np.asarray(state.weight[0], float), np.log(np.asarray(state.r0[0], float))
    assert weight.sum() == pytest.approx(1, abs=1e-6)
    mean = (weight * ln).sum()
    assert mean == pytest.approx(np.log(0.976 * 500e-9 * RADIAN * 2**-0.6), abs=1e-5)
    assert np.sqrt((weight * (ln - mean) ** 2).sum()) == pytest.approx(0.2, rel=1e-4)
    assert (weight * (ln - mean) ** 4).sum() == pytest.approx(3 * 0.2**4, rel=1e-3)


def test_space():
    state = state_of(toy("{epochs: 1}", atmosphere=False))
    assert np.all(np.isinf(state.r0))
    assert np.all(np.isinf(state.outer_scale))


def test_jitter_and_aberrations():
    state = state_of(
        toy(
            "{epochs: 1}",
            """\
  jitter_rms: {range: [0 arcsec, 1 arcsec], law: constant, value: 0.3 arcsec}
  jitter_ellipticity: {range: [0, 1], law: constant, value: 0.6}
  jitter_angle: {range: [0 deg, 180 deg], law: constant, value: 30 deg}
  z4: {range: [-1 um, 1 um], law: constant, value: 120 nm}
  z5: {range: [-1 um, 1 um], law: constant, value: -0.05 um}
  offset_x: {per_band: true, range: [-1 arcsec, 1 arcsec], law: constant, value: {g: 0.1 arcsec, i: -0.2 arcsec}}
""",
        )
    )
    assert state.aberration == pytest.approx([120e-9, -50e-9])
    assert state.offset == pytest.approx(np.array([[0.1, 0], [-0.2, 0]]))
    xx, yy, xy = np.asarray(state.jitter[0], float)
    diffusion = (0.4 * 0.5) ** 2
    values, vectors = np.linalg.eigh([[xx - diffusion, xy], [xy, yy - diffusion]])
    assert values == pytest.approx([0.09 * 0.4, 0.09 * 1.6], rel=1e-5)  # mean 0.3^2, (a^2 - b^2) / (a^2 + b^2) = 0.6
    assert np.degrees(np.arctan2(*vectors[::-1, 1])) % 180 == pytest.approx(30, abs=1e-3)


def test_sky_residual_is_in_pixel_noises():
    channels = """\
  background: {range: [-1, 1], law: constant, value: 0.5}
  background_y: {range: [-1, 1], law: constant, value: -0.1}
"""
    state = state_of(toy("{epochs: 1}", channels))
    noise = np.sqrt(state.sky * state.gain + state.dark + state.read_noise**2) / state.gain
    assert state.sky_residual == pytest.approx(np.outer(noise, [0.5, 0, -0.1]), rel=1e-5)


@pytest.mark.parametrize("name", ["ps1", "csst"])
def test_state_is_batched_finite_and_float32(name):
    imager = load_instrument(name)
    rows = jnp.asarray(imager.draw_exposures(1, 200))
    batch = jax.jit(jax.vmap(imager.state))(rows)
    one = imager.state(rows[7])
    assert batch.batch_shape == (200,)
    for field in STATE_FIELDS:
        values = np.asarray(getattr(batch, field))
        assert values.dtype == np.float32
        assert np.all(np.isfinite(values)) or (name == "csst" and field in ("r0", "outer_scale"))
        assert values[7] == pytest.approx(np.asarray(getattr(one, field)), rel=1e-5, abs=1e-12)
    bands = len(imager.bands)
    assert batch.r0.shape == (200, bands, imager.config.frame.epochs)
    assert batch.jitter.shape == batch.sky_residual.shape == (200, bands, 3)
    assert batch.aberration.shape == (200, 8)
    determinant = batch.jitter[..., 0] * batch.jitter[..., 1] - batch.jitter[..., 2] ** 2
    assert np.all(determinant > 0)


def test_ps1_stacks_have_the_measured_noise():
    """5, 50, 95 % of the background noise of 474 stacks, counts per sqrt(second); the kernel takes a sixth of it."""
    imager = load_instrument("ps1")
    state = jax.vmap(imager.state)(jnp.asarray(imager.draw_exposures(2, 48000)))
    white = np.sqrt(state.sky * state.gain + state.dark + state.read_noise**2) / state.gain
    f = np.hypot(*np.meshgrid(*[(np.arange(200) + 0.5) / 400] * 2))
    edge = 1 / (1 + np.exp((f - 0.53) / 0.027))
    kept = np.array([np.mean(edge * np.exp(-4 * np.pi**2 * s**2 * f**2)) for s in np.linspace(0.1, 0.4, 61)])
    rms = white * np.sqrt(np.interp(np.asarray(state.resampling), np.linspace(0.1, 0.4, 61), kept))
    exptime = 10 ** (0.4 * (np.asarray(state.zero_point) - 25))
    found = np.percentile(rms / np.sqrt(exptime), [5, 50, 95], axis=0).T
    measured = np.array([[1.93, 2.54, 3.42], [2.42, 3.24, 4.78], [3.68, 4.58, 6.35]])
    assert found[:, 1] == pytest.approx(measured[:, 1], rel=0.05)
    assert found == pytest.approx(measured, rel=0.12)
