"""A user's mistake ends in exit code 2 and one line that names the file, key or option, and leaves nothing behind."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from tests.data.fake import small
from twin.cli import main
from twin.data import simulate


@dataclass(frozen=True)
class Case:
    """A command, run in an empty folder, and words that its one line must hold.

    files   written before: name -> text or bytes
    before  what else is done to the folder before
    """

    command: str
    words: tuple[str, ...]
    files: dict[str, str | bytes] | None = None
    before: Callable[[Path], object] | None = None


def snapshot(folder: Path) -> dict[str, str]:
    """Every file and folder with a hash of its bytes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
    return found


def check(case: Case, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in (case.files or {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    if case.before:
        case.before(folder)
    before = snapshot(folder)
    capsys.readouterr()
    code = main(shlex.split(case.command))
    out, err = capsys.readouterr()
    assert code == 2, f"exit code {code}; {out}; {err}"
    lines = err.splitlines()
    assert len(lines) == 1, f"not one line: {err}"
    for word in case.words:
        assert word in lines[0]
    assert "Traceback" not in out + err
    assert snapshot(folder) == before, "something was left behind"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TWIN_REAL_DATA", raising=False)
    return tmp_path


# --- the command line itself

USAGE = {
    "unknown command": Case("simulat ps1-lens", ("simulat", "Did you mean 'simulate'")),
    "unknown option": Case("simulate ps1-lens -o a.zarr -n 8 --sed 1", ("--sed", "--seed")),
    "missing option": Case("simulate ps1-lens -n 8", ("--out",)),
    "missing argument": Case("verify", ("DATASET",)),
    "no samples": Case("simulate ps1-lens -o a.zarr -n 0", ("--number", "1")),
    "number that is none": Case("simulate ps1-lens -o a.zarr -n many", ("--number", "integer")),
    "negative seed": Case("simulate ps1-lens -o a.zarr -n 8 --seed -1", ("--seed", "0")),
    "one argument too many": Case("verify a.zarr b.zarr", ("b.zarr",)),
}


@pytest.mark.parametrize("name", USAGE)
def test_usage(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(USAGE[name], folder, capsys)


# --- instruments and telemetry


def truncated_fits(folder: Path) -> None:
    """A FITS table of which the last block is gone."""
    from astropy.table import QTable

    QTable({"airmass": np.linspace(1, 2, 2000)}).write(folder / "t.fits")
    data = (folder / "t.fits").read_bytes()
    (folder / "t.fits").write_bytes(data[: len(data) - 2 * 2880])


SHIPPED = Path(str(files("twin"))) / "configs" / "instruments" / "ps1.yaml"
PS1 = SHIPPED.read_text()
GOOD = "time,airmass,seeing\n,,arcsec\n2016-01-01T05:00:00,1.1,1.0\n2016-01-01T05:10:00,1.2,1.1\n"


def instrument(pattern: str, new: str, *words: str) -> Case:
    """The Pan-STARRS1 file with the first match replaced; the message gives the line."""
    found = re.search(pattern, PS1)
    assert found is not None
    line = PS1.count("\n", 0, found.start()) + 1 + new.count("\n")
    changed = PS1[: found.start()] + new + PS1[found.end() :]
    return Case(
        "psf mine.yaml --telemetry t.csv -o psf", (f"mine.yaml:{line}:", *words), {"mine.yaml": changed, "t.csv": GOOD}
    )


def telemetry(content: str | bytes, *words: str) -> Case:
    return Case("psf ps1 --telemetry t.csv -o psf", ("t.csv", *words), {"t.csv": content})


OBSERVATORY = {
    "unknown instrument": Case("psf ps2 --telemetry t.csv -o psf", ("ps2", 'did you mean "ps1"'), {"t.csv": GOOD}),
    "no such instrument file": Case("psf gone.yaml --telemetry t.csv -o psf", ("gone.yaml",), {"t.csv": GOOD}),
    "unknown key": instrument("diameter:", "diametre:", "diametre", 'did you mean "diameter"'),
    "unknown channel": instrument("jitter_rms:", "jitter_rsm:", "jitter_rsm", 'did you mean "jitter_rms"'),
    "unknown unit": instrument("diameter: .*", "diameter: 1.8 metre", "diameter", "metre"),
    "unit of another kind": instrument("pixel_scale: .*", "pixel_scale: 0.25 s", "pixel_scale", "arcsec"),
    "missing unit": instrument("diameter: .*", "diameter: 1.8", "diameter", "unit"),
    "negative sigma": instrument("sigma: [0-9]+ nm", "sigma: -9 nm", "channels.z", "negative"),
    "a number that is none": instrument("diameter: .*", "diameter: nan m", "diameter"),
    "unknown band": instrument("median: {g:", "median: {u:", "channels.seeing.median"),
    "a key that stands twice": instrument("obscuration: .*", "obscuration: 0.62\nobscuration: 0.5", "obscuration"),
    "no YAML": Case("psf mine.yaml --telemetry t.csv -o psf", ("mine.yaml:3", "not valid YAML"), {"mine.yaml": "a: 1\nb: [1,\n"}),
    "empty YAML": Case("psf mine.yaml --telemetry t.csv -o psf", ("mine.yaml",), {"mine.yaml": ""}),
    "YAML that asks for code": Case(
        "psf mine.yaml --telemetry t.csv -o psf", ("mine.yaml:1",), {"mine.yaml": "!!python/object/apply:os.abort []\n"}
    ),
    "no such telemetry": Case("psf ps1 --telemetry gone.csv -o psf", ("gone.csv", "no such file")),
    "empty telemetry": telemetry("", "empty"),
    "telemetry without rows": telemetry("airmass,seeing\n,arcsec\n", "no rows"),
    "NaN telemetry": telemetry(GOOD.replace("1.2,1.1", "1.2,nan"), ":4", "seeing", "no value"),
    "infinite telemetry": telemetry(GOOD.replace("1.2,1.1", "inf,1.1"), ":4", "airmass", "infinite"),
    "telemetry outside its range": telemetry(GOOD.replace("1.2,1.1", "0.2,1.1"), ":4", "airmass", "outside"),
    "telemetry in an unknown unit": telemetry(GOOD.replace("arcsec", "arcsecs"), "seeing", "arcsecs"),
    "telemetry in a unit of another kind": telemetry(GOOD.replace("arcsec", "kg"), "seeing", "kg"),
    "telemetry without a unit": telemetry(GOOD.replace("arcsec", ""), "seeing", "no unit"),
    "telemetry that runs backwards": telemetry(GOOD.replace("05:10", "04:10"), ":4", "time", "earlier"),
    "telemetry of another instrument": telemetry("a,b\n,\n1,2\n", "no column"),
    "binary rubbish": telemetry(bytes(range(256)) * 4, "not a table"),
    "a FITS image": telemetry(b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800), "holds no table"),
    "a truncated FITS table": Case("psf ps1 --telemetry t.fits -o psf", ("t.fits", "HDU 1"), before=truncated_fits),
}


@pytest.mark.parametrize("name", OBSERVATORY)
def test_instruments_and_telemetry(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(OBSERVATORY[name], folder, capsys)


# --- datasets


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset of three shards."""
    path = tmp_path_factory.mktemp("written") / "good.zarr"
    simulate(small(), path, 30, seed=1, progress=False)
    return path


def truncate(pattern: str) -> Callable[[Path], None]:
    """Cut the last file that matches to half its length."""

    def cut(folder: Path) -> None:
        path = sorted(p for p in folder.glob(pattern) if p.is_file())[-1]
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return cut


def remove(pattern: str) -> Callable[[Path], None]:
    """Remove the last file that matches."""
    return lambda folder: sorted(p for p in folder.glob(pattern) if p.is_file())[-1].unlink()


def flip(pattern: str) -> Callable[[Path], None]:
    """Flip one bit in the middle of the last file that matches."""

    def change(folder: Path) -> None:
        path = sorted(p for p in folder.glob(pattern) if p.is_file())[-1]
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    return change


DATASETS = {
    "verify: no such dataset": Case("verify god.zarr", ("god.zarr", "no such dataset", 'did you mean "good.zarr"')),
    "verify: a file": Case("verify notes.zarr", ("notes.zarr", "is a file"), {"notes.zarr": "not a dataset"}),
    "verify: a folder that is no Zarr": Case("verify folder", ("folder", "no Zarr"), {"folder/readme": "hello"}),
    "verify: another program's Zarr": Case(
        "verify other.zarr",
        ("other.zarr", "no dataset that twin wrote"),
        {"other.zarr/zarr.json": '{"zarr_format": 3, "node_type": "group", "attributes": {}}'},
    ),
    "verify: truncated metadata": Case("verify good.zarr", ("zarr.json", "damaged"), before=truncate("*/zarr.json")),
    "verify: truncated shard": Case("verify good.zarr", ("frame/c/2", "shard 2"), before=truncate("*/frame/c/2/**/*")),
    "verify: flipped bit": Case("verify good.zarr", ("frame/c/0", "shard 0"), before=flip("*/frame/c/0/**/*")),
    "verify: missing shard": Case("verify good.zarr", ("truth/c/1", "missing"), before=remove("*/truth/c/1/**/*")),
    "verify: missing manifest": Case("verify good.zarr", ("manifest/000002",), before=remove("*/manifest/*.json")),
    "inspect: no such dataset": Case("inspect god.zarr -o sheet.png", ("god.zarr", "good.zarr")),
    "inspect: no such dataset beside": Case("inspect good.zarr -o sheet.png --beside gone.zarr", ("gone.zarr",)),
    "inspect: the picture is a folder": Case(
        "inspect good.zarr -o pictures", ("pictures", "folder"), {"pictures/readme": "hello"}
    ),
    "inspect: a file where a folder is needed": Case(
        "inspect good.zarr -o notes/sheet.png", ("notes", "file"), {"notes": "hello"}
    ),
    "ingest: unknown source": Case("ingest ps1-sledd . -o real.zarr", ("ps1-sledd", 'did you mean "ps1-sled"')),
    "ingest: no such folder": Case("ingest ps1-sled gone -o real.zarr", ("gone", "no such folder")),
    "ingest: a folder without that source": Case("ingest ps1-sled . -o real.zarr", ("ps1-sled",)),
    "ingest: a table without its columns": Case(
        "ingest ps1-sled . -o real.zarr",
        ("lenses.csv", "no such column"),
        {"ps1_sled_lenses/lenses.csv": "name,right_ascension\nA,1\n"},
    ),
}


@pytest.mark.parametrize("name", DATASETS)
def test_datasets(name: str, folder: Path, written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(written, folder / "good.zarr")
    check(DATASETS[name], folder, capsys)


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
