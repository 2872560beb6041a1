"""Rest-frame spectra of galaxies, quasars and stars from a few numbers each (twin/configs/seds), and the gas between.

A continuum is a sum of black bodies or a broken power law, times edges (bluewards of which light is lost), absorption
bands, a smooth correction and dust; emission lines are added by equivalent width. Neighbouring templates of a family
form a sequence from blue to red.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from twin.schema import load_yaml, validate

STEP = 1e-3  # of ln(wavelength)
REST = 60.0 * np.exp(STEP * np.arange(3900))  # nm, to 2960
LYMAN_LIMIT = 91.175  # nm
_LEAST_WIDTH = 1.5 * STEP  # sigma of a line: narrower ones would fall between the samples
# Lyman alpha to delta [nm] and the forest's and damped systems' coefficients (Inoue+ 2014, MNRAS 442, 1805, table 2)
_LYMAN = (
    (121.567, (1.690e-2, 2.354e-3, 1.026e-4), (1.617e-4, 5.390e-5)),
    (102.572, (4.692e-3, 6.536e-4, 2.849e-5), (1.545e-4, 5.151e-5)),
    (97.2537, (2.239e-3, 3.119e-4, 1.360e-5), (1.498e-4, 4.992e-5)),
    (94.9743, (1.319e-3, 1.837e-4, 8.010e-6), (1.460e-4, 4.868e-5)),
)
Pair = tuple[float, float]
Triple = tuple[float, float, float]


class Template(BaseModel):
    """A spectrum f_lambda.

    blackbodies  (temperature [K], share of f_lambda at 550 nm)
    power_law    (wavelength [nm] up to which it holds, slope of f_lambda); the last holds beyond
    edges        (wavelength [nm], share of the light left bluewards, width [nm] of the step)
    bands        (wavelength [nm], amplitude, sigma [nm]): factors 1 + amplitude times a Gaussian
    correction   (wavelength [nm], mag), linear in ln(wavelength), constant beyond its ends
    lines        (wavelength [nm], equivalent width [nm], sigma [nm])
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    blackbodies: tuple[Pair, ...] = ()
    power_law: tuple[Pair, ...] = ()
    edges: tuple[Triple, ...] = ()
    bands: tuple[Triple, ...] = ()
    correction: tuple[Pair, ...] = ()
    lines: tuple[Triple, ...] = ()


class Mix(BaseModel):
    """A step of a sequence: shares of f_lambda at 550 nm of named templates, behind dust of A_V [mag].

    tilt  power of the wavelength by which all of it is multiplied
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    of: dict[str, float] = Field(min_length=1)
    dust: float = 0.0
    tilt: float = 0.0


class Family(BaseModel):
    """A sequence of spectra, from blue to red."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    templates: dict[str, Template] = Field(min_length=1)
    sequence: tuple[Mix, ...] = Field(min_length=2)


