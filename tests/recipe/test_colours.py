"""Recipes that say `colours: sed`: magnitudes of every class from spectra, in any bands of an instrument."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers

from tests.recipe.small import SMALL, quick, write
from twin.priors.laws import quantile_draws
from twin.recipe import Recipe, load_recipe
from twin.schema import UserError

BANDS = ("nuv", "u", "g", "r", "i", "z", "y")
N = 300
STAR = tuple(map(jnp.float32, (20.0, 0.9, 0.35)))  # r, g - r, r - i


@pytest.fixture(scope="module")
def csst() -> Recipe:
    return load_recipe(
        "csst-lens", ["colours=sed", f"bands=[{', '.join(BANDS)}]", "classes={lens_galaxy: 1, blend: 1}"]
    )


def truths(recipe: Recipe, cls: str) -> dict[str, np.ndarray]:
    program = recipe.simulator.truth(cls, recipe.laws)

    def one(key: jax.Array) -> dict[str, jax.Array]:
        return handlers.seed(handlers.substitute(program, substitute_fn=quantile_draws(key)), 0)()

    keys = jax.random.split(jax.random.key(1), N)
    drawn = quick(jax.vmap(one), keys)(keys)
    return {name: np.asarray(values) for name, values in drawn.items()}


def test_objects_have_magnitudes_from_spectra(csst: Recipe) -> None:
    """Finite wherever an object is; the lens is a redder galaxy than its source, in the ultraviolet by magnitudes."""
    for cls in csst.classes:
        truth = truths(csst, cls)
        for name, values in truth.items():
            if name.endswith("_mag"):
                assert values.shape == (N, len(BANDS))
                there = ~np.isnan(values[:, 0])
                assert np.isfinite(values[there]).all(), name
                assert np.isnan(values[~there]).all(), name
        if cls == "lens_galaxy":
            lens, source = (-np.diff(truth[f"{k}_mag"], axis=1) for k in ("lens", "source"))
            near = truth["z_source"] < 1.5
            assert np.median(lens[:, 1]) > 1.0 > np.median(source[near, 1])  # u - g
            gone = truth["z_source"] > 3.3  # nothing bluewards of the Lyman limit
            assert source[gone, 1].min() > 1.5


def test_stacks_of_ps1_too_and_not_by_default() -> None:
    slopes, spectra = load_recipe("ps1-lens", SMALL), load_recipe("ps1-lens", [*SMALL, "colours=sed"])
    assert slopes.laws.colours is None
    assert slopes.sha256 != spectra.sha256
    a, b = (np.asarray(recipe.laws.magnitudes(*STAR, "star")) for recipe in (slopes, spectra))
    assert a == pytest.approx(b, abs=0.1)  # g, r and i are nearly the same
    assert np.abs(a - b).max() > 0.003


MISTAKES = {
    "unknown": ({"colours": "sd"}, 'colours: must be one of slopes, sed, not "sd"; did you mean "sed"'),
    "throughputs alone": ({"throughputs": "mine.yaml"}, "throughputs: goes with colours: sed"),
    "an instrument without": (
        {"colours": "sed", "instrument": "generic", "bands": ["r"]},
        'no throughputs for "generic"',
    ),
    "a band without": ({"colours": "sed", "throughputs": "mine.yaml"}, "bands.0: has no throughput"),
    "no such file": ({"colours": "sed", "throughputs": "gone.yaml"}, "gone.yaml: no such file"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str, folder: Path) -> None:
    changes, words = MISTAKES[name]
    (folder / "mine.yaml").write_text("instruments: [mine]\nbands: {r: [[550, 0.5], [690, 0.5]]}\n")
    with pytest.raises(UserError) as caught:
        load_recipe(write(folder / "recipe.yaml", **changes))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_curves_of_users(folder: Path) -> None:
    """They lie beside the recipe, and what they say counts."""
    content = "instruments: [mine]\nbands:\n" + "".join(
        f"  {band}: [[{low}, 0.5], [{high}, 0.5]]\n"
        for band, low, high in (("g", 400, 550), ("r", 550, 690), ("i", 690, 820))
    )
    (folder / "sub").mkdir()
    (folder / "sub" / "mine.yaml").write_text(content)
    one = load_recipe(write(folder / "sub" / "recipe.yaml", colours="sed", throughputs="mine.yaml"))
    (folder / "sub" / "mine.yaml").write_text(content.replace("820", "860"))
    other = load_recipe(folder / "sub" / "recipe.yaml")
    assert one.sha256 != other.sha256
    redder = other.laws.magnitudes(*STAR, "star") - one.laws.magnitudes(*STAR, "star")
    assert np.asarray(redder[:2]) == pytest.approx(0, abs=1e-5)
    assert redder[2] < -0.01
