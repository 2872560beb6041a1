"""Energies, grades and pile-up against their closed forms; defects and tracks against their rates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import ndtri
from scipy.stats import chi2

from twin.io.xray import read_events
from twin.observatory.xray import (
    SensorConfig,
    built_rmf,
    channels,
    deposit_photons,
    energy_sigma,
    expose_photons,
    find_pulses,
    grade_fractions,
)
from twin.observatory.xray.charge import REFUSED, Charge, shares
from twin.observatory.xray.particles import flickers, hot_places, leak_at, leak_energy, tracks

QUIET = SensorConfig(read_noise=0, fano=0, gain_spread=0, hot_pixels=0)


def spread_photons(rng: np.random.Generator, count: int, energy: float, sensor: SensorConfig) -> Charge:
    """One photon a frame, anywhere in a pixel near the middle."""
    x, y = 2000 + rng.uniform(-0.5, 0.5, (2, count))
    return deposit_photons(rng, np.arange(count), x, y, np.full(count, energy), sensor)


def test_resolution_is_that_of_the_sensors_flown() -> None:
    """LEIA's four: 120-140 eV at 1.25 keV, 170-190 eV at 4.5 keV."""
    low, high = 2.3548 * energy_sigma(np.array([1250.0, 4500.0]), SensorConfig())
    assert 120 <= low <= 140
    assert 170 <= high <= 190


@pytest.mark.parametrize("energy", [700.0, 3000.0])
def test_measured_energies_follow_the_built_response(rng: np.random.Generator, energy: float) -> None:
    """Photon by photon through charge, noise and summing, against the matrix: the mean, the width and the channels."""
    sensor = SensorConfig()
    pulses = find_pulses(rng, spread_photons(rng, 20_000, energy, sensor), sensor)
    good = pulses.energy[pulses.grade != REFUSED]
    sigma = float(energy_sigma(np.array(energy), sensor))
    assert abs(good.mean() - energy) < 5 * sigma / np.sqrt(len(good)) + 2
    assert abs(good.std() / sigma - 1) < 0.04
    rmf = built_rmf(np.array([energy / 1000 - 1e-4]), np.array([energy / 1000 + 1e-4]), sensor)
    assert rmf.matrix.shape == (1, 1024)
    found = np.bincount(channels(good, sensor), minlength=1024)
    groups = np.add.reduceat(np.stack([found, rmf.matrix[0] * len(good)]), np.arange(0, 1024, 4), axis=1)
    groups = groups[:, groups[1] > 20]
    assert np.sum((groups[0] - groups[1]) ** 2 / groups[1]) < chi2.ppf(0.9999, groups.shape[1])


def test_energies_without_a_channel_are_null() -> None:
    assert channels(np.array([-1.0, 0.0, 10239.9, 10240.0]), SensorConfig()).tolist() == [-4095, 0, 1023, -4095]


@pytest.mark.parametrize("energy", [500.0, 1000.0, 2500.0])
def test_grades_have_the_fractions_of_the_error_functions(rng: np.random.Generator, energy: float) -> None:
    """Photons drawn against the integral over the pixel; a cloud of another width is refused by the same test."""
    count = 20_000
    pulses = find_pulses(rng, spread_photons(rng, count, energy, QUIET), QUIET)
    found = np.bincount(pulses.grade, minlength=33)[:13]

    def distance(sensor: SensorConfig) -> float:
        mean = count * grade_fractions(energy, sensor)
        seen = mean > 10
        return float(np.sum((found - mean)[seen] ** 2 / mean[seen]) / chi2.ppf(0.9999, int(seen.sum())))

    lost = 1 - grade_fractions(energy, QUIET).sum()  # shared by four pixels, below the threshold in each
    assert abs(len(pulses.grade) - count * (1 - lost)) <= 5 * np.sqrt(count * lost * (1 - lost)) + 1e-9
    assert distance(QUIET) < 1
    assert distance(QUIET.model_copy(update={"cloud": 1.1 * QUIET.cloud})) > 1


