"""Keyword maps: which header keyword or column of an observatory is which canonical channel, in which unit."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from twin.observatory.kinds import KINDS
from twin.schema import Node, UserError, load_yaml, quantity, suggest, validate

Form = Literal[
    "value", "zenith distance", "r0", "square root", "moon age", "share or percent", "magnitudes lost", "logarithm"
]
# What a form's numbers are measured in, where that is not the channel's own unit.
FORM_UNITS: dict[str, str | None] = {
    "r0": "m", "moon age": "d", "share or percent": "", "magnitudes lost": "mag", "square root": None, "logarithm": "",
}  # fmt: skip


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """Where a channel's values stand. Exactly one of keyword, mean_of and balanced.

    keyword    header keyword or column, in any case of letters
    mean_of    several of them, whose mean it is, over those that have a value
    balanced   groups of them: the mean of the groups' means; missing where a whole group is
    unit       what its numbers mean, "700 nm" for waves of that length; "" = pure number. A unit that the file itself
               gives comes first
    item       which number of a vector ("[0.5, 1.1, ...]"), counted from 1
    form       value; zenith distance (90 deg minus it is the elevation); r0 (at 500 nm; seeing is 0.976 500 nm / r0);
               square root (a variance is given); moon age (days since new moon); share or percent (numbers above 1 are
               percent); magnitudes lost (-2.5 lg of it is given); logarithm (natural)
    missing    what says "no value" here, besides what says so in the whole map
    when       it counts only where one of these columns is there;  unless: where none of these is
    note       why the map says so
    """

    keyword: str | None = None
    mean_of: tuple[str, ...] = ()
    balanced: tuple[tuple[str, ...], ...] = ()
    unit: str = ""
    item: int | None = Field(None, ge=1, le=1000)
    form: Form = "value"
    missing: tuple[float | str, ...] = ()
    when: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    note: str = ""

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        return self.balanced or ((self.keyword,) if self.keyword else self.mean_of,)

    @property
    def label(self) -> str:
        text = " / ".join(", ".join(group) for group in self.groups)
        return f"{text} [{self.item}]" if self.item else text


class TimeSource(_Strict):
    """Where the time of an exposure stands. Either a keyword or parts.

    form   iso; mjd, jd (days); unix (s since 1970); text ("Sat Mar 18 2017")
    clock  keyword of the time of day, for dates without one; or several, of which the first that is there counts
    parts  columns of year, month, day, hour, minute, second, as far as there are
    """

    keyword: str | None = None
    form: Literal["iso", "mjd", "jd", "unix", "text"] = "iso"
    clock: str | tuple[str, ...] = ()
    parts: tuple[str, ...] = Field((), max_length=6)


class Identity(_Strict):
    """What shows that a file is of this observatory: a keyword with one of these texts in it, or these columns."""

    keyword: str | None = None
    has: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


class Site(_Strict):
    """Where the telescope stands; longitude to the east."""

    latitude: Annotated[float, quantity("deg", ge=-90, le=90)]
    longitude: Annotated[float, quantity("deg", ge=-180, le=360)]
    height: Annotated[float, quantity("m", ge=-500, le=9000)]


class BandSource(_Strict):
    """Where the filter stands; its name is the first word of that text, or what `rename` makes of it."""

    keywords: tuple[str, ...] = ()
    rename: dict[str, str] = {}


class Pointing(_Strict):
    """Keywords of the J2000 right ascension and declination: degrees, or hours and degrees as "20:46:09.1"."""

    ra: tuple[str, ...] = ()
    dec: tuple[str, ...] = ()


class KeywordMap(_Strict):
    """A keyword map.

    instrument  the shipped instrument whose priors stand in for missing channels
    comments    units in the comments of header cards, "[m/s]" or "(C)", come before the map's own
    missing     numbers and words that say "no value", besides empty cells and NaN
    utc_offset  local time minus UTC, for sources that write local time
    check       keywords of the time of day in UTC, which the times must agree with
    pointing    where the telescope looked: with site and time it gives what is not written, moon and sun too
    """

    name: str = Field(min_length=1)
    description: str
    instrument: str | None = None
    identify: tuple[Identity, ...] = ()
    site: Site | None = None
    comments: bool = False
    missing: tuple[float | str, ...] = (-999,)
    time: tuple[TimeSource, ...] = ()
    utc_offset: Annotated[float, quantity("h", ge=-14, le=14)] = 0.0
    check: tuple[str, ...] = ()
    band: BandSource = BandSource()
    pointing: Pointing = Pointing()
    exposure: tuple[str, ...] = ()
    channels: dict[str, tuple[Source, ...]] = Field(min_length=1)


def list_maps() -> tuple[str, ...]:
    """Names of the shipped keyword maps."""
    return tuple(sorted(_shipped()))


def load_map(name_or_path: str | Path) -> KeywordMap:
    """A shipped keyword map, or one of the user's own YAML files. Raises UserError with file, line and key."""
    shipped, text = _shipped(), str(name_or_path)
    if text in shipped:
        return read_map(load_yaml(shipped[text]))
    if Path(text).suffix in (".yaml", ".yml") or len(Path(text).parts) > 1:
        return read_map(load_yaml(text))
    known = ", ".join(sorted(shipped))
    raise UserError(f'unknown keyword map "{text}" (known: {known})', suggestion=suggest(text, shipped))


def read_map(node: Node) -> KeywordMap:
    """The validated keyword map of a YAML node. Raises UserError with file, line and key."""
    found = validate(KeywordMap, node)
    for name, sources in found.channels.items():
        if name not in KINDS:
            raise node.error("unknown channel", ("channels", name), suggest(name, KINDS))
        for k, source in enumerate(sources):
            _check_source(node.at("channels", name, k), name, source)
    for k, time in enumerate(found.time):
        if (time.keyword is None) == (not time.parts):
            raise node.error("needs either keyword or parts", ("time", k))
    for k, identity in enumerate(found.identify):
        if (identity.keyword is None) == (not identity.columns) or bool(identity.has) != bool(identity.keyword):
            raise node.error("needs either a keyword and what it has, or columns", ("identify", k))
    return found


def _check_source(node: Node, channel: str, source: Source) -> None:
    from twin.io.units import same_kind, unit

    if sum((source.keyword is not None, bool(source.mean_of), bool(source.balanced))) != 1:
        raise node.error("needs exactly one of keyword, mean_of and balanced")
    if source.form in ("zenith distance", "r0", "moon age") and channel != (
        wanted := {"zenith distance": "elevation", "r0": "seeing", "moon age": "moon_illumination"}[source.form]
    ):
        raise node.error(f"goes with the channel {wanted}", ("form",))
    try:
        given = unit(source.unit)
    except ValueError as error:
        raise node.error(str(error), ("unit",)) from None
    expected = FORM_UNITS.get(source.form, KINDS[channel].unit)
    if expected is not None and not same_kind(given, unit(expected)):
        what = expected or "a pure number"
        raise node.error(f'the unit "{source.unit}" is not one of {what}', ("unit",))


def _shipped() -> dict[str, Path]:
    folder = files("twin") / "configs" / "telemetry"
    return {Path(str(item)).stem: Path(str(item)) for item in folder.iterdir() if item.name.endswith(".yaml")}
