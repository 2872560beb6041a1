"""A recipe of made-up count images: a cross-shaped PSF, sources of all brightnesses, Poisson counts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr

from twin.io.layout import ArraySpec, DatasetSpec
from twin.schema import Node, load_yaml

FIELDS = ("x", "y", "counts", "hardness", "variability")
SOURCES = 6

SECTION = """
name: made-up
train:
  kind: detector
  members: 1
  samples: 256
  validation: 128
  batch: 256
  steps: 200
  width: 32
  blocks: 1
  learning_rate: 0.004
"""


def _bins(edges: np.ndarray, wide: float) -> np.ndarray:
    return np.diff(ndtr(edges / wide))


def lit(x: float, y: float, n: int, roll: float, wide: float, parts: int = 1) -> np.ndarray:
    """(n parts, n parts) light of a source at (x, y) [bin] in parts of n x n bins: a core with 40 per cent of it, arms
    with 40, a patch with the rest; exact for roll 0."""
    edges = (np.arange(n * parts + 1) / parts) - 0.5
    long = 12.0

    def part(sx: float, sy: float) -> np.ndarray:
        if roll == 0:
            return np.outer(_bins(edges - y, sy), _bins(edges - x, sx))
        middle = (edges[1:] + edges[:-1]) / 2
        dx, dy = middle[None] - x, middle[:, None] - y
        u, v = np.cos(roll) * dx + np.sin(roll) * dy, np.cos(roll) * dy - np.sin(roll) * dx
        sx, sy = np.hypot([sx, sy], 1 / np.sqrt(12) / parts)
        image = np.exp(-0.5 * ((u / sx) ** 2 + (v / sy) ** 2)) / (2 * np.pi * sx * sy * parts**2)
        return np.asarray(image)

    return 0.4 * part(wide, wide) + 0.2 * part(long, wide) + 0.2 * part(wide, long) + 0.2 * part(long, long)


def psf_of(n: int, roll: float, wide: float) -> np.ndarray:
    """(4 n - 3, 4 n - 3) PSF in half bins, the source in the middle one."""
    side = 4 * n - 3
    half = side / 4 - 0.5  # half bins with the source in the middle of the middle one
    bins = lit(half, half, (side + 1) // 2, roll, wide, 2)[:side, :side]
    return bins.astype(np.float32)


@dataclass(frozen=True)
class MadeUp:
    """`ShardSource` of these images: n x n bins, one band or two."""

    node: Node
    n: int = 32
    bright: float = 0.3
    name: str = "made-up"
    bands: tuple[str, ...] = ("soft", "hard")
    pixel_scale: float = 270.0
    sha256: str = field(default=hashlib.sha256(b"made-up").hexdigest())

    @property
    def spec(self) -> DatasetSpec:
        side = 4 * self.n - 3
        return DatasetSpec(
            (
                ArraySpec("frame", (2, self.n, self.n), "uint16", ("band", "y", "x")),
                ArraySpec("input/psf", (side, side), "float32", ("psf_y", "psf_x")),
                ArraySpec("label/sources", (SOURCES, len(FIELDS)), "float32", ("source", "field"),
                          coords={"field": FIELDS}),
                ArraySpec("label/n_sources", (), "uint8"),
            )
        )  # fmt: skip

    def shard(self, seed: int, shard: int, count: int) -> dict[str, Any]:
        rng = np.random.default_rng([seed, shard])
        n, out = self.n, {"frame": np.zeros((count, 2, self.n, self.n), np.uint16)}
        sources, number = np.full((count, SOURCES, len(FIELDS)), np.nan, np.float32), np.zeros(count, np.uint8)
        optics = [(np.deg2rad(rng.normal(0, 2)), rng.uniform(0.5, 0.7)) for _ in range(count)]
        psfs = np.stack([psf_of(n, *each) for each in optics])
        for k in range(count):
            number[k] = rng.integers(1, SOURCES + 1)
            expected = np.full((n, n), 0.3)
            hard = np.full((n, n), 0.1)
            for j in range(number[k]):
                x, y = rng.uniform(0, n - 1, 2)
                counts = 10 ** rng.uniform(1, 2.5)
                if j == 0 and rng.random() < self.bright:
                    counts = 3000.0
                share = rng.uniform(0.1, 0.6)
                image = counts * lit(x, y, n, *optics[k])
                expected += image
                hard += share * image
                sources[k, j] = x, y, image.sum(), share, 0.0
            out["frame"][k, 1] = rng.poisson(hard)
            out["frame"][k, 0] = rng.poisson(np.maximum(expected - hard, 0))
        return out | {"input/psf": psfs, "label/sources": sources, "label/n_sources": number}


def made_up(folder: Path, section: str = SECTION, **more: Any) -> MadeUp:
    """The recipe, its `train:` section read from YAML."""
    path = folder / "made-up.yaml"
    path.write_text(section)
    return MadeUp(load_yaml(path), **more)
