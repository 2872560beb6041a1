"""Deflection, potential, convergence and magnification of each profile against lenstronomy: 1e-5 in float32, 1e-9 in
float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gammaincinv

from tests.simulators.mass import peer
from twin.numerics.sersic import b_n
from twin.simulators.mass import dpie, epl, nfw, nfw_ellipse, point, sersic, shear, sheet, sie, sis, tnfw

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


def halo(p: dict[str, float]) -> dict[str, float]:
    return {"Rs": p["Rs"], "alpha_Rs": p["alpha_Rs"], **peer.centre(p)}


def sersic_keywords(p: dict[str, float]) -> peer.Keywords:
    """lenstronomy's b_n is 1.9992 n - 0.3271: the radius and the strength with which that is the same profile."""
    n = p["n"]
    with jax.enable_x64(True):
        exact, theirs = float(b_n(jnp.float64(n))), 1.9992 * n - 0.3271
    assert exact == pytest.approx(gammaincinv(2 * n, 0.5), rel=1e-5)
    same = {"R_sersic": p["R_e"] * (theirs / exact) ** n, "k_eff": p["k_eff"] * np.exp(exact - theirs), "n_sersic": n}
    return [("SERSIC_ELLIPSE_POTENTIAL", same | peer.ellipticity(p), 1.0)]


def origin(p: dict[str, float]) -> dict[str, float]:
    return {"ra_0": p["x"], "dec_0": p["y"]}


