"""The run: shard by shard into `X.zarr.part`, which takes the name `X.zarr` when all files are read.

In the part folder, beside what a dataset holds: `job.json` (what was asked), `files.jsonl` (the files, in order),
`parts/NNNNNN.parquet` and `.json` (a finished shard's catalogue, and the file after its last) and `rejects.jsonl`. How
many spectra there are is known at the end only: metadata are written then.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from twin.data.ingest.spectra.layout import catalogue_table, dataset_spec, shard_arrays
from twin.data.ingest.spectra.listing import expand, read_list, write_list
from twin.data.ingest.spectra.objects import Objects
from twin.data.ingest.spectra.reading import read_all
from twin.data.layout import fill_group
from twin.data.lock import shard_range_lock
from twin.data.manifest import read_manifest, sizes_match
from twin.data.progress import Bar
from twin.data.shard import write_shard
from twin.io.atomic import atomic_folder, atomic_path, check_target, fsync_folder, write_bytes, write_json
from twin.io.layout import DatasetSpec
from twin.io.spectra.resample import METHODS, Grid
from twin.io.spectra.rows import SOURCES, Row, grid_of
from twin.schema import UserError, suggest

log = logging.getLogger("twin")

FEW = 100  # files that are read before a bar could be
JOB, FILES, REJECTS, PARTS, GROUP = "job.json", "files.jsonl", "rejects.jsonl", "parts", "group"


def ingest_spectra(
    source: str,
    given: Sequence[str],
    out: str | Path,
    grid: str = "native",
    method: str = "conserve",
    restart: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Write the spectra of files, folders and patterns as a dataset at `out`; return the list of files set aside.

    source   a key of SOURCES;  grid  "native" or a key of `twin.io.spectra.GRIDS`;  method  "conserve" or "linear"
    restart  begin anew instead of finishing what an earlier run left;  workers  processes, default one a core

    A file that cannot be read is set aside: name and reason stand in `X.rejects.csv` beside `X.zarr`. After Ctrl-C or a
    crash the same call continues at the last finished shard; files that came since are not looked for. Raises UserError
    where `out` exists, nothing is to be read, nothing could be, or an earlier run asked for something else.
    """
    out = Path(out)
    if source not in SOURCES:
        raise UserError("no such source of spectra", key=source, suggestion=suggest(source, SOURCES))
    if method not in METHODS:
        raise UserError(f"is none of {', '.join(METHODS)}", key=method, suggestion=suggest(method, METHODS))
    chosen = grid_of(source, grid)
    if out.exists():
        raise UserError("exists already", file=out)
    work = out.with_name(out.name + ".part")
    asked = {
        "source": source,
        "grid": chosen.attrs(),
        "resampling": method,
        "given": [os.path.abspath(g) for g in given],
    }
    count = _open_or_create(work, given, asked, restart)
    spec = dataset_spec(source, chosen, method)
    with shard_range_lock(work, 0, 1):
        n = _Run(work, spec, source, chosen, method, count, workers, progress).run()
        rejects = _finish(work, out, spec, source, n, count) if n else None
    if rejects is None:
        _, name, reason = next(_rejects(work / REJECTS))
        shutil.rmtree(work)
        raise UserError(f"none of {count} files is of use; the first: {reason}", file=name)
    os.rename(work, out)
    fsync_folder(out.absolute().parent)
    (out / JOB).unlink()
    return rejects


def _open_or_create(work: Path, given: Sequence[str], asked: dict[str, Any], restart: bool) -> int:
    """Leave a part folder of this job; return the number of its files."""
    check_target(work / JOB)
    if work.exists() and not (work / JOB).is_file():
        raise UserError("is in the way: it is no part of an earlier run", file=work)
    if restart and work.exists():
        shutil.rmtree(work)
    if not work.exists():
        names = expand(given)
        with atomic_folder(work) as folder:
            for name in (PARTS, "manifest"):
                (folder / name).mkdir()
            sha256 = write_list(folder / FILES, names)
            write_json(folder / JOB, {**asked, "count": len(names), "sha256": sha256})
    try:
        job = json.loads((work / JOB).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"is damaged ({error}): --restart begins anew", file=work / JOB) from error
    for key, value in asked.items():
        if job.get(key) != value:
            there = job.get(key)
            words = there.get("name") if isinstance(there, dict) else there
            raise UserError(f"an earlier run, not finished, has {words}: --restart begins anew", file=work, key=key)
    return int(job["count"])


