"""Encounters of galaxies against an integrator of high order, and what Toomre & Toomre found of them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from twin.simulators.morphology import encounter

F = jnp.float32


@jax.jit
def run(ratio: jax.Array, pericentre: jax.Array, time: jax.Array, spin: jax.Array) -> encounter.Snapshot:
    still = jnp.zeros(2)
    return vars(encounter.snapshot(ratio, pericentre, time, spin, still, still, jnp.asarray([0.5, 0.5])))


def pull(d: np.ndarray, mass: float, length: float) -> np.ndarray:
    s = np.sqrt((d**2).sum(-1, keepdims=True) + (encounter._SOFT * length) ** 2)
    return -mass * d / (s * (s + encounter._HALO * length) ** 2)


def precise(ratio: float, pericentre: float, time: float, spins: np.ndarray, which: np.ndarray) -> np.ndarray:
    """(2, n, 2) places of particles `which`, from the paper's equations by DOP853."""
    mass, length = np.array([1, ratio]), np.sqrt([1, ratio])
    share = np.array([-ratio, 1.0]) / (1 + ratio)
    speed = np.sqrt(2 * mass.sum() / (pericentre + encounter._HALO))

    def orbit(drag: float):
        def rate(_: float, s: np.ndarray) -> np.ndarray:
            d, v = s[:3], s[3:]
            friction = drag * ratio / ((d**2).sum() + 1.0) * v
            return np.concatenate([v, pull(d, mass.sum(), 1.0) - friction])

        return rate

    tight = {"method": "DOP853", "rtol": 1e-10, "atol": 1e-10}
    start = np.array([pericentre, 0, 0, 0, speed, 0])
    begin = solve_ivp(orbit(0.0), (0, -encounter.APPROACH), start, **tight).y[:, -1]
    radii, turns = encounter._RADII[which], encounter._TURNS[which]
    x, v = [], []
    for j in (0, 1):
        along, across = np.array([1.0, 0, 0]), np.array([0, np.cos(spins[j]), np.sin(spins[j])])
        r = radii * length[j]
        s = np.sqrt(r**2 + (encounter._SOFT * length[j]) ** 2)
        circular = r * np.sqrt(mass[j] / s) / (s + encounter._HALO * length[j])
        cos, sin = np.cos(turns)[:, None], np.sin(turns)[:, None]
        x.append(share[j] * begin[:3] + r[:, None] * (cos * along + sin * across))
        v.append(share[j] * begin[3:] + circular[:, None] * (cos * across - sin * along))
    n = 2 * len(which)

    def rate(t: float, s: np.ndarray) -> np.ndarray:
        d = s[:3]
        places = s[6 : 6 + 3 * n].reshape(n, 3)
        force = sum(pull(places - share[j] * d, mass[j], length[j]) for j in (0, 1))
        return np.concatenate([orbit(encounter._DRAG)(t, s[:6]), s[6 + 3 * n :], force.ravel()])

    state = np.concatenate([begin, np.ravel(x), np.ravel(v)])
    end = solve_ivp(rate, (-encounter.APPROACH, time), state, **tight).y[:, -1]
    middle = 0.5 * (share[0] + share[1]) * end[:3]
    return (end[6 : 6 + 3 * n].reshape(2, len(which), 3) - middle)[..., :2]


def test_leapfrog_follows_the_equations() -> None:
    """Particles of the outer disc, which make the tails, to a twentieth of a scale length (median)."""
    which = np.arange(700, encounter.PARTICLES, 150)
    spins = np.array([0.4, 2.0])
    ours = np.asarray(run(F(0.5), F(3.0), F(15.0), jnp.asarray(spins, F))["discs"])[:, which]
    theirs = precise(0.5, 3.0, 15.0, spins, which)
    assert np.median(np.hypot(*(ours - theirs).transpose(2, 0, 1))) < 0.05
    early = precise(0.5, 3.0, 14.0, spins, which)
    assert np.median(np.hypot(*(ours - early).transpose(2, 0, 1))) > 0.1


def test_tails_come_from_discs_that_turn_with_the_orbit() -> None:
    """Toomre & Toomre's first finding: prograde discs lose far more than retrograde ones."""
    strayed = [np.asarray(run(F(1.0), F(7.0), F(25.0), jnp.full(2, spin))["strayed"]) for spin in (0.0, np.pi)]
    assert np.all(strayed[0] > 3 * strayed[1])
    assert strayed[0].min() > 0.03


def test_far_from_each_other_discs_stay_as_they_were() -> None:
    now = run(F(0.02), F(20.0), F(-5.0), jnp.zeros(2))
    assert np.asarray(now["strayed"])[0] == 0
    off = [np.asarray(now[k][0]) - np.asarray(now["nuclei"][0]) for k in ("discs", "undisturbed")]
    radius = [np.hypot(*o.T) for o in off]
    assert np.abs(radius[0] - radius[1]).max() < 0.15


def test_lattice_has_the_light_of_an_exponential_disc() -> None:
    weights = encounter.WEIGHTS.astype(float)
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    half = encounter._RADII[np.searchsorted(np.cumsum(weights), 0.5)]
    assert half == pytest.approx(1.6, abs=0.05)  # 1.678 without an edge
