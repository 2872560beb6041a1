"""Channels that follow from others: airmass and elevation from each other, the parallactic angle, where the sun was."""

from __future__ import annotations

import numpy as np

from twin.observatory.convert import Reading, Telemetry
from twin.observatory.times import sun_altitude


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
    site = found.map.site
    _fill(found, "airmass", "elevation", airmass_of)
    _fill(found, "elevation", "airmass", elevation_of)
    if site is not None and {"elevation", "azimuth"} <= set(found.readings):
        angles = parallactic_of(found.readings["elevation"].values, found.readings["azimuth"].values, site.latitude)
        _add(found, "parallactic_angle", "from elevation and azimuth", angles)
    if site is not None and found.days is not None:
        _add(found, "sun_altitude", "from time and site", sun_altitude(found.days, site))


def _fill(found: Telemetry, name: str, other: str, rule: object) -> None:
    given = found.readings.get(other)
    if given is not None and np.isfinite(given.values).any() and callable(rule):
        _add(found, name, f"from {other}", rule(given.values))


def _add(found: Telemetry, name: str, source: str, values: np.ndarray) -> None:
    old = found.readings.get(name)
    if old is None:
        found.readings[name] = Reading(name, source, "", values, values)
    elif np.isnan(old.values).any() and np.isfinite(values[np.isnan(old.values)]).any():
        old.values = np.where(np.isnan(old.values), values, old.values)
        old.source += f" or {source}"
