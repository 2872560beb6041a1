import json

import numpy as np
import pytest

from twin.data import ingest
from twin.evaluate import config as benchmarks
from twin.evaluate import ps1_lenses
from twin.evaluate.matching import read_pairs
from twin.evaluate.real_objects import concentration, make_pairs, read_objects, select_others, select_quasars
from twin.schema import UserError


def test_an_oracle_scores_perfectly(oracle_result):
    got = oracle_result.metrics
    assert got["sep_median_rel_error"].value < 0.02  # half a bin
    assert got["auc_matched"] == (1.0, 1.0, 1.0)
    assert got["sep_cover95"].value > 0.9
    assert got["sep_median_rel_error_two_star"].value < 0.01  # it is given two stars
    assert oracle_result.n == 60
    assert oracle_result.counts == {
        "others": 60, "others_incomplete_in_crop": 0, "others_not_beside_a_lens": 0,
        "quasars": 60, "quasars_set_aside": 1, "pairs": 60, "quasars_without_partner": 0,
    }  # fmt: skip


def test_a_guess_scores_like_a_guess(sky, protocol, fake):
    got = ps1_lenses.run(fake.Guess(), sky, protocol).metrics
    low, high = got["auc_matched"].low, got["auc_matched"].high
    assert low < 0.5 < high
    assert high - low == pytest.approx(4 * np.sqrt(1 / 12 * (1 / 60 + 1 / 60)), rel=0.35)
    assert got["sep_median_rel_error"].value > 0.3


def test_what_brightness_and_concentration_alone_reach(oracle_result):
    got = oracle_result.metrics
    assert got["auc_magnitude_only"].value == pytest.approx(0.5)  # the same magnitudes on both sides
    assert got["auc_concentration_only"].value > 0.85  # two stars are wider than one


@pytest.mark.parametrize(("stated", "holds"), [(1.0, True), (1 / 1.5, False)])
def test_coverage_tells_honest_from_overconfident_and_recalibration_repairs(protocol, fake, stated, holds):
    got = ps1_lenses.run(fake.Honest(stated), fake.made_up_sky(quasars=60, seed=1), protocol).metrics
    cover = got["sep_cover68"]
    assert (cover.low <= 0.68 <= cover.high) == holds
    repaired = got["sep_cover68_recalibrated"]
    assert repaired.low <= 0.68 <= repaired.high


def test_entries_set_aside_and_halves_have_their_own_metrics(oracle_result):
    for suffix in ("", "_tune", "_held", "_set_aside", "_set_aside_tune", "_set_aside_held"):
        for name in ("sep_median_rel_error", "sep_cover68_recalibrated", "sep_median_rel_error_two_star"):
            assert f"{name}{suffix}" in oracle_result.metrics
    for suffix in ("", "_tune", "_held"):
        for name in ("auc_matched", "auc_magnitude_only", "auc_concentration_only", "lens_ece"):
            assert f"{name}{suffix}" in oracle_result.metrics


def test_a_wrong_catalogue_value_shows_as_given_but_not_when_set_aside(sky, protocol, fake):
    separation = np.array(sky.table.column("separation_arcsec").to_pylist())
    separation[3] = 1.01  # Q003, which the made-up protocol sets aside: the catalogue, not the frame, is wrong
    at = sky.table.column_names.index("separation_arcsec")
    wrong = fake.FakeDataset(sky.arrays, sky.table.set_column(at, "separation_arcsec", [separation]))
    result = ps1_lenses.run(fake.Oracle(), wrong, protocol)
    given, aside = result.metrics["sep_cover95"].value * 60, result.metrics["sep_cover95_set_aside"].value * 59
    assert given == pytest.approx(aside)  # the wrong one is not covered
    assert aside > 54
    assert result.names[result.separation_index[result.separation_aside]].tolist() == ["Q003"]


def test_json_has_the_stated_form(oracle_result):
    found = json.loads(oracle_result.as_json())
    assert found["benchmark"] == "ps1-lenses"
    assert found["n"] == 60
    for name in ("sep_median_rel_error", "sep_cover68", "sep_cover95", "auc_matched", "auc_magnitude_only"):
        assert set(found["metrics"][name]) == {"value", "low", "high"}
    assert all(v is None or np.isfinite(v) for m in found["metrics"].values() for v in m.values())


def test_selection_follows_the_protocol(sky, protocol, fake):
    table = sky.table.to_pydict()
    table["separation_arcsec"][0] = 0.99
    table["separation_arcsec"][1] = 5.01
    table["separation_arcsec"][2] = float("nan")
    table["snr_r"][4] = 20.0
    table["sled_class"][5] = "lensed_galaxies"
    table["lens_name"][60] = ""  # an object of another field
    frames = {**sky.arrays, "frame": sky.arrays["frame"].copy()}
    frames["frame"][61, :, :, :20] = -32768  # padding reaches into the crop
    changed = fake.FakeDataset(frames, fake.pyarrow.table(table))
    objects = read_objects(changed, protocol)
    assert objects.name[select_quasars(objects, protocol)].tolist() == [f"Q{i:03d}" for i in (3, *range(6, 60))]
    others, counts = select_others(objects)
    assert len(others) == 58
    assert counts == {"others": 59, "others_incomplete_in_crop": 1, "others_not_beside_a_lens": 1}


def test_crops_are_recentred_on_the_r_peak(sky, protocol):
    crops = read_objects(sky, protocol).crops
    core = crops[:, 1, 18:23, 18:23].sum((1, 2))
    assert np.all(core > 0.2 * crops[:, 1].sum((1, 2)))


def test_concentration_of_a_flat_image_is_the_ratio_of_areas(protocol):
    got = concentration(np.ones((1, 3, 40, 40)), protocol)
    assert got[0] == pytest.approx((0.75 / 2.5) ** 2, rel=0.1)


@pytest.mark.parametrize(
    ("bands", "drop", "message"),
    [
        (["g", "r", "z"], None, "made-up.zarr: bands: has the bands g r z; needed are g r i"),
        (["g", "r", "i"], "mag_r", "made-up.zarr: catalogue: the catalogue lacks mag_r"),
    ],
)
def test_another_dataset_is_refused(sky, protocol, fake, bands, drop, message):
    table = sky.table if drop is None else sky.table.drop_columns([drop])
    with pytest.raises(UserError, match=message):
        read_objects(fake.FakeDataset(sky.arrays, table, {"bands": bands}), protocol)


def test_a_dataset_without_a_catalogue_is_refused(sky, protocol, fake):
    with pytest.raises(UserError, match="has no catalogue: make it with twin ingest ps1-sled"):
        read_objects(fake.FakeDataset(sky.arrays, None), protocol)


@pytest.mark.real
def test_the_shipped_pair_list_is_what_its_rule_gives(real_data, tmp_path):
    config = benchmarks.load("ps1-lenses")
    dataset = ingest(config.source, real_data / config.folder, tmp_path / "real.zarr")
    objects = read_objects(dataset, config)
    quasars = select_quasars(objects, config)
    assert len(quasars) == 146
    assert {entry.name for entry in config.set_aside} <= set(objects.name[quasars])
    pairs = make_pairs(objects, config)
    assert sorted(pairs) == sorted(read_pairs(benchmarks.folder() / config.matching.pairs))
    magnitude = dict(zip(objects.name.tolist(), objects.mag_r.tolist(), strict=True))
    assert max(abs(magnitude[a] - magnitude[b]) for a, b in pairs) <= 0.25
    complete = dict(zip(objects.name.tolist(), objects.complete.tolist(), strict=True))
    assert all(complete[name] for pair in pairs for name in pair)
