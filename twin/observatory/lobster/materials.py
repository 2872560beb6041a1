"""Optical constants of mirrors, filters and detectors in X-rays, from tables of atomic scattering factors.

n = 1 - delta + i beta,   delta + i beta = r_e lambda^2 N / (2 pi) (f1 + i f2),   absorption mu = 4 pi beta / lambda
[1/m]

(Henke, Gullikson & Davis 1993, ADNDT 54, 181), N atoms per m3. Which table is taken is a choice: `henke` or `chantler`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal, get_args

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

Table = Literal["henke", "chantler"]
TABLES: tuple[str, ...] = get_args(Table)
ENERGIES = (0.1, 12.0)  # [keV] between which the tables are used
_ELECTRON_RADIUS = 2.8179403e-15  # [m]
_AVOGADRO = 6.02214076e23
WAVELENGTH = 1.23984198e-9  # [m] of a photon of 1 keV


@dataclass(frozen=True)
class Element:
    """density [g/cm3], atomic weight [g/mol]"""

    density: float
    weight: float


# Iridium's is the 22.42 that the reference ray traces were made with; sputtered films are up to some per cent less
# dense.
ELEMENTS = {
    "Ir": Element(22.42, 192.217),
    "Au": Element(19.32, 196.967),
    "Al": Element(2.699, 26.982),
    "Si": Element(2.329, 28.085),
    # in compounds only: as if 1 g/cm3
    "O": Element(1.0, 15.999),
    "N": Element(1.0, 14.007),
}
# Films as grown: density [g/cm3], atoms of each element in a molecule.
COMPOUNDS: dict[str, tuple[float, dict[str, int]]] = {
    "SiO2": (2.20, {"Si": 1, "O": 2}),
    "Si3N4": (3.17, {"Si": 3, "N": 4}),
}


@lru_cache(maxsize=1)
def _read() -> dict[tuple[str, str], np.ndarray]:
    """(table, element): (3, nodes) log energy [keV], f1, f2."""
    found = {}
    for table in TABLES:
        text = (files("twin") / "configs" / "optical_constants" / f"{table}.csv").read_text()
        rows = [line.split(",") for line in text.splitlines() if line and line[0] not in "#e"]
        for element in ELEMENTS:
            values = np.array([row[1:] for row in rows if row[0] == element], float).T
            found[table, element] = np.stack([np.log(values[0] / 1e3), values[1], values[2]])
    return found


def constants(element: str, table: Table, energy: ArrayLike) -> tuple[Array, Array]:
    """delta and beta of an element at photon energies [keV], linear in log energy between the table's nodes."""
    log_energy, f1, f2 = (jnp.asarray(row, jnp.float32) for row in _read()[table, element])
    at = jnp.log(jnp.asarray(energy, jnp.float32))
    what = ELEMENTS[element]
    scale = _ELECTRON_RADIUS * WAVELENGTH**2 * what.density * 1e6 * _AVOGADRO / what.weight / (2 * np.pi)
    unit = scale * jnp.exp(-2 * at)
    # all nodes compared at once: a search in steps is a loop, which costs more
    low = jnp.clip(jnp.searchsorted(log_energy, at, side="right", method="compare_all") - 1, 0, len(log_energy) - 2)
    part = jnp.clip((at - log_energy[low]) / (log_energy[low + 1] - log_energy[low]), 0, 1)
    return unit * (f1[low] + part * (f1[low + 1] - f1[low])), unit * (f2[low] + part * (f2[low + 1] - f2[low]))


def absorption(material: str, table: Table, energy: ArrayLike) -> Array:
    """Linear absorption coefficient [1/m] at photon energies [keV] of an element, or of a compound: the sum of its
    atoms'."""
    if material in COMPOUNDS:
        density, atoms = COMPOUNDS[material]
        weight = sum(number * ELEMENTS[name].weight for name, number in atoms.items())
        parts = {name: density * number * ELEMENTS[name].weight / weight for name, number in atoms.items()}
        return sum(
            (rho / ELEMENTS[name].density * absorption(name, table, energy) for name, rho in parts.items()),
            jnp.zeros(()),
        )
    beta = constants(material, table, energy)[1]
    return 4 * np.pi / WAVELENGTH * jnp.asarray(energy, jnp.float32) * beta
