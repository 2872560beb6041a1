"""The one layout of simulated and real data, declared as data (DESIGN, contract "Dataset")."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

SHARD_BYTES = 75 * 2**20  # raw frame bytes a shard holds: few files, and a lost shard costs little
INVALID = -32768  # the int16 frame value of a pixel without a value
FRAME_ARRAYS = ("frame", "noise/scale", "noise/sky", "valid")  # what `decode` takes, where a dataset has it
CHUNK_BYTES = 2 * 2**20  # an inner chunk fits in the L2/L3 cache while it is decoded


@dataclass(frozen=True)
class ArraySpec:
    """One array of a dataset; the leading axis `sample` is implied.

    name         path in the store, for example "label/lens"
    shape        shape of one sample, () for a scalar
    dtype        NumPy dtype name
    dims         names of the axes of one sample, as many as `shape`
    unit         VOUnit string, "" for pure numbers
    ucd          UCD1+ word, "" where none fits
    description  one line
    coords       names along an axis, {"parameter": ("theta_E", ...)}, or numbers: {"wavelength": (3700.0, ...)}
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    dims: tuple[str, ...] = ()
    unit: str = ""
    ucd: str = ""
    description: str = ""
    coords: Mapping[str, tuple[str, ...] | tuple[float, ...]] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.dims) != len(self.shape):
            raise ValueError(f"{self.name}: {len(self.dims)} dimension names for {len(self.shape)} axes")


@dataclass(frozen=True)
class DatasetSpec:
    """All arrays of a dataset and the attributes of its root group (JSON types only)."""

    arrays: tuple[ArraySpec, ...]
    attrs: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> ArraySpec:
        for array in self.arrays:
            if array.name == name:
                return array
        raise KeyError(name)

    @property
    def frame_bytes(self) -> int:
        """Raw bytes of one sample's frame."""
        import numpy as np

        frame = self["frame"]
        return math.prod(frame.shape) * np.dtype(frame.dtype).itemsize

    @property
    def chunk_samples(self) -> int:
        """Samples in an inner chunk: about CHUNK_BYTES of raw frames, a power of two."""
        return max(1, 2 ** int(math.log2(max(1, CHUNK_BYTES // self.frame_bytes))))

    @property
    def shard_samples(self) -> int:
        """Samples in a shard: about SHARD_BYTES of raw frames, a whole number of chunks."""
        return self.chunk_samples * max(1, SHARD_BYTES // (self.frame_bytes * self.chunk_samples))


class ShardSource(Protocol):
    """What writing and training need of a recipe (`twin.recipe.Recipe` is one)."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def node(self) -> Any: ...
    @property
    def bands(self) -> tuple[str, ...]: ...
    @property
    def pixel_scale(self) -> float: ...
    @property
    def spec(self) -> DatasetSpec: ...
    def shard(self, seed: int, shard: int, count: int) -> Mapping[str, np.ndarray]: ...


def decode(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(counts, valid) of a dataset's arrays: float32 counts above the sky, 0 where invalid; both (n, band, y, x).

    arrays  "frame"; "noise/scale" and "noise/sky" (n, band), "valid" (n, y, x) or (n, band, y, x), where there are any
    """
    import numpy as np

    frame = arrays["frame"]
    counts = frame.astype(np.float32)
    if "noise/scale" in arrays:
        counts *= arrays["noise/scale"][:, :, None, None]
    if "noise/sky" in arrays:
        counts -= arrays["noise/sky"][:, :, None, None]
    valid = frame != INVALID
    if "valid" in arrays:
        given = arrays["valid"].astype(bool)
        valid &= given if given.ndim == valid.ndim else given[:, None]
    return np.where(valid, counts, np.float32(0)), valid
