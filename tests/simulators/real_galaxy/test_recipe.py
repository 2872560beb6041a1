"""The simulator "real-lens" on a made-up catalogue: frames, the witness, identity, files that are not there."""

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

from tests.io.made_real_galaxy import write
from tests.recipe.small import CONFIGS, quick
from twin.priors.laws import at_quantiles
from twin.recipe import Recipe, Sample, load_recipe
from twin.recipe.reference import Witness
from twin.schema import UserError
from twin.simulators.real_galaxy.simulator import RealLens

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


@pytest.mark.parametrize(("cls", "tolerance"), [("lens_real", 2e-3), ("galaxy_real", 3e-4)])
def test_witness_draws_the_same(recipe: Recipe, cls: str, tolerance: float) -> None:
    """GalSim's interpolation, lenstronomy's rays; a galaxy turned by 0.03 rad more is another one."""
    pytest.importorskip("galsim")
    pytest.importorskip("lenstronomy")
    witness, exposure = Witness(recipe), recipe.exposures(1, 0, 1)[0]

    def expected(truth: jax.Array, exposure: jax.Array) -> jax.Array:
        named, state = recipe.unflatten(cls, truth), recipe.state(exposure)
        return recipe.simulator.render(cls, named, state, recipe.canvas).expected

    drawn = handlers.seed(recipe.simulator.truth(cls, recipe.laws), jax.random.key(5))()
    drawn |= {name: jnp.full_like(drawn[name], jnp.nan) for name in ("lens_mag", "field0_mag") if name in drawn}
    arguments = (recipe._flatten(drawn), jnp.asarray(exposure))
    ours = np.asarray(quick(expected, *arguments)(*arguments))
    truth, state = np.asarray(arguments[0]), witness.state(exposure)
    theirs = witness.expected(cls, truth, state)
    assert np.abs(ours - theirs).max() < tolerance * theirs.max()
    angle = "source_angle" if cls == "lens_real" else "galaxy_angle"
    turned = truth + 0.03 * (np.array(recipe.truth_names) == angle)
    assert np.abs(ours - witness.expected(cls, turned.astype(np.float32), state)).max() > 2 * tolerance * theirs.max()


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
