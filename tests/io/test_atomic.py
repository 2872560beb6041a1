"""Files are whole or absent, whatever goes wrong while they are written."""

from __future__ import annotations

import errno
import os

import pytest

from twin.io import atomic
from twin.schema import UserError


def names(folder):
    return sorted(p.name for p in folder.rglob("*"))


def test_bytes_text_and_json_arrive_and_leave_nothing_beside_them(tmp_path):
    atomic.write_bytes(tmp_path / "new" / "deep" / "a.bin", b"\x00\x01")
    atomic.write_text(tmp_path / "b.txt", "é")
    atomic.write_json(tmp_path / "c.json", {"x": [1, 2.5]})
    assert (tmp_path / "new/deep/a.bin").read_bytes() == b"\x00\x01"
    assert (tmp_path / "b.txt").read_bytes() == "é".encode()
    assert (tmp_path / "c.json").read_text() == '{\n "x": [\n  1,\n  2.5\n ]\n}\n'
    assert names(tmp_path) == ["a.bin", "b.txt", "c.json", "deep", "new"]


def test_json_without_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        atomic.write_json(tmp_path / "c.json", float("nan"))
    assert names(tmp_path) == []


def test_failure_keeps_the_old_file_and_drops_the_new(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def failing():
        with atomic.atomic_path(target) as part:
            part.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, step):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(UserError, match=r"a\.txt: the disk is full") as caught:
        atomic.write_text(tmp_path / "a.txt", "x")
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_file_where_a_folder_is_needed(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file, not a folder|folder is needed"):
        atomic.write_text(tmp_path / "file" / "a.txt", "x")


def test_an_unknown_error_of_the_disk_stays_what_it_is(tmp_path):
    with pytest.raises(OSError, match="odd") as caught, atomic.atomic_path(tmp_path / "a"):
        raise OSError(errno.EIO, "odd")
    assert not isinstance(caught.value, UserError)


def test_folder_appears_whole(tmp_path):
    with atomic.atomic_folder(tmp_path / "out") as part:
        (part / "sub").mkdir()
        (part / "sub" / "a").write_text("1")
        assert not (tmp_path / "out").exists()
    assert names(tmp_path) == ["a", "out", "sub"]


def test_folder_fails_as_a_whole(tmp_path):
    def interrupted():
        with atomic.atomic_folder(tmp_path / "out") as part:
            (part / "a").write_text("1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []


def test_folder_takes_an_empty_place_but_replaces_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    with atomic.atomic_folder(tmp_path / "empty") as part:
        (part / "a").write_text("1")
    with pytest.raises(UserError, match="exists already"), atomic.atomic_folder(tmp_path / "empty") as part:
        (part / "b").write_text("2")
    assert names(tmp_path) == ["a", "empty"]


def test_parts_of_a_killed_writer_are_cleared(tmp_path):
    for name in (".0.0123abcd.part", ".00.0123abcd.part", "0"):
        (tmp_path / name).write_text("")
    atomic.clear_parts(tmp_path / "0")
    assert names(tmp_path) == [".00.0123abcd.part", "0"]


def test_a_target_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    atomic.check_target(tmp_path / "new" / "folders" / "x.png")
    atomic.check_target(tmp_path / "file")  # it may be overwritten
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="device or a pipe"):
        atomic.write_text(tmp_path / "pipe", "hello")
    assert (tmp_path / "pipe").is_fifo()
    for bad, words in ((tmp_path, "folder"), (tmp_path / "file" / "x" / "y.png", "is a file, not a folder")):
        with pytest.raises(UserError, match=words):
            atomic.check_target(bad)
    with pytest.raises(UserError, match="a name of its own"), atomic.atomic_folder("."):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "pipe"]
