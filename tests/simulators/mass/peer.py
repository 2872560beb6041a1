"""The same lens in lenstronomy: 100 random lenses, 100 random positions each, in float32 and in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

LENSES, POINTS = 100, 100
QUANTITIES = ("deflection", "potential", "convergence", "hessian")
# compiling is what these tests cost
CHEAP = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
quick = partial(jax.jit, compiler_options=CHEAP)
Keywords = list[tuple[str, dict[str, float], float]]


def draw(rng: np.random.Generator, ranges: Mapping[str, tuple[float, float]]) -> dict[str, np.ndarray]:
    """(LENSES,) float32 of each parameter, uniform in its range; log-uniform where the name ends with " log"."""
    drawn = {}
    for name, (low, high) in ranges.items():
        if name.endswith(" log"):
            values = np.exp(rng.uniform(np.log(low), np.log(high), LENSES))
        else:
            values = rng.uniform(low, high, LENSES)
        if name == "gamma":
            values[:10] = 2  # exactly isothermal
        drawn[name.removesuffix(" log")] = values.astype(np.float32)
    return drawn


def ellipticity(p: Mapping[str, float]) -> dict[str, float]:
    """lenstronomy's e1, e2 and centre of an elliptical profile."""
    from lenstronomy.Util.param_util import phi_q2_ellipticity

    e1, e2 = phi_q2_ellipticity(p["angle"], p["q"])
    return {"e1": e1, "e2": e2, "center_x": p["x"], "center_y": p["y"]}


def centre(p: Mapping[str, float]) -> dict[str, float]:
    return {"center_x": p["x"], "center_y": p["y"]}


def ours(module: ModuleType, profile: Any, x: np.ndarray, y: np.ndarray, dtype: Any) -> dict[str, np.ndarray]:
    """Every quantity (..., LENSES, POINTS) of lenses at their own positions, as float64."""
    lens = jax.tree.map(lambda v: jnp.asarray(v, dtype), profile)
    at = jnp.asarray(x, dtype), jnp.asarray(y, dtype)
    compiled = quick if dtype == jnp.float64 else jax.jit  # float32 as it runs in frames
    every = compiled(jax.vmap(lambda p, u, v: [getattr(module, name)(p, u, v) for name in QUANTITIES]))(lens, *at)
    return {
        name: np.asarray(jnp.stack(jnp.broadcast_arrays(*value)) if isinstance(value, tuple) else value, float)
        for name, value in zip(QUANTITIES, every, strict=True)
    }


def theirs(
    keywords: Callable[[dict[str, float]], Keywords],
    drawn: dict[str, np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    with_potential: bool = True,
) -> dict[str, np.ndarray]:
    """The same from lenstronomy: a weighted sum of its profiles."""
    lens_model = pytest.importorskip("lenstronomy.LensModel.lens_model")
    models: dict[str, Any] = {}
    found: dict[str, list[Any]] = {name: [] for name in QUANTITIES}
    for i in range(len(x)):
        at = x[i].astype(float), y[i].astype(float)
        parts = keywords({name: float(value[i]) for name, value in drawn.items()})
        alpha, psi, second = np.zeros((2, len(x[i]))), np.zeros(len(x[i])), np.zeros((3, len(x[i])))
        for name, kwargs, weight in parts:
            if name not in models:
                models[name] = lens_model.LensModel([name])
            model = models[name]
            alpha += weight * np.array(model.alpha(*at, [kwargs]))
            if with_potential:
                psi += weight * np.asarray(model.potential(*at, [kwargs]))
            xx, xy, _, yy = model.hessian(*at, [kwargs])
            second += weight * np.array([xx, yy, xy])
        for name, value in zip(QUANTITIES, (alpha, psi, 0.5 * (second[0] + second[1]), second), strict=True):
            found[name].append(value)
    return {name: np.stack(values, -2) for name, values in found.items()}


def errors(mine: dict[str, np.ndarray], peer: dict[str, np.ndarray], of_shear: bool = False) -> dict[str, float]:
    """Largest relative error of each quantity; of potentials less that at the first position (their constants are
    free), relative to each lens's largest.

    of_shear: convergences that pass through zero or vanish far out, relative to all second derivatives.
    Magnifications away from critical curves: where the determinant is a tenth of what its terms are.
    """

    def length(v: np.ndarray) -> np.ndarray:
        return np.sqrt(np.sum(v * v, 0))

    def rise(v: np.ndarray) -> np.ndarray:
        return v - v[..., :1]

    def determinant(h: np.ndarray) -> np.ndarray:
        return (1 - h[0]) * (1 - h[1]) - h[2] ** 2

    worst = {
        "deflection": length(mine["deflection"] - peer["deflection"]) / length(peer["deflection"]),
        "hessian": length(mine["hessian"] - peer["hessian"]) / length(peer["hessian"]),
        "convergence": np.abs(mine["convergence"] - peer["convergence"])
        / (length(peer["hessian"]) if of_shear else np.maximum(np.abs(peer["convergence"]), 1e-300)),
        "potential": np.abs(rise(mine["potential"]) - rise(peer["potential"]))
        / np.abs(peer["potential"]).max(-1, keepdims=True),
    }
    det = determinant(peer["hessian"])
    regular = np.abs(det) > 0.1 * (1 + length(peer["hessian"])) ** 2
    assert regular.mean() > 0.2
    worst["magnification"] = np.abs(determinant(mine["hessian"]) / det - 1)[regular]
    assert all(np.isfinite(v).all() for v in worst.values())
    return {name: float(value.max()) for name, value in worst.items()}


def compare(
    rng: np.random.Generator,
    module: ModuleType,
    kind: type,
    ranges: Mapping[str, tuple[float, float]],
    keywords: Callable[[dict[str, float]], Keywords],
    of_shear: bool = False,
) -> tuple[dict[str, float], dict[str, float]]:
    """Errors of float32 and of float64 against lenstronomy."""
    drawn = draw(rng, ranges)
    x, y = rng.uniform(-5, 5, (2, LENSES, POINTS)).astype(np.float32)
    profile = kind(**drawn)
    peer = theirs(keywords, drawn, x, y)
    single = errors(ours(module, profile, x, y, jnp.float32), peer, of_shear)
    with jax.enable_x64(True):
        double = errors(ours(module, profile, x, y, jnp.float64), peer, of_shear)
    return single, double
