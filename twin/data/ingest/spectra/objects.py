"""Which spectra are of one object: the same place on the sky to a few arcseconds."""

from __future__ import annotations

import numpy as np

RADIUS = 3.0  # arcsec: a LAMOST fibre is 3.3 wide; designations of one star differ by up to 1.5 between plans
FEW = 20_000


class Objects:
    """Numbers of objects, given out as spectra come in. It keeps a position for every object: about 80 bytes.

    Two trees, one of all and one of the newest, so that the large one is built a few times only.
    """

    def __init__(self) -> None:
        self._old, self._new = (_Places(), _Places())

    def numbers(self, ra: np.ndarray, dec: np.ndarray, first: int) -> np.ndarray:
        """(n,) int64 object numbers of spectra first, first + 1, ...: the number of the first spectrum within RADIUS.

        ra, dec  degrees; a spectrum without a position is an object of its own
        """
        from scipy.spatial import cKDTree

        place = _unit(ra, dec)
        known = np.isfinite(place).all(axis=1)
        found = np.where(known, -1, first + np.arange(len(place)))
        for places in (self._old, self._new):
            open_ = np.flatnonzero(found < 0)
            found[open_] = places.nearest(place[open_])
        open_ = np.flatnonzero(found < 0)
        if len(open_):
            tree = cKDTree(place[open_])
            for i, near in enumerate(tree.query_ball_point(place[open_], _chord(RADIUS))):
                if found[open_[i]] < 0:
                    near = open_[near]
                    found[near[found[near] < 0]] = first + open_[i]
        fresh = np.flatnonzero(known & (found == first + np.arange(len(place))))
        self._add(place[fresh], first + fresh)
        return found.astype(np.int64)

    def restore(self, ra: np.ndarray, dec: np.ndarray, numbers: np.ndarray, first: int) -> None:
        """Take in what an earlier run gave out to spectra first, first + 1, ..."""
        fresh = np.flatnonzero((numbers == first + np.arange(len(numbers))) & np.isfinite(ra) & np.isfinite(dec))
        self._add(_unit(ra[fresh], dec[fresh]), numbers[fresh])

    def _add(self, place: np.ndarray, numbers: np.ndarray) -> None:
        self._new = self._new.with_(place, numbers)
        if len(self._new.numbers) > max(FEW, len(self._old.numbers) // 4):
            self._old, self._new = self._old.with_(self._new.place, self._new.numbers), _Places()


class _Places:
    """Unit vectors (n, 3) and the numbers of their objects."""

    def __init__(self, place: np.ndarray | None = None, numbers: np.ndarray | None = None) -> None:
        from scipy.spatial import cKDTree

        self.place = np.zeros((0, 3)) if place is None else place
        self.numbers = np.zeros(0, np.int64) if numbers is None else numbers
        self._tree = cKDTree(self.place) if len(self.place) else None

    def with_(self, place: np.ndarray, numbers: np.ndarray) -> _Places:
        return _Places(np.concatenate((self.place, place)), np.concatenate((self.numbers, numbers)))

    def nearest(self, place: np.ndarray) -> np.ndarray:
        """Number of the nearest object within RADIUS, -1 where there is none."""
        if self._tree is None or not len(place):
            return np.full(len(place), -1)
        distance, index = self._tree.query(place, distance_upper_bound=_chord(RADIUS))
        return np.where(np.isfinite(distance), self.numbers[np.minimum(index, len(self.numbers) - 1)], -1)


def _unit(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(a) * np.cos(d), np.sin(a) * np.cos(d), np.sin(d)], axis=1)


def _chord(arcsec: float) -> float:
    return 2 * float(np.sin(np.radians(arcsec / 3600) / 2))
