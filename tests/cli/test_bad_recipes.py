"""A user's mistake ends in exit code 2 and one line that names the file, key or option, and leaves nothing behind.

Here: recipes and `--set`.
"""

from __future__ import annotations

import re
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from tests.cli.cases import Case, check

SHIPPED = (Path(str(files("twin"))) / "configs" / "recipes" / "ps1-lens.yaml").read_text()


def recipe(pattern: str, new: str, *words: str) -> Case:
    """The shipped recipe with the first match replaced; the message gives the line."""
    found = re.search(pattern, SHIPPED, re.MULTILINE)
    assert found is not None
    line = SHIPPED.count("\n", 0, found.start()) + 1 + new.count("\n")
    changed = SHIPPED[: found.start()] + new + SHIPPED[found.end() :]
    return Case("simulate mine.yaml -o a.zarr -n 8", (f"mine.yaml:{line}:", *words), {"mine.yaml": changed})


def setting(assignment: str, *words: str) -> Case:
    return Case(f"simulate ps1-lens -o a.zarr -n 8 --set '{assignment}'", words)


RECIPES = {
    "unknown recipe": Case("simulate ps1-lense -o a.zarr -n 8", ("ps1-lense", 'did you mean "ps1-lens"')),
    "no such file": Case("train gone/mine.yaml -o model", ("gone/mine.yaml",)),
    "a folder": Case("simulate mine -o a.zarr -n 8", ("mine",), {"mine/readme": "hello"}),
    "no text": Case("simulate mine.yaml -o a.zarr -n 8", ("mine.yaml",), {"mine.yaml": bytes(range(256))}),
    "a list": Case("simulate mine.yaml -o a.zarr -n 8", ("mine.yaml", "mapping"), {"mine.yaml": "- a\n- b\n"}),
    "unknown key": recipe("^bands:", "band:", "band", 'did you mean "bands"'),
    "unknown instrument": recipe("^instrument: ps1", "instrument: ps2", "instrument", 'did you mean "ps1"'),
    "unknown band": recipe(r"^bands: .*", "bands: [g, r, y]", "bands", "y"),
    "a band that stands twice": recipe(r"^bands: .*", "bands: [g, r, r]", "bands", "twice"),
    "no bands": recipe(r"^bands: .*", "bands: []", "bands"),
    "unknown class": recipe("^  lens_quasar:", "  lens_quasr:", "classes", "lens_quasr"),
    "negative share": recipe("^  lens_quasar: .*", "  lens_quasar: -0.3", "classes", "lens_quasar"),
    "unknown law": recipe("{law: lognormal,", "{law: lognormle,", "prior.theta_E", 'did you mean "lognormal"'),
    "unknown key of a law": recipe("median: ", "medium: ", "prior.theta_E.medium", 'did you mean "median"'),
    "negative sigma": recipe(r"sigma: [0-9.]+", "sigma: -0.5", "prior.theta_E.sigma", "greater than 0"),
    "NaN in a prior": recipe(r"sigma: [0-9.]+", "sigma: .nan", "prior.theta_E.sigma"),
    "text for a number": recipe(r"sigma: [0-9.]+", "sigma: wide", "prior.theta_E.sigma", "number"),
    "a range that runs backwards": recipe(r"range: \[[^]]*\]", "range: [3.0, 0.3]", "prior.theta_E", "range"),
    "no such telemetry table": Case(
        "simulate ps1-lens -o a.zarr -n 8 --set telemetry=gone.ecsv", ("gone.ecsv", "no such file")
    ),
    "set: unknown key": setting("prior.theta_e.sigma=1", "prior.theta_e", 'did you mean "theta_E"'),
    "set: no value": setting("prior.theta_E.sigma", "--set", "key=value"),
    "set: text for a number": setting("frame.npix=many", "--set", "frame.npix", "number"),
    "set: negative sigma": setting("prior.theta_E.sigma=-1", "--set", "prior.theta_E.sigma"),
    "set: no YAML": setting("bands=[g", "--set"),
    "set: unknown key of training": Case(
        "train ps1-lens -o model --set 'train={membres: 2}'", ("train.membres", 'did you mean "members"')
    ),
    "set: no members": Case("train ps1-lens -o model --set 'train={members: 0}'", ("train.members", "at least 1")),
    "set: unknown centre band": Case("train ps1-lens -o model --set 'train={centre_band: z}'", ("train.centre_band",)),
    "set: a crop larger than the frames": Case(
        "train ps1-lens -o model --set train.crop=80", ("train.crop", "64x64", "82")
    ),
    "set: a label that the frames lack": Case(
        "train ps1-lens -o model --set train.heads.lens.label=label/lense",
        ("train.heads.lens.label", 'did you mean "label/lens"'),
    ),
    "set: fewer classes than the recipe's": Case(
        "train ps1-lens -o model --set train.heads.class.classes=2", ("train.heads.class.classes", "8 classes")
    ),
    "a seed of more than 32 bits": Case("train ps1-lens -o model --seed 4294967296", ("--seed",)),
    "heal: another recipe": Case("verify good.zarr --heal ps1-lens", ("good.zarr", "another recipe")),
    "simulate: another recipe's dataset": Case(
        "simulate ps1-lens -o good.zarr -n 30 --seed 1", ("good.zarr", "recipe")
    ),
    "train: another recipe's dataset": Case("train ps1-lens -o model --data good.zarr", ("good.zarr", "recipe")),
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes(name: str, folder: Path, written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(written, folder / "good.zarr")
    check(RECIPES[name], folder, capsys)
