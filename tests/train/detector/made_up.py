"""A recipe of made-up count images: a cross-shaped PSF, sources of all brightnesses, Poisson counts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

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
  validation: 256
  batch: 8
  steps: 400
  width: 24
  blocks: 1
  learning_rate: 0.004
"""


def cross(side: int, roll: float = 0.0, wide: float = 0.9) -> np.ndarray:
    """(side, side) PSF of sum 1: a core with 40 per cent of the light, arms with 40, a patch with the rest."""
    u = np.arange(side) - side // 2
    x, y = np.cos(roll) * u[None] + np.sin(roll) * u[:, None], np.cos(roll) * u[:, None] - np.sin(roll) * u[None]

    def part(sx: float, sy: float) -> np.ndarray:
        image = np.exp(-0.5 * ((x / sx) ** 2 + (y / sy) ** 2))
        return image / image.sum()

    long = side / 6
    return (0.4 * part(wide, wide) + 0.2 * part(long, wide) + 0.2 * part(wide, long) + 0.2 * part(long, long)).astype(
        np.float32
    )


def shifted(psf: np.ndarray, x: float, y: float, n: int) -> np.ndarray:
    """(n, n) the PSF at (x, y) [bin], by its own Fourier transform."""
    side = psf.shape[0]
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None]
    dx, dy = x - (n - 1) / 2, y - (n - 1) / 2
    moved = np.fft.ifft2(np.fft.fft2(psf) * np.exp(-2j * np.pi * (fx * (dx - 0.5) + fy * (dy - 0.5)))).real
    first = side // 2 - n // 2
    return np.maximum(moved[first : first + n, first : first + n], 0)


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
        side = 2 * self.n - 1
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
        psfs = np.stack([cross(2 * n - 1, np.deg2rad(rng.normal(0, 2)), rng.uniform(0.8, 1.1)) for _ in range(count)])
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
                image = counts * shifted(psfs[k], x, y, n)
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
