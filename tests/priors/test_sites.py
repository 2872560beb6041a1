"""The properties that a recipe may speak of: exactly those that the classes ask for, within limits."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.priors import draws
from twin.priors import laws
from twin.priors.sites import SITES, misfit

LAW: TypeAdapter[Any] = TypeAdapter(laws.Law)


def test_they_are_what_the_classes_ask_for(priors: dict[str, draws.Noting], drawn: draws.Drawn) -> None:
    assert set(SITES) - {"field_distance"} == {site for prior in priors.values() for site in prior.drawn.values()}


@pytest.mark.parametrize("recipe", ["ps1-lens", "csst-lens"])
def test_shipped_laws_fit(recipe: str) -> None:
    optional = {"field_distance"} | {name for name in SITES if recipe != "ps1-lens" and name.startswith("faint_")}
    known = dict.fromkeys(name for name in SITES if name not in optional)
    assert {name: misfit(SITES[name], law) for name, law in draws.shipped_laws(recipe).items()} == known


MISFITS = {
    "a radius that may be negative": ("theta_E", {"law": "normal", "mean": 1, "sigma": 0.5}, "cut it with a range"),
    "a Sersic index that no table holds": ("source_n", {"law": "uniform", "low": 1, "high": 9}, "outside 0.3 to 8"),
    "a source on the cut": ("source_depth", {"law": "uniform", "low": 0, "high": 1}, "from 0 to 1, outside 0.001"),
    "a size for a chance": ("third_star", {"law": "uniform", "low": 0, "high": 1}, "a chance (a blend"),
    "a chance for a size": ("theta_E", {"law": "chance", "p": 0.5}, "no chance (Einstein radius)"),
    "an endless lognormal": ("z_lens", {"law": "lognormal", "median": 1, "sigma": 500}, "cut it with a range"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_is_named(name: str) -> None:
    site, words, message = MISFITS[name]
    assert message in str(misfit(SITES[site], LAW.validate_python(words)))


def test_a_law_that_stays_inside_by_itself_needs_no_range() -> None:
    assert misfit(SITES["theta_E"], LAW.validate_python({"law": "normal", "mean": 1, "sigma": 0.1})) is None
    assert misfit(SITES["galaxy_radius"], LAW.validate_python({"law": "lognormal", "median": 1, "sigma": 0.5})) is None
