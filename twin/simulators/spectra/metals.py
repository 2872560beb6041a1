"""Lines of metals and helium: equivalent widths and depths in a model atmosphere, from twin/configs/lines."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np

from twin.simulators.spectra.atmosphere import Atmosphere, emergent
from twin.simulators.spectra.elements import BOLTZMANN_EV, LADDER, WEIGHT, number, stages
from twin.simulators.spectra.opacity import HC_EV

_GRID = np.concatenate([np.linspace(0, 3, 9), np.geomspace(4, 60, 6)])  # Doppler widths from the line's middle


@dataclass(frozen=True)
class Line:
    """wavelength in vacuum [Angstrom], stage 0 for the neutral atom, excitation [eV] of the lower level."""

    wavelength: float
    element: str
    stage: int
    excitation: float
    loggf: float


def vacuum(air: np.ndarray | float) -> np.ndarray | float:
    """Vacuum wavelength [Angstrom] of one in standard air (N. Piskunov's inverse of Morton 2000, ApJS 130, 403,
    as VALD uses it)."""
    s = 1e4 / np.asarray(air, float)
    n = (
        1
        + 8.336624212083e-5
        + 2.408926869968e-2 / (130.1065924522 - s**2)
        + 1.599740894897e-4 / (38.92568793293 - s**2)
    )
    found: np.ndarray = air * n
    return found


@lru_cache(maxsize=1)
def metal_lines() -> tuple[Line, ...]:
    """The shipped list."""
    text = (files("twin") / "configs" / "lines" / "metals.csv").read_text()
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(
        Line(float(vacuum(float(r["wavelength"]))), r["element"], int(r["stage"]) - 1, float(r["excitation"]),
             float(r["loggf"]))
        for r in rows
    )  # fmt: skip


def strengths(line: Line, atmosphere: Atmosphere, micro: float = 1.1) -> tuple[np.ndarray, np.ndarray]:
    """Equivalent width [Angstrom] and depth of the middle (M,) of a line.

    LTE, Voigt's profile as exp(-v^2) + a / (sqrt(pi) (v^2 + 1)); damping by radiation (1e8 /s) and by hydrogen atoms
    (half of Gray 2005, eq. 11.30, as Barklem+ 2000, A&AS 142, 467, have it for Fe I 6593 and Ca I 6439); turbulence
    `micro` [km/s].
    """
    t = atmosphere.temperature
    kt = BOLTZMANN_EV * t
    share = stages(line.element, t, atmosphere.electrons)[line.stage]
    atoms = share * number(line.element, atmosphere.metallicity) * atmosphere.hydrogen
    lower = atoms * np.exp(-line.excitation / kt) / LADDER[line.element][2 + line.stage]
    stimulated = 1 - np.exp(-HC_EV / (line.wavelength * kt))
    w = line.wavelength
    area = 8.8525e-13 * (w * 1e-8) ** 2 * 10**line.loggf * lower * stimulated * 1e8  # cm^-1 Angstrom
    doppler = w / 2.99792e5 * np.sqrt(2 * 8.2544e-3 * t / WEIGHT[line.element] + micro**2)
    left = max(LADDER[line.element][min(line.stage, 1)] - line.excitation, 0.5)
    upper = max(left - HC_EV / w, 0.3)
    c6 = 0.3e-30 * (1 / upper**2 - 1 / left**2) * (line.stage + 1) ** 2
    pressure = np.maximum(atmosphere.hydrogen * 1.38e-16 * t, 1e-10)
    damping = 0.5 * 10 ** (20 + 0.4 * math.log10(max(c6, 1e-34)) + np.log10(pressure) - 0.7 * np.log10(t)) + 1e8
    a = damping * w**2 * 1e-8 / (4 * math.pi * 2.99792e10) / doppler
    v = _GRID.astype(np.float32)
    shape = (np.exp(-(v**2)) + a[..., None] / (math.sqrt(math.pi) * (v**2 + 1))) / math.sqrt(math.pi)
    background = atmosphere.continuum(w)
    planck = atmosphere.planck(w)
    opacity = (area / doppler)[..., None] * shape + background[..., None]
    flux = emergent(atmosphere, opacity.astype(np.float32), planck.astype(np.float32)[..., None])
    lost = 1 - flux / emergent(atmosphere, background, planck)[:, None]
    # offsets in Angstrom of a mean Doppler width: the middle of the line-forming layers
    middle = doppler[:, np.searchsorted(np.geomspace(1e-6, 60.0, doppler.shape[1]), 0.1)]
    return 2 * np.trapezoid(lost, _GRID, axis=1) * middle, lost[:, 0]
