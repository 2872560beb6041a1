"""Every law against SciPy's closed form, drawn both by quantiles and by NumPyro."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from twin.priors import laws

N = 20000
LAW: TypeAdapter[Any] = TypeAdapter(laws.Law)


def law(**words: Any) -> Any:
    return LAW.validate_python(words)


def frozen(**words: Any) -> Any:
    """The same law in SciPy: truncation by its own quantile function, in float64."""
    match words["law"]:
        case "uniform":
            return stats.uniform(words["low"], words["high"] - words["low"])
        case "loguniform":
            return stats.loguniform(words["low"], words["high"])
        case "normal":
            mean, sigma = words["mean"], words["sigma"]
            low, high = words.get("range", (-np.inf, np.inf))
            return stats.truncnorm((low - mean) / sigma, (high - mean) / sigma, mean, sigma)
    return None


class LogNormal:
    """exp of a truncated Gaussian: SciPy has no truncated lognormal."""

    def __init__(self, median: float, sigma: float, range: tuple[float, float] = (0.0, np.inf)) -> None:
        low, high = (np.log(v) if v > 0 else -np.inf for v in range)
        self._ln = frozen(law="normal", mean=np.log(median), sigma=sigma, range=(low, high))

    def cdf(self, x: np.ndarray) -> np.ndarray:
        return self._ln.cdf(np.log(x))


def closed_form(**words: Any) -> Any:
    if words["law"] == "lognormal":
        return LogNormal(**{k: v for k, v in words.items() if k != "law"})
    return frozen(**words)


# the law, and the same law with something wrong in it that a test of 20,000 draws must see
CONTINUOUS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "uniform": ({"law": "uniform", "low": -0.1, "high": 1.5}, {"high": 1.54}),
    "loguniform": ({"law": "loguniform", "low": 0.3, "high": 5.0}, {"low": 0.32}),
    "normal": ({"law": "normal", "mean": 3.0, "sigma": 0.35}, {"sigma": 0.37}),
    "normal cut on both sides": (
        {"law": "normal", "mean": 18.6, "sigma": 1.2, "range": (17.0, 19.5)}, {"range": (17.0, 19.6)},
    ),
    "normal, the upper flank": ({"law": "normal", "mean": 0.0, "sigma": 1.0, "range": (2.0, 4.0)}, {"sigma": 1.05}),
    "normal, as far in the tail as allowed": (
        {"law": "normal", "mean": 0.0, "sigma": 1.0, "range": (3.7, 6.0)}, {"sigma": 1.05},
    ),
    "normal, a sliver of the middle": (
        {"law": "normal", "mean": 0.0, "sigma": 1.0, "range": (0.0, 0.0003)}, {"range": (0.0, 0.00031)},
    ),
    "lognormal": ({"law": "lognormal", "median": 0.95, "sigma": 0.5}, {"median": 0.98}),
    "lognormal cut on both sides": (
        {"law": "lognormal", "median": 0.95, "sigma": 0.5, "range": (0.3, 3.2)}, {"range": (0.3, 2.4)},
    ),
    "lognormal, the upper flank": (
        {"law": "lognormal", "median": 0.5, "sigma": 0.4, "range": (1.0, 3.0)}, {"sigma": 0.42},
    ),
}  # fmt: skip


Draws = dict[str, dict[str, np.ndarray]]


def by_quantiles(program: Callable[[], Any]) -> Any:
    """N draws of a program, as recipes draw it."""

    def one(key: jax.Array) -> Any:
        drawn = handlers.substitute(program, substitute_fn=laws.quantile_draws(key))
        return handlers.seed(drawn, 0)()

    return jax.tree.map(lambda v: np.asarray(v, float), jax.vmap(one)(jax.random.split(jax.random.key(5), N)))


@pytest.fixture(scope="module")
def draws() -> Draws:
    """N draws of every law, of one program: by quantiles and by NumPyro."""
    distributions = {name: law(**words).distribution() for name, (words, _) in CONTINUOUS.items()}
    keys = jax.random.split(jax.random.key(6), len(distributions))
    return {
        "quantiles": by_quantiles(lambda: {name: numpyro.sample(name, d) for name, d in distributions.items()}),
        "NumPyro": {
            name: np.asarray(d.sample(key, (N,)), float)
            for key, (name, d) in zip(keys, distributions.items(), strict=True)
        },
    }


@pytest.mark.parametrize("name", CONTINUOUS)
def test_draws_follow_the_closed_form(name: str, draws: Draws) -> None:
    words, wrong = CONTINUOUS[name]
    right, off = closed_form(**words), closed_form(**words | wrong)
    for how, values in draws.items():
        assert stats.kstest(values[name], right.cdf).pvalue > 1e-4, how
        assert stats.kstest(values[name], off.cdf).pvalue < 1e-4, f"{how}: a wrong law passes"
    low, high = words.get("range", (words.get("low", -np.inf), words.get("high", np.inf)))
    step = np.spacing(np.float32(max(abs(low), abs(high)))) if np.isfinite(high) else 0.0
    values = draws["quantiles"][name]
    assert low - step <= values.min() <= values.max() <= high + step


def test_sites_are_independent(draws: Draws) -> None:
    ranks = stats.rankdata(np.stack(list(draws["quantiles"].values())), axis=1)
    assert np.abs(np.corrcoef(ranks) - np.eye(len(ranks))).max() < 4 / np.sqrt(N)


@pytest.mark.parametrize("p", [0.0, 0.12, 0.5, 1.0])
def test_chance(p: float) -> None:
    values = by_quantiles(lambda: numpyro.sample("x", law(law="chance", p=p).distribution()))
    assert set(np.unique(values)) <= {0, 1}
    assert stats.binomtest(int(values.sum()), N, p).pvalue > 1e-4
    if 0 < p < 1:
        assert stats.binomtest(int(values.sum()), N, p * 0.9).pvalue < 1e-4


def test_laws_that_fields_use_of_their_own() -> None:
    """Categorical and Kumaraswamy: quantiles of ours, the latter F(x) = 1 - (1 - x^a)^b."""
    shares = np.array([0.4, 0.45, 0.15])
    counts = np.bincount(
        by_quantiles(lambda: numpyro.sample("x", dist.Categorical(jnp.asarray(shares)))).astype(int), minlength=3
    )
    assert stats.chisquare(counts, N * shares).pvalue > 1e-4
    assert stats.chisquare(counts, N * shares[::-1]).pvalue < 1e-4
    a, b = 1.2, 2.0
    values = by_quantiles(lambda: numpyro.sample("x", dist.Kumaraswamy(a, b)))
    assert stats.kstest(values, lambda x: 1 - (1 - x**a) ** b).pvalue > 1e-4
    assert stats.kstest(values, lambda x: 1 - (1 - x**b) ** a).pvalue < 1e-4


def test_elements_of_a_vector_site_are_independent() -> None:
    values = by_quantiles(lambda: numpyro.sample("x", dist.Normal(0.0, 0.35).expand([4]).to_event(1)))
    assert values.shape == (N, 4)
    for k in range(4):
        assert stats.kstest(values[:, k], stats.norm(0, 0.35).cdf).pvalue > 1e-4
    assert np.abs(np.corrcoef(values.T) - np.eye(4)).max() < 4 / np.sqrt(N)


def test_too_many_sites_are_refused() -> None:
    def many() -> None:
        numpyro.sample("x", dist.Normal(0.0, 1.0).expand([200]).to_event(1))
        numpyro.sample("y", dist.Normal(0.0, 1.0).expand([57]).to_event(1))

    drawn = handlers.substitute(many, substitute_fn=laws.quantile_draws(jax.random.key(0)))
    with pytest.raises(ValueError, match="site 'y': the program draws more than 256 numbers"):
        handlers.seed(drawn, 0)()


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "backwards": ({"law": "uniform", "low": 2, "high": 1}, "low 2 is not below high 1"),
    "no width": ({"law": "loguniform", "low": 1, "high": 1}, "low 1 is not below high 1"),
    "logarithm of 0": ({"law": "loguniform", "low": 0, "high": 1}, "greater than 0"),
    "sigma 0": ({"law": "normal", "mean": 0, "sigma": 0}, "greater than 0"),
    "range backwards": ({"law": "normal", "mean": 0, "sigma": 1, "range": (1, -1)}, "not increasing"),
    "range over 0": ({"law": "lognormal", "median": 1, "sigma": 1, "range": (0, 2)}, "not positive"),
    "range in the tail": ({"law": "normal", "mean": 25, "sigma": 1, "range": (19, 20.5)}, "holds 3e-06 of the law"),
    "range in the other": ({"law": "lognormal", "median": 1, "sigma": 0.1, "range": (2, 3)}, "holds 2e-12 of the law"),
    "sliver of a range": ({"law": "normal", "mean": 0, "sigma": 1, "range": (1, 1.0001)}, "holds 2e-05 of the law"),
    "negative median": ({"law": "lognormal", "median": -1, "sigma": 1}, "greater than 0"),
    "probability": ({"law": "chance", "p": 1.5}, "less than or equal to 1"),
    "infinite": ({"law": "uniform", "low": 0, "high": float("inf")}, "finite"),
    "not a number": ({"law": "normal", "mean": float("nan"), "sigma": 1}, "finite"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    words, message = MISTAKES[name]
    with pytest.raises(ValidationError, match=message):
        law(**words)
