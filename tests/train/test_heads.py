"""Losses and targets of the task heads against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from twin.train.config import Binary, Binned, Categorical
from twin.train.heads import bin_targets, head_edges, head_loss, head_probability, head_size

HEAD = Binned(kind="binned", label="label/separation", low=0.5, high=8.0, bins=16, soften=0.0)
SOFT = Binned(kind="binned", label="label/separation", low=0.5, high=8.0, bins=16, soften=1.5)


def test_hard_targets_are_the_histogram():
    label = np.array([0.5, 0.7, 1.0001, 7.999, 8.0, 0.1, 30.0])
    targets = np.asarray(bin_targets(HEAD, jnp.asarray(label)))
    for row, value in zip(targets, np.clip(label, 0.5001, 7.999), strict=True):
        np.testing.assert_array_equal(row, np.histogram(value, head_edges(HEAD))[0])


def test_soft_targets_are_the_integrated_gaussian():
    label = np.array([1.3, 0.5, 8.0])
    place = np.log(label / 0.5) / np.log(16) * 16
    edges = np.r_[-np.inf, np.arange(1, 16), np.inf]
    want = np.diff(norm.cdf(edges[None], loc=place[:, None], scale=1.5), axis=1)
    np.testing.assert_allclose(bin_targets(SOFT, jnp.asarray(label)), want, atol=1e-6)


def test_unknown_labels_cost_nothing_and_pull_nowhere(key):
    logits = jax.random.normal(key, (4, 16))
    label = jnp.array([1.0, jnp.nan, 3.0, jnp.nan])
    loss, slope = jax.value_and_grad(lambda z: head_loss(SOFT, z, label))(logits)
    assert float(loss) == pytest.approx(float(head_loss(SOFT, logits[::2], label[::2])), rel=1e-6)
    np.testing.assert_array_equal(slope[1::2], 0)
    assert np.all(np.isfinite(slope))
    assert float(head_loss(SOFT, logits, jnp.full(4, jnp.nan))) == 0.0


def test_binary_and_categorical_losses():
    z = jnp.array([[2.0], [-1.0]])
    want = (np.log1p(np.exp(-2.0)) + np.log1p(np.exp(-1.0))) / 2
    assert float(head_loss(Binary(kind="binary", label="l"), z, jnp.array([1, 0]))) == pytest.approx(want, rel=1e-6)
    head = Categorical(kind="categorical", label="c", classes=3)
    logits = jnp.log(jnp.array([[0.2, 0.3, 0.5]]))
    assert float(head_loss(head, logits, jnp.array([2]))) == pytest.approx(np.log(2), rel=1e-6)
    np.testing.assert_allclose(head_probability(head, logits), [[0.2, 0.3, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(head_probability(Binary(kind="binary", label="l"), z), 1 / (1 + np.exp([-2.0, 1.0])))
    assert [head_size(h) for h in (Binary(kind="binary", label="l"), HEAD, head)] == [1, 16, 3]
