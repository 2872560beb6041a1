"""What a shard holds, and that it depends on (recipe, seed, shard, count) and nothing else."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.recipe.small import write, write_table
from twin.data import simulate
from twin.data.manifest import hash_values, read_manifest
from twin.data.shard import check_arrays
from twin.recipe import MICROBATCH, QUANTUM, Recipe, load_recipe
from twin.schema import UserError

Arrays = dict[str, np.ndarray]
COUNT = 200  # with 64 samples a device at a time: a whole batch and a remainder


@pytest.fixture(scope="module")
def first(recipe: Recipe) -> Arrays:
    return recipe.shard(seed=5, shard=0, count=COUNT)


def test_arrays_are_those_of_the_spec(recipe: Recipe, first: Arrays) -> None:
    check_arrays(recipe.spec, first, COUNT)
    assert all(np.isfinite(values).all() for name, values in first.items() if name not in ("truth", "label/separation"))
    assert first["frame"].std((1, 2, 3)).min() > 0
    assert np.allclose(first["noise/scale"], QUANTUM * first["noise/rms"])


def test_the_same_shard_is_the_same(recipe: Recipe, first: Arrays) -> None:
    recipe.shard(seed=6, shard=2, count=70)  # nothing of another shard stays behind
    assert hash_values(recipe.shard(seed=5, shard=0, count=COUNT)) == hash_values(first)


@pytest.mark.parametrize(("seed", "shard"), [(5, 1), (6, 0)])
def test_another_shard_or_seed_is_another(recipe: Recipe, first: Arrays, seed: int, shard: int) -> None:
    other = recipe.shard(seed=seed, shard=shard, count=COUNT)
    for name in ("frame", "truth", "telemetry", "noise/rms"):
        a, b = (np.nan_to_num(arrays[name].reshape(COUNT, -1), nan=-1.0) for arrays in (first, other))
        assert np.all((a != b).any(1)), name
    assert len(np.unique(np.concatenate([first["frame"], other["frame"]]), axis=0)) == 2 * COUNT
    assert set(first["object_id"]).isdisjoint(other["object_id"]) is (shard != 0)


def test_a_sample_of_a_class_does_not_depend_on_its_company(recipe: Recipe, first: Arrays) -> None:
    """Classes are dealt out within the count; where the class is the same, so is every value."""
    fewer = recipe.shard(seed=5, shard=0, count=MICROBATCH)
    same = fewer["label/class"] == first["label/class"][:MICROBATCH]
    assert 0.3 < same.mean() < 1
    assert np.array_equal(fewer["telemetry"], first["telemetry"][:MICROBATCH])
    for name, values in fewer.items():
        assert np.array_equal(values[same], first[name][:MICROBATCH][same], equal_nan=values.dtype.kind == "f"), name


@pytest.mark.parametrize("count", [1, 7, 10, 200, 1001])
def test_shares_of_classes_are_exact(recipe: Recipe, count: int) -> None:
    """0.3 and 0.7 of the count to the nearest whole number, in random order."""
    got = recipe.class_of(seed=3, shard=4, count=count)
    assert abs(np.sum(got == 0) - 0.3 * count) <= 0.5
    assert len(got) == count
    assert set(got) <= {0, 1}
    if count >= 200:
        assert not np.array_equal(got, recipe.class_of(seed=3, shard=5, count=count))
        runs = np.sum(got[1:] != got[:-1])  # of independent draws: 2 p q (n - 1), give or take
        assert abs(runs / (2 * 0.3 * 0.7 * (count - 1)) - 1) < 0.25


def test_shares_of_many_classes_add_up(recipe: Recipe) -> None:
    whole = load_recipe("ps1-lens")
    counts = np.bincount(whole.class_of(0, 0, 999), minlength=8)
    share = np.array(list(whole.config.classes.values()))
    assert np.abs(counts - 999 * share / share.sum()).max() <= 1
    assert counts.sum() == 999


def test_exposures_are_rows_of_the_nights(recipe: Recipe, first: Arrays) -> None:
    shard = recipe.spec.shard_samples
    assert np.array_equal(first["telemetry"], recipe.instrument.draw_exposures(5, COUNT))
    second = recipe.shard(seed=5, shard=1, count=3)
    assert np.array_equal(second["telemetry"], recipe.instrument.draw_exposures(5, 3, start=shard))
    assert second["exposure_id"].tolist() == second["object_id"].tolist() == [shard, shard + 1, shard + 2]


def test_exposures_of_a_table_are_taken_in_turn(folder: Path) -> None:
    write_table(folder / "nights.csv")
    recipe = load_recipe(write(folder / "mine.yaml", telemetry="nights.csv"))
    column = recipe.instrument.channel_names.index("seeing_r")
    assert recipe.exposures(0, 0, 5)[:, column].tolist() == pytest.approx([1.1, 0.9, 1.4, 1.1, 0.9])
    assert recipe.exposures(9, 4, 2)[:, column].tolist() == pytest.approx([0.9, 1.4])
    assert recipe.exposure_ids(4, 2).tolist() == [1, 2]


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_have_32_bits(recipe: Recipe, seed: int) -> None:
    with pytest.raises(UserError, match=f"seed.*4294967295.*{seed}"):
        recipe.shard(seed, 0, 1)


def test_shards_share_their_programs(recipe: Recipe, first: Arrays, caplog: pytest.LogCaptureFixture) -> None:
    """Another shard, seed or count compiles nothing; a program that is new to JAX shows in the same log."""
    recipe.shard(seed=5, shard=0, count=3)
    with jax.log_compiles(), caplog.at_level(logging.WARNING, logger="jax"):
        recipe.shard(seed=7, shard=1, count=2 * COUNT)
        assert "Compiling" not in caplog.text
        jax.jit(lambda x: x * 3 - 1)(np.arange(5.0)).block_until_ready()
        assert "Compiling" in caplog.text


def test_one_device_makes_what_two_make(recipe: Recipe, tmp_path: Path) -> None:
    """`twin simulate` in a process with one CPU device, and two devices here: the manifests carry the same hash."""
    assert jax.local_device_count() == 2
    path, out = write(tmp_path / "small.yaml"), tmp_path / "one.zarr"
    command = f"simulate {path} -o {out} -n {COUNT} --seed 5".split()
    done = subprocess.run(
        [sys.executable, "-m", "twin.cli", *command],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    simulate(recipe, tmp_path / "two.zarr", COUNT, seed=5, progress=False)
    one, two = (read_manifest(tmp_path / name, 0) for name in ("one.zarr", "two.zarr"))
    assert one is not None
    assert two is not None
    assert one.recipe_sha256 == two.recipe_sha256 == recipe.sha256
    assert one.sha256_values == two.sha256_values == hash_values(recipe.shard(5, 0, COUNT))
