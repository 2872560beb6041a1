"""Every class as the recipe makes it: finite frames over all of prior and telemetry, labels that fit the truth."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from numpyro import handlers

from tests.recipe.small import quick
from twin.priors import fields
from twin.priors.laws import at_quantiles
from twin.recipe import Recipe, Sample, load_recipe
from twin.recipe.batches import stored

N = 96  # samples of a class: a third ordinary, a third with extreme priors, a third with extreme priors and telemetry
LENSES = ("lens_galaxy", "lens_quasar")


@pytest.fixture(scope="module")
def whole() -> Recipe:
    """All classes of the shipped recipe, 16 pixels a side."""
    return load_recipe("ps1-lens", ("frame.npix=16", "frame.subsamples=1"))


def extreme_rows(recipe: Recipe, rng: np.random.Generator, n: int) -> np.ndarray:
    """Telemetry (n, C) with each channel at an end of its range."""
    channels = recipe.instrument.telemetry_channels
    low, high = (np.array([getattr(c, end) for c in channels], np.float32) for end in ("low", "high"))
    return np.where(rng.random((n, len(channels))) < 0.5, low, high)


@pytest.fixture(scope="module", params=fields.CLASSES)
def made(request: pytest.FixtureRequest, whole: Recipe) -> tuple[str, Sample, dict[str, Any]]:
    """(class, samples, samples as stored): a third each as N says."""
    rng = np.random.default_rng(11)
    third = N // 3
    ends = rng.choice([2.0**-24, 0.5, 1 - 2.0**-24], (2 * third, 256))
    u = np.concatenate([rng.uniform(1e-6, 1, (third, 256)), ends]).astype(np.float32)
    rows = np.concatenate([whole.exposures(1, 0, 2 * third), extreme_rows(whole, rng, third)])

    def one(u: jax.Array, row: jax.Array, key: jax.Array) -> tuple[Sample, dict[str, Any]]:
        drawn = handlers.substitute(whole.model, substitute_fn=at_quantiles(u))
        sample = handlers.seed(drawn, key)(row, cls=request.param)
        return sample, stored(sample, whole.state(row), whole.stacked)

    arguments = (u, rows, jax.random.split(jax.random.key(2), N))
    sample, arrays = quick(jax.vmap(one), *arguments)(*arguments)
    return request.param, sample, {name: np.asarray(values) for name, values in arrays.items()}


def test_frames_are_finite_whatever_is_drawn(made: tuple[str, Sample, dict[str, Any]]) -> None:
    _, sample, arrays = made
    assert np.isfinite(sample.frame).all()
    for name in ("noise/rms", "noise/scale", "noise/gain"):
        assert np.isfinite(arrays[name]).all()
        assert arrays[name].min() > 0
    # stored in steps of the noise, cut only where 16 bits end: a pixel is off by half a step at most
    frame, scale = np.asarray(sample.frame, float), arrays["noise/scale"][..., None, None].astype(float)
    off = np.abs(arrays["frame"] * scale - frame) / scale
    inside = np.abs(frame / scale) < 32767
    assert inside[: N // 3].mean() > 0.99
    assert off[inside].max() <= 0.51
    assert np.all(np.abs(arrays["frame"][~inside].astype(int)) == 32767)


def test_truths_are_named_and_of_their_class(whole: Recipe, made: tuple[str, Sample, dict[str, Any]]) -> None:
    """A class fills its own parameters, always; only magnitudes of what is not there are NaN among them."""
    name, sample, _ = made
    truth = dict(zip(whole.truth_names, np.asarray(sample.truth).T, strict=True))
    filled = {key for key, values in truth.items() if np.isfinite(values).any()}
    assert ("theta_E" in filled) is (name in LENSES)
    assert ("star0_mag_r" in filled) is (name in ("star", "blend", "quasar_star"))
    assert ("arm_pitch" in filled) is (name == "spiral")
    assert ("image_scatter_3" in filled) is (name == "lens_quasar")
    for key in filled:
        assert np.isfinite(truth[key]).all() or "_mag_" in key, key


def test_labels_fit_the_truth(whole: Recipe, made: tuple[str, Sample, dict[str, Any]]) -> None:
    """Images of a lens lie about two Einstein radii apart; what is no lens has no separation."""
    name, sample, _ = made
    label = {key: np.asarray(values) for key, values in sample.label.items()}
    assert set(label["class"]) == {whole.classes.index(name)}
    assert set(label["lens"]) == {int(name in LENSES)}
    if name not in LENSES:
        assert np.isnan(label["separation"]).all()
        return
    truth = dict(zip(whole.truth_names, np.asarray(sample.truth, float).T, strict=True))
    ratio = (label["separation"] / (2 * truth["theta_E"]))[: N // 3]
    shear = np.hypot(truth["gamma1"], truth["gamma2"])[: N // 3]
    # of a round lens exactly two, whatever the source's place; shear and ellipticity move images by their own size
    assert np.all(np.abs(ratio - 1) < 1.5 * shear + 0.5 * (1 - truth["lens_q"][: N // 3]) + 0.02)
    assert np.median(ratio) == pytest.approx(1, abs=0.06)
