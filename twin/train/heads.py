"""Task heads: how many outputs each kind has, its loss, and what its outputs say."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax

from twin.train.config import Binary, Binned, Categorical
from twin.train.prediction import log_edges

AnyHead = Binary | Binned | Categorical


def head_size(head: AnyHead) -> int:
    """Outputs of the network that a head needs."""
    match head:
        case Binary():
            return 1
        case Binned():
            return head.bins
        case Categorical():
            return head.classes


def head_loss(head: AnyHead, logits: jax.Array, label: jax.Array) -> jax.Array:
    """Mean cross-entropy [nat] of (n, outputs) logits; a binned label counts where it is finite (0 if none is)."""
    match head:
        case Binary():
            return optax.sigmoid_binary_cross_entropy(logits[:, 0], label.astype(jnp.float32)).mean()
        case Categorical():
            return optax.softmax_cross_entropy_with_integer_labels(logits, label.astype(jnp.int32)).mean()
        case Binned():
            known = jnp.isfinite(label)
            loss = optax.softmax_cross_entropy(logits, bin_targets(head, label))
            return jnp.where(known, loss, 0.0).sum() / jnp.maximum(known.sum(), 1)


def bin_targets(head: Binned, label: jax.Array) -> jax.Array:
    """(n, bins) probability of each bin: a Gaussian of `soften` bins around the label, integrated over the bins.

    What falls beyond the outer edges belongs to the outermost bins; soften = 0 puts all into the label's bin.
    """
    ratio = jnp.clip(jnp.where(jnp.isfinite(label), label, head.low), head.low, head.high) / head.low
    place = jnp.log(ratio) / np.log(head.high / head.low) * head.bins
    if head.soften == 0:
        return jax.nn.one_hot(jnp.clip(jnp.floor(place).astype(jnp.int32), 0, head.bins - 1), head.bins)
    inner = jax.scipy.stats.norm.cdf((jnp.arange(1, head.bins) - place[:, None]) / head.soften)
    ends = jnp.zeros((len(label), 1)), jnp.ones((len(label), 1))
    return jnp.diff(jnp.concatenate([ends[0], inner, ends[1]], axis=1), axis=1)


def head_probability(head: AnyHead, logits: jax.Array) -> jax.Array:
    """(n,) probability of yes, or (n, outputs) probabilities that sum to 1."""
    return jax.nn.sigmoid(logits[..., 0]) if isinstance(head, Binary) else jax.nn.softmax(logits, axis=-1)


def head_edges(head: Binned) -> np.ndarray:
    """(bins + 1,) edges in the label's unit."""
    return log_edges(head.low, head.high, head.bins)
