"""A user's table of exposures in an X-ray recipe: rows are drawn whole, in place of the laws of its columns' names."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twin.io.tables import number_column, read_table, row_error
from twin.priors.sites import Site
from twin.schema import UserError, suggest
from twin.simulators.lobster.field import CONDITIONS, OPTICS, POINTING

log = logging.getLogger("twin")
SITES: dict[str, Site] = OPTICS | CONDITIONS | POINTING


@dataclass(frozen=True)
class Exposures:
    """names  channels that the table tells;  values (n, names), in the channels' units

    One row is drawn for each sample. Where it tells anything of the optics, one for each pointing, whose samples share
    it.
    """

    names: tuple[str, ...]
    values: np.ndarray

    @property
    def shared(self) -> bool:
        return any(name in OPTICS for name in self.names)

    @property
    def sha256(self) -> str:
        """Identity of what it tells."""
        return hashlib.sha256(" ".join(self.names).encode() + self.values.astype("<f4").tobytes()).hexdigest()


def read_exposures(path: str | Path) -> Exposures:
    """Read a table (ECSV, CSV, FITS, Parquet) whose rows are exposures, its columns named as telemetry keys are.

    A column with a unit is converted to the key's, one without is in the key's already. Columns of other names are left
    alone and told. Raises UserError with file, row (or line) and column for a value that is missing, no number, or
    outside the key's limits, for a unit of another kind, and for a table without a single key.
    """
    table = read_table(path, bare=True)
    names = tuple(name for name in SITES if name in table.colnames)
    others = [name for name in table.colnames if name not in SITES]
    if not names:
        options = [s for s in (suggest(name, SITES) for name in others) if s]
        problem = f"none of its columns ({', '.join(others[:8])}) is a telemetry key, such as exposure, ra or dec"
        raise UserError(problem, file=path, suggestion=options[0] if options else None)
    if others:
        log.info("%s: left alone, no telemetry keys: %s", path, ", ".join(others))
    columns = []
    for name in names:
        site = SITES[name]
        unit = site.unit.replace(".", " ") if getattr(table[name], "unit", None) is not None else ""
        values = number_column(table, name, unit, path)
        wrong = (values < site.low) | (values > site.high)
        for row in np.flatnonzero(wrong)[:1]:
            limits = f"{site.low:g} to {site.high:g} {site.unit}".rstrip()
            problem = f"has {values[row]:g}, outside {limits} ({site.meaning})"
            raise row_error(table, path, name, int(row), problem)
        columns.append(values)
    return Exposures(names, np.stack(columns, 1).astype(np.float32))
