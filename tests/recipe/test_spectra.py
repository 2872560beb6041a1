"""Recipes of spectra: shards that come out the same, labels that agree with frames, datasets that can be read."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.data import Dataset, simulate, verify
from twin.priors.spectra import KINDS
from twin.recipe import list_recipes, load_recipe
from twin.recipe.spectra import SpectrumRecipe, _median
from twin.recipe.spectra_adapter import GaussianSpectrograph
from twin.simulators.spectra.labels import CLASSES
from twin.simulators.spectra.photosphere import AXES, log_grid, photosphere


@pytest.fixture(scope="module")
def small() -> SpectrumRecipe:
    found = load_recipe("lamost-halpha", ["kinds={star: 0.5, be: 0.5}"])
    assert isinstance(found, SpectrumRecipe)
    return found


def test_the_recipes_are_shipped() -> None:
    assert {"lamost-halpha", "perek-halpha"} <= {name for name, _ in list_recipes()}
    found = load_recipe("perek-halpha")
    assert isinstance(found, SpectrumRecipe)
    assert np.diff(found.instrument.wavelength).mean() == pytest.approx(0.231, abs=5e-4)


def test_blur_is_a_gaussian_and_a_pixel() -> None:
    """A narrow line comes out with the variance of its own, of the line-spread function and of the pixel."""
    grid, pixels = log_grid(6480.0, 6775.0, 2.5e-5), np.linspace(6519, 6732, 140)
    blur = GaussianSpectrograph(pixels).blur(grid)
    flux = np.exp(-0.5 * ((grid - 6600.3) / 0.8) ** 2)
    for sigma in (1.2, 1.7, 2.4):
        seen = np.asarray(blur(jnp.asarray(flux, jnp.float32), {"lsf": jnp.float32(sigma)}))
        place = (seen * pixels).sum() / seen.sum()
        spread = (seen * (pixels - place) ** 2).sum() / seen.sum()
        step = pixels[1] - pixels[0]
        assert place == pytest.approx(6600.3, abs=0.01)
        assert spread == pytest.approx(0.8**2 + sigma**2 * (6600 / np.median(pixels)) ** 2 + step**2 / 12, rel=0.02)
        assert seen.sum() * step == pytest.approx(0.8 * np.sqrt(2 * np.pi), rel=2e-3)


def test_median() -> None:
    values = np.random.default_rng(0).normal(size=(5, 140)).astype(np.float32)
    found = np.array([_median(jnp.asarray(row)) for row in values])
    np.testing.assert_allclose(found, np.sort(values, 1)[:, 69], atol=2e-5)


def test_the_table_holds_its_nodes(small: SpectrumRecipe) -> None:
    """48 components give every node's spectrum back, to 0.2 % rms; the mean alone does not."""
    table = small.simulator.table
    assert table is photosphere(*small.config.span, small.config.fine.step, small.config.fine.components)
    cool, hot = (
        np.asarray(table(*(jnp.float32(x) for x in at))) for at in ((5600.0, 4.25, 0.0, 0.0), (10000.0, 4.25, 0.0, 0.0))
    )
    near = np.abs(table.wavelength - 6564.6).argmin()
    assert cool[near] < 0.35
    assert hot[near] < 0.45
    assert hot[near - 12] < cool[near - 12] - 0.05  # Stark's wings
    between = np.asarray(table(jnp.float32(7800.0), jnp.float32(4.25), jnp.float32(0.0), jnp.float32(0.0)))
    index = [(AXES[0] == t).argmax() for t in (7500.0, 8000.0)]
    rows = table.amplitudes.reshape(*(len(a) for a in AXES), -1)[index, 3, 3, 0] @ table.components + table.mean
    np.testing.assert_allclose(between, 0.4 * rows[0] + 0.6 * rows[1], atol=1e-4)


def test_shards_are_the_same_again_and_labels_agree(small: SpectrumRecipe) -> None:
    one, again = small.shard(5, 2, 1500), small.shard(5, 2, 1500)
    for name, values in one.items():
        np.testing.assert_array_equal(again[name], values, err_msg=name)
    assert (small.shard(6, 2, 1500)["frame"] != one["frame"]).any()
    assert (np.bincount(one["label/kind"], minlength=5)[[0, 1]] == 750).all()
    kinds = [KINDS[k] for k in one["label/kind"]]
    cls = np.array([CLASSES[k] for k in one["label/class"]])
    star = np.array([kind == "star" for kind in kinds])
    assert (cls[star] == "absorption").all()
    assert set(cls[~star]) >= {"absorption", "emission", "double-peak"}
    # the class is seen in the frames: emission has light above the sides of the line
    wavelength = small.instrument.wavelength
    middle, beside = np.abs(wavelength - 6564.6) < 6, np.abs(wavelength - 6564.6) > 40
    excess = one["frame"][:, middle].max(1) / np.median(one["frame"][:, beside], 1) - 1
    assert np.median(excess[cls == "emission"]) > 0.2 > 0.1 > np.median(excess[star])
    # the widths of the noise-free spectra are those of the frames, where these are good
    names = list(small.truth_names)
    assert np.isnan(one["truth"][star][:, names.index("arm")]).all()
    np.testing.assert_array_equal(one["truth"][:, names.index("teff")], one["label/teff"])
    # noise is what noise/ivar says: two pixels apart from any line
    base = jax.random.fold_in(jax.random.key(5), 2)
    some = np.flatnonzero(star)[:24]

    def noiseless(index: jax.Array, row: jax.Array) -> jax.Array:
        return small.sample(jax.random.fold_in(base, index), row, "star")["expected"]

    expected = np.asarray(jax.jit(jax.vmap(noiseless))(some.astype(np.uint32), one["telemetry"][some]))
    chi = (one["frame"][some] - expected) * np.sqrt(one["noise/ivar"][some])
    slope = np.linspace(-1, 1, len(wavelength))
    left = chi - np.mean(chi, 1, keepdims=True)
    left -= (left @ slope)[:, None] / (slope @ slope) * slope
    bend = slope**2 - (slope**2).mean()
    left -= (left @ bend)[:, None] / (bend @ bend) * bend
    assert 0.93 < left.std() < 1.07


def test_a_dataset_is_written_and_verified(small: SpectrumRecipe, tmp_path: Path) -> None:
    simulate(small, tmp_path / "a.zarr", 600, seed=1, progress=False)
    assert verify(tmp_path / "a.zarr").ok
    data = Dataset(tmp_path / "a.zarr")
    frame = data.read("frame", np.arange(600))
    assert frame.shape == (600, 140)
    np.testing.assert_allclose(np.median(frame, 1), 1, atol=0.03)
    assert data.attrs["classes"] == list(CLASSES)
