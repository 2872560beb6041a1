"""Bands from throughput curves: wavelengths, AB zero points and synthetic AB photometry.

A band's mean flux density is that of photon counters, <f_nu> = int f_nu S dnu/nu / int S dnu/nu (Fukugita+ 1996, AJ
111, 1748; Tonry+ 2012, ApJ 750, 99), and m_AB = -2.5 log10 <f_nu> - 48.60 (Oke & Gunn 1983, ApJ 266, 713).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from twin.io.tables import read_bytes
from twin.schema import Node, UserError, load_yaml, suggest, validate

PLANCK, LIGHT = 6.62607015e-27, 2.99792458e17  # erg s, nm/s
AB_FLUX = 10 ** (-0.4 * 48.6)  # erg/s/cm2/Hz of magnitude 0
_SHORTEST, _LONGEST = 90.0, 30000.0  # nm
_FINE = 2e-4  # of ln(wavelength), to which curves are resolved in integrals


@dataclass(frozen=True)
class Band:
    """wavelength (n,) [nm], increasing; efficiency (n,), share of the light on the clear aperture that becomes
    electrons; linear in between, 0 beyond."""

    wavelength: np.ndarray
    efficiency: np.ndarray

    def __call__(self, wavelength: np.ndarray) -> np.ndarray:
        """Efficiency at any wavelength [nm]."""
        return np.interp(wavelength, self.wavelength, self.efficiency, left=0.0, right=0.0)

    @cached_property
    def nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Wavelengths (m,) [nm] even in their logarithm and weights S dln(lambda), for integrals over the band."""
        low, high = np.log(self.wavelength[[0, -1]])
        count = int(np.ceil((high - low) / _FINE))
        x = low + (np.arange(count) + 0.5) * (high - low) / count
        return np.exp(x), self(np.exp(x)) * (high - low) / count

    @property
    def effective(self) -> float:
        """[nm] mean wavelength int lambda S dlambda / int S dlambda."""
        x, weight = self.nodes
        return float(np.sum(x * x * weight) / np.sum(x * weight))

    @property
    def pivot(self) -> float:
        """[nm] sqrt(int S lambda dlambda / int S dlambda/lambda): turns f_lambda into f_nu exactly."""
        x, weight = self.nodes
        return float(np.sqrt(np.sum(x * x * weight) / np.sum(weight)))

    def zero_point(self, area: float) -> float:
        """AB magnitude of 1 e-/s through a clear aperture of `area` [m2]: 2.5 log10(f_AB area / h int S dln lambda)."""
        return float(2.5 * np.log10(AB_FLUX * area * 1e4 / PLANCK * np.sum(self.nodes[1])))


