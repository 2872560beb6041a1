"""A telescope in orbit, and the temperature of a detector: pure functions of channel values."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

_BOLTZMANN = 8.617333e-5  # [eV/K]


def breathing(orbit_phase: Array, amplitude: float, phase: float) -> Array:
    """Defocus z4 [m] of the orbit's warming and cooling: amplitude cos 2 pi (orbit_phase - phase), amplitude in nm.

    The first harmonic of what is seen of the Hubble telescope, some micrometres of its secondary an orbit (Lallo+
    2006, SPIE 6270, 62701N).
    """
    return 1e-9 * amplitude * jnp.cos(2 * jnp.pi * (orbit_phase - phase))


def daylight(orbit_phase: Array, phase: float) -> Array:
    """Share of the brightest earthshine at a phase of the orbit: max(0, cos 2 pi (orbit_phase - phase)), Lambert's law
    for the ground below: day side up, night side dark."""
    return jnp.maximum(jnp.cos(2 * jnp.pi * (orbit_phase - phase)), 0.0)


def gap_of_silicon(temperature: Array) -> Array:
    """Band gap [eV] at `temperature` [K]: 1.1557 - 7.021e-4 T^2 / (1108 + T) (Varshni 1967, Physica 34, 149)."""
    return 1.1557 - 7.021e-4 * temperature**2 / (1108 + temperature)


def dark_ratio(temperature: Array, reference: float, gap: float | None = None) -> Array:
    """Dark current at `temperature` over that at `reference` [K].

    D ~ T^1.5 exp(-Eg / 2kT) (Janesick 2001, Scientific Charge-Coupled Devices, eq. 7.22), Eg of silicon, or `gap` [eV].
    """
    t0 = jnp.float32(reference)
    here, there = (gap_of_silicon(t) if gap is None else jnp.float32(gap) for t in (temperature, t0))
    exponent = (there / t0 - here / temperature) * (0.5 / _BOLTZMANN)
    return (temperature / t0) ** 1.5 * jnp.exp(exponent)
