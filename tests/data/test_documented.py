"""docs/dataset.md names the arrays that datasets hold, all of them and as they are; its examples run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.data.fake import small
from twin.data import simulate
from twin.data.ingest import ps1_layout
from twin.io.layout import DatasetSpec
from twin.recipe import load_recipe

DOCUMENT = (Path(__file__).parents[2] / "docs" / "dataset.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)


def documented() -> dict[str, set[tuple[tuple[str, ...], str]]]:
    """Array name -> the (axes, dtype) that the table gives it; a row that begins with "or" goes on with the last."""
    found: dict[str, set[tuple[tuple[str, ...], str]]] = {}
    name = ""
    for first, second in re.findall(r"^\| (`[^|]+|or) \| ([^|]+) \|", DOCUMENT, re.MULTILINE):
        name = first.strip("` ") if first != "or" else name
        shapes, dtype = second.rsplit(", ", 1)
        for axes in re.findall(r"\(([^)]*)\)", shapes):
            found.setdefault(name, set()).add((tuple(axes.split(", ")), dtype.strip()))
    return found


@pytest.fixture(scope="module")
def specs() -> dict[str, DatasetSpec]:
    recipes = {name: load_recipe(name).spec for name in ("ps1-lens", "csst-lens")}
    return recipes | {"ps1-sled": ps1_layout.dataset_spec()}


def test_every_array_is_documented_as_it_is(specs: dict[str, DatasetSpec]) -> None:
    table = documented()
    for source, spec in specs.items():
        for array in spec.arrays:
            assert array.name in table, f"{source}: {array.name} is not documented"
            assert (("sample", *array.dims), array.dtype) in table[array.name], f"{source}: {array.name}"


def test_every_documented_array_exists(specs: dict[str, DatasetSpec]) -> None:
    written = {array.name for spec in specs.values() for array in spec.arrays}
    assert set(documented()) == written
    assert len(written) > 10
    names = {name for spec in specs.values() for array in spec.arrays for name in array.coords}
    assert names == {"band", "channel", "channel_unit", "parameter", "parameter_unit"}
    assert all(f"`{name}`" in DOCUMENT for name in names)


def test_which_arrays_only_some_datasets_have(specs: dict[str, DatasetSpec]) -> None:
    have = {source: {array.name for array in spec.arrays} for source, spec in specs.items()}
    assert [source for source in have if "noise/sky" in have[source]] == ["csst-lens"]
    assert [source for source in have if "valid" in have[source]] == ["ps1-sled"]
    assert [source for source in have if "truth" not in have[source]] == ["ps1-sled"]
    assert all("telemetry" in names for names in have.values())


def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xarray")
    simulate(small(), tmp_path / "sims.zarr", 256, seed=3)
    monkeypatch.chdir(tmp_path)
    found: dict[str, object] = {}
    for example in EXAMPLES:
        exec(example, found)  # noqa: S102
    assert len(EXAMPLES) == 2
    frames, data = found["counts"], found["data"]
    assert isinstance(frames, np.ndarray)
    assert frames[7] == pytest.approx(data.read("frame", 7, 8)[0] * 2.5)  # type: ignore[attr-defined]
    assert found["lenses"].shape[0] == data.read("label/lens", 0, 256).sum()  # type: ignore[attr-defined]
