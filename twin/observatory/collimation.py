"""Alignment of the optics -> Zernikes: a sensitivity matrix, focus drift of the truss, a map over the field."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.observatory.effects import Collimation, FieldMap
from twin.observatory.kinds import KINDS
from twin.observatory.modes import double_zernike, fit_double_zernike
from twin.schema import Node, suggest
from twin.schema.units import parse_quantity

HIGHEST = 37  # Noll index that a matrix or a map may reach


def noll(name: str, node: Node, path: tuple[str | int, ...]) -> int:
    """4 of "z4". Raises UserError for anything but z4 .. z37."""
    digits = name[1:]
    if name[:1] != "z" or not digits.isdecimal() or not 4 <= int(digits) <= HIGHEST:
        raise node.error(f"must be a Zernike, z4 to z{HIGHEST}", path)
    return int(digits)


def sensitivity_matrix(config: Collimation, node: Node) -> dict[str, np.ndarray]:
    """{channel: (HIGHEST - 3,) optical path of z4 .. [m] for one unit of the channel}.

    Linear: small misalignments of stiff optics (Schechter & Levinson 2011, PASP 123, 812). Raises UserError for unknown
    channels, Zernikes and units.
    """
    rows: dict[str, np.ndarray] = {}
    for channel, terms in config.sensitivity.items():
        path = ("collimation", "sensitivity", channel)
        movable = [k for k, kind in KINDS.items() if kind.unit in ("um", "arcsec") and kind.ucd.endswith("instr.tel")]
        movable.append("focus_offset")
        if channel not in movable:
            raise node.error(f"is no channel of alignment ({', '.join(movable)})", path, suggest(channel, movable))
        row = np.zeros(HIGHEST - 3)
        for name, value in terms.items():
            try:
                slope = parse_quantity(value, f"nm/{KINDS[channel].unit}")
            except ValueError as error:
                raise node.error(str(error), (*path, name)) from None
            row[noll(name, node, (*path, name)) - 4] = slope * 1e-9
        rows[channel] = row
    return rows


def field_table(config: Collimation, node: Node) -> np.ndarray:
    """(J, K) [m] coefficients c[j - 4][k - 1] of the field map; (0, 0) where there is none. Raises UserError."""
    if config.field is None:
        return np.zeros((0, 0))
    if config.field.points:
        return _fitted(config.field, node)
    path: tuple[str | int, ...] = ("collimation", "field", "terms")
    assert config.field.terms is not None
    rows = {noll(name, node, (*path, name)): terms for name, terms in config.field.terms.items()}
    table = np.zeros((max(rows) - 3, max(map(len, rows.values()))))
    for j, terms in rows.items():
        table[j - 4, : len(terms)] = np.array(terms) * 1e-9
    return table


def _fitted(config: FieldMap, node: Node) -> np.ndarray:
    """The same from a table of field points, by least squares."""
    path: tuple[str | int, ...] = ("collimation", "field", "points")
    points = config.points or ()
    names = list(points[0].zernikes)
    for k, point in enumerate(points):
        if set(point.zernikes) != set(names):
            raise node.error(f"has other Zernikes than the first point: {', '.join(names)}", (*path, k))
    x, y = (np.array([getattr(point, axis) for point in points]) / config.radius for axis in "xy")
    if np.hypot(x, y).max() > 1 + 1e-9:
        worst = int(np.argmax(np.hypot(x, y)))
        raise node.error("lies beyond the radius of the map", (*path, worst))
    values = np.array([[point.zernikes[name] for name in names] for point in points]) * 1e-9
    try:
        fitted = fit_double_zernike(x, y, values, config.count)
    except ValueError as error:
        raise node.error(str(error), path) from None
    orders = [noll(name, node, (*path, 0, "zernikes", name)) for name in names]
    table = np.zeros((max(orders) - 3, config.count))
    table[np.array(orders) - 4] = fitted
    return table


def focus_drift(truss_temperature: Array, drift: float, reference: float, corrected: float) -> Array:
    """How far the focus has moved [um]: (1 - corrected) drift (T - reference), drift in um/K.

    A steel truss of length L moves by 11 um per metre and kelvin (invar 1): about 100 um/K at a 4 m telescope.
    """
    return (1 - corrected) * drift * (truss_temperature - reference)


class Alignment:
    """The Zernikes of an instrument's alignment, made ready for arithmetic.

    count     how many Zernikes from z4 it needs
    channels  the channels that it reads
    """

    def __init__(self, config: Collimation, node: Node) -> None:
        """Raises UserError at the offending key."""
        self.config = config
        self._matrix = sensitivity_matrix(config, node)
        self._table = field_table(config, node)
        if config.truss and "focus_offset" not in self._matrix:
            raise node.error("needs the sensitivity of focus_offset", ("collimation", "truss"))
        used = [int(np.flatnonzero(row).max()) + 1 for row in self._matrix.values() if row.any()]
        self.count = max([*used, len(self._table), 8 if config.donuts else 0], default=0)
        self.channels = (
            *self._matrix,
            *(["truss_temperature"] if config.truss else []),
            *([f"donut_z{j}" for j in range(4, 12)] if config.donuts else []),
            *(["field_x", "field_y"] if config.field else []),
        )

    def zernikes(self, channel: Callable[[str], Array], given: Mapping[str, bool]) -> Array:
        """(count,) optical path [m]: sum over channels of matrix x value, donuts, truss and the map at the field point.

        `channel(name)` is a scalar in the channel's unit; `given` says whether telemetry has it: a focus that only the
        truss moves, and donuts that were not fitted, count as 0.
        """
        total = jnp.zeros(self.count, jnp.float32)
        for name, row in self._matrix.items():
            value = channel(name) if given[name] else jnp.float32(0)
            if name == "focus_offset" and self.config.truss:
                truss = self.config.truss
                value = value + focus_drift(channel("truss_temperature"), truss.drift, truss.reference, truss.corrected)
            total = total + jnp.asarray(row[: self.count], jnp.float32) * value
        if self.config.donuts:
            donuts = [channel(f"donut_z{j}") if given[f"donut_z{j}"] else jnp.float32(0) for j in range(4, 12)]
            total = total.at[:8].add(1e-9 * jnp.stack(donuts))
        if self.config.field:
            radius = self.config.field.radius
            x, y = channel("field_x") / radius, channel("field_y") / radius
            inside = 1 / jnp.sqrt(jnp.maximum(x * x + y * y, 1.0))  # polynomials run away outside their disc
            x, y = x * inside, y * inside
            total = total.at[: len(self._table)].add(double_zernike(self._table, x, y))
        return total
