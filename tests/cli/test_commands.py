"""Each command hands its arguments to its room and leaves what it promises. The rooms' own tests check the content."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.test_bad_telemetry import GOOD
from twin.cli import main


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
    from astropy.io import fits

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
    table = parquet.read_table("c.parquet")
    assert table.num_rows == 32
