"""Sums of components: padding, no recompilation, limits without NaN, gradients."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.simulators.mass import peer
from tests.simulators.mass.peer import quick
from twin.simulators.mass import api, compound
from twin.simulators.mass.compound import KINDS, Mass

PROFILES: dict[str, type] = {
    kind: next(
        v
        for v in vars(module).values()
        if isinstance(v, type) and v.__module__ == module.__name__ and v.__name__[0] != "_"
    )
    for kind, module in KINDS.items()
}


def some(kind: str, count: int, rng: np.random.Generator) -> Any:
    """Random components of a kind, well inside its limits."""
    drawn = {}
    for name, about in api.parameters(PROFILES[kind]).items():
        low, high = max(about.low, -1.0), min(about.high, 1.0)
        if low >= high:  # slopes and the like: all beyond 1
            low, high = about.low, min(about.high, about.low + 1)
        drawn[name] = jnp.asarray(rng.uniform(low + 0.1 * (high - low), high, count), jnp.float32)
    return PROFILES[kind](**drawn)


def test_every_kind_has_every_quantity_and_says_what_its_parameters_are() -> None:
    assert {f.name for f in fields(Mass)} == set(KINDS)
    for kind, module in KINDS.items():
        assert all(callable(getattr(module, name)) for name in peer.QUANTITIES)
        for about in api.parameters(PROFILES[kind]).values():
            assert about.meaning
            assert about.low <= about.absent <= about.high


def every(mass: Mass, x: jax.Array, y: jax.Array) -> list[Any]:
    return [getattr(compound, name)(mass, x, y) for name in peer.QUANTITIES]


def total(mass: Mass, x: jax.Array, y: jax.Array) -> jax.Array:
    return sum(jnp.sum(value) for value in jax.tree.leaves(every(mass, x, y)))


@pytest.mark.parametrize("kind", ["dpie", "shear"])
def test_sums_do_not_depend_on_how_they_are_made(kind: str, rng: np.random.Generator) -> None:
    """Components in a loop (many points), at once (few points), and beside absent ones."""
    profile = some(kind, 5, rng)
    x, y = (jnp.asarray(rng.uniform(-3, 3, 600), jnp.float32) for _ in range(2))

    @quick
    def ways(profile: Any) -> list[Any]:
        mass, padded = Mass(**{kind: profile}), Mass(**{kind: api.pad(profile, 9)})
        return [every(mass, x, y), every(mass, x[:500], y[:500]), every(padded, x, y)]

    loop, at_once, padded = ways(profile)
    alone = quick(jax.vmap(lambda p: every(Mass(**{kind: p}), x, y)))(profile)
    for a, b, c, d in zip(*map(jax.tree.leaves, (loop, at_once, padded, alone)), strict=True):
        scale = 2e-6 * float(jnp.abs(d).max()) + 1e-12
        np.testing.assert_allclose(a, jnp.sum(d, 0), atol=scale, rtol=2e-5)
        np.testing.assert_allclose(b, a[:500], atol=scale, rtol=2e-5)
        np.testing.assert_array_equal(c, a)


@pytest.mark.parametrize("kind", KINDS)
def test_limits_are_finite_and_absent_components_deflect_nothing(kind: str, rng: np.random.Generator) -> None:
    """Axis ratios 0, 1 and beyond, sizes of 0, any slope, the very centre, far away, padding, an array of zeros: each
    lens at each point, with gradients by every parameter."""
    edges = {"q": (0.0, 0.2, 1.0, 1.1), "gamma": (0.0, 2.0, 3.0), "n": (0.0, 4.0, 12.0), "x": (0.0,), "y": (0.0,)}
    pool = {name: edges.get(name, (0.0, 1e-4, 1.0, 300.0)) for name in api.parameters(PROFILES[kind])}
    lens = PROFILES[kind](*(jnp.asarray(rng.choice(pool[name], 200), jnp.float32) for name in pool))
    padding = api.pad(jax.tree.map(lambda v: v[:0], lens), 1)
    zeros = jax.tree.map(jnp.zeros_like, padding)
    lens = jax.tree.map(lambda *parts: jnp.concatenate(parts), padding, zeros, lens)
    x, y = (jnp.asarray(v, jnp.float32) for v in ([0.0, 1e-5, 1.0, 0.0, -500.0], [0.0, 0.0, 0.0, 1.0, 900.0]))

    def alone(p: Any, u: jax.Array, v: jax.Array) -> Any:
        return every(Mass(**{kind: p}), u, v), jax.grad(total, (0, 1, 2))(Mass(**{kind: p}), u, v)

    values, (of_mass, *of_place) = quick(jax.vmap(jax.vmap(alone, (None, 0, 0)), (0, None, None)))(lens, x, y)
    for found in jax.tree.leaves((values, of_mass, of_place)):
        assert bool(jnp.isfinite(found).all())
    assert all(float(jnp.abs(found[:2]).max()) == 0 for found in jax.tree.leaves((values, of_place)))


# the others' potentials and second derivatives are held to lenstronomy's in test_profiles
@pytest.mark.parametrize("kind", ["sersic", *(pytest.param(k, marks=pytest.mark.slow) for k in KINDS if k != "sersic")])
def test_second_derivatives_are_those_of_the_potential(kind: str, rng: np.random.Generator) -> None:
    """alpha = grad psi, and the Hessian that of psi: away from centres, in float64."""
    with jax.enable_x64(True):
        lens = jax.tree.map(lambda v: jnp.asarray(v, jnp.float64), some(kind, 20, rng))
        x, y = (jnp.asarray(rng.uniform(1.5, 4, (20, 10))) for _ in range(2))
        module = KINDS[kind]

        def each(p: Any, u: jax.Array, v: jax.Array) -> Any:
            slope = jax.grad(module.potential, (1, 2))(p, u, v)
            (xx, yx), (xy, yy) = (
                jax.jvp(lambda *at: module.deflection(p, *at), (u, v), step)[1] for step in ((1.0, 0.0), (0.0, 1.0))
            )
            second = jnp.array([[xx, xy], [yx, yy]])
            return slope, second, module.deflection(p, u, v), module.hessian(p, u, v), module.convergence(p, u, v)

        slope, second, alpha, (xx, yy, xy), kappa = quick(jax.vmap(jax.vmap(each, (None, 0, 0))))(lens, x, y)
        np.testing.assert_allclose(np.array(slope), np.array(alpha), rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(second[..., 0, 0], xx, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(second[..., 1, 1], yy, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(second[..., 0, 1], xy, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(0.5 * (xx + yy), kappa, rtol=1e-7, atol=1e-9)


def test_magnification_of_many() -> None:
    """Of all together, not of each: 1 / det(1 - sum of Hessians); on the critical curve of a point mass a number."""
    two = Mass(
        sis=KINDS["sis"].SIS(*(jnp.float32(v) for v in (1.0, 0.0, 0.0))),
        convergence=KINDS["convergence"].Sheet(*(jnp.float32(v) for v in (0.2, 0.0, 0.0))),
    )
    x, y = jnp.asarray([2.0, -3.0, 0.0], jnp.float32), jnp.asarray([0.0, 1.0, 1.25], jnp.float32)
    r = np.hypot(x, y)
    mu = np.asarray(compound.magnification(two, x, y))
    np.testing.assert_allclose(mu[:2], 1 / (0.8 * (0.8 - 1 / r[:2])), rtol=1e-5)
    assert np.isfinite(mu[2])
    assert abs(mu[2]) > 1e5


def test_members_up_to_the_pad_need_no_compilation(rng: np.random.Generator) -> None:
    traced = 0

    @jax.jit
    def deflect(mass: Mass, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        nonlocal traced
        traced += 1
        return compound.deflection(mass, x, y)

    x, y = (jnp.asarray(rng.uniform(-3, 3, 700), jnp.float32) for _ in range(2))
    for count in (0, 1, 7, 100):
        members = api.pad(some("dpie", count, rng), 100)
        assert np.isfinite(np.asarray(deflect(Mass(dpie=members), x, y))).all()
    assert traced == 1
    with pytest.raises(ValueError, match="101 components do not fit into 100"):
        api.pad(some("dpie", 101, rng), 100)
