"""A model folder is checked when it is loaded, and predicts the same whatever the company of a frame."""

import json
import shutil

import numpy as np
import pytest

from twin.schema import UserError
from twin.train import Model
from twin.train.augment import all_dihedrals


@pytest.fixture
def frames(make_recipe):
    arrays = make_recipe().shard(5, 0, 70)
    counts = (arrays["frame"] * arrays["noise/scale"][:, :, None, None])[:, :, 4:28, 4:28]
    return counts.astype(np.float32), arrays["noise/rms"]


def test_what_a_folder_says(trained):
    assert trained.bands == ("g", "r")
    assert trained.centre_band == 1
    assert trained.crop == 24
    assert sorted(p.name for p in trained.folder.iterdir()) == [
        "calibration",
        "card.md",
        "metrics.json",
        "posterior",
        "recipe.yaml",
    ]
    text = (trained.folder / "card.md").read_text()
    assert "An ensemble of 2 residual networks" in text
    assert trained.calibration.adjusts == ("separation",)
    assert "Separation densities are recalibrated by `calibration/simulations.json`" in text
    assert f"| lens_auc | {trained.metrics['held_out']['lens_auc']:.4g} |" in text


def test_prediction_has_the_stated_shape(trained, frames):
    prediction = trained.predict(*frames)
    assert prediction.lens.shape == (2, 70)
    assert prediction.separation.shape == (2, 70, 24)
    np.testing.assert_allclose(prediction.separation.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(prediction.edges[[0, -1]], [0.5, 4.0])
    assert np.all((prediction.lens >= 0) & (prediction.lens <= 1))


def test_company_does_not_matter(trained, frames):
    counts, rms = frames
    whole, few = trained.predict(counts, rms), trained.predict(counts[37:40], rms[37:40])
    np.testing.assert_array_equal(whole.lens[:, 37:40], few.lens)
    np.testing.assert_array_equal(whole.separation[:, 37:40], few.separation)
    assert trained.predict(counts[:0], rms[:0]).lens.shape == (2, 0)


def test_flips_and_turns_of_a_frame_are_the_same_object(trained, frames):
    counts, rms = frames[0][:3], frames[1][:3]
    first, *others = (trained.predict(np.asarray(turned), rms) for turned in all_dihedrals(counts))
    for other in others:
        np.testing.assert_allclose(other.lens, first.lens, atol=1e-5)
        np.testing.assert_allclose(other.separation, first.separation, atol=1e-5)


def test_a_loaded_copy_predicts_the_same(trained, model_copy, frames):
    again = Model.load(model_copy).predict(*frames)
    np.testing.assert_array_equal(again.separation, trained.predict(*frames).separation)


@pytest.mark.parametrize(
    "name", ["recipe.yaml", "metrics.json", "card.md", "posterior/posterior.json", "posterior/members"]
)
def test_a_missing_file_is_named(model_copy, name):
    path = model_copy / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError) as caught:
        Model.load(model_copy)
    assert str(caught.value) == f"{path}: is missing"


@pytest.mark.parametrize("name", ["metrics.json", "posterior/posterior.json"])
@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_damaged_json_is_named(model_copy, name, text):
    (model_copy / name).write_text(text)
    with pytest.raises(UserError) as caught:
        Model.load(model_copy)
    assert str(caught.value).startswith(f"{model_copy / name}: is damaged")


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (flip_a_bit, "damaged"),
        (lambda p: p.write_bytes(p.read_bytes()[:20]), "damaged"),
        (lambda p: p.unlink(), "missing"),
    ],
)
def test_damaged_weights_are_named(model_copy, damage, word):
    files = [p for p in (model_copy / "posterior/members").rglob("*") if p.is_file()]
    largest = max(files, key=lambda p: p.stat().st_size)
    damage(largest)
    with pytest.raises(UserError) as caught:
        Model.load(model_copy)
    assert str(caught.value) == f"{largest}: is {word}"


def test_weights_of_another_network_are_refused(model_copy):
    text = (model_copy / "recipe.yaml").read_text()
    assert "hidden: 32" in text
    (model_copy / "recipe.yaml").write_text(text.replace("hidden: 32", "hidden: 40"))
    with pytest.raises(UserError, match=r"the recipe's network \(2, "):
        Model.load(model_copy)


def test_no_folder_and_another_method(model_copy):
    with pytest.raises(UserError, match="no such model folder"):
        Model.load(model_copy / "nowhere")
    about = json.loads((model_copy / "posterior/posterior.json").read_text())
    (model_copy / "posterior/posterior.json").write_text(json.dumps(about | {"method": "oracle"}))
    with pytest.raises(UserError, match="describes no posterior of method ensemble"):
        Model.load(model_copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, r: (f[:, :, 1:], r), "the model takes (n, 2, 24, 24)"),
        (lambda f, r: (f[:, :1], r), "the model takes (n, 2, 24, 24)"),
        (lambda f, r: (f, r[:5]), "noise/rms: has shape (5, 2), expected (70, 2)"),
        (lambda f, r: (np.where(np.arange(70)[:, None, None, None] == 6, np.nan, f), r), "frame: object 6 has values"),
        (lambda f, r: (f, np.where(np.arange(70)[:, None] == 8, 0, r)), "noise/rms: object 8 has values"),
    ],
)
def test_unusable_input_is_named(trained, frames, change, message):
    with pytest.raises(UserError) as caught:
        trained.predict(*change(*frames))
    assert message in str(caught.value)
