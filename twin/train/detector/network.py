"""The network: features of a count image in, one answer for each subtile of 2 x 2 bins out.

A tile is 4 x 4 bins, folded into channels; its four subtiles are unfolded from the last layer. A subtile says
whether a source lies in it, an artefact of a bright one, or nothing; and of the source, if there is one, where, how
many counts, how hard, how variable: normal laws, each with its own standard deviation.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from twin.train.convolution import member_convolution
from twin.train.detector.config import DetectorConfig
from twin.train.detector.front import CHANNELS

TILE, SUBTILE = 4, 2
NOTHING, SOURCE, ARTEFACT = range(3)
MEASURED = ("x", "y", "log_counts", "hardness", "variability")
OUTPUTS = 3 + 2 * len(MEASURED)
_LEAST_SIGMA = {"x": 0.02, "y": 0.02, "log_counts": 0.01, "hardness": 0.01, "variability": 0.02}


class DetectorNet(nnx.Module):
    """(n, y, x, CHANNELS) -> (n, y / 2, x / 2, OUTPUTS)."""

    def __init__(self, config: DetectorConfig, rngs: nnx.Rngs) -> None:
        width, conv = config.width, nnx.Conv

        def layer(inside: int, outside: int) -> nnx.Conv:
            return conv(inside, outside, (3, 3), conv_general_dilated=member_convolution, rngs=rngs)

        self.stem = layer(len(CHANNELS) * TILE**2, width)
        self.stem_norm = nnx.LayerNorm(width, rngs=rngs)
        self.blocks = nnx.List([nnx.List([layer(width, width), nnx.LayerNorm(width, rngs=rngs),
                                          layer(width, width)]) for _ in range(config.blocks)])  # fmt: skip
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.head = nnx.Linear(width, OUTPUTS * (TILE // SUBTILE) ** 2, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = fold(x, TILE)
        x = nnx.gelu(self.stem_norm(self.stem(x)))
        for first, norm, second in self.blocks:
            x = x + second(nnx.gelu(norm(first(x))))
        return unfold(self.head(nnx.gelu(self.norm(x))), TILE // SUBTILE)


def fold(x: Array, side: int) -> Array:
    """(n, y, x, c) -> (n, y / side, x / side, side^2 c)."""
    n, ny, nx, c = x.shape
    x = x.reshape(n, ny // side, side, nx // side, side, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, ny // side, nx // side, side * side * c)


def unfold(x: Array, side: int) -> Array:
    """The inverse of `fold`."""
    n, ny, nx, c = x.shape
    x = x.reshape(n, ny, nx, side, side, c // side**2).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, ny * side, nx * side, c // side**2)


def laws(output: Array) -> tuple[Array, Array, Array]:
    """Log probabilities (..., 3) of the classes; means and standard deviations (..., MEASURED), places as offsets from
    the subtile's middle [bin]."""
    measured = output[..., 3:].reshape(*output.shape[:-1], len(MEASURED), 2)
    least = jnp.asarray([_LEAST_SIGMA[name] for name in MEASURED], jnp.float32)
    mean = measured[..., 0] * jnp.asarray([1, 1, 1, 0.3, 1], jnp.float32)
    mean = mean + jnp.asarray([0, 0, 3, 0.3, 0], jnp.float32)
    sigma = least + jax.nn.softplus(measured[..., 1]) * jnp.asarray([1, 1, 1, 0.3, 0.5], jnp.float32)
    return jax.nn.log_softmax(output[..., :3]), mean, sigma


def loss(output: Array, kind: Array, sources: Array, there: Array) -> dict[str, Array]:
    """Cross-entropy of the subtiles' classes and the sources' normal log-densities [nat].

    output   (n, y / 2, x / 2, OUTPUTS); kind (n, y / 2, x / 2) class
    sources  (n, S, MEASURED) truth, places in bins; there (n, S) whether there is one. NaN: not known
    """
    log_p, mean, sigma = laws(output)
    each = -jnp.take_along_axis(log_p, kind[..., None].astype(jnp.int32), -1)[..., 0]
    classes = each.sum() / kind.shape[0] * 0.01
    row, column = place(sources, output.shape[1], output.shape[2])
    picked = jax.vmap(lambda m, r, c: m[r, c])
    mean, sigma = picked(mean, row, column), picked(sigma, row, column)
    middle = SUBTILE * jnp.stack([column, row], -1) + (SUBTILE - 1) / 2
    value = jnp.concatenate([sources[..., :2] - middle, sources[..., 2:]], -1)
    known = there[..., None] & jnp.isfinite(value)
    z = (jnp.where(known, value, 0.0) - mean) / sigma
    nll = jnp.where(known, 0.5 * jnp.minimum(z * z, 50 + jnp.abs(z)) + jnp.log(sigma) + 0.5 * np.log(2 * np.pi), 0.0)
    total = nll.sum((0, 1)) / jnp.maximum(known.sum((0, 1)), 1)
    return {"classes": classes} | {name: total[k] for k, name in enumerate(MEASURED)}


def place(sources: Array, rows: int, columns: int) -> tuple[Array, Array]:
    """Row and column (..., S) of the subtiles that hold sources (..., S, 2+) at x, y [bin], bins' middles whole
    numbers."""
    at = jnp.floor((jnp.nan_to_num(sources[..., :2]) + 0.5) / SUBTILE).astype(jnp.int32)
    return jnp.clip(at[..., 1], 0, rows - 1), jnp.clip(at[..., 0], 0, columns - 1)
