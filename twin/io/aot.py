"""Adaptive optics telemetry (AOT) files, read through `aotpy` where that is installed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.schema import UserError

if TYPE_CHECKING:
    from astropy.table import Table

REFERENCE = 500e-9  # wavelength of the canonical seeing [m]
_GROUND = 300.0  # height of a layer up to which its wind is that at the dome [m]


def read_aot(path: str | Path) -> Table:
    """Atmosphere and pointing of an AOT file (Gomes et al. 2024): one row a time of its atmospheric parameters.

    Columns, with units: time; seeing (or from r0), tau0, outer_scale, wind_speed, wind_direction; elevation, azimuth,
    parallactic_angle of the main telescope, as far as the file has them. From the reference wavelength L to 500 nm:
    seeing (L / 500 nm)^0.2, r0 and tau0 (500 nm / L)^1.2. Of layers with weights w: L0 = (sum w L0^(5/3))^(3/5), which
    keeps the variance of the phase; V likewise, and tau0 = 0.314 r0 / V where none is given (Roddier 1981, Progress in
    Optics 19, 281). Wind at the dome is that of the lowest layer, if it lies below 300 m.
    Raises UserError where aotpy is not installed, and for a file that it cannot read or that has no atmosphere.
    """
    path = Path(path)
    try:
        import aotpy
    except ImportError:
        raise UserError("an AOT file: reading it needs aotpy (pip install aotpy)", file=path) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tables that a file leaves empty
            system = aotpy.AOSystem.read_from_file(str(path), file_type="fits")
    except Exception as error:  # aotpy raises what it likes about files that break its rules
        problem = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"not a readable AOT file: {problem}", file=path) from None
    tables = [rows for each in system.atmosphere_params or () if (rows := _atmosphere(each))]
    if not tables:
        raise UserError("the AOT file has no atmospheric parameters", file=path)
    return _table(max(tables, key=len), system)


def _atmosphere(each: Any) -> dict[str, np.ndarray]:
    """Column name -> values, all of one length, of one set of atmospheric parameters."""
    colour = (each.wavelength or REFERENCE) / REFERENCE
    weight, found = _layers(each.layers_relative_weight), dict[str, np.ndarray]()
    r0 = _list(each.r0) / colour**1.2
    seeing = _list(each.seeing) * colour**0.2
    if not len(seeing) and len(r0):
        seeing = np.rad2deg(0.976 * REFERENCE / r0) * 3600
    if not len(r0) and len(seeing):
        r0 = 0.976 * REFERENCE / np.deg2rad(seeing / 3600)
    found["seeing"], found["tau0"] = seeing, _list(each.tau0) / colour**1.2
    found["outer_scale"] = _pooled(weight, _layers(each.layers_l0))
    speed, height = _layers(each.layers_wind_speed), _layers(each.layers_height)
    wind = _pooled(weight, speed)
    if not len(found["tau0"]) and len(wind) and len(r0):
        found["tau0"] = 0.314 * r0 / wind if len(wind) in (1, len(r0)) else np.zeros(0)
    if height.size and height.shape[1] == speed.shape[1]:
        low = int(np.argmin(height[0]))
        if height[0, low] <= _GROUND:
            found["wind_speed"] = speed[:, low]
            direction = _layers(each.layers_wind_direction)
            found["wind_direction"] = direction[:, low] if direction.shape[1] > low else np.zeros(0)
    times = _list(each.time.timestamps) if each.time is not None else np.zeros(0)
    found = {name: values for name, values in found.items() if len(values)}
    if not found:
        return {}
    n = max(len(values) for values in found.values())
    found = {name: np.broadcast_to(values, (n,)) for name, values in found.items() if len(values) in (1, n)}
    if len(times) == n:
        found["time"] = times
    return found


def _list(values: Any) -> np.ndarray:
    return np.asarray([] if values is None else values, np.float64).ravel()


def _layers(image: Any) -> np.ndarray:
    """(times, layers) of an image of the file; (0, 0) where there is none."""
    data = getattr(image, "data", None)
    return np.zeros((0, 0)) if data is None else np.atleast_2d(np.asarray(data, np.float64))


def _pooled(weight: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(sum w v^(5/3) / sum w)^(3/5) over the layers."""
    if not weight.size or not values.size or weight.shape[1] != values.shape[1]:
        return np.zeros(0)
    return ((weight * values ** (5 / 3)).sum(1) / weight.sum(1)) ** 0.6


def _table(columns: dict[str, np.ndarray], system: Any) -> Table:
    from astropy import units as u
    from astropy.table import QTable

    unit = {"seeing": u.arcsec, "tau0": u.s, "outer_scale": u.m, "wind_speed": u.m / u.s, "wind_direction": u.deg}
    table = QTable(meta={"aot": True})
    for name, values in columns.items():
        table[name] = values if name == "time" else values * unit[name]
    telescope = system.main_telescope
    for name, attribute in (("elevation", "elevation"), ("azimuth", "azimuth"), ("parallactic_angle", "parallactic")):
        value = getattr(telescope, attribute, None)
        if value is not None:
            table[name] = np.full(len(table), float(value)) * u.deg
    return table
