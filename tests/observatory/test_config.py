"""The shipped instruments, and the line that each mistake in an instrument's YAML ends in."""

import numpy as np
import pytest

from twin.observatory.config import find_instrument, list_instruments
from twin.observatory.imager import Imager, load_instrument
from twin.schema import UserError, parse_yaml

GOOD = """\
name: toy
kind: imager
description: two bands, raw frames
diameter: 1 m
atmosphere: false
pixel_scale: 0.2 arcsec
bands:
  g: {wavelength: 500 nm, zero_point: 25 mag, exposure: 10 s}
  r: {wavelength: 600 nm, zero_point: 24 mag, exposure: 10 s}
detector: {gain: 2 e-/ct, read_noise: 3 e-, dark: 0.1 e-/s/px, saturation: 1000 e-}
channels:
  exptime: {range: [1 s, 1000 s], law: constant, value: 40 s}
  sky_brightness:
    per_band: true
    range: [15 mag/arcsec2, 25 mag/arcsec2]
    law: normal
    mean: {g: 21 mag/arcsec2, r: 20 mag/arcsec2}
    sigma: 0.1 mag/arcsec2
  z4: {range: [-100 nm, 100 nm], law: normal, mean: 0 um, sigma: 0.01 um}
"""


def test_shipped_instruments_load():
    assert set(list_instruments()) >= {"csst", "decam", "euclid", "generic", "hst", "ps1"}
    for name in list_instruments():
        imager = load_instrument(name)
        assert imager.name == name
        assert all(channel.low <= channel.centre <= channel.high for channel in imager.telemetry_channels)


def test_facts_of_the_shipped_instruments():
    ps1, csst = load_instrument("ps1"), load_instrument("csst")
    assert ps1.bands == ("g", "r", "i")
    assert (ps1.pixel_scale, csst.pixel_scale) == (0.25, 0.074)
    assert csst.bands == ("nuv", "u", "g", "r", "i", "z", "y")
    assert ps1.optics.wavelengths == pytest.approx((481e-9, 617e-9, 752e-9))
    assert 1 - ps1.optics.obscuration**2 == pytest.approx(0.61, abs=0.01)
    assert (csst.optics.diameter, csst.optics.obscuration, csst.optics.atmosphere) == (2.0, 0.0, False)
    assert csst.config.detector.saturation == 90000


def test_channels_are_in_canonical_units():
    toy = Imager(parse_yaml(GOOD, "toy.yaml"))
    assert toy.channel_names == ("exptime", "sky_brightness_g", "sky_brightness_r", "z4")
    z4 = toy.telemetry_channels[3]
    assert (z4.unit, z4.sigma) == ("nm", pytest.approx(10.0))
    assert [c.centre for c in toy.telemetry_channels[1:3]] == [21.0, 20.0]
    assert [c.band for c in toy.telemetry_channels] == [None, 0, 1, None]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  z4:", "  z5:", "toy.yaml:11: channels: Zernikes must be z4, z5, ... without a gap"),
        ("  z4:", "  defocus:", 'toy.yaml:19: channels.defocus: unknown channel; did you mean "camera_focus"?'),
        ("  exptime:", "  exptme:", 'toy.yaml:12: channels.exptme: unknown channel; did you mean "exptime"?'),
        ("  z4: {range", "  z4: {per_band: true, range", "toy.yaml:19: channels.z4.per_band: is the same in all bands"),
        ("atmosphere: false", "atmosphere: true", 'toy.yaml:11: channels: the channel "seeing" is missing'),
        ("0.1 mag/arcsec2", "-0.1 mag/arcsec2", "toy.yaml:18: channels.sky_brightness.sigma: must not be negative"),
        ("0.1 mag/arcsec2", "0.1", 'toy.yaml:18: channels.sky_brightness.sigma: has no unit: write "0.1 mag/arcsec2"'),
        ("g: 21 mag", "y: 21 mag", "toy.yaml:17: channels.sky_brightness.mean.y: unknown band y"),
        ("{g: 21 mag/arcsec2, r", "{r", "toy.yaml:17: channels.sky_brightness.mean: has no value for the band g"),
        (
            "value: 40 s",
            "value: {g: 40 s}",
            "toy.yaml:12: channels.exptime.value: differs by band, so the channel needs per_band: true",
        ),
        ("value: 40 s", "value: 4000 s", "toy.yaml:12: channels.exptime.value: lies outside the range 1 to 1000 s"),
        ("value: 40 s", "median: 40 s", "toy.yaml:12: channels.exptime.median: does not go with the law constant"),
        (", value: 40 s", "", "toy.yaml:12: channels.exptime: the law constant needs value"),
        (
            "law: constant",
            "law: constnt",
            'toy.yaml:12: channels.exptime.law: must be one of lognormal, normal, uniform, constant, not "constnt"; '
            'did you mean "constant"?',
        ),
        ("[1 s, 1000 s]", "[1000 s, 1 s]", "toy.yaml:12: channels.exptime.range: must go from low to high"),
        ("[1 s, 1000 s]", "[1 m, 1000 s]", 'toy.yaml:12: channels.exptime.range.0: the unit "m" is not one of s'),
        (
            "sigma: 0.01 um",
            "sigma: 0.01 um, shift: 1 nm",
            "toy.yaml:19: channels.z4.shift: does not go with the law normal",
        ),
        (
            "sigma: 0.01 um",
            "sigma: 0.01 um, night: 0.7, drift: [{share: 0.5, time: 1 h}]",
            "toy.yaml:19: channels.z4.night: shares of the variance add up to more than 1",
        ),
        (
            "law: normal, mean: 0 um, sigma: 0.01 um",
            "law: lognormal, median: 0 nm, sigma: 0.1",
            "toy.yaml:19: channels.z4.median: must be above the shift of a lognormal law",
        ),
        (
            "wavelength: 500 nm",
            "wavelength: 500 mm",
            'toy.yaml:8: bands.g.wavelength: must be less than 30000 nm, not "500 mm"',
        ),
        ("diameter: 1 m", "diameter: 1 s", 'toy.yaml:4: diameter: the unit "s" is not one of m'),
        (
            "saturation: 1000 e-",
            "saturaton: 1000 e-",
            'toy.yaml:10: detector.saturaton: unknown key; did you mean "saturation"?',
        ),
    ],
)
def test_mistakes_in_yaml(old, new, expected):
    assert old in GOOD
    with pytest.raises(UserError) as caught:
        Imager(parse_yaml(GOOD.replace(old, new, 1), "toy.yaml"))
    assert str(caught.value) == expected


def test_unknown_instrument(tmp_path):
    known = rf"\(known: {', '.join(list_instruments())}\)"
    with pytest.raises(UserError, match=rf'^unknown instrument "ps2" {known}; did you mean "ps1"\?$'):
        find_instrument("ps2")
    with pytest.raises(UserError, match=r"toy.yaml: no such file$"):
        load_instrument(tmp_path / "toy.yaml")
    (tmp_path / "toy.yaml").write_text(GOOD)
    assert load_instrument(tmp_path / "toy.yaml").name == "toy"
    assert load_instrument(tmp_path / "toy.yaml").draw_exposures(0, 3).shape == (3, 4)
    assert np.all(load_instrument(tmp_path / "toy.yaml").draw_exposures(0, 3)[:, 0] == 40)
