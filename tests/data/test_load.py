"""Reading: values, refusals, shuffled batches."""

from __future__ import annotations

import itertools
import json
import logging
import threading

import fake
import numpy as np
import pytest

from twin.data import batches_per_epoch, open_dataset, shuffled_batches, simulate
from twin.schema import UserError


def ids(batches) -> list[list[int]]:
    return [batch["object_id"].tolist() for batch in batches]


def test_slices_and_indices(dataset, recipe):
    opened = open_dataset(dataset)
    whole = np.concatenate([recipe.shard(3, k, 12 if k < 8 else 4)["frame"] for k in range(9)])
    np.testing.assert_array_equal(opened.read("frame"), whole)
    np.testing.assert_array_equal(opened.read("frame", 10, 30), whole[10:30])
    chosen = np.array([99, 0, 12, 12, 57])
    np.testing.assert_array_equal(opened.read("frame", chosen), whole[chosen])
    assert opened.read("frame", 5, 5).shape == opened.read("frame", []).shape == (0, 3, 8, 8)


def test_what_a_dataset_says_of_itself(dataset):
    opened = open_dataset(dataset)
    assert (opened.n, len(opened), len(opened.shards), opened.unfinished) == (100, 100, 9, [])
    assert (opened.shards[8].start, opened.shards[8].stop) == (96, 100)
    assert "label/lens" in opened
    assert "valid" not in opened
    assert opened.shape("frame") == (3, 8, 8)
    assert opened.dtype("truth") == np.float32
    assert opened.units("frame") == "ct"
    assert opened.coordinate("parameter") == ("theta_E", "q")
    assert opened.attrs["classes"] == list(fake.CLASSES)
    assert opened.catalogue() is None
    assert "n=100" in repr(opened)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda d: d.read("label/lense"), 'label/lense: .* did you mean "label/lens"'),
        (lambda d: d.read("frame", 90, 101), "samples 90:101 asked, it has 0:100"),
        (lambda d: d.read("frame", [5, -1]), "samples -1 to 5 asked, it has 0:100"),
        (lambda d: d.coordinate("colour"), "colour: the dataset has no such coordinate"),
    ],
)
def test_what_is_not_there(dataset, ask, message):
    with pytest.raises(UserError, match=message):
        ask(open_dataset(dataset))


def damage_metadata(path):
    (path / "zarr.json").write_text((path / "zarr.json").read_text()[:-40])


def damage_array(path):
    (path / "truth" / "zarr.json").write_text("{}")


def attributes(**change):
    """Change attributes of the group; None removes one."""

    def edit(path):
        meta = json.loads((path / "zarr.json").read_text())
        both = meta["attributes"] | change
        meta["attributes"] = {key: value for key, value in both.items() if value is not None}
        (path / "zarr.json").write_text(json.dumps(meta))

    return edit


def without_manifests(path):
    for note in (path / "manifest").iterdir():
        note.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: (p / "zarr.json").unlink(), "no Zarr v3 dataset"),
        (damage_metadata, "damaged or truncated"),
        (damage_array, "metadata is damaged"),
        (attributes(twin_format=None), "no dataset that twin wrote"),
        (attributes(twin_format=99), "has format 99"),
        (attributes(n="many"), "n: is missing or wrong"),
        (attributes(n=10**15), "n: needs more than"),
        (attributes(n=99), "is not an array of 99 samples"),
        (attributes(shard_samples=-12), "shard_samples: is missing or wrong"),
        (attributes(arrays=["frame", "../y.zarr/frame"]), "metadata is damaged|is not an array"),
        (lambda p: (p / "zarr.json").write_text("[]"), "no dataset that twin wrote"),
        (without_manifests, "none of its 9 shards is finished"),
        (lambda p: (p / "manifest/000001.json").unlink(), r"1 of its 9 shards are unfinished .*\(1\)"),
        (lambda p: (p / "frame/c/2/0/0/0").write_bytes(b""), r"1 of its 9 shards .* lost files \(2\)"),
    ],
)
def test_what_cannot_be_opened(dataset, damage, message):
    damage(dataset)
    with pytest.raises(UserError, match=message) as caught:
        open_dataset(dataset)
    assert str(dataset) in str(caught.value)


def test_a_wrong_path_gets_a_suggestion(dataset):
    with pytest.raises(UserError, match=r'no such dataset; did you mean "x\.zarr"'):
        open_dataset(dataset.parent / "xx.zarr")
    with pytest.raises(UserError, match="is a file"):
        open_dataset(dataset / "zarr.json")


def test_an_unfinished_dataset_gives_its_finished_part(dataset):
    (dataset / "manifest/000001.json").unlink()
    opened = open_dataset(dataset, unfinished=True)
    assert opened.unfinished == [1]
    assert opened.read("frame", 0, 12).shape == (12, 3, 8, 8)
    with pytest.raises(UserError, match="shard 1 .* is unfinished"):
        opened.read("frame", 10, 14)


