"""The demo's chain, on two classes and a network of a few weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twin.evaluate import demo

TINY = (
    "classes={lens_quasar: 0.5, star: 0.5}",
    "frame.npix=48",
    "train.members=1",
    "train.samples=128",
    "train.validation=64",
    "train.batch=16",
    "train.steps=2",
    "train.network={widths: [8], blocks: [0], hidden: 8}",
)


def stamps(folder: Path) -> dict[str, int]:
    """When each file of the dataset and of the model was last written."""
    files = [p for name in ("sims.zarr", "model") for p in (folder / name).rglob("*") if p.is_file()]
    return {str(path): path.stat().st_mtime_ns for path in files}


@pytest.mark.slow
def test_the_chain_without_real_observations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TWIN_REAL_DATA", raising=False)
    monkeypatch.setattr(demo, "SMALL", TINY)
    monkeypatch.setattr(demo, "SAMPLES", 64)
    result = demo.run(tmp_path)
    out = " ".join(capsys.readouterr().out.split())
    assert "SIMULATIONS held out from training" in out
    assert "lens_auc" in out
    assert f"{result.metrics['lens_auc'].value:.3f}" in out
    assert "auc_matched" not in out  # no claim about the sky without observations of it
    written = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert written["metrics"]["lens_auc"]["value"] == result.metrics["lens_auc"].value
    assert (tmp_path / "sheet.png").stat().st_size > 1000

    before = stamps(tmp_path)
    again = demo.run(tmp_path)  # what stands is kept, and judged the same
    assert stamps(tmp_path) == before
    assert again.metrics["lens_auc"] == result.metrics["lens_auc"]
