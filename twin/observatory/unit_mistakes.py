"""Unit mistakes, found by what values a channel can have and usually has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.io.units import convert, unit
from twin.observatory.kinds import KINDS

# What the median of a channel usually is at any working telescope, canonical units.
USUAL: dict[str, tuple[float, float]] = {
    "seeing": (0.25, 6.0), "measured_fwhm": (0.04, 10.0), "outer_scale": (3.0, 200.0), "tau0": (2e-4, 0.05),
    "wind_200mb": (2.0, 90.0), "airmass": (1.0, 4.0), "elevation": (12.0, 90.0), "pressure": (540.0, 1060.0),
    "humidity": (0.012, 1.05), "outside_temperature": (-45.0, 40.0), "dome_temperature": (-45.0, 40.0),
    "mirror_temperature": (-45.0, 40.0), "mirror_air_temperature": (-45.0, 40.0), "truss_temperature": (-45.0, 40.0),
    "transparency": (0.0, 1.3), "wind_speed": (0.0, 12.0), "detector_temperature": (30.0, 310.0),
    "exptime": (1e-3, 30000.0), "sky_brightness": (10.0, 28.0), "jitter_rms": (0.0, 3.0), "guider_rms": (0.0, 3.0),
    "moon_illumination": (0.0, 1.0),
}  # fmt: skip
# Sizes below which a whole column of micrometres, nanometres or arcseconds is in a larger unit.
LEAST: dict[str, float] = {
    "hexapod_x": 0.2,
    "hexapod_y": 0.2,
    "hexapod_z": 0.5,
    **{f"z{j}": 0.05 for j in range(4, 12)},
}
CANDIDATES: dict[str, tuple[str, ...]] = {
    "deg_C": ("deg_C", "K", "deg_F"), "K": ("K", "deg_C", "deg_F"), "hPa": ("hPa", "Torr", "Pa", "kPa", "inHg"),
    "": ("", "percent"), "m/s": ("m/s", "km/h", "mph", "knot"), "um": ("um", "m", "mm", "nm"),
    "nm": ("nm", "um", "mm", "m"), "deg": ("deg", "rad"), "arcsec": ("arcsec", "mas", "deg", "arcmin", "rad"),
    "s": ("s", "ms", "min", "h"), "m": ("m", "km", "cm", "mm"), "mag/arcsec2": (),
}  # fmt: skip
_ROUND = {
    "azimuth",
    "parallactic_angle",
    "wind_direction",
    "elevation",
    "moon_altitude",
    "sun_altitude",
    "moon_separation",
}
_DOUBTFUL = ("wind_speed", "exptime")  # a gale and a stack of exposures are rare, not impossible
_FEW = 8  # rows below which angles in radians and ranges by the usual value are not judged


@dataclass(frozen=True)
class Mistake:
    """certain: the values cannot be in the stated unit. likely: units that would make them what they usually are."""

    certain: bool
    likely: tuple[str, ...]
    rows: np.ndarray
    text: str


def unit_mistake(kind: str, raw: np.ndarray, values: np.ndarray, given: str, form: str = "value") -> Mistake | None:
    """What is wrong with the unit of a whole channel, None where nothing is.

    raw     numbers as they stand in the file;  given: the unit that they were taken for
    values  the same in the canonical unit

    Certain: less than half of the values lie within the channel's limits; all angles lie within one turn of radians; or
    the median is one that no working telescope has, and another unit explains it (of wind and exposure time that is
    only likely).
    """
    there = np.isfinite(values)
    if not there.any():
        return None
    numbers, found = raw[there], values[there]
    low, high = KINDS[kind].limits
    outside = (found < low) | (found > high)
    rows = np.flatnonzero(there)
    if kind in _ROUND and KINDS[kind].unit == "deg" and given == "deg":
        turn = np.pi / 2 + 0.01 if kind.endswith("altitude") or kind == "elevation" else 2 * np.pi + 0.01
        if len(numbers) >= _FEW and (np.abs(numbers) <= turn).all() and np.ptp(numbers) > 0.05:
            span = f"all {len(numbers)} values lie within {numbers.min():.3g} to {numbers.max():.3g}"
            return Mistake(True, ("rad",), rows, f"{span} deg")
    out = bool(outside.mean() > 0.5)
    unusual = len(found) >= _FEW and not _usual(kind, found)
    if not out and not unusual:
        return None
    likely = tuple(
        name
        for name in CANDIDATES.get(KINDS[kind].unit, ())
        if name != given and form == "value" and _explains(kind, numbers, name)
    )
    if not out and not likely:
        return None
    middle = float(np.median(found))
    what = f"the median is {middle:.4g} {KINDS[kind].unit}".rstrip()
    if out:
        share = f"{int(outside.sum())} of {len(found)} values" if outside.sum() < len(found) else "all values"
        span = f"{low:g} to {high:g} {KINDS[kind].unit}".rstrip()
        what = f"{share} lie outside {span}, {what}"
        rows = rows[outside]
    return Mistake(out or kind not in _DOUBTFUL, likely, rows, what)


def _usual(kind: str, values: np.ndarray) -> bool:
    middle = float(np.median(values))
    if kind in LEAST:
        size = float(np.quantile(np.abs(values), 0.9))
        return size == 0 or size >= LEAST[kind]
    low, high = USUAL.get(kind, (-np.inf, np.inf))
    return low <= middle <= high


def _explains(kind: str, numbers: np.ndarray, name: str) -> bool:
    """Whether nearly all numbers, taken for that unit, are possible, and their median usual."""
    values = convert(numbers, unit(name), unit(KINDS[kind].unit))
    low, high = KINDS[kind].limits
    return bool(((values >= low) & (values <= high)).mean() >= 0.95) and _usual(kind, values)
