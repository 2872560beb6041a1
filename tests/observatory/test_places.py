"""Sun, moon and pointings against astropy, to the tenths of a degree that are promised."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, get_body, get_sun
from astropy.time import Time
from astropy.utils import iers

from twin.observatory import places
from twin.observatory.derive import parallactic_of
from twin.observatory.keywords import Site

DAYS = 56500.2 + np.linspace(0, 3000, 40)
SITE = Site.model_construct(latitude=-30.17, longitude=-70.81, height=2215.0)


@pytest.fixture(scope="module")
def frame() -> AltAz:
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "ignore"):
        place = EarthLocation(lat=SITE.latitude * u.deg, lon=SITE.longitude * u.deg, height=SITE.height * u.m)
        return AltAz(obstime=Time(DAYS, format="mjd"), location=place)


def test_moon(frame: AltAz) -> None:
    time = frame.obstime
    moon = get_body("moon", time, frame.location)
    ra, dec, longitude, parallax = places.moon_place(DAYS)
    altitude, azimuth = places.horizontal(ra, dec, DAYS, SITE)
    altitude = altitude - parallax * np.cos(np.deg2rad(altitude))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seen = moon.transform_to(frame)
        far = get_sun(time).separation(moon, origin_mismatch="ignore").deg
    assert altitude == pytest.approx(seen.alt.deg, abs=0.5)
    assert places.separation(azimuth, altitude, seen.az.deg, seen.alt.deg).max() < 0.5
    lit = places.lit_share(places.sun_place(DAYS)[2], longitude)
    assert lit == pytest.approx((1 - np.cos(np.deg2rad(far))) / 2, abs=0.02)


def test_pointings(frame: AltAz, rng: np.random.Generator) -> None:
    ra, dec = rng.uniform(0, 360, 40), rng.uniform(-80, 30, 40)
    sky = SkyCoord(ra * u.deg, dec * u.deg)
    seen = sky.transform_to(frame)
    altitude, azimuth = places.horizontal(*places.of_date(ra, dec, DAYS), DAYS, SITE)
    assert places.separation(azimuth, altitude, seen.az.deg, seen.alt.deg).max() < 0.02
    zenith = SkyCoord(alt=np.full(40, 90.0) * u.deg, az=np.zeros(40) * u.deg, frame=frame).transform_to("icrs")
    expected = sky.position_angle(zenith).deg
    found = parallactic_of(altitude, azimuth, SITE.latitude)
    assert np.abs((found - expected + 180) % 360 - 180).max() < 0.5
    ecliptic = sky.barycentricmeanecliptic
    longitude, latitude = places.ecliptic(ra, dec)
    assert latitude == pytest.approx(ecliptic.lat.deg, abs=0.01)
    assert np.abs((longitude - ecliptic.lon.deg + 180) % 360 - 180).max() < 0.02
    assert places.galactic_latitude(ra, dec) == pytest.approx(sky.galactic.b.deg, abs=0.001)
