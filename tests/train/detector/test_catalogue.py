"""Lists of sources from what is said of candidates, thresholds, coverage, residuals."""

from __future__ import annotations

import numpy as np
import pytest

from twin.train.detector import scores
from twin.train.detector.catalogue import Sources, expected_number, poisson_residual, sources
from twin.train.detector.model import Said
from twin.train.detector.network import MEASURED


def said(*placed: tuple[float, float, float]) -> Said:
    """One field; each (probability, x, y) of a candidate, after one that is none."""
    p = np.zeros((1, len(placed) + 1, 3), np.float32)
    p[..., 0] = 1
    mean, sigma = np.zeros((2, 1, len(placed) + 1, len(MEASURED)), np.float32)
    sigma += 0.2
    for k, (chance, x, y) in enumerate(placed, 1):
        p[0, k] = 0.75 * (1 - chance), chance, 0.25 * (1 - chance)
        mean[0, k, :3] = x, y, np.log(100.0)
    return Said(p, mean, sigma)


def test_candidates_become_sources() -> None:
    """The most probable first, those below the least left out; the number of them is the sum of probabilities."""
    found = sources(said((0.6, 9.4, 8.5), (0.95, 4.4, 20.2), (0.01, 3.0, 3.0)), 0)
    assert found.probability == pytest.approx([0.95, 0.6])
    assert found.artefact == pytest.approx([0.0125, 0.1])
    assert (found.x[1], found.y[1]) == pytest.approx((9.4, 8.5))
    assert np.exp(found.log_counts) == pytest.approx([100, 100])
    assert len(found.above(0.9)) == 1
    mean, sigma = expected_number(said((0.6, 8, 8), (0.5, 18, 18)))
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
