"""The convolution that stays fast under vmap gives what the plain one gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from twin.train.convolution import member_convolution

NUMBERS = ("NHWC", "HWIO", "NHWC")


def plain(x, w, stride):
    return lax.conv_general_dilated(x, w, (stride, stride), "SAME", dimension_numbers=NUMBERS)


def ours(x, w, stride):
    return member_convolution(x, w, (stride, stride), "SAME", dimension_numbers=NUMBERS)


@pytest.mark.parametrize("stride", [1, 2])
def test_value_and_gradient_under_vmap(key, stride):
    x = jax.random.normal(key, (3, 2, 9, 9, 4))
    w = jax.random.normal(jax.random.fold_in(key, 1), (3, 3, 3, 4, 5))

    def loss(conv):
        return lambda x, w: jnp.sum(jnp.sin(conv(x, w, stride)))

    np.testing.assert_allclose(jax.vmap(lambda x, w: ours(x, w, stride))(x, w),
                               jax.vmap(lambda x, w: plain(x, w, stride))(x, w), rtol=1e-5, atol=1e-5)  # fmt: skip
    got = jax.vmap(jax.grad(loss(ours), (0, 1)))(x, w)
    want = jax.vmap(jax.grad(loss(plain), (0, 1)))(x, w)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_shared_input_or_kernel(key):
    x, w = jax.random.normal(key, (2, 6, 6, 3)), jax.random.normal(key, (4, 3, 3, 3, 2))
    shared_input = jax.vmap(lambda w: ours(x, w, 1))(w)
    for i in range(4):
        np.testing.assert_allclose(shared_input[i], plain(x, w[i], 1), rtol=1e-5, atol=1e-5)


def test_vmap_makes_no_grouped_convolution(key):
    x, w = jnp.ones((3, 2, 6, 6, 4)), jnp.ones((3, 3, 3, 4, 4))

    def groups(conv):
        text = str(jax.make_jaxpr(jax.vmap(jax.grad(lambda w, x: conv(x, w, 1).sum())))(w, x))
        return [int(part.split("\n")[0]) for part in text.split("feature_group_count=")[1:]]

    assert max(groups(plain)) == 3  # what it is there to avoid
    assert set(groups(ours)) == {1}
