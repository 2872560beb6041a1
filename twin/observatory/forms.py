"""What a column's numbers are measured in, and the equation that makes a channel of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.io.units import same_kind, unit
from twin.observatory.keywords import FORM_UNITS, KeywordMap, Source
from twin.observatory.kinds import KINDS, kind_of
from twin.schema import UserError

if TYPE_CHECKING:
    from astropy.table import Table

_IN_COMMENT = (re.compile(r"\[([^\]]+)\]"), re.compile(r"\(([^)]*)\)"), re.compile(r"\bin ([\w/ ]+)$"))


def unit_of(table: Table, each: KeywordMap, column: str, name: str, source: Source, path: Path) -> str:
    """Unit of a column: the table's, else that of the comment where the map trusts comments, else the map's."""
    expected = FORM_UNITS.get(source.form, KINDS[kind_of(name)[0]].unit)
    own = getattr(table[column], "unit", None)
    if own is not None:
        text = str(own)
        if _fits(text, expected):
            return "deg_C" if expected in ("deg_C", "K") and text == "deg" else text
        if expected in ("deg_C", "K") and text in ("C", "F", "deg"):  # a coulomb, a farad, an angle
            return {"C": "deg_C", "F": "deg_F", "deg": "deg_C"}[text]
        raise UserError(f'the unit "{text}" is not one of {expected or "a pure number"}', file=path, key=column)
    if each.comments and source.form != "share or percent":
        for text in _comment_units(table.meta.get("comments", {}).get(column, "")):
            if expected in ("deg_C", "K") and text.lower() in ("deg", "degree", "degrees"):
                return "deg_C"
            if _fits(text, expected):
                return text
    return source.unit


def _comment_units(comment: str) -> list[str]:
    found = [match[1] for pattern in _IN_COMMENT for match in pattern.finditer(comment)]
    return [piece.strip() for text in found for piece in (text, *re.split(r"[;,]", text)) if piece.strip()]


def _fits(text: str, expected: str | None) -> bool:
    try:
        return expected is None or (text not in ("", "1") or not expected) and same_kind(unit(text), unit(expected))
    except ValueError:
        return False


def formed(raw: np.ndarray, form: str) -> np.ndarray:
    """The form's equation; units are left for later."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if form == "square root":
            return np.sqrt(np.where(raw >= 0, raw, np.nan))
        if form == "moon age":
            return 0.5 * (1 - np.cos(2 * np.pi * raw / 29.530588))
        if form == "share or percent":
            return np.where(raw > 1.05, raw * 0.01, raw)
        if form == "magnitudes lost":
            return 10 ** (-0.4 * raw)
        if form == "logarithm":
            return np.exp(raw)
        if form == "r0":
            return 1 / np.where(raw > 0, raw, np.nan)
        return raw


def units_of(given: str, form: str, name: str) -> tuple[Any, Any]:
    """(unit of the numbers that `formed` gives, canonical unit)."""
    from astropy import units as u

    wanted = unit(KINDS[kind_of(name)[0]].unit)
    if form in ("moon age", "share or percent", "magnitudes lost", "logarithm"):
        return wanted, wanted
    if form == "square root":
        return unit(given) ** 0.5, wanted
    if form == "r0":  # 1 / r0, times 0.976 x 500 nm
        return u.Unit(0.976 * 500e-9 / unit(given).to(u.m) * u.rad), wanted
    return unit(given), wanted
