"""Unit names as observatories write them, on top of astropy's; conversions that know the zero of a temperature."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

# Spellings, in lower case, that astropy does not know or takes for another unit (C is a coulomb, F a farad there).
_NAMES = {
    "deg_C": ("c", "degc", "deg c", "deg_c", "celsius", "degree celsius", "degrees celsius", "deg celsius", "°c"),
    "deg_F": ("f", "degf", "deg f", "deg_f", "fahrenheit", "degrees fahrenheit", "°f"),
    "K": ("k", "kelvin", "kelvins", "degk", "deg k"),
    "Torr": ("torr", "mmhg", "mm hg"),
    "inHg": ("inhg", "in hg"),
    "mbar": ("mbar", "mb", "millibar", "mbars"),
    "hPa": ("hpa",),
    "km/h": ("kph", "kmh", "km/hr", "km h-1"),
    "mph": ("mph", "miles/h", "miles per hour", "mi/h"),
    "knot": ("kn", "kt", "kts", "knot", "knots"),
    "m/s": ("mps", "m/sec", "m s-1"),
    "deg": ("deg", "degs", "degree", "degrees", "°"),
    "rad": ("rad", "radian", "radians"),
    "arcsec": ("arcsec", "arcsecond", "arcseconds", '"'),
    "s": ("sec", "secs", "second", "seconds"),
    "min": ("minute", "minutes"),
    "h": ("hour", "hours", "hr", "hrs"),
    "d": ("day", "days"),
    "um": ("micron", "microns", "micrometer", "µm"),
    "pix": ("px", "pixel", "pixels"),
    "percent": ("pct", "per cent"),
    "mag/arcsec2": ("mag/sq arcsec", "mag/sqarcsec", "mag/arcsec**2", "mag/arcsec^2"),
    "": ("1", "none", "dimensionless"),
}
_ALIASES = {alias: name for name, aliases in _NAMES.items() for alias in aliases}


@lru_cache
def _own() -> dict[str, Any]:
    """Units that astropy lacks, or keeps in modules of their own."""
    from astropy import units as u
    from astropy.units import imperial

    return {
        "deg_F": imperial.deg_F,
        "Torr": u.def_unit("Torr", 101325 / 760 * u.Pa),
        "inHg": u.def_unit("inHg", 3386.389 * u.Pa),
        "mph": u.def_unit("mph", 0.44704 * u.m / u.s),
        "knot": u.def_unit("knot", 1852 / 3600 * u.m / u.s),
        "sfu": u.def_unit("sfu", 1e4 * u.Jy),
    }


@lru_cache
def unit(text: str) -> Any:
    """astropy's unit of "deg C", "mph", "mag/arcsec2", "700 nm". Raises ValueError where there is none."""
    from astropy import units as u

    name = " ".join(text.split())
    name = _ALIASES.get(name.lower(), name)
    if name in _own():
        return _own()[name]
    for spelling in (name, name.replace("px", "pix")):
        try:
            return u.Unit(spelling)
        except (ValueError, TypeError):
            continue
    raise ValueError(f'unknown unit "{text}"')


def same_kind(given: Any, wanted: Any) -> bool:
    """Whether two units measure the same; K and deg_C do."""
    from astropy import units as u

    return bool(given.is_equivalent(wanted, u.temperature()))


def convert(values: np.ndarray, given: Any, wanted: Any) -> np.ndarray:
    """`values` in `given` as numbers in `wanted`, the zero of temperatures moved. Raises ValueError for other kinds."""
    from astropy import units as u

    if given == wanted:
        return values
    if not same_kind(given, wanted):
        raise ValueError(f'the unit "{given}" is not one of {wanted.to_string() or "a pure number"}')
    return np.asarray(given.to(wanted, values, u.temperature()))
