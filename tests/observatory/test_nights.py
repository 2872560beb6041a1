"""Drawn nights: the laws, the correlations and the independence that the YAML promises."""

import time

import numpy as np
import pytest

from twin.observatory.imager import Imager, load_instrument
from twin.schema import UserError, parse_yaml


@pytest.fixture(scope="module")
def ps1():
    return load_instrument("ps1")


@pytest.fixture(scope="module")
def nights(ps1):
    """(night, exposure, channel) of 20,000 nights."""
    plan = ps1.config.nights
    return ps1.draw_exposures(11, 20000 * plan.exposures).reshape(-1, plan.exposures, len(ps1.channel_names))


def column(ps1, nights, name):
    return nights[..., ps1.channel_names.index(name)].astype(float)


def test_seeing_remembers_itself_as_the_measured_series_does(ps1, nights):
    """Autocorrelation of ln seeing at La Palma: 0.92 after 10 minutes, 0.74 after an hour, 0.51 after four."""
    ln = np.log(column(ps1, nights, "seeing_r"))
    z = (ln - ln.mean()) / ln.std()
    steps = {minutes: minutes * 60 / ps1.config.nights.cadence for minutes in (10, 30, 60, 120)}
    found = {m: np.mean(z[:, : -int(k)] * z[:, int(k) :]) for m, k in steps.items()}
    assert found == pytest.approx({10: 0.92, 30: 0.83, 60: 0.74, 120: 0.63}, abs=0.015)
    if ps1.config.nights.exposures * ps1.config.nights.cadence <= 4 * 3600:  # the night is too short to see four hours
        drift = ps1.telemetry_channels[ps1.channel_names.index("seeing_r")]
        four = drift.night + sum(s * np.exp(-4 * 3600 / tau) for s, tau in drift.drift)
        assert four == pytest.approx(0.51, abs=0.01)


def test_nights_are_independent(ps1, nights):
    z = np.log(column(ps1, nights, "seeing_r"))
    z = (z - z.mean()) / z.std()
    assert abs(np.mean(z[:-1, -1] * z[1:, 0])) < 4 / np.sqrt(len(z))


def test_laws(ps1, nights):
    for name, channel in zip(ps1.channel_names, ps1.telemetry_channels, strict=True):
        values = column(ps1, nights[:, ::6], name).ravel()
        assert channel.low <= values.min() <= values.max() <= channel.high
        if channel.law == "uniform":
            assert np.mean(values) == pytest.approx((channel.low + channel.high) / 2, rel=0.02)
            assert np.std(values) == pytest.approx((channel.high - channel.low) / np.sqrt(12), rel=0.02)
        elif channel.law == "lognormal":
            ln = np.log((values - channel.shift) / (channel.centre - channel.shift))
            kept = ln[(values > channel.low) & (values < channel.high)]
            assert np.median(ln) == pytest.approx(0, abs=0.03 * channel.sigma)
            assert np.std(kept) == pytest.approx(channel.sigma, rel=0.03)
        elif channel.law == "normal":
            assert np.mean(values) == pytest.approx(channel.centre, abs=0.03 * channel.sigma)
            assert np.std(values) == pytest.approx(channel.sigma, rel=0.02)


def test_bands_share_what_they_should(ps1, nights):
    for kind in ("seeing", "sky_brightness", "offset_x"):
        channel = ps1.telemetry_channels[ps1.channel_names.index(f"{kind}_g")]
        g, i = (column(ps1, nights, f"{kind}_{band}")[:, 0] for band in "gi")
        g, i = (np.log(g), np.log(i)) if channel.law == "lognormal" else (g, i)
        assert np.corrcoef(g, i)[0, 1] == pytest.approx(channel.between_bands, abs=0.03)


def test_an_exposure_depends_on_seed_and_number_alone(ps1):
    whole = ps1.draw_exposures(3, 500)
    assert np.array_equal(ps1.draw_exposures(3, 30, start=217), whole[217:247])
    assert np.array_equal(ps1.draw_exposures(3, 500), whole)
    assert not np.any(ps1.draw_exposures(4, 500)[:, 0] == whole[:, 0])
    far = ps1.draw_exposures(3, 2, start=10**9)
    assert far.shape == (2, len(ps1.channel_names))
    assert np.all(np.isfinite(far))
    assert ps1.draw_exposures(3, 0).shape == (0, len(ps1.channel_names))


def test_a_million_exposures_take_seconds(ps1):
    ps1.draw_exposures(0, 1)
    begin = time.monotonic()
    assert ps1.draw_exposures(0, 1_000_000).shape[0] == 1_000_000
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize(("seed", "n"), [(-1, 1), (2**32, 1), (0, -1)])
def test_impossible_draws(ps1, seed, n):
    with pytest.raises(UserError, match="a seed is 0 to 4294967295"):
        ps1.draw_exposures(seed, n)


def test_a_night_level_is_the_same_all_night():
    text = """
name: toy
kind: imager
description: one band
diameter: 1 m
atmosphere: false
pixel_scale: 0.2 arcsec
bands: {g: {wavelength: 500 nm, zero_point: 25 mag, exposure: 10 s}}
detector: {read_noise: 3 e-, saturation: 1000 e-}
nights: {exposures: 5, cadence: 60 s}
channels:
  exptime: {range: [1 s, 1000 s], law: normal, mean: 100 s, sigma: 10 s, night: 1}
  sky_brightness: {range: [15 mag/arcsec2, 25 mag/arcsec2], law: normal, mean: 20 mag/arcsec2, sigma: 0.1 mag/arcsec2}
"""
    drawn = Imager(parse_yaml(text, "toy")).draw_exposures(0, 20).reshape(4, 5, 2)
    assert np.all(drawn[:, :, 0] == drawn[:, :1, 0])
    assert len(np.unique(drawn[:, 0, 0])) == 4
    assert len(np.unique(drawn[:, :, 1])) == 20