def test_an_epoch_holds_each_sample_once_and_arrays_stay_together(dataset):
    opened = open_dataset(dataset)
    batches = list(shuffled_batches(opened, ["frame", "object_id"], 10, seed=1, epoch=0, buffer=32))
    assert len(batches) == batches_per_epoch(opened, 10) == 10
    order = np.concatenate([b["object_id"] for b in batches])
    assert sorted(order) == sorted(opened.read("object_id"))
    row = {int(v): i for i, v in enumerate(opened.read("object_id"))}
    np.testing.assert_array_equal(
        np.concatenate([b["frame"] for b in batches]), opened.read("frame", [row[int(v)] for v in order])
    )


def test_order_is_a_function_of_seed_and_epoch(dataset):
    opened = open_dataset(dataset)

    def order(seed, epoch):
        return ids(shuffled_batches(opened, ["object_id"], 8, seed=seed, epoch=epoch, buffer=32))

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)
    assert order(1, 0)[0] != sorted(order(1, 0)[0])


@pytest.mark.parametrize("start", [0, 1, 5, 11, 12])
def test_an_epoch_continues_at_any_batch(dataset, start):
    opened = open_dataset(dataset)
    whole = ids(shuffled_batches(opened, ["object_id"], 8, seed=1, epoch=0, buffer=32))
    assert ids(shuffled_batches(opened, ["object_id"], 8, seed=1, epoch=0, buffer=32, start=start)) == whole[start:]


def test_two_datasets_are_mixed_and_splits_kept(tmp_path, dataset, recipe):
    simulate(recipe, tmp_path / "y.zarr", 50, seed=9, progress=False)
    both = [open_dataset(dataset), open_dataset(tmp_path / "y.zarr")]
    keep = [np.arange(0, 100, 2), None]
    assert batches_per_epoch(both, 5, keep) == 20
    found = list(shuffled_batches(both, ["truth"], 5, seed=0, epoch=0, keep=keep, buffer=40))
    rows = np.concatenate([b["truth"] for b in found])
    wanted = np.concatenate([both[0].read("truth")[::2], both[1].read("truth")])
    np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(wanted, axis=0))
    second = {tuple(v) for v in both[1].read("truth")}
    share = [sum(tuple(v) in second for v in b["truth"]) for b in found[:10]]
    assert 0 < sum(share) < 50


def test_arrays_that_differ_between_datasets(tmp_path, dataset):
    other = fake.FakeRecipe(fake.SmallSpec(fake.arrays(6), {}))
    simulate(other, tmp_path / "y.zarr", 20, progress=False)
    both = [open_dataset(dataset), open_dataset(tmp_path / "y.zarr")]
    with pytest.raises(UserError, match="frame: differs in shape"):
        shuffled_batches(both, ["frame"], 5, seed=0, epoch=0)


def test_more_than_there_is(dataset):
    with pytest.raises(UserError, match="fewer usable samples than one batch of 101"):
        shuffled_batches(open_dataset(dataset), ["frame"], 101, seed=0, epoch=0)


def test_damage_is_named_and_never_yielded(dataset, flip, caplog):
    opened = open_dataset(dataset)
    clean = ids(shuffled_batches(opened, ["frame", "object_id"], 10, seed=1, epoch=0, buffer=32))
    bad = set(opened.read("object_id", 36, 40).tolist())
    flip(dataset / "frame/c/3/0/0/0", 10)
    with caplog.at_level(logging.WARNING, "twin"):
        found = ids(shuffled_batches(open_dataset(dataset), ["frame", "object_id"], 10, seed=1, epoch=0, buffer=32))
    assert len(found) == len(clean)
    assert not bad & set(itertools.chain(*found))
    (line,) = caplog.messages
    assert "frame/c/3/0/0/0: shard 3: damaged in samples 36 to 39" in line
    # every place of a healthy sample is what it was
    pairs = list(zip(itertools.chain(*clean), itertools.chain(*found), strict=True))
    assert [a for a, b in pairs if a != b and a not in bad] == []


def test_unfinished_shards_are_named_and_left_out(dataset, caplog):
    gone = set(open_dataset(dataset).read("object_id", 24, 36).tolist())
    (dataset / "manifest/000002.json").unlink()
    opened = open_dataset(dataset, unfinished=True)
    with caplog.at_level(logging.WARNING, "twin"):
        found = set(itertools.chain(*ids(shuffled_batches(opened, ["object_id"], 8, seed=1, epoch=0))))
    assert len(found) == 88
    assert not found & gone
    assert caplog.messages == [f"{dataset}: shards 2 are unfinished: left out"]


def test_a_buffer_without_a_healthy_chunk_ends_the_epoch(dataset, flip):
    for file in (dataset / "frame").glob("c/*/0/0/0"):
        flip(file, file.stat().st_size - 8)  # the shard's index: none of its chunks can be found
    with pytest.raises(UserError, match="every chunk of a whole buffer is damaged"):
        list(shuffled_batches(open_dataset(dataset), ["frame"], 8, seed=1, epoch=0))


def test_the_thread_ends_with_its_consumer(dataset):
    batches = shuffled_batches(open_dataset(dataset), ["frame"], 4, seed=1, epoch=0)
    next(batches)
    assert any(t.name == "batches" for t in threading.enumerate())
    batches.close()
    assert not any(t.name == "batches" for t in threading.enumerate())
