"""The network: what a candidate's counts say in, what it is out.

A candidate is nothing, a source, or an artefact of a bright one; and of the source, if it is one, where, how many
counts, how hard, how variable: normal laws. Places and counts are told as differences from the fit of greatest
likelihood in units of its own standard deviations, so that a fit that is right asks nothing of the network.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from twin.train.detector.candidates import FEATURES, PATCH, PATCHES, SCALARS
from twin.train.detector.config import DetectorConfig

NOTHING, SOURCE, ARTEFACT = range(3)
MEASURED = ("x", "y", "log_counts", "hardness", "variability")
OUTPUTS = 3 + 2 * len(MEASURED)
PRIOR = {"hardness": (0.3, 0.3), "variability": (0.0, 0.5)}  # mean and unit of what no fit tells
FLAGS = {"coloured": ("soft", "hard", "soft_error", "hard_error"), "timed": ("swing", "swing_error", "burst")}


class DetectorNet(nnx.Module):
    """(n, FEATURES) -> (n, OUTPUTS): residual blocks of two layers."""

    def __init__(self, config: DetectorConfig, rngs: nnx.Rngs) -> None:
        width = config.width
        self.first = nnx.Linear(FEATURES, width, rngs=rngs)

        def block() -> nnx.List:
            linear = [nnx.Linear(width, width, rngs=rngs) for _ in range(2)]
            return nnx.List([nnx.LayerNorm(width, rngs=rngs), *linear])

        self.blocks = nnx.List([block() for _ in range(config.blocks)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.head = nnx.Linear(width, OUTPUTS, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = self.first(x)
        for norm, first, second in self.blocks:
            x = x + second(nnx.gelu(first(norm(x))))
        return self.head(self.norm(x))


def laws(output: Array) -> tuple[Array, Array, Array]:
    """Log probabilities (..., 3) of the classes; means and standard deviations (..., MEASURED), in the units of
    `standard`."""
    measured = output[..., 3:].reshape(*output.shape[:-1], len(MEASURED), 2)
    sigma = jnp.exp(jnp.clip(measured[..., 1], -4.0, 5.0))
    return jax.nn.log_softmax(output[..., :3]), measured[..., 0], sigma


def standard(base: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Zero points and units (..., MEASURED) of what is measured of candidates: fits (..., 3) and their standard
    deviations, then `PRIOR`."""
    rest = np.array(list(PRIOR.values()), np.float32)
    many = (*base.shape[:-1], len(rest))
    return (
        np.concatenate([base, np.broadcast_to(rest[:, 0], many)], -1),
        np.concatenate([sigma, np.broadcast_to(rest[:, 1], many)], -1),
    )


def loss(output: Array, kind: Array, target: Array) -> dict[str, Array]:
    """Cross-entropy of the classes and the sources' normal log-densities [nat].

    output (n, OUTPUTS), kind (n,) class, target (n, MEASURED) in the units of `standard`, NaN where not known
    """
    log_p, mean, sigma = laws(output)
    classes = -jnp.take_along_axis(log_p, kind[..., None].astype(jnp.int32), -1).mean()
    known = (kind[..., None] == SOURCE) & jnp.isfinite(target)
    z = (jnp.where(known, target, 0.0) - mean) / sigma
    # beyond 10 standard deviations straight, so that one odd source does not throw the weights about
    square = jnp.where(jnp.abs(z) < 10, 0.5 * z * z, 10 * jnp.abs(z) - 50)
    nll = jnp.where(known, square + jnp.log(sigma) + 0.5 * np.log(2 * np.pi), 0.0)
    total = nll.sum(0) / jnp.maximum(known.sum(0), 1)
    return {"classes": classes} | {name: total[k] for k, name in enumerate(MEASURED)}


def turned(arrays: dict[str, np.ndarray], way: int) -> dict[str, np.ndarray]:
    """One of the eight flips and quarter turns of candidates: "features" (..., FEATURES), "target" (..., MEASURED)."""
    features, target = arrays["features"].copy(), arrays["target"].copy()
    side, many = 2 * PATCH + 1, len(SCALARS)
    patches = features[..., many:].reshape(*features.shape[:-1], len(PATCHES), side, side)
    at = SCALARS.index

    def swap(*pairs: tuple[str, str]) -> None:
        for a, b in pairs:
            features[..., [at(a), at(b)]] = features[..., [at(b), at(a)]]

    if way & 1:
        features[..., [at("x"), at("steep_x")]] *= -1
        swap(("left", "right"))
        target[..., 0] *= -1
        patches = patches[..., ::-1]
    if way & 2:
        features[..., [at("y"), at("steep_y")]] *= -1
        swap(("below", "above"))
        target[..., 1] *= -1
        patches = patches[..., ::-1, :]
    if way & 4:
        swap(("x", "y"), ("steep_x", "steep_y"), ("log_error_x", "log_error_y"), ("along_x", "along_y"),
             ("left", "below"), ("right", "above"))  # fmt: skip
        target[..., [0, 1]] = target[..., [1, 0]]
        patches = np.swapaxes(patches, -1, -2)
    features[..., many:] = patches.reshape(*features.shape[:-1], -1)
    return arrays | {"features": features, "target": target}


def blinded(features: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """Features (..., FEATURES), for a share of the candidates without what bands say, and for as many without what
    slices of time say: as images are that know neither."""
    out = features.copy()
    for flag, names in FLAGS.items():
        blind = rng.random(features.shape[:-1]) < share
        for name in (flag, *names):
            column = out[..., SCALARS.index(name)]
            column[blind] = 0
    return out
