"""The JSON line of a benchmark."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("_report", Path(__file__).parents[2] / "benchmarks" / "_report.py")
assert _spec is not None
assert _spec.loader is not None
_report = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_report)
figure = _report.figure


def test_a_figure_without_a_peer(capsys: pytest.CaptureFixture[str]) -> None:
    figure("samples_per_second", 1834.5, "1/s")
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {
        "figure": "samples_per_second",
        "value": 1834.5,
        "unit": "1/s",
        "peer": None,
        "peer_value": None,
        "ratio": None,
    }


@pytest.mark.parametrize(("less_is_better", "ratio"), [(False, 0.25), (True, 4.0)])
def test_the_ratio_says_how_many_times_better(less_is_better: bool, ratio: float) -> None:
    assert figure("time", 2.0, "s", "galsim", 8.0, less_is_better=less_is_better)["ratio"] == ratio


@pytest.mark.parametrize(
    ("value", "peer", "peer_value"),
    [(float("nan"), None, None), (1.0, "galsim", None), (1.0, None, 2.0), (1.0, "galsim", 0.0)],
)
def test_what_is_no_measurement_is_refused(value: float, peer: str | None, peer_value: float | None) -> None:
    with pytest.raises(ValueError, match="rate: "):
        figure("rate", value, "1/s", peer, peer_value)
