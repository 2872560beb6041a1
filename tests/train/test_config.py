"""Mistakes in the `train:` section are named with their line; the network is what the section says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from twin.schema import UserError, parse_yaml, validate
from twin.train.config import TrainConfig
from twin.train.model import train_config
from twin.train.network import build


def section(text):
    return train_config(parse_yaml("name: x\ntrain:\n" + "".join(f"  {line}\n" for line in text.split("\n")), "r.yaml"))


def test_defaults_need_no_section():
    assert train_config(parse_yaml("name: x", "r.yaml")) == TrainConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step: 10", 'r.yaml:3: train.step: unknown key; did you mean "steps"?'),
        ("batch: -1", "r.yaml:3: train.batch: must be at least 1, not -1"),
        ("network:\n  widths: [8, 12]\n  blocks: [1, 1]", "r.yaml:3: train.network: widths must be multiples of 8"),
        ("network:\n  blocks: [1]", "blocks has 1 entries, widths has 3"),
        ("heads:\n  lens: {kind: binery, label: x}", 'must be one of binary, binned, categorical, not "binery"'),
        ("heads:\n  lens: {kind: binary, label: label/lens}", "heads needs one of kind binary, one of kind binned"),
        (
            "heads:\n  a: {kind: binary, label: b}\n  s: {kind: binned, label: s, low: 3, high: 1}",
            "high (1) must be greater than low (3)",
        ),
        ("augment: {noise: 0.5}", "train.augment.noise: must be at least 1.0, not 0.5"),
        ("learning_rate: .nan", "r.yaml:3: train.learning_rate"),
        ("crop: 9", "a crop of 9 cannot be cut into patches"),
    ],
)
def test_mistakes_are_one_line(text, message):
    with pytest.raises(UserError) as caught:
        section(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_no_batch_statistics(norm, key):
    """What a network says of a frame does not depend on the others of its batch, and it keeps nothing of them."""
    text = f"crop: 16\nnetwork: {{widths: [8], blocks: [1], norm: {norm}}}"
    config = validate(TrainConfig, parse_yaml(text, "x.yaml"))
    net = build(config, 3, nnx.Rngs(0))
    assert not [m for _, m in nnx.iter_graph(net) if isinstance(m, nnx.BatchNorm)]
    kinds = {type(v) for v in jax.tree.leaves(nnx.state(net), is_leaf=lambda v: isinstance(v, nnx.Variable))}
    assert not any(issubclass(kind, nnx.BatchStat) for kind in kinds)
    x = jax.random.normal(key, (6, 16, 16, 9))
    run = nnx.jit(net)
    together, alone = run(x), run(x[2:3])
    for name in ("lens", "separation"):
        np.testing.assert_allclose(together[name][2:3], alone[name], rtol=1e-4, atol=1e-5)
    assert not np.allclose(together["lens"][0], together["lens"][1])


def test_dropout_acts_in_training_only():
    config = TrainConfig(crop=16, network={"widths": [8], "blocks": [0], "dropout": 0.5})
    net = build(config, 1, nnx.Rngs(0))
    x = jnp.ones((1, 16, 16, 3))
    np.testing.assert_array_equal(net(x)["separation"], net(x)["separation"])
    a, b = (net(x, jax.random.key(i))["separation"] for i in range(2))
    assert not np.allclose(a, b)
