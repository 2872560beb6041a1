"""Channels that follow from others: airmass and elevation from each other, sun, moon and pointing."""

from __future__ import annotations

import numpy as np

from twin.observatory import places
from twin.observatory.columns import numbers
from twin.observatory.convert import Reading, Telemetry
from twin.observatory.findings import finding, where
from twin.observatory.keywords import Site
from twin.observatory.matching import Columns, foreign_rows


def airmass_of(elevation: np.ndarray) -> np.ndarray:
    """1 / sin(h + 244 / (165 + 47 h^1.1)), elevation h [deg] (Pickering 2002, DIO 12, 1, 20): good to the horizon."""
    h = np.clip(elevation, 0.0, 90.0)
    return np.maximum(1 / np.sin(np.deg2rad(h + 244 / (165 + 47 * h**1.1))), 1.0)


def elevation_of(airmass: np.ndarray) -> np.ndarray:
    """The inverse of `airmass_of` [deg], by interpolation in 1 / airmass: to 0.01 deg, to 0.1 deg at the zenith."""
    grid = np.linspace(0.0, 90.0, 9001)
    return np.interp(1 / np.maximum(airmass, 1.0), 1 / airmass_of(grid), grid)


def parallactic_of(elevation: np.ndarray, azimuth: np.ndarray, latitude: float) -> np.ndarray:
    """Position angle of the zenith [deg], from north over east, of a pointing in horizontal coordinates [deg].

    tan q = -sin A cos(lat) / (sin(lat) cos h - cos(lat) sin h cos A): the spherical triangle pole, zenith, object
    (Meeus, Astronomical Algorithms, chapter 14, in horizontal coordinates).
    """
    h, a, lat = np.deg2rad(elevation), np.deg2rad(azimuth), np.deg2rad(latitude)
    up = np.sin(lat) * np.cos(h) - np.cos(lat) * np.sin(h) * np.cos(a)
    return np.rad2deg(np.arctan2(-np.sin(a) * np.cos(lat), up))


def derive(found: Telemetry) -> None:
    """Add what follows from the channels that a file has; fill rows that lack one of a pair."""
    site, days = found.map.site, found.days
    before = set(found.readings)
    others, marks = foreign_rows(found.map, found.table)
    if len(others):
        text = f"{where(others, found.place)}: of another instrument ({marks}); nothing is derived for them"
        found.findings.append(finding("mixed", "", "", text, others))
    _fill(found, "airmass", "elevation", airmass_of)
    if site is not None and days is not None:
        own = np.delete(np.arange(len(found)), others)
        _from_pointing(found, days, site, own)
    _fill(found, "airmass", "elevation", airmass_of)
    _fill(found, "elevation", "airmass", elevation_of)
    if site is not None and {"elevation", "azimuth"} <= set(found.readings):
        angles = parallactic_of(found.readings["elevation"].values, found.readings["azimuth"].values, site.latitude)
        _add(found, "parallactic_angle", "from elevation and azimuth", angles)
    for name in set(found.readings) - before:
        found.readings[name].values[others] = np.nan  # the map's site is not theirs


def _from_pointing(found: Telemetry, days: np.ndarray, site: Site, own: np.ndarray) -> None:
    """What time, site and pointing tell: elevation and azimuth, the sun and the moon, latitudes on the sky."""
    _add(found, "sun_altitude", "from time", places.sun_altitude(days, site))
    moon_ra, moon_dec, moon_longitude, parallax = places.moon_place(days)
    altitude, moon_azimuth = places.horizontal(moon_ra, moon_dec, days, site)
    altitude = altitude - parallax * np.cos(np.deg2rad(altitude))  # seen from the ground, not from the earth's centre
    sun_longitude = places.sun_place(days)[2]
    _add(found, "moon_altitude", "from time", altitude)
    _add(found, "moon_illumination", "from time", places.lit_share(sun_longitude, moon_longitude))
    pointing = _pointing(found)
    if pointing is not None:
        ra, dec = pointing
        here, azimuth = places.horizontal(*places.of_date(ra, dec, days), days, site)
        agrees = _agrees(found, here, own)
        _add(found, "elevation", "from pointing", np.where(agrees, here, np.nan))
        _add(found, "azimuth", "from pointing", np.where(agrees, azimuth, np.nan))
        longitude, latitude = places.ecliptic(ra, dec)
        _add(found, "ecliptic_latitude", "from pointing", latitude)
        _add(found, "ecliptic_longitude", "from pointing", (longitude - sun_longitude + 180) % 360 - 180)
        _add(found, "galactic_latitude", "from pointing", places.galactic_latitude(ra, dec))
    if {"elevation", "azimuth"} <= set(found.readings):
        here, azimuth = found.readings["elevation"].values, found.readings["azimuth"].values
        _add(
            found, "moon_separation", "from time and pointing", places.separation(azimuth, here, moon_azimuth, altitude)
        )


def _agrees(found: Telemetry, elevation: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Rows whose pointing, time and site give the airmass of the file: else one of them is not what it seems."""
    given = found.readings.get("airmass")
    if given is None:
        return elevation > 0
    off = np.abs(airmass_of(elevation) - given.values) > 0.1 * given.values + 0.02
    known = np.isfinite(elevation) & np.isfinite(given.values)
    known[np.setdiff1d(np.arange(len(known)), own)] = False
    rows = np.flatnonzero(off & known)
    if len(rows) > 0.2 * known.sum():
        text = (
            f"{where(rows, found.place)}: is {given.values[rows[0]]:.3g}, but {airmass_of(elevation)[rows[0]]:.3g} by "
            "pointing, time and site: is the time UTC?"
        )
        found.findings.append(finding("pointing", given.source, "airmass", text, rows))
    return (elevation > 0) & ~off


def _pointing(found: Telemetry) -> tuple[np.ndarray, np.ndarray] | None:
    """J2000 (right ascension, declination) [deg], NaN where unknown; None without them."""
    columns, given = Columns.of(found.table), []
    for words, hours in ((found.map.pointing.ra, 15.0), (found.map.pointing.dec, 1.0)):
        values = np.full(len(found), np.nan)
        for name in (name for word in words if (name := columns[word]) is not None):
            column = found.table[name]
            unit = str(getattr(column, "unit", None) or "")
            turned = column.dtype.kind in "OSU" and any(":" in str(value) for value in column[:100])
            new = numbers(column)[0] * (hours if turned or unit in ("h", "hourangle") else 1.0)
            new = np.rad2deg(new) if unit == "rad" else new
            values = np.where(np.isnan(values), new, values)
        given.append(values)
    ra, dec = given
    bad = (ra < -180) | (ra > 360) | (np.abs(dec) > 90)
    ra, dec = np.where(bad, np.nan, ra), np.where(bad, np.nan, dec)
    return (ra, dec) if np.isfinite(ra + dec).any() else None


def _fill(found: Telemetry, name: str, other: str, rule: object) -> None:
    given = found.readings.get(other)
    if given is not None and np.isfinite(given.values).any() and callable(rule):
        _add(found, name, f"from {other}", rule(given.values))


def _add(found: Telemetry, name: str, source: str, values: np.ndarray) -> None:
    old = found.readings.get(name)
    if old is None:
        found.readings[name] = Reading(name, source, "", values, values.copy())
    elif np.isnan(old.values).any() and np.isfinite(values[np.isnan(old.values)]).any():
        old.values = np.where(np.isnan(old.values), values, old.values)
        old.source += f" or {source}"
