"""Gains, non-linearity, crosstalk, bias, overscan and converter, each by itself, against numbers worked out by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.observatory.detector.common import WELL, detector, state
from twin.observatory.detector import electronics, expose_single
from twin.observatory.detector.place import Place, at

TWO = {"columns": 2, "gain": ["1.8 e-/ct", "2.3 e-/ct"], "read_noise": ["3 e-", "9 e-"], "offset": ["0 ct", "40 ct"]}
LEFT, RIGHT = slice(0, 128), slice(128, 256)


def across_the_border() -> Place:
    """256 x 256 pixels, the border of two amplifiers in the middle."""
    return at(np.array([[128, 0]]), 256, 256)


def frame(key: jax.Array, level: float, config, **values: object) -> np.ndarray:  # noqa: ANN001
    given = state(sky=level, **values)
    return np.asarray(expose_single(key, jnp.zeros((1, 256, 256)), given, config, across_the_border()), float)[0]


def test_each_amplifier_has_its_gain_noise_and_offset(key: jax.Array) -> None:
    config, electrons = detector(amplifiers=TWO), 2 * 500.0
    found = frame(key, 500.0, config)
    for half, gain, noise, offset in ((LEFT, 1.8, 3, 0), (RIGHT, 2.3, 9, 40)):
        part, n = found[:, half], found[:, half].size
        variance = (electrons + noise**2) / gain**2 + 1 / 12
        assert part.mean() == pytest.approx(300 + offset + electrons / gain, abs=4 * np.sqrt(variance / n))
        assert part.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / n))
    dark = frame(key, 0.0, config)
    assert dark[:, LEFT].std() == pytest.approx(np.sqrt(9 / 1.8**2 + 1 / 12), rel=0.02)
    assert dark[:, RIGHT].std() == pytest.approx(np.sqrt(81 / 2.3**2 + 1 / 12), rel=0.02)


def test_saturation_is_each_amplifiers_own(key: jax.Array) -> None:
    found = frame(key, 1e6, detector(amplifiers=TWO))
    assert found[:, LEFT].max() == round(WELL / 1.8 + 300)
    assert found[:, RIGHT].max() == round(WELL / 2.3 + 300)


def test_nonlinearity_is_the_polynomial() -> None:
    q = np.array([0.0, 100.0, 3e4, WELL])
    found = np.asarray(electronics.bend(jnp.asarray(q), jnp.asarray(WELL), (-0.02, 0.005)))
    share = q / WELL
    assert found == pytest.approx(q * (1 - 0.02 * share + 0.005 * share**2), rel=1e-6)


def test_nonlinearity_reaches_the_counts(key: jax.Array) -> None:
    level = 12000.0
    found = frame(key, level, detector(nonlinearity=(-0.03,)))
    q = 2 * level
    assert found.mean() == pytest.approx(300 + q * (1 - 0.03 * q / WELL) / 2, abs=1.5)


def test_crosstalk_is_the_matrix_times_the_mirrored_signal(key: jax.Array) -> None:
    """Outward amplifiers: a star's ghost stands at the mirrored column of the other one."""
    matrix = [[0, 2e-3], [-1e-3, 0]]
    config = detector(amplifiers={"columns": 2, "serial": "outward", "crosstalk": matrix})
    signal = np.full((1, 100, 512), 50.0)
    signal[0, 20, 100], signal[0, 70, 500] = 20000.0, 10000.0
    found = np.asarray(electronics.crosstalk(jnp.asarray(signal), jnp.full(1, 50.0), at([[0, 0]], 100, 512), config))[0]
    truth = signal[0].copy()
    mirrored = signal[0][:, ::-1]
    truth[:, :256] += 2e-3 * mirrored[:, :256]
    truth[:, 256:] -= 1e-3 * mirrored[:, 256:]
    assert found == pytest.approx(truth, abs=2e-3)
    # a cut-out sees ghosts of stars that it shows; outside it there is sky
    cut = np.asarray(
        electronics.crosstalk(jnp.asarray(signal[:, 10:90, 90:420]), jnp.full(1, 50.0), at([[90, 10]], 80, 330), config)
    )[0]
    assert cut[:, : 256 - 90] == pytest.approx(truth[10:90, 90:256], abs=2e-3)
    assert cut[:, 256 - 90 :] == pytest.approx(truth[10:90, 256:420], abs=2e-3)
    assert cut[10, 411 - 90] == pytest.approx(50 - 1e-3 * 20000, abs=2e-3)
    assert truth[70, 11] == pytest.approx(50 + 2e-3 * 10000)


