"""Every line a user may read about a YAML file."""

import math
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from twin.schema import UserError, load_yaml, parse_yaml, quantity, suggest, validate


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Band(Strict):
    name: str
    wavelength: Annotated[float, quantity("nm", gt=0)]


class Ground(Strict):
    kind: Literal["ground"]
    seeing: Annotated[float, quantity("arcsec", gt=0)]


class Space(Strict):
    kind: Literal["space"]
    jitter: Annotated[float, quantity("mas", ge=0)]


class Instrument(Strict):
    name: str
    pixel_scale: Annotated[float, quantity("arcsec", gt=0, lt=100)]
    bands: list[Band]
    epochs: int = Field(1, ge=1)
    site: Annotated[Ground | Space, Field(discriminator="kind")] | None = None
    fractions: dict[str, float] = {}
    mode: Literal["stack", "single"] = "single"


GOOD = """\
# a comment
name: eye
pixel_scale: 250 mas
bands:
  - name: g
    wavelength: 481 nm
  - {name: r, wavelength: 0.617 um}
epochs: 4
site:
  kind: ground
  seeing: 1.1 arcsec
fractions: {lens: 0.5, star: 1e-3}
"""


def message(text: str, *sets: str) -> str:
    node = parse_yaml(text, "eye.yaml")
    for assignment in sets:
        node = node.set(assignment)
    with pytest.raises(UserError) as caught:
        validate(Instrument, node)
    return str(caught.value)


def test_good_file_reads_in_the_units_of_the_model():
    eye = validate(Instrument, parse_yaml(GOOD, "eye.yaml"))
    assert eye.pixel_scale == 0.25
    assert [band.wavelength for band in eye.bands] == pytest.approx([481.0, 617.0], rel=1e-12)
    assert eye.fractions == {"lens": 0.5, "star": 0.001}
    assert eye.model_dump(mode="json")["pixel_scale"] == "0.25 arcsec"
    assert Instrument.model_validate(eye.model_dump(mode="json")) == eye


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("pixel_scale:", "pixl_scale:", 'eye.yaml:3: pixl_scale: unknown key; did you mean "pixel_scale"?'),
        (
            "wavelength: 481",
            "wavelenght: 481",
            'eye.yaml:6: bands.0.wavelenght: unknown key; did you mean "wavelength"?',
        ),
        ("  seeing:", "  seing:", 'eye.yaml:11: site.seing: unknown key; did you mean "seeing"?'),
        ("name: eye\n", "", "eye.yaml:2: name: is missing"),
        ("250 mas", "-250 mas", 'eye.yaml:3: pixel_scale: must be greater than 0 arcsec, not "-250 mas"'),
        ("250 mas", "250", 'eye.yaml:3: pixel_scale: has no unit: write "250 arcsec"'),
        ("250 mas", "250 nm", 'eye.yaml:3: pixel_scale: the unit "nm" is not one of arcsec'),
        ("250 mas", "2 arcsek", 'eye.yaml:3: pixel_scale: unknown unit "arcsek"; did you mean "arcsec"?'),
        ("250 mas", "nan arcsec", 'eye.yaml:3: pixel_scale: must be finite, not "nan arcsec"'),
        ("250 mas", "inf arcsec", 'eye.yaml:3: pixel_scale: must be finite, not "inf arcsec"'),
        ("250 mas", "1e999 arcsec", 'eye.yaml:3: pixel_scale: must be finite, not "1e999 arcsec"'),
        ("250 mas", "[1]", 'eye.yaml:3: pixel_scale: needs a number and a unit, for example "1 arcsec"'),
        ("epochs: 4", "epochs: 0", "eye.yaml:8: epochs: must be at least 1, not 0"),
        ("epochs: 4", "epochs: 1.5", "eye.yaml:8: epochs: must be a whole number, not 1.5"),
        ("epochs: 4", "epochs: many", 'eye.yaml:8: epochs: must be a whole number, not "many"'),
        ("epochs: 4", "epochs:", "eye.yaml:8: epochs: must be a whole number, not empty"),
        (
            "epochs: 4",
            "mode: stak",
            'eye.yaml:8: mode: must be one of stack, single, not "stak"; did you mean "stack"?',
        ),
        (
            "kind: ground",
            "kind: grond",
            'eye.yaml:9: site: must be one of ground, space, not "grond"; did you mean "ground"?',
        ),
        ("lens: 0.5", "lens: half", 'eye.yaml:12: fractions.lens: must be a number, not "half"'),
        ("name: eye", "name: [1]", "eye.yaml:2: name: must be text, not a list"),
    ],
)
def test_each_mistake_is_named_with_its_line(old, new, expected):
    assert old in GOOD
    assert message(GOOD.replace(old, new, 1)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "x: the file is empty"),
        ("# only\n", "x: the file is empty"),
        ("a: 1\nb: 2\na: 3\n", "x:3: a: the key stands twice, first in line 1"),
        ("a: {b: [1, 2}\n", "x:1: not valid YAML: expected ',' or ']', but got '}'"),
        ("a: 1\n b: 2\n", "x:2: not valid YAML: mapping values are not allowed here"),
        ("a: &x 1\nb: *x\n", "x:2: not valid YAML: aliases (*name) are not supported"),
        (
            "a: !!python/object/apply:os.system [ls]\n",
            "x:1: a: the tag tag:yaml.org,2002:python/object/apply:os.system is not supported",
        ),
        ("a: 1\n---\nb: 2\n", "x:2: not valid YAML: but found another document"),
        ("a: \x00\n", "x:1: not valid YAML: character 0"),
        ("? [1]\n: 2\n", "x:1: a key must be plain text"),
        ("a: " + "[" * 40 + "]" * 40, "x:1: not valid YAML: nested deeper than 32 levels"),
        ("a: " + "9" * 5000, "x:1: a: this number cannot be read"),
        ("a: " + "x" * 2**20, "x: larger than 1 MB: this is no recipe or instrument file"),
    ],
)
def test_bad_yaml(text, expected):
    with pytest.raises(UserError) as caught:
        parse_yaml(text, "x")
    assert str(caught.value) == expected


