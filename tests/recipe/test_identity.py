"""What a recipe's sha256 follows, and what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.recipe.small import CONFIGS, SMALL, TELEMETRY, write, write_table
from twin.recipe import Recipe, load_recipe


def changed(*overrides: str) -> Recipe:
    return load_recipe("ps1-lens", (*SMALL, *overrides))


@pytest.mark.parametrize(
    "override",
    [
        "prior.theta_E.median=0.96",
        "prior.shear.range=[-0.25, 0.24]",
        "prior.third_star.p=0.16",
        "classes.star=0.8",
        "classes={star: 1}",
        "classes={lens_quasar: 0.3, star: 0.7, galaxy: 0.1}",
        "bands=[r, g, i]",
        "bands=[g, r]",
        "frame.npix=18",
        "frame.subsamples=2",
        "frame.pad=3",
        "name=mine",
        "instrument=csst",
    ],
)
def test_it_follows_what_frames_depend_on(recipe: Recipe, override: str) -> None:
    assert changed(override).sha256 != recipe.sha256


@pytest.mark.parametrize(
    "override",
    [
        "train.steps=3",
        "train={}",
        "description=another",
        "prior.theta_E.median=0.950",
        "frame.factor=1",  # a default, said aloud
        "classes={star: 0.70, lens_quasar: 0.30}",  # in another order
        "bands=['g', 'r', 'i']",
    ],
)
def test_it_does_not_follow_training_words_and_spelling(recipe: Recipe, override: str) -> None:
    assert changed(override).sha256 == recipe.sha256


def test_order_of_classes_is_not_that_of_the_file(recipe: Recipe) -> None:
    """Two recipes with one identity make the same samples: index and share of a class are the same in both."""
    other = changed("classes={star: 0.7, lens_quasar: 0.3}")
    assert list(other.config.classes) != list(recipe.config.classes)
    assert other.classes == recipe.classes == ("lens_quasar", "star")
    assert other.truth_names == recipe.truth_names
    assert other.class_of(1, 2, 50).tolist() == recipe.class_of(1, 2, 50).tolist()


def test_it_is_the_same_from_a_file(recipe: Recipe, folder: Path) -> None:
    """Comments, order of the keys and place of the file are no part of it."""
    path = write(folder / "sub" / "mine.yaml")
    value = yaml.safe_load(path.read_text())
    turned = {key: value[key] for key in reversed(value)} | {"prior": dict(reversed(value["prior"].items()))}
    path.write_text("# a comment\n" + yaml.safe_dump(turned, sort_keys=False))
    assert load_recipe(path).sha256 == recipe.sha256


def test_it_follows_the_instrument(recipe: Recipe, folder: Path) -> None:
    text = (CONFIGS / "instruments" / "ps1.yaml").read_text()
    (folder / "mine.yaml").write_text(text)
    assert changed("instrument=mine.yaml").sha256 == recipe.sha256
    (folder / "mine.yaml").write_text(f"# a comment\n{text}")
    assert changed("instrument=mine.yaml").sha256 == recipe.sha256
    assert "read_noise: 6 e-" in text
    (folder / "mine.yaml").write_text(text.replace("read_noise: 6 e-", "read_noise: 7 e-"))
    assert changed("instrument=mine.yaml").sha256 != recipe.sha256


def test_it_follows_the_values_of_the_telemetry_table(recipe: Recipe, folder: Path) -> None:
    write_table(folder / "nights.csv")
    write_table(folder / "sub" / "others.csv")
    one = changed("telemetry=nights.csv")
    assert one.sha256 != recipe.sha256
    assert changed("telemetry=sub/others.csv").sha256 == one.sha256
    write_table(folder / "nights.csv", TELEMETRY.replace("1.30", "1.31"))
    assert changed("telemetry=nights.csv").sha256 != one.sha256
    write_table(folder / "nights.csv", TELEMETRY.rsplit("\n", 2)[0] + "\n")  # without the last exposure
    assert changed("telemetry=nights.csv").sha256 != one.sha256


def test_files_that_a_recipe_names_lie_beside_it(folder: Path) -> None:
    """Or, named on the command line, where the user is; a copy of the recipe elsewhere still finds them."""
    write_table(folder / "here" / "nights.csv")
    (folder / "here" / "mine.yaml").write_text((CONFIGS / "instruments" / "ps1.yaml").read_text())
    beside = load_recipe(write(folder / "here" / "recipe.yaml", telemetry="nights.csv", instrument="mine.yaml"))
    said = changed("telemetry=here/nights.csv", "instrument=here/mine.yaml")
    assert beside.sha256 == said.sha256
    (folder / "model").mkdir()
    for recipe in (beside, said):
        (folder / "model" / "recipe.yaml").write_text(yaml.safe_dump(recipe.node.value))
        assert load_recipe(folder / "model" / "recipe.yaml").sha256 == recipe.sha256
