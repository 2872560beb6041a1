"""A PSF that is no product of profiles, known in a few places of a frame and drawn straight between them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import map_coordinates

from twin.train.detector import front

FINE = front.FINE  # parts a bin in which PSFs are made
NEAR = 20  # [bin] a side of a place's neighbourhood that is made without the rest of its PSF
OWN = 3.0  # [bin] from one of `own` within which a source has its PSF and no other
Make = Callable[[float, float], np.ndarray | jax.Array]


class NodeSpread:
    """PSF of frames of n x n bins: the bilinear mean of those of the four nodes around a place, moved there by quintic
    splines.

    make    (x, y) [bin] -> (2 FINE (n + 1) + 1)^2 PSF of a source of one count there, in FINE parts a bin, the source
            in the middle, as far as light goes
    parts   nodes along an axis, in the middles of so many equal parts of the frame
    window  (n, n) share of each bin that light reaches;  own (k, 2) places that have a PSF of their own
    A PSF changes over tens of bins (edges of plates, vignetting), its core is as narrow as a bin: so it is made in
    parts of bins at few places. Bright sources, whose PSF is seen, are for `own`.
    """

    def __init__(self, make: Make, parts: int, window: np.ndarray, own: np.ndarray | None = None) -> None:
        self._n, self._parts = len(window), parts
        own = np.zeros((0, 2)) if own is None else np.asarray(own, float).reshape(-1, 2)
        middle = (np.arange(parts) + 0.5) * self._n / parts - 0.5
        self._grid, self._own = middle, own
        self.nodes = np.concatenate([np.stack(np.meshgrid(middle, middle), -1).reshape(-1, 2), own])
        self._window = jnp.asarray(window, jnp.float32)
        made = [_kernel(jnp.asarray(make(x, y), jnp.float32), self._n) for x, y in self.nodes]
        self._kernels: front.Kernel = jax.tree.map(lambda *leaves: jnp.stack(leaves), *made)
        y, x = np.indices(window.shape)
        which, weight = self._around(x.ravel(), y.ravel())
        whole = np.zeros((len(self.nodes), x.size), np.float32)
        for k in range(4):
            whole[which[:, k], np.arange(x.size)] += weight[:, k]
        self._light: np.ndarray | None = None
        self._weights = jnp.asarray(whole.reshape(-1, *window.shape))

    def _around(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(k, 4) nodes and their weights for places (k,)."""
        low, part = [], []
        for v in (x, y):
            t = np.clip((np.asarray(v, float) + 0.5) * self._parts / self._n - 0.5, 0, self._parts - 1)
            low.append(np.minimum(t.astype(int), max(self._parts - 2, 0)))
            part.append(t - low[-1])
        next_ = 1 if self._parts > 1 else 0
        (i, j), (a, b) = low, part
        which = np.stack([(j + dj * next_) * self._parts + i + di * next_ for dj in (0, 1) for di in (0, 1)], -1)
        weight = np.stack([(b if dj else 1 - b) * (a if di else 1 - a) for dj in (0, 1) for di in (0, 1)], -1)
        for k, (px, py) in enumerate(self._own):
            near = np.hypot(x - px, y - py) < OWN
            which[near], weight[near] = self._parts**2 + k, (1, 0, 0, 0)
        return which.astype(np.int32), weight.astype(np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        return self._n, self._n

    def images(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray(self._made(x, y, [0, 0], self._n), float)

    def _made(self, x: np.ndarray, y: np.ndarray, first: list[int], size: int) -> np.ndarray:
        """(k, size, size) of bins from `first` (x, y) on."""
        x, y = np.asarray(x, float), np.asarray(y, float)
        many = max(4, 1 << (len(x) - 1).bit_length()) if len(x) else 4  # few shapes to compile
        padded = np.zeros((2, many), np.float32)
        padded[0, : len(x)], padded[1, : len(x)] = x, y
        which, weight = self._around(padded[0].astype(float), padded[1].astype(float))
        which[: len(x)], weight[: len(x)] = self._around(x, y)
        window = jax.lax.dynamic_slice(self._window, (first[1], first[0]), (size, size))
        moved = padded - np.array(first, np.float32)[:, None]
        return np.asarray(_images(self._kernels, window, which, weight, *moved, size))[: len(x)]

    def at(self, x: np.ndarray, y: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bins that lie near each other are made alone; the sum is then drawn straight between whole bins."""
        if not len(rows) or max(np.ptp(rows), np.ptp(columns)) >= NEAR or self._n <= NEAR:
            images = self.images(x, y)
            return images[:, rows, columns], images.sum((1, 2))
        first = [int(min(v.min(), self._n - NEAR)) for v in (columns, rows)]
        seen = np.asarray(self._made(x, y, first, NEAR), float)
        if self._light is None:
            self._light = self.correlate(np.ones(self.shape))
        total = map_coordinates(self._light, [np.asarray(y, float), np.asarray(x, float)], order=1, mode="nearest")
        return seen[:, rows - first[1], columns - first[0]], total

    def expected(self, x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return np.asarray(np.tensordot(np.asarray(counts, float), self.images(x, y), 1))

    def correlate(self, weight: np.ndarray) -> np.ndarray:
        return self._over(weight, self._kernels.ones)

    def correlate_square(self, weight: np.ndarray) -> np.ndarray:
        """The mean of the nodes' squares for the square of their mean."""
        return self._over(weight, self._kernels.squares)

    def _over(self, weight: np.ndarray, spectra: jax.Array) -> np.ndarray:
        return np.asarray(_correlated(jnp.asarray(weight, jnp.float32), self._window, spectra, self._weights), float)


_kernel = partial(jax.jit, static_argnums=1)(front.kernel)


@partial(jax.jit, static_argnums=6)
def _images(
    kernels: front.Kernel, window: jax.Array, which: jax.Array, weight: jax.Array, x: jax.Array, y: jax.Array, n: int
) -> jax.Array:
    def one(each: tuple[jax.Array, ...]) -> jax.Array:
        nodes, part, a, b = each

        def moved(k: jax.Array) -> jax.Array:
            return front.source_image(jax.tree.map(lambda v: v[k], kernels), a, b, n)

        return window * jnp.tensordot(part, jax.lax.map(moved, nodes), 1)

    return jax.lax.map(one, (which, weight, x, y))


@jax.jit
def _correlated(weight: jax.Array, window: jax.Array, spectra: jax.Array, share: jax.Array) -> jax.Array:
    # window^2 is the window but in the bins that its edges cut
    def add(total: jax.Array, node: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        return total + node[1] * front.correlated(weight * window, node[0]), None

    total, _ = jax.lax.scan(add, jnp.zeros(weight.shape), (spectra, share))
    return total
