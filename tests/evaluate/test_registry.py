import json

import numpy as np
import pytest
from astropy.io import fits
from pyarrow import parquet

from twin.data.ingest import write_records
from twin.data.ingest.records import Records
from twin.evaluate import config as benchmarks
from twin.evaluate import evaluate, predict, registry, simulated
from twin.io.layout import ArraySpec, DatasetSpec
from twin.schema import UserError


def on_disk(sky, path, bands=("g", "r", "i"), catalogue=True):
    """The made-up sky as a dataset."""
    n = len(sky.arrays["frame"])
    arrays = {**sky.arrays, "object_id": np.arange(n) + 100}
    axes = {1: ("band",), 3: ("band", "y", "x"), 0: ()}
    spec = DatasetSpec(
        tuple(ArraySpec(name, v.shape[1:], str(v.dtype), axes[v.ndim - 1]) for name, v in arrays.items()),
        {"bands": list(bands), "pixel_scale": 0.25},
    )
    table = sky.table.to_pydict() if catalogue else {"name": [f"x{i}" for i in range(n)]}
    write_records(Records(spec, arrays, table, "0" * 64), "made-up", path)
    return path


@pytest.fixture
def model(monkeypatch, fake):
    """A folder name that loads as the oracle."""

    class Loader:
        @staticmethod
        def load(folder, calibration=None):
            return fake.Oracle()

    monkeypatch.setattr(registry, "Model", Loader)
    monkeypatch.setitem(predict.__globals__, "Model", Loader)
    return "model"


@pytest.fixture
def shipped(monkeypatch, protocol):
    """`ps1-lenses` with the made-up pair list."""
    monkeypatch.setattr(registry.benchmarks, "load", lambda name: protocol)


