"""Maps of a detector: fixed by its serial number, the same for every frame that shows a pixel, of the stated law."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.observatory.detector.common import detector
from twin.observatory.detector import maps
from twin.observatory.detector.place import Place, amplifier_values, at, draw, mirror, transfers
from twin.schema import UserError

EFFECTS = {
    "flat_field": {"prnu": 0.012, "dead": 0.002},
    "dark_pattern": {"sigma": 0.3, "hot": 0.01, "hot_factor": 80, "hot_sigma": 0.5},
    "bias_pattern": {"pixel": "1.5 ct", "column": "0.7 ct"},
}
MAPS = (maps.response, maps.dark_factor, maps.bias_pattern)


def whole() -> Place:
    return at(np.zeros((1, 2), int), 256, 512)


@pytest.mark.parametrize("draw_map", MAPS)
def test_a_pixel_is_the_same_in_every_frame(draw_map) -> None:  # noqa: ANN001
    config = detector(**EFFECTS)
    full = np.asarray(draw_map(whole(), config))[0]
    corners = np.array([[0, 0], [37, 5], [400, 200]])
    cut = np.asarray(jax.jit(lambda c: draw_map(at(c, 40, 50), config))(corners))
    for (x, y), part in zip(corners, cut, strict=True):
        assert part == pytest.approx(full[y : y + 40, x : x + 50], rel=1e-5, abs=1e-6)
    other = np.asarray(draw_map(whole(), detector(serial=1, **EFFECTS)))[0]
    assert abs(np.corrcoef(full.ravel(), other.ravel())[0, 1]) < 0.02
    assert np.mean(full == other) < 0.01


def test_response_and_dead_pixels() -> None:
    config = detector(**EFFECTS)
    found, dead = (np.asarray(f(whole(), config))[0] for f in (maps.response, maps.dead))
    assert np.all(found[dead] == 0)
    assert dead.sum() == pytest.approx(0.002 * dead.size, abs=4 * np.sqrt(0.002 * dead.size))
    assert stats.kstest((found[~dead] - 1) / 0.012, "norm").pvalue > 1e-3
    for axis in (0, 1):  # neighbours know nothing of each other
        z = np.where(dead, 0, found - 1)
        assert abs(np.mean(z * np.roll(z, 1, axis)) / z.var()) < 4 / np.sqrt(z.size)


def test_dark_current_and_hot_pixels() -> None:
    config = detector(**EFFECTS)
    found, hot = (np.asarray(f(whole(), config))[0] for f in (maps.dark_factor, maps.hot))
    assert hot.sum() == pytest.approx(0.01 * hot.size, abs=4 * np.sqrt(0.01 * hot.size))
    assert found[~hot].mean() == pytest.approx(1, abs=0.005)
    assert stats.kstest(np.log(found[~hot]) / 0.3 + 0.15, "norm").pvalue > 1e-3
    assert stats.kstest(np.log(found[hot] / 80) / 0.5, "norm").pvalue > 1e-3


def test_bias_has_columns_and_pixels() -> None:
    found = np.asarray(maps.bias_pattern(whole(), detector(**EFFECTS)))[0]
    columns = found.mean(0)
    assert columns.std() == pytest.approx(np.hypot(0.7, 1.5 / 16), rel=0.15)
    assert (found - columns).std() == pytest.approx(1.5, rel=0.02)
    assert found.mean(1).std() < 0.15


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_rows_are_an_autoregression(key: jax.Array, rho: float) -> None:
    config = detector(bias_pattern={"row": "2 ct", "row_correlation": rho})
    levels = np.asarray(maps.row_levels(jax.random.normal(key, (20_000, 30)), config))
    covariance = np.cov(levels.T)
    lag = np.abs(np.subtract.outer(np.arange(30), np.arange(30)))
    assert covariance == pytest.approx(4 * np.where(lag, rho**lag, 1.0), abs=0.2)


def test_amplifiers_lie_where_they_are_said_to() -> None:
    config = detector(amplifiers={"columns": 4, "rows": 2, "serial": "outward"})
    values = np.asarray(amplifier_values(tuple(range(8)), whole(), config))[0]
    assert np.array_equal(values, np.kron(np.arange(8).reshape(2, 4), np.ones((128, 128))))
    assert np.array_equal(np.asarray(amplifier_values(tuple(range(8)), at(np.array([[250, 120]]), 20, 20), config))[0],
                          values[120:140, 250:270])  # fmt: skip
    serial, parallel = (np.asarray(v)[0] for v in transfers(whole(), config))
    assert serial[[0, 127, 128, 255, 256, 383, 384, 511]].tolist() == [1, 128, 1, 128, -128, -1, -128, -1]
    assert parallel[[0, 127, 128, 255]].tolist() == [1, 128, -128, -1]


def test_pixels_read_at_one_moment() -> None:
    """In each amplifier the one as many transfers away, in both directions."""
    config = detector(amplifiers={"columns": 4, "rows": 2, "serial": "outward"})
    place = at(np.array([[100, 30]]), 20, 40)
    serial, parallel = (np.abs(np.asarray(v)[0]) for v in transfers(place, config))
    for amplifier in range(8):
        other = mirror(place, config, amplifier)
        x, y = np.asarray(other.x)[0], np.asarray(other.y)[0]
        assert np.all(x // 128 == amplifier % 4)
        assert np.all(y // 128 == amplifier // 4)
        theirs = (np.abs(np.asarray(v)[0]) for v in transfers(Place(other.x, other.y), config))
        assert all(np.array_equal(a, b) for a, b in zip(theirs, (serial, parallel), strict=True))


def test_where_frames_lie(key: jax.Array) -> None:
    config, shape = detector(), (3, 64, 32)
    corners = jax.vmap(lambda k: (lambda p: jnp.stack([p.x[:, 0], p.y[:, 0]], -1))(draw(k, shape, config)))
    found = np.asarray(corners(jax.random.split(key, 3000)))
    assert found.shape == (3000, 3, 2)
    assert found.min() == 0
    assert found.max((0, 1)).tolist() == [512 - 32, 256 - 64]
    assert stats.kstest(found[:, 0, 0] / 480.5, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(found[:, 0, 0], found[:, 1, 0])[0, 1]) < 0.08  # bands are exposures of their own
    fixed = draw(key, shape, detector(position=(17, 90)))
    assert np.asarray(fixed.x)[:, 0].tolist() == [17] * 3
    assert np.asarray(fixed.y)[:, -1].tolist() == [90 + 63] * 3
    for config, side in ((detector(), 600), (detector(position=(500, 0)), 64)):
        with pytest.raises(UserError, match="do not fit on 512 x 256"):
            draw(key, (1, side, side), config)
