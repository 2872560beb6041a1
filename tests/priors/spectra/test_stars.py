"""The prior of stars: every kind draws what its simulator needs, as its laws say; mistakes are named."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers

from twin.priors.laws import at_quantiles
from twin.priors.spectra import KINDS, OWN, SHARED, StarPrior, StarsConfig, parameter_units
from twin.recipe import load_recipe
from twin.recipe.spectra import SpectrumRecipe
from twin.schema import UserError


@pytest.fixture(scope="module")
def recipe() -> SpectrumRecipe:
    found = load_recipe("lamost-halpha")
    assert isinstance(found, SpectrumRecipe)
    return found


def draws(prior: StarPrior, kind: str, n: int = 4000) -> dict[str, np.ndarray]:
    uniforms = jax.random.uniform(jax.random.key(1), (n, 40), minval=2.0**-24)

    def one(u: jax.Array) -> dict[str, jax.Array]:
        return handlers.substitute(prior.program, substitute_fn=at_quantiles(u))(kind)

    return {name: np.asarray(values) for name, values in jax.jit(jax.vmap(one))(uniforms).items()}


def test_shares_of_temperature_are_those_asked_for(recipe: SpectrumRecipe) -> None:
    config = recipe.config.stars.temperatures["star"]
    found = draws(recipe.prior, "star")
    counts, _ = np.histogram(found["teff"], config.edges)
    np.testing.assert_allclose(counts / counts.sum(), config.shares, atol=0.025)
    # cool stars turn slowly, hot ones fast; giants have a gravity of their own
    assert np.median(found["vsini"][found["teff"] < 5500]) < 8 < 60 < np.median(found["vsini"][found["teff"] > 8000])
    cool = (found["teff"] > 3900) & (found["teff"] < 5000)
    assert 0.4 < (found["logg"][cool] < 3.7).mean() < 0.6
    assert (found["logg"][found["teff"] < 3500] > 4.3).all()


def test_be_stars_are_seen_from_all_sides_and_discs_keep_to_kepler(recipe: SpectrumRecipe) -> None:
    found = draws(recipe.prior, "be")
    cosine = np.cos(np.deg2rad(found["inclination"]))
    assert abs(cosine.mean() - 0.5) < 0.02  # even in cos i
    assert abs(cosine.std() - 12**-0.5) < 0.01
    # V_K(r_out) sin i < V_K(R) sin i, by the root of the radius
    speed = found["disc_speed"] * np.sqrt(found["disc_radius"])
    ratio = found["vsini"] / speed
    assert ratio.min() > 0.6 - 1e-3
    assert ratio.max() < 0.95 + 1e-3
    # larger discs shine more, as Hanuschik+ 1988 have it: log r grows by 0.8 a decade
    inside = (found["disc_radius"] > 1.6) & (found["disc_radius"] < 39)
    slope = np.polyfit(np.log10(found["be_width"][inside]), np.log10(found["disc_radius"][inside]), 1)[0]
    assert 0.5 < slope < 0.85


def test_every_number_has_a_unit(recipe: SpectrumRecipe) -> None:
    units = parameter_units()
    for kind in KINDS:
        assert set(draws(recipe.prior, kind, 8)) <= set(units)


def test_what_is_wrong_is_said(recipe: SpectrumRecipe) -> None:
    config = recipe.config.stars
    assert config.mistake(KINDS) is None
    lost = {name: law for name, law in config.laws.items() if name != "arm"}
    problem, key, _ = StarsConfig(temperatures=config.temperatures, laws=lost).mistake(KINDS) or ("", (), [])
    assert "has no law of arm" in problem
    assert key == ("laws",)
    assert StarsConfig(temperatures=config.temperatures, laws=lost).mistake(("star",)) is None
    assert set(config.laws) == {*SHARED, *(name for kind in KINDS for name in OWN[kind])}


MISTAKES = {
    "kind": ("kinds.stars=1", 'kinds.stars: unknown kind of star; did you mean "star"?'),
    "law": ("stars.laws.arm={law: uniform, low: -2.0, high: 1.0}", "stars.laws.arm: reaches from -2 to 1, outside"),
    "site": ("stars.laws.arms={law: chance, p: 0.5}", 'stars.laws.arms: unknown key; did you mean "arm"?'),
    "shares": ("stars.temperatures.be.shares=[1.0]", "1 shares for 3 intervals"),
    "edges": ("stars.temperatures.be.edges=[2000, 12000, 18000, 30000]", "edges must stay from 3000 to 30000 K"),
    "channel": ("telemetry.seeing={law: uniform, low: 0.0, high: 1.0}", "telemetry.seeing: unknown channel"),
    "coarse": ("fine.step=1e-4", "too coarse for a line-spread function of 1.2"),
    "margin": ("fine.margin=5", "below six times the widest line-spread function, 2.4"),
    "grid": ("grid.high=6540", "grid: must hold H alpha"),
    "spectrograph": ("spectrograph=echelle", "spectrograph"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name: str) -> None:
    change, words = MISTAKES[name]
    with pytest.raises(UserError) as caught:
        load_recipe("lamost-halpha", [change])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_programs_take_no_numbers_from_elsewhere(recipe: SpectrumRecipe) -> None:
    one, again = (draws(recipe.prior, "pcygni", 8)["terminal"] for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert jnp.isfinite(one).all()
