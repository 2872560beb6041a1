"""A recipe of NumPy noise with the arrays of a lens recipe: what tests of the storage need, and no more."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from twin.io.layout import ArraySpec, DatasetSpec

SIZE = 8
CLASSES = ("galaxy", "blend", "quasar_lens")


class SmallSpec(DatasetSpec):
    """Shards of 12 samples in chunks of 4: many of both in a small dataset."""

    chunk_samples = 4  # type: ignore[assignment]
    shard_samples = 12  # type: ignore[assignment]


def arrays(size: int) -> tuple[ArraySpec, ...]:
    band: dict[str, tuple[str, ...]] = {"band": ("g", "r", "i")}
    parameter: dict[str, tuple[str, ...]] = {"parameter": ("theta_E", "q"), "parameter_unit": ("arcsec", "")}
    return (
        ArraySpec("frame", (3, size, size), "int16", ("band", "y", "x"), "ct", coords=band),
        ArraySpec("noise/scale", (3,), "float32", ("band",), "ct"),
        ArraySpec("noise/rms", (3,), "float32", ("band",), "ct"),
        ArraySpec("label/lens", (), "uint8"),
        ArraySpec("label/class", (), "uint8"),
        ArraySpec("label/separation", (), "float32", unit="arcsec", ucd="pos.angDistance"),
        ArraySpec("truth", (2,), "float32", ("parameter",), coords=parameter),
        ArraySpec("object_id", (), "int64"),
    )


@dataclass
class FakeRecipe:
    """`shard` is a pure function of (sha256, seed, shard, count); `pause` seconds make it slow."""

    spec: DatasetSpec
    sha256: str = "a" * 64
    name: str = "fake"
    bands: tuple[str, ...] = ("g", "r", "i")
    pixel_scale: float = 0.25
    pause: float = 0.0

    @property
    def node(self) -> Any:
        return SimpleNamespace(value={"name": self.name, "sizes": [1, 2]})

    def shard(self, seed: int, shard: int, count: int) -> dict[str, np.ndarray]:
        time.sleep(self.pause)
        rng = np.random.default_rng([int(self.sha256[:8], 16), seed, shard])
        label = rng.integers(0, len(CLASSES), count).astype(np.uint8)
        size = self.spec["frame"].shape[-1]
        separation = np.where(label == 2, rng.uniform(1, 5, count), np.nan)
        frame = rng.normal(0, 4, (count, 3, size, size)) + 200 * np.exp(
            -((np.arange(size) - size / 2) ** 2 + ((np.arange(size) - size / 2) ** 2)[:, None]) / 4
        )
        return {
            "frame": frame.round().astype(np.int16),
            "noise/scale": np.full((count, 3), 2.5, np.float32),
            "noise/rms": np.full((count, 3), 10.0, np.float32),
            "label/lens": (label == 2).astype(np.uint8),
            "label/class": label,
            "label/separation": separation.astype(np.float32),
            "truth": rng.normal(size=(count, 2)).astype(np.float32),
            "object_id": shard * 1_000_000 + np.arange(count),
        }


def small(**changes: Any) -> FakeRecipe:
    return FakeRecipe(SmallSpec(arrays(SIZE), {"classes": list(CLASSES)}), **changes)


def full_size(**changes: Any) -> FakeRecipe:
    """64x64 frames in shards of the real size."""
    return FakeRecipe(DatasetSpec(arrays(64), {"classes": list(CLASSES)}), **changes)
