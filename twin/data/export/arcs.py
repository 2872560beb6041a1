"""The arcs of a dataset: boxes and masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.data.load import Dataset
from twin.schema import UserError

ARRAYS = ("label/n", "label/box", "label/arc_mask")


@dataclass(frozen=True)
class Arc:
    """box: x_min, y_min, x_max, y_max, edges of its pixels, of which pixel j reaches from j - 1/2 to j + 1/2; mask
    (y, x)."""

    box: np.ndarray
    mask: np.ndarray


def arcs_of(dataset: Dataset, indices: np.ndarray) -> list[list[Arc]]:
    """Arcs of each sample. Raises UserError where the dataset has none."""
    lacking = [name for name in ARRAYS if name not in dataset]
    if lacking:
        raise UserError(f"has no arcs: there is no {lacking[0]}", file=dataset.path)
    count, box, mask = (dataset.read(name, indices) for name in ARRAYS)
    return [[Arc(box[i, k].astype(float), mask[i] == k + 1) for k in range(int(count[i]))] for i in range(len(indices))]
