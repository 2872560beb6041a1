"""Selection by rendered signal: what is measured of a draw, which draws become samples, and that they depend on nothing
else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from tests.recipe.small import SMALL, quick, write
from twin.cli import main
from twin.data import acceptance, open_dataset, simulate
from twin.data.manifest import hash_values
from twin.metrics.psf_shape import measure
from twin.numerics.fourier import Grid
from twin.observatory import detector
from twin.observatory.imager import load_instrument
from twin.observatory.picture import fine_psf
from twin.observatory.psf import otf
from twin.recipe import Recipe, load_recipe, selection
from twin.schema import UserError
from twin.simulators.optical import Fields

COUNT = 150
LIMIT, TRIES = 400.0, 3
Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def stars() -> Recipe:
    """Stars of which those below LIMIT are drawn again, twice."""
    changes = ["classes={star: 1}", "prior.field_star.p=0", "prior.field_galaxy.p=0"]
    return load_recipe("ps1-lens", [*SMALL, *changes, f"selection={{detectable: {LIMIT}, tries: {TRIES}}}"])


@pytest.fixture(scope="module")
def drawn(stars: Recipe) -> Arrays:
    return stars.shard(seed=3, shard=0, count=COUNT)


def estimated(recipe: Recipe, arrays: Arrays) -> np.ndarray:
    """Signal-to-noise ratio (n, B) of the stars by their magnitudes and PSF: 2 pi sigma^2 and photons within, for a
    Gaussian of the PSF's FWHM; to 20 %."""
    grid = Grid(64, recipe.pixel_scale, 2)

    def exposure(row: jax.Array) -> tuple[jax.Array, ...]:
        state = recipe.state(row)
        empty = detector.noise_rms(state, recipe.stacked, recipe.instrument.config.detector)
        return selection.psf_fwhm(grid, otf(recipe.optics, state, grid)), empty, state.zero_point, state.gain

    rows = jnp.asarray(arrays["telemetry"])
    found = quick(lambda rows: jax.lax.map(exposure, rows), rows)(rows)
    fwhm, empty, zero_point, gain = (np.asarray(values, float) for values in found)
    names = [recipe.truth_names.index(f"star0_mag_{band}") for band in recipe.bands]
    flux = 10 ** (-0.4 * (arrays["truth"][:, names] - zero_point))
    area = 4 * np.pi * (fwhm / 2.3548 / recipe.pixel_scale) ** 2  # 1 / sum of the squared PSF [pixel]
    photons = flux / gain / (0.75 * area)  # of the star in a typical pixel of it
    return flux / np.sqrt(area * (empty**2 + photons))


def test_signal_to_noise_of_a_patch(stars: Recipe) -> None:
    """N pixels of s counts: s sqrt(N) / noise, and less by the light's own photons."""
    row = jnp.asarray(stars.exposures(0, 0, 1)[0])
    state = quick(stars.state, row)(row)
    effects = stars.instrument.config.detector
    rms, gain = np.asarray(detector.noise_rms(state, True, effects)), np.asarray(state.gain)
    patch = jnp.zeros((3, 16, 16)).at[:, 2:6, 3:8].set(7.0)
    alone = selection.signal_to_noise(patch, 0 * patch, state, True, effects)
    assert np.asarray(alone) == pytest.approx(7 * np.sqrt(20) / rms, rel=1e-5)
    lit = selection.signal_to_noise(patch, 100 * patch, state, True, effects)
    assert np.asarray(lit) == pytest.approx(7 * np.sqrt(20) / np.sqrt(rms**2 + 700 / gain), rel=1e-5)


@pytest.mark.parametrize(("name", "factor"), [("ps1", 1), ("hst", 2)])
def test_width_of_the_psf(name: str, factor: int) -> None:
    """Within 4 % of the FWHM that is measured on its image."""
    imager = load_instrument(name)
    row = jnp.asarray(imager.draw_exposures(2, 1)[0])
    stamps = np.asarray(fine_psf(imager, imager.optics, pixels=15, oversample=4)(row), float)
    grid = Grid(64, imager.pixel_scale, factor)
    width = quick(lambda row: selection.psf_fwhm(grid, otf(imager.optics, imager.state(row), grid)), row)
    found = np.asarray(width(row))
    truth = [measure(stamp, imager.pixel_scale / 4, total=1.0).fwhm for stamp in stamps]
    assert found == pytest.approx(truth, rel=0.04)


def test_samples_are_those_that_pass(stars: Recipe, drawn: Arrays) -> None:
    """The accepted lie above the limit, the never accepted below; more of them than of single draws pass."""
    tries, ratio = drawn["label/tries"], estimated(stars, drawn).max(1)
    assert set(tries) == {0, 1, 2, 3}
    assert ratio[tries > 0].min() > 0.8 * LIMIT
    assert ratio[tries == 0].max() < 1.2 * LIMIT
    once = np.mean(tries == 1)
    assert np.mean(tries == 0) == pytest.approx((1 - once) ** TRIES, abs=0.1)
    assert stars.spec["label/tries"].dtype == "uint8"


