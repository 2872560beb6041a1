"""PSFs as detectors take them: sums of products of profiles along x and y (`nodes.py` has those that are none)."""

from __future__ import annotations

import numpy as np


class SeparableSpread:
    """psf(x, y) = sum over terms of gx(x) gy(y), each profile changing with the source's place along its own axis.

    x, y  (terms, places, bins) profiles of sources at `fine` places a bin: place k at the bin k / fine - 0.5 + 0.5 /
          fine.
          Their sum of products is normalised as the user has it: 1 for a source whose whole light is on the frame
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, fine: int) -> None:
        self.x, self.y, self.fine = np.asarray(x, np.float32), np.asarray(y, np.float32), fine
        if self.x.shape[0] != self.y.shape[0]:
            raise ValueError(f"{self.x.shape[0]} terms along x and {self.y.shape[0]} along y")
        for table in (self.x, self.y):
            if table.ndim != 3 or table.shape[1] != fine * table.shape[2]:
                raise ValueError(f"profiles {table.shape} are not (terms, {fine} x bins, bins)")
        self._middle = [self._at(table, np.arange(table.shape[2], dtype=float)) for table in (self.x, self.y)]
        mean = [table.sum(0) for table in self._middle]
        self._square = [m * m for m in mean]
        exact = sum(
            (self._middle[1][i] * self._middle[1][j]).sum(1)[:, None] * (self._middle[0][i] * self._middle[0][j]).sum(1)
            for i in range(len(self.x))
            for j in range(len(self.x))
        )
        self._scale = exact / np.maximum(self._square[1].sum(1)[:, None] * self._square[0].sum(1), 1e-30)

    @property
    def shape(self) -> tuple[int, int]:
        return self.y.shape[2], self.x.shape[2]

    def _at(self, table: np.ndarray, place: np.ndarray) -> np.ndarray:
        """(terms, k, bins) profiles at places [bin], straight between those tabulated."""
        t = np.clip((place + 0.5) * self.fine - 0.5, 0, table.shape[1] - 1.001)
        low = t.astype(int)
        part = (t - low).astype(np.float32)[:, None]
        return (1 - part) * table[:, low] + part * table[:, low + 1]

    def images(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        along, across = self._at(self.x, np.asarray(x, float)), self._at(self.y, np.asarray(y, float))
        return np.matmul(across.transpose(1, 2, 0), along.transpose(1, 0, 2)).astype(float)

    def at(self, x: np.ndarray, y: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        along, across = self._at(self.x, np.asarray(x, float)), self._at(self.y, np.asarray(y, float))
        total = (along.sum(2, dtype=float) * across.sum(2, dtype=float)).sum(0)
        seen = across[0][:, rows] * along[0][:, columns]
        for term in range(1, len(along)):
            seen += across[term][:, rows] * along[term][:, columns]
        return seen.astype(float), total

    def expected(self, x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
        along, across = self._at(self.x, np.asarray(x, float)), self._at(self.y, np.asarray(y, float))
        across = across * np.asarray(counts, np.float32)[:, None]
        return (across.reshape(-1, across.shape[2]).T @ along.reshape(-1, along.shape[2])).astype(float)

    def correlate(self, weight: np.ndarray) -> np.ndarray:
        gx, gy = self._middle
        weight = np.asarray(weight, np.float32)
        # all terms along x at once, then along y
        right = weight @ gx.reshape(-1, gx.shape[2]).T
        right = right.reshape(len(weight), len(gx), -1).transpose(1, 0, 2)
        return np.einsum("tjy,tyk->jk", gy, right, optimize=True)

    def correlate_square(self, weight: np.ndarray) -> np.ndarray:
        """Of the sum over terms taken as one product, scaled to the true sum of squares: for a first look."""
        return self._scale * (self._square[1] @ np.asarray(weight, np.float32) @ self._square[0].T)
