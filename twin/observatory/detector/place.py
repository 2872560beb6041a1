"""Where on the detector a frame lies: its rows and columns, amplifiers, distances to the read-out."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.observatory.detector.config import Amplifiers, DetectorConfig
from twin.schema import UserError


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Place:
    """Columns x (B, nx) and rows y (B, ny) of the detector [pixel, int32] that a frame of each band shows."""

    x: Array
    y: Array

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.x.shape[0], self.y.shape[1], self.x.shape[1])


def at(corner: Array | np.ndarray, ny: int, nx: int) -> Place:
    """The place of (ny, nx) pixels whose first ones are `corner` (B, 2), x and y."""
    corner = jnp.asarray(corner, jnp.int32)
    return Place(corner[:, :1] + np.arange(nx, dtype=np.int32), corner[:, 1:] + np.arange(ny, dtype=np.int32))


def draw(key: Array, shape: tuple[int, ...], detector: DetectorConfig) -> Place:
    """The detector's `position`, or one drawn for each band: bands are exposures of their own. Raises UserError for a
    frame (B, ny, nx) that does not fit on the detector."""
    bands, ny, nx = shape
    size = detector.size or (nx, ny)
    room = np.array([size[0] - nx, size[1] - ny])
    given = np.array(detector.position or (0, 0))
    if np.any(room < given):
        where = f" from {detector.position}" if detector.position else ""
        raise UserError(f"{nx} x {ny} pixels{where} do not fit on {size[0]} x {size[1]}", key="detector.size")
    if detector.position is not None or not room.any():
        return at(np.tile(given, (bands, 1)), ny, nx)
    return at(jax.random.randint(key, (bands, 2), 0, room + 1), ny, nx)


def split(detector: DetectorConfig) -> Amplifiers:
    return detector.amplifiers or Amplifiers()


def _part(place: Place, detector: DetectorConfig) -> tuple[int, int]:
    """Columns and rows of one amplifier's part."""
    amplifiers, size = split(detector), detector.size or place.shape[:0:-1]
    return size[0] // amplifiers.columns, size[1] // amplifiers.rows


def amplifier_values(values: tuple[float, ...], place: Place, detector: DetectorConfig) -> Array:
    """(B, ny, nx) map of one value an amplifier."""
    amplifiers, (width, height) = split(detector), _part(place, detector)
    table = jnp.asarray(np.reshape(values, (amplifiers.rows, amplifiers.columns)), jnp.float32)
    of_x = jax.nn.one_hot(place.x // width, amplifiers.columns)
    of_y = jax.nn.one_hot(place.y // height, amplifiers.rows)
    # a product with ones and zeros: exact, and no gather
    return jnp.einsum("byr,rc,bxc->byx", of_y, table, of_x, precision="highest")


def transfers(place: Place, detector: DetectorConfig) -> tuple[Array, Array]:
    """(serial (B, nx), parallel (B, ny)) number of transfers to the read-out, at least 1 [int32].

    Negative where charge moves to higher x or y.
    """
    amplifiers, (width, height) = split(detector), _part(place, detector)
    part, column = place.x % width, place.x // width
    if amplifiers.serial == "outward":
        left = column < amplifiers.columns / 2
    else:
        left = jnp.full(column.shape, amplifiers.serial == "left")
    serial = jnp.where(left, part + 1, part - width)
    up = (amplifiers.rows == 2) & (place.y >= height)
    return serial, jnp.where(up, place.y - 2 * height, place.y + 1)


def mirror(place: Place, detector: DetectorConfig, amplifier: int) -> Place:
    """The pixels that `amplifier` reads when those of `place` are read."""
    amplifiers, (width, height) = split(detector), _part(place, detector)
    serial, parallel = transfers(place, detector)
    row, column = divmod(amplifier, amplifiers.columns)
    corner = Place(jnp.full((1, 1), column * width, jnp.int32), jnp.full((1, 1), row * height, jnp.int32))
    to_right = transfers(corner, detector)[0][0, 0] < 0
    x = jnp.where(to_right, (column + 1) * width - jnp.abs(serial), column * width + jnp.abs(serial) - 1)
    y = 2 * height - jnp.abs(parallel) if row == 1 else jnp.abs(parallel) - 1
    return Place(x, y)