def test_they_depend_on_recipe_seed_shard_and_number_alone(stars: Recipe, drawn: Arrays) -> None:
    assert hash_values(stars.shard(3, 0, COUNT)) == hash_values(drawn)
    fewer = stars.shard(3, 0, 40)
    assert all(np.array_equal(fewer[name], drawn[name][:40], equal_nan=fewer[name].dtype.kind == "f") for name in fewer)
    alone = load_recipe("ps1-lens", ["classes={star: 1}"])  # one device in place of two
    alone.__dict__.update(stars.__dict__ | {"_batches": type(stars._batches)(stars)})
    alone._batches._mesh = Mesh(np.array(jax.local_devices()[:1]), ("batch",))
    assert jax.local_device_count() > 1
    assert hash_values(alone.shard(3, 0, 40)) == hash_values(fewer)


def test_a_dataset_tells_its_acceptance(
    stars: Recipe, drawn: Arrays, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate(stars, tmp_path / "stars.zarr", COUNT, seed=3, progress=False)
    found = acceptance(tmp_path / "stars.zarr")["star"]
    tries = open_dataset(tmp_path / "stars.zarr").read("label/tries").astype(int)
    assert np.array_equal(tries, drawn["label/tries"])
    assert found.samples == COUNT
    assert found.never == np.sum(tries == 0) > 0
    assert found.draws == tries.sum() + TRIES * found.never
    assert found.share == pytest.approx(np.mean(tries == 1), abs=0.1)
    changes = [
        f"--set={key}" for key in (*SMALL, "classes={star: 1}", "prior.field_star.p=0", "prior.field_galaxy.p=0")
    ]
    asked = f"--set=selection={{detectable: {LIMIT}, tries: {TRIES}}}"
    assert (
        main(["simulate", "ps1-lens", "-o", str(tmp_path / "stars.zarr"), f"-n{COUNT}", "--seed=3", *changes, asked])
        == 0
    )
    assert f"star: {found}" in capsys.readouterr().out


def test_separations_are_held_against_the_psf() -> None:
    """Draws of lensed quasars whose images lie closer than 1.5 FWHM fail; a class of its own criteria, here none, does
    not."""
    recipe = load_recipe("ps1-lens", [*SMALL, "selection={resolved: 1.5, classes: {star: {}}}"])
    keys, rows = jax.random.split(jax.random.key(0), 40), jnp.asarray(recipe.exposures(0, 0, 40))

    def draw(keys: jax.Array, rows: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        def one(key_row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
            label = recipe.sample(*key_row, "lens_quasar").label
            transfer = recipe.canvas.transfer(recipe.state(key_row[1]))
            return label["separation"], selection.psf_fwhm(recipe.canvas.grid, transfer).min(), label["tries"]

        return jax.lax.map(one, (keys, rows))

    separation, fwhm, passed = (np.asarray(values) for values in quick(draw, keys, rows)(keys, rows))
    assert np.array_equal(passed, separation >= 1.5 * fwhm)
    assert 0 < passed.mean() < 1
    assert recipe.criteria("star") is None


def test_recipes_without_a_selection_have_no_tries(recipe: Recipe) -> None:
    assert "label/tries" not in [array.name for array in recipe.spec.arrays]
    assert recipe.canvas.signal is False
    assert recipe.criteria("star") is None


MISTAKES = {
    "unknown key": ({"detectible": 5}, 'selection.detectible: unknown key; did you mean "detectable"'),
    "negative": ({"detectable": -1}, "selection.detectable: must be greater than 0"),
    "nan": ({"resolved": float("nan")}, "selection.resolved: must be"),
    "no tries": ({"resolved": 1, "tries": 0}, "selection.tries: must be at least 1, not 0"),
    "too many": ({"resolved": 1, "tries": 256}, "selection.tries: must be at most 255, not 256"),
    "nothing": ({"tries": 4}, "selection: needs detectable, resolved or classes"),
    "unknown class": ({"classes": {"sta": {"resolved": 1}}}, 'classes.sta: unknown class; did you mean "star"'),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str, folder: Path) -> None:
    section, words = MISTAKES[name]
    with pytest.raises(UserError) as caught:
        load_recipe(write(folder / "mine.yaml", selection=section))
    assert words in str(caught.value)


def test_a_simulator_that_tells_no_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    render = Fields.render

    def silent(self: Fields, cls: str, truth: object, state: object, canvas: object) -> object:
        return render(self, cls, truth, state, replace(canvas, signal=False))  # type: ignore[arg-type, type-var]

    monkeypatch.setattr(Fields, "render", silent)
    with pytest.raises(UserError, match="selection: the simulator tells no signal of class 'star'"):
        load_recipe("ps1-lens", [*SMALL, "classes={star: 1}", "selection={detectable: 5}"])
