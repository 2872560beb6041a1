"""A user's mistake ends in exit code 2 and one line that names the file, key or option, and leaves nothing behind.

Here: the command line itself, the machine's mistakes, and the program's own.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from tests.cli.cases import Case, check
from twin.cli import main

USAGE = {
    "unknown command": Case("simulat ps1-lens", ("simulat", "Did you mean 'simulate'")),
    "unknown option": Case("simulate ps1-lens -o a.zarr -n 8 --sed 1", ("--sed", "--seed")),
    "missing option": Case("simulate ps1-lens -n 8", ("--out",)),
    "missing argument": Case("verify", ("DATASET",)),
    "no samples": Case("simulate ps1-lens -o a.zarr -n 0", ("--number", "1")),
    "number that is none": Case("simulate ps1-lens -o a.zarr -n many", ("--number", "integer")),
    "more samples than a dataset holds": Case(
        "simulate ps1-lens -o a.zarr -n 99999999999999999999", ("n: is 99999999999999999999, must be 1 to",)
    ),
    "a seed of more than 32 bits": Case("simulate ps1-lens -o a.zarr -n 8 --seed 4294967296", ("--seed", "4294967295")),
    "a dataset without a name": Case("simulate ps1-lens -o '' -n 8", (".", "a name of its own")),
    "negative seed": Case("simulate ps1-lens -o a.zarr -n 8 --seed -1", ("--seed", "0")),
    "verify: --mixed without --heal": Case("verify a.zarr --mixed", ("--mixed", "goes with --heal")),
    "verify: --set without --heal": Case("verify a.zarr --set a=1", ("--set", "goes with --heal")),
    "one argument too many": Case("verify a.zarr b.zarr", ("b.zarr",)),
}


@pytest.mark.parametrize("name", USAGE)
def test_usage(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(USAGE[name], folder, capsys)


def test_a_full_disk(
    folder: Path, written: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk says at the last moment, in fsync, that it is full."""

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    shutil.copytree(written, folder / "good.zarr")
    monkeypatch.setattr(os, "fsync", full)
    check(Case("inspect good.zarr -o sheet.png", ("sheet.png", "disk is full")), folder, capsys)


def test_a_file_larger_than_allowed(folder: Path, written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the system refuses without our knowing why is named in its own words."""
    resource = pytest.importorskip("resource")
    shutil.copytree(written, folder / "good.zarr")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        check(Case("inspect good.zarr -o sheet.png", ("File too large",)), folder, capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_interrupt_says_how_to_go_on(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("twin.data.verify", interrupted)
    assert main(["verify", "a.zarr"]) == 130
    assert capsys.readouterr().err == "interrupted; resume with the same command\n"


def test_a_bug_keeps_its_traceback(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only mistakes are made short: a ValueError of the program's own must not pass for one."""

    def broken(path: Path) -> None:
        raise ValueError("operands could not be broadcast")

    monkeypatch.setattr("twin.data.verify", broken)
    with pytest.raises(ValueError, match="broadcast"):
        main(["verify", "a.zarr"])
