"""A small recipe of two classes that every test of this room shares: compiled once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recipe.small import SMALL
from twin.recipe import Recipe, load_recipe


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Stars and lensed quasars, 16 pixels a side, from drawn nights."""
    return load_recipe("ps1-lens", SMALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path
