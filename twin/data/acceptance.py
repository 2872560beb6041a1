"""How many draws of each class a recipe's selection took, as its dataset tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twin.data.load import Dataset


@dataclass(frozen=True)
class Acceptance:
    """samples of a class, draws they took, and how many of them were never accepted (label/tries is 0)."""

    samples: int
    draws: int
    never: int

    @property
    def share(self) -> float:
        """Of the draws, those that became accepted samples."""
        return (self.samples - self.never) / self.draws

    def __str__(self) -> str:
        never = f"; {self.never} never, within the tries" if self.never else ""
        return f"{100 * self.share:.1f} % of {self.draws} draws accepted{never}"


def acceptance(path: str | Path) -> dict[str, Acceptance]:
    """Of every class that has samples in the finished shards; {} for a dataset of a recipe that selects nothing."""
    data = Dataset(path)
    if "label/tries" not in data:
        return {}
    tries = np.concatenate([data.read("label/tries", s.start, s.stop) for s in data.shards] or [np.zeros(0, np.uint8)])
    classes = np.concatenate(
        [data.read("label/class", s.start, s.stop) for s in data.shards] or [np.zeros(0, np.uint8)]
    )
    limit = int(data.attrs["tries"])
    found = {}
    for k, name in enumerate(data.attrs["classes"]):
        mine = tries[classes == k].astype(int)
        if len(mine):
            never = int(np.count_nonzero(mine == 0))
            found[name] = Acceptance(len(mine), int(mine.sum()) + limit * never, never)
    return found
