"""`twin calibrate`: a whole folder or nothing, and one line for every mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.observatory.calibrate.made import catalogue, exposures, instrument_file, write_csv
from twin.cli import main
from twin.observatory.calibrate import Calibration, calibrate
from twin.observatory.calibrate.exposures import held_out, night_of


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    table = write_csv(folder / "fwhm.csv", exposures(12, 25))
    return {"instrument": instrument_file(folder), "telemetry": table, "stars": catalogue(folder)[0]}


@pytest.mark.slow
def test_a_folder_of_all_that_was_learnt(inputs: dict[str, Path], tmp_path: Path) -> None:
    said: list[str] = []
    out = tmp_path / "calibration"
    found = calibrate(inputs["instrument"], out, inputs["telemetry"], [inputs["stars"]], draws=20, warmup=40,
                      say=said.append)  # fmt: skip
    assert {path.name for path in out.iterdir()} == {
        "calibration.json", "posterior.npz", "instrument.yaml", "report.html", "report.png",
    }  # fmt: skip
    assert Calibration.load(out).sha256 == found.sha256
    night = night_of(exposures(12, 25)["mjd_obs"])
    assert found.about["held_out_exposures"] == held_out(night).sum() > 0
    assert found.about["exposures"] + found.about["held_out_exposures"] == 300
    assert found.about["stars"]["exposures"][0]["left_out"]["saturated core"] == 1
    assert {"jitter_plus", "jitter_cross"} <= set(found.about["use"]["static"])
    assert len(found.about["use"]["closure"]) == 2
    assert any("saturated core: 1 (95)" in line for line in said), "what is left out is named"
    assert any("draws of 2 chains" in line for line in said), "progress is shown"
    page = (out / "report.html").read_text()
    assert "made_z" in page
    assert "airmass_exponent" in page
    assert "http" not in page.replace("http-equiv", ""), "self-contained"


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main(["calibrate", *map(str, words)]) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    return said


def test_mistakes_are_one_line_and_leave_nothing(
    inputs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, small = tmp_path / "out", inputs["instrument"]
    table = exposures(3, 10)
    given = {"seeing": table.pop("seeing")}
    no_fwhm = write_csv(tmp_path / "no.csv", table)
    missing = write_csv(tmp_path / "missing.csv", table | {"seeing": np.full(30, -999.0)})
    unit = write_csv(tmp_path / "unit.csv", table | {"fwhm [nm]": given["seeing"]})
    flagged = tmp_path / "flagged_z_catalog.csv"
    flagged.write_text(inputs["stars"].read_text().replace(",0.0,", ",2.0,"))
    empty = tmp_path / "empty_z_catalog.csv"
    empty.write_text("")
    for words, said in (
        ((small, "-o", out), "give --telemetry"),
        ((small, "--telemetry", no_fwhm, "-o", out), "no column gives the measured FWHM"),
        ((small, "--telemetry", missing, "-o", out), "no row is of use"),
        ((small, "--telemetry", unit, "-o", out), "not one of arcsec"),
        ((small, "--telemetry", tmp_path / "none.csv", "-o", out), "no such file"),
        ((small, "--stars", flagged, "-o", out), "usable stars"),
        ((small, "--stars", empty, "-o", out), "empty"),
        ((small, "--stars", no_fwhm, "-o", out), "the column is missing"),
        ((small, "--stars", inputs["stars"], "--forecast", "-o", out), "--forecast: needs --telemetry"),
        (("csst", "--telemetry", inputs["telemetry"], "-o", out), "has no atmosphere"),
        (("decm", "--telemetry", inputs["telemetry"], "-o", out), 'did you mean "decam"'),
        ((small, "--telemetry", inputs["telemetry"], "-o", tmp_path), "exists already"),
    ):
        assert said in run(capsys, *words)
        assert not out.exists()
        assert not list(tmp_path.glob(".*part"))


def test_too_few_exposures(inputs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = write_csv(tmp_path / "few.csv", exposures(1, 12))
    said = run(capsys, inputs["instrument"], "--telemetry", few, "-o", tmp_path / "out")
    assert "exposures to fit, 20 are needed" in said
    assert not (tmp_path / "out").exists()
