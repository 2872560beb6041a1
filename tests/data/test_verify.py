"""Every kind of damage is found, named with file, shard and first bad sample, and healed."""

from __future__ import annotations

import hashlib
import json

import fake
import numpy as np
import pytest

from twin.data import heal, open_dataset, simulate, verify
from twin.data.layout import encode_shard
from twin.schema import UserError

FRAME = "frame/c/3/0/0/0"  # samples 36 to 47 in chunks of 4


def test_a_whole_dataset(dataset):
    report = verify(dataset)
    assert report.ok
    assert (report.n, report.shards, report.bad_shards) == (100, 9, ())
    assert str(report).endswith("100 samples in 9 shards, all as they were written")


@pytest.mark.parametrize(
    ("where", "first"), [(10, 36), (0.5, 40), (-20, 36)], ids=["first chunk", "second chunk", "index"]
)
def test_a_flipped_bit_in_a_frame(dataset, flip, where, first):
    file = dataset / FRAME
    at = int(where * file.stat().st_size) if isinstance(where, float) else where
    flip(file, at)
    (problem,) = verify(dataset).problems
    assert (problem.shard, problem.file, problem.kind, problem.first) == (3, FRAME, "damaged", first)
    assert f"samples {first} to {first + 3}" in str(problem)


def test_lost_truncated_and_unfinished_are_told_apart(dataset):
    (dataset / "label/lens/c/1").unlink()
    file = dataset / "truth/c/2/0"
    file.write_bytes(file.read_bytes()[:-5])
    (dataset / "manifest/000004.json").unlink()
    (dataset / "manifest/000005.json").write_text('{"shard": 5')
    (dataset / "manifest/000006.json").write_text("{}")
    found = {p.shard: (p.kind, p.file) for p in verify(dataset).problems}
    assert found == {
        1: ("missing", "label/lens/c/1"),
        2: ("damaged", "truth/c/2/0"),
        4: ("unfinished", "manifest/000004.json"),
        5: ("damaged", "manifest/000005.json"),
        6: ("damaged", "manifest/000006.json"),
    }
    assert "5 of 9 shards are damaged or unfinished" in str(verify(dataset))


def test_files_that_are_whole_but_hold_other_values(dataset, recipe):
    """Another shard's file with its own good checksums, and a manifest that knows its hash: only the values tell."""
    spec = recipe.spec
    data = encode_shard(spec["label/lens"], spec, np.ones(12, np.uint8))
    (dataset / "label/lens/c/0").write_bytes(data)
    note = dataset / "manifest/000000.json"
    manifest = json.loads(note.read_text())
    manifest["sha256_files"]["label/lens/c/0"] = hashlib.sha256(data).hexdigest()
    manifest["sizes"]["label/lens/c/0"] = len(data)
    note.write_text(json.dumps(manifest))
    (problem,) = verify(dataset).problems
    assert "decode to other values" in str(problem)
    assert problem.shard == 0


def test_heal_makes_the_same_bytes_again(dataset, recipe, flip):
    before = {p: p.read_bytes() for p in dataset.rglob("*") if p.is_file()}
    flip(dataset / FRAME, 10)
    (dataset / "truth/c/2/0").unlink()
    (dataset / "manifest/000007.json").unlink()
    assert verify(dataset).bad_shards == (2, 3, 7)
    assert heal(dataset, recipe, progress=False).ok
    assert {p: p.read_bytes() for p in dataset.rglob("*") if p.is_file()} == before


def test_heal_refuses_another_recipe_and_other_values(dataset, recipe, flip, monkeypatch):
    flip(dataset / FRAME, 10)
    with pytest.raises(UserError, match="another recipe"):
        heal(dataset, fake.small(sha256="b" * 64), progress=False)
    monkeypatch.setattr(recipe, "shard", lambda seed, shard, count: fake.small().shard(seed + 1, shard, count))
    with pytest.raises(UserError, match="shard 3: comes out with other values"):
        heal(dataset, recipe, progress=False)
    assert verify(dataset).bad_shards == (3,)


def makers(dataset):
    """Architecture that each shard's manifest names."""
    notes = sorted((dataset / "manifest").glob("*.json"))
    return [json.loads(note.read_text())["fingerprint"]["instruction_set"].split()[0] for note in notes]


def test_heal_by_another_version_takes_what_has_the_same_values(dataset, recipe, flip, monkeypatch):
    flip(dataset / FRAME, 10)
    here = makers(dataset)[0]
    before = (dataset / FRAME).read_bytes()
    monkeypatch.setattr("twin.data.manifest.platform.machine", lambda: "pdp11")
    assert heal(dataset, recipe, progress=False).ok
    assert makers(dataset) == [here] * 3 + ["pdp11"] + [here] * 5
    assert (dataset / FRAME).read_bytes() != before


def test_heal_by_another_version_takes_other_values_only_if_mixed(dataset, recipe, flip, monkeypatch):
    """Also in a dataset that two versions wrote: shard 5 is by the other one, and whole."""
    monkeypatch.setattr("twin.data.manifest.platform.machine", lambda: "pdp11")
    (dataset / "manifest/000005.json").unlink()
    simulate(recipe, dataset, 100, seed=3, mixed=True, progress=False)
    flip(dataset / FRAME, 10)
    monkeypatch.setattr(recipe, "shard", lambda seed, shard, count: fake.small().shard(seed + 1, shard, count))
    with pytest.raises(UserError, match=r"shard 3 was made with .*pdp11.*--mixed"):
        heal(dataset, recipe, progress=False)
    assert verify(dataset).bad_shards == (3,)
    assert heal(dataset, recipe, mixed=True, progress=False).ok
    assert [k for k, maker in enumerate(makers(dataset)) if maker == "pdp11"] == [3, 5]


def test_heal_beside_shards_of_another_version_without_a_manifest_only_if_mixed(dataset, recipe, monkeypatch):
    (dataset / "manifest/000004.json").unlink()
    monkeypatch.setattr("twin.data.manifest.platform.machine", lambda: "pdp11")
    with pytest.raises(UserError, match="shard 0 was made with .*pdp11"):
        heal(dataset, recipe, progress=False)
    assert heal(dataset, recipe, mixed=True, progress=False).ok


def test_nothing_to_heal(dataset, recipe):
    stamp = (dataset / "manifest/000000.json").stat().st_mtime_ns
    assert heal(dataset, recipe, progress=False).ok
    assert (dataset / "manifest/000000.json").stat().st_mtime_ns == stamp


def test_damage_does_not_hide_in_what_is_open_already(dataset, flip):
    opened = open_dataset(dataset)
    flip(dataset / FRAME, 10)
    with pytest.raises(UserError, match=r"frame/c/3/0/0/0: shard 3: damaged in samples 36 to"):
        opened.read("frame", 30, 40)
    (dataset / "label/lens/c/4").unlink()
    with pytest.raises(UserError, match="the file is gone"):
        opened.read("label/lens")


def test_a_dataset_cannot_name_files_outside(dataset):
    meta = json.loads((dataset / "zarr.json").read_text())
    meta["attributes"]["files"] = {"../secret": "0" * 64}
    (dataset / "zarr.json").write_text(json.dumps(meta))
    with pytest.raises(UserError, match=r"files: names a file outside: \.\./secret"):
        verify(dataset)
