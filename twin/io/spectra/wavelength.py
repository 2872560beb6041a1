"""Wavelengths in air and in vacuum."""

from __future__ import annotations

import numpy as np


def air_to_vacuum(wavelength: np.ndarray) -> np.ndarray:
    """Vacuum wavelengths of air wavelengths, both in angstrom.

    lambda_vacuum = n lambda_air,
    n = 1 + 8.336624212083e-5 + 2.408926869968e-2 / (130.1065924522 - s^2) + 1.599740894897e-4 / (38.92568793293 - s^2)
    with s = 1e4 / lambda_air: N. Piskunov's inverse of `vacuum_to_air` for the VALD database (Ryabchikova et al. 2015,
    Phys. Scr. 90, 054005), the one that the Ondrejov archive's users apply. Holds above 2,000 A.
    """
    s2 = (1e4 / np.asarray(wavelength, np.float64)) ** 2
    n = 1 + 8.336624212083e-5 + 2.408926869968e-2 / (130.1065924522 - s2) + 1.599740894897e-4 / (38.92568793293 - s2)
    return wavelength * n


def vacuum_to_air(wavelength: np.ndarray) -> np.ndarray:
    """Air wavelengths (15 C, 101,325 Pa, 0.045 % CO2) of vacuum wavelengths, both in angstrom.

    lambda_air = lambda_vacuum / n,
    n = 1 + 8.34254e-5 + 2.406147e-2 / (130 - s^2) + 1.5998e-4 / (38.9 - s^2) with s = 1e4 / lambda_vacuum
    (Morton 2000, ApJS 130, 403, equation 8, after Birch & Downs 1994). Holds above 2,000 A.
    """
    s2 = (1e4 / np.asarray(wavelength, np.float64)) ** 2
    n = 1 + 8.34254e-5 + 2.406147e-2 / (130 - s2) + 1.5998e-4 / (38.9 - s2)
    return wavelength / n
