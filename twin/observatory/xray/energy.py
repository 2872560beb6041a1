"""Energy of an event: resolution, channels, and the response matrix that follows from them."""

from __future__ import annotations

import numpy as np

from twin.io.xray import Rmf, gaussian_rmf
from twin.observatory.xray.config import SensorConfig

SUMMED = 9  # pixels of an event: the charge of all of them is its energy


def energy_sigma(energy: np.ndarray, sensor: SensorConfig) -> np.ndarray:
    """Standard deviation [eV] of the measured energy of photons of `energy` [eV]:

    sigma^2 = F w E + 9 (w r)^2 + (g E)^2

    with the Fano factor F, the pair energy w, the read noise r of each of the 9 pixels summed, and the gain spread g
    (e.g. Janesick 2001, Scientific Charge-Coupled Devices, section 2.1.3, for the first two).
    """
    energy = np.asarray(energy, float)
    fano = sensor.fano * sensor.pair * energy
    return np.sqrt(fano + SUMMED * (sensor.pair * sensor.read_noise) ** 2 + (sensor.gain_spread * energy) ** 2)


def channels(energy: np.ndarray, sensor: SensorConfig) -> np.ndarray:
    """PI of measured energies [eV]; -4095, EP's own null, for those outside the channels."""
    pi = np.floor(np.asarray(energy, float) / sensor.channel).astype(np.int32)
    return np.where((pi >= 0) & (pi < sensor.channels), pi, -4095).astype(np.int32)


def built_rmf(low: np.ndarray, high: np.ndarray, sensor: SensorConfig) -> Rmf:
    """The sensor's matrix for photon energy bins `low` to `high` [keV]: Gaussian, with `energy_sigma`."""
    edges = sensor.channel * 1e-3 * np.arange(sensor.channels + 1)
    sigma = 1e-3 * energy_sigma(500.0 * (np.asarray(low) + np.asarray(high)), sensor)
    return gaussian_rmf(np.asarray(low), np.asarray(high), edges[:-1], edges[1:], sigma)
