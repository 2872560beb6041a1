"""docs/benchmarks.md names every benchmark and every figure, and no others."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for path in (ROOT / "benchmarks").glob("*.py") if not path.name.startswith("_"))
TABLE = (ROOT / "docs" / "benchmarks.md").read_text().partition("| file |")[2].partition("\n\n")[0]


def printed(path: Path) -> list[str]:
    """Regular expressions of the names of a file's figures: what a run fills in may be any word."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "figure":
            name = node.args[0]
            parts = name.values if isinstance(name, ast.JoinedStr) else [name]
            names.append("".join(re.escape(p.value) if isinstance(p, ast.Constant) else r"\w*" for p in parts))
    return names


def documented() -> dict[str, list[str]]:
    """Figures in the rows of each file."""
    found: dict[str, list[str]] = {}
    file = ""
    for row in TABLE.splitlines()[2:]:
        first, second, _ = (cell.strip() for cell in row.strip("|").split("|"))
        file = first.strip("`") or file
        found.setdefault(file, []).extend(re.findall(r"`(\w+)`", second))
    return found


def test_every_file_has_its_rows() -> None:
    assert sorted(documented()) == [path.name for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_figure_is_named(path: Path) -> None:
    there, named = printed(path), documented()[path.name]
    assert there
    assert [name for name in named if not any(re.fullmatch(one, name) for one in there)] == []
    assert [one for one in there if not any(re.fullmatch(one, name) for name in named)] == []
