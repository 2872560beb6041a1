"""A recipe of two Gaussian blobs: lenses are pairs `separation` apart, the rest single blobs. NumPy only."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from twin.io.layout import ArraySpec, DatasetSpec
from twin.schema import parse_yaml

TRAIN = {
    "members": 2,
    "samples": 2048,
    "validation": 512,
    "batch": 32,
    "steps": 6,
    "crop": 24,
    "network": {"widths": [8, 16], "blocks": [1, 0], "hidden": 32},
    "heads": {
        "lens": {"kind": "binary", "label": "label/lens"},
        "separation": {"kind": "binned", "label": "label/separation", "low": 0.5, "high": 4.0, "bins": 24},
    },
}


class FakeRecipe:
    """`shard` is a pure function of (sha256, seed, shard, count)."""

    name, bands, pixel_scale = "fake", ("g", "r"), 0.25

    def __init__(self, size: int = 32, **train) -> None:
        self.size = size
        self.node = parse_yaml(json.dumps({"name": "fake", "size": size, "train": TRAIN | train}), "fake.yaml")
        self.sha256 = hashlib.sha256(json.dumps(self.node.value).encode()).hexdigest()

    @property
    def spec(self) -> DatasetSpec:
        arrays = []
        for name, values in self.shard(0, 0, 1).items():
            dims = {4: ("band", "y", "x"), 2: ("band",), 1: ()}[values.ndim]
            arrays.append(ArraySpec(name, values.shape[1:], values.dtype.name, dims))
        return DatasetSpec(tuple(arrays))

    def shard(self, seed: int, shard: int, count: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([self.size, seed, shard, count])
        lens = rng.integers(0, 2, count)
        separation = np.where(lens, rng.uniform(0.6, 3.0, count), np.nan)
        half = np.where(lens, separation, 0) / self.pixel_scale / 2
        angle, ratio = rng.uniform(0, 2 * np.pi, count), np.where(lens, rng.uniform(0.5, 1, count), 0)
        dy, dx = half * np.sin(angle), half * np.cos(angle)
        y, x = np.mgrid[: self.size, : self.size] - self.size // 2

        def blob(cy, cx, flux):
            r2 = (y - cy[:, None, None]) ** 2 + (x - cx[:, None, None]) ** 2
            return flux[:, None, None] * np.exp(-r2 / (2 * 2.0**2))

        flux = rng.uniform(20, 60, count)
        image = blob(dy, dx, flux) + blob(-dy, -dx, flux * ratio)
        rms = np.broadcast_to(np.float32([1.0, 2.0]), (count, 2))
        colour = rng.uniform(0.5, 1, (count, 2))
        noise = rng.normal(size=(count, 2, self.size, self.size)) * rms[:, :, None, None]
        counts = image[:, None] * colour[:, :, None, None] + noise
        scale = (rms / 4).astype(np.float32)
        return {
            "frame": np.rint(counts / scale[:, :, None, None]).astype(np.int16),
            "noise/scale": scale,
            "noise/rms": rms.astype(np.float32),
            "noise/gain": np.ones((count, 2), np.float32),
            "label/lens": lens.astype(np.uint8),
            "label/class": (2 * lens).astype(np.uint8),
            "label/separation": separation.astype(np.float32),
        }
