"""What lies where in a frame of counts: bins, the detector's edges and what of it the optic can light."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.io.xray import CountImage
from twin.observatory.lobster.telescope import Lobster
from twin.schema import UserError

SIDES = (16, 1024)  # bins along an axis that a frame may have


@dataclass(frozen=True)
class Grid:
    """Bins of a frame. Places are in arcmin along the image's axes, from the detector's middle.

    x, y   (bins,) middles of columns and of rows
    side   of a bin, along x and along y [arcmin]
    """

    x: np.ndarray | Array
    y: np.ndarray | Array
    side: tuple[float, float]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.y), len(self.x)

    def column(self, place: np.ndarray) -> np.ndarray:
        """Bins (fractional, from 0) of places (..., 2)."""
        place = np.asarray(place, float)
        return np.stack([(place[..., 0] - self.x[0]) / self.side[0], (place[..., 1] - self.y[0]) / self.side[1]], -1)

    def place(self, bins: np.ndarray) -> np.ndarray:
        """Places (..., 2) of bins (..., 2): x, y."""
        bins = np.asarray(bins, float)
        return np.stack([self.x[0] + bins[..., 0] * self.side[0], self.y[0] + bins[..., 1] * self.side[1]], -1)


def grid_of(image: CountImage, telescope: Lobster) -> Grid:
    """The bins of an image. In the sky's axes the pointing, where the projection touches, is the detector's middle;
    in the detector's own the image begins at its first pixel.

    Raises UserError where the image is no picture of this detector.
    """
    ny, nx = image.counts.shape
    low, high = SIDES
    if not (low <= nx <= high and low <= ny <= high):
        raise UserError(f"the image has {nx} x {ny} bins, {low} to {high} a side can be used")
    scale, width = telescope.pixel_scale, telescope.config.detector.npix * telescope.pixel_scale
    if image.sky is not None:
        (a, b), (c, d) = image.sky.matrix
        side = 60 * float(np.hypot(a, c)), 60 * float(np.hypot(b, d))
        middle = image.sky.reference[0] - 1, image.sky.reference[1] - 1
    else:
        side = image.bin * scale, image.bin * scale
        half = telescope.config.detector.npix / 2 / image.bin - 0.5
        middle = half, half
    span = nx * side[0], ny * side[1]
    if not all(0.5 * width < s < 2 * width for s in span):
        raise UserError(
            f"the image covers {span[0]:.0f}' x {span[1]:.0f}', the detector of {telescope.name} {width:.0f}': "
            "not a picture of the whole detector"
        )
    x, y = ((np.arange(n) - m) * s for n, m, s in zip((nx, ny), middle, side, strict=True))
    return Grid(x, y, side)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Window:
    """The detector in the image, and the part of it that light can reach."""

    turn: Array
    """() angle from the image's x axis to the detector's, counter-clockwise [deg]"""
    detector: Array
    """(2, 2) where the detector begins and ends along its x and y, from its middle [arcmin]"""
    lit: Array
    """(2, 2) the same of what light can reach: a frame's shadow lies outside [arcmin]"""


def axes(grid: Grid, turn: Array) -> tuple[Array, Array]:
    """(y, x) places of the bins' middles along the detector's axes [arcmin]."""
    x, y = jnp.meshgrid(jnp.asarray(grid.x, jnp.float32), jnp.asarray(grid.y, jnp.float32))
    cos, sin = jnp.cos(jnp.deg2rad(turn)), jnp.sin(jnp.deg2rad(turn))
    return cos * x + sin * y, cos * y - sin * x


def share(u: Array, edges: Array, side: float) -> Array:
    """Share of bins of a `side` about `u` that lies between two edges."""
    low, high = jnp.clip((u - edges[0]) / side + 0.5, 0, 1), jnp.clip((edges[1] - u) / side + 0.5, 0, 1)
    return low * high
