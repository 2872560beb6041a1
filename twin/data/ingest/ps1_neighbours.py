"""Reader `ps1-neighbours`: the objects beside the lenses of `ps1-sled`, 40x40 pixels, complete ones only.

Traps handled here: the padding of smaller cut-outs would give them away, so an object with one pixel without a value
within its 40x40 is left out; objects in both source files are one (see `ps1_sled`); the few vetted non-lenses of other
fields, which were chosen otherwise, are left out too.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from twin.data.ingest import ps1_sled
from twin.data.ingest.records import Records
from twin.io.fits import stamp_wcs
from twin.io.layout import DatasetSpec
from twin.schema import UserError

SIZE = 40


def can_read(path: Path) -> bool:
    return ps1_sled.can_read(path)


def read(path: Path) -> Records:
    """Neighbours and field objects beside a lens, in the order of `ps1-sled`, with its columns."""
    every = ps1_sled.read(path)
    beside = np.array([kind != "lens" and bool(near) for kind, near in _pairs(every)])
    records = middle_of(every, beside)
    if records is None:
        raise UserError(f"no object beside a lens is complete in {SIZE}x{SIZE} pixels", file=path)
    notes = [f"{records.n} of {beside.sum()} objects beside lenses are complete in {SIZE}x{SIZE} pixels"]
    return replace(records, notes=notes)


def middle_of(every: Records, chosen: np.ndarray) -> Records | None:
    """The middle SIZE x SIZE pixels of those of the `chosen` objects (n,) that are complete there; None for no one."""
    side = every.spec["frame"].shape[-1]
    edge = (side - SIZE) // 2
    middle = np.s_[..., edge : edge + SIZE, edge : edge + SIZE]
    index = np.flatnonzero(chosen & (every.arrays["valid"][middle] == 1).all(axis=(1, 2, 3)))
    if not index.size:
        return None
    arrays = {name: values[index] for name, values in every.arrays.items()}
    arrays |= {name: arrays[name][middle] for name in ("frame", "valid")} | {"object_id": np.arange(len(index))}
    stamp = {
        name: replace(every.spec[name], shape=(*every.spec[name].shape[:-2], SIZE, SIZE)) for name in ("frame", "valid")
    }
    attrs = {**every.spec.attrs, "wcs": stamp_wcs((SIZE, SIZE), every.spec.attrs["pixel_scale"])}
    spec = DatasetSpec(tuple(stamp.get(array.name, array) for array in every.spec.arrays), attrs)
    catalogue = {name: [values[i] for i in index] for name, values in every.catalogue.items()}
    return Records(spec, arrays, catalogue, every.sha256, [])


def _pairs(records: Records) -> list[tuple[str, str]]:
    return list(zip(records.catalogue["set"], records.catalogue["lens_name"], strict=True))
