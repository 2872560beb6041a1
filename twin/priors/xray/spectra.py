"""Photon spectra of X-ray sources with interstellar absorption, their fluxes and the counts they make."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import k0e

from twin.io.xray import Arf

ERG = 1.602176634e-9  # of 1 keV

# Morrison & McCammon 1983 (ApJ 270, 119), table 2: from energy [keV], c0, c1, c2; sigma = (c0 + c1 E + c2 E^2) / E^3
_MM83 = np.array(
    [
        (0.030, 17.3, 608.1, -2150.0),
        (0.100, 34.6, 267.9, -476.1),
        (0.284, 78.1, 18.8, 4.3),
        (0.400, 71.4, 66.8, -51.4),
        (0.532, 95.5, 145.8, -61.1),
        (0.707, 308.9, -380.6, 294.0),
        (0.867, 120.6, 169.3, -47.7),
        (1.303, 141.3, 146.8, -31.5),
        (1.840, 202.7, 104.7, -17.0),
        (2.471, 342.7, 18.7, 0.0),
        (3.210, 352.2, 18.7, 0.0),
        (4.038, 433.9, -2.4, 0.75),
        (7.111, 629.0, 30.9, 0.0),
        (8.331, 701.2, 25.2, 0.0),
    ]
)
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(4)


def cross_section(energy: np.ndarray) -> np.ndarray:
    """Photoelectric cross section [cm2 per hydrogen atom] of interstellar gas at `energy` [keV], solar abundances
    (Morrison & McCammon 1983). Below 0.03 and above 10 keV the outermost polynomials are drawn on."""
    energy = np.asarray(energy, float)
    row = np.clip(np.searchsorted(_MM83[:, 0], energy, side="right") - 1, 0, len(_MM83) - 1)
    c0, c1, c2 = _MM83[row, 1], _MM83[row, 2], _MM83[row, 3]
    return 1e-24 * (c0 + c1 * energy + c2 * energy**2) / energy**3


@dataclass(frozen=True)
class Spectrum:
    """N(E) exp(-nh sigma(E)) in photons/cm2/s/keV.

    kind            N(E), E in keV
    powerlaw        norm E^-shape                                     shape: photon index
    blackbody       norm 8.0525 E^2 / (kT^4 (exp(E/kT) - 1))          shape: kT [keV]; norm L39 / D10^2
    bremsstrahlung  norm (sqrt(3)/pi) exp(-E/(2 kT)) K0(E/(2 kT)) / E   shape: kT [keV]

    The last is the optically thin hot plasma's continuum with Born's Gaunt factor (Rybicki & Lightman 1979, section
    5.2). lines: (energy [keV], photons/cm2/s) each, of a plasma's ions or of fluorescence, narrower than any bin.
    nh [1e22/cm2].
    """

    kind: Literal["powerlaw", "blackbody", "bremsstrahlung"]
    shape: float
    norm: float = 1.0
    nh: float = 0.0
    lines: tuple[tuple[float, float], ...] = ()

    def density(self, energy: np.ndarray) -> np.ndarray:
        """Continuum [photons/cm2/s/keV] after absorption."""
        energy = np.asarray(energy, float)
        if self.kind == "powerlaw":
            made = energy**-self.shape
        elif self.kind == "blackbody":
            made = 8.0525 * energy**2 / (self.shape**4 * np.expm1(energy / self.shape))
        else:
            half = energy / (2 * self.shape)
            made = np.sqrt(3) / np.pi * np.exp(-2 * half) * k0e(half) / energy
        return self.norm * made * np.exp(-1e22 * self.nh * cross_section(energy))

    def photons(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Photons/cm2/s in bins `low` to `high` [keV]: Gauss-Legendre with four points, and the lines."""
        total = self._integral(low, high, 0)
        for energy, strength in self.lines:
            seen = strength * np.exp(-1e22 * self.nh * cross_section(np.array(energy)))
            total = total + seen * ((energy >= low) & (energy < high))
        return total

    def _integral(self, low: np.ndarray, high: np.ndarray, power: int) -> np.ndarray:
        half = 0.5 * (np.asarray(high, float) - low)
        energy = (0.5 * (np.asarray(high, float) + low))[..., None] + half[..., None] * _POINTS
        return half * np.sum(_WEIGHTS * self.density(energy) * energy**power, -1)

    def flux(self, low: float = 0.5, high: float = 4.0, absorbed: bool = True) -> float:
        """Energy flux [erg/cm2/s] between two energies [keV]; `absorbed=False`: as it left the source."""
        source = self if absorbed else replace(self, nh=0.0)
        inside = _MM83[:, 0][(_MM83[:, 0] > low) & (_MM83[:, 0] < high)]
        edges = np.unique(np.concatenate([np.geomspace(low, high, 200), inside]))  # no bin across an absorption edge
        total = float(source._integral(edges[:-1], edges[1:], 1).sum())
        for energy, strength in self.lines:
            if low <= energy < high:
                total += energy * strength * float(np.exp(-1e22 * source.nh * cross_section(np.array(energy))))
        return ERG * total

    def scaled_to(self, flux: float, low: float = 0.5, high: float = 4.0, absorbed: bool = True) -> Spectrum:
        """The same spectrum with another flux [erg/cm2/s]."""
        factor = flux / self.flux(low, high, absorbed)
        lines = tuple((energy, strength * factor) for energy, strength in self.lines)
        return replace(self, norm=self.norm * factor, lines=lines)

    def counts(self, arf: Arf, exposure: float, low: float = 0.5, high: float = 4.0) -> float:
        """Expected counts of photons of `low` to `high` [keV] in `exposure` [s]."""
        keep = (arf.low >= low - 1e-9) & (arf.high <= high + 1e-9)
        return exposure * float(np.sum(self.photons(arf.low[keep], arf.high[keep]) * arf.area[keep]))


# The canonical Crab: Toor & Seward 1974 (AJ 79, 995), with the column of Kirsch+ 2005 (SPIE 5898, 22); NuSTAR measured
# 2.106 and 9.71 forty-two years later (Madsen+ 2017, ApJ 841, 56).
CRAB = Spectrum("powerlaw", 2.1, 9.7, nh=0.36)


def from_mcrab(flux: float, low: float = 0.5, high: float = 4.0) -> float:
    """[erg/cm2/s] of a flux in mCrab: thousandths of what the Crab would have without absorption."""
    return 1e-3 * flux * CRAB.flux(low, high, absorbed=False)


def to_mcrab(flux: float, low: float = 0.5, high: float = 4.0) -> float:
    """mCrab of a flux in [erg/cm2/s]."""
    return 1e3 * flux / CRAB.flux(low, high, absorbed=False)