def test_scalars_follow_the_core_schema():
    text = "[no, y, 1:30, 010, 1e-3, -.5, .inf, ~, '1', 2024-01-01, 0x1F, true, 1_000]"
    value = parse_yaml(text, "x").value
    assert value == ["no", "y", "1:30", 10, 0.001, -0.5, math.inf, None, "1", "2024-01-01", 31, True, "1_000"]
    assert math.isnan(parse_yaml("a: .nan", "x").value["a"])


def test_set_reaches_lists_and_points_at_itself():
    node = parse_yaml(GOOD, "eye.yaml").set("bands.1.wavelength=700 nm").set("epochs=7").set("fractions={a: 1}")
    eye = validate(Instrument, node)
    assert (eye.bands[1].wavelength, eye.epochs, eye.fractions) == (700.0, 7, {"a": 1.0})
    assert message(GOOD, "epochs=-1") == "--set: epochs: must be at least 1, not -1"
    assert message(GOOD, "epoch=3") == '--set: epoch: unknown key; did you mean "epochs"?'
    original = parse_yaml(GOOD, "eye.yaml")
    original.set("epochs=9")
    assert original.value["epochs"] == 4


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("epochs", '--set: cannot read "epochs": write key=value, for example train.epochs=3'),
        ("a..b=1", '--set: cannot read "a..b=1": write key=value, for example train.epochs=3'),
        ("bnds.0.name=z", '--set: bnds: unknown key; did you mean "bands"?'),
        ("bands.2.name=z", "--set: bands.2: needs an index from 0 to 1"),
        ("bands.g.name=z", "--set: bands.g: needs an index from 0 to 1"),
        ("epochs.a=1", "--set: epochs: has no keys, it is 4"),
        ("epochs=[1", "--set:1: not valid YAML: expected ',' or ']', but got '<stream end>'"),
    ],
)
def test_bad_set(assignment, expected):
    with pytest.raises(UserError) as caught:
        parse_yaml(GOOD, "eye.yaml").set(assignment)
    assert str(caught.value) == expected


def test_at_keeps_lines_and_full_keys():
    node = parse_yaml(GOOD, "eye.yaml").at("bands", 0)
    assert node.value == {"name": "g", "wavelength": "481 nm"}
    assert (node.line_of(["wavelength"]), node.line_of(["nothing"])) == (6, 5)
    with pytest.raises(UserError, match=r'^eye.yaml:5: bands.0.nam: is missing; did you mean "name"\?$'):
        node.at("nam")
    with pytest.raises(UserError, match=r"^eye.yaml:6: bands.0.wavelength: must be greater than 0 nm"):
        validate(Band, parse_yaml(GOOD.replace("481 nm", "-1 nm"), "eye.yaml").at("bands", 0))


def test_files(tmp_path):
    path = tmp_path / "eye.yaml"
    path.write_text(GOOD)
    assert load_yaml(path).value["name"] == "eye"
    with pytest.raises(UserError, match=r'eye.yml: no such file; did you mean "eye.yaml"\?$'):
        load_yaml(tmp_path / "eye.yml")
    with pytest.raises(UserError, match="no such file$"):
        load_yaml(tmp_path / "no" / "eye.yml")
    with pytest.raises(UserError, match="cannot be read: Is a directory$"):
        load_yaml(tmp_path)
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(UserError, match="eye.yaml:2: not UTF-8 text$"):
        load_yaml(path)
    path.write_bytes(b"\xff" * (2**20 + 1))
    with pytest.raises(UserError, match="larger than 1 MB"):
        load_yaml(path)


def test_a_document_that_is_no_mapping():
    with pytest.raises(UserError, match=r"^x:1: must be a mapping of keys to values, not a list$"):
        validate(Band, parse_yaml("[1]", "x"))


def test_user_error_is_always_one_printable_line():
    error = UserError("two\nlines", file="a\x1b[31m.yaml", line=3, key="k\n", suggestion="s")
    assert str(error) == 'a [31m.yaml:3: k : two lines; did you mean "s"?'
    assert str(UserError("plain")) == "plain"


def test_suggest():
    assert suggest("PS1-Lens", ["csst-lens", "ps1-lens"]) == "ps1-lens"
    assert suggest("zzz", ["csst-lens", "ps1-lens"]) is None


def test_validator_may_raise_a_user_error_with_a_suggestion():
    from pydantic import field_validator

    class Picky(Strict):
        band: str

        @field_validator("band")
        @classmethod
        def known(cls, band: str) -> str:
            raise UserError(f"unknown band {band}", suggestion="g")

    with pytest.raises(UserError, match=r'^x:1: band: unknown band q; did you mean "g"\?$'):
        validate(Picky, parse_yaml("band: q", "x"))
