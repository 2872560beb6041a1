"""A training learns, resumes to the identical weights after Ctrl-C and kill -9, and refuses what is not its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from twin.io.layout import decode
from twin.schema import UserError
from twin.train import fit, train
from twin.train.frames import recentre_crop

HERE = Path(__file__).parent


def digest(model):
    return json.loads((model.folder / "posterior/posterior.json").read_text())["sha256_values"]


def predict(model, arrays):
    return model.predict(recentre_crop(*decode(arrays), model.centre_band, model.crop)[0], arrays["noise/rms"])


def test_learns_in_three_hundred_steps(trained, make_recipe):
    """Guessing: AUC 0.5, relative error 0.33 for the best constant."""
    arrays = make_recipe().shard(99, 0, 400)
    prediction = predict(trained, arrays)
    lens = arrays["label/lens"] == 1
    correct = (prediction.lens_mean() > 0.5) == lens
    error = np.abs(prediction.separation_quantile(0.5)[lens] / arrays["label/separation"][lens] - 1)
    assert correct.mean() > 0.9
    assert np.median(error) < 0.12
    assert trained.metrics["held_out"]["lens_auc"] > 0.97
    assert trained.metrics["held_out"]["n"] == 256  # of 512; the other half fitted the calibration


def test_leaves_intervals_that_cover_what_they_say(trained):
    held_out, calibration = trained.metrics["held_out"], trained.calibration
    spread = (0.68 * 0.32 / held_out["n_separation"]) ** 0.5
    assert abs(held_out["sep_cover68"] - 0.68) < 4 * spread
    assert calibration.temperature != 1  # the mean over flips is sharper than its density
    assert (calibration.slope, calibration.offset) == (1, 0)


def test_members_differ(trained, make_recipe):
    arrays = make_recipe().shard(99, 0, 8)
    separation = predict(trained, arrays).separation
    assert np.abs(separation[0] - separation[1]).max() > 1e-3


def test_ctrl_c_resumes_to_the_same_weights(tiny_recipe, tmp_path, monkeypatch):
    recipe = tiny_recipe(steps=5)
    whole = train(recipe, tmp_path / "whole", progress=False)

    def interrupted(*args):
        for number, batch in enumerate(original(*args)):
            if number == 3:
                raise KeyboardInterrupt
            yield batch

    original = fit.pool_batches
    monkeypatch.setattr(fit, "pool_batches", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "parts", progress=False)
    assert sorted(p.name for p in (tmp_path / "parts/checkpoints").iterdir()) == ["3"]
    with pytest.raises(UserError, match="its training is unfinished"):
        type(whole).load(tmp_path / "parts")
    with pytest.raises(UserError, match="holds a training with another seed; begin anew with --restart"):
        train(recipe, tmp_path / "parts", seed=1, progress=False)
    monkeypatch.setattr(fit, "pool_batches", original)
    resumed = train(recipe, tmp_path / "parts", progress=False)
    assert digest(resumed) == digest(whole)
    assert not (tmp_path / "parts/checkpoints").exists()
    stamp = (tmp_path / "parts/card.md").stat().st_mtime_ns
    again = train(recipe, tmp_path / "parts", progress=False)  # finished: loaded, not trained
    assert digest(again) == digest(whole)
    assert (tmp_path / "parts/card.md").stat().st_mtime_ns == stamp
    other = train(recipe, tmp_path / "parts", seed=1, resume=False, progress=False)
    assert digest(other) != digest(whole)


KILLED = """
import sys
from twin.numerics.devices import setup_devices
setup_devices(2)
sys.path.insert(0, sys.argv[1])
from conftest import TINY
from fake import FakeRecipe
from twin.train import train
train(FakeRecipe(size=20, **(TINY | {"steps": 60, "checkpoint_seconds": 0.01})), sys.argv[2], progress=False)
"""


def last_checkpoint(out):
    folder = out / "checkpoints"
    return max((int(name) for name in os.listdir(folder) if name.isdigit()), default=0) if folder.is_dir() else 0


def test_kill_9_resumes_to_the_same_weights(tiny_recipe, tmp_path):
    recipe = tiny_recipe(steps=60, checkpoint_seconds=0.01)
    out = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(HERE), str(out)])
    end = time.monotonic() + 120
    while time.monotonic() < end and last_checkpoint(out) < 5 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was to be killed in the middle"
    assert 5 <= last_checkpoint(out) < 60
    resumed = train(recipe, out, progress=False)
    whole = train(tiny_recipe(steps=60, checkpoint_seconds=0.01), tmp_path / "whole", progress=False)
    assert digest(resumed) == digest(whole)


def test_a_refusal_before_the_first_step_leaves_nothing(tiny_recipe, tmp_path, monkeypatch):
    recipe = tiny_recipe(steps=6)
    shard = recipe.shard
    monkeypatch.setattr(recipe, "shard", lambda *args: shard(*args) | {"noise/rms": np.zeros((64, 2), np.float32)})
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        with pytest.raises(UserError, match="must be finite and positive"):
            train(recipe, tmp_path / name, progress=False)
    assert [p.name for p in tmp_path.rglob("*")] == ["empty"]


def test_from_a_dataset_on_disk(tiny_recipe, tmp_path, monkeypatch):
    from twin.data import simulate

    recipe = tiny_recipe(steps=6)
    simulate(recipe, tmp_path / "x.zarr", 40, progress=False)  # 2 whole steps an epoch
    whole = train(recipe, tmp_path / "whole", dataset=tmp_path / "x.zarr", progress=False)

    original = fit.dataset_batches

    def interrupted(*args):
        for number, batch in enumerate(original(*args)):
            if number == 3:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(fit, "dataset_batches", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "parts", dataset=tmp_path / "x.zarr", progress=False)
    monkeypatch.setattr(fit, "dataset_batches", original)
    assert digest(train(recipe, tmp_path / "parts", dataset=tmp_path / "x.zarr", progress=False)) == digest(whole)

    with pytest.raises(UserError, match="was made by another version of fake"):
        train(type(recipe)(size=24), tmp_path / "other", dataset=tmp_path / "x.zarr", progress=False)
    with pytest.raises(UserError, match="has 40 samples, one step of all members takes 64"):
        train(tiny_recipe(batch=32), tmp_path / "big", dataset=tmp_path / "x.zarr", progress=False)


def test_a_folder_of_other_things_is_left_alone(tiny_recipe, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    for resume in (True, False):
        with pytest.raises(UserError, match="holds other files and no model"):
            train(tiny_recipe(), tmp_path, resume=resume, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(UserError, match="is a file, a model is a folder"):
        train(tiny_recipe(), tmp_path / "thesis.tex", progress=False)


def test_a_mistake_leaves_nothing_behind(tiny_recipe, tmp_path):
    with pytest.raises(UserError, match='fake.yaml.*train.*unknown key; did you mean "steps"'):
        train(tiny_recipe(stepps=3), tmp_path / "m", progress=False)
    with pytest.raises(UserError, match='"i" is none of the bands g, r'):
        train(tiny_recipe(centre_band="i"), tmp_path / "m", progress=False)
    assert not (tmp_path / "m").exists()
