"""Probability laws as data: what a recipe's `prior:` section may say of a parameter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import Array
from numpyro import handlers
from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Law(BaseModel):
    """A law. `support` is what draws can reach: a Gaussian without a range ends where float32 uniforms do."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


_REACH = 5.4  # standard deviations: no uniform of float32 lies further out
_LEAST = 1e-4  # share of a Gaussian that a range must hold: float32 has too few quantiles in less of it


def _share(low: float, high: float) -> float:
    """Probability of a unit Gaussian between two limits, exact in both tails."""
    if low > 0:
        low, high = -high, -low
    return 0.5 * (math.erfc(-high / math.sqrt(2)) - math.erfc(-low / math.sqrt(2)))


def _hold_enough(share: float, limits: tuple[float, float]) -> None:
    if share < _LEAST:
        raise ValueError(f"range {list(limits)} holds {share:.1g} of the law, less than {_LEAST:g}: move or widen it")


class _Between(_Law):
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> _Between:
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        return self

    @property
    def support(self) -> tuple[float, float]:
        return self.low, self.high


class Uniform(_Between):
    law: Literal["uniform"]

    def distribution(self) -> dist.Distribution:
        return dist.Uniform(self.low, self.high)


class LogUniform(_Between):
    law: Literal["loguniform"]
    low: float = Field(gt=0)

    def distribution(self) -> dist.Distribution:
        return dist.LogUniform(self.low, self.high)


class Normal(_Law):
    """Gaussian, cut at `range` where one is given."""

    law: Literal["normal"]
    mean: float
    sigma: float = Field(gt=0)
    range: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Normal:
        if self.range and not self.range[0] < self.range[1]:
            raise ValueError(f"range {list(self.range)} is not increasing")
        if self.range:
            low, high = ((edge - self.mean) / self.sigma for edge in self.range)
            _hold_enough(_share(low, high), self.range)
        return self

    @property
    def support(self) -> tuple[float, float]:
        return self.range or (self.mean - _REACH * self.sigma, self.mean + _REACH * self.sigma)

    def distribution(self) -> dist.Distribution:
        if self.range is None:
            return dist.Normal(self.mean, self.sigma)
        return dist.TruncatedNormal(self.mean, self.sigma, low=self.range[0], high=self.range[1])


class LogNormal(_Law):
    """ln x is Gaussian about ln `median` with `sigma`, cut at `range` where one is given."""

    law: Literal["lognormal"]
    median: float = Field(gt=0)
    sigma: float = Field(gt=0)
    range: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> LogNormal:
        if self.range and not 0 < self.range[0] < self.range[1]:
            raise ValueError(f"range {list(self.range)} is not positive and increasing")
        if self.range:
            low, high = (math.log(edge / self.median) / self.sigma for edge in self.range)
            _hold_enough(_share(low, high), self.range)
        return self

    @property
    def support(self) -> tuple[float, float]:
        factor = math.exp(min(_REACH * self.sigma, 700.0))
        return self.range or (self.median / factor, self.median * factor)

    def distribution(self) -> dist.Distribution:
        if self.range is None:
            return dist.LogNormal(math.log(self.median), self.sigma)
        low, high = (math.log(v) for v in self.range)
        base = dist.TruncatedNormal(math.log(self.median), self.sigma, low=low, high=high)
        return dist.TransformedDistribution(base, dist.transforms.ExpTransform())


class Chance(_Law):
    """True with probability `p`."""

    law: Literal["chance"]
    p: float = Field(ge=0, le=1)

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, 1.0

    def distribution(self) -> dist.Distribution:
        return dist.Bernoulli(self.p)


Law = Annotated[Uniform | LogUniform | Normal | LogNormal | Chance, Field(discriminator="law")]


_USUAL = 256  # uniforms that recipes draw at once, whatever fewer a program uses: new sites leave the others alone


def _normal(u: Array) -> Array:
    """Quantile of the unit Gaussian: erf_inv is one operation, NumPyro's ndtri forty, and compile time counts."""
    return math.sqrt(2) * jax.lax.erf_inv(jnp.clip(2 * u - 1, -1 + 2.0**-23, 1 - 2.0**-23))


def _quantile(law: dist.Distribution, u: Array) -> Array:
    """The u-quantile of a law, 0 < u < 1."""
    if isinstance(law, (dist.Independent, dist.ExpandedDistribution)):
        return _quantile(law.base_dist, u)
    if isinstance(law, dist.Normal):
        return law.loc + law.scale * _normal(u)
    if isinstance(law, dist.truncated.TwoSidedTruncatedDistribution) and isinstance(law.base_dist, dist.Normal):
        loc, scale = float(law.base_dist.loc), float(law.base_dist.scale)
        low, high = (0.5 * math.erfc((loc - float(edge)) / scale / math.sqrt(2)) for edge in (law.low, law.high))
        return jnp.clip(loc + scale * _normal(low + (high - low) * u), float(law.low), float(law.high))
    if isinstance(law, dist.BernoulliProbs):
        return (u < law.probs).astype(jnp.int32)
    if isinstance(law, dist.CategoricalProbs):
        return jnp.sum(u > jnp.cumsum(law.probs)[:-1]).astype(jnp.int32)
    if isinstance(law, dist.Kumaraswamy):
        return (1 - (1 - u) ** (1 / law.concentration0)) ** (1 / law.concentration1)
    if isinstance(law, dist.TransformedDistribution):  # ours are all increasing: exponentials
        value = _quantile(law.base_dist, u)
        for transform in law.transforms:
            value = transform(value)
        return value
    return law.icdf(u)


def quantile_draws(key: Array, count: int = 0) -> Callable[[dict[str, Any]], Array | None]:
    """A `substitute_fn` for NumPyro: draws every site as a quantile of one shared vector of uniforms, `count` or more.

    Inverse-transform sampling is exact, and one draw of all uniforms compiles and runs several times faster than a
    generator call a site. Latent sites only.
    """
    # open at 0, where normals are infinite
    return at_quantiles(jax.random.uniform(key, (max(count, _USUAL),), jnp.float32, minval=2.0**-24))


def count_draws(program: Callable[[], dict[str, Array]]) -> tuple[dict[str, tuple[int, ...]], int]:
    """(shape of every value that a NumPyro program returns, how many numbers its sites draw); nothing is computed."""
    drawn = 0

    def middle(site: dict[str, Any]) -> Array | None:
        nonlocal drawn
        if site["type"] != "sample" or site.get("is_observed"):
            return None
        drawn += math.prod(site["fn"].shape())
        return _quantile(site["fn"], jnp.full(site["fn"].shape(), 0.5, jnp.float32))

    shapes = jax.eval_shape(lambda: handlers.substitute(program, substitute_fn=middle)())
    return {name: value.shape for name, value in shapes.items()}, drawn


def at_quantiles(uniforms: Array) -> Callable[[dict[str, Any]], Array | None]:
    """A `substitute_fn` for NumPyro that puts every site at its quantile: as many of `uniforms` (N,) as it has numbers,
    in the order of the program."""
    used = 0

    def draw(site: dict[str, Any]) -> Array | None:
        nonlocal used
        if site["type"] != "sample" or site.get("is_observed"):
            return None
        law, size = site["fn"], math.prod(site["fn"].shape())
        if used + size > len(uniforms):
            raise ValueError(f"site {site['name']!r}: the program draws more than {len(uniforms)} numbers")
        u = uniforms[used : used + size].reshape(law.shape())
        value = _quantile(law, u)
        used += size
        return value

    return draw
