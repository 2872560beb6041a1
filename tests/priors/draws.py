"""Many fields drawn from a shipped recipe's prior, and the values of every site they were drawn with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from pydantic import TypeAdapter

from twin.priors import fields, laws
from twin.schema import load_yaml

LAWS: TypeAdapter[dict[str, laws.Law]] = TypeAdapter(dict[str, laws.Law])
WAVELENGTHS = np.array([480.0, 620.0, 760.0])  # those at which magnitudes are g, r and i themselves
HALF_SIDE = 8.0
N = 3000
Values = dict[str, np.ndarray]
Drawn = dict[str, tuple[Values, Values]]  # class -> (truth, values of the sites)


def shipped_laws(recipe: str = "ps1-lens") -> dict[str, Any]:
    """The laws of a shipped recipe's `prior:` section by site."""
    path = Path(str(files("twin"))) / "configs" / "recipes" / f"{recipe}.yaml"
    return LAWS.validate_python(load_yaml(path).value["prior"])


@dataclass(frozen=True)
class Noting(fields.Prior):
    """A prior that notes which law each site was drawn from."""

    drawn: dict[str, str] = field(default_factory=dict)

    def draw(self, site: str, name: str | None = None, size: int | None = None) -> jax.Array:
        self.drawn[name or site] = site
        return super().draw(site, name, size)


def prior(given: dict[str, Any]) -> Noting:
    return Noting({name: law.distribution() for name, law in given.items()}, WAVELENGTHS, HALF_SIDE)


def program(p: fields.Prior, name: str) -> Callable[[], fields.Truth]:
    """A class with its interlopers and faint galaxies, as recipes run it."""
    return lambda: {**fields.CLASSES[name](p), **fields.interlopers(p), **fields.faint_galaxies(p)}


def by_quantiles(model: Callable[[], Any], seed: int = 0) -> tuple[Any, Any]:
    """(what the program returns, the values of its sites), N times over, as recipes draw it."""
    return _many(lambda key: handlers.substitute(model, substitute_fn=laws.quantile_draws(key)), seed)


def by_numpyro(model: Callable[[], Any], seed: int = 0) -> tuple[Any, Any]:
    """The same by NumPyro's own sampling."""
    return _many(lambda key: model, seed)


def at_extremes(model: Callable[[], Any], seed: int = 0) -> tuple[Any, Any]:
    """The same with every site at its median or at the smallest or largest value that it can take."""

    def extreme(key: jax.Array) -> Callable[[], Any]:
        u = jax.random.choice(key, jnp.asarray([2.0**-24, 0.5, 1 - 2.0**-24]), (256,))
        return handlers.substitute(model, substitute_fn=laws.at_quantiles(u))

    return _many(extreme, seed)


def _many(draw: Callable[[jax.Array], Callable[[], Any]], seed: int) -> tuple[Any, Any]:
    def one(key: jax.Array) -> tuple[Any, Any]:
        trace = handlers.trace(handlers.seed(draw(key), key))
        returned = trace()
        return returned, {name: site["value"] for name, site in trace.trace.items() if site["type"] == "sample"}

    # no jit: compiling takes longer than running, and single operations are compiled once for all classes
    drawn = jax.vmap(one)(jax.random.split(jax.random.key(seed), N))
    return jax.tree.map(lambda v: np.asarray(v, float), drawn)
