"""The posterior of what telemetry does not tell: it covers the truth, and a wrong likelihood does not."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.observatory.calibrate.made import TRUTH, exposures, small, write_csv
from twin.observatory.calibrate import seeing
from twin.observatory.calibrate.exposures import Exposures, read_exposures

TOLD = ("airmass_exponent", "night_sd", "scatter", "persistence", "tails")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Exposures:
    return read_exposures(write_csv(tmp_path_factory.mktemp("seeing") / "fwhm.csv", exposures(16, 40)), small())


@pytest.fixture(scope="module")
def posterior(table: Exposures) -> seeing.Posterior:
    return seeing.fit(table, 0.7, draws=100, warmup=150, say=lambda text: None)


def z_scores(found: seeing.Posterior) -> dict[str, float]:
    return {name: (TRUTH[name] - found[name].mean()) / found[name].std() for name in found.names}


@pytest.mark.slow
def test_posterior_covers_the_parameters_that_made_the_table(posterior: seeing.Posterior) -> None:
    z = z_scores(posterior)
    assert max(np.abs(list(z.values()))) < 3.2, z
    assert np.sqrt(np.mean(np.square(list(z.values())))) < 1.7, z
    assert posterior.rhat.max() < 1.1
    assert all(posterior.constrained(name) for name in TOLD)
    assert not posterior.constrained("outer_scale"), "a small table cannot tell the outer scale from other exponents"


@pytest.mark.slow
def test_what_it_says_of_the_median_exposure(posterior: seeing.Posterior) -> None:
    """Parameters trade off against each other; what they say together of an exposure does not."""
    data = {"seeing": jnp.full(1, 0.7), "airmass": jnp.full(1, 1.3), "warm": jnp.zeros(1), "colour": jnp.full(1, 1.4)}

    def width(p: dict[str, jax.Array]) -> jax.Array:
        return seeing.ln_fwhm(p, p["offset"], data)[0]

    drawn = jax.vmap(width)({name: jnp.asarray(posterior[name]) for name in posterior.names})
    truth = width({name: jnp.float32(value) for name, value in TRUTH.items()})
    assert abs(float(truth) - float(drawn.mean())) < 3 * float(drawn.std())
    assert float(drawn.std()) < 0.06


@pytest.mark.slow
def test_too_narrow_a_likelihood_fails_the_same_test(table: Exposures) -> None:
    """The check has teeth: a scatter held at a third of the truth no longer covers it."""
    wrong = seeing.fit(table, 0.7, draws=50, warmup=100, sigma=TRUTH["scatter"] / 3, say=lambda text: None)
    assert max(np.abs(list(z_scores(wrong).values()))) > 5


def test_ln_fwhm_is_the_documented_equation() -> None:
    p = {name: jnp.float32(value) for name, value in TRUTH.items()} | {"dome": jnp.float32(0.3)}
    data = {
        "seeing": jnp.array([0.8]),
        "airmass": jnp.array([1.7]),
        "warm": jnp.array([2.0]),
        "colour": jnp.array([1.5]),
    }
    epsilon, dome = 0.8 * np.exp(0.1) * 1.7**0.45, 0.3 * 2**1.2
    whole = (epsilon ** (5 / 3) + dome ** (5 / 3)) ** 0.6
    r0 = 0.976 * 500e-9 * 206264.806 / whole * 1.5**1.2
    square = whole**2 * 1.5**-0.5 * (1 - 2.183 * (r0 / 20) ** 0.356) + 0.25
    assert float(seeing.ln_fwhm(p, jnp.float32(0.1), data)[0]) == pytest.approx(0.5 * np.log(square), abs=1e-5)


def test_too_few_exposures(table: Exposures) -> None:
    with pytest.raises(ValueError, match="5 exposures are too few"):
        seeing.fit(table.take(np.arange(5)), 0.7)
