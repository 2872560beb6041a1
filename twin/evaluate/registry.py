"""From the name of a benchmark to its verdict: JSON, catalogue and report."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

import twin
from twin.data import Dataset, ingest, open_dataset
from twin.evaluate import config as benchmarks
from twin.evaluate import decam_seeing, decam_stars, ps1_lenses, simulated, xray_fields
from twin.evaluate.catalogue import calibration_words, columns, write_catalogue
from twin.evaluate.report import render
from twin.evaluate.result import Result
from twin.evaluate.xray import wxt44
from twin.io.atomic import check_target, make_folder, plain_disk_errors, write_text
from twin.schema import UserError
from twin.train.model import Model


def evaluate(
    model_dir: str | Path,
    benchmark_name: str,
    out_dir: str | Path,
    json_path: str | Path,
    data: str | Path | None = None,
    say: Callable[[str], None] = print,
    calibration: str | None = None,
) -> Result | decam_stars.Found | decam_seeing.Found | xray_fields.Found | wxt44.Found:
    """Score a model, or a calibration; write `report.html`, the catalogue (`.parquet`, `.fits`) into out_dir and the
    metrics as JSON.

    data    an ingested dataset, or a folder of real observations as `TWIN_REAL_DATA` names one (the default), which is
            ingested into out_dir once. Not used by benchmarks on simulations.
    say     takes lines of progress
    calibration  of the model, by name, as `Model.load` takes it; of ep-wxt44 the folder that `twin calibrate` wrote
    Nothing but the ingested data is written before all scores are known. Raises UserError for an unknown benchmark,
    missing real data, a model folder without its files, or a model or dataset of other bands.
    """
    config = benchmarks.load(benchmark_name)
    out = Path(out_dir)
    if out.exists() and not out.is_dir():
        raise UserError("is a file, a folder is needed", file=out)
    if Path(json_path).absolute() == out.absolute():
        raise UserError("is the folder of the report, the metrics are a file", file=json_path, key="--json")
    check_target(json_path)
    check_target(out / "report.html")
    if isinstance(config, benchmarks.DecamStars):  # a calibration is judged, not a network
        return decam_stars.judge(model_dir, config, find_data(config, data), out, Path(json_path), say)
    if isinstance(config, benchmarks.DecamSeeing):
        return decam_seeing.judge(model_dir, config, find_data(config, data), out, Path(json_path), say)
    if isinstance(config, benchmarks.XrayFields):
        return xray_fields.judge(model_dir, config, out, Path(json_path), say)
    if isinstance(config, benchmarks.EpWxt44):
        real = find_data(config, data)
        return wxt44.judge(model_dir, config, real, out, Path(json_path), say, calibration)
    where = None if isinstance(config, benchmarks.Simulated) else find_data(config, data)
    model = Model.load(model_dir, calibration)
    if isinstance(config, benchmarks.Simulated):
        result = simulated.run(model, config, say)
        source = f"simulated, seed {config.seed}"
    else:
        if tuple(model.bands) != config.bands:
            raise UserError(
                f"sees the bands {' '.join(model.bands)}, {config.benchmark} has {' '.join(config.bands)}",
                file=model_dir,
            )
        if model.crop != config.crop:
            raise UserError(
                f"sees {model.crop}x{model.crop} pixels, {config.benchmark} has {config.crop}",
                file=model_dir,
                key="crop",
            )
        assert where is not None
        dataset = open_ingested(config, where, out, say)
        result = ps1_lenses.run(model, dataset, config, say)
        source = str(config.source)
    about = {"model": Path(model_dir).name, "data": source, "twin": twin.__version__}
    write(result, out, Path(json_path), about | calibration_words(model.calibration))
    return result


def find_data(
    config: benchmarks.RealLenses | benchmarks.DecamStars | benchmarks.DecamSeeing | benchmarks.EpWxt44,
    data: str | Path | None,
) -> Path:
    """The folder that holds a benchmark's real observations. Raises UserError where there is none."""
    given = data if data is not None else os.environ.get("TWIN_REAL_DATA")
    if not given:
        raise UserError(
            f"{config.benchmark} needs real observations: set it to their folder, or give --data", key="TWIN_REAL_DATA"
        )
    path = Path(given)
    if not path.is_dir():
        raise UserError(
            "no such folder of real observations", file=path, key="TWIN_REAL_DATA" if data is None else "--data"
        )
    return path


def open_ingested(config: benchmarks.RealLenses, where: Path, out: Path, say: Callable[[str], None]) -> Dataset:
    """The dataset at `where`; raw observations are ingested into `out` first, unless that was done before."""
    if (where / "zarr.json").exists():
        return open_dataset(where)
    cached = out / f"{config.source}.zarr"
    if not cached.exists():
        folder = where / config.folder if (where / config.folder).is_dir() else where
        say(f"ingesting {config.source} from {folder}")
        with plain_disk_errors(out):
            make_folder(out)
        ingest(config.source, folder, cached)
    return open_dataset(cached)


def write(result: Result, out: Path, json_path: Path, about: dict[str, str]) -> None:
    """The report, the catalogue in two formats and the JSON."""
    rows = np.arange(len(result.names))
    cols = columns(result.names, result.prediction.take(rows), position=result.position)
    meta = {**about, "benchmark": result.benchmark}
    page = render(result, about)
    with plain_disk_errors(out):
        make_folder(out)
    write_text(out / "report.html", page)
    for ending in ("parquet", "fits"):
        write_catalogue(out / f"catalogue.{ending}", cols, meta)
    write_text(json_path, result.as_json())
