"""Recipes of cluster arcs: finite frames whatever is drawn, labels that fit, test twins with other exposures."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from numpyro import handlers

from tests.recipe.small import CONFIGS, quick
from twin.priors.cluster import MEMBERS
from twin.priors.laws import at_quantiles
from twin.recipe import Recipe, Sample, load_recipe
from twin.schema import load_yaml

N = 12  # samples of a class: a third ordinary, a third with extreme priors, a third with extreme priors and telemetry


@pytest.fixture(
    scope="module", params=["legacy-cluster-arcs", pytest.param("csst-cluster-arcs", marks=pytest.mark.slow)]
)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return load_recipe(request.param, ("frame.npix=32", "frame.factor=1", "frame.subsamples=1", "scene.pixels=8"))


def test_frames_are_finite_whatever_is_drawn(recipe: Recipe) -> None:
    """Sources on caustics, members on one another, no members at all, the richest cluster, the worst telemetry."""
    rng = np.random.default_rng(3)
    draws, third = recipe._draws["arcs"], N // 3
    ends = rng.choice([2.0**-24, 0.5, 1 - 2.0**-24], (2 * third, 1))
    u = np.concatenate([
        rng.uniform(1e-6, 1, (third, draws)),
        np.broadcast_to(ends[:third], (third, draws)),  # everything at one end: all members in one place
        rng.choice([2.0**-24, 0.5, 1 - 2.0**-24], (third, draws)),
    ]).astype(np.float32)  # fmt: skip
    channels = recipe.instrument.telemetry_channels
    low, high = (np.array([getattr(c, end) for c in channels], np.float32) for end in ("low", "high"))
    extreme = np.where(rng.random((third, len(channels))) < 0.5, low, high)
    rows = np.concatenate([recipe.exposures(1, 0, 2 * third), extreme])

    def one(u: jax.Array, row: jax.Array, key: jax.Array) -> Sample:
        drawn = handlers.substitute(recipe.model, substitute_fn=at_quantiles(u))
        return handlers.seed(drawn, key)(row, cls="arcs")

    arguments = (u, rows, jax.random.split(jax.random.key(2), N))
    sample = quick(jax.vmap(one), *arguments)(*arguments)
    assert np.isfinite(sample.frame).all()
    truth = dict(zip(recipe.truth_names, np.asarray(sample.truth).T, strict=True))
    for name, values in truth.items():
        assert np.isfinite(values).all() or "_mag_" in name, name
    assert truth["members"].min() == 1  # the brightest alone
    assert truth["members"].max() <= MEMBERS
    label: dict[str, Any] = {name: np.asarray(values) for name, values in sample.label.items()}
    count = label["n"].astype(int)
    assert np.all((label["arc_mask"].reshape(N, -1).max(1) == count) & (label["arc"] == (count > 0)))
    there = np.arange(label["box"].shape[1]) < count[:, None]
    for name in ("length", "length_to_width", "magnification", "source_redshift"):
        assert np.all(np.isfinite(label[name]) == there), name
    assert np.all((label["source"] >= 0) == there)
    assert np.all(label["length_to_width"][there] >= recipe.config.scene["ratio"])


@pytest.mark.parametrize("name", ["csst-cluster-arcs", "legacy-cluster-arcs"])
def test_twins_differ_in_their_exposures_alone(name: str) -> None:
    ours, test = (load_yaml(CONFIGS / "recipes" / f"{n}.yaml").value for n in (name, f"{name}-test"))
    assert {k for k in ours if k in test and ours[k] != test[k]} == {"name", "description"}
    assert set(test) - set(ours) == {"telemetry"}
    twin = load_recipe(f"{name}-test")
    assert twin.table is not None
    trained = load_recipe(name).exposures(5, 0, 5000)
    low, high = trained.min(0), trained.max(0)
    bands = [n.rsplit("_", 1) for n in twin.instrument.channel_names]
    ours_only = np.array([b[-1] in twin.bands or b[-1] not in twin.instrument.bands for b in bands])
    outside = ((twin.table < low) | (twin.table > high))[:, ours_only]
    assert outside[1::2].any(1).all()
    assert outside[1::2].sum(1).min() >= 3  # channels
    assert outside[::2].mean() < 0.01  # what 5,000 draws do not quite reach
