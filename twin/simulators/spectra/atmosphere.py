"""Model atmospheres: plane-parallel, in hydrostatic and local thermodynamic equilibrium, with a given T(tau).

They are for profiles of hydrogen and of strong metal lines at survey resolution: no line blanketing, no molecules in
the equation of state, no convection but what T(tau) of the Sun has of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.simulators.spectra.elements import (
    MASS_PER_H,
    electron_density,
    hydrogen_density,
    stages,
)
from twin.simulators.spectra.opacity import HC_EV, continuum, rosseland

DEPTHS = 48
TAU = np.geomspace(1e-6, 60.0, DEPTHS)  # Rosseland optical depths


@dataclass(frozen=True)
class Atmosphere:
    """Models (M,) at depths TAU (D,).

    temperature [K], electrons, neutral, protons, hydrogen [cm^-3], mean (Rosseland) opacity [cm^-1]: all (M, D)
    metallicity [Fe/H] (M, 1)
    """

    temperature: np.ndarray
    electrons: np.ndarray
    neutral: np.ndarray
    protons: np.ndarray
    mean: np.ndarray
    metallicity: np.ndarray

    @property
    def hydrogen(self) -> np.ndarray:
        return self.neutral + self.protons

    def continuum(self, wavelength: float) -> np.ndarray:
        """Opacity (M, D) [cm^-1] at a wavelength [Angstrom]."""
        return continuum(wavelength, self.temperature, self.electrons, self.neutral, self.protons)

    def planck(self, wavelength: float) -> np.ndarray:
        """B_lambda (M, D), in units of 2 h c^2 / (5,000 Angstrom)^5."""
        x = HC_EV / (wavelength * 8.617333e-5 * self.temperature)
        return (5000.0 / wavelength) ** 5 / np.expm1(x)


def temperature(teff: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """T [K] of T^4 = (3/4) Teff^4 (tau + q(tau)).

    q of the Sun (Krishna Swamy 1966, ApJ 145, 174), 1.39 - 0.815 exp(-2.54 tau) - 0.025 exp(-30 tau), below 7,000 K;
    the exact grey q (Hopf; fit of 0.7104 - 0.1331 exp(-3.4488 tau), Unsoeld 1955) above 8,500 K; linear between.
    """
    sun = 1.39 - 0.815 * np.exp(-2.54 * tau) - 0.025 * np.exp(-30 * tau)
    grey = 0.7104 - 0.1331 * np.exp(-3.4488 * tau)
    hot = np.clip((teff - 7000.0) / 1500.0, 0, 1)
    found: np.ndarray = teff * (0.75 * (tau + sun + hot * (grey - sun))) ** 0.25
    return found


def atmospheres(teff: np.ndarray, logg: np.ndarray, metallicity: np.ndarray) -> Atmosphere:
    """Models (M,) by integration of dP/dtau = g_eff / k inwards (midpoint rule in ln tau); k: opacity a gram.

    g_eff = g - k sigma Teff^4 / c is held above g / 10: beyond, no star is static.
    """
    t = temperature(teff[:, None], TAU)
    gravity = 10.0**logg
    step = np.log(TAU[1] / TAU[0])

    def opacity(t: np.ndarray, p: np.ndarray) -> np.ndarray:
        ne = electron_density(t, p, metallicity)
        h = hydrogen_density(t, p, ne, metallicity)
        neutral, protons, _ = stages("H", t, ne)
        return rosseland(t, ne, neutral * h, protons * h) / (h * MASS_PER_H)

    def slope(t: np.ndarray, p: np.ndarray, tau: float) -> np.ndarray:
        k = opacity(t, p)
        light = k * 5.6704e-5 * teff**4 / 2.9979e10
        return np.maximum(gravity - light, gravity / 10) * tau / k

    pressure = np.empty_like(t)
    p = gravity * TAU[0] / 0.01
    for _ in range(6):
        p = np.sqrt(p * np.maximum(slope(t[:, 0], p, TAU[0]), 1e-12))
    pressure[:, 0] = p
    for k in range(DEPTHS - 1):
        half = p + slope(t[:, k], p, TAU[k]) * step / 2
        middle = TAU[k] * np.exp(step / 2)
        p = p + slope(temperature(teff, middle), half, middle) * step
        pressure[:, k + 1] = p
    feh = metallicity[:, None]
    ne = electron_density(t, pressure, feh)
    h = hydrogen_density(t, pressure, ne, feh)
    neutral, protons, _ = stages("H", t, ne)
    mean = rosseland(t, ne, neutral * h, protons * h)
    return Atmosphere(t, ne, neutral * h, protons * h, mean, feh)


_MU, _WEIGHT = np.polynomial.legendre.leggauss(3)


def emergent(atmosphere: Atmosphere, opacity: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Flux F = 2 int_0^1 mu dmu int S exp(-tau/mu) dtau/mu of opacity and source (M, D) or (M, D, L): (M,) or (M, L).

    mu by Gauss and Legendre's 3 points; S linear in tau within a layer.
    """
    extra = opacity.ndim - 2
    mean = atmosphere.mean.reshape(atmosphere.mean.shape + (1,) * extra)
    grid = TAU.reshape((-1,) + (1,) * extra)
    weighted = opacity / mean * grid  # d tau / d ln tau_R
    steps = 0.5 * (weighted[:, 1:] + weighted[:, :-1]) * np.log(TAU[1] / TAU[0])
    tau = np.concatenate([weighted[:, :1], weighted[:, :1] + np.cumsum(steps, 1)], 1)
    source = np.broadcast_to(source, tau.shape)
    flux = np.zeros(tau.shape[:1] + tau.shape[2:])
    for x, w in zip(_MU, _WEIGHT, strict=True):
        mu = (x + 1) / 2
        e = np.exp(-np.minimum(tau / mu, 80.0))
        d = np.maximum(np.diff(tau / mu, axis=1), 1e-12)
        lost = e[:, :-1] - e[:, 1:]
        gradient = np.diff(source, axis=1) / d
        part = source[:, :-1] * e[:, :-1] - source[:, 1:] * e[:, 1:] + gradient * lost
        inner = source[:, -1] * e[:, -1]
        flux = flux + w * mu * (part.sum(1) + source[:, 0] * (1 - e[:, 0]) + inner)
    return flux