def test_rows_of_the_bias_and_their_overscan(key: jax.Array) -> None:
    """Rows share a level; the overscan takes it off up to its own noise, and its offsets too."""
    pattern = {"row": "6 ct", "row_correlation": 0.5}
    plain = detector(bias_pattern=pattern, amplifiers=TWO)
    fixed = detector(bias_pattern=pattern, amplifiers=TWO, overscan={"columns": 50, "subtract": True})
    raw, done = (frame(key, 0.0, config, read_noise=5.0) for config in (plain, fixed))
    rows = raw[:, LEFT].mean(1)
    assert rows.std() == pytest.approx(6, rel=0.2)
    # of 50 virtual pixels, of 128 real ones, and of whole counts, whose rounding a row shares
    error = np.sqrt((3 / 1.8) ** 2 * (1 / 50 + 1 / 128) + 1 / 12)
    assert done[:, LEFT].mean(1).std() == pytest.approx(error, rel=0.2)
    assert done[:, LEFT].mean() == pytest.approx(300, abs=0.1)
    assert done[:, RIGHT].mean() == pytest.approx(300, abs=0.3)
    assert raw[:, RIGHT].mean() - raw[:, LEFT].mean() == pytest.approx(40, abs=0.3)


def test_overscan_pixels_are_bias_and_read_noise(key: jax.Array) -> None:
    config = detector(amplifiers=TWO, overscan={"columns": 400})
    place, rows = across_the_border(), jnp.linspace(-5, 5, 256)[None]
    strip = np.asarray(electronics.overscan(key, state(), rows, place, config), float)[0]
    assert strip.shape == (256, 400)
    assert strip.mean(1) - 300 == pytest.approx(np.linspace(-5, 5, 256), abs=0.5)
    assert (strip - strip.mean(1, keepdims=True)).std() == pytest.approx(np.hypot(3 / 1.8, np.sqrt(1 / 12)), rel=0.02)


def test_the_converter_has_so_many_bits(key: jax.Array) -> None:
    found = frame(key, 3000.0, detector(adc={"bits": 11}))
    assert np.unique(found).tolist() == [2047]
    two = frame(key, 3000.0, detector(adc={"bits": 11}), reads=2.0, bias=600.0)
    assert two.max() > 3000  # the sum of two reads
    dark = frame(key, 100.0, detector(adc={"bits": 11}))
    assert np.all(dark == np.round(dark))


def test_sums_of_reads_have_wells_and_noise_of_as_many(key: jax.Array) -> None:
    """Two reads: bias twice, noise by the root of two, non-linear at twice the charge."""
    config = detector(amplifiers=TWO, nonlinearity=(-0.03,))
    found = frame(key, 12000.0, config, reads=2.0, bias=600.0, read_noise=5 * 2**0.5, saturation=WELL + 600)
    q = 24000.0
    assert found[:, LEFT].mean() == pytest.approx(600 + q * (1 - 0.03 * q / (2 * WELL)) / 1.8, abs=1.5)
    dark = frame(key, 0.0, detector(amplifiers=TWO), reads=2.0, bias=600.0)
    assert dark[:, RIGHT].std() == pytest.approx(np.sqrt(2 * 81 / 2.3**2 + 1 / 12), rel=0.02)
    assert dark[:, RIGHT].mean() == pytest.approx(600 + 80, abs=0.3)
