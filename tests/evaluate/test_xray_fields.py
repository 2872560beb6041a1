"""The benchmark of detectors on simulated fields: what matches, what is away from arms, what counts."""

from __future__ import annotations

import numpy as np
import pytest

from tests.train.detector.made_up import lit, psf_of
from tests.train.detector.test_catalogue import made
from twin.evaluate import config as benchmarks
from twin.evaluate.image_spread import ImageSpread
from twin.evaluate.xray_fields import ARTEFACT, Field, Tally, away, peaks
from twin.evaluate.xray_fields_page import picture, render
from twin.metrics import Estimate
from twin.train.detector.network import MEASURED
from twin.train.detector.scores import pairs

WIDTH = 4.5


def one(x: list[float], y: list[float], bright: list[tuple[float, float]], roll: float = 0.0) -> Field:
    n = len(x)
    return Field(
        np.array(x), np.array(y), np.full(n, 5.0), np.zeros((n, len(MEASURED))), np.array(bright).reshape(-1, 2), roll,
        1000.0, False, np.zeros((0, 2)), made([], []), np.zeros((8, 8)), np.zeros((3, 3)), 0.3, np.ones(n),
        np.zeros(3), False,
    )  # fmt: skip


def test_distance_from_arms() -> None:
    """Along the nearer of the pores' axes, which turn with the roll."""
    got = away(np.array([30.0, 50.0, 30.0]), np.array([40.0, 60.0, 40.5]), one([], [], [(10.0, 40.0)]), WIDTH)
    assert got == pytest.approx([0, 20 * WIDTH, 0.5 * WIDTH])
    assert away(np.array([10.1]), np.array([40.0]), one([], [], [(10.0, 40.0)]), WIDTH)[0] == np.inf  # its own arm
    turned = one([], [], [(10.0, 40.0)], 3.0)
    along = 20 * np.array([np.cos(np.radians(3)), np.sin(np.radians(3))])
    assert away(10 + along[:1], 40 + along[1:], turned, WIDTH) == pytest.approx([0], abs=1e-9)
    assert away(np.array([30.0]), np.array([40.0]), turned, WIDTH)[0] > WIDTH
    assert away(np.array([1.0]), np.array([1.0]), one([], [], []), WIDTH)[0] == np.inf


def test_matching() -> None:
    x, y = np.array([10.0, 20.0]), np.array([10.0, 20.0])
    of = pairs(np.array([10.5, 10.1, 20.0]), np.array([10.0, 10.0, 21.0]), x, y, 0.67)
    assert of.tolist() == [0, -1, -1]
    assert pairs(np.array([5.0]), np.array([5.0]), x[:0], y[:0], 1.0).tolist() == [-1]


def test_peaks_that_a_plain_test_would_list() -> None:
    score = np.zeros((16, 16))
    score[3, 5], score[3, 6], score[10, 12], score[0, 0] = 9, 8, ARTEFACT - 0.1, 6
    found = peaks(score)
    assert found.tolist() == [[0, 0], [5, 3]]


def test_tallies_are_shares_of_all() -> None:
    tally = Tally()
    tally.add("a", np.array([True, False]))
    tally.add("a", np.array([True, True]))
    tally.add("b", np.zeros(0, bool))
    metrics = tally.metrics()
    assert metrics["a"].value == pytest.approx(0.75)
    assert metrics["a"].low < 0.75 < metrics["a"].high
    assert "b" not in metrics


def test_the_likelihood_ratio_knows_the_same_psf() -> None:
    """Images of sources and correlations agree with each other and with the PSF in closed form."""
    n = 32
    spread = ImageSpread(psf_of(n, 0.0, 0.6), n)
    x, y, counts = np.array([7.25, 20.0, 31.0]), np.array([9.5, 3.0, 0.0]), np.array([10.0, 2.0, 5.0])
    images = spread.images(x, y)
    for k in range(3):
        wanted = lit(x[k], y[k], n, 0.0, 0.6)
        assert np.abs(images[k] - wanted).max() < 1e-2 * wanted.max()
    assert spread.expected(x, y, counts) == pytest.approx(np.tensordot(counts, images, 1))
    rows, columns = np.array([9, 3]), np.array([7, 20])
    seen, total = spread.at(x, y, rows, columns)
    assert seen[0, 0] == pytest.approx(images[0, 9, 7])
    assert total == pytest.approx(images.sum((1, 2)))
    weight = np.random.default_rng(1).uniform(0, 1, (n, n))
    assert spread.correlate(weight)[3, 20] == pytest.approx((images[1] * weight).sum(), rel=1e-4)
    assert spread.correlate_square(weight)[3, 20] == pytest.approx((images[1] ** 2 * weight).sum(), rel=1e-3)


def test_the_page() -> None:
    config = benchmarks.load("ep-wxt-test")
    assert isinstance(config, benchmarks.XrayFields)
    rng = np.random.default_rng(2)
    from twin.evaluate.catalogue import Column

    table = {"mcrab": 10 ** rng.uniform(-0.3, 2, 300), "arm_distance": rng.uniform(0, 60, 300),
             "detected": rng.integers(0, 2, 300), "outside": rng.integers(0, 2, 300)}  # fmt: skip
    columns = [Column(name, value, "", "", "") for name, value in table.items()]
    metrics = {"network_away_1-2_mCrab": Estimate(0.5, 0.4, 0.6)}
    page = render(config, metrics, {"fields": 3}, columns, {"model": "<m>"})
    assert "network_away_1-2_mCrab</td><td>0.5000" in page
    assert "&lt;m&gt;" in page
    assert picture(config, metrics, columns)[:4] == b"\x89PNG"
