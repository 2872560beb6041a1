"""Lines of hydrogen: Doppler cores, Stark wings of a plasma, self-broadening wings of a neutral gas, NLTE cores."""

from __future__ import annotations

import math

import numpy as np

from twin.simulators.spectra.atmosphere import TAU, Atmosphere, emergent
from twin.simulators.spectra.elements import BOLTZMANN_EV
from twin.simulators.spectra.opacity import HC_EV

_SELF = {3: (1180.0, 0.677), 4: (2320.0, 0.455)}  # [a0^2], power of speed; higher lines: that of H gamma
_VACUUM = (6564.614, 4862.683, 4341.684, 4102.892, 3971.195, 3890.151, 3836.472, 3798.976, 3771.701)  # NIST
_STRENGTH = (0.6407, 0.1193, 0.04467, 0.02209, 0.01270, 0.00804, 0.00543, 0.00385, 0.00283)  # f: Wiese+ 1966


def splitting(upper: int) -> float:
    """K [Angstrom/esu] of the line 2 - `upper`: beta = Delta lambda / (F0 K) has the wing (3/2) beta^(-5/2) from ions.

    H alpha: 2^(-2/3) of <|X|^(3/2)>^(2/3) over its Stark components (Schroedinger 1926), whose shifts are
    8.29e-3 X Angstrom/esu; others 5.5e-5 (2 n)^4 / (n^2 - 4) / (1 + 0.13 / (n - 2)), as fitted by Kurucz (ATLAS9).
    """
    if upper == 3:
        return 8.29e-3 * _components() ** (2 / 3) / 2 ** (2 / 3)
    return 5.5e-5 * (2 * upper) ** 4 / (upper**2 - 4) / (1 + 0.13 / (upper - 2))


def _components() -> float:
    """<|X|^(3/2)> of H alpha's Stark components in a field of any direction: a third pi, two thirds sigma."""
    pi = {2: 729, 3: 2304, 4: 1681, 8: 1}
    sigma = {0: 2745, 1: 1936, 5: 16, 6: 18}  # of +X and -X; half of the middle one to each

    def mean(lines: dict[int, int]) -> float:
        return sum(i * x**1.5 for x, i in lines.items()) / sum(lines.values())

    return (mean(pi) + 2 * mean(sigma)) / 3


def _line(upper: int) -> tuple[float, ...]:
    return (_VACUUM[upper - 3], _STRENGTH[upper - 3], splitting(upper), *_SELF.get(upper, (4208.0, 0.380)))


# vacuum wavelength [Angstrom], f, K, and self-broadening (Barklem, Piskunov & O'Mara 2000, A&A 363, 1091)
BALMER = tuple(_line(upper) for upper in range(3, 12))
H_ALPHA = BALMER[0][0]
_CORE = (3 * math.pi / 2.5 / math.sin(math.pi / 2.5)) ** (5 / 3)  # at which the area is 1
OFFSETS = np.concatenate([[0.0], np.geomspace(0.03, 400.0, 71)])  # Angstrom from the line's middle
# Photons of a Balmer line are lost to the continuum of level 2 with about this probability a scattering; one number,
# at which the core of H alpha in the Sun has its observed 0.16-0.17 of the continuum (Kurucz+ 1984, Solar Flux Atlas)
DESTROYED = 0.065


def stark(beta: np.ndarray, doppler: np.ndarray | float = 0.0) -> np.ndarray:
    """S(beta) = 1.5 / (beta^(5/2) + 9.93 + (2 doppler)^(5/2)): Holtsmark's wing on a flat core, of unit area over both
    wings without `doppler`, the width of Doppler's core on the same scale. The core is nowhere seen: there Doppler's is
    higher or the line saturates."""
    found: np.ndarray = 1.5 / (beta**2.5 + _CORE + (2 * doppler) ** 2.5)
    return found


def profile(offset: np.ndarray, line: tuple[float, ...], atmosphere: Atmosphere) -> np.ndarray:
    """phi_lambda (M, D, L) [1/Angstrom] at offsets (L,) [Angstrom]: the greater of Doppler's and Stark's profile, whose
    wings ions and electrons share equally, and the Lorentz wings of collisions with hydrogen atoms, of half width

    w = (4/pi)^(a/2) Gamma(2 - a/2) v0 sigma(v0) (v/v0)^(1-a) N(H) [rad/s], v0 = 10 km/s.
    """
    wavelength, _, constant, cross, power = line
    t = atmosphere.temperature[..., None]
    doppler = wavelength / 2.99792e5 * np.sqrt(2 * 8.2544e-3 * t + 2.0**2)  # thermal and 2 km/s of turbulence
    core = np.exp(-((offset / doppler) ** 2)) / (math.sqrt(math.pi) * doppler)
    field = 1.25e-9 * np.cbrt(atmosphere.electrons[..., None]) ** 2 * constant
    beta = offset / field
    plasma = stark(beta, doppler / field) / field * (1 + beta**2 / (beta**2 + 64.0))
    speed = np.sqrt(8 * 8.2544e-3 * t * 2 / math.pi)  # km/s, of atoms against each other
    area = cross * 2.8003e-17
    w = (4 / math.pi) ** (power / 2) * math.gamma(2 - power / 2) * 1e6 * area * (speed / 10) ** (1 - power)
    half = w * atmosphere.neutral[..., None] * wavelength**2 * 1e-8 / (2 * math.pi * 2.99792e10)  # Angstrom
    wing = half / (math.pi * (offset**2 + half**2 + doppler**2))
    kept = 1 - half / np.sqrt(half**2 + doppler**2)  # the wings' light is not in the core
    return np.maximum(kept * core, plasma) + wing


def residual(line: tuple[float, ...], atmosphere: Atmosphere, destroyed: float = DESTROYED) -> np.ndarray:
    """Flux over the continuum's (M, L) at OFFSETS of a Balmer line.

    The line scatters: its source is the two-level atom's in the Eddington approximation at constant B,
    S = B [1 - (1 - sqrt e) exp(-sqrt(3 e) tau)], tau that of the line's middle, e = `destroyed` (Mihalas 1978, Stellar
    Atmospheres, 11-2); it is B where e = 1.
    """
    wavelength, strength = line[:2]
    kt = BOLTZMANN_EV * atmosphere.temperature
    second = atmosphere.neutral * 4 * np.exp(-10.199 / kt)
    stimulated = 1 - np.exp(-HC_EV / (wavelength * kt))
    area = 8.8525e-13 * (wavelength * 1e-8) ** 2 * strength * second * stimulated * 1e8  # cm^-1 Angstrom
    background = atmosphere.continuum(wavelength)
    planck = atmosphere.planck(wavelength)
    opacity = area[..., None] * profile(OFFSETS, line, atmosphere)
    weighted = opacity[..., 0] / atmosphere.mean * TAU
    depth = np.cumsum(weighted, 1) * np.log(TAU[1] / TAU[0])
    source = planck * (1 - (1 - math.sqrt(destroyed)) * np.exp(-math.sqrt(3 * destroyed) * depth))
    total = opacity + background[..., None]
    mixed = (opacity * source[..., None] + (background * planck)[..., None]) / total
    found: np.ndarray = emergent(atmosphere, total, mixed) / emergent(atmosphere, background, planck)[:, None]
    return found
