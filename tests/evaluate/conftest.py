"""A small made-up sky in the layout of an ingested dataset, and models whose answers are known."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow
import pytest

from twin.evaluate import config as benchmarks
from twin.evaluate import ps1_lenses
from twin.train.prediction import Prediction

PIXEL = 0.25
EDGES = np.geomspace(0.2, 8.0, 81)
SIZE = 64


@dataclass
class FakeDataset:
    """What a benchmark reads of `twin.data.Dataset`, in memory."""

    arrays: dict[str, np.ndarray]
    table: pyarrow.Table | None
    attrs: dict = field(default_factory=lambda: {"bands": ["g", "r", "i"]})
    path: Path = Path("made-up.zarr")

    @property
    def n(self) -> int:
        return len(self.arrays["frame"])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.arrays)

    def read(self, name, start=0, stop=None):
        return self.arrays[name][start:stop]

    def catalogue(self):
        return self.table


def star(x: float, y: float, fwhm: float = 4.0, size: int = SIZE) -> np.ndarray:
    """Moffat star of unit peak, beta 3, at a pixel."""
    yy, xx = np.mgrid[:size, :size]
    alpha2 = fwhm**2 / (4 * (2 ** (1 / 3) - 1))
    return (1 + ((xx - x) ** 2 + (yy - y) ** 2) / alpha2) ** -3


def made_up_sky(quasars: int = 60, seed: int = 0) -> FakeDataset:
    """`quasars` pairs of stars and as many single stars of the same brightness, one field each.

    The first band's sky noise is `20 + separation` for a lens and 20 for a single star: an oracle can read it there.
    """
    rng = np.random.default_rng(seed)
    n = 2 * quasars
    separation = rng.uniform(1.5, 4.5, quasars)
    rms = np.full((n, 3), 20.0, np.float32)
    rms[:quasars, 0] += separation
    frame = np.empty((n, 3, SIZE, SIZE))
    for i in range(n):
        x, y = 32 + rng.uniform(-1, 1, 2)
        image = 3000 * star(x, y)
        if i < quasars:
            angle, distance = rng.uniform(0, 2 * np.pi), separation[i] / PIXEL
            image = image + 2000 * star(x + distance * np.cos(angle), y + distance * np.sin(angle))
        frame[i] = image + rng.normal(size=(3, SIZE, SIZE)) * 20
    scale = rms / 4
    quantised = np.round(frame / scale[:, :, None, None]).astype(np.int16)
    magnitude = np.tile(rng.uniform(17, 19, quasars), 2)
    name = [f"Q{i:03d}" for i in range(quasars)] + [f"field-{i:03d}" for i in range(quasars)]
    table = pyarrow.table(
        {
            "name": name,
            "set": ["lens"] * quasars + ["field"] * quasars,
            "sled_class": ["lensed_quasars"] * quasars + [""] * quasars,
            "separation_arcsec": [*separation, *[float("nan")] * quasars],
            "mag_r": magnitude,
            "snr_r": np.full(n, 100.0),
            "lens_name": name[:quasars] * 2,
            "ra": np.linspace(10, 20, n),
            "dec": np.linspace(-5, 5, n),
        }
    )
    arrays = {
        "frame": quantised,
        "valid": np.ones(quantised.shape, np.uint8),
        "noise/scale": scale.astype(np.float32),
        "noise/rms": rms,
        "noise/gain": np.ones((n, 3), np.float32),
    }
    return FakeDataset(arrays, table)


def delta(separation: np.ndarray, lens: np.ndarray, members: int = 2) -> Prediction:
    """All probability in the bin of the given separation; lens probability as given."""
    density = np.zeros((members, len(lens), len(EDGES) - 1))
    where = np.clip(np.searchsorted(EDGES, separation, side="right") - 1, 0, len(EDGES) - 2)
    density[:, np.arange(len(lens)), where] = 1.0
    return Prediction(np.tile(lens, (members, 1)), density, EDGES)


class Oracle:
    """Knows every answer."""

    bands, centre_band, crop = ("g", "r", "i"), 1, 40
    calibration = None

    def predict(self, frames: np.ndarray, rms: np.ndarray) -> Prediction:
        assert frames.shape[1:] == (3, self.crop, self.crop)
        assert np.isfinite(frames).all()
        truth = rms[:, 0].astype(float) - 20
        return delta(np.where(truth > 0.1, truth, 1.0), (truth > 0.1) * 0.98 + 0.01)


class Guess(Oracle):
    """Knows nothing: random probabilities, one broad density."""

    def predict(self, frames: np.ndarray, rms: np.ndarray) -> Prediction:
        n = len(frames)
        density = np.ones((2, n, len(EDGES) - 1)) / (len(EDGES) - 1)
        return Prediction(np.tile(np.random.default_rng(1).random(n), (2, 1)), density, EDGES)


class Honest(Oracle):
    """Right on average, with errors of 10 % in the logarithm that it states times `stated`."""

    def __init__(self, stated: float = 1.0) -> None:
        self.stated = stated

    def predict(self, frames: np.ndarray, rms: np.ndarray) -> Prediction:
        from scipy.stats import norm

        truth = np.maximum(rms[:, 0].astype(float) - 20, 1.0)
        guess = np.log(truth) + np.random.default_rng(5).normal(0, 0.1, len(truth))
        density = np.diff(norm.cdf((np.log(EDGES) - guess[:, None]) / (0.1 * self.stated)), axis=1)
        density /= density.sum(1, keepdims=True)
        lens = np.clip((rms[:, 0] > 20.1) * 0.6 + 0.2, 0, 1)
        return Prediction(np.tile(lens, (2, 1)), np.tile(density, (2, 1, 1)), EDGES)


@pytest.fixture(scope="session")
def sky() -> FakeDataset:
    return made_up_sky()


@pytest.fixture(scope="session")
def protocol(tmp_path_factory) -> benchmarks.RealLenses:
    """The shipped protocol with a pair list for the made-up sky, one entry set aside."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    path.write_text("lens,other\n" + "".join(f"Q{i:03d},field-{(i + 7) % 60:03d}\n" for i in range(60)))
    shipped = benchmarks.load("ps1-lenses")
    return shipped.model_copy(
        update={
            "matching": shipped.matching.model_copy(update={"pairs": str(path)}),
            "set_aside": (benchmarks.SetAside(name="Q003", reason="made up"),),
        }
    )


@pytest.fixture(scope="session")
def fake():
    """This module: the made-up sky and the models, for tests that build their own."""
    return sys.modules[__name__]


@pytest.fixture(scope="session")
def oracle_result(sky, protocol):
    """The oracle's verdict, two-star fits included."""
    return ps1_lenses.run(Oracle(), sky, protocol)
