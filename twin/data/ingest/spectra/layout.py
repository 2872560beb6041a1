"""The arrays of a dataset of spectra, and rows as those arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from twin.io.layout import SHARD_BYTES, ArraySpec, DatasetSpec
from twin.io.spectra.resample import Grid
from twin.io.spectra.rows import CLASSES, FLAGS, NUMBERS, TEXT, WHOLE, Row
from twin.io.spectra.spectrum import MASK_BITS

MOST_SAMPLES = 16_384  # of a shard: what a crash may lose is half a minute of reading


class SpectraSpec(DatasetSpec):
    """Shards by the bytes of all arrays, for `noise/ivar` is as large as `frame`."""

    @cached_property
    def shard_samples(self) -> int:
        each = sum(int(np.prod(a.shape, dtype=np.int64)) * np.dtype(a.dtype).itemsize for a in self.arrays)
        samples = min(max(1, SHARD_BYTES // each), MOST_SAMPLES)
        return max(self.chunk_samples, samples // self.chunk_samples * self.chunk_samples)


def dataset_spec(source: str, grid: Grid, method: str) -> SpectraSpec:
    """Arrays and attributes of spectra of a source on a grid."""
    n, axes = (grid.n,), ("wavelength",)
    coords = {"wavelength": tuple(map(float, grid.wavelength))}
    unit = {"sdss": "10**-17 erg.s**-1.cm**-2.Angstrom**-1"}.get(source, "")
    bits = "; ".join(f"{bit} = {meaning}" for bit, meaning in MASK_BITS.items())
    return SpectraSpec(
        (
            ArraySpec("frame", n, "float32", axes, unit, "phot.flux.density;em.wl",
                      "flux, masked or not; 0 where valid is 0" + ("; relative or counts: column unit of the catalogue"
                      if not unit else ""), coords, {"wavelength_unit": "Angstrom", "medium": "vacuum"}),
            ArraySpec("noise/ivar", n, "float32", axes, "", "stat.variance;phot.flux.density",
                      "1 / variance of frame in its unit; 0 = the file does not tell", coords),
            ArraySpec("mask", n, "uint8", axes, "", "meta.code.qual", f"bits: {bits}", coords),
            ArraySpec("valid", n, "uint8", axes, "", "meta.code.qual", "1 = the file covers the pixel", coords),
            ArraySpec("label/class", (), "uint8", (), "", "meta.code.class", "index into the attribute classes"),
            ArraySpec("label/z", (), "float32", (), "", "src.redshift", "of the survey's pipeline; NaN = none"),
            ArraySpec("label/ha_ew", (), "float32", (), "Angstrom", "spect.line.eqWidth",
                      "measured on the file's own pixels, emission negative; NaN = not covered"),
            ArraySpec("exposure_id", (), "int64", (), "", "meta.id;obs",
                      "the same for one plate, day and spectrograph"),
            ArraySpec("object_id", (), "int64", (), "", "meta.id;src", "the same within 3 arcsec: split by it"),
        ),
        {"classes": list(CLASSES), "grid": grid.attrs(), "resampling": method,
         "mask_bits": {str(bit): meaning for bit, meaning in MASK_BITS.items()}},
    )  # fmt: skip


def shard_arrays(rows: Sequence[Row], objects: np.ndarray) -> dict[str, np.ndarray]:
    """Every array of `dataset_spec`."""
    columns = [row.columns for row in rows]
    return {
        "frame": np.stack([row.values.flux for row in rows]),
        "noise/ivar": np.stack([row.values.ivar for row in rows]),
        "mask": np.stack([row.values.mask for row in rows]),
        "valid": np.stack([row.values.valid for row in rows]),
        "label/class": np.array([row.label for row in rows], np.uint8),
        "label/z": np.array([c["z"] for c in columns], np.float32),
        "label/ha_ew": np.array([c["ha_ew"] for c in columns], np.float32),
        "exposure_id": np.array([_exposure(c) for c in columns], np.int64),
        "object_id": objects,
    }


def _exposure(columns: dict[str, Any]) -> int:
    """63 bits that name plate, day and spectrograph; the observation where there is no plate."""
    day = int(columns["mjd"]) if np.isfinite(columns["mjd"]) else -1
    words = (columns["survey"], columns["plate"] or columns["obsid"], day, columns["spectrograph"])
    return int.from_bytes(hashlib.sha256(repr(words).encode()).digest()[:8], "big") >> 1


def catalogue_table(rows: Sequence[Row], objects: np.ndarray) -> Any:
    """The catalogue's rows as a pyarrow table, of the same types in every shard."""
    import pyarrow as pa

    kinds = [(TEXT, pa.string()), (NUMBERS, pa.float64()), (WHOLE, pa.int32()), (FLAGS, pa.bool_())]
    arrays = {name: pa.array([row.columns[name] for row in rows], kind) for names, kind in kinds for name in names}
    return pa.table({**arrays, "object_id": pa.array(objects, pa.int64())})