def test_evaluate_writes_json_catalogue_and_report(tmp_path, sky, model, shipped):
    data = on_disk(sky, tmp_path / "real.zarr")
    said = []
    result = evaluate(model, "ps1-lenses", tmp_path / "out", tmp_path / "scores.json", data=data, say=said.append)
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["metrics"]["auc_matched"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    table = parquet.read_table(tmp_path / "out" / "catalogue.parquet")
    assert table.num_rows == len(result.names) == 120
    np.testing.assert_allclose(table.column("separation").to_numpy()[:60], result.separation_truth, rtol=0.05)
    assert fits.getdata(tmp_path / "out" / "catalogue.fits").shape == (120,)
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")
    assert said


def test_evaluate_ingests_raw_observations_once(tmp_path, sky, model, shipped, monkeypatch):
    raw = tmp_path / "raw"
    (raw / "imaging").mkdir(parents=True)
    calls = []

    def ingest(source, folder, out):
        calls.append((source, folder))
        on_disk(sky, out)

    monkeypatch.setattr(registry, "ingest", ingest)
    monkeypatch.setenv("TWIN_REAL_DATA", str(raw))
    for _ in range(2):
        evaluate(model, "ps1-lenses", tmp_path / "out", tmp_path / "scores.json")
    assert calls == [("ps1-sled", raw / "imaging")]


def test_predict_writes_a_row_an_object(tmp_path, sky, model):
    predict(model, on_disk(sky, tmp_path / "real.zarr"), tmp_path / "cat.ecsv")
    from astropy.table import QTable

    table = QTable.read(tmp_path / "cat.ecsv")
    assert list(table["object"][:2]) == ["Q000", "Q001"]
    assert np.all((np.asarray(table["lens_probability"]) > 0.5) == (np.arange(120) < 60))
    truth = np.array(sky.table.column("separation_arcsec").to_pylist()[:60])
    np.testing.assert_allclose(table["separation"].value[:60], truth, rtol=0.05)
    assert (table.meta["calibration"], table.meta["calibrated"]) == ("none", "nothing")


def test_predict_in_blocks_is_predict_at_once(tmp_path, sky, model, monkeypatch):
    data = on_disk(sky, tmp_path / "real.zarr")
    predict(model, data, tmp_path / "one.parquet")
    monkeypatch.setitem(predict.__globals__, "BLOCK", 50)
    predict(model, data, tmp_path / "two.parquet")
    assert parquet.read_table(tmp_path / "one.parquet").equals(parquet.read_table(tmp_path / "two.parquet"))


def test_incomplete_cutouts_are_flagged(tmp_path, sky, model, fake):
    frames = {**sky.arrays, "frame": sky.arrays["frame"].copy()}
    frames["frame"][61, :, :, :20] = -32768
    path = on_disk(fake.FakeDataset(frames, sky.table), tmp_path / "real.zarr")
    predict(model, path, tmp_path / "cat.parquet")
    flag = parquet.read_table(tmp_path / "cat.parquet").column("flag").to_pylist()
    assert [i for i, words in enumerate(flag) if "cutout incomplete" in words] == [61]


def test_an_object_without_a_band_is_not_predicted(tmp_path, sky, model, fake, caplog):
    arrays = {k: v.copy() for k, v in sky.arrays.items()}
    arrays["frame"][61, 0] = -32768
    arrays["noise/rms"][[61, 70, 71], [0, 1, 2]] = np.nan, 0, np.inf
    path = on_disk(fake.FakeDataset(arrays, sky.table), tmp_path / "real.zarr")
    with caplog.at_level("WARNING"):
        predict(model, path, tmp_path / "cat.parquet")
    assert "3 of 120 objects lack a band" in caplog.text
    table = parquet.read_table(tmp_path / "cat.parquet")
    lost = np.flatnonzero(["not predicted: a band is missing" == words for words in table["flag"].to_pylist()])
    assert lost.tolist() == [61, 70, 71]
    for name in ("lens_probability", "separation", "separation_q975"):
        assert np.flatnonzero(np.isnan(table[name].to_numpy())).tolist() == [61, 70, 71]
    predict(model, on_disk(sky, tmp_path / "whole.zarr"), tmp_path / "whole.parquet")
    others = np.setdiff1d(np.arange(120), lost)
    assert table.take(others).equals(parquet.read_table(tmp_path / "whole.parquet").take(others))


class MadeUpRecipe:
    """Draws the made-up sky."""

    name, bands = "made-up", ("g", "r", "i")

    def __init__(self, fake):
        self.fake = fake
        self.asked = []

    def shard(self, seed, shard, count):
        self.asked.append((seed, shard, count))
        sky = self.fake.made_up_sky(quasars=count // 2, seed=shard)
        half = count // 2
        separation = np.array(sky.table.column("separation_arcsec").to_pylist(), np.float32)
        labels = {"label/lens": (np.arange(count) < half).astype(np.uint8), "label/separation": separation}
        return {**sky.arrays, **labels}


def test_simulated_benchmark_scores_fresh_frames_of_the_recipe(monkeypatch, fake):
    monkeypatch.setattr(simulated, "SHARD", 60)
    oracle = fake.Oracle()
    oracle.recipe = MadeUpRecipe(fake)
    config = benchmarks.load("simulated").model_copy(update={"n": 100})
    result = simulated.run(oracle, config)
    assert oracle.recipe.asked == [(config.seed, 0, 60), (config.seed, 1, 40)]
    assert result.n == 100
    assert result.counts == {"samples": 100, "lenses": 50, "lenses_with_separation": 50}
    assert result.metrics["lens_auc"].value == 1.0
    assert result.metrics["sep_median_rel_error"].value < 0.02
    assert len(set(result.names)) == 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"benchmark": "ps1-lense"}, 'benchmark: no benchmark "ps1-lense".*did you mean "ps1-lenses"'),
        ({"data": None}, "TWIN_REAL_DATA: ps1-lenses needs real observations"),
        ({"data": "nowhere"}, "nowhere: --data: no such folder of real observations"),
        ({"bands": ("g", "r", "z")}, "real.zarr: bands: has the bands g r z; needed are g r i"),
        ({"catalogue": False}, "real.zarr: catalogue: the catalogue lacks"),
        ({"sees": ("u", "g", "r")}, "model: sees the bands u g r, ps1-lenses has g r i"),
        ({"crop": 32}, "model: crop: sees 32x32 pixels, ps1-lenses has 40"),
    ],
)
def test_mistakes_end_in_one_line_and_write_nothing(tmp_path, sky, model, fake, monkeypatch, change, message):
    monkeypatch.delenv("TWIN_REAL_DATA", raising=False)
    path = on_disk(sky, tmp_path / "real.zarr", change.get("bands", ("g", "r", "i")), change.get("catalogue", True))
    if "sees" in change:
        monkeypatch.setattr(fake.Oracle, "bands", change["sees"])
    monkeypatch.setattr(fake.Oracle, "crop", change.get("crop", 40))
    with pytest.raises(UserError, match=message) as caught:
        evaluate(model, change.get("benchmark", "ps1-lenses"), tmp_path / "out", tmp_path / "s.json",
                 data=change.get("data", path))  # fmt: skip
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["real.zarr"]


def test_predict_refuses_other_bands_and_unknown_endings(tmp_path, sky, model):
    path = on_disk(sky, tmp_path / "real.zarr", ("g", "r", "z"))
    with pytest.raises(UserError, match="has the bands g r z; needed are g r i"):
        predict(model, path, tmp_path / "cat.parquet")
    with pytest.raises(UserError, match="unknown catalogue format"):
        predict(model, path, tmp_path / "cat.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["real.zarr"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path, model):
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="out: is a file, a folder is needed"):
        evaluate(model, "simulated", tmp_path / "out", tmp_path / "s.json")


def test_a_model_folder_without_its_files_is_refused(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(UserError):
        evaluate(tmp_path / "model", "simulated", tmp_path / "out", tmp_path / "s.json")
    assert not (tmp_path / "out").exists()
