"""Light curves of the literature as text (Polzin+ 2023, ApJ 959, 75): time, and flux or count rate, one row a bin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twin.io.tables import plain_read_errors
from twin.schema import UserError

# first words of the header line, in lower case: column and unit of the rate, what it is multiplied with, seconds in the
# unit of time, and the columns of its errors, both zero for an upper limit
_Form = tuple[int, str, float, float, tuple[int, ...]]
_FORMS: dict[tuple[str, ...], _Form] = {
    ("time", "t_+ve", "t_-ve", "flux"): (3, "erg/cm2/s", 1.0, 1.0, (4, 5)),
    ("timeobs", "terr1", "terr2", "flux"): (3, "erg/cm2/s", 1.0, 1.0, (4, 5)),
    ("time(s)", "flux(cts/s)"): (1, "ct/s", 1.0, 1.0, ()),
    ("time(days)", "ertime", "flux(1e^-15)"): (2, "erg/cm2/s", 1e-15, 86400.0, ()),
    ("days", "count-rate(0.01)"): (1, "ct/s", 0.01, 86400.0, ()),
    ("timesincediscovery(days)", "x-rayflux(1d-14)"): (1, "erg/cm2/s", 1e-14, 86400.0, ()),
}


@dataclass(frozen=True)
class LightCurve:
    """time (n,) [s] from the source's own zero, increasing; rate (n,), not negative, in `unit`; limit (n,): only an
    upper limit."""

    time: np.ndarray
    rate: np.ndarray
    unit: str
    limit: np.ndarray


def read_light_curve(path: str | Path, least: int = 2) -> LightCurve:
    """Read a light curve of Swift-XRT's form (Time, T_+ve, T_-ve, Flux, ...), of flares (time(s), flux(cts/s)), or of
    one of the forms of supernova 2008D and the tidal disruptions ASASSN-14li, ASASSN-15oi and Swift J1644+57.

    Rows are sorted by time; of rows at one time the first counts; negative rates, left by a background, become zero.
    Raises UserError with file and line, and for less than `least` points.
    """
    path = Path(path)
    form, lines = _opened(path)
    if form is None:
        said = lines[0][:60] if lines else ""
        raise UserError(f'no light curve of a known form: its first line is "{said}"', file=path, line=1)
    column, unit, factor, second, errors = form
    rows: list[tuple[float, float, bool]] = []
    for number, line in enumerate(lines[1:], 2):
        cells = line.split()
        if not cells or line.lstrip().startswith(("#", "!")):
            continue
        try:
            row = float(cells[0]) * second, float(cells[column]) * factor
            limit = len(cells) > max(errors, default=-1) and all(float(cells[k]) == 0 for k in errors) and bool(errors)
        except (ValueError, IndexError):
            raise UserError(f'no time and rate in "{line.strip()[:60]}"', file=path, line=number) from None
        if not all(map(math.isfinite, row)):
            raise UserError("a time or rate that is no number", file=path, line=number)
        rows.append((*row, limit))
    if len(rows) < least:
        raise UserError(f"holds {len(rows)} points: a light curve has two at least", file=path)
    table = np.array(rows, float).reshape(-1, 3)
    time, first = np.unique(table[:, 0], return_index=True)
    return LightCurve(time, np.maximum(table[first, 1], 0.0), unit, table[first, 2] > 0)


def is_light_curve(path: str | Path) -> bool:
    """Whether a file begins as a light curve of a known form does. Raises UserError where it cannot be read."""
    return _opened(Path(path))[0] is not None


def _opened(path: Path) -> tuple[_Form | None, list[str]]:
    with plain_read_errors(path):
        lines = path.read_text(errors="replace").splitlines()
    words = tuple(lines[0].lower().split()) if lines else ()
    return next((form for names, form in _FORMS.items() if words[: len(names)] == names), None), lines
