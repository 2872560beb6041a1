"""A mistake in a recipe's YAML, or in a file that it names, is one line: file, line, key and what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.recipe.small import CONFIGS, write, write_table
from twin.recipe import load_recipe
from twin.schema import UserError

LAW = "{law: normal, mean: 1.0, sigma: 0.1}"


def line_of(path: Path, *keys: str) -> int:
    """Line of a key, as a person would look for it: each key after its parent."""
    lines, line = [text.strip() for text in path.read_text().splitlines()], 0
    for key in keys:  # none: the whole document, which begins in its first line
        line = next(k for k in range(line, len(lines)) if lines[k] == f"- {key}" or lines[k].startswith(f"{key}:"))
    return line + 1


# what is changed, where the message must point, what it must say
Change = Callable[[dict], object]
MISTAKES: dict[str, tuple[Change, tuple[str, ...], str]] = {
    "unknown key": (lambda v: v.update(bandz=["g"]), ("bandz",), 'unknown key; did you mean "bands"?'),
    "unknown key of the frame": (lambda v: v["frame"].update(npx=16), ("frame", "npx"), 'did you mean "npix"'),
    "too small a frame": (lambda v: v["frame"].update(npix=7), ("frame", "npix"), "at least 8, not 7"),
    "unknown class": (lambda v: v["classes"].update(sta=1), ("classes", "sta"), 'unknown class; did you mean "star"?'),
    "negative share": (lambda v: v["classes"].update(star=-0.1), ("classes", "star"), "at least 0, not -0.1"),
    "share that is no number": (lambda v: v["classes"].update(star=float("nan")), ("classes", "star"), "not nan"),
    "endless share": (lambda v: v["classes"].update(star=float("inf")), ("classes", "star"), "not inf"),
    "shares of 0": (lambda v: v.update(classes={"star": 0, "blend": 0}), ("classes",), "add up to 0"),
    "no classes": (lambda v: v.update(classes={}), ("classes",), "add up to 0"),
    "unknown law": (
        lambda v: v["prior"]["shear"].update(law="gauss"), ("prior", "shear"), "must be one of uniform, loguniform,",
    ),
    "unknown site": (
        lambda v: v["prior"].update(source_magnitude=yaml.safe_load(LAW)), ("prior", "source_magnitude"),
        'unknown key; did you mean "source_mag"?',
    ),
    "sigma 0": (lambda v: v["prior"]["shear"].update(sigma=0), ("prior", "shear", "sigma"), "greater than 0"),
    "negative sigma": (lambda v: v["prior"]["theta_E"].update(sigma=-1), ("prior", "theta_E", "sigma"), "not -1"),
    "nan": (lambda v: v["prior"]["shear"].update(mean=float("nan")), ("prior", "shear", "mean"), "finite"),
    "a unit where none belongs": (
        lambda v: v["prior"]["theta_E"].update(median="0.9 arcsec"), ("prior", "theta_E", "median"), "must be a number",
    ),
    "a range of one": (
        lambda v: v["prior"]["shear"].update(range=[0.1]), ("prior", "shear", "range", "1"), "is missing",
    ),
    "a range in the tail": (
        lambda v: v["prior"]["quasar_mag"].update(range=[29, 30]), ("prior", "quasar_mag"), "holds 2e-16 of the law",
    ),
    "probability 2": (lambda v: v["prior"]["m_dwarf"].update(p=2), ("prior", "m_dwarf", "p"), "at most 1"),
    "sizes below 0": (
        lambda v: v["prior"].update(source_radius=yaml.safe_load(LAW) | {"sigma": 1.0}), ("prior", "source_radius"),
        "reaches from -4.4 to 6.4, outside 0.001 to 100 arcsec",
    ),
    "a size for a chance": (
        lambda v: v["prior"].update(field_star=yaml.safe_load(LAW)), ("prior", "field_star"), "the law normal does not",
    ),
    "missing law": (lambda v: v["prior"].pop("z_quasar"), ("prior",), "'lens_quasar' needs a law for 'z_quasar'"),
    "unknown instrument": (lambda v: v.update(instrument="ps2"), ("instrument",), 'did you mean "ps1"'),
    "unknown band": (lambda v: v.update(bands=["g", "y"]), ("bands", "y"), "has no band 'y'"),
    "a band twice": (lambda v: v.update(bands=["g", "r", "g"]), ("bands",), "twice"),
    "no bands": (lambda v: v.update(bands=[]), ("bands",), "at least 1"),
    "no name": (lambda v: v.pop("name"), ("name",), "is missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_of_the_recipe(name: str, folder: Path) -> None:
    change, place, words = MISTAKES[name]
    path = write(folder / "mine.yaml")
    value = yaml.safe_load(path.read_text())
    change(value)
    path.write_text(yaml.safe_dump(value, sort_keys=False))
    with pytest.raises(UserError) as caught:
        load_recipe("mine.yaml")
    message = str(caught.value)
    assert "\n" not in message
    assert words in message
    key = ".".join(place) if place[0] != "bands" or len(place) == 1 else "bands.1"
    where = place if words != "is missing" else place[:-1]  # what is missing has no line: its parent has
    assert message.startswith(f"mine.yaml:{line_of(path, *where)}: {key}: "), message


INSTRUMENT = (CONFIGS / "instruments" / "ps1.yaml").read_text()
IN_INSTRUMENT = {
    "wrong unit": ("pixel_scale: 0.25 arcsec", "pixel_scale: 0.25 s", "pixel_scale", "not one of arcsec"),
    "no unit": ("diameter: 1.8 m", "diameter: 1.8", "diameter", "has no unit"),
    "unknown unit": ("read_noise: 6 e-", "read_noise: 6 electrons", "detector.read_noise", "unknown unit"),
    "negative noise": ("read_noise: 6 e-", "read_noise: -6 e-", "detector.read_noise", "at least 0"),
    "unknown key": ("obscuration:", "obscurated:", "obscurated", 'did you mean "obscuration"'),
}


@pytest.mark.parametrize("name", IN_INSTRUMENT)
def test_mistakes_of_the_instrument(name: str, folder: Path) -> None:
    old, new, key, words = IN_INSTRUMENT[name]
    assert old in INSTRUMENT
    (folder / "mine.yaml").write_text(INSTRUMENT.replace(old, new))
    line = INSTRUMENT[: INSTRUMENT.index(old)].count("\n") + 1
    recipe = write(folder / "recipe.yaml", instrument="mine.yaml")
    with pytest.raises(UserError) as caught:
        load_recipe(recipe)
    assert str(caught.value).startswith(f"{folder / 'mine.yaml'}:{line}: {key}: ")
    assert words in str(caught.value)


def test_mistakes_of_the_telemetry(folder: Path) -> None:
    recipe = write(folder / "recipe.yaml", telemetry="nights.csv")
    with pytest.raises(UserError, match=r"nights\.csv: no such file"):
        load_recipe(recipe)
    for rows, words in (("1.1,0.5,19.6\n", r"nights\.csv.*airmass.*outside 1 to 3"), ("", r"nights\.csv: .*")):
        write_table(folder / "nights.csv", f"seeing_r,airmass,sky_brightness_r\narcsec,,mag/arcsec2\n{rows}")
        with pytest.raises(UserError, match=words):
            load_recipe(recipe)


def test_mistakes_of_the_command_line(folder: Path) -> None:
    for override, words in (
        ("prior.theta_E.sigma=-1", "--set: prior.theta_E.sigma: must be greater than 0"),
        ("classes.str=1", '--set: classes.str: unknown class; did you mean "star"?'),
        ("prior.theta_E.sigma=wide", "--set: prior.theta_E.sigma: must be a number"),
        ("telemetry=gone.csv", f"{folder / 'gone.csv'}: no such file"),
    ):
        with pytest.raises(UserError) as caught:
            load_recipe("ps1-lens", [override])
        assert str(caught.value).startswith(words), caught.value
