"""The layout on disk, resuming, and what a writer refuses."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fake
import numpy as np
import pytest

from twin.data import open_dataset, simulate, verify
from twin.data.manifest import hash_values
from twin.data.progress import Bar
from twin.io.layout import ArraySpec
from twin.schema import UserError


def hashes(path: Path) -> dict[str, str]:
    """Identity of every finished shard."""
    found = sorted((path / "manifest").glob("*.json"))
    return {p.name: json.loads(p.read_text())["sha256_values"] for p in found}


def stamps(path: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in (path / "manifest").glob("*.json")}


def left_over(path: Path) -> list[Path]:
    return [p for p in path.parent.rglob("*") if p.name.endswith((".part", ".lock"))]


def test_values_and_metadata_by_zarr(dataset, recipe):
    import zarr

    group = zarr.open_group(dataset, mode="r")
    made = [recipe.shard(3, k, 12 if k < 8 else 4) for k in range(9)]
    for name in ("frame", "noise/rms", "label/separation", "object_id"):
        np.testing.assert_array_equal(group[name][:], np.concatenate([part[name] for part in made]))
    frame = group["frame"]
    assert frame.metadata.dimension_names == ("sample", "band", "y", "x")
    assert (frame.shards, frame.chunks) == ((12, 3, 8, 8), (4, 3, 8, 8))
    codecs = json.loads((dataset / "frame" / "zarr.json").read_text())["codecs"][0]["configuration"]["codecs"]
    assert [codec["name"] for codec in codecs] == ["bytes", "blosc", "crc32c"]
    assert codecs[1]["configuration"]["cname"] == "lz4"
    assert codecs[1]["configuration"]["shuffle"] == "bitshuffle"
    assert frame.attrs["units"] == "ct"
    assert group["label/separation"].attrs["ucd"] == "pos.angDistance"
    assert group.attrs["recipe"] == {"name": "fake", "sizes": [1, 2]}
    assert (group.attrs["recipe_sha256"], group.attrs["seed"], group.attrs["n"]) == (recipe.sha256, 3, 100)
    assert group.attrs["wcs"]["CDELT2"] == pytest.approx(0.25 / 3600)


def test_the_real_sizes_of_shards_and_chunks(tmp_path):
    import zarr

    simulate(fake.full_size(), tmp_path / "x.zarr", 2, progress=False)
    frame = zarr.open_array(tmp_path / "x.zarr" / "frame", mode="r")
    label = zarr.open_array(tmp_path / "x.zarr" / "label" / "lens", mode="r")
    assert frame.shards[0] * frame[0].nbytes == pytest.approx(75 * 2**20, rel=0.05)
    assert 2**20 <= frame.chunks[0] * frame[0].nbytes <= 2 * 2**20
    assert label.chunks == label.shards == frame.shards[:1]


def test_xarray_opens_it_with_names_and_units(dataset):
    import xarray

    flat = xarray.open_zarr(dataset)
    assert flat["truth"].sel(parameter="q").shape == (100,)
    assert list(flat["truth"].coords["parameter_unit"].values) == ["arcsec", ""]
    assert flat["frame"].dims == ("sample", "band", "y", "x")
    tree = xarray.open_datatree(dataset, engine="zarr")
    np.testing.assert_array_equal(tree["label/separation"], open_dataset(dataset).read("label/separation"))
    assert list(tree["noise/rms"].coords["band"].values) == ["g", "r", "i"]


def test_tensorstore_reads_the_same(dataset):
    tensorstore = pytest.importorskip("tensorstore")
    opened = tensorstore.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": str(dataset / "frame")}})
    np.testing.assert_array_equal(opened.result().read().result(), open_dataset(dataset).read("frame"))


def test_same_seed_same_identity_other_seed_another(tmp_path, dataset, recipe):
    simulate(recipe, tmp_path / "again.zarr", 100, seed=3, progress=False)
    simulate(recipe, tmp_path / "other.zarr", 100, seed=4, progress=False)
    assert len(hashes(dataset)) == 9
    assert hashes(dataset) == hashes(tmp_path / "again.zarr")
    assert not set(hashes(dataset).values()) & set(hashes(tmp_path / "other.zarr").values())


def test_identity_depends_on_name_dtype_shape_and_value():
    base = np.arange(6, dtype=np.int16)
    seen = {
        hash_values({"a": base}),
        hash_values({"b": base}),
        hash_values({"a": base.astype(np.int32)}),
        hash_values({"a": base.reshape(2, 3)}),
        hash_values({"a": base + 1}),
    }
    assert len(seen) == 5
    assert hash_values({"a": base, "b": base}) == hash_values({"b": base.astype(">i2"), "a": base})


def test_finished_shards_are_kept_and_lost_ones_made_again(dataset, recipe):
    before, times = hashes(dataset), stamps(dataset)
    assert simulate(recipe, dataset, 100, seed=3, progress=False).shards == ()
    (dataset / "manifest" / "000002.json").unlink()
    (dataset / "frame" / "c" / "5" / "0" / "0" / "0").unlink()
    done = simulate(recipe, dataset, 100, seed=3, progress=False)
    assert (done.shards, done.samples) == ((2, 5), 24)
    assert hashes(dataset) == before
    assert {k for k, t in stamps(dataset).items() if t != times[k]} == {"000002.json", "000005.json"}
    assert verify(dataset).ok


def test_restart_makes_all_again(dataset, recipe):
    before = hashes(dataset)
    assert simulate(recipe, dataset, 100, seed=3, resume=False, progress=False).samples == 100
    assert hashes(dataset) == before


def test_disjoint_ranges_make_one_dataset(tmp_path, dataset, recipe):
    path = tmp_path / "parts.zarr"
    simulate(recipe, path, 100, seed=3, progress=False, shards=(5, 9))
    assert [s.index for s in open_dataset(path, unfinished=True).shards] == [5, 6, 7, 8]
    simulate(recipe, path, 100, seed=3, progress=False, shards=(0, 5))
    assert hashes(path) == hashes(dataset)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": fake.small(sha256="b" * 64)}, "recipe: holds a dataset with recipe aaaaaaaaaaaa"),
        ({"seed": 4}, "seed: holds a dataset with seed 3, not 4"),
        ({"n": 101}, "n: holds a dataset with n 100, not 101"),
        ({"n": 0}, "n: is 0, must be 1 to 12000000$"),
        ({"seed": -1}, "seed: is -1, must be 0 to 4294967295$"),
        ({"shards": (3, 10)}, "shards: is 3:10, the dataset has shards 0:9"),
    ],
)
def test_another_dataset_is_not_continued(dataset, recipe, change, message):
    before = stamps(dataset)
    with pytest.raises(UserError, match=message):
        simulate(**{"recipe": recipe, "path": dataset, "n": 100, "seed": 3, "progress": False} | change)
    assert stamps(dataset) == before


@pytest.mark.parametrize("resume", [True, False])
def test_what_is_no_dataset_is_not_touched(tmp_path, recipe, resume):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("years of work")
    (tmp_path / "file.zarr").write_text("x")
    for name in ("notes", "file.zarr"):
        with pytest.raises(UserError, match=f"{name}: is "):
            simulate(recipe, tmp_path / name, 10, resume=resume, progress=False)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file.zarr", "notes", "thesis.txt"]


def test_another_fingerprint_is_refused_unless_mixed(dataset, recipe, monkeypatch):
    from twin.data import write

    (dataset / "manifest" / "000004.json").unlink()
    now = write.fingerprint()
    monkeypatch.setattr(write, "fingerprint", lambda: now | {"jaxlib": "9.9"})
    with pytest.raises(UserError, match=r"jaxlib: shard 0 was made with jaxlib .* this is '9\.9'"):
        simulate(recipe, dataset, 100, seed=3, progress=False)
    assert not verify(dataset).ok
    simulate(recipe, dataset, 100, seed=3, mixed=True, progress=False)
    assert verify(dataset).ok
    assert json.loads((dataset / "manifest" / "000004.json").read_text())["fingerprint"]["jaxlib"] == "9.9"


def test_the_number_of_devices_is_no_part_of_the_fingerprint(monkeypatch):
    from twin.data.manifest import fingerprint

    monkeypatch.setenv("XLA_FLAGS", "--xla_b=1 --xla_a=2")
    plain = fingerprint()
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=2 --xla_force_host_platform_device_count=4 --xla_b=1")
    assert fingerprint() == plain
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=3 --xla_b=1")
    assert fingerprint() != plain


@pytest.mark.parametrize("file", ["frame", "object_id", "manifest"])
def test_a_full_disk_leaves_no_half_shard(tmp_path, recipe, monkeypatch, file):
    path = tmp_path / "x.zarr"
    real = os.replace

    def full(source, target):
        if file in str(target) and Path(target).name in ("2", "000002.json") or f"{file}/c/2/" in str(target):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="the disk is full"):
        simulate(recipe, path, 100, seed=3, progress=False)
    assert left_over(path) == []
    assert not [p for p in path.rglob("*") if p.is_file() and "c/2" in str(p.relative_to(path))]
    assert 2 not in [s.index for s in open_dataset(path, unfinished=True).shards]
    monkeypatch.setattr(os, "replace", real)
    simulate(recipe, path, 100, seed=3, progress=False)
    assert verify(path).ok


def test_arrays_other_than_declared_are_a_fault(tmp_path, recipe, monkeypatch):
    good = recipe.shard(0, 0, 4)
    for change in ({"frame": good["frame"].astype(np.int32)}, {"extra": good["frame"]}, {"truth": good["truth"][:3]}):
        monkeypatch.setattr(fake.FakeRecipe, "shard", lambda self, *_, change=change: good | change)
        with pytest.raises(ValueError, match="instead of"):
            simulate(recipe, tmp_path / "x.zarr", 4, progress=False)


def test_overlapping_ranges_exclude_each_other_disjoint_ones_do_not(tmp_path):
    slow, quick = fake.small(pause=0.4), fake.small()
    path = tmp_path / "x.zarr"
    other = threading.Thread(target=simulate, args=(slow, path, 100, 3), kwargs={"shards": (0, 3), "progress": False})
    other.start()
    while not list(path.glob("manifest/.*.lock")):
        time.sleep(0.01)
    with pytest.raises(UserError, match="another process is writing shards 0 to 2"):
        simulate(quick, path, 100, seed=3, progress=False, shards=(2, 5))
    assert simulate(quick, path, 100, seed=3, progress=False, shards=(3, 9)).samples == 64
    other.join()
    assert len(open_dataset(path).shards) == 9
    assert left_over(path) == []


def start_child(path: Path, pause: float, n: int = 100) -> subprocess.Popen[bytes]:
    """A process that writes the dataset slowly."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import fake; from twin.data import simulate\n"
        f"simulate(fake.small(pause={pause}), {str(path)!r}, {n}, seed=3, progress=False)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    while len(list(path.glob("manifest/*.json"))) < 2:
        assert child.poll() is None
        time.sleep(0.01)
    return child


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_writer_loses_only_unfinished_shards(tmp_path, dataset, recipe, how):
    path = tmp_path / "killed.zarr"
    child = start_child(path, pause=0.15)
    child.send_signal(how)
    said = child.communicate(timeout=30)[1].decode()
    assert child.returncode != 0
    if how == signal.SIGINT:
        assert "the same command continues" in said
        assert left_over(path) == []
    before = stamps(path)
    assert 2 <= len(before) < 9
    assert {name: hashes(dataset)[name] for name in before} == hashes(path)
    simulate(recipe, path, 100, seed=3, progress=False)
    assert hashes(path) == hashes(dataset)
    assert {name: stamps(path)[name] for name in before} == before
    assert verify(path).ok
    assert left_over(path) == []


def test_two_processes_begin_one_dataset_together(tmp_path, dataset):
    path = tmp_path / "x2.zarr"
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import fake; from twin.data import simulate\n"
        f"simulate(fake.small(), {str(path)!r}, 100, seed=3, progress=False, shards=(%d, %d))"
    )
    children = [subprocess.Popen([sys.executable, "-c", code % shards]) for shards in ((0, 4), (4, 9))]
    assert [child.wait(timeout=60) for child in children] == [0, 0]
    assert hashes(path) == hashes(dataset)
    assert left_over(path) == []


@pytest.mark.parametrize("coords", [{"colour": ("g", "r", "i")}, {"band": ("g", "r")}, {"band": ("u", "r", "i")}])
def test_coordinates_that_contradict_are_a_fault(tmp_path, coords):
    spec = fake.SmallSpec((*fake.arrays(8), ArraySpec("more", (3,), "float32", ("band",), coords=coords)))
    with pytest.raises(ValueError, match="more: "):
        simulate(fake.FakeRecipe(spec), tmp_path / "x.zarr", 4, progress=False)
    assert not (tmp_path / "x.zarr").exists()


def test_progress_is_said_on_stderr(tmp_path, recipe, capsys):
    simulate(recipe, tmp_path / "x.zarr", 100)
    out, err = capsys.readouterr()
    assert out == ""
    assert "100/100" in err
    assert "samples/s" in err


def test_the_bar_says_why_it_stands_still_at_first():
    bar = Bar("ps1-lens", 100, shown=False, waiting="ps1-lens, compiling")
    task = bar._progress.tasks[0]
    assert "compiling" in task.description
    with bar as advance:
        advance(40)
    assert (task.description, task.completed) == ("ps1-lens", 40)
