"""What all classes have in common: finite truths within the laws' ranges, however they are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.priors import draws
from twin.priors import fields

LAWS = draws.shipped_laws()
Priors = dict[str, draws.Noting]
# what may not be there in a field; everything else always is
OPTIONAL = {
    *(f"field{k}_mag" for k in range(fields.GALAXY_INTERLOPERS + fields.STAR_INTERLOPERS)),
    *("companion1_mag", "galaxy_mag", "star1_mag", "star2_mag"),
}


def check(drawn: dict[str, str], truth: draws.Values, sites: draws.Values) -> None:
    """Finite but for magnitudes of what is not there, and every site within its law's range."""
    for name, values in truth.items():
        absent = np.isnan(values)
        assert np.isfinite(values[~absent]).all(), name
        if name in OPTIONAL:
            assert absent.reshape(len(values), -1).any(1).tolist() == absent.reshape(len(values), -1).all(1).tolist()
        else:
            assert not absent.any(), name
        if name.endswith("_radius"):
            assert values.min() > 0, name
        if name.endswith("_q"):
            assert values.min() > 0.15, name
            assert values.max() <= 1, name
    for name, site in drawn.items():
        law, values = LAWS[site], sites[name]
        low, high = getattr(law, "range", None) or (getattr(law, "low", -np.inf), getattr(law, "high", np.inf))
        assert low - 1e-6 * abs(low) <= values.min(), name
        assert values.max() <= high + 1e-6 * abs(high), name


@pytest.mark.parametrize("name", fields.CLASSES)
def test_truths_are_finite_and_within_range(name: str, drawn: draws.Drawn, priors: Priors) -> None:
    check(priors[name].drawn, *drawn[name])
    check(priors[name].drawn, *draws.at_extremes(draws.program(priors[name], name)))


def test_the_check_sees_what_is_out_of_range() -> None:
    wider = LAWS["theta_E"].model_copy(update={"range": (0.3, 3.5)})
    prior = draws.prior(LAWS | {"theta_E": wider})
    truth, sites = draws.at_extremes(draws.program(prior, "lens_galaxy"))
    with pytest.raises(AssertionError, match="theta_E"):
        check(prior.drawn, truth, sites)
    truth["lens_mag"][3] = np.inf
    with pytest.raises(AssertionError, match="lens_mag"):
        check(prior.drawn, truth, sites)


def test_every_law_of_the_shipped_recipes_is_used(drawn: draws.Drawn, priors: Priors) -> None:
    used = {site for prior in priors.values() for site in prior.drawn.values()}
    assert used == set(LAWS)
    assert used - {"faint_density", "faint_gr", "faint_ri"} == set(draws.shipped_laws("csst-lens"))


def test_no_faint_galaxies_without_a_law() -> None:
    laws = {name: law for name, law in LAWS.items() if not name.startswith("faint_")}
    truth, _ = draws.by_quantiles(draws.program(draws.prior(laws), "star"))
    assert not [name for name in truth if name.startswith("faint")]


@pytest.mark.parametrize("name", fields.CLASSES)
def test_quantile_draws_are_numpyros_in_distribution(name: str, drawn: draws.Drawn, priors: Priors) -> None:
    """Each site and each parameter by two-sample KS, and how parameters go together by their rank correlations."""
    theirs = draws.by_numpyro(draws.program(priors[name], name), seed=2)
    for ours, their in zip(drawn[name], theirs, strict=True):
        assert ours.keys() == their.keys()
        a, b = columns(ours), columns(their)
        labels = [name for name, values in ours.items() for _ in range(values[0].size)]
        for label, one, other in zip(labels, a, b, strict=True):
            assert stats.ks_2samp(one, other, method="asymp").pvalue > 1e-4, label
        difference = stats.spearmanr(a, axis=1).statistic - stats.spearmanr(b, axis=1).statistic
        assert np.abs(difference).max() < 7 / np.sqrt(draws.N)


def test_a_wrong_law_is_told_apart(drawn: draws.Drawn) -> None:
    """Median theta_E larger by a sixth: theta_E and what follows from it differ, the shear does not."""
    wrong = LAWS["theta_E"].model_copy(update={"median": 7 / 6 * LAWS["theta_E"].median})
    ours, _ = drawn["lens_galaxy"]
    theirs, _ = draws.by_numpyro(draws.program(draws.prior(LAWS | {"theta_E": wrong}), "lens_galaxy"), seed=2)
    for name, same in (("theta_E", False), ("velocity_dispersion", False), ("gamma1", True)):
        assert bool(stats.ks_2samp(ours[name], theirs[name], method="asymp").pvalue > 1e-4) is same


def columns(values: draws.Values) -> np.ndarray:
    """(columns, fields): every number of every entry, what is not there as one value below all others."""
    flat = np.concatenate([v.reshape(draws.N, -1) for v in values.values()], 1).T
    return np.where(np.isnan(flat), -99.0, flat)


def test_a_class_asks_for_laws_by_name() -> None:
    short = draws.prior({name: law for name, law in LAWS.items() if name != "z_quasar"})
    with pytest.raises(KeyError, match="z_quasar"):
        draws.by_quantiles(draws.program(short, "lens_quasar"))
    draws.by_quantiles(draws.program(short, "star"))