class _Run:
    """Streams files into shards; `run` returns the number of spectra."""

    def __init__(
        self, work: Path, spec: DatasetSpec, source: str, grid: Grid, method: str, count: int, workers: int | None,
        progress: bool,
    ) -> None:  # fmt: skip
        self.work, self.spec, self.count = work, spec, count
        self.source, self.grid, self.method, self.workers, self.progress = source, grid, method, workers, progress
        self.objects = Objects()
        self.sha256 = hashlib.sha256((work / JOB).read_bytes()).hexdigest()

    def run(self) -> int:
        shard, at, n = self._restore()
        _keep_rejects(self.work / REJECTS, at)
        rows: list[Row] = []
        files = read_list(self.work / FILES, at)
        done = at
        shown = self.progress and self.count > FEW
        with Bar(self.source, self.count, shown, unit="files", done=at) as advance, open(
            self.work / REJECTS, "a", encoding="utf-8"
        ) as rejects:  # fmt: skip
            try:
                for name, found in read_all(files, self.count - at, self.source, self.grid, self.method, self.workers):
                    done += 1
                    advance(1)
                    if isinstance(found, str):
                        rejects.write(json.dumps([done - 1, name, found]) + "\n")
                        continue
                    rows.append(found)
                    if len(rows) == self.spec.shard_samples:
                        rejects.flush()
                        self._write(shard, n, rows, done)
                        shard, n, rows = shard + 1, n + len(rows), []
            except KeyboardInterrupt:
                log.warning("%s: stopped after %d of %d files, %d of them kept", self.work, done, self.count, n)
                raise
            if rows:
                self._write(shard, n, rows, done)
        return n + len(rows)

    def _write(self, shard: int, start: int, rows: list[Row], after: int) -> None:
        """A shard and its part of the catalogue; the manifest, which makes it finished, last."""
        import pyarrow
        from pyarrow import parquet

        import twin

        numbers = self.objects.numbers(_floats(rows, "ra"), _floats(rows, "dec"), start)
        table = pyarrow.BufferOutputStream()
        parquet.write_table(catalogue_table(rows, numbers), table)
        write_bytes(self.work / PARTS / f"{shard:06d}.parquet", table.getvalue().to_pybytes())
        write_json(self.work / PARTS / f"{shard:06d}.json", {"next": after, "start": start, "count": len(rows)})
        write_shard(
            self.work,
            self.spec,
            shard,
            start + len(rows),
            shard_arrays(rows, numbers),
            seed=0,
            recipe_sha256=self.sha256,
            fingerprint={"twin": twin.__version__},
        )

    def _restore(self) -> tuple[int, int, int]:
        """(first shard that is not finished, first file after the finished ones, spectra in those)."""
        from pyarrow import parquet

        shard, at, n = 0, 0, 0
        while (state := _state(self.work, shard)) is not None and state["count"] == self.spec.shard_samples:
            table = parquet.read_table(self.work / PARTS / f"{shard:06d}.parquet", columns=["ra", "dec", "object_id"])
            ra, dec, numbers = (table.column(name).to_numpy() for name in ("ra", "dec", "object_id"))
            self.objects.restore(ra, dec, numbers, n)
            shard, at, n = shard + 1, state["next"], n + state["count"]
        return shard, at, n


def _floats(rows: Sequence[Row], name: str) -> Any:
    import numpy as np

    return np.array([row.columns[name] for row in rows], np.float64)


def _state(work: Path, shard: int) -> dict[str, int] | None:
    """What stands in a finished shard's note; None where the shard is not finished."""
    part = work / PARTS / f"{shard:06d}.parquet"
    try:
        manifest = read_manifest(work, shard)
        state: dict[str, int] = json.loads(part.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if manifest is not None and sizes_match(work, manifest) and part.is_file() else None


def _rejects(path: Path) -> Iterator[tuple[int, str, str]]:
    """(number of the file, name, reason); a last line that a crash cut is left out."""
    if path.is_file():
        with open(path, encoding="utf-8") as file:
            for line in file:
                try:
                    index, name, reason = json.loads(line)
                except ValueError:
                    return
                yield index, name, reason


def _keep_rejects(path: Path, before: int) -> None:
    """Drop what was set aside at or after file number `before`: it is read again."""
    with atomic_path(path) as part, open(part, "x", encoding="utf-8") as file:
        for index, name, reason in _rejects(path):
            if index < before:
                file.write(json.dumps([index, name, reason]) + "\n")


def _finish(work: Path, out: Path, spec: DatasetSpec, source: str, n: int, count: int) -> Path:
    """Metadata, catalogue and list of rejects; may be done again after a crash."""
    rejects = out.with_suffix(".rejects.csv")
    aside = 0
    with atomic_path(rejects) as part, open(part, "x", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "reason"))
        for _, name, reason in _rejects(work / REJECTS):
            writer.writerow((name, reason))
            aside += 1
    sha256, kinds = _merge(work)
    notes = [f"{number} {kind}" for kind, number in sorted(kinds.items())]
    notes.append(f"{aside} of {count} files set aside: {rejects.name}")
    job = json.loads((work / JOB).read_text(encoding="utf-8"))
    attrs = {
        "kind": "observed",
        "source": source,
        "source_sha256": job["sha256"],
        "notes": notes,
        "files": {"catalogue.parquet": sha256},
    }
    shutil.rmtree(work / GROUP, ignore_errors=True)
    (work / GROUP).mkdir()
    fill_group(work / GROUP, spec, n, attrs)
    for path in sorted(p for p in (work / GROUP).rglob("*") if p.is_file()):
        into = work / path.relative_to(work / GROUP)
        into.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(into, path.read_bytes())
    for name in (GROUP, PARTS):
        shutil.rmtree(work / name)
    for name in (FILES, REJECTS):
        (work / name).unlink()
    for line in notes:
        log.info("%s: %s", source, line)
    return rejects


def _merge(work: Path) -> tuple[str, Counter[str]]:
    """The shards' catalogues as one, a row group each; returns its SHA-256 and how many spectra have which layout."""
    from pyarrow import parquet

    kinds: Counter[str] = Counter()
    target = work / "catalogue.parquet"
    with atomic_path(target) as part:
        writer = None
        for path in sorted((work / PARTS).glob("*.parquet")):
            table = parquet.read_table(path)
            kinds.update(
                f"{a}: {b}" for a, b in zip(*(table.column(c).to_pylist() for c in ("survey", "layout")), strict=True)
            )
            writer = writer or parquet.ParquetWriter(part, table.schema)
            writer.write_table(table)
        if writer:
            writer.close()
    digest = hashlib.sha256()
    with open(target, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest(), kinds
