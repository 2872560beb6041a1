"""The ensemble gives the same on one device and on two, however it is split over them."""

import jax
import numpy as np
import pytest

from twin.train.augment import Augment
from twin.train.ensemble import Ensemble
from twin.train.members import device_mesh, schedule
from twin.train.model import train_config
from twin.train.source import pool_batches, simulate_pool

STILL = {"flip": False, "shift": 0, "gain": 0, "noise": 1}


@pytest.mark.parametrize(
    ("members", "devices", "split"), [(4, 2, (2, 1)), (3, 2, (1, 2)), (2, 2, (2, 1)), (1, 1, (1, 1))]
)
def test_members_are_split_first_then_their_batches(members, devices, split):
    assert device_mesh(members, 8, jax.local_devices()[:devices]).devices.shape == split


@pytest.mark.parametrize("members", [1, 2])
def test_one_device_or_two(tiny_recipe, members):
    recipe = tiny_recipe(members=members, augment=STILL, steps=3)
    config = train_config(recipe.node)
    assert config.augment == Augment(**STILL)
    pool = simulate_pool(recipe, config, 0, 64, 0, 0, lambda n: None)
    pool["separation"] = np.nan_to_num(pool["separation"], nan=1.0)  # as many known labels in each half of a batch
    after = []
    for count in (1, 2):
        networks = Ensemble(config, 2, 1, jax.local_devices()[:count])
        keys = networks.keys(0)
        state = networks.init(keys)
        for batch in pool_batches(pool, config, 0, 0):
            state, losses = networks.step(state, networks.place_batch(batch), keys)
        assert set(losses) == {"lens", "separation"}
        after.append(jax.tree.map(np.asarray, (state.weights, losses)))
    for one, two in zip(*map(jax.tree.leaves, after), strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-3, atol=2e-4)


def test_learning_rate_rises_and_falls(tiny_recipe):
    config = train_config(tiny_recipe(steps=100, warmup=0.1, learning_rate=0.01).node)
    rate = np.array([schedule(config)(step) for step in range(101)])
    np.testing.assert_allclose(rate[:11], np.arange(11) * 1e-3, rtol=1e-5)
    np.testing.assert_allclose(rate[55], 0.005, rtol=1e-5)
    np.testing.assert_allclose(rate[100], 0.0, atol=1e-8)
    assert np.isfinite([schedule(train_config(tiny_recipe(steps=1).node))(0)]).all()
