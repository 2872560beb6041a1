"""Lists of sources from what is said of subtiles, thresholds, coverage, residuals."""

from __future__ import annotations

import numpy as np
import pytest

from twin.train.detector import scores
from twin.train.detector.catalogue import Sources, counts_in_subtiles, poisson_residual, sources
from twin.train.detector.fields import turned
from twin.train.detector.front import CHANNELS
from twin.train.detector.model import Said
from twin.train.detector.network import MEASURED, SOURCE, SUBTILE, fold, laws, place, unfold

HALF = 16


def said(*placed: tuple[int, int, float, float, float]) -> Said:
    """One field; each (row, column, probability, x, y) of a subtile."""
    p = np.zeros((1, HALF, HALF, 3), np.float32)
    p[..., 0] = 1
    mean, sigma = np.zeros((2, 1, HALF, HALF, len(MEASURED)), np.float32)
    sigma += 0.2
    for row, column, chance, x, y in placed:
        p[0, row, column, :2] = 1 - chance, chance
        middle = SUBTILE * np.array([column, row]) + (SUBTILE - 1) / 2
        mean[0, row, column, :2] = np.array([x, y]) - middle
        mean[0, row, column, 2] = np.log(100.0)
    return Said(p, mean, sigma)


def test_subtiles_that_share_a_source_add_up() -> None:
    found = sources(said((4, 4, 0.6, 9.4, 8.5), (4, 5, 0.35, 9.6, 8.6), (10, 2, 0.5, 4.4, 20.2)), 0)
    assert len(found) == 2
    assert found.probability == pytest.approx([0.95, 0.5])
    assert (found.x[0], found.y[0]) == pytest.approx((9.4, 8.5))
    assert np.exp(found.log_counts) == pytest.approx([100, 100])
    assert len(found.above(0.9)) == 1
    apart = sources(said((4, 4, 0.6, 8.1, 8.5), (4, 5, 0.35, 11.4, 8.6)), 0)
    assert apart.probability == pytest.approx([0.6, 0.35])
    mean, sigma = counts_in_subtiles(said((4, 4, 0.6, 8, 8), (9, 9, 0.5, 18, 18)))
    assert (mean[0], sigma[0]) == pytest.approx((1.1, np.sqrt(0.24 + 0.25)))


def made(x: list[float], p: list[float], error: float = 0.1) -> Sources:
    n, same = len(x), np.zeros(len(x))
    columns = dict.fromkeys(Sources.__dataclass_fields__, same)
    err = {name: np.full(n, error) for name in columns if name.endswith("_err")}
    return Sources(**(columns | err | {"x": np.array(x), "y": same + 5.0, "probability": np.array(p)}))


def test_matching_takes_each_true_source_once() -> None:
    m = scores.match(made([10.0, 10.3, 20.0], [0.9, 0.8, 0.7]), np.array([10.2, 20.5]), np.array([5.0, 5.0]))
    assert m.of.tolist() == [0, -1, 1]
    assert scores.match(made([20.0], [0.7]), np.array([20.8]), np.array([5.0])).of.tolist() == [-1]


def test_the_threshold_keeps_the_list_pure() -> None:
    """9 of 10 true above 0.5, and nothing but false ones below."""
    p = [0.99 - 0.01 * k for k in range(100)]
    found = made([10.0 * k for k in range(100)], p)
    x = np.array([10.0 * k for k in range(50) if k % 10 != 9])
    m = [scores.match(found, x, np.full(len(x), 5.0))]
    assert scores.threshold(m, 0.9) == pytest.approx(p[49])
    assert scores.threshold(m, 1.0) == pytest.approx(p[8])
    assert scores.threshold([scores.match(found, np.array([1e6]), np.array([5.0]))], 0.9) == 1.0


def test_widths_show_standard_deviations_that_are_too_small() -> None:
    rng = np.random.default_rng(1)
    truth = np.zeros((1, 2000, len(MEASURED)))
    truth[0, :, 0], truth[0, :, 1] = 10 * np.arange(2000), 5.0
    x = (10 * np.arange(2000) + rng.normal(0, 0.1, 2000)).tolist()
    for error, factor in ((0.1, 1.0), (0.05, 2.0)):
        m = [scores.match(made(x, [0.9] * 2000, error), truth[0, :, 0], truth[0, :, 1])]
        assert scores.widths(m, truth, 0.5)["x"] == pytest.approx(factor, rel=0.1)
    held = scores.table(m, truth, np.ones((1, 2000), bool), 0.5)
    assert held["purity"] == [2000, 2000]
    assert held["coverage_68_95"]["x"][0] < 0.5


def test_residuals_of_the_right_model_are_normal() -> None:
    rng = np.random.default_rng(2)
    model = rng.uniform(0.5, 2, (256, 256))
    counts = rng.poisson(model)
    assert poisson_residual(counts, model).std() == pytest.approx(1, abs=0.05)
    assert poisson_residual(counts, 0.8 * model).mean() > 0.8


def test_turned_fields_keep_their_sources() -> None:
    """A bin marked at each source's place stays there through all eight ways, as does what its channels say."""
    n, rng = 8, np.random.default_rng(3)
    at = rng.integers(0, n, (2, 1, 2))
    maps, kind = np.zeros((2, n, n, len(CHANNELS)), np.float16), np.zeros((2, n // 2, n // 2), np.uint8)
    for k in range(2):
        x, y = at[k, 0]
        maps[k, y, x, 0], maps[k, y, x, CHANNELS.index("bright_x")] = 1, 0.25
        kind[k, y // 2, x // 2] = SOURCE
    sources_of = np.full((2, 1, len(MEASURED)), 0.0, np.float32)
    sources_of[..., :2] = at + np.array([0.25, 0.0])
    for way in range(8):
        out = turned({"maps": maps, "kind": kind, "sources": sources_of}, way)
        for k in range(2):
            y, x = np.argwhere(out["maps"][k, :, :, 0] == 1)[0]
            offset = [float(out["maps"][k, y, x, CHANNELS.index(name)]) for name in ("bright_x", "bright_y")]
            assert out["sources"][k, 0, :2] == pytest.approx([x + offset[0], y + offset[1]])
            row, column = place(out["sources"][k], n // 2, n // 2)
            assert out["kind"][k, row[0], column[0]] == SOURCE


def test_folding_and_laws() -> None:
    x = np.arange(2 * 8 * 8 * 3.0).reshape(2, 8, 8, 3)
    assert np.array_equal(unfold(fold(x, 4), 4), x)
    assert np.array_equal(fold(x, 2)[0, 1, 0].reshape(2, 2, 3), x[0, 2:4, 0:2])
    log_p, _, sigma = laws(np.full((1, 1, 1, 3 + 2 * len(MEASURED)), -50.0, np.float32))
    assert np.exp(log_p).sum() == pytest.approx(1)
    assert np.all(np.asarray(sigma) > 0)
