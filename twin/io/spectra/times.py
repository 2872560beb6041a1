"""Dates and sexagesimal positions of headers as numbers."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

_SEXAGESIMAL = re.compile(r"([+-]?)\s*(\d{1,3})[:\s]\s*(\d{1,2})[:\s]\s*(\d{1,2}(?:\.\d*)?)\s*")
_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)


def mjd_of(date: str) -> float:
    """Modified Julian Date (UTC) of an ISO 8601 date and time; NaN where it is none."""
    try:
        found = datetime.fromisoformat(date.strip())
    except ValueError:
        return math.nan
    return (found.replace(tzinfo=UTC) - _EPOCH).total_seconds() / 86400


def date_of(mjd: float) -> str:
    """ISO 8601 date and time (UTC, whole seconds) of a Modified Julian Date; "" for NaN."""
    if not 0 < mjd < 1e5:
        return ""
    return datetime.fromtimestamp(_EPOCH.timestamp() + round(mjd * 86400), UTC).strftime("%Y-%m-%dT%H:%M:%S")


def degrees(text: str, hours: bool) -> float:
    """Degrees of "10:10:07.5" (hours) or "-08:24:29.4"; of a number, itself; NaN for anything else."""
    match = _SEXAGESIMAL.fullmatch(text.strip())
    if match is None:
        try:
            value = float(text)
        except ValueError:
            return math.nan
        return value if math.isfinite(value) else math.nan
    sign, whole, minutes, seconds = match.groups()
    value = float(whole) + float(minutes) / 60 + float(seconds) / 3600
    return (-value if sign == "-" else value) * (15 if hours else 1)


def to_j2000(ra: float, dec: float, equinox: float) -> tuple[float, float]:
    """FK5 position of `equinox` (a Julian year), precessed to J2000; degrees. Unchanged where any is NaN."""
    if not all(map(math.isfinite, (ra, dec, equinox))) or abs(equinox - 2000) < 1e-3:
        return ra, dec
    from astropy.coordinates import FK5, SkyCoord

    place = SkyCoord(ra, dec, unit="deg", frame=FK5(equinox=f"J{equinox}")).transform_to(FK5(equinox="J2000"))
    return float(place.ra.deg), float(place.dec.deg)
