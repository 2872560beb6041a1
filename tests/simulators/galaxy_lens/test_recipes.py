"""The shipped recipes of lens populations: finite frames over all of prior and telemetry, labels that fit the truth."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from numpyro import handlers

from tests.recipe.small import quick
from twin.priors.laws import at_quantiles
from twin.recipe import Recipe, Sample, load_recipe
from twin.recipe.batches import stored
from twin.schema import UserError

N = 48  # a third ordinary, a third with extreme priors, a third with extreme priors and telemetry
SMALL = ("frame.npix=16", "scene.theta_E=[0.1, 0.5]")
CASES = (
    pytest.param(("csst-lens-pop", "lensed_galaxy"), id="galaxy", marks=pytest.mark.slow),
    pytest.param(("csst-lens-point", "lensed_quasar"), id="quasar", marks=pytest.mark.slow),
    pytest.param(("csst-lens-point", "lensed_supernova"), id="supernova"),
)


@pytest.fixture(scope="module", params=CASES)
def made(request: pytest.FixtureRequest) -> tuple[str, Recipe, Sample, dict[str, Any]]:
    """(class, recipe, samples, samples as stored): a third each as N says."""
    name, cls = request.param
    recipe = load_recipe(name, SMALL)
    rng = np.random.default_rng(11)
    third = N // 3
    ends = rng.choice([2.0**-24, 0.5, 1 - 2.0**-24], (2 * third, 256))
    u = np.concatenate([rng.uniform(1e-6, 1, (third, 256)), ends]).astype(np.float32)
    channels = recipe.instrument.telemetry_channels
    low, high = (np.array([getattr(c, end) for c in channels], np.float32) for end in ("low", "high"))
    extreme = np.where(rng.random((third, len(channels))) < 0.5, low, high)
    rows = np.concatenate([recipe.exposures(1, 0, 2 * third), extreme])

    def one(u: jax.Array, row: jax.Array, key: jax.Array) -> tuple[Sample, dict[str, Any]]:
        drawn = handlers.substitute(recipe.model, substitute_fn=at_quantiles(u))
        sample = handlers.seed(drawn, key)(row, cls=cls)
        return sample, stored(sample, recipe.state(row), recipe.stacked)

    arguments = (u, rows, jax.random.split(jax.random.key(2), N))
    sample, arrays = quick(jax.vmap(one), *arguments)(*arguments)
    return cls, recipe, sample, {name: np.asarray(values) for name, values in arrays.items()}


def test_frames_are_finite_and_labels_fit(made: tuple[str, Recipe, Sample, dict[str, Any]]) -> None:
    cls, recipe, sample, arrays = made
    assert np.isfinite(sample.frame).all()
    truth = dict(zip(recipe.truth_names, np.asarray(sample.truth, float).T, strict=True))
    for key, values in truth.items():
        assert np.isfinite(values).all() or "_mag" in key or np.isnan(values).all(), key
    assert np.all(truth["z_lens"] < truth["z_source"])
    label = {key: np.asarray(values, float) for key, values in sample.label.items()}
    number = label["n_images"].astype(int)
    there = np.arange(label["image_x"].shape[1]) < number[:, None]
    for key in ("image_x", "image_y", "image_magnification", "image_delay"):
        assert np.array_equal(np.isfinite(label[key]), there), key
    delay = np.where(there, label["image_delay"], np.inf)
    assert np.all(delay[number > 0, 0] == 0)
    assert np.all(delay[:, 1:] >= delay[:, :-1])
    flux = label["image_flux"]
    assert np.isfinite(flux).all()
    assert np.all(flux >= 0)
    ordinary = slice(0, N // 3)
    assert (
        np.mean(number[ordinary] >= 2) > 0.3
    )  # at the rim of the Einstein disc the second image is fainter than a tenth
    two = (number >= 2)[ordinary]
    apart = label["separation"][ordinary][two] / (2 * truth["theta_E"][ordinary][two])
    assert np.median(apart) == pytest.approx(1, abs=0.15)
    if cls == "lensed_galaxy":
        assert np.all(flux == 0)
        assert np.median(label["source_magnification"][ordinary]) > 1.5
    if cls == "lensed_quasar":
        assert np.all(flux[there] > 0)
    if cls == "lensed_supernova":  # an image is dark as long as light that left at the explosion is under way
        age = truth["supernova_age"][:, None] - label["image_delay"] / (1 + truth["z_source"][:, None])
        assert np.array_equal(flux[there].min(-1) > 0, age[there] > 0)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("scene.theta_E=[0.5, 20]", "do not fit a frame"),  # a cluster's mass
        ("scene.theta_E=[1.0, 0.5]", "not positive and increasing"),
        ("prior.source_n={law: uniform, low: 1, high: 12}", "outside 0.3 to 8"),
        ("prior.z_source={law: uniform, low: 0, high: 2}", "outside 0.05 to"),
        ("prior.source_mag={law: uniform, low: 20, high: 99}", "outside 0 to 50"),
        ("scene.max_images=1", "must be at least 2, not 1"),
        ("scene.mass=point", "sie"),
    ],
)
def test_what_makes_no_sense_is_refused(override: str, said: str) -> None:
    with pytest.raises(UserError) as mistake:
        load_recipe("csst-lens-pop", (override,))
    assert said in str(mistake.value)
    assert "\n" not in str(mistake.value)


@pytest.mark.slow
def test_selection_sees_the_lensed_light() -> None:
    """Detectable and resolved: what is kept has two images or more, farther apart than asked."""
    text = "selection={detectable: 10, resolved: 2}"
    recipe = load_recipe("csst-lens-point", (*SMALL, "classes={lensed_quasar: 1.0}", text))
    label = recipe.shard(0, 0, 32)
    assert label["label/separation"].min() > 0.2
    assert label["label/n_images"].min() >= 2
