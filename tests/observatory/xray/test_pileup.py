"""Pile-up of event lists: its closed form, and what the sensor makes of the same photons by their charge."""

from __future__ import annotations

import numpy as np
import pytest

from twin.observatory.xray import SensorConfig, expose_photons
from twin.observatory.xray.pileup import pile_up


def piled(*rows: tuple[int, int, int, int, int]) -> list[tuple[int, int, int]]:
    """(index, channel, grade) of what is left of (frame, x, y, channel, grade)."""
    kept, pi, grade = pile_up(*np.array(rows).T)
    return [(int(k), int(pi[k]), int(grade[k])) for k in kept]


def test_events_that_touch_are_one() -> None:
    assert piled((3, 10, 10, 100, 0), (3, 12, 10, 90, 0), (4, 10, 10, 80, 0)) == [(0, 100, 0), (1, 90, 0), (2, 80, 0)]
    assert piled((3, 10, 10, 100, 0), (3, 10, 10, 90, 0)) == [(0, 190, 0)]
    assert piled((3, 10, 10, 90, 0), (3, 11, 10, 100, 0)) == [(1, 190, 2)]  # the second pixel to its left
    assert piled((3, 10, 10, 100, 0), (3, 11, 11, 90, 0)) == []  # across a corner: no X-ray's
    assert piled((3, 10, 10, 100, 3), (3, 10, 11, 90, 0)) == [(0, 190, 6)]  # right and above: an L
    assert piled((3, 10, 10, 100, 0), (3, 11, 10, 90, 0), (3, 12, 10, 80, 0)) == [(0, 190, 3), (2, 80, 0)]
    assert piled((3, 10, 10, 100, 0), (3, 10, 10, 90, 0), (3, 10, 10, 80, 0)) == [(0, 270, 0)]
    none = np.zeros(0, int)
    assert len(pile_up(none, none, none, none, none)[0]) == 0


@pytest.mark.parametrize("rate", [0.002, 0.02])
def test_photons_stay_alone_as_often_as_they_should(rng: np.random.Generator, rate: float) -> None:
    side, frames = 66, 1200
    n = rng.poisson(rate * side**2 * frames)
    frame, x, y = rng.integers(0, frames, n), rng.integers(0, side, n), rng.integers(0, side, n)
    pi, grade = np.full(n, 100), np.zeros(n, int)
    kept, sums, _ = pile_up(frame, x, y, pi, grade)
    alone = np.zeros(n, bool)
    alone[kept] = sums[kept] == 100
    inside = (x > 0) & (x < side - 1) & (y > 0) & (y < side - 1)
    share, error = alone[inside].mean(), np.sqrt(9 * rate / inside.sum())
    # of a chain's ends a few are left untouched by the strongest: second order
    assert abs(share - np.exp(-9 * rate)) < 5 * error + 20 * rate**2
    assert abs(share - np.exp(-25 * rate)) > 5 * error + 20 * rate**2


def test_the_sensor_loses_as_many_by_their_charge(rng: np.random.Generator) -> None:
    """Photons one a frame, piled up by the list; against all of them at once in the sensor's own pixels."""
    sensor = SensorConfig(side=64, hot_pixels=0, read_noise=1.0)
    frames, rate, step = 400, 0.015, sensor.frame_time
    n = rng.poisson(rate * 60**2 * frames)
    x, y = rng.uniform(3, 62, n), rng.uniform(3, 62, n)
    energy, frame = rng.uniform(800, 1600, n), rng.integers(0, frames, n)
    together = expose_photons(rng, (frame + 0.5) * step, x, y, energy, frames * step, sensor)
    apart = expose_photons(rng, (np.arange(n) + 0.5) * step, x, y, energy, n * step, sensor).events
    which = np.round(apart.time / step).astype(int)
    kept, sums, _ = pile_up(frame[which], apart.detx, apart.dety, apart.pi, apart.grade)
    single = len(which)
    assert single > 0.9 * n
    lost, expected = single - len(kept), single - len(together.events.pi)
    assert expected > 0.06 * single
    assert lost == pytest.approx(expected, rel=0.06)
    assert sums[kept].mean() == pytest.approx(together.events.pi.mean(), rel=0.004)
    assert abs(apart.pi.mean() / together.events.pi.mean() - 1) > 0.015
