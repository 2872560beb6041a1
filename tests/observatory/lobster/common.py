"""The optic of the Monte-Carlo table, and how far a traced PSF is from the separable one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from twin.observatory.lobster.bounces import ARCMIN
from twin.observatory.lobster.psf import Factors, areas, factors, optic_area, profile
from twin.observatory.lobster.reflectivity import Coating
from twin.observatory.lobster.state import LobsterState
from twin.observatory.lobster.telescope import load_lobster
from twin.observatory.lobster.trace import trace

IRIDIUM = Coating()
EDGES = np.arange(-499.5, 500, 4.5).astype(np.float32)  # 221 bins of 4.5'


def ideal(**changes: float) -> LobsterState:
    """generic-lobster, changed."""
    state = load_lobster("generic-lobster").state()
    return replace(state, **{key: jnp.float32(value) for key, value in changes.items()})


area_table = jax.jit(areas, static_argnames="coating")


@partial(jax.jit, static_argnames="coating")
def both(state: LobsterState, coating: Coating, energy: Any, source: Any, edges: Any) -> list[Factors]:
    """Factors along x and y times the optic's open area, of bins about the source."""
    p = profile(state, coating, energy)
    return [factors(state, p, axis, source[axis], edges + source[axis], source[1 - axis]) for axis in range(2)]


@jax.jit
def _binned(x: Any, y: Any, weight: Any, bounces: Any, edges: Any) -> Any:
    step = edges[1] - edges[0]
    n = len(edges) - 1
    odd = bounces % 2
    zero = (bounces == 0).all(0)
    kind = jnp.where(zero, 3, odd.sum(0))
    sums = jnp.zeros(4).at[kind].add(weight)
    marginals = []
    for place in (x, y):
        at = jnp.floor((place - edges[0]) / step).astype(jnp.int32)
        at = jnp.where((at < 0) | (at >= n), n, at)
        marginals += [jnp.zeros(n + 1).at[at].add(weight), jnp.zeros(n + 1).at[at].add(weight**2)]
    inner = ((x**2 + y**2) < 9.1**2) * weight
    return sums, jnp.stack(marginals)[:, :-1], inner.sum()


def traced(
    state: LobsterState, source: tuple[float, float], rays: int, seed: int = 0, energy: float = 1.0
) -> tuple[dict[str, float], np.ndarray, np.ndarray, float]:
    """Areas by kind [cm2], marginals along x and y (2, bins), their variances, area within 9.1' of the source."""
    sums, marginals, inner = np.zeros(4), np.zeros((4, len(EDGES) - 1)), 0.0
    block = min(rays, 200_000)
    for k in range(rays // block):
        key = jax.random.fold_in(jax.random.key(seed), k)
        r = trace(key, state, IRIDIUM, energy, jnp.asarray(source), block)
        found = [np.asarray(v, float) for v in _binned(r.x, r.y, r.weight, r.bounces, jnp.asarray(EDGES))]
        sums, marginals, inner = sums + found[0], marginals + found[1], inner + float(found[2])
    calls = rays // block
    kinds = {"focus": sums[2], "arms": sums[1], "diffuse": sums[0] + sums[3], "unreflected": sums[3]}
    share = marginals[::2] / calls, marginals[1::2] / calls**2
    return {key: value / calls for key, value in kinds.items()}, share[0], share[1], inner / calls


def separable(
    state: LobsterState, source: tuple[float, float], energy: float = 1.0
) -> tuple[dict[str, float], np.ndarray]:
    """The same of the separable PSF: areas by kind, marginals (2, bins)."""
    at = jnp.asarray(source, jnp.float32)
    kinds = {key: float(value) for key, value in area_table(state, IRIDIUM, energy, at).items()}
    x, y = both(state, IRIDIUM, energy, at, jnp.asarray(EDGES))
    area = float(optic_area(state))
    one, other = (
        [np.asarray(v, float) for v in (f.whole, f.many, f.broad - f.odd, *f.far, *(f.bent - f.odd))] for f in (x, y)
    )
    return kinds, area * np.stack([_marginal(one, other), _marginal(other, one)])


def _marginal(one: list[np.ndarray], other: list[np.ndarray]) -> np.ndarray:
    pairs = ((0, 0), (1, 2), (2, 1), (3, 5), (4, 6), (5, 3), (6, 4))
    return sum((one[i] * other[j].sum() for i, j in pairs), np.zeros_like(one[0]))


def fractions(kinds: dict[str, float]) -> np.ndarray:
    """Shares of focus, arms, diffuse patch and of the unreflected."""
    total = kinds["focus"] + kinds["arms"] + kinds["diffuse"]
    return np.array([kinds[key] / total for key in ("focus", "arms", "diffuse", "unreflected")])


def reduced_chi_square(
    model: np.ndarray, found: np.ndarray, variance: np.ndarray, rays: int, wing: bool = False
) -> np.ndarray:
    """Of each marginal, in bins that the model gives at least 25 of `rays` photons of equal weight.

    wing: variances are those of neighbours, where larger. Far out, less than one ray a bin is scattered there, which
    has a hundred times the weight of others: without it the bin's own variance is far too small.
    """
    values, around = [], np.stack([np.convolve(v, np.full(9, 1 / 9), "same") for v in variance])
    variance = np.maximum(variance, around) if wing else variance
    for m, f, v in zip(model, found, variance, strict=True):
        use = (m * rays / 4.0 / m.sum() > 25) & (v > 0)  # a quarter of the rays carries the weight
        values.append(((f - m)[use] ** 2 / v[use]).mean())
    return np.array(values)


def within(state: LobsterState, radius: float, energy: float = 1.0) -> float:
    """Share of a source in the middle of the field that falls within `radius` [arcmin] of it."""
    edges = np.linspace(-radius, radius, 129).astype(np.float32)
    x, y = both(state, IRIDIUM, energy, jnp.zeros(2), jnp.asarray(edges))
    image = np.outer(np.asarray(y.whole), np.asarray(x.whole))
    middle = (edges[1:] + edges[:-1]) / 2
    inside = np.hypot(middle[:, None], middle) < radius
    kinds = area_table(state, IRIDIUM, energy, jnp.zeros(2))
    total = sum(float(kinds[key]) for key in ("focus", "arms", "diffuse"))
    return float((image * inside).sum() * float(optic_area(state)) / total)


SIGHT = np.pi / 180 / ARCMIN  # arcmin of direction sine in a degree, small angles
