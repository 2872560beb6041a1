"""One PSF for a whole frame, as detectors of `twin.evaluate.xray` take it."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from twin.train.detector import front


class ImageSpread:
    """A PSF image (side, side) in `front.FINE` parts a bin, the same at every place of frames of n x n bins."""

    def __init__(self, psf: np.ndarray, n: int) -> None:
        self._n = n
        self._kernel = _kernel(jnp.asarray(psf, jnp.float32), n)

    @property
    def shape(self) -> tuple[int, int]:
        return self._n, self._n

    def images(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(k, y, x) of sources of one count at x, y (k,) [bin]."""
        many = max(8, 1 << (len(x) - 1).bit_length()) if len(x) else 8  # few shapes to compile
        padded = np.zeros((2, many), np.float32)
        padded[0, : len(x)], padded[1, : len(x)] = x, y
        return np.asarray(_images(self._kernel, *padded, self._n), float)[: len(x)]

    def at(self, x: np.ndarray, y: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(k, bins) of the same in some bins, and (k,) all of their light on the frame."""
        images = self.images(x, y)
        return images[:, rows, columns], images.sum((1, 2))

    def expected(self, x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """(y, x) of sources of so many counts."""
        return np.asarray(np.tensordot(np.asarray(counts, float), self.images(x, y), 1))

    def correlate(self, weight: np.ndarray) -> np.ndarray:
        """(y, x) sum of PSF times weight, for a source in the middle of every bin."""
        return np.asarray(_correlate(jnp.asarray(weight, jnp.float32), self._kernel.ones), float)

    def correlate_square(self, weight: np.ndarray) -> np.ndarray:
        """The same of the PSF's square."""
        return np.asarray(_correlate(jnp.asarray(weight, jnp.float32), self._kernel.squares), float)


_kernel = partial(jax.jit, static_argnums=1)(front.kernel)
_correlate = jax.jit(front.correlated)


@partial(jax.jit, static_argnums=3)
def _images(kernel: front.Kernel, x: jax.Array, y: jax.Array, n: int) -> jax.Array:
    return jax.vmap(lambda a, b: front.source_image(kernel, a, b, n))(x, y)
