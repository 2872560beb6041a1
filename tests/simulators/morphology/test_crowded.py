"""Crowded fields against the same objects drawn over the whole frame; whose pixel is whose; how blended."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.recipe.small import quick
from tests.simulators.morphology import truths
from twin.observatory.detector import noise_rms
from twin.observatory.state import ImagerState
from twin.priors import crowded
from twin.recipe import Recipe, load_recipe
from twin.simulators.optical import counts
from twin.simulators.scene import Scene, Sersics, render

K = 12


@cache
def recipe() -> Recipe:
    return load_recipe(
        "csst-crowded",
        ("frame.npix=64", "frame.factor=2", "scene.tiers=[[64, 2], [48, 4], [32, 6]]", "prior.density.low=1000"),
    )


@cache
def state() -> ImagerState:
    return recipe().state(jnp.asarray(recipe().exposures(3, 0, 1)[0]))


@cache
def drawn() -> Any:
    r, now = recipe(), state()

    def one(truth: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        rendered = r.simulator.render("crowded", truth, now, r.canvas)
        return rendered.expected, r.simulator.labels("crowded", truth, rendered, now)

    return quick(one, field(0))


def field(seed: int) -> dict[str, jax.Array]:
    from numpyro import handlers

    from twin.priors.laws import quantile_draws

    program = recipe().simulator.truth("crowded", recipe().laws)
    return handlers.substitute(
        program, substitute_fn=quantile_draws(jax.random.key(seed), recipe()._draws["crowded"])
    )()


def by_hand(**places: Any) -> dict[str, jax.Array]:
    """Two equal galaxies at the given places; the other slots are empty."""
    n = np.zeros(K)
    truth = {"x": n, "y": n, "radius": n + 0.15, "n": n + 1.0, "q": n + 1.0, "angle": n, "star": n}
    truth = {f"object_{name}": jnp.asarray(v, jnp.float32) for name, v in truth.items()}
    magnitude = np.full((K, 3), np.nan)
    magnitude[:2] = 21.0
    for name, v in places.items():
        truth[f"object_{name}"] = truth[f"object_{name}"].at[:2].set(jnp.asarray(v))
    return truth | {"object_mag": jnp.asarray(magnitude, jnp.float32)}


def test_stamps_lose_less_than_the_noise_shows() -> None:
    """All objects in Fourier space over the whole frame, and on their stamps."""
    whole = jax.jit(lambda s: render(recipe().canvas.grid, recipe().canvas.transfer(state()), Scene(s)))
    noise = np.asarray(noise_rms(state(), False))[:, None, None]
    worst = []
    for seed in range(4):
        t = field(seed)
        flux = jnp.stack([counts(m, state()) for m in t["object_mag"]], 1)
        s = Sersics(*(t[f"object_{name}"] for name in ("x", "y", "radius", "q", "angle", "n")), flux=flux)
        expected, _ = drawn()(t)
        off = np.abs(np.asarray(expected) - np.asarray(whole(s))) / noise
        worst.append(float(off.max()))
        assert np.median(off) < 0.02
    assert max(worst) < 0.6, worst
    assert float(np.abs(np.asarray(drawn()(field(0))[0]) - np.asarray(drawn()(field(1))[0])).max()) > 10


def test_two_galaxies_share_the_pixels_between_them() -> None:
    """Equal ones: each has its half, and none where the light is below the noise; beyond reach they are not blended."""
    apart, near = (drawn()(by_hand(x=x))[1] for x in ([-1.2, 1.2], [-0.1, 0.1]))
    whose = np.asarray(apart["segmentation"])
    assert set(np.unique(whose)) == {0, 1, 2}
    assert not np.any(whose[:, :32] == 2)
    assert not np.any(whose[:, 32:] == 1)
    assert int(apart["n"]) == 2
    assert np.array_equal(np.asarray(apart["pixels"])[:2], [np.sum(whose == 1), np.sum(whose == 2)])
    assert np.asarray(apart["blend"])[:2].max() < 0.02
    assert np.asarray(near["blend"])[:2] == pytest.approx(np.asarray(near["blend"])[0], abs=1e-3)
    assert 0.3 < float(near["blend"][0]) < 0.5
    assert np.all(np.isnan(np.asarray(apart["x"])[2:]))
    # a faint one in the light of a bright one: blended, and without a pixel of its own
    t = by_hand(x=[0.0, 0.12])
    t["object_mag"] = t["object_mag"].at[1].set(26.0)
    under = drawn()(t)[1]
    assert float(under["blend"][1]) > 0.9
    assert int(under["pixels"][1]) == 0


def test_fields_of_the_prior() -> None:
    """Objects first, the largest ones in front; frames finite at the extremes of every law."""
    t = field(5)
    there = ~np.isnan(np.asarray(t["object_mag"])[:, 0])
    assert np.all(np.diff(there.astype(int)) <= 0)
    r = t["object_mag"][:, 1]  # close to r
    reach = np.asarray(crowded.extent(r, t["object_radius"], t["object_n"], t["object_star"] == 1))[there]
    assert np.all(np.diff(reach) < 0.1 * reach[0])
    edges = _extremes(30)
    for k in range(30):
        expected, labels = drawn()({name: v[k] for name, v in edges.items()})
        assert np.all(np.isfinite(np.asarray(expected)))
        n = int(labels["n"])
        assert np.all(np.isfinite(np.asarray(labels["blend"])[:n]))
        assert int(np.asarray(labels["segmentation"]).max()) <= n


def _extremes(count: int) -> dict[str, jax.Array]:
    from numpyro import handlers

    from twin.priors.laws import at_quantiles

    edges, many = jnp.asarray([2.0**-24, 0.5, 1 - 2.0**-24]), recipe()._draws["crowded"]
    program = recipe().simulator.truth("crowded", recipe().laws)

    def one(key: jax.Array) -> dict[str, jax.Array]:
        return handlers.substitute(program, substitute_fn=at_quantiles(jax.random.choice(key, edges, (many,))))()

    return jax.vmap(one)(jax.random.split(jax.random.key(2), count))


def test_extent_is_the_isophote() -> None:
    """At an exponential galaxy's extent the surface brightness is 27.5 mag/arcsec^2."""
    r, radius = 21.0, 0.5
    reach = float(crowded.extent(jnp.float32(r), jnp.float32(radius), jnp.float32(1.0), jnp.asarray(False)))
    h = radius / 1.67835
    assert r - 2.5 * np.log10(np.exp(-reach / h) / (2 * np.pi * h**2)) == pytest.approx(27.5, abs=0.01)


def test_numbers_follow_the_density() -> None:
    r = truths.recipe("csst-crowded")
    area = (64 * 0.074 / 60) ** 2
    program = r.simulator.truth("crowded", r.laws)
    from numpyro import handlers

    from twin.priors.laws import quantile_draws

    def one(key: jax.Array) -> jax.Array:
        t = handlers.substitute(program, substitute_fn=quantile_draws(key, r._draws["crowded"]))()
        return jnp.sum(~jnp.isnan(t["object_mag"][:, 0]))

    number = np.asarray(jax.vmap(one)(jax.random.split(jax.random.key(0), 2000)))
    law = r.config.prior["density"]
    mean = (law.high - law.low) / np.log(law.high / law.low) * area  # type: ignore[union-attr]
    assert number.mean() == pytest.approx(mean, rel=0.05)
