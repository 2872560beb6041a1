"""Spectra into datasets: streamed, resumed after anything, what fails set aside by name."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.io.spectra import made
from twin.data import contact_sheet, ingest, open_dataset, verify
from twin.data.ingest.spectra import run as running
from twin.data.ingest.spectra.layout import SpectraSpec, dataset_spec
from twin.data.ingest.spectra.listing import expand
from twin.data.ingest.spectra.objects import Objects
from twin.io.spectra import GRIDS, equivalent_width, read_spectrum, resample
from twin.schema import UserError


@pytest.fixture
def lamost(tmp_path: Path) -> Path:
    """Eleven files in two folders: eight spectra of five stars, three that are to be set aside."""
    root = tmp_path / "DR"
    for number in range(4):
        made.lamost_image(root / f"a/spec-{number}.fits.gz", RA=10.0 * number, DEC=5.0, FIBERID=number)
    made.lamost_image(root / "b/spec-4.fits.gz", normalised=True, RA=10.0, DEC=5.0 + 1.4 / 3600, CLASS="GALAXY")
    made.lamost_table(root / "b/spec-5.fits.gz")
    made.lamost_image(root / "b/spec-6.fits", RA=20.0, DEC=5.0, Z=-9999, CLASS="Unknown")
    made.lamost_image(root / "b/spec-7.fits.gz", RA=30.0, DEC=5.0, CLASS="QSO")
    half = made.lamost_image(root / "a/spec-2b.fits.gz")
    half.write_bytes(half.read_bytes()[:5000])
    made.sdss(root / "b/sdss.fits.gz")
    (root / "b/notes.fits").write_text("not a spectrum")
    (root / "b/readme.txt").write_text("not listed")
    return root


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of two spectra: `shard_samples` is a cached property of the class."""
    monkeypatch.setattr(SpectraSpec, "chunk_samples", 2)
    monkeypatch.setattr(SpectraSpec, "shard_samples", 2)


def rejects(path: Path) -> dict[str, str]:
    with open(path, newline="") as file:
        return {Path(row["file"]).name: row["reason"] for row in csv.DictReader(file)}


def test_every_spectrum_once_and_the_rest_by_name(tmp_path: Path, lamost: Path) -> None:
    got = ingest("lamost", lamost, tmp_path / "X.zarr", progress=False)
    table = got.catalogue().to_pydict()
    names = [Path(name).name.split(".")[0] for name in table["file"]]
    assert names == [f"spec-{number}" for number in range(8)]
    assert rejects(tmp_path / "X.rejects.csv") == {
        "spec-2b.fits.gz": "is truncated, or no whole gzip file",
        "notes.fits": "is no FITS file",
        "sdss.fits.gz": "is of SDSS, not of LAMOST-LRS or LAMOST-MRS",
    }
    grid = GRIDS["lamost-lrs"]
    np.testing.assert_array_equal(got.axis("wavelength"), grid.wavelength)
    for row, name in enumerate(table["file"]):
        spectrum = read_spectrum(name)
        want = resample(spectrum, grid)
        for array, values in {
            "frame": want.flux,
            "noise/ivar": want.ivar,
            "mask": want.mask,
            "valid": want.valid,
        }.items():
            np.testing.assert_array_equal(got.read(array, row, row + 1)[0], values)
        assert got.read("label/ha_ew", row, row + 1)[0] == pytest.approx(equivalent_width(spectrum).value)
    assert [got.attrs["classes"][k] for k in got.read("label/class")] == [
        "STAR", "STAR", "STAR", "STAR", "GALAXY", "STAR", "UNKNOWN", "QSO"
    ]  # fmt: skip
    assert np.isnan(got.read("label/z")).tolist() == [False] * 6 + [True, False]
    assert got.read("object_id").tolist() == [0, 1, 2, 3, 1, 5, 2, 3]
    assert len(set(got.read("exposure_id").tolist())) == 1
    assert got.read("valid").sum(axis=1).tolist() == [3905] * 8
    assert table["snr_r"][4] == 19.68
    assert verify(got.path).ok
    assert sorted(p.name for p in tmp_path.iterdir()) == ["DR", "X.rejects.csv", "X.zarr"]
    assert sorted(p.name for p in got.path.iterdir() if p.is_file()) == ["catalogue.parquet", "zarr.json"]
    assert got.attrs["notes"][-1] == "3 of 11 files set aside: X.rejects.csv"
    assert got.attrs["grid"] == {**grid.attrs()}
    with pytest.raises(UserError, match=r"X\.zarr: exists already"):
        ingest("lamost", lamost, tmp_path / "X.zarr", progress=False)


