"""Continuous opacity of a stellar atmosphere [cm^-1]: H-, hydrogen, free electrons, Rayleigh scattering by hydrogen."""

from __future__ import annotations

import numpy as np

from twin.simulators.spectra.elements import BOLTZMANN, BOLTZMANN_EV

_LEVELS = 10  # of hydrogen that are summed
HC_EV = 12398.42  # eV Angstrom


def continuum(wavelength: np.ndarray | float, temperature: np.ndarray, electrons: np.ndarray, neutral: np.ndarray,
              protons: np.ndarray) -> np.ndarray:  # fmt: skip
    """Opacity [cm^-1] at wavelength [Angstrom]; densities [cm^-3] of electrons, neutral hydrogen and protons.

    H- bound-free and free-free: fits in Gray (2005), eqs. 8.11-8.13, to Wishart (1979) and Bell & Berrington (1987).
    H bound-free, Kramers with Gaunt factors (Gray, eqs. 8.4-8.8); free-free with a Gaunt factor of 1.1.
    Thomson; Rayleigh of H (Dalgarno 1962, as in Kurucz 1970, SAO Special Report 309).
    """
    wavelength = np.asarray(wavelength, float)
    kt = BOLTZMANN_EV * temperature
    theta = 5040.0 / temperature
    stimulated = 1 - np.exp(-np.minimum(HC_EV / (wavelength * kt), 80.0))
    pe = electrons * BOLTZMANN * temperature
    # H-
    w = np.clip(wavelength, 2250.0, 16419.0)
    cross = 1.99654 + w * (-1.18267e-5 + w * (2.64243e-6 + w * (
        -4.40524e-10 + w * (3.23992e-14 + w * (-1.39568e-18 + w * 2.78701e-23)))))  # fmt: skip
    cross = np.where(wavelength < 16419.0, np.maximum(cross, 0.0), 0.0) * 1e-18
    bound = 4.158e-10 * cross * pe * theta**2.5 * 10 ** (0.754 * theta) * stimulated
    lw, lt = np.log10(np.clip(wavelength, 2604.0, 113900.0)), np.log10(theta)
    f0 = -2.2763 + lw * (-1.6850 + lw * (0.76661 - 0.0533464 * lw))
    f1 = 15.2827 + lw * (-9.2846 + lw * (1.99381 - 0.142631 * lw))
    f2 = -197.789 + lw * (190.266 + lw * (-67.9775 + lw * (10.6913 - 0.625151 * lw)))
    free = 1e-26 * pe * 10 ** (f0 + lt * (f1 + lt * f2))
    minus = neutral * (bound + free)
    # hydrogen
    rydberg = 1.0967876e-3  # 1 / Angstrom
    hydrogen = np.zeros(np.broadcast_shapes(np.shape(wavelength), np.shape(temperature)))
    for n in range(1, _LEVELS + 1):
        gaunt = 1 - 0.3456 / np.cbrt(wavelength * rydberg) * (wavelength * rydberg / n**2 - 0.5)
        sees = wavelength * rydberg < n**2
        weight = np.exp(-13.598 * (1 - 1 / n**2) / kt) * n**2
        hydrogen = hydrogen + np.where(sees, 1.0449e-26 * wavelength**3 / n**5 * np.maximum(gaunt, 0.1) * weight, 0.0)
    frequency = 2.99792458e18 / wavelength
    ff = 1.1 * 3.692e8 * protons * electrons / np.sqrt(temperature) / frequency**3
    rayleigh = 5.799e-13 / wavelength**4 + 1.422e-6 / wavelength**6 + 2.784 / wavelength**8
    rayleigh = np.where(wavelength > 1300.0, rayleigh, 0.0)
    return minus + (neutral * hydrogen + ff) * stimulated + 6.6524e-25 * electrons + neutral * rayleigh


def rosseland(temperature: np.ndarray, electrons: np.ndarray, neutral: np.ndarray, protons: np.ndarray) -> np.ndarray:
    """Rosseland mean [cm^-1] of `continuum`: 1/k = int (1/k_lambda) dB/dT / int dB/dT over 24 wavelengths."""
    x = np.linspace(0.4, 13.0, 24).reshape((-1,) + (1,) * temperature.ndim)  # h nu / kT
    weight = x**4 * np.exp(x) / np.expm1(x) ** 2
    wavelength = HC_EV / (x * BOLTZMANN_EV * temperature)
    each = continuum(wavelength, temperature, electrons, neutral, protons)
    mean: np.ndarray = weight.sum(0) / (weight / np.maximum(each, 1e-40)).sum(0)
    return mean
