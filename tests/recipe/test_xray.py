"""X-ray recipes: telemetry, shards that come out the same, labels and events that agree with frames; mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from twin.data import Dataset, simulate, verify
from twin.data.events import read_events
from twin.data.export import export
from twin.io.xray import read_events as read_list
from twin.priors.xray.field import KINDS
from twin.recipe import list_recipes, load_recipe
from twin.recipe.xray import XrayRecipe
from twin.schema import UserError
from twin.simulators.lobster.field import CHANNELS, CONDITIONS, OPTICS

SMALL = ("pointing.samples=8", "frame.psf=33", "events=true", "frame.times=4")


@pytest.fixture(scope="module")
def test_recipe() -> XrayRecipe:
    found = load_recipe("ep-wxt-test")
    assert isinstance(found, XrayRecipe)
    return found


@pytest.fixture(scope="module")
def small() -> XrayRecipe:
    found = load_recipe("ep-wxt", SMALL)
    assert isinstance(found, XrayRecipe)
    return found


def test_the_recipes_are_shipped() -> None:
    assert {"ep-wxt", "leia", "ep-wxt-test"} <= {name for name, _ in list_recipes()}


def test_half_of_the_test_telemetry_is_outside_the_training_prior(test_recipe: XrayRecipe) -> None:
    training = test_recipe.config.telemetry
    rows = test_recipe.exposures(1, 0, 512)
    each = test_recipe.config.pointing.samples
    outside = np.zeros(len(rows), bool)
    for name, law in training.items():
        low, high = law.support
        values = rows[:, CHANNELS.index(name)]
        outside |= (values < low - 1e-3) | (values > high + 1e-3)
    odd = np.arange(512) // each % 2 == 1
    np.testing.assert_array_equal(outside, odd)
    # the sky and the training telemetry are those of ep-wxt, key for key
    folder = Path(__file__).parents[2] / "twin" / "configs" / "recipes"
    one, other = (yaml.safe_load((folder / f"{name}.yaml").read_text()) for name in ("ep-wxt", "ep-wxt-test"))
    apart = ("name", "description", "classes", "outside", "train")
    assert {k: v for k, v in one.items() if k not in apart} == {k: v for k, v in other.items() if k not in apart}
    assert other["classes"]["crab"] / sum(other["classes"].values()) == pytest.approx(0.5)


def test_telemetry_is_of_the_sample_alone(test_recipe: XrayRecipe) -> None:
    rows = test_recipe.exposures(3, 0, 200)
    np.testing.assert_array_equal(test_recipe.exposures(3, 100, 50), rows[100:150])
    each = test_recipe.config.pointing.samples
    optics = rows[:, : len(OPTICS)]
    np.testing.assert_array_equal(optics[:each], np.repeat(optics[:1], each, axis=0))
    assert (optics[each] != optics[0]).sum() > 5
    conditions = rows[:, len(OPTICS) : len(OPTICS) + len(CONDITIONS)]
    assert len(np.unique(conditions[:, 0])) == 200
    sky = rows[:, -3:]
    assert sky[:, 1].min() > -90
    assert np.sin(np.deg2rad(sky[:, 1])).mean() == pytest.approx(0, abs=0.15)


MISTAKES = {
    "unknown band edge": ("bands.soft=[0.5 keV, 0.4 keV]", "bands.soft: ends at 0.4 keV, before it begins"),
    "overlap": ("bands.medium=[0.9 keV, 2 keV]", "bands.medium: overlaps the band before it"),
    "outside": ("bands.hard=[2 keV, 6 keV]", "bands.hard: reaches outside the 0.5-4 keV of ep-wxt"),
    "bins": ("frame.bins=100", "frame.bins: 100 bins do not divide the 4096 pixels of ep-wxt"),
    "psf": ("frame.psf=64", "frame.psf: must be odd, not 64"),
    "class": ("classes.crabs=1", 'classes.crabs: unknown class; did you mean "crab"?'),
    "telemetry": (
        "telemetry.tilts={law: uniform, low: 1.0, high: 2.0}", 'telemetry.tilts: unknown key; did you mean "tilt"?',
    ),
    "law": ("telemetry.tilt={law: uniform, low: -1.0, high: 2.0}", "telemetry.tilt: reaches from -1 to 2, outside"),
    "time": ("frame.axis=time", "frame.axis: axis: time needs times"),
    "flux": ("sky.galactic.most=0.1", "least 0.3 is not below most 0.1"),
    "spectra": ("sky.galactic.spectra.index=null", "needs the law index"),
    "transient": ("sky.transients.nova={}", "sky.transients.nova"),
    "instrument": ("instrument=ep-wxx", 'unknown lobster-eye instrument "ep-wxx"'),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name: str) -> None:
    change, words = MISTAKES[name]
    with pytest.raises(UserError) as caught:
        load_recipe("ep-wxt", [change])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_shards_are_the_same_again_and_labels_agree(small: XrayRecipe) -> None:
    one, again = small.shard(5, 2, 24), small.shard(5, 2, 24)
    for name, values in one.items():
        np.testing.assert_array_equal(again[name], values, err_msg=name)
    assert (small.shard(6, 2, 24)["frame"] != one["frame"]).any()
    number = one["label/n_sources"]
    listed = np.isfinite(one["label/sources"]).all(2)
    np.testing.assert_array_equal(listed.sum(1), number)
    np.testing.assert_array_equal((one["label/kind"] > 0).sum(1), number)
    counts = np.nan_to_num(one["label/sources"][:, :, 2])
    bright = np.array([small.classes[k] == "crab" for k in one["label/class"]])
    assert bright.sum() == round(24 * 0.3)
    assert (one["label/kind"][bright] == KINDS.index("bright")).any(1).all()
    sky = one["noise/sky"].sum(1) * small.frame.bins**2
    total = one["frame"].sum((1, 2, 3)).astype(float)
    # sources that are not listed, single pixels and strays beside what labels and noise/sky tell
    stray = np.array([small.classes[k] == "stray" for k in one["label/class"]])
    more = (total - sky - counts.sum(1))[~stray]
    assert (more > -6 * np.sqrt(1.3 * total[~stray])).all()
    assert (more < 0.02 * total[~stray] + 6 * np.sqrt(1.3 * total[~stray]) + 200).all()


@pytest.mark.slow
def test_events_are_the_frames(small: XrayRecipe, tmp_path: Path) -> None:
    path = tmp_path / "x.zarr"
    simulate(small, path, 12, seed=1, progress=False)
    assert verify(path).ok
    dataset = Dataset(path)
    frames, cubes = dataset.read("frame"), dataset.read("input/times")
    exposure = dataset.read("telemetry")[:, CHANNELS.index("exposure")]
    edges = np.array([[50, 100], [100, 200], [200, 400]])
    for k in range(12):
        events = read_events(dataset, k)
        place = (events["DETY"] - 1) // 32, (events["DETX"] - 1) // 32
        image = np.zeros((3, 128, 128), int)
        for band, (low, high) in enumerate(edges):
            inside = (events["PI"] >= low) & (events["PI"] < high)
            np.add.at(image[band], tuple(v[inside] for v in place), 1)
        np.testing.assert_array_equal(image, frames[k])
        np.testing.assert_array_equal(cubes[k].sum(0), frames[k].sum(0))
        assert events["TIME"].min() >= 0
        assert events["TIME"].max() < exposure[k]
        assert (np.diff(events["TIME"]) >= 0).all()
        assert set(np.unique(events["GRADE"])) <= set(range(13))
    # the frames that are counted without keeping events are the same photons
    plain = load_recipe("ep-wxt", [*SMALL[:2], "frame.times=4"]).shard(1, 0, 12)
    assert (plain["frame"] != frames).sum() <= 4  # a photon on an edge, which another program rounds the other way
    export(path, tmp_path / "lists", "events", number=3)
    for k in range(3):
        file, events = read_list(tmp_path / "lists" / f"{k:08d}.evt")
        assert len(events) == frames[k].sum()
        assert file.exposure == pytest.approx(float(exposure[k]))
        ra, dec = dataset.read("telemetry", [k])[0, -3:-1]
        found = file.projection().sky(np.array([3072.5]), np.array([3072.5]))
        assert (found[0][0], found[1][0]) == pytest.approx((ra, dec), abs=1e-4)
    damaged = path / "events" / "000000.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-9] + b"PAR1-junk")
    report = verify(path)
    assert not report.ok
    assert "events/000000.parquet" in str(report)