def ab_magnitude(band: Band, wavelength: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """AB magnitude of spectra `flux` (..., n) [erg/s/cm2/nm] at `wavelength` (n,) [nm], linear in between, 0 beyond."""
    x, weight = band.nodes
    flat = np.atleast_2d(flux)
    seen = np.stack([np.interp(x, wavelength, row, left=0.0, right=0.0) for row in flat])
    mean = (seen * x**2 / LIGHT) @ weight / weight.sum()
    with np.errstate(divide="ignore"):
        return (-2.5 * np.log10(mean) - 48.6).reshape(np.shape(flux)[:-1])


class _System(BaseModel):
    """A file of twin/configs/throughputs: the instruments that have these bands, and of each [nm, efficiency] or the
    name of a file beside it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    instruments: tuple[str, ...] = Field(min_length=1)
    bands: dict[str, tuple[tuple[float, float], ...] | str] = Field(min_length=1)


@lru_cache(maxsize=1)
def _shipped() -> dict[str, Path]:
    """File of each instrument that has shipped throughputs."""
    folder = Path(str(files("twin") / "configs" / "throughputs"))
    return {
        name: path for path in sorted(folder.glob("*.yaml")) for name in load_yaml(path).value.get("instruments", ())
    }


def list_systems() -> tuple[str, ...]:
    """Instruments whose throughputs are shipped."""
    return tuple(sorted(_shipped()))


def load_bands(instrument: str | Path) -> dict[str, Band]:
    """Bands of an instrument by name, shipped or from a YAML file of the same form. Raises UserError."""
    text, shipped = str(instrument), _shipped()
    if text not in shipped and Path(text).suffix not in (".yaml", ".yml"):
        raise UserError(f'no throughputs for "{text}" (known: {", ".join(shipped)})', suggestion=suggest(text, shipped))
    node: Node = load_yaml(shipped.get(text, Path(text)))
    system = validate(_System, node)
    bands = {}
    for name, pairs in system.bands.items():
        if isinstance(pairs, str):
            bands[name] = read_throughput(Path(node.file).parent / pairs)
            continue
        try:
            bands[name] = _checked(*np.array(pairs, float).reshape(-1, 2).T)
        except ValueError as wrong:
            raise node.error(str(wrong), ("bands", name)) from None
    return bands


def read_throughput(path: str | Path, unit: float = 0.1) -> Band:
    """A curve from a file: text of two columns (as the SVO Filter Profile Service gives them; # begins a comment), or a
    FITS table with columns WAVELENGTH and SENSITIVITY, THROUGHPUT or TRANSMISSION; gzipped or not.

    unit  [nm] of the file's wavelengths, 0.1 for angstrom; a FITS column's own unit goes before it

    Raises UserError for what is no such file, for wavelengths that do not increase or lie outside 90 nm to 30 um, and
    for efficiencies below 0 or above 1.
    """
    data = read_bytes(Path(path))
    wavelength, efficiency = _fits(path, unit) if data.startswith(b"SIMPLE") else _text(path, data, unit)
    try:
        return _checked(wavelength, efficiency)
    except ValueError as wrong:
        raise UserError(str(wrong), file=path) from None


def _text(path: str | Path, data: bytes, unit: float) -> tuple[np.ndarray, np.ndarray]:
    rows = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        words = line.split("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            x, y = (float(word) for word in words)
        except ValueError:
            raise UserError("needs two numbers, wavelength and efficiency", file=path, line=number) from None
        rows.append((x * unit, y))
    table = np.array(rows, float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _fits(path: str | Path, unit: float) -> tuple[np.ndarray, np.ndarray]:
    from astropy import units as u

    from twin.io.tables import read_table

    table = read_table(path)
    names = {name.upper(): name for name in table.colnames}
    seen = next((names[k] for k in ("SENSITIVITY", "THROUGHPUT", "TRANSMISSION") if k in names), None)
    if "WAVELENGTH" not in names or seen is None:
        raise UserError("needs columns WAVELENGTH and SENSITIVITY", file=path, key=", ".join(table.colnames))
    wavelength = table[names["WAVELENGTH"]]
    given = getattr(wavelength, "unit", None)
    try:
        scale = unit if given is None else given.to(u.nm)
    except u.UnitConversionError:
        raise UserError(f"is in {given}, not a length", file=path, key=names["WAVELENGTH"]) from None
    values = [np.asarray(getattr(c, "value", c), float) for c in (wavelength, table[seen])]
    return values[0] * scale, values[1]


def _checked(wavelength: np.ndarray, efficiency: np.ndarray) -> Band:
    """Raises ValueError in plain words."""
    if len(wavelength) < 2:
        raise ValueError("needs at least two wavelengths")
    if not (np.isfinite(wavelength).all() and np.isfinite(efficiency).all()):
        raise ValueError("has values that are not finite")
    if not np.all(np.diff(wavelength) > 0):
        raise ValueError("wavelengths do not increase")
    if wavelength[0] < _SHORTEST or wavelength[-1] > _LONGEST:
        said = f"{wavelength[0]:.4g} to {wavelength[-1]:.4g} nm"
        raise ValueError(f"reaches from {said}, outside {_SHORTEST:g} to {_LONGEST:g} nm: is the unit right?")
    if efficiency.min() < 0 or efficiency.max() > 1 or efficiency.max() == 0:
        raise ValueError(f"efficiencies from {efficiency.min():g} to {efficiency.max():g} are none between 0 and 1")
    return Band(wavelength, efficiency)
