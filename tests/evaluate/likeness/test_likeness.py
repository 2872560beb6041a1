"""The test of likeness must see what it is there to see, and nothing where there is nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.evaluate.likeness import made
from twin.cli import main
from twin.data import open_dataset
from twin.evaluate.likeness import boosted, likeness, network
from twin.evaluate.likeness.folds import auc_by_object, folds, ranks
from twin.evaluate.likeness.frames import Frames, border, matched, read
from twin.evaluate.likeness.statistics import statistics
from twin.schema import UserError

N = 120
ALTERED = {"wide": {"fwhm": 4.4}, "white": {"correlated": False}, "same": {}}


def on_one_footing(values: np.ndarray) -> Frames:
    sky, rms = border(values)
    pixels = ((values - sky[..., None, None]) / rms[..., None, None]).astype(np.float32)
    names = np.arange(len(values)).astype(str)
    return Frames(pixels, sky / rms, rms, np.arange(len(values)), names)


def named(frames: Frames) -> dict[str, np.ndarray]:
    values, names = statistics(frames, made.BANDS)
    return dict(zip(names, values.T, strict=True))


@pytest.fixture(scope="module")
def pairs():
    """What passes for real, and three sets of simulations: statistics and pixels of both, labels."""
    real = on_one_footing(made.frames(N, 1))
    found = {}
    for name, change in ALTERED.items():
        other = on_one_footing(made.frames(N, 2, **change))
        values = np.concatenate([statistics(one, made.BANDS)[0] for one in (real, other)])
        found[name] = (values, np.concatenate([real.pixels, other.pixels]), np.repeat([1, 0], N))
    return found


@pytest.mark.parametrize(("name", "low", "high"), [("wide", 0.9, 1.0), ("white", 0.9, 1.0), ("same", 0.4, 0.6)])
def test_statistics_see_a_wide_psf_and_white_noise_and_nothing_else(pairs, name, low, high):
    values, _, label = pairs[name]
    fold = folds(np.arange(2 * N), label)
    score, drop = boosted.cross_validate(values, label, fold)
    found = auc_by_object(ranks(score, fold), label, np.arange(2 * N), repeats=200)
    assert low <= found.value <= high
    assert found.low < found.value < found.high or found.value > 0.99
    names = np.array(statistics(on_one_footing(made.frames(2, 0)), made.BANDS)[1])
    first = names[np.argsort(-drop[:, 0])[0]]
    if name == "wide":
        assert first.startswith(("size", "concentration", "peak"))
    if name == "white":
        assert first.startswith("noise")


def test_the_network_sees_white_noise(pairs, monkeypatch):
    monkeypatch.setattr(network, "STEPS", 80)
    network._compiled.cache_clear()
    _, pixels, label = pairs["white"]
    fold = np.where(folds(np.arange(2 * N), label) < 3, 1, 0)  # two folds: half the time
    score = network.cross_validate(pixels, label, fold)
    network._compiled.cache_clear()
    assert auc_by_object(ranks(score, fold), label, np.arange(2 * N), repeats=50).value > 0.9


def test_no_object_is_on_both_sides_of_a_fold(rng):
    group = rng.integers(0, 40, 300)
    label = (group < 15).astype(int)
    fold = folds(group, label)
    for value in np.unique(group):
        assert len(np.unique(fold[group == value])) == 1
    for value in (0, 1):
        dealt = [len(np.unique(group[(fold == k) & (label == value)])) for k in range(5)]
        assert max(dealt) - min(dealt) <= 1
    leaky = rng.integers(0, 5, 300)  # rows dealt out: what the test above must not pass
    assert any(len(np.unique(leaky[group == value])) > 1 for value in np.unique(group))


def test_ranks_forget_the_offsets_of_folds():
    fold = np.repeat([0, 1], 50)
    label = np.tile([0, 1], 50)
    score = label + 10.0 * fold  # right in each fold
    assert auc_by_object(ranks(score, fold), label, np.arange(100), repeats=10).value == 1
    assert auc_by_object(score, label, np.arange(100), repeats=10).value < 0.8


def test_statistics_measure_what_their_names_say():
    round_, wide = (on_one_footing(made.frames(60, 3, fwhm=f)) for f in (4.0, 5.0))
    values, larger = named(round_), named(wide)
    assert np.median(larger["size r"]) > 1.1 * np.median(values["size r"])
    assert abs(np.median(values["x r"])) < 0.2
    # (1/8, 3/4, 1/8) smooths to 2 * 0.75 / 8 / (0.75^2 + 2 / 64) = 0.316 at one pixel, its square along the diagonal
    assert np.mean(values["noise lag 0,1 r"]) == pytest.approx(0.316, abs=0.03)
    assert np.mean(values["noise lag 1,1 r"]) == pytest.approx(0.1, abs=0.03)
    assert np.mean(values["noise lag 1,-1 r"]) == pytest.approx(0.1, abs=0.03)
    white = on_one_footing(made.frames(60, 3, correlated=False))
    flat = named(white)
    assert abs(np.mean(flat["noise lag 0,1 r"])) < 0.03
    assert np.mean(flat["noise fine r"]) == pytest.approx(0, abs=0.03)


def test_frames_come_to_one_footing(tmp_path):
    values = made.frames(40, 1) + 3.0
    values[5, 0, 12, 12] = np.nan
    data = open_dataset(made.dataset(tmp_path / "a.zarr", values, "observed"))
    got = read(data, ("r", "g"), 20)
    assert len(got) == 39  # one has a hole
    assert got.pixels.shape == (39, 2, 20, 20)
    np.testing.assert_allclose(got.rms.mean(), 5, rtol=0.05)  # wings of the stars raise both a little
    np.testing.assert_allclose(np.median(got.sky * got.rms), 15, atol=1)
    sky, rms = got.sky[0, 0] * got.rms[0, 0], got.rms[0, 0]
    np.testing.assert_allclose(got.pixels[0, 0], (5 * values[0, 1, 2:-2, 2:-2] - sky) / rms, atol=1e-3)
    assert len(read(data, ("r",), 20, ("star",))) == 20
    halves = [read(data, ("r",), 20, (), half).name for half in ("tune", "held")]
    fields = [{int(name.split("-")[1]) // 2 for name in half} for half in halves]
    assert not fields[0] & fields[1]
    assert len(halves[0]) + len(halves[1]) == 40


def test_matched_objects_are_as_bright():
    real, other = (on_one_footing(made.frames(n, 4, brightness=b)) for n, b in ((50, 20.0), (400, 40.0)))
    chosen = other.take(matched(real, other))
    bright = [np.log(one.pixels[:, 1].sum((1, 2))).mean() for one in (real, other, chosen)]
    assert len(chosen) >= 25
    assert abs(bright[2] - bright[0]) < 0.3 * abs(bright[1] - bright[0])


def test_the_command_is_deterministic_and_writes_a_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(network, "STEPS", 6)
    network._compiled.cache_clear()
    real = made.dataset(tmp_path / "real.zarr", made.frames(60, 1), "observed")
    sims = made.dataset(tmp_path / "sims.zarr", made.frames(60, 2, correlated=False))
    for name in ("a", "b"):
        assert main(["evaluate", "--likeness", str(real), str(sims), "-o", str(tmp_path / name)]) == 0
    network._compiled.cache_clear()
    assert "auc_statistics" in capsys.readouterr().out
    first, second = ((tmp_path / name / "metrics.json").read_text() for name in ("a", "b"))
    assert first == second
    assert (tmp_path / "a/report.html").read_text() == (tmp_path / "b/report.html").read_text()
    metrics = json.loads(first)["metrics"]
    assert metrics["auc"] == max(metrics["auc_statistics"], metrics["auc_network"], key=lambda one: one["value"])
    assert metrics["auc_statistics"]["value"] > 0.9
    page = (tmp_path / "a/report.html").read_text()
    assert "noise lag" in page
    assert page.count("<img") == 49


BAD = {
    "other scale": ({"pixel_scale": 0.1}, {}, "pixel_scale: has pixels of 0.1 arcsec"),
    "other bands": ({"bands": ["u", "z"]}, {}, "bands: has the bands u z"),
    "pictures": ({"stretched": True}, {}, "stretched: holds stretched pictures"),
    "class": ({}, {"classes": "sta"}, '--class: has no class sta, only star, other; did you mean "star"'),
    "classes": ({}, {"classes": "a:b:c"}, "--class: is REAL or REAL:SIMULATED"),
    "half": ({}, {"half": "hold"}, '--half: must be tune or held, not hold; did you mean "held"'),
    "crop": ({}, {"crop": 99}, "--crop: must be 16 to 24"),
    "few": ({}, {"classes": "star", "half": "tune"}, "objects chosen, at least 10 are needed"),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_one_line(tmp_path, name):
    attrs, options, words = BAD[name]
    real = made.dataset(tmp_path / "real.zarr", made.frames(24, 1), "observed")
    sims = made.dataset(tmp_path / "sims.zarr", made.frames(24, 2), **attrs)
    with pytest.raises(UserError, match=words.replace("(", r"\(")) as caught:
        likeness(real, sims, tmp_path / "out", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_evaluate_wants_one_thing_or_the_other(tmp_path, capsys):
    for words, said in (
        ([], "MODEL: is missing"),
        (["model"], "BENCHMARK: is missing"),
        (["model", "ps1-lenses", "--half", "tune"], "--half: goes with --likeness"),
        (["model", "--likeness", "a", "b"], "--likeness: compares two datasets"),
    ):
        assert main(["evaluate", "-o", str(tmp_path / "x"), *words]) == 2
        assert said in capsys.readouterr().err
