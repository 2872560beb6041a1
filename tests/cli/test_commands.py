"""Each command hands its arguments to its room and leaves what it promises. The rooms' own tests check the content."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from PIL import Image

from tests.cli.test_bad_telemetry import GOOD
from tests.data.fake import small
from tests.train.fake import FakeRecipe
from twin.cli import main


def test_simulate_says_what_is_new(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("twin.recipe.load_recipe", lambda name, overrides: small())
    command = ["simulate", "fake", "-o", "a.zarr", "-n", "30"]
    assert main(command) == 0
    assert "30 samples, 30 of them new" in capsys.readouterr().out
    assert main(command) == 0
    assert capsys.readouterr().out == "a.zarr: 30 samples, all written before\n"


def test_heal_by_another_kind_of_machine(
    folder: Path, written: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shard whose manifest is lost, beside shards that another machine made: only --mixed makes it again."""
    monkeypatch.setattr("twin.recipe.load_recipe", lambda name, overrides: small())
    monkeypatch.setattr("twin.data.manifest.platform.machine", lambda: "pdp11")
    shutil.copytree(written, "a.zarr")
    Path("a.zarr/manifest/000001.json").unlink()
    assert main(["verify", "a.zarr", "--heal", "fake"]) == 2
    assert "--mixed" in capsys.readouterr().err
    assert main(["verify", "a.zarr", "--heal", "fake", "--mixed"]) == 0
    assert "all as they were written" in capsys.readouterr().out


def test_verify(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(written)]) == 0
    out, err = capsys.readouterr()
    assert "30 samples in 3 shards" in out
    assert err == ""


def test_inspect_beside_has_the_rows_of_both(written: Path, folder: Path) -> None:
    assert main(["inspect", str(written), "-o", "one.png", "--per-class", "2"]) == 0
    assert main(["inspect", str(written), "-o", "two.png", "--per-class", "2", "--beside", str(written)]) == 0
    with Image.open("one.png") as one, Image.open("two.png") as two:
        assert two.width == one.width
        assert two.height > 1.8 * one.height


def test_psf(folder: Path) -> None:
    (folder / "t.csv").write_text(GOOD)
    assert main(["psf", "ps1", "--telemetry", "t.csv", "-o", "psf"]) == 0
    with fits.open(folder / "psf" / "psf.fits") as hdus:
        stamps = hdus[-1].data
        assert len(stamps) == 2  # an exposure a row
        np.testing.assert_allclose(stamps.sum(axis=(1, 2)), 1, atol=0.05)
    assert (folder / "psf" / "psf.png").stat().st_size > 10_000


def test_predict(trained: Path, folder: Path) -> None:
    from pyarrow import parquet

    shutil.copytree(trained, folder, dirs_exist_ok=True)
    assert main(["predict", "model", "sims.zarr", "-o", "c.parquet"]) == 0
    assert main(["predict", "model", "sims.zarr", "-o", "raw.parquet", "--calibration", "none"]) == 0
    table, raw = parquet.read_table("c.parquet"), parquet.read_table("raw.parquet")
    assert table.num_rows == 32
    assert table.schema.metadata[b"calibration"] == b"simulations"
    assert table.schema.metadata[b"calibrated_on"] == b"simulations of fake that no training reached"
    assert raw.schema.metadata[b"calibration"] == b"none"
    assert raw.column("lens_probability").equals(table.column("lens_probability"))


def test_evaluate_by_a_calibration(trained: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scores are those of the calibration that was asked for, and the report names it."""
    from twin.evaluate import config
    from twin.train.calibration import Calibration

    shutil.copytree(trained, folder, dirs_exist_ok=True)
    Calibration(share=1.0).save(folder / "model", "flat", "nothing at all")  # densities even in ln(separation)
    shipped = config.load("simulated").model_copy(update={"n": 100})
    monkeypatch.setattr(config, "load", lambda name: shipped)
    monkeypatch.setattr("twin.train.model.Model.recipe", FakeRecipe(size=20))
    widths = {}
    for name in ("none", "flat"):
        assert main(["evaluate", "model", "simulated", "-o", name, "--calibration", name]) == 0
        assert f"calibration: {name}" in (folder / name / "report.html").read_text()
        assert fits.getheader(folder / name / "catalogue.fits", 1)["CALIB"] == name
        table = QTable.read(folder / name / "catalogue.fits")
        widths[name] = np.asarray(table["separation_q840"] / table["separation_q160"])
    np.testing.assert_allclose(widths["flat"], (4.0 / 0.5) ** 0.68, rtol=1e-6)  # the head's outer edges
    assert np.ptp(widths["none"]) > 0.1  # without it every object has a width of its own
