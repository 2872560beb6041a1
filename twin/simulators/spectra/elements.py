"""Elements of a stellar atmosphere: abundances, ionisation, and who holds how many electrons.

ABUNDANCE  log10 N(X)/N(H) + 12 of the Sun (Asplund+ 2009, ARA&A 47, 481)
LADDER     ionisation energies [eV] of the first two stages and statistical weights of three (NIST; partition functions
           at 6,000 K of the first two: Gray 2005, Observation and Analysis of Stellar Photospheres, table D.2)
"""

from __future__ import annotations

import numpy as np

BOLTZMANN_EV = 8.617333e-5  # eV / K
BOLTZMANN = 1.380649e-16  # erg / K

ABUNDANCE = {
    "He": 10.93, "C": 8.43, "O": 8.69, "Ne": 7.93, "Na": 6.24, "Mg": 7.60, "Al": 6.45, "Si": 7.51, "K": 5.03,
    "Ca": 6.34, "Ti": 4.95, "Fe": 7.50, "Ni": 6.22, "Sr": 2.87, "Ba": 2.18,
}  # fmt: skip
WEIGHT = {
    "He": 4.0, "C": 12.0, "O": 16.0, "Ne": 20.2, "Na": 23.0, "Mg": 24.3, "Al": 27.0, "Si": 28.1, "K": 39.1,
    "Ca": 40.1, "Ti": 47.9, "Fe": 55.8, "Ni": 58.7, "Sr": 87.6, "Ba": 137.3,
}  # fmt: skip
LADDER = {
    "H": (13.598, 99.0, 2.0, 1.0, 1.0),
    "He": (24.587, 54.418, 1.0, 2.0, 1.0),
    "C": (11.260, 24.383, 9.3, 5.9, 1.0),
    "O": (13.618, 35.117, 8.7, 4.0, 9.0),
    "Ne": (21.565, 40.963, 1.0, 5.4, 9.0),
    "Na": (5.139, 47.287, 2.0, 1.0, 6.0),
    "Mg": (7.646, 15.035, 1.0, 2.0, 1.0),
    "Al": (5.986, 18.829, 5.9, 1.0, 2.0),
    "Si": (8.152, 16.346, 9.5, 5.9, 1.0),
    "K": (4.341, 31.625, 2.2, 1.0, 6.0),
    "Ca": (6.113, 11.872, 1.2, 2.3, 1.0),
    "Ti": (6.828, 13.576, 33.0, 56.0, 28.0),
    "Fe": (7.902, 16.199, 30.0, 43.0, 25.0),
    "Ni": (7.640, 18.169, 30.0, 11.0, 20.0),
    "Sr": (5.695, 11.030, 1.3, 2.2, 1.0),
    "Ba": (5.212, 10.004, 2.8, 4.0, 1.0),
}
_DONORS = ("He", "C", "Na", "Mg", "Al", "Si", "K", "Ca", "Fe")


def stages(element: str, temperature: np.ndarray, electrons: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of an element's atoms in its first three stages at temperature [K] and electrons [cm^-3], by Saha's law

    n_1 n_e / n_0 = 2 (U_1 / U_0) (2 pi m k T / h^2)^(3/2) exp(-chi / kT).
    """
    first, second, u0, u1, u2 = LADDER[element]
    states = 2 * 2.4146e15 * temperature**1.5 / electrons
    kt = BOLTZMANN_EV * temperature
    one = states * (u1 / u0) * np.exp(-first / kt)
    two = one * states * (u2 / u1) * np.exp(-second / kt)
    total = 1 + one + two
    return 1 / total, one / total, two / total


def number(element: str, metallicity: np.ndarray) -> np.ndarray:
    """N(X)/N(H) at [Fe/H]; helium is the Sun's."""
    scale = 1.0 if element == "He" else 10.0 ** np.asarray(metallicity)
    return 10.0 ** (ABUNDANCE[element] - 12) * scale


def electron_density(temperature: np.ndarray, pressure: np.ndarray, metallicity: np.ndarray) -> np.ndarray:
    """n_e [cm^-3] of a gas at temperature [K] and pressure [dyn/cm^2]: charges balance, and
    n_e + n_nuclei = P / kT. Found by bisection of ln n_e; no molecules, so below 4,000 K it is a guide alone."""
    particles = pressure / (BOLTZMANN * temperature)
    share = {"H": np.ones_like(temperature), **{e: number(e, metallicity) for e in _DONORS}}
    nuclei_per_h = sum(share.values())
    low, high = np.log(particles * 1e-12), np.log(particles * 0.55)
    saha = {}
    for e in share:
        first, second, u0, u1, u2 = LADDER[e]
        states = 2 * 2.4146e15 * temperature**1.5
        kt = BOLTZMANN_EV * temperature
        saha[e] = states * (u1 / u0) * np.exp(-first / kt), states * (u2 / u1) * np.exp(-second / kt)
    for _ in range(28):
        middle = (low + high) / 2
        ne = np.exp(middle)
        charge = np.zeros_like(ne)
        for e, (a, b) in saha.items():
            one = a / ne
            two = one * b / ne
            charge = charge + share[e] * (one + 2 * two) / (1 + one + two)
        short = charge * (particles - ne) / nuclei_per_h > ne
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.exp((low + high) / 2)


def hydrogen_density(temperature: np.ndarray, pressure: np.ndarray, electrons: np.ndarray,
                     metallicity: np.ndarray) -> np.ndarray:  # fmt: skip
    """Nuclei of hydrogen [cm^-3]."""
    per_h = 1 + sum(number(e, metallicity) for e in _DONORS)
    return np.maximum(pressure / (BOLTZMANN * temperature) - electrons, 1e-30) / per_h


MASS_PER_H = 1.6735e-24 * (1 + 4.0 * 10 ** (ABUNDANCE["He"] - 12) + 0.014)  # g
