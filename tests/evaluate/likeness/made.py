"""Made-up frames of stars whose PSF and noise are known: Moffat stars on noise with or without correlation."""

from __future__ import annotations

from typing import Any

import numpy as np

from twin.data.ingest import write_records
from twin.data.ingest.records import Records
from twin.io.layout import ArraySpec, DatasetSpec

SIZE, BANDS = 24, ("g", "r")
CLASSES = ("star", "other")


def frames(n: int, seed: int, *, fwhm: float = 4.0, correlated: bool = True, brightness: float = 40.0) -> np.ndarray:
    """(n, band, y, x) in units of rms: a star of peak about `brightness` rms, FWHM scattered by 3 %, in noise that is
    smoothed by (1/8, 3/4, 1/8) along both axes, or white."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    width = fwhm * np.exp(0.03 * rng.normal(size=(n, 1, 1, 1)))
    at = SIZE // 2 + rng.uniform(-0.5, 0.5, (2, n, 1, 1, 1))
    peak = (
        brightness * np.exp(0.5 * rng.normal(size=(n, 1, 1, 1))) * np.exp(0.2 * rng.normal(size=(n, len(BANDS), 1, 1)))
    )
    alpha2 = width**2 / (4 * (2 ** (1 / 3) - 1))
    light = peak * (fwhm / width) ** 2 * (1 + ((y - at[0]) ** 2 + (x - at[1]) ** 2) / alpha2) ** -3
    noise = rng.normal(size=(n, len(BANDS), SIZE, SIZE))
    if correlated:
        for axis in (2, 3):
            noise = 0.75 * noise + 0.125 * (np.roll(noise, 1, axis) + np.roll(noise, -1, axis))
        noise /= noise.std()
    return light + noise


def dataset(path: Any, values: np.ndarray, kind: str = "simulated", **attrs: Any) -> Any:
    """Frames as a dataset of rms 5 counts: half of class star, half other; two rows a field where observed."""
    n = len(values)
    frame = {"band": BANDS}
    spec = DatasetSpec(
        (
            ArraySpec("frame", values.shape[1:], "float32", ("band", "y", "x"), "ct", coords=frame),
            ArraySpec("noise/rms", (len(BANDS),), "float32", ("band",), "ct"),
            ArraySpec("label/class", (), "uint8"),
            ArraySpec("exposure_id", (), "int64"),
            ArraySpec("object_id", (), "int64"),
        ),
        {"bands": list(BANDS), "classes": list(CLASSES), "pixel_scale": 0.25, **attrs},
    )
    arrays = {
        "frame": (5 * values).astype(np.float32),
        "noise/rms": np.full((n, len(BANDS)), 5, np.float32),
        "label/class": (np.arange(n) % 2).astype(np.uint8),
        "exposure_id": np.arange(n) // 2,
        "object_id": np.arange(n),
    }
    catalogue = {"name": [f"object-{i}" for i in range(n)], "lens_name": [f"field-{i // 2}" for i in range(n)]}
    write_records(Records(spec, arrays, catalogue, "0" * 64, []), "made", path)
    return path
