"""Datasets in the formats of others: COOLEST (lens models), DS9 regions, COCO (boxes and masks), OGIP event lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from twin.data.load import Dataset
from twin.io.atomic import atomic_folder, check_target
from twin.schema import UserError, suggest

MOST = 10_000  # frames in one folder: more are a mistake, or deserve several

_FORMATS = {"coolest": "coolest", "ds9": "regions", "coco": "coco", "events": "events"}
FORMATS = tuple(_FORMATS)


def export(
    path: str | Path, out: str | Path, form: str, indices: Sequence[int] = (), number: int | None = None
) -> tuple[int, ...]:
    """Write frames of a dataset to the folder `out` in a format, one of FORMATS; return their indices.

    indices  of the samples; none = the first `number`, or all

    Raises UserError for another format, samples that the dataset does not have, a dataset without what the format is
    about, and a folder that stands.
    """
    if form not in FORMATS:
        raise UserError(f"must be {', '.join(FORMATS)}, not {form}", key="--format", suggestion=suggest(form, FORMATS))
    dataset = Dataset(path)
    chosen = tuple(indices) or tuple(range(dataset.n if number is None else min(number, dataset.n)))
    outside = [k for k in chosen if not 0 <= k < dataset.n]
    if outside:
        raise UserError(f"has samples 0 to {dataset.n - 1}, not {outside[0]}", file=dataset.path, key="--index")
    if len(chosen) > MOST:
        raise UserError(f"{len(chosen)} frames are more than {MOST}: say which (--number, --index)", file=dataset.path)
    folder = Path(out)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError("exists already", file=folder)
    check_target(folder / "x")
    writer: Callable[[Dataset, np.ndarray], Callable[[Path], None]] = import_module(
        f"twin.data.export.{_FORMATS[form]}"
    ).writer
    write = writer(dataset, np.array(chosen))  # refuses what it cannot write before the folder is made
    with atomic_folder(folder) as part:
        write(part)
    return chosen
