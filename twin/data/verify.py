"""`verify` and `heal`: every shard held against its manifest, what is damaged named and made again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twin.data.events import NAME, decode_events, events_key
from twin.data.layout import shard_key
from twin.data.load import DamagedShard, Dataset, Shard
from twin.data.lock import shard_range_lock
from twin.data.manifest import Manifest, fingerprint, hash_values, manifest_path, read_manifest
from twin.data.write import differing, require_fingerprint, run_shards
from twin.io.layout import ShardSource
from twin.schema import UserError


@dataclass(frozen=True)
class Problem:
    """Something wrong with a dataset.

    shard  its index, None for what belongs to no shard
    file   path within the dataset
    kind   "unfinished", "missing" or "damaged"
    first  first sample (frame) that cannot be trusted, None where all of the shard cannot
    """

    shard: int | None
    file: str
    kind: str
    detail: str
    first: int | None = None

    def __str__(self) -> str:
        place = "" if self.shard is None else f"shard {self.shard}: "
        return f"{self.file}: {place}{self.kind}: {self.detail}"


@dataclass(frozen=True)
class Report:
    """What `verify` found; str() is for a person."""

    path: Path
    n: int
    shards: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def bad_shards(self) -> tuple[int, ...]:
        return tuple(sorted({p.shard for p in self.problems if p.shard is not None}))

    def __str__(self) -> str:
        if self.ok:
            return f"{self.path}: {self.n} samples in {self.shards} shards, all as they were written"
        head = f"{self.path}: {len(self.bad_shards)} of {self.shards} shards are damaged or unfinished"
        return "\n".join([head, *(f"  {problem}" for problem in self.problems)])


def verify(path: str | Path) -> Report:
    """Check a whole dataset: every file's hash, then the decoded values' hash of every shard.

    Raises UserError where `path` is no dataset.
    """
    dataset = Dataset(path)
    problems: list[Problem] = []
    for name, sha256 in dataset.attrs.get("files", {}).items():
        if Path(name).name != name:  # never out of the dataset's folder
            raise UserError(f"names a file outside: {name}", file=dataset.path, key="files")
        problems += _check_file(dataset.path, None, name, sha256)
    total = len(dataset.shards) + len(dataset.unfinished)
    for shard in range(total):
        problems += _check_shard(dataset, shard)
    return Report(dataset.path, dataset.n, total, tuple(problems))


def heal(path: str | Path, recipe: ShardSource, mixed: bool = False, progress: bool = True) -> Report:
    """Make the damaged and unfinished shards of a simulated dataset again; return what `verify` says afterwards.

    recipe  must be the one that made the dataset (its hash is compared)
    mixed   True = a shard of another version or kind of machine may come out with other values than its manifest says,
            and one without a manifest may stand beside shards of another maker

    A shard that comes out with the values of its manifest is accepted, whoever made it. Raises UserError for one that
    does not, for another recipe, and for an ingested dataset; what was healed before stays.
    """
    before = verify(path)
    dataset = Dataset(path)
    attrs, folder = dataset.attrs, dataset.path
    if attrs.get("kind") != "simulated":
        raise UserError("was not simulated: only its source can make it again (twin ingest)", file=folder)
    if "engine" in attrs:
        raise UserError("was drawn by the reference engine: simulate --restart draws it anew", file=folder)
    if attrs.get("recipe_sha256") != recipe.sha256:
        raise UserError(f"was made by another recipe than {recipe.name} as it is now", file=folder, key="recipe")
    if not before.bad_shards:
        return before
    mine = fingerprint()
    known = {k: manifest for k in range(before.shards) if (manifest := _manifest(folder, k)) is not None}
    if not known.keys() >= set(before.bad_shards):  # nothing says what some of them held
        for shard, manifest in known.items():
            require_fingerprint(folder, shard, manifest.fingerprint, mine, mixed)

    def accept(shard: int, arrays: Mapping[str, np.ndarray]) -> None:
        if shard not in known or hash_values(arrays) == known[shard].sha256_values:
            return
        there = known[shard].fingerprint
        require_fingerprint(folder, shard, there, mine, mixed)
        if not differing(there, mine):
            raise UserError(
                "comes out with other values than its manifest says; left as it is", file=folder, key=f"shard {shard}"
            )

    with shard_range_lock(folder, before.bad_shards[0], before.bad_shards[-1] + 1):
        run_shards(recipe, folder, dataset.n, attrs["seed"], before.bad_shards, mine, progress, accept)
    return verify(path)


def _manifest(folder: Path, shard: int) -> Manifest | None:
    try:
        return read_manifest(folder, shard)
    except ValueError:
        return None


def _check_file(folder: Path, shard: int | None, name: str, sha256: str) -> list[Problem]:
    try:
        data = (folder / name).read_bytes()
    except FileNotFoundError:
        return [Problem(shard, name, "missing", "the file is gone")]
    if hashlib.sha256(data).hexdigest() != sha256:
        return [Problem(shard, name, "damaged", f"its {len(data)} bytes are not those that were written")]
    return []


def _check_shard(dataset: Dataset, shard: int) -> list[Problem]:
    folder, note = dataset.path, str(manifest_path(Path(), shard))
    try:
        manifest = read_manifest(folder, shard)
    except ValueError as error:
        return [Problem(shard, note, "damaged", str(error))]
    if manifest is None:
        return [Problem(shard, note, "unfinished", "no manifest: the command that made the dataset continues it")]
    span = Shard(shard, manifest.start, manifest.start + manifest.count)
    keys = {shard_key(name, len(dataset.shape(name)) + 1, shard): name for name in dataset.names}
    if NAME in dataset.attrs:
        keys[events_key(shard)] = NAME
    if keys.keys() != manifest.sha256_files.keys():
        return [Problem(shard, note, "damaged", "it lists other files than the dataset has arrays")]
    found: list[Problem] = []
    for key, sha256 in manifest.sha256_files.items():
        for problem in _check_file(folder, shard, key, sha256):
            inside = problem.kind == "damaged" and keys[key] != NAME
            found.append(_locate(dataset, span, keys[key], problem) if inside else problem)
    if not found:
        values = {name: dataset.read_block(name, span.start, span.stop) for name in dataset.names}
        if NAME in dataset.attrs:
            values[NAME] = decode_events(folder / events_key(shard))
        if hash_values(values) != manifest.sha256_values:
            found.append(Problem(shard, note, "damaged", "the files are whole but decode to other values"))
    return found


def _locate(dataset: Dataset, span: Shard, name: str, problem: Problem) -> Problem:
    """The first chunk of a damaged file that cannot be decoded."""
    length = dataset.chunk_samples(name)
    for start in range(span.start, span.stop, length):
        stop = min(start + length, span.stop)
        try:
            dataset.read_block(name, start, stop)
        except DamagedShard:
            detail = (
                f"{problem.detail}; first bad chunk {(start - span.start) // length}, samples {start} to {stop - 1}"
            )
            return Problem(span.index, problem.file, "damaged", detail, start)
        except UserError:  # a truncated file makes the shard count as unfinished: nothing in it is read
            return Problem(span.index, problem.file, "damaged", f"{problem.detail}; none of it is read", span.start)
    return Problem(span.index, problem.file, "damaged", f"{problem.detail}; yet every chunk decodes", None)
