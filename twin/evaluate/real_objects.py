"""Real lenses and the objects beside them, cut out as a benchmark's protocol says."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from twin.data import Dataset
from twin.evaluate.config import RealLenses
from twin.evaluate.matching import greedy_pairs
from twin.evaluate.predict import check_bands, read_frames
from twin.schema import UserError
from twin.train.frames import recentre_crop

COLUMNS = ("name", "set", "sled_class", "separation_arcsec", "mag_r", "snr_r", "lens_name", "ra", "dec")


@dataclass(frozen=True)
class Objects:
    """Recentred cutouts and what the catalogue says of them; every field has the same leading axis.

    crops       (n, band, y, x) float32 counts, NaN where invalid
    complete    (n,) no invalid pixel in the crop
    rms, gain   (n, band) counts, e-/count
    field       (n,) name of the lens in whose frame the object was found: the unit of the bootstrap
    """

    crops: np.ndarray
    complete: np.ndarray
    rms: np.ndarray
    gain: np.ndarray
    name: np.ndarray
    kind: np.ndarray
    sled_class: np.ndarray
    field: np.ndarray
    separation: np.ndarray
    mag_r: np.ndarray
    snr_r: np.ndarray
    position: np.ndarray

    def take(self, index: np.ndarray) -> Objects:
        """The chosen objects."""
        return Objects(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def __len__(self) -> int:
        return len(self.name)


def read_objects(dataset: Dataset, config: RealLenses) -> Objects:
    """All objects of an ingested dataset, recentred on their peak in `config.centre_band` and cropped to `config.crop`.

    Raises UserError where the dataset has other bands or lacks the catalogue or one of its columns.
    """
    check_bands(dataset, config.bands)
    table = dataset.catalogue()
    if table is None:
        raise UserError(f"has no catalogue: make it with twin ingest {config.source}", file=dataset.path)
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise UserError(f"the catalogue lacks {', '.join(missing)}", file=dataset.path, key="catalogue")
    column = {name: _column(table, name) for name in COLUMNS}
    counts, valid = read_frames(dataset, 0, dataset.n)
    crops, complete, _ = recentre_crop(counts, valid, config.bands.index(config.centre_band), config.crop)
    lens = column["set"] == "lens"
    return Objects(
        crops=np.asarray(crops),
        complete=np.asarray(complete),
        rms=dataset.read("noise/rms", 0, dataset.n),
        gain=dataset.read("noise/gain", 0, dataset.n),
        name=column["name"],
        kind=column["set"],
        sled_class=column["sled_class"],
        field=np.where(lens, column["name"], column["lens_name"]),
        separation=column["separation_arcsec"],
        mag_r=column["mag_r"],
        snr_r=column["snr_r"],
        position=np.stack([column["ra"], column["dec"]], 1),
    )


def _column(table: object, name: str) -> np.ndarray:
    """One catalogue column as text or float64, NaN and "" where null."""
    values = table.column(name).to_pylist()  # type: ignore[attr-defined]
    if all(value is None or isinstance(value, (int, float)) for value in values):
        return np.array([np.nan if value is None else float(value) for value in values])
    return np.array(["" if value is None else str(value) for value in values])


def select_quasars(objects: Objects, config: RealLenses) -> np.ndarray:
    """Indices of the lensed quasars of the protocol."""
    low, high = config.quasars.separation
    chosen = (objects.kind == "lens") & (objects.sled_class == config.quasars.sled_class)
    chosen &= (objects.separation >= low) & (objects.separation <= high) & (objects.snr_r > config.quasars.snr_r)
    return np.flatnonzero(chosen & objects.complete)


def select_others(objects: Objects) -> tuple[np.ndarray, dict[str, int]]:
    """Indices of the objects beside lenses that are complete in the crop, and how many were left out for what.

    The reader has made one object of an object that stands in both source files, with the larger cutout.
    """
    beside = (objects.kind != "lens") & (objects.field != "")
    chosen = beside & objects.complete
    counts = {
        "others": int(beside.sum()),
        "others_incomplete_in_crop": int((beside & ~objects.complete).sum()),
        "others_not_beside_a_lens": int(((objects.kind != "lens") & ~beside).sum()),
    }
    return np.flatnonzero(chosen), counts


def make_pairs(objects: Objects, config: RealLenses) -> list[tuple[str, str]]:
    """The pair list by its rule: what `ps1-lenses-pairs.csv` holds."""
    quasars, (others, _) = select_quasars(objects, config), select_others(objects)
    pairs = greedy_pairs(objects.mag_r[quasars], objects.mag_r[others], config.matching.tolerance, config.matching.seed)
    return [(str(objects.name[quasars[a]]), str(objects.name[others[b]])) for a, b in pairs]


def concentration(crops: np.ndarray, config: RealLenses) -> np.ndarray:
    """(n,) flux within the inner over flux within the outer radius, centre band, about the crop's centre pixel."""
    image = crops[:, config.bands.index(config.centre_band)].astype(float)
    y, x = np.indices(image.shape[1:]) - config.crop // 2
    radius = np.hypot(x, y) * config.pixel_scale
    flux = [
        np.where(radius <= limit, image, 0.0).sum((1, 2))
        for limit in (config.concentration.inner, config.concentration.outer)
    ]
    return flux[0] / np.maximum(flux[1], 1e-6)
