"""What is no photon: tracks of particles and flickering pixels, as charge in pixels; the light that leaks in."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from twin.observatory.detector.cosmic_rays import losses
from twin.observatory.xray.charge import Charge
from twin.observatory.xray.config import SensorConfig

_PIECES = 24  # of a track
_REACH = 24.0  # pixels a track may cross: at that slant 1 in 1,300 enters


def tracks(rng: np.random.Generator, exposure: float, sensor: SensorConfig) -> Charge:
    """Charge of minimum-ionising particles in `exposure` [s]: isotropic, straight through the sensitive layer, with
    Landau's losses along the way (twin.observatory.detector.cosmic_rays)."""
    count = int(rng.poisson(sensor.track_rate * sensor.area * exposure))
    frames = max(round(exposure / sensor.frame_time), 1)
    cosine = np.sqrt(rng.uniform(1e-6, 1.0, count))  # through a plane p(cos) ~ cos
    across = np.minimum(sensor.depth / sensor.pixel * np.sqrt(1 - cosine**2) / cosine, _REACH)
    path = np.hypot(sensor.depth, across * sensor.pixel)
    padded = max(1 << max(count - 1, 0).bit_length(), 64)  # few shapes to compile
    key = jax.random.key(int(rng.integers(2**31)))
    paths = jnp.asarray(np.pad(path, (0, padded - count), constant_values=sensor.depth))
    lost = np.asarray(losses(key, paths, _PIECES))[:count]
    turn = rng.uniform(0, 2 * np.pi, count)
    along = across[:, None] * (np.arange(_PIECES) + 0.5) / _PIECES
    start = rng.uniform(-0.5, sensor.side - 0.5, (2, count, 1))
    # charge spreads as it drifts: half the photons' cloud on the mean
    spread = 0.5 * sensor.cloud / sensor.pixel * rng.normal(size=(2, count, _PIECES))
    x = np.floor(start[0] + along * np.cos(turn)[:, None] + spread[0] + 0.5).astype(np.int64)
    y = np.floor(start[1] + along * np.sin(turn)[:, None] + spread[1] + 0.5).astype(np.int64)
    frame = np.repeat(rng.integers(0, frames, count), _PIECES)
    return Charge(frame, x.reshape(-1), y.reshape(-1), lost.reshape(-1).astype(float))


def hot_places(sensor: SensorConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and rate [1/s] of the flickering pixels, then of the columns (y = -1): fixed by the serial number."""
    fixed = np.random.default_rng([sensor.serial, 0x407])
    count = int(fixed.binomial(sensor.side**2, sensor.hot_pixels))
    place = fixed.choice(sensor.side**2, count, replace=False) if count else np.zeros(0, np.int64)
    columns = fixed.choice(sensor.side, sensor.hot_columns, replace=False)
    x = np.concatenate([place % sensor.side, columns])
    y = np.concatenate([place // sensor.side, np.full(len(columns), -1)])
    return x, y, sensor.hot_rate * fixed.exponential(size=len(x))


def flickers(rng: np.random.Generator, exposure: float, sensor: SensorConfig) -> Charge:
    """Charge of flickering pixels and columns: threshold plus an exponential excess, in one pixel each time."""
    x, y, rate = hot_places(sensor)
    count = rng.poisson(rate * exposure)
    x, y = np.repeat(x, count), np.repeat(y, count)
    y = np.where(y < 0, rng.integers(0, sensor.side, len(y)), y)
    frame = rng.integers(0, max(round(exposure / sensor.frame_time), 1), len(x))
    return Charge(frame, x, y, sensor.event_threshold + sensor.hot_energy * rng.exponential(size=len(x)))


def leak_at(y: np.ndarray, sensor: SensorConfig) -> np.ndarray:
    """Optical light [electron/pixel/frame], falling linearly from the last row to nothing at the first."""
    return sensor.leak * np.asarray(y, float) / (sensor.side - 1)


def leak_energy(rng: np.random.Generator, y: np.ndarray, sensor: SensorConfig) -> np.ndarray:
    """What leaked light adds to the energies [eV] of events in rows y: its shot noise in 9 pixels.

    The mean is taken off with the bias of each pixel, which is measured in the same light.
    """
    return sensor.pair * np.sqrt(9 * leak_at(y, sensor)) * rng.normal(size=np.shape(y))
