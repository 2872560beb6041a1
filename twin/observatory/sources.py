"""Any telemetry source, from the file to checked canonical channels: tables, header folders, AOT files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twin.io.aot import read_aot
from twin.io.headers import is_dump, read_headers
from twin.io.tables import read_bytes, read_table
from twin.observatory import sanity
from twin.observatory.convert import Telemetry, read_channels
from twin.observatory.derive import derive
from twin.observatory.findings import finding, where
from twin.observatory.keywords import BandSource, KeywordMap, Pointing, TimeSource, load_map
from twin.observatory.matching import detect
from twin.schema import UserError

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

# Files that `twin telemetry` wrote, and AOT files: canonical names, nothing to be mapped.
CANONICAL = KeywordMap.model_construct(
    name="canonical", description="canonical channels", instrument=None, identify=(), site=None, comments=False,
    missing=(), time=(TimeSource(keyword="time"),), utc_offset=0.0, check=(), band=BandSource(keywords=("band",)),
    pointing=Pointing(), exposure=("exposure",), channels={},
)  # fmt: skip


def read_source(path: str | Path) -> Table:
    """Table of a telemetry source; `meta["bare"]` where it has no units of its own.

    A folder, a FITS file without a table, or a text dump of a header: header cards, one row a file. Else a table (ECSV,
    CSV with or without a row of units, FITS, Parquet, each gzipped or not), or an AOT file. Raises UserError.
    """
    path = Path(path)
    if path.is_dir():
        return read_headers(path)
    head = read_bytes(path, 2880 * 4)
    if is_dump(head):
        return read_headers(path)
    if head.startswith(b"SIMPLE") and b"AOT-VERS" in head:
        return read_aot(path)
    if not head.startswith(b"SIMPLE"):
        return read_table(path, bare=True)
    try:
        return read_table(path)
    except UserError as error:
        if not any(
            word in error.problem for word in ("holds no table", "before its first table", "not a readable FITS")
        ):
            raise
        table = read_headers(path)
        if detect(table) is None:
            raise UserError(f"{error.problem}, and its header no telemetry", file=path) from None
        return table


def load(path: str | Path, keyword_map: str | Path | KeywordMap | None = None, bands: Sequence[str] = ()) -> Telemetry:
    """Checked canonical channels of any source. Which map was taken, and why, stands in `findings` and `map`.

    keyword_map  name of a shipped one, a YAML file, or the map itself; None finds the one that fits best
    bands        bands whose columns may stand apart ("seeing_g")
    Exposures of a header folder are put in order of time, and files of one exposure are one row.
    Raises UserError where nothing in the source is a telemetry channel.
    """
    table = read_source(path)
    if isinstance(keyword_map, KeywordMap):
        chosen = keyword_map
    elif keyword_map is not None:
        chosen = load_map(keyword_map)
    elif table.meta.get("aot") or "telemetry" in (table.meta.get("twin") or {}):
        chosen = CANONICAL
    else:
        best = detect(table)
        chosen = best[0] if best is not None else load_map("generic")
    found = read_channels(table, chosen, path, bands)
    if not any(np.isfinite(reading.values).any() for reading in found.readings.values()):
        have = ", ".join(table.colnames[:12]) + (", ..." if len(table.colnames) > 12 else "")
        raise UserError(
            f'nothing is a telemetry channel by the keyword map "{chosen.name}" (it has: {have})', file=path
        )
    if "files" in table.meta:
        _gather(found)
    sanity.check(found)
    derive(found)
    return found


def _gather(found: Telemetry) -> None:
    """One row an exposure, in order of time: files of one time and filter are one, files without telemetry none."""
    n = len(found)
    matrix = np.array([reading.values for reading in found.readings.values()])
    filled = np.isfinite(matrix).sum(0)
    days = np.full(n, np.nan) if found.days is None else found.days
    empty = np.flatnonzero((filled == 0) | ((filled <= 1) & np.isnan(days)))
    if len(empty) and len(empty) < n:
        found.findings.append(
            finding("text", "", "", f"{where(empty, found.place)}: no telemetry in the header", empty)
        )
    else:
        empty = np.zeros(0, int)
    band = np.zeros(n, int) if found.band is None else np.unique(found.band, return_inverse=True)[1]
    order = np.lexsort((-filled, band, np.where(np.isnan(days), np.inf, days)))
    order = order[~np.isin(order, empty)]
    same = (days[order][1:] == days[order][:-1]) & (band[order][1:] == band[order][:-1])
    first = np.r_[True, ~same]
    if same.any():
        owner = order[first][np.cumsum(first) - 1]
        for reading in found.readings.values():
            for row, into in zip(order[1:][same], owner[1:][same], strict=True):
                if np.isnan(reading.values[into]):
                    reading.values[into], reading.raw[into] = reading.values[row], reading.raw[row]
        text = f"{len(order)} files show {int(first.sum())} exposures: files of the same time and filter are one row"
        found.findings.append(finding("duplicate", "", "", text, order[1:][same]))
    found.take(order[first])
