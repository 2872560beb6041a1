"""What an instrument's YAML file may say, and where the shipped ones lie."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from twin.observatory import effects
from twin.observatory.detector.config import DetectorConfig
from twin.schema import Node, UserError, load_yaml, quantity, suggest, validate

Value = str | float
PerBand = Value | dict[str, Value]
Share = Annotated[float, quantity("", ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Band(_Strict):
    """A filter: pivot wavelength, AB magnitude that gives 1 e-/s at airmass 1, extinction, length of one exposure.

    width  from edge to edge, for the refraction within the band
    """

    wavelength: Annotated[float, quantity("nm", gt=10, lt=30000)]
    zero_point: Annotated[float, quantity("mag")]
    extinction: Annotated[float, quantity("mag", ge=0)] = 0.0  # per airmass
    exposure: Annotated[float, quantity("s", gt=0)]
    width: Annotated[float, quantity("nm", ge=0, lt=5000)] = 0.0


class Frame(_Strict):
    """How exposures become the frame.

    zero_point  AB magnitude that gives 1 count/s in a calibrated frame; None = raw counts of the detector
    coverage    share of the exposure time that a pixel really got (gaps, masks, rejected epochs)
    epochs      nodes that stand for the epochs' spread in seeing
    """

    zero_point: Annotated[float, quantity("mag")] | None = None
    coverage: Annotated[float, quantity("", gt=0, le=1)] = 1.0
    epochs: int = Field(1, ge=1, le=8)


class Drift(_Strict):
    """A share of a channel's variance that forgets itself exponentially with `time`."""

    share: Share
    time: Annotated[float, quantity("s", gt=0)]


class ChannelConfig(_Strict):
    """A telemetry channel: how files call it, which values it may have, and how nights of it are drawn.

    law lognormal: shift + (median - shift) exp(sigma z); normal: mean + sigma z; uniform between the ends of `range`;
    constant: value; z is a standard normal deviate. Of its variance the share `night` is common to a night, each
    `drift` fades with its time, the rest is new in every exposure. `between_bands` is the correlation of two bands.
    `above` names a channel of the same unit that stands before this one: the law is then of the difference to it, as of
    a dome some kelvin warmer than the air outside. Numbers carry their unit; median, mean, sigma and value may differ
    by band: {g: 1 arcsec, r: 0.9 arcsec}.
    """

    per_band: bool = False
    keywords: tuple[str, ...] = ()
    range: tuple[Value, Value]
    law: Literal["lognormal", "normal", "uniform", "constant"]
    median: PerBand | None = None
    mean: PerBand | None = None
    sigma: PerBand | None = None
    value: PerBand | None = None
    shift: Value | None = None
    above: str | None = None
    night: Share = 0.0
    drift: tuple[Drift, ...] = Field((), max_length=2)
    between_bands: Share = 0.0


class Nights(_Strict):
    """How exposures follow each other in a night that is drawn."""

    exposures: int = Field(24, ge=1, le=1000)
    cadence: Annotated[float, quantity("s", gt=0)] = 600.0


class InstrumentConfig(_Strict):
    """An imager. Physics whose key is absent is off (twin.observatory.effects)."""

    name: str = Field(min_length=1)
    kind: Literal["imager"]
    description: str
    diameter: Annotated[float, quantity("m", gt=0, lt=100)]
    obscuration: Annotated[float, quantity("", ge=0, lt=1)] = 0.0  # linear, of the diameter
    atmosphere: bool
    pixel_scale: Annotated[float, quantity("arcsec", gt=0, lt=60)]
    bands: dict[str, Band] = Field(min_length=1)
    detector: DetectorConfig
    frame: Frame = Frame()
    nights: Nights = Nights()
    time_keywords: tuple[str, ...] = ("time",)
    channels: dict[str, ChannelConfig]
    air: effects.Air = effects.Air()
    speckle: effects.Speckle | None = None
    sky: effects.Sky | None = None
    shake: effects.Shake = effects.Shake()
    collimation: effects.Collimation = effects.Collimation()
    dark_current: effects.DarkCurrent | None = None
    orbit: effects.Orbit | None = None


def _shipped() -> dict[str, Path]:
    folder = files("twin") / "configs" / "instruments"
    return {Path(str(item)).stem: Path(str(item)) for item in folder.iterdir() if item.name.endswith(".yaml")}


def list_instruments() -> tuple[str, ...]:
    """Names of the shipped instruments."""
    return tuple(sorted(_shipped()))


def find_instrument(name_or_path: str | Path) -> Node:
    """YAML of a shipped instrument, or of a file. Raises UserError where there is neither."""
    shipped = _shipped()
    text = str(name_or_path)
    if text in shipped:
        return load_yaml(shipped[text])
    if Path(text).suffix in (".yaml", ".yml") or len(Path(text).parts) > 1:
        return load_yaml(text)
    raise UserError(
        f'unknown instrument "{text}" (known: {", ".join(sorted(shipped))})', suggestion=suggest(text, shipped)
    )


def read_config(node: Node) -> InstrumentConfig:
    """The validated instrument of a YAML node. Raises UserError with file, line and key."""
    return validate(InstrumentConfig, node)
