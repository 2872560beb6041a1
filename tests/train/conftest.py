"""Fake recipes of two blobs, and one small trained model that the tests of models share."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from twin.train import Model, train

FAKE = Path(__file__).with_name("fake.py")
_spec = importlib.util.spec_from_file_location("train_fake", FAKE)
fake = importlib.util.module_from_spec(_spec)
sys.modules["train_fake"] = fake
_spec.loader.exec_module(fake)

TINY = {
    "samples": 64,
    "validation": 32,
    "batch": 8,
    "crop": 16,
    "network": {"widths": [8], "blocks": [0], "hidden": 8},
    "heads": {
        "lens": {"kind": "binary", "label": "label/lens"},
        "separation": {"kind": "binned", "label": "label/separation", "low": 0.5, "high": 4.0, "bins": 8},
    },
}


@pytest.fixture(scope="session")
def make_recipe():
    """A fake recipe; keyword arguments change its `train:` section."""
    return fake.FakeRecipe


@pytest.fixture(scope="session")
def tiny_recipe():
    """A fake recipe whose network is so small that compiling it is most of the work."""
    return lambda **train: fake.FakeRecipe(size=20, **(TINY | train))


@pytest.fixture(scope="session")
def trained(tmp_path_factory, make_recipe) -> Model:
    """A small network after 300 steps on 4,096 fakes."""
    return train(make_recipe(samples=4096, steps=300), tmp_path_factory.mktemp("train") / "model", progress=False)


@pytest.fixture
def model_copy(trained, tmp_path) -> Path:
    """A copy of the trained model's folder, to damage."""
    return Path(shutil.copytree(trained.folder, tmp_path / "model"))
