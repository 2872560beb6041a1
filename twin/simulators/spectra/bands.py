"""Molecular bands of cool stars: titanium oxide and calcium hydride, as optical depths with sharp heads.

A band begins at its head and fades to the red, tau = s a exp(-(lambda - head) / width). Heads: Kirkpatrick, Henry &
McCarthy (1991, ApJS 77, 417, table 5). Strengths `a` against TiO's band at 7126 Angstrom and `width` are estimates from
published sequences of M dwarfs (the same; Bochanski+ 2007, AJ 133, 531), no molecular constants: a recipe scatters them
from star to star.
"""

from __future__ import annotations

import numpy as np

# head [Angstrom, vacuum], strength, width [Angstrom]
TIO = (
    (4763.0, 0.60, 60.0), (4956.0, 0.80, 70.0), (5168.0, 0.80, 80.0), (5449.0, 0.55, 70.0), (5761.0, 0.45, 40.0),
    (5848.0, 0.70, 60.0), (6160.0, 0.50, 50.0), (6189.0, 0.30, 45.0), (6271.0, 0.15, 40.0), (6324.0, 0.13, 60.0),
    (6450.0, 0.12, 45.0), (6514.0, 0.05, 18.0), (6571.0, 0.08, 60.0), (6598.0, 0.08, 60.0), (6631.0, 0.09, 70.0),
    (6653.0, 0.16, 50.0), (6683.0, 0.25, 60.0), (6716.0, 0.25, 70.0), (6748.0, 0.15, 60.0), (6782.0, 0.12, 60.0),
    (6817.0, 0.12, 60.0), (7056.0, 0.55, 90.0), (7090.0, 0.50, 90.0), (7128.0, 0.55, 130.0), (7592.0, 0.40, 90.0),
    (7668.0, 0.60, 130.0), (7830.0, 0.15, 120.0), (8208.0, 0.20, 100.0), (8434.0, 0.60, 70.0), (8862.0, 0.60, 90.0),
)  # fmt: skip
CAH = (
    (6347.0, 0.25, 12.0), (6383.0, 0.45, 8.0), (6390.0, 0.45, 10.0), (6752.0, 0.25, 50.0), (6816.0, 0.6, 25.0),
    (6832.0, 0.4, 25.0), (6905.0, 0.5, 30.0), (6923.0, 0.4, 40.0), (6948.0, 0.4, 45.0),
)  # fmt: skip

# TiO5, the flux at 7126-7135 over that at 7042-7046 Angstrom: spectral type = 8.2 - 10.775 TiO5 from K7 (-1) to M6
# (Reid, Hawley & Gizis 1995, AJ 110, 1838); temperatures of the types: Pecaut & Mamajek (2013, ApJS 208, 9)
_TYPE = np.array([-3.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
_TEFF = np.array([4450.0, 4050.0, 3850.0, 3680.0, 3560.0, 3430.0, 3210.0, 3060.0, 2810.0])


def titanium_oxide(teff: np.ndarray | float, metallicity: np.ndarray | float = 0.0) -> np.ndarray:
    """-ln TiO5 of a dwarf of Teff [K], times 10^([Fe/H]/2): it takes one atom of titanium, and one of oxygen."""
    index = (8.2 - _TYPE) / 10.775
    depth = np.maximum(-np.log(np.minimum(index, 1.0)), 0.0)
    depth[0] = 0.0
    found: np.ndarray = np.interp(teff, _TEFF[::-1], depth[::-1]) * 10 ** (0.5 * np.asarray(metallicity))
    return found


def depth(bands: tuple[tuple[float, float, float], ...], wavelength: np.ndarray) -> np.ndarray:
    """Optical depth (L,) at wavelength [Angstrom] for a unit of strength; a head rises over 1.5 Angstrom."""
    found = np.zeros_like(wavelength)
    for head, strength, width in bands:
        x = wavelength - head
        found += strength * np.exp(-np.maximum(x, 0) / width) / (1 + np.exp(-np.clip(x / 0.75, -60, 60)))
    return found
