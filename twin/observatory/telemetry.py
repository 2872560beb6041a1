"""Telemetry channels: the canonical names and units, and an instrument's own channels made ready for arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from twin.observatory.config import ChannelConfig, InstrumentConfig
from twin.observatory.kinds import KINDS, NOLL, Kind
from twin.schema import Node, suggest
from twin.schema.units import parse_quantity

__all__ = ["KINDS", "LAWS", "NOLL", "Channel", "Kind", "build_channels", "read_channel"]

LAWS: dict[str, tuple[str, ...]] = {
    "lognormal": ("median", "sigma"),
    "normal": ("mean", "sigma"),
    "uniform": (),
    "constant": ("value",),
}


@dataclass(frozen=True)
class Channel:
    """One column of the telemetry array, all numbers in `unit`.

    name      "airmass", or "seeing_g" for the band g of a channel that differs by band
    kind      key of KINDS;  band: index of the band, None where all bands share the channel
    keywords  column names, besides `name`, that files use for it
    low, high range outside which a value is a mistake (or a missing-value code)
    law, centre, sigma, shift, night, drift ((share, seconds), ...), between_bands   see ChannelConfig
    above     index of the channel that the law is counted from, None = from zero
    """

    name: str
    kind: str
    band: int | None
    unit: str
    ucd: str
    description: str
    keywords: tuple[str, ...]
    low: float
    high: float
    law: str
    centre: float
    sigma: float
    shift: float
    night: float
    drift: tuple[tuple[float, float], ...]
    between_bands: float
    above: int | None = None

    def at(self, z: float) -> float:
        """The value whose deviate under the channel's law is z standard deviations."""
        if self.law == "lognormal":
            value = self.shift + (self.centre - self.shift) * math.exp(self.sigma * z)
        elif self.law == "uniform":
            value = self.low + (self.high - self.low) * 0.5 * math.erfc(-z / math.sqrt(2))
        else:
            value = self.centre + self.sigma * z
        return min(max(value, self.low), self.high)


def build_channels(config: InstrumentConfig, node: Node) -> tuple[Channel, ...]:
    """An instrument's channels in the order of its YAML, bands innermost. Raises UserError at the offending key."""
    channels: list[Channel] = []
    bands = tuple(config.bands)
    for name, channel in config.channels.items():
        here = node.at("channels", name)
        if name not in KINDS:
            raise here.error("unknown channel", (), suggest(name, KINDS))
        if channel.per_band and (name == "jitter_angle" or name[1:].isdecimal()):
            raise here.error("is the same in all bands", ("per_band",))
        above = _base(channel, channels, here)
        for band in range(len(bands)) if channel.per_band else (None,):
            channels.append(replace(read_channel(name, channel, band, bands, here), above=above))
    names = [channel.kind for channel in channels]
    sky = [] if config.sky else ["sky_brightness"]
    needed = ["exptime", *sky, *(["seeing", "outer_scale"] if config.atmosphere else [])]
    for missing in (name for name in needed if name not in names):
        raise node.error(f'the channel "{missing}" is missing', ("channels",))
    zernikes = sorted(int(name[1:]) for name in names if name[1:].isdecimal())
    if zernikes != list(range(4, 4 + len(zernikes))):
        raise node.error("Zernikes must be z4, z5, ... without a gap", ("channels",))
    return tuple(channels)


def _base(config: ChannelConfig, before: Sequence[Channel], here: Node) -> int | None:
    """Index of the channel that `above` names. Raises UserError where none before it has the name and the unit."""
    if config.above is None:
        return None
    unit = KINDS[str(here.path[-1])].unit
    places = {channel.name: i for i, channel in enumerate(before) if channel.unit == unit}
    if config.above not in places:
        raise here.error(f"no channel in {unit} before this one", ("above",), suggest(config.above, places))
    return places[config.above]


def read_channel(name: str, config: ChannelConfig, band: int | None, bands: Sequence[str], here: Node) -> Channel:
    """A channel of KINDS as the YAML at `here` gives it, for a band or (None) for all. Raises UserError."""
    kind = KINDS[name]

    def number(key: str, value: Any, unit: str = kind.unit) -> float:
        path: tuple[str | int, ...] = (key,)
        if isinstance(value, dict):
            if band is None:
                raise here.error("differs by band, so the channel needs per_band: true", path)
            for wrong in (b for b in value if b not in bands):
                raise here.error(f"unknown band {wrong}", (key, wrong), suggest(wrong, bands))
            if bands[band] not in value:
                raise here.error(f"has no value for the band {bands[band]}", path)
            path, value = (key, bands[band]), value[bands[band]]
        try:
            return parse_quantity(value, unit)
        except ValueError as error:
            raise here.error(str(error), path) from None

    def end(index: int) -> float:
        try:
            return parse_quantity(config.range[index], kind.unit)
        except ValueError as error:
            raise here.error(str(error), ("range", index)) from None

    low, high = end(0), end(1)
    if not low < high:
        raise here.error("must go from low to high", ("range",))
    wanted = LAWS[config.law]
    for key in ("median", "mean", "sigma", "value"):
        given = getattr(config, key) is not None
        if given and key not in wanted:
            raise here.error(f"does not go with the law {config.law}", (key,))
        if not given and key in wanted:
            raise here.error(f"the law {config.law} needs {key}")
    centre = number(wanted[0], getattr(config, wanted[0])) if wanted else 0.5 * (low + high)
    sigma = (
        number("sigma", config.sigma, "" if config.law == "lognormal" else kind.unit)
        if config.sigma is not None
        else 0.0
    )
    shift = number("shift", config.shift) if config.shift is not None else 0.0
    if config.shift is not None and config.law != "lognormal":
        raise here.error(f"does not go with the law {config.law}", ("shift",))
    if sigma < 0:
        raise here.error("must not be negative", ("sigma",))
    if config.law == "lognormal" and not centre > shift:
        raise here.error("must be above the shift of a lognormal law", ("median",))
    if not low <= centre <= high:
        raise here.error(f"lies outside the range {low:g} to {high:g} {kind.unit}".rstrip(), (wanted[0],))
    drift = tuple((d.share, d.time) for d in config.drift)
    if config.night + sum(share for share, _ in drift) > 1 + 1e-9:
        raise here.error("shares of the variance add up to more than 1", ("night",))
    full = name if band is None else f"{name}_{bands[band]}"
    text = kind.meaning if band is None else f"{kind.meaning}, band {bands[band]}"
    return Channel(
        full, name, band, kind.unit, kind.ucd, text, config.keywords, low, high,
        config.law, centre, sigma, shift, config.night, drift, config.between_bands if band is not None else 0.0,
    )  # fmt: skip
