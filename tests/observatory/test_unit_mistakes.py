"""Every unit mistake is named with the likely unit; the same channel in the right unit is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from twin.io.units import convert, unit
from twin.observatory.kinds import KINDS
from twin.observatory.unit_mistakes import CANDIDATES, unit_mistake

N = 200


def normal_values(kind: str) -> np.ndarray:
    """What a working telescope on a mountain of 2,200 m would write, in canonical units."""
    rng = np.random.default_rng(5)
    z = rng.standard_normal(N)
    u = rng.uniform(size=N)
    return {
        "seeing": 0.8 * np.exp(0.3 * z), "measured_fwhm": 1.1 * np.exp(0.2 * z), "elevation": 35 + 50 * u,
        "azimuth": 360 * u, "wind_direction": 360 * u, "parallactic_angle": 360 * u - 180, "pressure": 780 + 3 * z,
        "humidity": 0.05 + 0.7 * u, "outside_temperature": 9 + 4 * z, "mirror_temperature": 8 + 3 * z,
        "truss_temperature": -4 + 3 * z, "wind_speed": 5 * np.abs(z) + 0.5, "detector_temperature": 173 + 0.2 * z,
        "exptime": np.choose((4 * u).astype(int), [30.0, 90.0, 120.0, 900.0]), "sky_brightness": 20.5 + 0.7 * z,
        "hexapod_x": 300 + 100 * z, "hexapod_z": 2400 + 200 * z, "z4": 150 * z, "z7": 60 * z,
        "outer_scale": 22 * np.exp(0.4 * z), "tau0": 0.004 * np.exp(0.4 * z), "airmass": 1 + 0.8 * u,
        "transparency": 1 - 0.3 * u, "moon_illumination": u,
        "guider_rms": 0.1 * np.exp(0.3 * z),
    }[kind]  # fmt: skip


MISTAKES = [  # (channel, what the file says, what its numbers are in)
    ("outside_temperature", "deg_C", "K"), ("outside_temperature", "K", "deg_C"),
    ("mirror_temperature", "deg_C", "deg_F"),
    ("truss_temperature", "K", "deg_C"), ("detector_temperature", "K", "deg_C"), ("detector_temperature", "deg_C", "K"),
    ("pressure", "hPa", "Pa"), ("pressure", "Pa", "hPa"), ("pressure", "hPa", "kPa"), ("pressure", "hPa", "inHg"),
    ("humidity", "", "percent"), ("humidity", "percent", ""),
    ("hexapod_x", "m", "um"), ("hexapod_z", "m", "um"), ("hexapod_z", "um", "m"),
    ("hexapod_z", "mm", "um"), ("z4", "m", "nm"), ("z4", "um", "nm"), ("z7", "nm", "m"), ("elevation", "deg", "rad"),
    ("azimuth", "deg", "rad"), ("wind_direction", "deg", "rad"), ("parallactic_angle", "deg", "rad"),
    ("seeing", "arcsec", "mas"), ("seeing", "arcsec", "rad"), ("seeing", "deg", "arcsec"),
    ("wind_speed", "m/s", "km/h"),
    ("measured_fwhm", "arcsec", "deg"), ("exptime", "s", "ms"), ("tau0", "s", "ms"), ("outer_scale", "m", "cm"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "said", "true"), MISTAKES)
def test_a_unit_mistake_is_named(kind: str, said: str, true: str) -> None:
    canonical = unit(KINDS[kind].unit)
    raw = convert(normal_values(kind), canonical, unit(true))
    values = convert(raw, unit(said), canonical)
    found = unit_mistake(kind, raw, values, said)
    assert found is not None
    assert true in found.likely
    assert found.certain == ((kind, said) not in [("wind_speed", "m/s"), ("exptime", "s")])
    assert len(found.rows)


OTHERS = {"airmass", "transparency", "moon_illumination", "guider_rms", "sky_brightness"}


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in MISTAKES} | OTHERS))
def test_the_right_unit_is_left_alone(kind: str) -> None:
    values = normal_values(kind)
    for name in CANDIDATES[KINDS[kind].unit] or (KINDS[kind].unit,):
        raw = convert(values, unit(KINDS[kind].unit), unit(name))
        assert unit_mistake(kind, raw, convert(raw, unit(name), unit(KINDS[kind].unit)), name) is None, name


@pytest.mark.parametrize(
    ("kind", "value"),
    [("outside_temperature", -38.0), ("outside_temperature", 33.0), ("pressure", 590.0), ("pressure", 1015.0),
     ("humidity", 1.0), ("wind_speed", 11.0), ("wind_speed", 0.0), ("seeing", 0.4), ("exptime", 7200.0),
     ("exptime", 0.05), ("azimuth", 180.0), ("elevation", 40.0),
     ("detector_temperature", 38.0), ("hexapod_z", 14806.0), ("hexapod_x", 0.0), ("z4", 0.0), ("sky_brightness", 14.5)],
)  # fmt: skip
def test_extreme_sites_and_instruments_are_left_alone(kind: str, value: float) -> None:
    values = np.full(50, value) * (1 + 1e-4 * np.arange(50))
    assert unit_mistake(kind, values, values, KINDS[kind].unit) is None


def test_a_few_bad_values_are_no_unit_mistake() -> None:
    values = normal_values("outside_temperature")
    values[:60] = -999
    assert unit_mistake("outside_temperature", values, values, "deg_C") is None
    values[:120] = -999  # more than half: something is wrong with the channel, and no unit explains it
    found = unit_mistake("outside_temperature", values, values, "deg_C")
    assert found is not None
    assert found.certain
    assert found.likely == ()


def test_small_angles_of_a_short_night_are_left_alone() -> None:
    values = np.linspace(1.0, 1.02, 30)
    assert unit_mistake("azimuth", values, values, "deg") is None
    assert unit_mistake("azimuth", values[:5] * np.arange(5), values[:5], "deg") is None
