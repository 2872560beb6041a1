"""Simulated sources added to a real frame, far from each other and from what is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

KINDS = ("off", "on")
TRIES = 20000


@dataclass(frozen=True)
class Injected:
    """A frame with sources added: counts (y, x), their x, y (k,) [bin], kind (k,) index into KINDS, flux [mCrab]."""

    counts: np.ndarray
    x: np.ndarray
    y: np.ndarray
    kind: np.ndarray
    flux: float


@dataclass(frozen=True)
class Ground:
    """Where sources may be put.

    distance  (x, y) -> [arcmin] from the arms of bright sources;  on, off  [arcmin] nearer and further than which
    a place is on and off them
    clear     (y, x) bins that a source may lie in
    """

    distance: Callable[[np.ndarray, np.ndarray], np.ndarray]
    on: float
    off: float
    clear: np.ndarray

    def kind(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Index into KINDS, -1 for neither, and where no source may lie."""
        d = self.distance(x, y)
        made = np.where(d < self.on, 1, np.where(d > self.off, 0, -1))
        return np.where(self.clear[np.round(y).astype(int), np.round(x).astype(int)], made, -1)


def places(ground: Ground, wanted: tuple[int, int], apart: float, rng: np.random.Generator) -> np.ndarray:
    """(k, 3) x, y [bin] and kind of so many places off and on the arms, evenly drawn, at least `apart` bins from each
    other. Raises ValueError where they do not fit."""
    ny, nx = ground.clear.shape
    left, rows = list(wanted), np.zeros((0, 3))
    tried = np.stack([rng.uniform(-0.5, nx - 0.5, TRIES), rng.uniform(-0.5, ny - 0.5, TRIES)], -1)
    tried = np.clip(tried, 0, (nx - 1, ny - 1))
    kinds = ground.kind(*tried.T)
    for kind in (1, 0):  # the rarer ground first
        for x, y in tried[kinds == kind]:
            if left[kind] == 0:
                break
            if (np.hypot(rows[:, 0] - x, rows[:, 1] - y) >= apart).all():
                rows = np.vstack([rows, (x, y, kind)])
                left[kind] -= 1
    if any(left):
        raise ValueError(f"no room for {wanted[0]} sources off and {wanted[1]} on the arms, {apart:g} bins apart")
    return rows


def inject(
    frame: np.ndarray, ground: Ground, image: Callable[[float, float], np.ndarray], counts: float, flux: float,
    wanted: tuple[int, int], apart: float, rng: np.random.Generator,
) -> Injected:  # fmt: skip
    """The frame with sources of `counts` times `image(x, y)` (y, x) added, drawn from Poisson's law."""
    rows = places(ground, wanted, apart, rng)
    mean = sum((counts * image(x, y) for x, y, _ in rows), np.zeros(frame.shape))
    return Injected(frame + rng.poisson(mean), rows[:, 0], rows[:, 1], rows[:, 2].astype(int), flux)


def clear_ground(lit: np.ndarray, edge: float, found: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """(y, x) bins with light as far as `edge` bins around, further than `radius` (k,) [bin] from places found
    (k, 2)."""
    from scipy.ndimage import distance_transform_edt

    inside = np.pad(lit, 1)  # beyond the frame there is no light
    made: np.ndarray = distance_transform_edt(inside)[1:-1, 1:-1] > edge
    y, x = np.indices(lit.shape)
    for (px, py), r in zip(found, radius, strict=True):
        made &= np.hypot(x - px, y - py) > r
    return made
