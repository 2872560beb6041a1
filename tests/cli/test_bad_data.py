"""A user's mistake ends in exit code 2 and one line that names the file, key or option, and leaves nothing behind.

Here: datasets, real sources, models and benchmarks.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.cases import Case, check, flip, remove, replace, truncate

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
    "inspect: the picture is the folder above": Case("inspect good.zarr -o ..", ("..", "folder")),
    "inspect: the picture is this folder": Case("inspect good.zarr -o .", (".", "folder")),
    "inspect: a picture that is no PNG": Case("inspect good.zarr -o sheet.jpg", ("sheet.jpg", "PNG", ".png")),
    "inspect: a file where a folder is needed": Case(
        "inspect good.zarr -o notes/sheet.png", ("notes", "file"), {"notes": "hello"}
    ),
    "ingest: unknown source": Case("ingest ps1-sledd . -o real.zarr", ("ps1-sledd", 'did you mean "ps1-sled"')),
    "ingest: no such folder": Case("ingest ps1-sled gone -o real.zarr", ("gone", "no such folder")),
    "ingest: a folder without that source": Case("ingest ps1-sled . -o real.zarr", ("ps1-sled",)),
    "ingest: two folders for a source of images": Case(
        "ingest ps1-sled a b -o x.zarr", ("ps1-sled", "reads one folder")
    ),
    "ingest: a grid for images": Case("ingest ps1-sled . -o x.zarr --grid halpha", ("grid", "goes with spectra only")),
    "ingest: no such grid": Case("ingest lamost . -o x.zarr --grid halfa", ("halfa", 'did you mean "halpha"')),
    "ingest: a pattern of nothing": Case("ingest lamost '*.fits.gz' -o x.zarr", ("*.fits.gz", "no file fits")),
    "ingest: no spectrum": Case(
        "ingest lamost a.fits b.fits -o x.zarr",
        ("a.fits", "none of 2 files is of use", "no FITS file"),
        {"a.fits": "wavelength", "b.fits": "flux"},
    ),
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


MODELS = {
    "no such model": Case("predict modle sims.zarr -o c.parquet", ("modle", "no such model folder")),
    "a folder that is no model": Case("predict empty sims.zarr -o c.parquet", ("empty",), {"empty/readme": "hello"}),
    "a model without its posterior": Case(
        "predict model sims.zarr -o c.parquet",
        ("posterior/members", "missing"),
        before=lambda folder: shutil.rmtree(folder / "model/posterior/members"),
    ),
    "a model without its recipe": Case(
        "predict model sims.zarr -o c.parquet", ("recipe.yaml", "missing"), before=remove("model/recipe.yaml")
    ),
    "a model whose weights rotted": Case(
        "predict model sims.zarr -o c.parquet", ("posterior/members", "damaged"), before=flip("model/posterior/**/d/*")
    ),
    "a model with a truncated recipe": Case(
        "predict model sims.zarr -o c.parquet", ("model/",), before=truncate("model/recipe.yaml")
    ),
    "a model whose recipe was changed": Case(
        "predict model sims.zarr -o c.parquet",
        ("posterior/members", "the recipe's network"),
        before=replace("model/recipe.yaml", "hidden: 8", "hidden: 9"),
    ),
    "a model with an unknown key": Case(
        "predict model sims.zarr -o c.parquet",
        ("recipe.yaml:", "train.hiddden", "unknown key"),
        before=replace("model/recipe.yaml", "  members:", "  hiddden: 8\n  members:"),
    ),
    "a dataset of other bands": Case("predict model good.zarr -o c.parquet", ("good.zarr", "bands", "g r i")),
    "a dataset without a finished shard": Case(
        "predict model sims.zarr -o c.parquet", ("sims.zarr", "shard"), before=remove("sims.zarr/manifest/*.json")
    ),
    "a damaged frame": Case(
        "predict model sims.zarr -o c.parquet", ("sims.zarr", "shard 0"), before=flip("sims.zarr/frame/c/**/*")
    ),
    "unknown calibration": Case(
        "predict model sims.zarr -o c.parquet --calibration simulation",
        ("model: --calibration", "there are none, simulations", 'did you mean "simulations"'),
    ),
    "a calibration outside the model": Case(
        "evaluate model simulated -o out --calibration ../metrics", ("--calibration", "there are none, simulations")
    ),
    "a damaged calibration": Case(
        "predict model sims.zarr -o c.parquet", ("simulations.json", "damaged"), before=truncate("model/calibration/*")
    ),
    "model and dataset the wrong way round": Case(
        "predict sims.zarr model -o c.parquet", ("sims.zarr", "is a dataset, a model folder is needed")
    ),
    "the catalogue is a folder": Case(
        "predict model sims.zarr -o out.fits", ("out.fits", "folder"), {"out.fits/a": ""}
    ),
    "the catalogue lies below a file": Case(
        "predict model sims.zarr -o notes/c.parquet", ("notes/c.parquet", "file"), {"notes": "hello"}
    ),
    "the metrics are the report's folder": Case("evaluate model simulated -o out --json out", ("--json", "out")),
    "the metrics lie below a file": Case(
        "evaluate model simulated -o out --json notes/m.json", ("notes/m.json", "file"), {"notes": "hello"}
    ),
    "the metrics are a folder": Case("evaluate model simulated -o out --json model", ("model", "folder")),
    "unknown catalogue format": Case("predict model sims.zarr -o c.xls", ("c.xls", ".parquet")),
    "unknown benchmark": Case("evaluate model ps1-lens -o out", ("ps1-lens", 'did you mean "ps1-lenses"')),
    "no real observations": Case("evaluate model ps1-lenses -o out", ("TWIN_REAL_DATA", "--data")),
    "real observations elsewhere": Case("evaluate model ps1-lenses -o out --data gone", ("gone", "no such folder")),
    "a model of other bands": Case("evaluate model ps1-lenses -o out --data good.zarr", ("model", "bands g r,")),
    "the report is a file": Case("evaluate model simulated -o notes", ("notes", "file"), {"notes": "hello"}),
}


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str, folder: Path, written: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(written, folder / "good.zarr")
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    check(MODELS[name], folder, capsys)
