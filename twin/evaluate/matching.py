"""Pairs of a lens and an object that is none, equally bright: brightness must not give the label away."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from twin.schema import UserError

COLUMNS = ("lens", "other")


def greedy_pairs(mag_lens: np.ndarray, mag_other: np.ndarray, tolerance: float, seed: int = 0) -> np.ndarray:
    """(pairs, 2) indices (lens, other), each object at most once, magnitudes at most `tolerance` apart.

    The lenses choose in an order drawn from `seed`; each takes the object nearest to it in magnitude that is still
    free, and is left out if none is within the tolerance. Objects without a finite magnitude are never chosen.
    """
    mag_lens, mag_other = np.asarray(mag_lens, float), np.asarray(mag_other, float)
    free = np.isfinite(mag_other)
    pairs = []
    for lens in np.random.default_rng(seed).permutation(len(mag_lens)):
        if not np.isfinite(mag_lens[lens]):
            continue
        distance = np.where(free, np.abs(mag_other - mag_lens[lens]), np.inf)
        other = int(np.argmin(distance)) if len(distance) else 0
        if len(distance) and distance[other] <= tolerance:
            free[other] = False
            pairs.append((int(lens), other))
    return np.array(sorted(pairs), int).reshape(-1, 2)


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """The identifiers (lens, other) of a pair list: CSV with a header, `#` comments. Raises UserError with the line."""
    if not path.is_file():
        raise UserError("no such pair list", file=path)
    pairs: list[tuple[str, str]] = []
    seen: set[str] = set()
    header = False
    with path.open(newline="") as stream:
        for line, row in enumerate(csv.reader(stream), start=1):
            if not row or row[0].startswith("#"):
                continue
            if not header:
                if tuple(row) != COLUMNS:
                    raise UserError(f"the header must be {','.join(COLUMNS)}", file=path, line=line)
                header = True
                continue
            if len(row) != len(COLUMNS):
                raise UserError(f"{len(row)} fields instead of {len(COLUMNS)}", file=path, line=line)
            for name in row:
                if name in seen:
                    raise UserError(f'"{name}" stands in two pairs', file=path, line=line)
                seen.add(name)
            pairs.append((row[0], row[1]))
    if not pairs:
        raise UserError("the pair list is empty", file=path)
    return pairs


def locate_pairs(pairs: list[tuple[str, str]], lenses: np.ndarray, others: np.ndarray, file: Path) -> np.ndarray:
    """(pairs, 2) indices of named pairs in two arrays of identifiers. Raises UserError for a name that is not there."""
    where = [{str(name): i for i, name in enumerate(names)} for names in (lenses, others)]
    for pair in pairs:
        for name, known in zip(pair, where, strict=True):
            if name not in known:
                raise UserError(
                    f'"{name}" of the pair list is not in the dataset, or its cutout is incomplete', file=file
                )
    return np.array([[where[0][a], where[1][b]] for a, b in pairs], int).reshape(-1, 2)
