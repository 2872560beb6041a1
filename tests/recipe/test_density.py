"""The same program as a density: finite at what was simulated, with derivatives that inference can follow."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from numpyro import handlers
from numpyro.infer.util import log_density

from tests.recipe.small import quick
from twin.recipe import Recipe

# sites whose derivative stands out of the rounding of the sum over pixels, and a step for each
SITES = {
    "lens_quasar": {
        "theta_E": 2e-3, "lens_q": 2e-3, "gamma1": 5e-4, "lens_x": 1e-3, "source_phi": 2e-3, "source_depth": 1e-3,
        "quasar_mag": 2e-3, "lens_mag_scatter": 5e-3,
    },
    "star": {"star0_x": 1e-3, "star0_y": 1e-3, "star0_r": 5e-3, "star0_gr": 5e-3},
}  # fmt: skip


@pytest.fixture(scope="module", params=SITES)
def case(request: pytest.FixtureRequest, recipe: Recipe) -> tuple[str, Any, dict[str, Any]]:
    """(class, compiled (changed sites, all sites) -> log density and its gradient, the sites of a simulated frame)."""
    row = recipe.exposures(1, 0, 1)[0]

    def simulate(key: jax.Array) -> tuple[dict[str, Any], jax.Array]:
        trace = handlers.trace(handlers.seed(recipe.model, key))
        sample = trace(row, cls=request.param)
        return {k: v["value"] for k, v in trace.trace.items() if v["type"] == "sample"}, sample.frame

    key = jax.random.key(4)  # a truth about which the density is neither flat nor torn by an image that comes or goes
    sites, frame = quick(simulate, key)(key)

    def density(changed: dict[str, Any], sites: dict[str, Any]) -> jax.Array:
        return log_density(recipe.model, (row,), {"obs": frame, "cls": request.param}, sites | changed)[0]

    changed = {name: sites[name] for name in SITES[request.param]}
    return request.param, quick(jax.value_and_grad(density), changed, sites), sites


def test_it_is_finite_and_its_derivatives_are_those_of_differences(case: tuple[str, Any, dict[str, Any]]) -> None:
    name, density, sites = case
    here = {site: sites[site] for site in SITES[name]}
    value, gradient = density(here, sites)
    assert np.isfinite(value)
    for site, step in SITES[name].items():
        up, down = (float(density(here | {site: here[site] + sign * step}, sites)[0]) for sign in (1, -1))
        difference = (up - down) / (2 * step)
        rounding = 2 * float(np.spacing(np.float32(abs(value)))) / step
        assert float(gradient[site]) == pytest.approx(difference, rel=0.03, abs=rounding), site
        assert abs(difference) > 3 * rounding, f"{site}: nothing to see"


def test_it_falls_away_from_the_truth(case: tuple[str, Any, dict[str, Any]]) -> None:
    name, density, sites = case
    here = {site: sites[site] for site in SITES[name]}
    best = float(density(here, sites)[0])
    for site, shift in {"lens_quasar": {"lens_x": 0.3, "quasar_mag": 0.5}, "star": {"star0_x": 0.3, "star0_r": 0.3}}[
        name
    ].items():
        for sign in (1, -1):
            assert float(density(here | {site: here[site] + sign * shift}, sites)[0]) < best - 10, site
