"""Units of the quantities that YAML writes, as data. Small, so that reading a recipe needs no astropy."""

from __future__ import annotations

import difflib
import math
import re
from typing import Any

# name -> (factor to the base unit, base unit)
_UNITS: dict[str, tuple[float, str]] = {
    **dict.fromkeys(("arcsec", '"'), (1.0, "arcsec")),
    "mas": (1e-3, "arcsec"),
    "arcmin": (60.0, "arcsec"),
    "deg": (3600.0, "arcsec"),
    "rad": (648000 / math.pi, "arcsec"),
    "m": (1.0, "m"),
    "km": (1e3, "m"),
    "cm": (1e-2, "m"),
    "mm": (1e-3, "m"),
    "um": (1e-6, "m"),
    "nm": (1e-9, "m"),
    **dict.fromkeys(("AA", "Angstrom", "angstrom"), (1e-10, "m")),
    "pc": (3.0856775814913673e16, "m"),
    "kpc": (3.0856775814913673e19, "m"),
    "Mpc": (3.0856775814913673e22, "m"),
    "s": (1.0, "s"),
    "ms": (1e-3, "s"),
    "min": (60.0, "s"),
    "h": (3600.0, "s"),
    "d": (86400.0, "s"),
    "yr": (31557600.0, "s"),
    "eV": (1.0, "eV"),
    "keV": (1e3, "eV"),
    "K": (1.0, "K"),
    **dict.fromkeys(("deg_C", "degC"), (1.0, "deg_C")),  # a scale of its own: its zero is not that of K
    **dict.fromkeys(("hPa", "mbar"), (100.0, "Pa")),
    "Pa": (1.0, "Pa"),
    **dict.fromkeys(("Torr", "mmHg"), (101325.0 / 760, "Pa")),
    "sfu": (1.0, "sfu"),  # 1e-22 W m-2 Hz-1
    "mag": (1.0, "mag"),
    "mmag": (1e-3, "mag"),
    **dict.fromkeys(("px", "pix", "pixel"), (1.0, "px")),
    **dict.fromkeys(("ct", "count"), (1.0, "ct")),
    "adu": (1.0, "adu"),
    **dict.fromkeys(("e-", "electron"), (1.0, "e-")),
    **dict.fromkeys(("ph", "photon"), (1.0, "ph")),
    "%": (1e-2, ""),
    "percent": (1e-2, ""),
}
_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:inf|nan))\s*(.*?)\s*", re.IGNORECASE)
_FACTOR = re.compile(r'\s*([*/]?)\s*(e-|[A-Za-z%"_]+)(?:\^|\*\*)?(-?\d+)?\s*')


def parse_unit(text: str) -> tuple[float, dict[str, int]]:
    """(factor, powers of base units) of "km/s/Mpc", "mag/arcsec2", "e-/s/px". Raises ValueError for unknown names."""
    factor, powers, position = 1.0, dict[str, int](), 0
    while position < len(text):
        match = _FACTOR.match(text, position)
        if match is None:
            raise ValueError(f'the unit "{text}" cannot be read')
        sign, name, exponent = match.groups()
        if name not in _UNITS:
            near = difflib.get_close_matches(name, _UNITS, n=1)
            raise ValueError(f'unknown unit "{name}"' + (f'; did you mean "{near[0]}"?' if near else ""))
        power = int(exponent or 1) * (-1 if sign == "/" else 1)
        scale, base = _UNITS[name]
        factor *= scale**power
        if base:
            powers[base] = powers.get(base, 0) + power
        position = match.end()
    return factor, {base: power for base, power in powers.items() if power}


def convert(number: float, unit: str, target: str) -> float:
    """`number` of `unit` in `target`. Raises ValueError where they measure different things."""
    (factor, powers), (target_factor, target_powers) = parse_unit(unit), parse_unit(target)
    if powers != target_powers:
        raise ValueError(f'the unit "{unit}" is not one of {target or "a pure number"}')
    return number * (factor / target_factor) if factor != target_factor else number


def parse_quantity(value: Any, unit: str) -> float:
    """Number and unit, as "0.25 arcsec", in `unit`; finite. Raises ValueError with plain words."""
    needs = f'needs a number and a unit, for example "1 {unit}"' if unit else "must be a number"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(needs)
    match = _NUMBER.fullmatch(str(value))
    if match is None:
        raise ValueError(f'{needs}, not "{value}"')
    number, given = float(match[1]), match[2]
    if not math.isfinite(number):
        raise ValueError(f'must be finite, not "{value}"')
    if unit and not given:
        raise ValueError(f'has no unit: write "{match[1]} {unit}"')
    return convert(number, given, unit)
