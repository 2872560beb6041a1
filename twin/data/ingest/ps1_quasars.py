"""Reader `ps1-quasars`: the lensed quasars of benchmark `ps1-lenses`, 40x40 pixels, complete ones only.

Of those of `ps1-sled` they have a separation of 1 to 5 arcsec and S/N above 20 in r. Cut-outs stay centred as the
archive cut them: the benchmark recentres them on their peak, which asks for a few pixels more, and so loses some.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from twin.data.ingest import ps1_sled
from twin.data.ingest.ps1_neighbours import SIZE, middle_of
from twin.data.ingest.records import Records
from twin.schema import UserError

SEPARATION = (1.0, 5.0)  # arcsec
LEAST_SNR = 20.0


def can_read(path: Path) -> bool:
    return ps1_sled.can_read(path)


def read(path: Path) -> Records:
    """Lensed quasars in the order of `ps1-sled`, with its columns."""
    every = ps1_sled.read(path)
    columns = every.catalogue
    separation, snr = (np.array(columns[name], float) for name in ("separation_arcsec", "snr_r"))
    chosen = np.array(columns["sled_class"]) == "lensed_quasars"
    chosen &= (separation >= SEPARATION[0]) & (separation <= SEPARATION[1]) & (snr > LEAST_SNR)
    records = middle_of(every, chosen)
    if records is None:
        raise UserError(f"no such lensed quasar is complete in {SIZE}x{SIZE} pixels", file=path)
    notes = [f"{records.n} of {chosen.sum()} lensed quasars are complete in {SIZE}x{SIZE} pixels"]
    return replace(records, notes=notes)
