"""Image motion from accelerometers against closed forms and SciPy, and against what was measured at the VLT."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from twin.observatory import shake
from twin.schema import UserError

RATE = 1000.0
SENSORS = ("M3a", "M3b", "M2", "empty", "M1+y", "M1-x", "M1-y", "M1+x", "M4", "M5", "M6", "M7")


def test_a_sine_is_displaced_by_its_acceleration_over_omega_squared():
    time = np.arange(10000) / RATE
    with jax.enable_x64():
        series = 3e-3 * np.sin(2 * np.pi * 18.0 * time + 0.3) + 0.02 + 0.05 * time
        frequency, psd = shake.displacement_psd(jnp.asarray(series), RATE)
        rms = shake.band_rms(frequency, psd, 5, 400)
    assert float(rms) == pytest.approx(3e-3 / (2 * np.pi * 18.0) ** 2 / 2**0.5, rel=2e-3)


def test_spectrum_is_scipys(rng):
    series = rng.standard_normal(7000)
    frequency, psd = shake.displacement_psd(jnp.asarray(series, jnp.float32), RATE)
    f, p = scipy.signal.welch(series, RATE, window="hann", nperseg=2000, detrend="linear")
    assert frequency == pytest.approx(f)
    assert np.asarray(psd)[1:-1] == pytest.approx((p[1:-1] / (2 * np.pi * f[1:-1]) ** 4), rel=2e-3)


def test_sensors_that_move_together_cancel_or_add(rng):
    """Two mirrors tilt alike: levers of opposite sign leave nothing, of one sign twice the motion; x follows y."""
    with jax.enable_x64():
        series = jnp.asarray(np.tile(rng.standard_normal(8192), (2, 1)))
        single = shake.motion_covariance(series[:1], RATE, jnp.asarray([[1.0], [0.5]]))
        none = shake.motion_covariance(series, RATE, jnp.asarray([[1.0, -1.0], [0.5, -0.5]]))
        double = shake.motion_covariance(series, RATE, jnp.asarray([[1.0, 1.0], [0.5, 0.5]]))
        single, none, double = (np.asarray(v) for v in (single, none, double))
        rms = shake.band_rms(*shake.displacement_psd(series[0], RATE), 5, 500)
    assert single == pytest.approx(np.array([1, 0.25, 0.5]) * float(rms) ** 2, rel=1e-6)
    assert np.abs(none).max() < 1e-9 * single[0]
    assert double == pytest.approx(4 * np.asarray(single), rel=1e-9)


def test_covariances_and_channels_say_the_same(rng):
    rms, ellipticity, angle = jnp.float32(0.2), jnp.float32(0.6), jnp.deg2rad(30.0)
    covariance = np.asarray(shake.elliptical(rms, ellipticity, angle))
    values = np.linalg.eigvalsh([[covariance[0], covariance[2]], [covariance[2], covariance[1]]])
    assert values == pytest.approx([0.04 * 0.4, 0.04 * 1.6], rel=1e-5)
    channels = shake.jitter_channels(covariance)
    found = [float(channels[name]) for name in ("jitter_rms", "jitter_ellipticity", "jitter_angle")]
    assert found == pytest.approx([0.2, 0.6, 30.0], rel=1e-5)
    assert shake.jitter_channels(np.zeros(3))["jitter_ellipticity"] == 0


def test_wind_goes_as_its_square():
    assert shake.wind_shake(jnp.float32(20.0), 0.05) == pytest.approx(0.2, rel=1e-6)
    away = shake.wind_shake(jnp.float32(10.0), 0.05, 0.3, jnp.asarray([0.0, 60.0, 180.0]))
    assert away == pytest.approx([0.05, 0.05 * 0.65, 0.015], rel=1e-5)
    assert jax.grad(lambda v: shake.wind_shake(v, 0.05))(jnp.float32(0.0)) == 0


def test_reader_names_what_is_wrong(tmp_path, rng):
    path = tmp_path / "accelerometers.npz"
    good = rng.standard_normal((3, 64))
    bad = good.copy()
    bad[1, 5] = np.nan
    dead = good.copy()
    dead[2] = 0.25
    np.savez(path, good=good, bad=bad, dead=dead, text=np.array(["a", "b"]), objects=np.array([{}], object))
    names = ("A", "", "C")
    read = shake.read_accelerometers(path, "good", RATE, names, 0.01)
    assert read.sensors == ("A", "C")
    assert read.series == pytest.approx(0.01 * good[[0, 2]])
    for key, sensors, message in (
        ("lost", names, r"accelerometers.npz: lost: has no such array \(it has good"),
        ("bad", ("A", "B", "C"), "bad: sensor B has a value that is no number"),
        ("dead", names, "dead: sensor C gives the same value throughout"),
        ("good", ("A", "B"), "must be numbers .* for 2 sensors"),
        ("text", names, "must be numbers"),
        ("objects", names, "no NumPy archive of plain arrays"),
    ):
        with pytest.raises(UserError, match=message):
            shake.read_accelerometers(path, key, RATE, sensors)
    with pytest.raises(UserError, match="no such file"):
        shake.read_accelerometers(tmp_path / "none.npz", "good", RATE, names)
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match="cut.npz"):
        shake.read_accelerometers(tmp_path / "cut.npz", "good", RATE, names)
    with pytest.raises(ValueError, match="no spectrum"):
        shake.displacement_psd(jnp.zeros(4), RATE)


@pytest.mark.real
def test_mirrors_of_the_vlt_move_as_was_measured(real_data):
    """UT1 at 00:00, 5 to 400 Hz: M3a 125 nm, M2 10, M1 53 to 79, M4 90, M5 103, M7 94 (volts: 0.01 m/s^2 each).

    Ten seconds: with the length of a segment the figures move by 10 %, M2's, rounded to 10, by 25 %.
    """
    path = real_data / "telemetry" / "vlt_vibration" / "ut1_accel_2023-01-13_5x12x10000_1kHz.npz"
    read = shake.read_accelerometers(path, "000000", RATE, SENSORS, 0.01)
    with jax.enable_x64():
        frequency, psd = shake.displacement_psd(jnp.asarray(read.series), RATE, 2.048)
        rms = dict(zip(read.sensors, np.asarray(shake.band_rms(frequency, psd, 5, 400)) * 1e9, strict=True))
    for sensor, nm in (("M3a", 125), ("M4", 90), ("M5", 103), ("M7", 94)):
        assert rms[sensor] == pytest.approx(nm, rel=0.08), rms
    assert rms["M2"] == pytest.approx(10, rel=0.15)
    m1 = [rms[name] for name in ("M1+y", "M1-x", "M1-y", "M1+x")]
    assert min(m1) == pytest.approx(53, rel=0.05)
    assert max(m1) == pytest.approx(79, rel=0.05)