def test_single_pixels_are_those_far_from_the_edges() -> None:
    """Where a cloud is much smaller than a pixel: P(single) = (1 - 2 d)^2, d = sigma Phi^-1(1 - t / E)."""
    sensor = SensorConfig(cloud=1.0)
    d = sensor.cloud / sensor.pixel * ndtri(1 - sensor.split_threshold / 1500)
    assert abs(grade_fractions(1500.0, sensor)[0] - (1 - 2 * d) ** 2) < 0.004


@pytest.mark.real
def test_the_real_grades_are_those_of_the_cloud(real_data: Path) -> None:
    """Singles, doubles, triples and squares of both lists of EP240219a, against each event's own probabilities."""
    sensor = SensorConfig()
    found, mean = np.zeros(4), np.zeros(4)
    groups = (slice(0, 1), slice(1, 5), slice(5, 9), slice(9, 13))
    for name in ("src", "bkg"):
        _, events = read_events(real_data / f"xray/heapy_wxt/EP240219a_wxt44_{name}.evt")
        found += [np.bincount(events.grade, minlength=13)[group].sum() for group in groups]
        for pi, count in zip(*np.unique(events.pi // 20 * 20 + 10, return_counts=True), strict=True):
            share = grade_fractions(10.0 * pi, sensor, 100)
            mean += count * np.array([share[group].sum() for group in groups]) / share.sum()
    print(found, mean.round(1))
    assert np.sum((found - mean) ** 2 / mean) < chi2.ppf(0.99, 3)


def test_grades_are_named_by_their_pattern(rng: np.random.Generator) -> None:
    def grade(*pixels: tuple[int, int]) -> int:
        x, y = np.array([(5, 5), *pixels]).T
        energy = np.array([900.0] + [300.0] * len(pixels))
        pulses = find_pulses(rng, Charge(np.zeros(len(x), int), x, y, energy), QUIET)
        assert len(pulses.grade) == 1
        assert pulses.energy[0] == 900 + 300 * len(pixels)
        return int(pulses.grade[0])

    up, left, right, down = (5, 6), (4, 5), (6, 5), (5, 4)
    assert [grade(), grade(up), grade(left), grade(right), grade(down)] == [0, 1, 2, 3, 4]
    assert [grade(up, left), grade(up, right), grade(down, left), grade(down, right)] == [5, 6, 7, 8]
    assert [grade(up, left, (4, 6)), grade(down, right, (6, 4))] == [9, 12]
    assert [grade(up, down), grade((6, 6)), grade(up, left, right), grade(up, (4, 4))] == [REFUSED] * 4


def test_clouds_keep_their_charge() -> None:
    np.testing.assert_allclose(shares(np.array([-0.5, 0.0, 0.3]), 0.27).sum(-1), 1, atol=2e-4)
    np.testing.assert_array_equal(shares(np.array([0.4]), 0.0), [[0, 1, 0]])


@pytest.mark.parametrize("rate", [0.002, 0.02])
def test_pile_up_has_its_probability(rng: np.random.Generator, rate: float) -> None:
    """Photons at `rate` a pixel and frame, each in one pixel: exp(-9 rate) of them have no other in their 3 x 3."""
    sensor = QUIET.model_copy(update={"side": 256, "cloud": 0.0})
    frames = 20
    count = rng.poisson(rate * frames * 256**2)
    frame, x, y = rng.integers(0, frames, count), *rng.integers(0, 256, (2, count)).astype(float)
    energy = rng.uniform(500, 1500, count)
    pulses = find_pulses(rng, deposit_photons(rng, frame, x, y, energy, sensor), sensor)
    kept = np.isin(np.round(pulses.energy, 6), np.round(energy, 6)) & (pulses.grade == 0)
    expected = np.exp(-9 * rate)
    edge = 4 / 256 * 3 * rate  # pixels at the edge have fewer neighbours
    assert abs(kept.sum() / count - expected) < edge + 8 * np.sqrt(expected * (1 - expected) / count)
    assert len(pulses.energy) < count


def test_two_photons_in_touching_pixels_are_one_event(rng: np.random.Generator) -> None:
    sensor = QUIET.model_copy(update={"cloud": 0.0})
    charge = deposit_photons(rng, [0, 0, 1], np.array([7.0, 8, 7]), np.array([9.0, 9, 9]), np.full(3, 1000.0), sensor)
    pulses = find_pulses(rng, charge, sensor)
    np.testing.assert_allclose(np.sort(pulses.energy), [1000, 2000])


def test_photons_become_events_and_all_are_counted(rng: np.random.Generator) -> None:
    count, exposure = 3000, 500.0
    time = rng.uniform(-5, exposure, count)
    x, y = rng.uniform(-10, 4100, (2, count))
    energy = rng.uniform(500, 4000, count)
    out = expose_photons(rng, time, x, y, energy, exposure, SensorConfig(hot_pixels=0), start=100.0)
    assert out.photons == count
    inside = count - out.outside
    assert 0.97 * inside < len(out.events) + out.refused + out.off_scale <= inside + 3
    assert (out.events.time >= 100).all()
    assert (out.events.time < 600).all()
    since = (out.events.time - 100) / 0.05
    np.testing.assert_allclose(since, np.round(since), atol=1e-6)
    assert (np.diff(out.events.time) >= 0).all()
    assert out.events.detx.min() >= 1
    assert out.events.detx.max() <= 4096
    again = expose_photons(np.random.default_rng(1), time, x, y, energy, exposure, SensorConfig())
    twice = expose_photons(np.random.default_rng(1), time, x, y, energy, exposure, SensorConfig())
    np.testing.assert_array_equal(again.events.pi, twice.events.pi)


def test_defects_are_fixed_and_flicker_at_their_rate(rng: np.random.Generator) -> None:
    sensor = SensorConfig(hot_pixels=1e-5, hot_columns=2, hot_rate=0.5, serial=7)
    x, y, rate = hot_places(sensor)
    np.testing.assert_array_equal(hot_places(sensor)[0], x)
    assert (y < 0).sum() == 2
    assert not np.array_equal(hot_places(sensor.model_copy(update={"serial": 8}))[0][:5], x[:5])
    charge = flickers(rng, 200.0, sensor)
    assert abs(len(charge.x) - 200 * rate.sum()) < 5 * np.sqrt(200 * rate.sum())
    assert (charge.energy >= sensor.event_threshold).all()
    assert np.isin(charge.x, x).all()


def test_tracks_have_their_rate_and_the_losses_of_the_layer(rng: np.random.Generator) -> None:
    """10 um cost a minimum-ionising particle about xi (ln(2 m c^2 xi / (hbar omega_p)^2) + 0.2) = 1.8 keV at least
    as often as anything else; the slanted ones leave several pixels, and grades that are refused."""
    sensor = SensorConfig(track_rate=0.5, cloud=0.0)
    charge = tracks(rng, 200.0, sensor)
    count = len(np.unique(np.arange(len(charge.x)) // 24))
    assert abs(count - 0.5 * sensor.area * 200) < 5 * np.sqrt(0.5 * sensor.area * 200)
    loss = charge.energy.reshape(-1, 24).sum(1)
    assert 1500 < np.median(loss) < 5000
    pulses = find_pulses(rng, charge, sensor)
    refused = (pulses.grade == REFUSED).mean()
    assert 0.02 < refused < 0.6


def test_leaked_light_blurs_energies_by_its_shot_noise(rng: np.random.Generator) -> None:
    sensor = SensorConfig(leak=25.0)
    assert leak_at(np.array([0, 4095]), sensor).tolist() == [0, 25]
    assert abs(leak_energy(rng, np.full(20_000, 4095), sensor).std() / (3.65 * np.sqrt(9 * 25)) - 1) < 0.03


def test_impossible_sensors_are_refused() -> None:
    with pytest.raises(ValidationError, match="split_threshold is above event_threshold"):
        SensorConfig(split_threshold=300)
    with pytest.raises(ValidationError, match="hot_columns: the sensor has 10"):
        SensorConfig(side=10, hot_columns=11)
