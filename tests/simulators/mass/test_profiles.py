"""Deflection, potential, convergence and magnification of each profile against lenstronomy: 1e-5 in float32, 1e-9 in
float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.simulators.mass import peer
from twin.simulators.mass import dpie, epl, point, shear, sheet, sie, sis

CENTRE = {"x": (-0.3, 0.3), "y": (-0.3, 0.3)}
ELLIPSE = {"q": (0.2, 0.999), "angle": (-3.0, 3.0)}
THETA = {"theta_E": (0.1, 3.0)}


def sie_keywords(p: dict[str, float]) -> peer.Keywords:
    # the EPL of slope 2: lenstronomy's own SIE takes its second derivatives from finite differences
    return [("EPL", {"theta_E": p["theta_E"], "gamma": 2.0, **peer.ellipticity(p)}, 1.0)]


def epl_keywords(p: dict[str, float]) -> peer.Keywords:
    return [("EPL", {"theta_E": p["theta_E"], "gamma": p["gamma"], **peer.ellipticity(p)}, 1.0)]


def nie_keywords(p: dict[str, float]) -> peer.Keywords:
    """lenstronomy has no elliptical dPIE: two of its NIEs."""
    strength = p["b0"] * p["cut"] / (p["cut"] - p["core"])
    shape = {"theta_E": strength, **peer.ellipticity(p)}
    return [("NIE", {"s_scale": p["core"], **shape}, 1.0), ("NIE", {"s_scale": p["cut"], **shape}, -1.0)]


def round_keywords(p: dict[str, float]) -> peer.Keywords:
    return [("PJAFFE", {"sigma0": p["b0"] / (2 * p["core"]), "Ra": p["core"], "Rs": p["cut"], **peer.centre(p)}, 1.0)]


def origin(p: dict[str, float]) -> dict[str, float]:
    return {"ra_0": p["x"], "dec_0": p["y"]}


CASES = {
    "sie": (sie, sie.SIE, THETA | ELLIPSE | CENTRE, sie_keywords),
    "epl": (epl, epl.EPL, THETA | {"gamma": (1.2, 2.8)} | ELLIPSE | CENTRE, epl_keywords),
    "epl of slope 2": (epl, epl.EPL, THETA | {"gamma": (2, 2)} | ELLIPSE | CENTRE, epl_keywords),
    "round dpie": (
        dpie,
        dpie.DPIE,
        {"b0": (0.1, 3), "core log": (0.01, 0.5), "cut log": (0.6, 30), "q": (1, 1), "angle": (-3, 3)} | CENTRE,
        round_keywords,
    ),
    "point": (point, point.Point, THETA | CENTRE, lambda p: [("POINT_MASS", theta_of(p), 1.0)]),
    "sis": (sis, sis.SIS, THETA | CENTRE, lambda p: [("SIS", theta_of(p), 1.0)]),
    "shear": (
        shear,
        shear.Shear,
        {"gamma1": (-0.3, 0.3), "gamma2": (-0.3, 0.3)} | CENTRE,
        lambda p: [("SHEAR", {"gamma1": p["gamma1"], "gamma2": p["gamma2"], **origin(p)}, 1.0)],
    ),
    "convergence": (
        sheet,
        sheet.Sheet,
        {"kappa": (-0.3, 0.8)} | CENTRE,
        lambda p: [("CONVERGENCE", {"kappa": p["kappa"], **origin(p)}, 1.0)],
    ),
}


def theta_of(p: dict[str, float]) -> dict[str, float]:
    return {"theta_E": p["theta_E"], **peer.centre(p)}


@pytest.mark.parametrize("case", CASES)
def test_against_lenstronomy(case: str, rng: np.random.Generator) -> None:
    single, double = peer.compare(rng, *CASES[case])
    assert max(single.values()) < 1e-5, single
    assert max(double.values()) < 1e-9, double


def test_elliptical_dpie_against_two_nies(rng: np.random.Generator) -> None:
    """lenstronomy's NIE differentiates numerically, to 1e-5: second derivatives at 1e-9 are those of our deflection."""
    ranges = {"b0": (0.1, 3.0), "core log": (0.01, 0.5), "cut log": (0.6, 30), **ELLIPSE, **CENTRE}
    drawn = peer.draw(rng, ranges)
    x, y = rng.uniform(-5, 5, (2, peer.LENSES, peer.POINTS)).astype(np.float32)
    theirs = peer.theirs(nie_keywords, drawn, x, y)
    single = peer.ours(dpie, dpie.DPIE(**drawn), x, y, jnp.float32)
    with jax.enable_x64(True):
        double = peer.ours(dpie, dpie.DPIE(**drawn), x, y, jnp.float64)
        lens = jax.tree.map(lambda v: jnp.asarray(v, jnp.float64)[:, None], dpie.DPIE(**drawn))

        def along(dx: float, dy: float) -> tuple[jax.Array, jax.Array]:
            at = jnp.asarray(x, jnp.float64), jnp.asarray(y, jnp.float64)
            step = jnp.full(x.shape, dx), jnp.full(x.shape, dy)
            return jax.jvp(lambda u, v: dpie.deflection(lens, u, v), at, step)[1]

        (xx, xy), (yx, yy) = along(1.0, 0.0), along(0.0, 1.0)
    np.testing.assert_allclose(xy, yx, atol=1e-10)
    slopes = theirs | {"hessian": np.array([xx, yy, xy]), "convergence": 0.5 * np.array(xx + yy)}
    assert max(peer.errors(single, slopes).values()) < 1e-5
    assert max(peer.errors(double, slopes).values()) < 1e-9
    assert peer.errors(double, theirs)["hessian"] < 1e-3


def test_a_wrong_slope_shows(rng: np.random.Generator) -> None:
    module, kind, ranges, keywords = CASES["epl"]
    single, _ = peer.compare(
        rng, module, kind, ranges, lambda p: keywords(p | {"gamma": p["gamma"] + 1e-3, "theta_E": p["theta_E"]})
    )
    assert min(single["deflection"], single["convergence"], single["magnification"]) > 1e-4


def test_round_members_are_elliptical_ones_with_axis_ratio_1(rng: np.random.Generator) -> None:
    ranges = {"b0": (0.1, 3.0), "core log": (1e-3, 1), "cut log": (1.0, 100), "q": (1, 1), "angle": (0, 1), **CENTRE}
    lens = jax.tree.map(lambda v: jnp.asarray(v)[:, None], dpie.DPIE(**peer.draw(rng, ranges)))
    x, y = rng.uniform(-50, 50, (2, peer.LENSES, peer.POINTS)).astype(np.float32)
    both = [np.asarray(f(lens, x, y)) for f in (dpie.deflection, dpie.round_deflection)]
    np.testing.assert_allclose(*both, rtol=1e-6, atol=5e-7)


def test_core_and_cut_may_be_one() -> None:
    """Their difference vanishes with the normalisation's divisor: the limit is a profile of its own."""
    near, same = (dpie.DPIE(*(jnp.float32(v) for v in (1.0, core, 1.0, 0.6, 0.3, 0.0, 0.0))) for core in (0.9999, 1.0))
    x, y = jnp.float32(np.linspace(-3, 3, 7)), jnp.float32(np.linspace(2, -1, 7))
    for name in peer.QUANTITIES:
        a, b = (np.asarray(getattr(dpie, name)(p, x, y)) for p in (near, same))
        np.testing.assert_allclose(a, b, atol=5e-4)