def spectrum(t: Template) -> np.ndarray:
    """f_lambda at REST, the continuum 1 at 550 nm."""
    at = np.searchsorted(REST, 550.0)
    x = 1.438777e7 / REST  # hc / (k lambda) [K]
    continuum = np.zeros_like(REST)
    for temperature, share in t.blackbodies:
        planck = REST**-5.0 / np.expm1(np.minimum(x / temperature, 500.0))
        continuum += share * planck / planck[at]
    if t.power_law:
        slopes, ends = [slope for _, slope in t.power_law], [end for end, _ in t.power_law[:-1]]
        slope = np.array(slopes)[np.searchsorted(ends, REST)]
        continuum += np.exp(np.cumsum(slope) * STEP)
    for wavelength, left, width in t.edges:
        continuum *= 1 - (1 - left) * 0.5 * (1 - np.tanh((REST - wavelength) / width))
    for wavelength, amplitude, sigma in t.bands:
        continuum *= 1 + amplitude * np.exp(-0.5 * ((REST - wavelength) / sigma) ** 2)
    if t.correction:
        nodes, magnitudes = np.array(t.correction).T
        continuum *= 10 ** (-0.4 * np.interp(np.log(REST), np.log(nodes), magnitudes))
    continuum /= continuum[at]
    total = continuum.copy()
    for wavelength, width, sigma in t.lines:
        sigma = max(sigma, _LEAST_WIDTH * wavelength)
        profile = np.exp(-0.5 * ((REST - wavelength) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
        total += width * profile * np.interp(wavelength, REST, continuum)
    return total


def _screen(a_v: float, slope: float = 0.7) -> np.ndarray:
    """Transmission at REST of dust with A = a_v (lambda / 550 nm)^-slope (Charlot & Fall 2000, ApJ 539, 718)."""
    return 10 ** (-0.4 * a_v * (REST / 550.0) ** -slope)


def sequence(family: Family) -> np.ndarray:
    """f_lambda (T, len(REST)) of a family's steps."""
    each = {name: spectrum(template) for name, template in family.templates.items()}
    return np.stack(
        [
            sum((share * each[name] for name, share in step.of.items()), np.zeros_like(REST))
            * _screen(step.dust)
            * (REST / 550.0) ** step.tilt
            for step in family.sequence
        ]
    )


@lru_cache(maxsize=8)
def load_family(name: str) -> Family:
    """A shipped family: galaxy, quasar or star."""
    return validate(Family, load_yaml(Path(str(files("twin") / "configs" / "seds" / f"{name}.yaml"))))


def transmission(wavelength: np.ndarray, z: float) -> np.ndarray:
    """Mean share of the light of a source at redshift z that the gas between leaves at observed wavelengths [nm].

    Lyman alpha to delta and the continuum of Inoue+ 2014 (MNRAS 442, 1805, eqs 21-29); higher lines are left out.
    """
    depth = np.zeros_like(wavelength, dtype=float)
    for line, forest, damped in _LYMAN:
        y = wavelength / line
        inside = (y > 1) & (y < 1 + z)
        lines = np.where(
            y < 2.2, forest[0] * y**1.2, np.where(y < 5.7, forest[1] * y**3.7, forest[2] * y**5.5)
        ) + np.where(y < 3, damped[0] * y**2, damped[1] * y**3)
        depth += np.where(inside, lines, 0.0)
    y = wavelength / LYMAN_LIMIT
    depth += np.where((y > 1) & (y < 1 + z), np.maximum(_forest_limit(y, z) + _damped_limit(y, z), 0.0), 0.0)
    share: np.ndarray = np.exp(-depth)
    return share


def _forest_limit(y: np.ndarray, z: float) -> np.ndarray:
    """Optical depth of the forest beyond the Lyman limit, y = observed wavelength / limit."""
    s = 1 + z
    if s < 2.2:
        return 0.325 * (y**1.2 - s**-0.9 * y**2.1)
    if s < 5.7:
        near = 2.55e-2 * s**1.6 * y**2.1 + 0.325 * y**1.2 - 0.250 * y**2.1
        return np.where(y < 2.2, near, 2.55e-2 * (s**1.6 * y**2.1 - y**3.7))
    near = 5.22e-4 * s**3.4 * y**2.1 + 0.325 * y**1.2 - 3.14e-2 * y**2.1
    middle = 5.22e-4 * s**3.4 * y**2.1 + 0.218 * y**2.1 - 2.55e-2 * y**3.7
    return np.where(y < 2.2, near, np.where(y < 5.7, middle, 5.22e-4 * (s**3.4 * y**2.1 - y**5.5)))


def _damped_limit(y: np.ndarray, z: float) -> np.ndarray:
    """The same of damped systems."""
    s = 1 + z
    if s < 3:
        return 0.211 * s**2 - 7.66e-2 * s**2.3 * y**-0.3 - 0.135 * y**2
    near = 0.634 + 4.70e-2 * s**3 - 1.78e-2 * s**3.3 * y**-0.3 - 0.135 * y**2 - 0.291 * y**-0.3
    return np.where(y < 3, near, 4.70e-2 * s**3 - 1.78e-2 * s**3.3 * y**-0.3 - 2.92e-2 * y**3)
