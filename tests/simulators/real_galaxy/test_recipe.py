"""The simulator "real-lens" on a made-up catalogue: frames, an independent lens, identity, files that are not there."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from numpyro import handlers
from scipy import ndimage

from tests.io.made_real_galaxy import write
from tests.recipe.small import CONFIGS, quick
from twin.observatory.state import ImagerState
from twin.priors.fields import Truth
from twin.priors.laws import at_quantiles
from twin.recipe import Recipe, Sample, load_recipe
from twin.schema import UserError
from twin.simulators.optical import counts, source_position
from twin.simulators.real_galaxy.simulator import RealLens
from twin.simulators.scene import LightMap, Scene, render

N = 16


def _made(folder: Path, *overrides: str) -> Recipe:
    path = folder / "catalogue.fits"
    if not path.exists():
        write(folder)
    return load_recipe("csst-lens-real", (f"scene.catalogue={path}", "scene.psf=null", *overrides))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return _made(tmp_path_factory.mktemp("real"), "frame.npix=24")


@pytest.mark.parametrize("cls", ["lens_real", "galaxy_real"])
def test_frames_are_finite_and_labels_fit(recipe: Recipe, cls: str) -> None:
    """A half of the draws ordinary, the other at the ends of the priors."""
    rng = np.random.default_rng(4)
    ends = rng.choice([2.0**-24, 0.5, 1 - 2.0**-24], (N // 2, 128))
    u = np.concatenate([rng.uniform(1e-6, 1, (N // 2, 128)), ends]).astype(np.float32)

    def one(u: jax.Array, row: jax.Array, key: jax.Array) -> Sample:
        drawn = handlers.substitute(partial(recipe.model, cls=cls), substitute_fn=at_quantiles(u))
        found: Sample = handlers.seed(drawn, key)(row)
        return found

    arguments = (u, recipe.exposures(1, 0, N), jax.random.split(jax.random.key(2), N))
    sample = jax.device_get(quick(jax.vmap(one), *arguments)(*arguments))
    assert np.isfinite(sample.frame).all()
    assert (sample.label["lens"] == (cls == "lens_real")).all()
    assert (np.isfinite(sample.label["added_noise"]) == (cls == "galaxy_real")).all()
    assert (np.isfinite(sample.label["separation"]) == (cls == "lens_real")).all()
    name = "source_index" if cls == "lens_real" else "galaxy_index"
    index = sample.truth[:, recipe.truth_names.index(name)]
    assert set(index) == {0.0, 1.0}


def test_lensed_galaxy_is_that_of_lenstronomy(recipe: Recipe) -> None:
    """Its light alone, through lenstronomy's deflections, SciPy's interpolation and 4 x 4 times finer cells."""
    lens_model = pytest.importorskip("lenstronomy.LensModel.lens_model")
    param_util = pytest.importorskip("lenstronomy.Util.param_util")
    sim, canvas = recipe.simulator, recipe.canvas
    assert isinstance(sim, RealLens)
    state = recipe.state(jnp.asarray(recipe.exposures(1, 0, 1)[0]))
    drawn = handlers.seed(sim.truth("lens_real", recipe.laws), jax.random.key(5))()
    unseen = ("lens_mag", "field0_mag", "field1_mag", "field2_mag")
    truth = drawn | {name: jnp.full_like(drawn[name], jnp.nan) for name in unseen}
    truth |= {"theta_E": jnp.float32(0.5), "lens_q": jnp.float32(0.7), "source_size": jnp.float32(0.4)}

    def expected(truth: Truth, state: ImagerState) -> jax.Array:
        return sim.render("lens_real", truth, state, canvas).expected

    ours = np.asarray(quick(expected, truth, state)(truth, state))

    fine = canvas.grid.npix * canvas.cells * 4
    cell = canvas.grid.pixel_scale / (canvas.cells * 4)
    axis = (np.arange(fine) - (fine - 1) / 2) * cell
    x, y = np.meshgrid(axis, axis)
    t = {name: np.asarray(value, float) for name, value in truth.items()}
    e1, e2 = param_util.phi_q2_ellipticity(t["lens_angle"], t["lens_q"])
    at = {"center_x": t["lens_x"], "center_y": t["lens_y"]}
    bx, by = lens_model.LensModel(["SIE", "SHEAR"]).ray_shooting(
        x, y,
        [
            {"theta_E": t["theta_E"], "e1": e1, "e2": e2, **at},
            {"gamma1": t["gamma1"], "gamma2": t["gamma2"], "ra_0": t["lens_x"], "dec_0": t["lens_y"]},
        ],
    )  # fmt: skip
    sx, sy = (float(v) for v in source_position(truth))
    table, k, size = sim.table, int(t["source_index"]), t["source_size"]
    turned = (bx - sx + 1j * (by - sy)) * np.exp(-1j * t["source_angle"]) / (size * table.scale[k])
    u, v = turned.real, turned.imag * (1 - 2 * t["source_flip"])
    middle = (table.light.shape[-1] - 1) / 2
    light = ndimage.map_coordinates(table.light[k].astype(float), [v + middle, u + middle], order=1) / size**2
    cells = light.reshape(fine // 4, 4, fine // 4, 4).sum((1, 3)) * cell**2
    flux = counts(truth["source_mag"], state)
    theirs = np.asarray(
        render(canvas.grid, canvas.transfer(state), Scene(light=LightMap(jnp.asarray(cells, jnp.float32), flux)))
    )
    assert np.abs(ours - theirs).max() < 2e-3 * theirs.max()


def test_identity_is_the_content_of_the_files(recipe: Recipe, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    source = Path(recipe.config.scene["catalogue"]).parent
    shutil.copytree(source, elsewhere)
    same = _made(elsewhere, "frame.npix=24")
    assert same.sha256 == recipe.sha256
    assert _made(elsewhere, "frame.npix=24", "scene.level=0.1").sha256 != recipe.sha256
    shutil.rmtree(elsewhere)
    elsewhere.mkdir()
    write(elsewhere, MAG=[21.0, 22.5])
    assert _made(elsewhere, "frame.npix=24").sha256 != recipe.sha256


def test_catalogue_beside_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TWIN_REAL_DATA", raising=False)
    (tmp_path / "data").mkdir()
    write(tmp_path / "data")
    value = yaml.safe_load((CONFIGS / "recipes" / "csst-lens-real.yaml").read_text())
    value["scene"] = {"catalogue": "data/catalogue.fits"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(value))
    recipe = load_recipe(tmp_path / "mine.yaml")
    assert Path(recipe.node.value["scene"]["catalogue"]).is_absolute()
    assert len(recipe.simulator.table) == 2  # type: ignore[attr-defined]


def test_without_the_files_it_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TWIN_REAL_DATA", raising=False)
    with pytest.raises(UserError, match=r"^scene: psf: there is no imaging/\S+ beside .* TWIN_REAL_DATA.* is not set$"):
        load_recipe("csst-lens-real")
    monkeypatch.setenv("TWIN_REAL_DATA", str(tmp_path))
    with pytest.raises(UserError, match="scene: psf: no such file beside the recipe or in TWIN_REAL_DATA"):
        load_recipe("csst-lens-real")


@pytest.mark.real
def test_shipped_recipe_reads_its_galaxies(real_data: Path) -> None:
    recipe = load_recipe("csst-lens-real")
    assert isinstance(recipe.simulator, RealLens)
    assert len(recipe.simulator.table) == 10
    sums = recipe.simulator.table.light.sum((1, 2)) * recipe.simulator.table.scale**2
    np.testing.assert_allclose(sums, 1, rtol=1e-5)
