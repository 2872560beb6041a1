"""A small convolutional network that looks at the pixels themselves: one architecture and schedule for all data."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from twin.train.augment import all_dihedrals
from twin.train.frames import channels

WIDTHS, HIDDEN, DROPOUT = (16, 32, 32), 64, 0.2
STEPS, BATCH = 200, 64
RATE, DECAY = 2e-3, 0.05
BLOCK = 128  # frames a pass when predicting


def cross_validate(
    pixels: np.ndarray,
    label: np.ndarray,
    fold: np.ndarray,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> np.ndarray:
    """(n,) out-of-fold logit of label 1 for frames (n, band, y, x) in units of rms, the mean over flips and turns.

    Every batch holds as many frames of one label as of the other, each flipped and turned at random: how many
    there are of each does not enter. Deterministic given `seed`, on one kind of machine.
    """
    score = np.empty(len(label))
    for held in range(fold.max() + 1):
        say(f"network, fold {held + 1} of {fold.max() + 1}")
        inside = fold == held
        weights = _fit(pixels[~inside], label[~inside], seed + held)
        score[inside] = _predict(weights, pixels[inside])
    return score


class Eye(nnx.Module):
    """(n, y, x, channel) -> (n,) logits: three 3x3 convolutions, the last two of stride 2; their mean over the whole
    frame, which sees the noise wherever it is, and over the middle, which sees the object."""

    def __init__(self, inputs: int, rngs: nnx.Rngs) -> None:
        wide = (inputs, *WIDTHS)
        self.layers = nnx.List(
            [nnx.Conv(wide[k], wide[k + 1], (3, 3), strides=1 if k == 0 else 2, rngs=rngs) for k in range(len(WIDTHS))]
        )
        self.norm = nnx.LayerNorm(2 * WIDTHS[-1], rngs=rngs)
        self.dense = nnx.Linear(2 * WIDTHS[-1], HIDDEN, rngs=rngs)
        self.dropout = nnx.Dropout(DROPOUT)
        self.last = nnx.Linear(HIDDEN, 1, rngs=rngs)

    def __call__(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        for layer in self.layers:
            x = nnx.gelu(layer(x))
        edge = x.shape[1] * 3 // 8
        middle = x[:, edge : x.shape[1] - edge, edge : x.shape[2] - edge].mean(axis=(1, 2))
        x = self.norm(jnp.concatenate([x.mean(axis=(1, 2)), middle], axis=-1))
        x = self.dropout(nnx.gelu(self.dense(x)), deterministic=key is None, rngs=key)
        return self.last(x)[:, 0]


@cache
def _compiled(bands: int) -> tuple[optax.GradientTransformation, Any, Any]:
    """Optimiser, step(weights, state, frames, label, key) and forward(weights, frames) of frames of so many bands."""
    graph = nnx.graphdef(Eye(3 * bands, nnx.Rngs(0)))
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(RATE, STEPS), weight_decay=DECAY)
    )

    def logits(weights: nnx.State, frames: jax.Array, key: jax.Array | None = None) -> jax.Array:
        inputs = 4 * channels(frames, jnp.ones(frames.shape[:2], jnp.float32), bands // 2)
        return nnx.merge(graph, weights)(inputs, key)

    def step(weights: nnx.State, state: Any, frames: jax.Array, label: jax.Array, key: jax.Array) -> tuple[Any, Any]:
        def loss(weights: nnx.State) -> jax.Array:
            return optax.sigmoid_binary_cross_entropy(logits(weights, frames, key), label).mean()

        update, state = optimiser.update(jax.grad(loss)(weights), state, weights)
        return optax.apply_updates(weights, update), state

    def forward(weights: nnx.State, frames: jax.Array) -> jax.Array:
        turned = all_dihedrals(frames)
        return logits(weights, turned.reshape(-1, *frames.shape[1:])).reshape(len(turned), -1).mean(axis=0)

    return optimiser, jax.jit(step), jax.jit(forward)


def _fit(pixels: np.ndarray, label: np.ndarray, seed: int) -> nnx.State:
    bands = pixels.shape[1]
    optimiser, step, _ = _compiled(bands)
    weights = nnx.state(Eye(3 * bands, nnx.Rngs(seed)), nnx.Param)
    state, key = optimiser.init(weights), jax.random.key(seed)
    rng = np.random.default_rng(seed)
    each = [np.flatnonzero(label == value) for value in (0, 1)]
    truth = jnp.repeat(jnp.array([0.0, 1.0]), BATCH // 2)
    for number in range(STEPS):
        frames = pixels[np.concatenate([rng.choice(index, BATCH // 2) for index in each])]
        flips = rng.random((3, BATCH, 1, 1, 1)) < 0.5
        frames = np.where(flips[0], frames[..., ::-1], frames)
        frames = np.where(flips[1], frames[..., ::-1, :], frames)
        frames = np.where(flips[2], frames.swapaxes(-1, -2), frames)
        weights, state = step(weights, state, frames, truth, jax.random.fold_in(key, number))
    return weights


def _predict(weights: nnx.State, pixels: np.ndarray) -> np.ndarray:
    """(n,) logits; always in blocks of BLOCK frames, the last one padded, so that one compilation does."""
    _, _, forward = _compiled(pixels.shape[1])
    out = []
    for start in range(0, len(pixels), BLOCK):
        part = pixels[start : start + BLOCK]
        block = np.zeros((BLOCK, *pixels.shape[1:]), np.float32)
        block[: len(part)] = part
        out.append(np.asarray(forward(weights, block))[: len(part)])
    return np.concatenate(out)
