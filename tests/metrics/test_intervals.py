import numpy as np
import pytest
from scipy.stats import norm

from twin.metrics import binomial_interval, bootstrap


def test_bootstrap_of_a_mean_has_the_standard_error_of_the_mean():
    x = np.random.default_rng(1).normal(3.0, 2.0, 400)
    found = bootstrap(lambda i: x[i].mean(), len(x), repeats=2000)
    half = 1.96 * x.std() / np.sqrt(len(x))
    assert found.value == x.mean()
    assert found.low == pytest.approx(x.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(x.mean() + half, abs=0.1 * half)


def test_bootstrap_keeps_groups_together():
    # 20 groups of 25 equal numbers are 20 numbers: drawing objects would give an interval five times too narrow
    level = np.random.default_rng(2).normal(size=20)
    x, groups = np.repeat(level, 25), np.repeat(np.arange(20), 25)
    grouped = bootstrap(lambda i: x[i].mean(), len(x), groups=groups)
    single = bootstrap(lambda i: x[i].mean(), len(x))
    assert (grouped.high - grouped.low) / (single.high - single.low) == pytest.approx(5.0, rel=0.15)
    assert grouped.high - grouped.low == pytest.approx(2 * 1.96 * level.std() / np.sqrt(20), rel=0.15)


def test_bootstrap_accepts_names_as_groups_and_repeats_itself():
    x, groups = np.random.default_rng(0).normal(size=40), np.array(list("abcdefghijklmnopqrst") * 2)
    one, two = (bootstrap(lambda i: x[i].mean(), 40, groups=groups, seed=3) for _ in range(2))
    assert one == two
    assert bootstrap(lambda i: x[i].mean(), 40, groups=groups, seed=4) != one


@pytest.mark.parametrize(("n", "groups"), [(0, None), (3, np.zeros(2))])
def test_bootstrap_refuses_wrong_input(n, groups):
    with pytest.raises(ValueError, match=r"object|groups"):
        bootstrap(lambda i: 0.0, n, groups=groups)


def test_wilson_interval_is_its_closed_form():
    k, n, z = 100, 146, norm.ppf(0.975)
    centre = (k + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    assert binomial_interval(k, n) == pytest.approx((k / n, centre - half, centre + half))


def test_exact_interval_of_zero_is_its_closed_form():
    found = binomial_interval(0, 30, method="exact")
    assert found == pytest.approx((0.0, 0.0, 1 - 0.025 ** (1 / 30)))


def test_binomial_interval_refuses_more_successes_than_trials():
    with pytest.raises(ValueError, match="5 successes out of 4"):
        binomial_interval(5, 4)
