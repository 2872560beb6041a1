"""A source's photons in a few energies: where the PSF is worked out, and how many photons each stands for."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from twin.observatory.lobster.psf import transmission
from twin.observatory.lobster.telescope import Lobster

EDGES = (0.5, 0.75, 1.0, 1.3, 1.84, 2.4, 4.0)
"""[keV] of the bands: the K edges of aluminium and silicon and the M edges of iridium are among them."""
Photons = Callable[[np.ndarray, np.ndarray], np.ndarray]
_FINE = 24


def bands(telescope: Lobster, photons: Photons, edges: tuple[float, ...] = EDGES) -> tuple[np.ndarray, np.ndarray]:
    """Energies [keV] and photons/cm2/s (bands,) of a source: `photons(low, high)` gives them between energies.

    A band's energy is the mean over the photons that the detector sees; its number is such that times `transmission` at
    that energy it is what the detector sees.
    """
    state = telescope.state()
    energy, number = [], []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        ends = np.linspace(low, high, _FINE + 1)
        middle = (ends[1:] + ends[:-1]) / 2
        seen = photons(ends[:-1], ends[1:]) * np.asarray(transmission(state, telescope.coating, middle))
        energy.append(float((seen * middle).sum() / seen.sum()))
        number.append(float(seen.sum() / transmission(state, telescope.coating, jnp.asarray(energy[-1]))))
    return np.array(energy), np.array(number)
