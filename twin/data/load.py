"""Datasets, simulated and real alike, as arrays. Damage is named, never read as if it were data."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.data.layout import FORMAT, shard_count, shard_key, shard_range
from twin.data.manifest import read_manifest, sizes_match
from twin.schema import UserError, suggest

if TYPE_CHECKING:
    import pyarrow


MAX_SHARDS = 1_000_000  # 64 TB of frames: more is a damaged number


class DamagedShard(UserError):
    """Bytes of a shard that are not what was written."""

    def __init__(self, folder: Path, file: str, shard: int, start: int, stop: int, why: str) -> None:
        super().__init__(f"damaged in samples {start} to {stop - 1} ({why})", file=folder / file, key=f"shard {shard}")
        self.shard, self.start, self.stop = shard, start, stop


@dataclass(frozen=True)
class Shard:
    """A finished shard and its samples [start, stop)."""

    index: int
    start: int
    stop: int


def read_attrs(path: str | Path) -> dict[str, Any]:
    """Attributes of a dataset's root group. Raises UserError where `path` is no dataset of this format."""
    folder = Path(path)
    if not folder.exists():
        here = [p.name for p in folder.absolute().parent.iterdir()] if folder.absolute().parent.is_dir() else []
        raise UserError("no such dataset", file=folder, suggestion=suggest(folder.name, here))
    if not folder.is_dir():
        raise UserError("is a file; a dataset is a folder", file=folder)
    try:
        meta = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("is no Zarr v3 dataset (it has no zarr.json)", file=folder) from None
    except (OSError, ValueError) as error:
        raise UserError(f"its metadata is damaged or truncated ({error})", file=folder / "zarr.json") from error
    attrs = meta.get("attributes") if isinstance(meta, dict) else None
    if not isinstance(attrs, dict) or meta.get("node_type") != "group" or "twin_format" not in attrs:
        raise UserError("is a Zarr, but no dataset that twin wrote (no attribute twin_format)", file=folder)
    if attrs["twin_format"] != FORMAT:
        raise UserError(f"has format {attrs['twin_format']}, this version reads {FORMAT}", file=folder)
    for key, kind in (("n", int), ("shard_samples", int), ("chunk_samples", int), ("arrays", list)):
        if not isinstance(attrs.get(key), kind) or not attrs[key] or (kind is int and attrs[key] < 0):
            raise UserError("is missing or wrong in the metadata", file=folder / "zarr.json", key=key)
    if shard_count(attrs["n"], attrs["shard_samples"]) > MAX_SHARDS:
        raise UserError(f"needs more than {MAX_SHARDS} shards", file=folder / "zarr.json", key="n")
    return attrs


