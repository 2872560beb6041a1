"""Frames drawn again: what is right passes, what was altered is found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

from twin.cli import main
from twin.data import Dataset, heal, simulate, verify
from twin.data.manifest import read_manifest
from twin.data.shard import write_shard
from twin.data.witness import templates, witness
from twin.recipe import Recipe, load_recipe
from twin.recipe.reference import ReferenceRecipe
from twin.schema import UserError

pytest.importorskip("galsim")
pytest.importorskip("lenstronomy")

FRAMES = 6


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """Lensed quasars, 24 pixels a side."""
    return load_recipe("ps1-lens", ["frame.npix=24", "frame.subsamples=1", "classes={lens_quasar: 1}"])


@pytest.fixture(scope="module")
def frames(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("witness") / "x.zarr"
    simulate(recipe, path, FRAMES, seed=4, progress=False)
    return path


def altered(
    frames: Path, folder: Path, recipe: Recipe, name: str, change: Callable[[np.ndarray, Dataset], np.ndarray]
) -> Path:
    """A copy of the dataset in which one array is another; every hash is right."""
    path = Path(shutil.copytree(frames, folder / "altered.zarr"))
    dataset = Dataset(path)
    arrays = {each: dataset.read(each) for each in dataset.names}
    arrays[name] = change(arrays[name], dataset).astype(arrays[name].dtype)
    write_shard(path, recipe.spec, 0, FRAMES, arrays, seed=4, recipe_sha256=recipe.sha256, fingerprint={})
    assert verify(path).ok
    return path


def test_frames_as_they_were_written(frames: Path) -> None:
    report = witness(frames, FRAMES, progress=False)
    assert report.ok, str(report)
    assert len(report.frames) == FRAMES
    assert np.median([f.residual for f in report.frames]) < 1e-4
    assert np.abs(report.z).max() < 4
    assert abs(report.excess) < 4
    assert "lens_quasar" in str(report)
    assert "galsim" in str(report)


def larger_rings(truth: np.ndarray, dataset: Dataset) -> np.ndarray:
    return np.where(np.array(dataset.coordinate("parameter")) == "theta_E", 1.02 * truth, truth)


def wider_psf(telemetry: np.ndarray, dataset: Dataset) -> np.ndarray:
    seeing = np.char.startswith(dataset.coordinate("channel"), "seeing_")
    return np.where(seeing & ~np.char.startswith(dataset.coordinate("channel"), "seeing_s"), 1.1 * telemetry, telemetry)


def two_swapped(frame: np.ndarray, dataset: Dataset) -> np.ndarray:
    return frame[[1, 0, *range(2, FRAMES)]]


@pytest.mark.parametrize(
    ("name", "change", "count"), [("truth", larger_rings, 3), ("telemetry", wider_psf, 2), ("frame", two_swapped, 6)]
)
def test_what_was_altered_is_found(
    recipe: Recipe,
    frames: Path,
    tmp_path: Path,
    name: str,
    change: Callable[[np.ndarray, Dataset], np.ndarray],
    count: int,
) -> None:
    report = witness(altered(frames, tmp_path, recipe, name, change), count, progress=False)
    assert not report.ok
    assert max(f.residual for f in report.frames) < 1e-3  # the engines agree: it is the frame that does not belong


def test_templates_are_what_small_changes_do() -> None:
    """A Gaussian on the x axis: broader is its second derivative, separations move it outwards."""
    axis = np.arange(33) - 16.0

    def blob(x: float, width: float) -> np.ndarray:
        return (np.exp(-0.5 * ((axis - x) ** 2 + axis[:, None] ** 2) / width**2) / width**2)[None]

    level, brightness, x, _, width, apart = templates(blob(5, 3))
    assert np.all(level == 1)
    np.testing.assert_array_equal(brightness, blob(5, 3))
    for template, change, size in (
        (x, blob(5.01, 3) - blob(4.99, 3), 0.02),
        (width, blob(5, 3.01) - blob(5, 2.99), 0.06),  # sigma^2 grows by 2 sigma 0.02 = 2 x 0.06
    ):
        assert np.abs(template - change / size).max() < 0.05 * np.abs(template).max()  # differences of whole pixels
    assert apart[0, 16, 16 + 7] > 0 > apart[0, 16, 16 + 3]


def test_the_reference_engine_makes_the_same_dataset(recipe: Recipe, frames: Path, tmp_path: Path) -> None:
    path, fast = tmp_path / "slow.zarr", Dataset(frames)
    done = simulate(ReferenceRecipe(recipe, FRAMES), path, FRAMES, seed=4, progress=False)
    slow = Dataset(path)
    assert done.samples == FRAMES
    for name in set(fast.names) - {"frame"}:
        np.testing.assert_array_equal(slow.read(name), fast.read(name), err_msg=name)
    steps = np.abs(slow.read("frame").astype(int) - fast.read("frame"))  # a quarter of the noise each: same noise
    assert steps.max() <= 2
    assert (steps > 0).mean() < 0.01
    manifest = read_manifest(path, 0)
    assert manifest is not None
    assert manifest.fingerprint["engine"].startswith("reference galsim")
    assert simulate(ReferenceRecipe(recipe, FRAMES), path, FRAMES, seed=4, progress=False).samples == 0
    with pytest.raises(UserError, match="engine reference, not jax"):
        simulate(recipe, path, FRAMES, seed=4, progress=False)
    with pytest.raises(UserError, match="reference engine"):
        heal(path, recipe, progress=False)
    assert witness(path, 1, progress=False).frames[0].residual < 1e-3


def test_shards_of_the_reference_are_parts_of_those_of_the_recipe(recipe: Recipe) -> None:
    """The second chunk of a shard: what a part of it holds is what the whole holds there."""
    whole, part = recipe.part(3, 1, 12, 0, 12), recipe.part(3, 1, 12, 5, 4)
    for name, values in part.items():
        np.testing.assert_array_equal(values, whole[name][5:9], err_msg=name)


def test_the_command(frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(frames), "--witness", "1", "--seed", "2"]) == 0
    assert "1 frames redrawn" in capsys.readouterr().out


def test_classes_that_the_witness_does_not_draw() -> None:
    small = ["frame.npix=16", "classes={smooth: 1, merger: 1}"]
    with pytest.raises(UserError, match="does not draw merger"):
        ReferenceRecipe(load_recipe("csst-morphology", small), 10)


def test_a_dataset_that_was_not_simulated(dataset: Path) -> None:
    zarr.open_group(dataset, mode="r+").attrs["kind"] = "ingested"
    with pytest.raises(UserError, match="was not simulated"):
        witness(dataset, 1)


def test_a_recipe_that_is_no_longer_the_same(frames: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(frames, tmp_path / "old.zarr"))
    zarr.open_group(path, mode="r+").attrs["recipe_sha256"] = "0" * 64
    with pytest.raises(UserError, match="when it, or its instrument, was another"):
        witness(path, 1)
