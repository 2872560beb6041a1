"""docs/telemetry.md names every channel as it is, every map and form; its YAML is a valid map, its Python runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from twin.observatory.keywords import Form, TimeSource, list_maps, load_map
from twin.observatory.kinds import KINDS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text()


def documented() -> dict[str, tuple[str, ...]]:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", DOCUMENT, re.MULTILINE)
    return {name: tuple(rest.split(" | ")) for name, rest in rows}


def test_every_channel_is_documented_as_it_is() -> None:
    table = documented()
    assert list(table) == list(KINDS)
    for name, kind in KINDS.items():
        low, high = kind.limits
        neutral = "NaN" if kind.neutral != kind.neutral else f"{kind.neutral:g}"
        possible = "any" if low == -float("inf") else f"{low:g} to {high:g}"
        expected = (kind.unit or "1", neutral, possible, kind.meaning, kind.drives or "(an observation)")
        assert table[name] == expected, name


def test_maps_and_forms_are_named() -> None:
    for word in (*list_maps(), *get_args(Form)):
        assert f"`{word}`" in DOCUMENT, word
    forms = re.search(r"form: mjd\} *# (.*)", DOCUMENT)
    assert forms is not None
    assert set(re.findall(r"[a-z]+", forms[1].split("(")[0])) == set(
        get_args(TimeSource.model_fields["form"].annotation)
    )


def test_the_example_is_a_valid_map(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    assert example is not None
    (tmp_path / "mine.yaml").write_text(example[1])
    assert set(load_map(tmp_path / "mine.yaml").channels) <= set(KINDS)


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    example = re.search(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    assert example is not None
    (tmp_path / "nights.csv").write_text("time,seeing\n2016-01-01T05:00:00,0.9\n2016-01-01T05:10:00,1.0\n")
    monkeypatch.chdir(tmp_path)
    found: dict[str, object] = {}
    exec(example[1], found)  # noqa: S102
    assert list(found["seeing"]) == [0.9, 1.0]  # type: ignore[call-overload]
    assert capsys.readouterr().out == "generic\n"
