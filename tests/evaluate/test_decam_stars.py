"""Benchmark `decam-stars`: held-out stars are predicted as well as photons allow, and nothing leaks into the folds."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from tests.observatory.calibrate.made import catalogue, small
from twin.cli import main
from twin.evaluate import config as benchmarks
from twin.evaluate import decam_stars
from twin.observatory.calibrate.field import Prior
from twin.observatory.calibrate.folder import save
from twin.observatory.calibrate.stars import Cuts, read_stars
from twin.schema import UserError


def calibration(folder: Path, stars: bool = True) -> Path:
    folder.mkdir()
    about = {"use": {}, "stars": {"prior": asdict(Prior()), "cuts": asdict(Cuts())}} if stars else {"use": {}}
    save(folder, small(), about, {"jitter_plus": np.zeros(4)})
    return folder


@pytest.fixture(scope="module")
def protocol() -> benchmarks.DecamStars:
    found = benchmarks.load("decam-stars")
    assert isinstance(found, benchmarks.DecamStars)
    return found


@pytest.mark.slow
def test_stars_held_out_are_predicted(tmp_path: Path, protocol: benchmarks.DecamStars) -> None:
    """Stars that the twin made: residuals are near their photon noise, files are whole."""
    path, truth = catalogue(tmp_path)
    stars = read_stars(path, small())
    out = tmp_path / "out"
    (tmp_path / "data").mkdir()
    for name in ("made_z_catalog.csv", "made_z_header.txt"):
        (tmp_path / name).rename(tmp_path / "data" / name)
    shipped = protocol.model_copy(update={"catalogues": "*_catalog.csv"})
    found = decam_stars.judge(
        calibration(tmp_path / "c"), shipped, tmp_path / "data", out, out / "m.json", lambda t: None
    )
    document = json.loads((out / "m.json").read_text())
    assert document["benchmark"] == "decam-stars"
    assert document["n"] == found.n == len(stars) == 90
    assert document["counts"]["made_z: left out, saturated core"] == 1
    for component in ("e1", "e2", "size"):
        got = document["metrics"][f"{component}_rms_made_z"]
        floor = document["metrics"][f"{component}_photon_noise_made_z"]["value"]
        assert got["low"] < got["value"] < got["high"]
        assert 0.7 * floor < got["value"] < 1.5 * floor
        if component != "size":  # which hardly changes over this field
            assert got["value"] < document["metrics"][f"{component}_rms_constant_made_z"]["value"]
        assert document["metrics"][f"{component}_rms_worst"] == got
    assert {path.name for path in out.iterdir()} == {"report.html", "stars.parquet", "stars.fits", "m.json"}
    one = found.exposures[0]
    np.testing.assert_allclose(one.residual[:, :2], stars.shape[:, :2] - truth[:, :2], atol=0.02)


def test_a_held_out_star_says_nothing_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the shape of a held-out star, its prediction stays: only training stars reach the fit."""
    stars = read_stars(catalogue(tmp_path)[0], small())
    seen: list[np.ndarray] = []

    def predictions(stars: object, imager: object, prior: object, train: np.ndarray, physics: object) -> tuple:
        seen.append(train)
        mean = np.broadcast_to(stars.shape[train].mean(0), stars.shape.shape)  # type: ignore[attr-defined]
        return mean, mean, mean

    monkeypatch.setattr(decam_stars, "_predictions", predictions)
    plain = decam_stars.score(stars, small(), Prior(), 5, 512.0)
    assert [len(np.intersect1d(train, np.flatnonzero(plain.fold == k))) for k, train in enumerate(seen)] == [0] * 5
    shape = stars.shape.copy()
    shape[0, 0] += 0.3
    changed = decam_stars.score(replace(stars, shape=shape), small(), Prior(), 5, 512.0)
    same = plain.fold == plain.fold[0]
    moved = changed.residual[same, 0] - plain.residual[same, 0]
    np.testing.assert_allclose(moved[np.flatnonzero(same) == 0], 0.3)
    np.testing.assert_allclose(moved[np.flatnonzero(same) != 0], 0.0, atol=1e-12)


def test_mistakes(tmp_path: Path, protocol: benchmarks.DecamStars, capsys: pytest.CaptureFixture[str]) -> None:
    whole = calibration(tmp_path / "c")
    with pytest.raises(UserError, match="holds no catalogue"):
        decam_stars.run(whole, protocol, tmp_path)
    with pytest.raises(UserError, match="was made without --stars"):
        decam_stars.run(calibration(tmp_path / "d", stars=False), protocol, tmp_path)
    out = tmp_path / "out"
    assert main(["evaluate", str(tmp_path), "decam-stars", "-o", str(out), "--data", str(tmp_path)]) == 2
    assert "is missing: this is no folder that `twin calibrate` wrote" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.real
@pytest.mark.slow
def test_real_stars(real_data: Path, protocol: benchmarks.DecamStars) -> None:
    """One exposure by an instrument without a map of its field: the figures asked for are reached all the same."""
    path = real_data / protocol.folder / "D00572501_z_c01_catalog.csv.gz"
    stars = read_stars(path, small(), Cuts(**protocol.cuts.model_dump()))
    assert len(stars) > 120
    left = decam_stars.score(stars, small(), Prior(), protocol.folds, protocol.block).residual
    e1, e2, size = np.sqrt((left**2).mean(0))
    assert max(e1, e2) <= 0.005
    assert size <= 0.013
