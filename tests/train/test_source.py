"""Batches are a pure function of (seed, step); every member sees every sample once an epoch."""

from itertools import islice

import numpy as np
import pytest

from twin.io.layout import INVALID
from twin.schema import UserError
from twin.train.model import train_config
from twin.train.source import CHUNK, VALIDATION_SHARD, pool_batches, prepare, simulate_pool


def pool_of(n, **more):
    return {"frame": np.arange(n), **more}


def test_each_member_sees_each_sample_once_an_epoch(tiny_recipe):
    config = train_config(tiny_recipe(batch=4, steps=15, members=3).node)
    seen = np.stack([b["frame"] for b in pool_batches(pool_of(20), config, 0, 0)], axis=1).reshape(3, 60)
    for member in range(3):
        for epoch in range(3):
            assert sorted(seen[member, 20 * epoch : 20 * (epoch + 1)]) == list(range(20))
    assert len({tuple(row[i : i + 20]) for row in seen for i in (0, 20, 40)}) == 9


def test_epochs_need_not_end_with_a_batch(tiny_recipe):
    config = train_config(tiny_recipe(batch=8, steps=5, members=1).node)
    seen = np.concatenate([b["frame"][0] for b in pool_batches(pool_of(10), config, 0, 0)])
    for epoch in range(4):
        assert sorted(seen[10 * epoch : 10 * (epoch + 1)]) == list(range(10))


def test_starting_later_gives_what_would_have_come(tiny_recipe):
    config = train_config(tiny_recipe(batch=4, steps=12).node)
    whole = [b["frame"] for b in pool_batches(pool_of(10), config, 7, 0)]
    np.testing.assert_array_equal(whole[5:], [b["frame"] for b in pool_batches(pool_of(10), config, 7, 5)])
    other = next(pool_batches(pool_of(10), config, 8, 0))["frame"]
    assert not np.array_equal(whole[0], other)


def test_the_pool_is_the_recipes_samples_recentred(tiny_recipe):
    recipe = tiny_recipe()
    config = train_config(recipe.node)
    told = []
    pool = simulate_pool(recipe, config, 3, 48, 1, 5, told.append)
    arrays = recipe.shard(3, 5, 48)
    assert sum(told) == 48
    assert pool["frame"].shape == (48, 2, 18, 18)
    assert pool["frame"].dtype == np.int16
    np.testing.assert_array_equal(pool["separation"], arrays["label/separation"])
    for i in range(48):  # each crop is a piece of its frame, wherever the frame reaches
        whole = np.pad(arrays["frame"][i, 1], 12)
        windows = np.lib.stride_tricks.sliding_window_view(whole, (18, 18))
        assert (windows == pool["frame"][i, 1]).all(axis=(2, 3)).any()
    assert VALIDATION_SHARD * CHUNK > 10**8


def test_invalid_pixels_become_sky(tiny_recipe):
    recipe = tiny_recipe()
    config = train_config(recipe.node)
    arrays = recipe.shard(0, 0, 4)
    arrays["frame"][0, 0, 10, 10] = INVALID
    arrays["valid"] = np.ones((4, 2, 20, 20), np.uint8)
    arrays["valid"][1, :, 10, 10] = 0
    frame = prepare(arrays, config, recipe.bands, 1, "x")["frame"]
    assert frame.min() > INVALID
    assert (frame[1, 0] == 0).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label/lens": np.full(4, 2, np.uint8)}, "label/lens: lies from 2 to 2, the head takes 0 to 1"),
        ({"label/separation": np.float32([1, -1, 1, 1])}, "label/separation: must be positive, or NaN"),
        ({"label/lens": np.zeros((4, 2), np.uint8)}, "label/lens: has shape (2,) a sample"),
        ({"noise/rms": np.zeros((4, 2), np.float32)}, "noise/rms: must be finite and positive"),
        ({"frame": np.zeros((4, 2, 12, 12), np.int16)}, "frames of 12x12 are smaller than crop + 2 shift = 18"),
    ],
)
def test_impossible_samples_are_refused(tiny_recipe, change, message):
    recipe = tiny_recipe()
    with pytest.raises(UserError) as caught:
        prepare(recipe.shard(0, 0, 4) | change, train_config(recipe.node), recipe.bands, 1, "x.zarr")
    assert message in str(caught.value)


def test_batches_stop_at_the_last_step(tiny_recipe):
    config = train_config(tiny_recipe(steps=3).node)
    assert len(list(islice(pool_batches(pool_of(8), config, 0, 1), 10))) == 2
