"""Other detectors beside the network, each with as many false detections."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.train.detector.made_up import lit, psf_of
from tests.train.detector.test_catalogue import made
from twin.evaluate import config as benchmarks
from twin.evaluate.xray_fields import Field
from twin.evaluate.xray_peers import PEERS, against
from twin.train.detector.network import MEASURED

N, WIDE, SKY = 32, 0.5, 0.3


def fields(number: int) -> list[tuple[Field, Any, np.ndarray]]:
    """Fields with a source of 150 counts ("6 mCrab") and one of 12 ("0.6"); the network finds the former and makes one
    false detection in every second field."""
    rng, out = np.random.default_rng(1), []
    for k in range(number):
        x, y = np.array([8, 22.0]) + rng.uniform(-2, 2, 2), np.array([9, 20.0]) + rng.uniform(-2, 2, 2)
        mean = SKY + 150 * lit(x[0], y[0], N, 0.0, WIDE) + 12 * lit(x[1], y[1], N, 0.0, WIDE)
        one = Field(
            x, y, np.array([6.0, 0.6]), np.zeros((2, len(MEASURED))), np.zeros((0, 2)), 0.0, 1000.0, False,
            np.zeros((0, 2)), made([], []), rng.poisson(mean), psf_of(N, 0.0, WIDE), SKY, np.array([150.0, 12.0]),
            np.zeros(3), False,
        )  # fmt: skip
        out.append((one, made([], []), np.array([0, -1] if k % 2 else [0])))
    return out


def test_equal_false_detections() -> None:
    """The likelihood ratio finds what is bright and no detector more of what is faint than it; a network with
    more false ones raises what the others find."""
    pytest.importorskip("sep")
    config = benchmarks.load("ep-wxt-test")
    assert isinstance(config, benchmarks.XrayFields)
    recipe: Any = SimpleNamespace(
        pixel_scale=270.0, background_shape=np.ones((N, N), np.float32), spec={"frame": np.zeros((1, N, N))}
    )
    said: list[str] = []
    kept = fields(30)
    metrics = against(kept, recipe, config, said.append)
    assert all(any(line.startswith(f"{name}: ") and "15 false" in line for line in said) for name in PEERS)
    assert metrics["network_away_5-10_mCrab"].value == 1
    assert metrics["network_away_0.5-1_mCrab"].value == 0
    assert metrics["likelihood_away_5-10_mCrab"].value == 1
    faint = {name: metrics[f"{name}_away_0.5-1_mCrab"].value for name in PEERS}
    assert faint["likelihood"] >= max(faint["wavelet"], faint["sep"])
    loose = against([(one, found, np.append(of, [-1] * 4)) for one, found, of in kept], recipe, config, said.append)
    assert loose["likelihood_away_0.5-1_mCrab"].value >= faint["likelihood"]
    assert loose["wavelet_away_0.5-1_mCrab"].value > faint["wavelet"]
