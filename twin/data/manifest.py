"""The note that makes a shard finished: what it holds, what its files hash to, what made it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from twin.io.atomic import write_json


@dataclass(frozen=True)
class Manifest:
    """One finished shard.

    sha256_values  identity: hash of the decoded arrays, whatever the compression
    sha256_files   bit rot: path in the dataset -> hash of the file's bytes
    sizes          path in the dataset -> bytes, a check that costs nothing
    fingerprint    what the values may depend on beside recipe, seed and shard
    """

    shard: int
    start: int
    count: int
    seed: int
    recipe_sha256: str
    sha256_values: str
    sha256_files: dict[str, str]
    sizes: dict[str, int]
    fingerprint: dict[str, str]


def manifest_path(folder: Path, shard: int) -> Path:
    return folder / "manifest" / f"{shard:06d}.json"


def read_manifest(folder: Path, shard: int) -> Manifest | None:
    """The manifest of a shard, None where the shard is unfinished. Raises ValueError for a damaged manifest."""
    try:
        text = manifest_path(folder, shard).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        found = Manifest(**json.loads(text))
    except TypeError as error:
        raise ValueError(f"not a manifest: {error}") from error
    if found.shard != shard or found.sizes.keys() != found.sha256_files.keys():
        raise ValueError("manifest contradicts itself")
    return found


def write_manifest(folder: Path, manifest: Manifest) -> None:
    write_json(manifest_path(folder, manifest.shard), asdict(manifest))


def sizes_match(folder: Path, manifest: Manifest) -> bool:
    """Whether every file of the shard stands and has its length."""
    try:
        return all(os.stat(folder / name).st_size == size for name, size in manifest.sizes.items())
    except OSError:
        return False


def hash_values(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over name, dtype, shape and little-endian bytes of every array, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        values = values.astype(values.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name}\0{values.dtype.str}\0{values.shape}\0".encode())
        digest.update(values.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def fingerprint() -> dict[str, str]:
    """What may change a simulated value although recipe, seed and shard stay the same. Starts JAX's backend."""
    import jax
    import jaxlib

    import twin

    device = jax.local_devices()[0]
    # the number of devices is no part of it: results do not depend on it
    flags = [f for f in os.environ.get("XLA_FLAGS", "").split() if "device_count" not in f]
    return {
        "twin": twin.__version__,
        "jaxlib": jaxlib.__version__,
        "backend": f"{device.platform} {device.device_kind}",
        "instruction_set": _instruction_set(),
        "flags": " ".join(sorted(set(flags))),
    }


def _instruction_set() -> str:
    """Architecture and the vector extensions for which a compiler would choose other instructions."""
    wanted = ("avx", "fma", "f16c", "amx", "sse4", "asimd", "sve", "bf16")
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    words = next(
        (line.partition(":")[2].split() for line in lines if line.lower().startswith(("flags", "features"))), []
    )
    return " ".join([platform.machine(), *sorted(word for word in words if word.startswith(wanted))])
