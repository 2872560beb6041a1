"""Run a model over a dataset, real or simulated alike."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

import numpy as np

from twin.data import Dataset, open_dataset
from twin.evaluate.catalogue import calibration_words, check_format, columns, write_catalogue
from twin.io.atomic import check_target
from twin.io.layout import FRAME_ARRAYS, decode
from twin.schema import UserError
from twin.train.detector.model import is_detector_folder
from twin.train.frames import recentre_crop
from twin.train.model import Model
from twin.train.prediction import Prediction

log = logging.getLogger("twin")
BLOCK = 1024  # objects in memory at a time: 50 MB of 64x64 frames in three bands


class Predictor(Protocol):
    """What a benchmark needs of a model."""

    def predict(self, frames: np.ndarray, rms: np.ndarray) -> Prediction:
        """Prediction for (n, band, y, x) counts with sky noise (n, band)."""


def read_frames(dataset: Dataset, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """(counts, valid) of samples [start, stop): (n, band, y, x) float32 and bool."""
    return decode({name: dataset.read(name, start, stop) for name in FRAME_ARRAYS if name in dataset.names})


def join(parts: list[Prediction]) -> Prediction:
    """Predictions of several blocks of objects as one."""
    lens = np.concatenate([p.lens for p in parts], axis=1)
    separation = np.concatenate([p.separation for p in parts], axis=1)
    return Prediction(lens, separation, parts[0].edges)


def predict(
    model_dir: str | Path,
    dataset_path: str | Path,
    out: str | Path,
    calibration: str | None = None,
    optics: dict[str, float] | None = None,
    least: float = 0.1,
) -> None:
    """Write the catalogue of a dataset's objects (`.parquet`, `.fits`, `.vot`, `.ecsv`).

    calibration   of the model, by name, as `Model.load` takes it; the catalogue says which it was
    optics, least   for a detector, whose input may be an event list or a count image: `sources.predict_sources`

    Frames are recentred and cropped as in training; an object whose crop is incomplete is predicted and flagged, one
    without a band (no noise is known of it) stands in the catalogue with NaN.
    Raises UserError for a model folder without its files, an unknown calibration, a dataset of other bands, an unknown
    ending.
    """
    if is_detector_folder(model_dir):
        from twin.evaluate.sources import predict_sources

        if calibration is not None:
            raise UserError("is not for detectors", key="--calibration")
        return predict_sources(model_dir, dataset_path, out, optics, least)
    if optics:
        raise UserError("goes with a detector", file=model_dir, key="--optics")
    check_format(Path(out))
    check_target(out)
    model = Model.load(model_dir, calibration)
    dataset = open_dataset(dataset_path)
    check_bands(dataset, model.bands)
    parts, whole, seen = [], [], []
    for start in range(0, dataset.n, BLOCK):
        stop = min(start + BLOCK, dataset.n)
        counts, valid = read_frames(dataset, start, stop)
        crops, complete, _ = recentre_crop(counts, valid, model.centre_band, model.crop)
        rms = dataset.read("noise/rms", start, stop)
        known = (np.isfinite(rms) & (rms > 0)).all(axis=1)
        parts.append(model.predict(crops, np.where(known[:, None], rms, 1)))
        whole.append(complete)
        seen.append(known)
    names, position = identifiers(dataset)
    about = {"model": str(model_dir), "dataset": str(dataset_path), **calibration_words(model.calibration)}
    usable = np.concatenate(seen)
    if not usable.all():
        log.warning("%d of %d objects lack a band: flagged, not predicted", (~usable).sum(), dataset.n)
    cols = columns(names, join(parts), position=position, complete=np.concatenate(whole), usable=usable)
    write_catalogue(Path(out), cols, about)


def check_bands(dataset: Dataset, bands: tuple[str, ...]) -> None:
    """Raises UserError where a dataset has other bands, or the same in another order."""
    found = tuple(dataset.attrs.get("bands", ()))
    if found != tuple(bands):
        raise UserError(
            f"has the bands {' '.join(found) or '(none)'}; needed are {' '.join(bands)}", file=dataset.path, key="bands"
        )


def identifiers(dataset: Dataset) -> tuple[np.ndarray, np.ndarray | None]:
    """(n,) names of a dataset's objects, and (n, 2) RA, Dec in degrees where its catalogue has them."""
    table = dataset.catalogue()
    if table is None:
        ids = dataset.read("object_id", 0, dataset.n) if "object_id" in dataset.names else np.arange(dataset.n)
        return ids.astype(str), None
    names = np.array([str(name) for name in table.column("name").to_pylist()])
    if not {"ra", "dec"} <= set(table.column_names):
        return names, None
    position = [[np.nan if v is None else v for v in table.column(key).to_pylist()] for key in ("ra", "dec")]
    return names, np.array(position, float).T
