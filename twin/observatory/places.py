"""Where sun and moon stood, and where a pointing lies: to some tenths of a degree, for a million times in a second."""

from __future__ import annotations

import numpy as np

from twin.observatory.keywords import Site

_POLE_RA, _POLE_DEC = np.deg2rad(192.85948), np.deg2rad(27.12825)  # north galactic pole, J2000


def _sin(degrees: np.ndarray) -> np.ndarray:
    return np.sin(np.deg2rad(degrees))


def _cos(degrees: np.ndarray) -> np.ndarray:
    return np.cos(np.deg2rad(degrees))


def _equatorial(longitude: np.ndarray, latitude: np.ndarray, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(right ascension, declination) [deg] of ecliptic coordinates [deg]."""
    tilt = 23.439 - 3.6e-7 * (days - 51544.5)
    x = _cos(latitude) * _cos(longitude)
    y = _cos(tilt) * _cos(latitude) * _sin(longitude) - _sin(tilt) * _sin(latitude)
    z = _sin(tilt) * _cos(latitude) * _sin(longitude) + _cos(tilt) * _sin(latitude)
    return np.rad2deg(np.arctan2(y, x)) % 360, np.rad2deg(np.arcsin(np.clip(z, -1, 1)))


def ecliptic(ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(longitude, latitude) [deg] of J2000 equatorial coordinates [deg]."""
    tilt = np.full_like(ra, 23.4393)
    x = _cos(dec) * _cos(ra)
    y = _cos(tilt) * _cos(dec) * _sin(ra) + _sin(tilt) * _sin(dec)
    z = -_sin(tilt) * _cos(dec) * _sin(ra) + _cos(tilt) * _sin(dec)
    return np.rad2deg(np.arctan2(y, x)) % 360, np.rad2deg(np.arcsin(np.clip(z, -1, 1)))


def galactic_latitude(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """[deg] of J2000 equatorial coordinates [deg]."""
    a, d = np.deg2rad(ra), np.deg2rad(dec)
    sine = np.sin(_POLE_DEC) * np.sin(d) + np.cos(_POLE_DEC) * np.cos(d) * np.cos(a - _POLE_RA)
    return np.rad2deg(np.arcsin(np.clip(sine, -1, 1)))


def sun_place(days: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(right ascension, declination, ecliptic longitude) [deg] of the sun at modified Julian dates, to 0.02 deg.

    Astronomical Almanac, section C, low-precision formulae.
    """
    n = days - 51544.5
    g = 357.529 + 0.98560028 * n
    longitude = (280.459 + 0.98564736 * n + 1.915 * _sin(g) + 0.020 * _sin(2 * g)) % 360
    return (*_equatorial(longitude, np.zeros_like(longitude), days), longitude)


def moon_place(days: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(right ascension, declination, ecliptic longitude, horizontal parallax) [deg] of the moon, to 0.3 deg.


    Seen from the centre of the earth. Astronomical Almanac, section D, low-precision formulae; T in Julian centuries
    from J2000.
    """
    t = (days - 51544.5) / 36525
    longitude = (
        218.32 + 481267.881 * t + 6.29 * _sin(135.0 + 477198.87 * t) - 1.27 * _sin(259.3 - 413335.36 * t)
        + 0.66 * _sin(235.7 + 890534.22 * t) + 0.21 * _sin(269.9 + 954397.74 * t) - 0.19 * _sin(357.5 + 35999.05 * t)
        - 0.11 * _sin(186.5 + 966404.03 * t)
    )  # fmt: skip
    latitude = (
        5.13 * _sin(93.3 + 483202.02 * t) + 0.28 * _sin(228.2 + 960400.89 * t) - 0.28 * _sin(318.3 + 6003.15 * t)
        - 0.17 * _sin(217.6 - 407332.21 * t)
    )  # fmt: skip
    parallax = (
        0.9508 + 0.0518 * _cos(135.0 + 477198.87 * t) + 0.0095 * _cos(259.3 - 413335.36 * t)
        + 0.0078 * _cos(235.7 + 890534.22 * t) + 0.0028 * _cos(269.9 + 954397.74 * t)
    )  # fmt: skip
    return (*_equatorial(longitude, latitude, days), longitude % 360, parallax)


def horizontal(ra: np.ndarray, dec: np.ndarray, days: np.ndarray, site: Site) -> tuple[np.ndarray, np.ndarray]:
    """(altitude, azimuth from north over east) [deg] of equatorial coordinates of date [deg], without refraction."""
    hour_angle = 280.46061837 + 360.98564736629 * (days - 51544.5) + site.longitude - ra
    latitude = np.full_like(hour_angle, site.latitude)
    up = _sin(latitude) * _sin(dec) + _cos(latitude) * _cos(dec) * _cos(hour_angle)
    north = _cos(latitude) * _sin(dec) - _sin(latitude) * _cos(dec) * _cos(hour_angle)
    east = -_cos(dec) * _sin(hour_angle)
    return np.rad2deg(np.arcsin(np.clip(up, -1, 1))), np.rad2deg(np.arctan2(east, north)) % 360


def sun_altitude(days: np.ndarray, site: Site) -> np.ndarray:
    """Altitude of the sun [deg] at modified Julian dates (UTC), to 0.02 deg without refraction."""
    return horizontal(*sun_place(days)[:2], days, site)[0]


def of_date(ra: np.ndarray, dec: np.ndarray, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """J2000 coordinates [deg] carried to the equator of date: precession m = 3.075 s, n = 20.04 arcsec a year."""
    years = (days - 51544.5) / 365.25
    safe = np.clip(dec, -89.0, 89.0)
    moved = ra + years * (46.12 + 20.04 * _sin(ra) * np.tan(np.deg2rad(safe))) / 3600
    return moved % 360, np.clip(dec + years * 20.04 * _cos(ra) / 3600, -90, 90)


def separation(a1: np.ndarray, d1: np.ndarray, a2: np.ndarray, d2: np.ndarray) -> np.ndarray:
    """Angle between two directions [deg], by Vincenty's formula."""
    da = a2 - a1
    x = _cos(d1) * _sin(d2) - _sin(d1) * _cos(d2) * _cos(da)
    y = _cos(d2) * _sin(da)
    z = _sin(d1) * _sin(d2) + _cos(d1) * _cos(d2) * _cos(da)
    return np.rad2deg(np.arctan2(np.hypot(x, y), z))


def lit_share(sun_longitude: np.ndarray, moon_longitude: np.ndarray) -> np.ndarray:
    """Lit share of the moon's disc, (1 - cos D) / 2 with the difference D of ecliptic longitudes: to 0.01."""
    return 0.5 * (1 - _cos(moon_longitude - sun_longitude))
