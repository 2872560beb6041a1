"""An empty folder to run commands in, and datasets and a model that are in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.fake import small
from tests.train.fake import FakeRecipe
from twin.data import simulate
from twin.train import train


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TWIN_REAL_DATA", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset of three shards."""
    path = tmp_path_factory.mktemp("written") / "good.zarr"
    simulate(small(), path, 30, seed=1, progress=False)
    return path


NETWORK = {"widths": [8], "blocks": [0], "hidden": 8}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of two bands (two steps of training) and frames that it could predict."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = FakeRecipe(size=20, samples=64, validation=32, batch=8, steps=2, crop=16, network=NETWORK)
    train(recipe, folder / "model", progress=False)
    simulate(recipe, folder / "sims.zarr", 32, progress=False)
    return folder
