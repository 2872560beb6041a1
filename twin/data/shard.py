"""One shard: written whole or not at all, read back, held against its manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from twin.data.events import NAME, encode_events, events_key
from twin.data.layout import encode_shard, shard_key, shard_range
from twin.data.manifest import Manifest, hash_values, manifest_path, write_manifest
from twin.io.atomic import clear_parts, fsync_folder, plain_disk_errors, write_bytes
from twin.io.layout import DatasetSpec


def check_arrays(spec: DatasetSpec, arrays: Mapping[str, np.ndarray], count: int) -> None:
    """Raise ValueError where `arrays` are not what `spec` says: a fault of the code that made them."""
    names = {array.name for array in spec.arrays} | ({NAME} if NAME in spec.attrs else set())
    if arrays.keys() != names:
        raise ValueError(f"arrays {sorted(arrays)} instead of {sorted(names)}")
    for array in spec.arrays:
        made = arrays[array.name]
        if made.shape != (count, *array.shape) or made.dtype != np.dtype(array.dtype):
            raise ValueError(
                f"{array.name}: {made.dtype} {made.shape} instead of {array.dtype} {(count, *array.shape)}"
            )


def write_shard(
    folder: Path,
    spec: DatasetSpec,
    shard: int,
    n: int,
    arrays: Mapping[str, np.ndarray],
    *,
    seed: int,
    recipe_sha256: str,
    fingerprint: dict[str, str],
) -> Manifest:
    """Write all files of a shard, make them durable, then let the manifest stand.

    Raises UserError when the disk is full; what was written of the shard is then removed.
    """
    start, stop = shard_range(shard, n, spec.shard_samples)
    check_arrays(spec, arrays, stop - start)
    drop_manifest(folder, shard)
    hashes: dict[str, str] = {}
    sizes: dict[str, int] = {}
    try:
        for name, values in arrays.items():
            if name == NAME:
                data, key = encode_events(values), events_key(shard)
            else:
                data, key = encode_shard(spec[name], spec, values), shard_key(name, values.ndim, shard)
            hashes[key], sizes[key] = hashlib.sha256(data).hexdigest(), len(data)
            clear_parts(folder / key)
            write_bytes(folder / key, data)
        made = Manifest(
            shard=shard,
            start=start,
            count=stop - start,
            seed=seed,
            recipe_sha256=recipe_sha256,
            sha256_values=hash_values(arrays),
            sha256_files=hashes,
            sizes=sizes,
            fingerprint=fingerprint,
        )
        clear_parts(manifest_path(folder, shard))
        write_manifest(folder, made)
    except BaseException:
        drop_manifest(folder, shard)
        for key in hashes:
            (folder / key).unlink(missing_ok=True)
        raise
    return made


def drop_manifest(folder: Path, shard: int) -> None:
    """Make a shard unfinished, before its files change."""
    path = manifest_path(folder, shard)
    if path.exists():
        with plain_disk_errors(path):
            path.unlink()
            fsync_folder(path.parent)