class Dataset:
    """A dataset open for reading.

    n              samples
    attrs          attributes of the root group: recipe, seed, bands, classes, pixel_scale [arcsec], ...
    names          arrays, for example "frame", "noise/rms", "label/lens"
    shards         the finished shards
    unfinished     indices of the others
    """

    def __init__(self, path: str | Path) -> None:
        import zarr

        self.path = Path(path)
        self.attrs = read_attrs(path)
        self.n: int = self.attrs["n"]
        self.names: tuple[str, ...] = tuple(self.attrs["arrays"])
        self.shard_samples: int = self.attrs["shard_samples"]
        try:
            self._group = zarr.open_group(self.path, mode="r", use_consolidated=False)
            self._arrays = {name: self._group[name] for name in self.names}
        except Exception as error:  # zarr has no common class for what broken metadata raise
            raise UserError(f"its metadata is damaged ({error})", file=self.path) from error
        for name, array in self._arrays.items():
            if not isinstance(array, zarr.Array) or array.shape[0] != self.n:
                raise UserError(f"is not an array of {self.n} samples", file=self.path, key=name)
        self.shards: list[Shard] = []
        self.unfinished: list[int] = []
        for index in range(shard_count(self.n, self.shard_samples)):
            if self._finished(index):
                self.shards.append(Shard(index, *shard_range(index, self.n, self.shard_samples)))
            else:
                self.unfinished.append(index)

    def __repr__(self) -> str:
        return f"Dataset({str(self.path)!r}, n={self.n}, {len(self.shards)} shards finished, {', '.join(self.names)})"

    def __len__(self) -> int:
        return self.n

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one sample of an array."""
        return tuple(self._array(name).shape[1:])

    def dtype(self, name: str) -> np.dtype:
        return np.dtype(self._array(name).dtype)

    def units(self, name: str) -> str:
        """VOUnit of an array, "" for pure numbers."""
        return str(self._array(name).attrs.get("units", ""))

    def coordinate(self, name: str) -> tuple[str, ...]:
        """Names along an axis, for example "parameter" of `truth` or "band" of `frame`."""
        try:
            found: Any = self._group[name]
        except KeyError:
            raise UserError("the dataset has no such coordinate", file=self.path, key=name) from None
        return tuple(str(word) for word in found[:])

    def axis(self, name: str) -> np.ndarray:
        """Numbers along an axis, float64: "wavelength" [angstrom, vacuum] of the frames of spectra."""
        found: Any = self._group.get(name)
        if getattr(found, "dtype", None) != np.float64:
            raise UserError("the dataset has no such axis of numbers", file=self.path, key=name)
        return np.asarray(found[:])

    def read(self, name: str, start: int | Sequence[int] | np.ndarray = 0, stop: int | None = None) -> np.ndarray:
        """Samples [start, stop) of an array, or the samples with the given indices, in their order.

        Raises UserError for an unknown name, indices out of range, unfinished or damaged samples (DamagedShard).
        """
        array = self._array(name)
        if np.ndim(start) == 0:
            first, last = int(start), self.n if stop is None else int(stop)  # type: ignore[arg-type]
            if not 0 <= first <= last <= self.n:
                raise UserError(f"samples {first}:{last} asked, it has 0:{self.n}", file=self.path, key=name)
            out = np.empty((last - first, *array.shape[1:]), array.dtype)
            for a, b in self._pieces(first, last, self.chunk_samples(name)):
                out[a - first : b - first] = self.read_block(name, a, b)
            return out
        indices = np.asarray(start)
        if indices.size and (indices.min() < 0 or indices.max() >= self.n):
            raise UserError(f"samples {indices.min()} to {indices.max()} asked, it has 0:{self.n}", file=self.path)
        out = np.empty((len(indices), *array.shape[1:]), array.dtype)
        length = self.chunk_samples(name)
        chunk = indices // length
        for number in np.unique(chunk):
            at = np.flatnonzero(chunk == number)
            first = int(number) * length
            out[at] = self.read_block(name, first, min(first + length, self.n))[indices[at] - first]
        return out

    def read_block(self, name: str, start: int, stop: int) -> np.ndarray:
        """Samples [start, stop) within one shard, checked by crc32c."""
        shard = start // self.shard_samples
        array = self._array(name)
        key = shard_key(name, array.ndim, shard)
        if shard in self._missing:
            raise UserError(f"shard {shard} (samples {start} to {stop - 1}) is unfinished", file=self.path, key=name)
        if not (self.path / key).exists():  # Zarr would read a lost file as zeros
            raise DamagedShard(self.path, key, shard, start, stop, "the file is gone")
        try:
            return np.asarray(array[start:stop])
        except Exception as error:  # crc32c, blosc and the shard index each raise their own
            raise DamagedShard(self.path, key, shard, start, stop, str(error)) from error

    def chunk_samples(self, name: str) -> int:
        """Samples in an inner chunk: what must be decoded together."""
        return int(self._array(name).chunks[0])

    def catalogue(self) -> pyarrow.Table | None:
        """The per-sample table (names, positions, catalogue values) of an ingested dataset, else None."""
        import pyarrow
        from pyarrow import parquet

        path = self.path / "catalogue.parquet"
        if not path.exists():
            if "catalogue.parquet" in self.attrs.get("files", {}):
                raise UserError("is missing from the dataset", file=path)
            return None
        try:
            table = parquet.read_table(path)
        except (OSError, pyarrow.ArrowException) as error:
            raise UserError(f"is damaged ({error})", file=path) from error
        if table.num_rows != self.n:
            raise UserError(f"has {table.num_rows} rows, the dataset {self.n} samples", file=path)
        return table

    @cached_property
    def _missing(self) -> frozenset[int]:
        return frozenset(self.unfinished)

    def _array(self, name: str) -> Any:
        if name not in self._arrays:
            raise UserError(
                f"the dataset has no such array; it has {', '.join(self.names)}",
                file=self.path,
                key=name,
                suggestion=suggest(name, self.names),
            )
        return self._arrays[name]

    def _pieces(self, start: int, stop: int, length: int) -> list[tuple[int, int]]:
        """[start, stop) cut at the chunks' edges, and so at the shards', which hold whole chunks."""
        edges = range(start // length * length, stop, length) if stop > start else ()
        return [(max(start, a), min(stop, a + length)) for a in edges]

    def _finished(self, index: int) -> bool:
        """A manifest stands and every file has its length: Zarr would read a lost file as zeros."""
        try:
            manifest = read_manifest(self.path, index)
        except (OSError, ValueError):
            return False
        return manifest is not None and sizes_match(self.path, manifest)


def open_dataset(path: str | Path, unfinished: bool = False) -> Dataset:
    """Open a dataset for reading.

    unfinished  True = open it although shards are missing (`Dataset.unfinished` lists them)

    Raises UserError for what is no Zarr, no dataset, truncated, damaged in its metadata, or unfinished.
    """
    found = Dataset(path)
    total = math.ceil(found.n / found.shard_samples)
    if not found.shards:
        raise UserError(f"none of its {total} shards is finished", file=path)
    if found.unfinished and not unfinished:
        few = ", ".join(map(str, found.unfinished[:8])) + (", ..." if len(found.unfinished) > 8 else "")
        raise UserError(
            f"{len(found.unfinished)} of its {total} shards are unfinished or have lost files ({few}): "
            "the command that made it continues it",
            file=path,
        )
    return found
