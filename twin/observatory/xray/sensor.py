"""From photons on the sensor to the events of a list: everything the sensor adds, loses and confuses, counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.io.xray import Events
from twin.observatory.xray.charge import REFUSED, Charge, Pulses, deposit_photons, find_pulses
from twin.observatory.xray.config import SensorConfig
from twin.observatory.xray.energy import channels
from twin.observatory.xray.particles import flickers, leak_energy, tracks


@dataclass(frozen=True)
class Exposed:
    """Events of one exposure, and the count of what became of the photons.

    events   in time order, without sky coordinates (the optics know where the sky is)
    photons  that reached the sensor; outside: of them beyond its edge or the exposure
    refused  events whose grade is no X-ray's;  off_scale: whose energy has no channel
    """

    events: Events
    photons: int
    outside: int
    refused: int
    off_scale: int


def expose_photons(
    rng: np.random.Generator,
    time: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    energy: np.ndarray,
    exposure: float,
    sensor: SensorConfig,
    start: float = 0.0,
) -> Exposed:
    """What the sensor makes of photons, its particles and its defects in `exposure` [s].

    time    arrival [s] from the beginning;  energy [eV]
    x, y    place [pixel], DETX and DETY: pixel 1 reaches from 0.5 to 1.5
    start   time of the beginning in the list's own seconds; events have the time of their frame's beginning
    """
    frames = max(round(exposure / sensor.frame_time), 1)
    frame = np.floor(np.asarray(time) / sensor.frame_time).astype(np.int64)
    on = (frame >= 0) & (frame < frames) & (energy > 0)
    on &= (x >= 0.5) & (x < sensor.side + 0.5) & (y >= 0.5) & (y < sensor.side + 0.5)
    light = deposit_photons(rng, frame[on], x[on] - 1, y[on] - 1, energy[on], sensor)
    charge = Charge.joined([light, tracks(rng, exposure, sensor), flickers(rng, exposure, sensor)])
    pulses = find_pulses(rng, charge, sensor)
    measured = pulses.energy + (leak_energy(rng, pulses.y, sensor) if sensor.leak else 0.0)
    pi = channels(measured, sensor)
    good = pulses.grade != REFUSED
    scaled = pi >= 0
    return Exposed(
        _events(pulses, pi, good & scaled, sensor, start),
        photons=len(frame),
        outside=int((~on).sum()),
        refused=int((~good).sum()),
        off_scale=int((good & ~scaled).sum()),
    )


def _events(pulses: Pulses, pi: np.ndarray, keep: np.ndarray, sensor: SensorConfig, start: float) -> Events:
    x, y = ((v[keep] + 1).astype(np.int16) for v in (pulses.x, pulses.y))
    absent = np.full(len(x), -1, np.int16)
    return Events(
        time=start + pulses.frame[keep] * sensor.frame_time,
        x=absent,
        y=absent,
        detx=x,
        dety=y,
        rawx=x,
        rawy=y,
        pi=pi[keep],
        grade=pulses.grade[keep],
    )
