"""What installing the package promises."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import twin

ROOT = Path(__file__).parents[1]


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert citation is not None
    assert project["version"] == twin.__version__ == citation[1]


def test_the_digital_twins_names_are_re_exported() -> None:
    from twin.observatory import psf
    from twin.observatory.state import ImagerState

    assert twin.State is ImagerState
    assert twin.psf is psf
    with pytest.raises(AttributeError, match="no attribute 'telescope'"):
        _ = twin.telescope  # type: ignore[attr-defined]


def test_importing_the_package_imports_nothing_else() -> None:
    program = "import sys; before = set(sys.modules); import twin; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "jax" not in done.stdout
    assert "numpy" not in done.stdout


def test_constraints_pin_every_dependency_and_name_no_place() -> None:
    """Every direct dependency has one exact version; nothing points to a machine or a host."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(r for e in project["optional-dependencies"].values() for r in e)]
    names = {re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-") for requirement in wanted}  # type: ignore[index]
    assert names - pinned == set()


def test_configs_travel_with_the_package() -> None:
    """Each shipped config matches a package-data pattern of pyproject.toml."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["twin"]
    shipped = {path for pattern in patterns for path in (ROOT / "twin").glob(pattern)}
    configs = {path for path in (ROOT / "twin" / "configs").rglob("*") if path.is_file()}
    assert configs
    assert configs <= shipped
