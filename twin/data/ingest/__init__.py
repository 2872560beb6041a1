"""Real files into the layout that `simulate` writes: one reader a source, its traps handled inside."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from twin.data.ingest import (
    cfhtls_arcs,
    euclid_q1,
    hst_galaxies,
    jwst_arcs,
    ps1_neighbours,
    ps1_quasars,
    ps1_sled,
    samana,
)
from twin.data.ingest.records import Records
from twin.data.ingest.spectra import SOURCES, ingest_spectra
from twin.data.layout import fill_group, shard_count, shard_range
from twin.data.load import Dataset, open_dataset
from twin.data.shard import write_shard
from twin.io.atomic import atomic_folder, write_bytes
from twin.schema import UserError, suggest

log = logging.getLogger("twin")


class Reader(Protocol):
    """What a source's module offers."""

    def can_read(self, path: Path) -> bool:
        """Whether the folder holds this source."""

    def read(self, path: Path) -> Records:
        """Everything in the folder, or UserError."""


READERS: dict[str, Reader] = {
    "ps1-sled": ps1_sled,
    "ps1-neighbours": ps1_neighbours,
    "ps1-quasars": ps1_quasars,
    "hst-galaxies": hst_galaxies,
    "lensed-quasars": samana,
    "euclid-q1": euclid_q1,
    "as1063-arcs": jwst_arcs,
    "cfhtls-arcs": cfhtls_arcs,
}


def ingest(source: str, src_dir: str | Path | Sequence[str | Path], out: str | Path, **options: Any) -> Dataset:
    """Write the real files in `src_dir` as a dataset at `out`; return it, opened.

    source   a key of READERS or, for spectra, of SOURCES
    src_dir  a folder; for spectra also files and patterns, several of them
    options  of `ingest_spectra`: grid, method, restart, workers, progress

    Raises UserError for an unknown source, for missing, damaged or inconsistent files (damaged spectra are set aside),
    for options that a source has not, and where `out` exists.
    """
    given = [src_dir] if isinstance(src_dir, str | Path) else list(src_dir)
    if source in SOURCES:
        ingest_spectra(source, [str(one) for one in given], out, **options)
        return open_dataset(out)
    if source not in READERS:
        known = sorted([*READERS, *SOURCES])
        raise UserError(f"no such source; there are {', '.join(known)}", key=source, suggestion=suggest(source, known))
    if options:
        raise UserError(f"goes with spectra only ({', '.join(SOURCES)})", key=next(iter(options)))
    if len(given) != 1:
        raise UserError(f"reads one folder, {len(given)} are given", key=source)
    reader, folder = READERS[source], Path(given[0])
    if not folder.is_dir():
        raise UserError("no such folder", file=folder)
    if not reader.can_read(folder):
        raise UserError(f"holds no files of the source {source}", file=folder)
    records = reader.read(folder)
    for line in records.notes:
        log.info("%s: %s", source, line)
    write_records(records, source, out)
    return open_dataset(out)


def write_records(records: Records, source: str, out: str | Path) -> None:
    """Write a reader's records as a dataset, whole or not at all."""
    import pyarrow
    from pyarrow import parquet

    import twin

    spec, n = records.spec, records.n
    with atomic_folder(out) as folder:
        table = pyarrow.BufferOutputStream()
        parquet.write_table(pyarrow.table(records.catalogue), table)
        catalogue = table.getvalue().to_pybytes()
        attrs = {
            "kind": "observed",
            "source": source,
            "source_sha256": records.sha256,
            "notes": records.notes,
            "files": {"catalogue.parquet": hashlib.sha256(catalogue).hexdigest()},
        }
        fill_group(folder, spec, n, attrs)
        write_bytes(folder / "catalogue.parquet", catalogue)
        for shard in range(shard_count(n, spec.shard_samples)):
            start, stop = shard_range(shard, n, spec.shard_samples)
            arrays = {name: values[start:stop] for name, values in records.arrays.items()}
            write_shard(
                folder,
                spec,
                shard,
                n,
                arrays,
                seed=0,
                recipe_sha256=records.sha256,
                fingerprint={"twin": twin.__version__},
            )
