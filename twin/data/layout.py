"""A DatasetSpec as Zarr v3 on disk: group, arrays, coordinates; one shard of one array as bytes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from twin.io.atomic import atomic_folder
from twin.io.layout import ArraySpec, DatasetSpec

FORMAT = 1


def sample_bytes(array: ArraySpec) -> int:
    """Raw bytes of one sample of one array."""
    return int(np.prod(array.shape, dtype=np.int64)) * np.dtype(array.dtype).itemsize


def chunk_length(array: ArraySpec, spec: DatasetSpec) -> int:
    """Samples in an inner chunk: as many as the frames', or the whole shard where that is no more bytes."""
    whole = sample_bytes(array) * spec.shard_samples <= spec.frame_bytes * spec.chunk_samples
    return spec.shard_samples if whole else spec.chunk_samples


def shard_count(n: int, shard_samples: int) -> int:
    return -(-n // shard_samples)


def shard_range(shard: int, n: int, shard_samples: int) -> tuple[int, int]:
    """First sample of a shard and the one after its last; the last shard of a dataset may be short."""
    return shard * shard_samples, min(n, (shard + 1) * shard_samples)


def shard_key(name: str, ndim: int, shard: int) -> str:
    """Path of a shard's file in the dataset: every array is cut along its first axis only."""
    return f"{name}/c/{shard}" + "/0" * (ndim - 1)


def _storage(array: ArraySpec, spec: DatasetSpec) -> dict[str, Any]:
    """How an array is stored, apart from its length: bitshuffle + lz4, each inner chunk with its own crc32c."""
    from zarr.codecs import BloscCodec, Crc32cCodec

    dtype = np.dtype(array.dtype)
    return {
        "dtype": dtype,
        "shards": (spec.shard_samples, *array.shape),
        "chunks": (chunk_length(array, spec), *array.shape),
        "compressors": [
            BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=dtype.itemsize),
            Crc32cCodec(),
        ],
        "fill_value": float("nan") if dtype.kind == "f" else 0,
        # an all-zero label chunk is data: its file must stand, or it could not be told from a lost one
        "config": {"write_empty_chunks": True},
    }


def encode_shard(array: ArraySpec, spec: DatasetSpec, values: np.ndarray) -> bytes:
    """The bytes of one shard file. The same function of `values` on every run, wherever the shard lies."""
    import zarr
    from zarr.storage import MemoryStore

    files: dict[str, Any] = {}
    made = zarr.create_array(MemoryStore(files), shape=values.shape, **_storage(array, spec))
    made[...] = values
    key = shard_key("", values.ndim, 0).lstrip("/")
    return files[key].to_bytes()


def create(path: str | Path, spec: DatasetSpec, n: int, attrs: Mapping[str, Any]) -> None:
    """Create the empty dataset at `path`, whole or not at all.

    attrs  what `spec.attrs` does not say: recipe, seed, ...; JSON types

    Raises UserError when something stands at `path` already.
    """
    with atomic_folder(path) as folder:
        fill_group(folder, spec, n, attrs)


def fill_group(folder: Path, spec: DatasetSpec, n: int, attrs: Mapping[str, Any]) -> None:
    """Write metadata and coordinates of the dataset into an empty folder."""
    import zarr

    coords = _coords(spec)
    along = [name for name in coords if name not in {dim for array in spec.arrays for dim in array.dims}]
    group = zarr.open_group(folder, mode="w-", zarr_format=3)
    group.attrs.update(
        {
            **spec.attrs,
            **attrs,
            "twin_format": FORMAT,
            "n": n,
            "arrays": [array.name for array in spec.arrays],
            "shard_samples": spec.shard_samples,
            "chunk_samples": spec.chunk_samples,
            **({"coordinates": " ".join(along)} if along else {}),  # CF: xarray makes these coordinates
        }
    )
    for array in spec.arrays:
        described = {"units": array.unit, "ucd": array.ucd, "description": array.description, **array.attrs}
        zarr.create_array(
            group.store,
            name=array.name,
            shape=(n, *array.shape),
            dimension_names=("sample", *array.dims),
            attributes={key: value for key, value in described.items() if value != ""},
            **_storage(array, spec),
        )
    for name, (dim, words) in coords.items():
        zarr.create_array(group.store, name=name, data=_axis(words), dimension_names=(dim,))
    with warnings.catch_warnings():
        # Zarr warns that other readers may ignore consolidated metadata: they then read the plain ones.
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        zarr.consolidate_metadata(group.store)
    (folder / "manifest").mkdir()  # only now: consolidating warns of folders that are no part of the hierarchy


def _axis(words: tuple[str, ...] | tuple[float, ...]) -> np.ndarray:
    """Names along an axis as text, or what it measures (wavelengths) as float64."""
    numbers = all(isinstance(word, float) for word in words)
    return np.array(words, dtype=np.float64 if numbers else np.dtypes.StringDType())


def _coords(spec: DatasetSpec) -> dict[str, tuple[str, tuple[str, ...] | tuple[float, ...]]]:
    """Coordinate name -> (axis, words). `parameter` names the axis itself, `parameter_unit` lies along it."""
    found: dict[str, tuple[str, tuple[str, ...] | tuple[float, ...]]] = {}
    for array in spec.arrays:
        for name, given in array.coords.items():
            words: Any = tuple(given)
            dim = next((d for d in array.dims if name == d or name.startswith(d + "_")), None)
            if dim is None:
                raise ValueError(f"{array.name}: coordinate {name} lies along none of {array.dims}")
            if len(words) != array.shape[array.dims.index(dim)]:
                raise ValueError(f"{array.name}: {len(words)} words of {name} for an axis of another length")
            if found.setdefault(name, (dim, words)) != (dim, words):
                raise ValueError(f"{array.name}: coordinate {name} differs from another array's")
    return found
