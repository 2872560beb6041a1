"""Light curves of the literature as text (Polzin+ 2023, ApJ 959, 75): time, and flux or count rate, one row a bin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twin.io.tables import plain_read_errors
from twin.schema import UserError

# first words of the header line, in lower case: unit of the rate, and seconds in its unit of time
_FORMS = {
    ("time", "t_+ve", "t_-ve", "flux"): (3, "erg/cm2/s", 1.0),
    ("time(s)", "flux(cts/s)"): (1, "ct/s", 1.0),
}


@dataclass(frozen=True)
class LightCurve:
    """time (n,) [s] from the source's own zero, increasing; rate (n,), not negative, in `unit`."""

    time: np.ndarray
    rate: np.ndarray
    unit: str


def read_light_curve(path: str | Path) -> LightCurve:
    """Read a light curve of Swift-XRT's form (Time, T_+ve, T_-ve, Flux, ...) or of flares (time(s), flux(cts/s)).

    Rows are sorted by time; of rows at one time the first counts; negative rates, left by a background, become zero.
    """
    path = Path(path)
    with plain_read_errors(path):
        lines = path.read_text(errors="replace").splitlines()
    words = tuple(lines[0].lower().split()) if lines else ()
    form = next((form for form in _FORMS if words[: len(form)] == form), None)
    if form is None:
        said = lines[0][:60] if lines else ""
        raise UserError(f'no light curve of a known form: its first line is "{said}"', file=path, line=1)
    column, unit, second = _FORMS[form]
    pairs: list[tuple[float, float]] = []
    for number, line in enumerate(lines[1:], 2):
        cells = line.split()
        if not cells or line.lstrip().startswith(("#", "!")):
            continue
        try:
            pair = float(cells[0]) * second, float(cells[column])
        except (ValueError, IndexError):
            raise UserError(f'no time and rate in "{line.strip()[:60]}"', file=path, line=number) from None
        if not all(map(math.isfinite, pair)):
            raise UserError("a time or rate that is no number", file=path, line=number)
        pairs.append(pair)
    if len(pairs) < 2:
        raise UserError(f"holds {len(pairs)} points: a light curve has two at least", file=path)
    time, first = np.unique([t for t, _ in pairs], return_index=True)
    return LightCurve(time, np.maximum(np.array([r for _, r in pairs])[first], 0.0), unit)