CASES = {
    "sie": (sie, sie.SIE, THETA | ELLIPSE | CENTRE, sie_keywords),
    "epl": (epl, epl.EPL, THETA | {"gamma": (1.2, 2.8)} | ELLIPSE | CENTRE, epl_keywords),
    "round nfw": (
        nfw,
        nfw.NFW,
        {"Rs log": (0.1, 30), "alpha_Rs": (0.1, 3), "q": (1, 1), "angle": (-3, 3)} | CENTRE,
        lambda p: [("NFW", halo(p), 1.0)],
    ),
    "elliptical nfw, in its mass": (
        nfw_ellipse,
        nfw_ellipse.EllipticalNFW,
        {"Rs log": (0.3, 30), "alpha_Rs": (0.1, 3)} | ELLIPSE | CENTRE,
        lambda p: [("NFW_ELLIPSE_CSE", halo(p) | peer.ellipticity(p), 1.0)],
    ),
    "tnfw": (
        tnfw,
        tnfw.TNFW,
        {"Rs log": (0.1, 3), "alpha_Rs": (0.05, 1), "r_trunc log": (0.8, 30)} | CENTRE,
        lambda p: [("TNFW", halo(p) | {"r_trunc": p["r_trunc"]}, 1.0)],
    ),
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
    single, double = peer.compare(rng, *CASES[case], of_shear=case == "tnfw")
    assert max(single.values()) < 1e-5, single
    assert max(double.values()) < 1e-9, double


# lenstronomy takes second derivatives of these by finite differences, good to 1e-3: they are held to those of our own
# deflection, which is held to lenstronomy's
DIFFERENCED = {
    "elliptical dpie": (
        dpie,
        dpie.DPIE,
        {"b0": (0.1, 3.0), "core log": (0.01, 0.5), "cut log": (0.6, 30)} | ELLIPSE | CENTRE,
        nie_keywords,
    ),
    "elliptical nfw": (
        nfw,
        nfw.NFW,
        {"Rs log": (0.1, 30), "alpha_Rs": (0.1, 3), "q": (0.5, 0.999), "angle": (-3, 3)} | CENTRE,
        lambda p: [("NFW_ELLIPSE_POTENTIAL", halo(p) | peer.ellipticity(p), 1.0)],
    ),
    "sersic": (
        sersic,
        sersic.Sersic,
        {"k_eff": (0.05, 1), "R_e log": (0.1, 3), "n": (0.5, 8), "q": (0.5, 0.999), "angle": (-3, 3)} | CENTRE,
        sersic_keywords,
    ),
}


@pytest.mark.parametrize("case", DIFFERENCED)
def test_against_lenstronomy_that_differentiates_numerically(case: str, rng: np.random.Generator) -> None:
    module, kind, ranges, keywords = DIFFERENCED[case]
    drawn = peer.draw(rng, ranges)
    x, y = rng.uniform(-5, 5, (2, peer.LENSES, peer.POINTS)).astype(np.float32)
    # a potential of Sersic's takes lenstronomy a millisecond a point: ours is held to its deflection in test_compound
    theirs = peer.theirs(keywords, drawn, x, y, with_potential=module is not sersic)
    single = peer.ours(module, kind(**drawn), x, y, jnp.float32)
    with jax.enable_x64(True):
        double = peer.ours(module, kind(**drawn), x, y, jnp.float64)
        lens = jax.tree.map(lambda v: jnp.asarray(v, jnp.float64), kind(**drawn))
        still = jax.tree.map(jnp.zeros_like, lens)

        @peer.quick
        def along(dx: float, dy: float) -> tuple[jax.Array, jax.Array]:
            at = jnp.asarray(x, jnp.float64), jnp.asarray(y, jnp.float64)
            step = jnp.full(x.shape, dx), jnp.full(x.shape, dy)
            return jax.jvp(jax.vmap(module.deflection), (lens, *at), (still, *step))[1]

        (xx, xy), (yx, yy) = along(1.0, 0.0), along(0.0, 1.0)
    np.testing.assert_allclose(xy, yx, atol=1e-10)
    of_shear = module is not dpie  # where the potential is elliptical, the convergence passes through zero
    if module is sersic:
        theirs |= {"potential": double["potential"]}
    slopes = theirs | {"hessian": np.array([xx, yy, xy]), "convergence": 0.5 * np.array(xx + yy)}
    assert max(peer.errors(single, slopes, of_shear).values()) < 1e-5, peer.errors(single, slopes, of_shear)
    assert max(peer.errors(double, slopes, of_shear).values()) < 1e-9, peer.errors(double, slopes, of_shear)
    assert np.median(np.abs(double["hessian"] / theirs["hessian"] - 1)) < 1e-4


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


def test_convergence_of_truncated_halos_within_three_truncation_radii(rng: np.random.Generator) -> None:
    ranges = {"Rs log": (0.1, 3), "alpha_Rs": (0.05, 1), "r_trunc log": (0.3, 30), **CENTRE}
    drawn = peer.draw(rng, ranges)
    phi, r = rng.uniform(0, 2 * np.pi, (peer.LENSES, peer.POINTS)), rng.uniform(0.05, 3, (peer.LENSES, peer.POINTS))
    r *= drawn["r_trunc"][:, None]
    x, y = (drawn["x"][:, None] + r * np.cos(phi)).astype("f4"), (drawn["y"][:, None] + r * np.sin(phi)).astype("f4")
    theirs = peer.theirs(CASES["tnfw"][3], drawn, x, y, with_potential=False)["convergence"]
    mine = peer.ours(tnfw, tnfw.TNFW(**drawn), x, y, jnp.float32)["convergence"]
    assert np.abs(mine / theirs - 1).max() < 1e-5


def test_elliptical_nfw_is_one(rng: np.random.Generator) -> None:
    """The sum of ellipsoids against the NFW's own convergence on ellipses (Oguri 2021: to 1e-4)."""
    u, v, q = rng.uniform(-3, 3, 500), rng.uniform(-3, 3, 500), 0.6
    with jax.enable_x64(True):
        lens = nfw_ellipse.EllipticalNFW(*(jnp.float64(w) for w in (0.8, 1.0, q, 0.0, 0.0, 0.0)))
        round_halo = nfw.NFW(*(jnp.float64(w) for w in (0.8, 1.0, 1.0, 0.0, 0.0, 0.0)))
        found = nfw_ellipse.convergence(lens, jnp.asarray(u), jnp.asarray(v))
        expected = nfw.convergence(round_halo, jnp.sqrt(q * u**2 + v**2 / q), jnp.zeros(500))
    np.testing.assert_allclose(found, expected, rtol=2e-4)
