"""Datasets of a NumPy recipe, and how to damage them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # fake is also imported by the child processes of these tests

import fake  # noqa: E402

from twin.data import simulate  # noqa: E402


@pytest.fixture
def recipe():
    """Shards of 12 samples of 8x8 pixels."""
    return fake.small()


@pytest.fixture(scope="session")
def _pristine(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pristine") / "x.zarr"
    simulate(fake.small(), path, 100, seed=3, progress=False)
    return path


@pytest.fixture
def dataset(tmp_path, _pristine) -> Path:
    """100 samples of `recipe` with seed 3: eight whole shards and one of 4. A copy of its own for every test."""
    return Path(shutil.copytree(_pristine, tmp_path / "x.zarr"))


@pytest.fixture
def flip():
    """Flip one bit of a file; `at` counts bytes from its start."""

    def change(path: Path, at: int) -> None:
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)

    return change