@pytest.mark.parametrize("method", ["conserve", "linear"])
def test_the_grid_of_the_thesis(tmp_path: Path, lamost: Path, method: str) -> None:
    made.lamost_medium(lamost / "a/med.fits.gz")
    got = ingest("lamost", [str(lamost / "a/*.gz")], tmp_path / "X.zarr", grid="halpha", method=method, progress=False)
    assert got.n == 5
    assert got.shape("frame") == (140,)
    assert (got.attrs["grid"]["name"], got.attrs["resampling"]) == ("halpha", method)
    spectrum = read_spectrum(lamost / "a/spec-0.fits.gz")
    np.testing.assert_array_equal(got.read("frame", 1, 2)[0], resample(spectrum, GRIDS["halpha"], method).flux)
    assert got.catalogue()["hdu"].to_pylist()[0] == "COADD_R"
    native = ingest("lamost", lamost / "a/med.fits.gz", tmp_path / "M.zarr", grid="lamost-mrs-blue", progress=False)
    assert native.catalogue()["hdu"].to_pylist() == ["COADD_B"]


def test_the_other_sources(tmp_path: Path) -> None:
    made.ondrejov_table(tmp_path / "o/uk220017.fits.gz")
    made.ondrejov_frame(tmp_path / "o/ua280060.fits")
    got = ingest("ondrejov", tmp_path / "o", tmp_path / "O.zarr", progress=False)
    assert got.catalogue()["unit"].to_pylist() == ["adu", ""]
    assert got.catalogue()["rectified"].to_pylist() == [False, True]
    assert got.read("valid").mean() > 0.99
    assert not got.read("noise/ivar").any()  # the archive gives no errors
    made.sdss(tmp_path / "s/a.fits")
    sdss = ingest("sdss", tmp_path / "s", tmp_path / "S.zarr", progress=False)
    assert sdss.units("frame") == "10**-17 erg.s**-1.cm**-2.Angstrom**-1"
    assert sdss.attrs["classes"][sdss.read("label/class")[0]] == "QSO"


def same(one: Path, other: Path) -> None:
    first, second = open_dataset(one), open_dataset(other)
    assert first.n == second.n
    assert {**first.attrs, "notes": 0} == {**second.attrs, "notes": 0}  # with the hash of the catalogue
    for name in first.names:
        np.testing.assert_array_equal(first.read(name), second.read(name))


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("after", [1, 5, 9])
def test_it_resumes_and_comes_out_the_same(
    tmp_path: Path, lamost: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Interrupted at some file; what stands finished is not read again."""
    ingest("lamost", lamost, tmp_path / "whole.zarr", progress=False)
    real, seen = running.read_all, []

    def interrupted(names, *rest):  # type: ignore[no-untyped-def]
        for number, found in enumerate(real(names, *rest)):
            seen.append(found[0])
            if number == after:
                raise KeyboardInterrupt
            yield found

    monkeypatch.setattr(running, "read_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ingest("lamost", lamost, tmp_path / "X.zarr", progress=False)
    assert not (tmp_path / "X.zarr").exists()
    assert (tmp_path / "X.zarr.part").is_dir()
    before = set(seen)
    seen.clear()
    (lamost / "a/spec-0b.fits.gz").write_bytes(b"came later")  # not looked for
    with (tmp_path / "X.zarr.part/rejects.jsonl").open("a") as file:
        file.write('[3, "torn')
    monkeypatch.setattr(running, "read_all", lambda names, *rest: (seen.append(f[0]) or f for f in real(names, *rest)))
    ingest("lamost", lamost, tmp_path / "X.zarr", progress=False)
    same(tmp_path / "whole.zarr", tmp_path / "X.zarr")
    assert rejects(tmp_path / "X.rejects.csv") == rejects(tmp_path / "whole.rejects.csv")
    assert verify(tmp_path / "X.zarr").ok
    assert len(before & set(seen)) < len(before) or after == 1
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("X")) == ["X.rejects.csv", "X.zarr"]


@pytest.mark.usefixtures("small_shards")
def test_a_damaged_shard_of_an_earlier_run_is_made_again(
    tmp_path: Path, lamost: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest("lamost", lamost, tmp_path / "whole.zarr", progress=False)
    monkeypatch.setattr(running, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        ingest("lamost", lamost, tmp_path / "X.zarr", progress=False)
    monkeypatch.undo()
    part = tmp_path / "X.zarr.part/frame/c/1/0"
    part.write_bytes(part.read_bytes()[:-10])
    monkeypatch.setattr(SpectraSpec, "chunk_samples", 2)
    monkeypatch.setattr(SpectraSpec, "shard_samples", 2)
    ingest("lamost", lamost, tmp_path / "X.zarr", progress=False)
    same(tmp_path / "whole.zarr", tmp_path / "X.zarr")


def test_processes_change_nothing(tmp_path: Path, lamost: Path) -> None:
    ingest("lamost", lamost, tmp_path / "one.zarr", workers=1, progress=False)
    ingest("lamost", lamost, tmp_path / "two.zarr", workers=2, progress=False)
    same(tmp_path / "one.zarr", tmp_path / "two.zarr")


def test_another_question_is_not_mixed_in(tmp_path: Path, lamost: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        ingest("lamost", lamost, tmp_path / "X.zarr", progress=False)
    monkeypatch.undo()
    message = r"X\.zarr\.part: grid: an earlier run, not finished, has lamost-lrs: --restart begins anew"
    with pytest.raises(UserError, match=message):
        ingest("lamost", lamost, tmp_path / "X.zarr", grid="halpha", progress=False)
    got = ingest("lamost", lamost, tmp_path / "X.zarr", grid="halpha", restart=True, progress=False)
    assert got.shape("frame") == (140,)
    (tmp_path / "Y.zarr.part").mkdir()
    with pytest.raises(UserError, match="is in the way"):
        ingest("lamost", lamost, tmp_path / "Y.zarr", restart=True, progress=False)


BAD = {
    "an unknown grid": (lambda r: ("lamost", r, {"grid": "halfa"}), 'halfa: no such grid.*did you mean "halpha"'),
    "no file": (lambda r: ("lamost", r / "none", {}), "no such file or folder"),
    "a pattern of nothing": (lambda r: ("lamost", r / "*.fitz", {}), "no file fits this pattern"),
    "a folder of nothing": (lambda r: ("lamost", r / "empty", {}), "holds no FITS files"),
    "nothing of use": (lambda r: ("lamost", r / "b/[ns]*s.fits*", {}), "none of 2 files is of use; the first"),
    "an option of spectra": (lambda r: ("ps1-sled", r, {"grid": "halpha"}), "grid: goes with spectra only"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_mistakes_leave_nothing_behind(tmp_path: Path, lamost: Path, case: str) -> None:
    (lamost / "empty").mkdir()
    source, places, options = BAD[case][0](lamost)
    with pytest.raises(UserError, match=BAD[case][1]) as caught:
        ingest(source, places, tmp_path / "X.zarr", **options)
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["DR"]


def test_lists_are_sorted_and_name_nothing_twice(tmp_path: Path, lamost: Path) -> None:
    every = expand([str(lamost)])
    assert len(every) == 11
    assert every == sorted(every)
    assert expand([str(lamost), str(lamost / "a/*.gz"), every[0]]) == every
    assert expand([str(lamost / "**/*.fits*")]) == every


def test_the_document_tells_every_array() -> None:
    text = (Path(__file__).parents[2] / "docs/spectra.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| \(([^)]*)\), (\w+) \|", text, re.MULTILINE)
    spec = dataset_spec("lamost", GRIDS["halpha"], "linear")
    assert rows == [(a.name, ", ".join(("sample", *a.dims)), a.dtype) for a in spec.arrays]
    assert all(f"`{name}`" in text for name in GRIDS)


def test_xarray_opens_it(tmp_path: Path, lamost: Path) -> None:
    xarray = pytest.importorskip("xarray")
    got = ingest("lamost", lamost / "a", tmp_path / "X.zarr", grid="halpha", progress=False)
    with xarray.open_zarr(got.path) as found:
        near = found["frame"].sel(wavelength=made.CENTRE, method="nearest")
        assert float(near.wavelength) == pytest.approx(made.CENTRE, abs=0.8)
        assert near.shape == (4,)
        assert found["frame"].attrs["wavelength_unit"] == "Angstrom"


def test_objects_are_places_on_the_sky(rng: np.random.Generator) -> None:
    n = 4000
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    ra = rng.uniform(0, 360, n)
    star = rng.integers(0, n, 3 * n)
    at = (ra[star] + rng.uniform(-1, 1, 3 * n) / 3600 / np.cos(np.radians(dec[star]))) % 360
    up = dec[star] + rng.uniform(-1, 1, 3 * n) / 3600
    at[5] = np.nan
    objects, again, found = Objects(), Objects(), []
    for start in range(0, 3 * n, 500):
        part = slice(start, start + 500)
        found.append(objects.numbers(at[part], up[part], start))
    numbers = np.concatenate(found)
    first = {s: k for k, s in reversed(list(enumerate(star))) if k != 5}
    want = np.array([5 if k == 5 else first[s] for k, s in enumerate(star)])
    np.testing.assert_array_equal(numbers, want)
    again.restore(at[:6000], up[:6000], numbers[:6000], 0)
    np.testing.assert_array_equal(again.numbers(at[6000:], up[6000:], 6000), numbers[6000:])
    poles = Objects().numbers(np.array([0.0, 180.0, 0.0]), np.array([89.9999, 89.9999, 89.0]), 0)
    assert poles.tolist() == [0, 0, 2]  # 0.72 arcsec apart, across the pole


def test_a_sheet_of_spectra(tmp_path: Path, lamost: Path) -> None:
    from PIL import Image

    wave = made.wavelengths()
    line = np.abs(wave - made.CENTRE) < 5
    made.lamost_image(lamost / "a/spec-9.fits", rows={0: made.profile(wave, -5.0), 1: np.where(line, 0, 0.04)})
    one = ingest("lamost", lamost / "a", tmp_path / "one.zarr", grid="halpha", progress=False)
    two = ingest("lamost", lamost / "b", tmp_path / "two.zarr", progress=False)
    contact_sheet(one.path, tmp_path / "a.png", beside=two.path, per_class=5)
    with Image.open(tmp_path / "a.png") as image:
        sheet = np.asarray(image.convert("RGB")).astype(int)
    red = (sheet[..., 0] - sheet[..., 1] > 100).sum()
    assert red > 5  # what is masked is shown
    assert (sheet.sum(axis=2) < 150).sum() > 2000
    assert sheet.shape[0] > 5 * 100  # one class and four


def readers_of(pid: int) -> list[int]:
    """Processes that a process started, as /proc has them."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_ended_from_outside(tmp_path: Path, kind: signal.Signals) -> None:
    """A child process is interrupted or killed while two processes read for it: they end, the same command goes on."""
    for number in range(1500):
        source = tmp_path / "one.fits"
        if number == 0:
            made.lamost_image(source)
        os.makedirs(tmp_path / "DR", exist_ok=True)
        os.link(source, tmp_path / f"DR/spec-{number:05d}.fits")
    command = [sys.executable, "-m", "twin.cli", "ingest", "lamost", "DR", "-o", "X.zarr", "--workers", "2"]
    child = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    part = tmp_path / "X.zarr.part/manifest/000000.json"
    began = time.monotonic()
    while not (tmp_path / "X.zarr.part/rejects.jsonl").exists() and child.poll() is None:
        assert time.monotonic() - began < 120
        time.sleep(0.05)
    while len(readers := readers_of(child.pid)) < 3:  # two, and Python's tracker of resources
        assert time.monotonic() - began < 120
        time.sleep(0.05)
    child.send_signal(kind)
    _, err = child.communicate(timeout=120)
    if kind == signal.SIGINT:
        assert child.returncode == 130, err
        assert err.strip().splitlines()[-1] == "interrupted; resume with the same command"
        assert "Traceback" not in err
    assert not part.exists()
    while any(Path(f"/proc/{pid}").exists() for pid in readers):
        assert time.monotonic() - began < 150
        time.sleep(0.1)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    assert "Traceback" not in done.stderr
    assert open_dataset(tmp_path / "X.zarr").n == 1500


@pytest.mark.real
def test_the_real_files(tmp_path: Path, real_data: Path) -> None:
    """All 227 in three datasets and a list: none lost, repeats of a star share a number."""
    root = real_data / "spectra"
    with open(root / "index.csv", newline="") as file:
        index = {row["file"]: row for row in csv.DictReader(file)}
    count = {"lamost": 193, "ondrejov": 28, "sdss": 4}
    found: dict[str, int] = {}
    for source, n in count.items():
        got = ingest(source, root, tmp_path / f"{source}.zarr", progress=False)
        assert got.n == n
        with open(tmp_path / f"{source}.rejects.csv", newline="") as file:
            assert len(list(csv.DictReader(file))) == 227 - n
        names = [str(Path(name).relative_to(root)) for name in got.catalogue()["file"].to_pylist()]
        found |= dict(zip(names, got.read("object_id").tolist(), strict=True))
        assert verify(got.path).ok
    assert ingest("lamost", root, tmp_path / "h.zarr", grid="halpha", progress=False).n == 195  # with the MRS pair
    groups: dict[str, set[int]] = {}
    for name, number in found.items():
        if index[name]["group"]:
            groups.setdefault(index[name]["group"], set()).add(number)
    assert len(groups) == 23
    assert all(len(numbers) == 1 for numbers in groups.values())
    assert len(set().union(*groups.values())) == 23
