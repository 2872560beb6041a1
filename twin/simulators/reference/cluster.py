"""Clusters of galaxies once more (`twin.priors.cluster`): GalSim's galaxies, lenstronomy's halos and members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from twin.observatory.state import ImagerState
from twin.simulators.reference.sky import Galaxy, Sampled, Sky, Star, counts, draw, midpoints, on_cells, sersic
from twin.simulators.reference.view import View

Truth = Mapping[str, np.ndarray]
Keywords = list[tuple[str, dict[str, float], float]]
"""(lenstronomy's profile, its parameters, the weight of its deflection)."""

OUTSIDE = 16  # pixels around the frame in which sources are drawn
SHAPE = ("sersic", "radius", "q", "angle", "x", "y")  # of `Galaxy`, in its order


def expected(cls: str, truth: Truth, state: ImagerState, view: View) -> np.ndarray:
    """Expected counts (B, npix, npix) of a cluster or an empty field."""
    sky = Sky()
    for name in ("member", "field"):
        if f"{name}_mag" in truth:
            sky.galaxies += _galaxies(truth, state, name)
    if "icl_mag" in truth:  # an exponential disc about the brightest member, as it lies
        q, angle, x, y = (float(truth[f"member_{key}"][0]) for key in ("q", "angle", "x", "y"))
        flux = counts(truth["icl_mag"], state)
        sky.galaxies.append(Galaxy(1.0, float(truth["icl_radius"]), q, angle, x, y, flux))
    where = zip(truth["star_x"], truth["star_y"], truth["star_mag"], strict=True)
    sky.stars = [Star(float(x), float(y), counts(magnitude, state)) for x, y, magnitude in where]
    if "sources" in truth:
        sky.light = _lensed(truth, state, view)
    return draw(view, state, sky)


def _galaxies(truth: Truth, state: ImagerState, name: str) -> list[Galaxy]:
    rows = zip(*(truth[f"{name}_{key}"] for key in SHAPE), truth[f"{name}_mag"], strict=True)
    return [
        Galaxy(float(n), float(radius), float(q), float(angle), float(x), float(y), counts(magnitude, state))
        for n, radius, q, angle, x, y, magnitude in rows
    ]


def masses(truth: Truth) -> Keywords:
    """Halos, members and shear, for D_ls / D_s = 1."""
    from lenstronomy.Util.param_util import phi_q2_ellipticity

    t = {name: np.atleast_1d(value) for name, value in truth.items()}
    found: Keywords = []
    for k in range(len(t["halo_x"])):
        e1, e2 = phi_q2_ellipticity(t["halo_angle"][k], t["halo_q"][k])
        at = {"e1": e1, "e2": e2, "center_x": t["halo_x"][k], "center_y": t["halo_y"][k]}
        if "halo_Rs" in t:
            if t["halo_alpha_Rs"][k] > 0:
                shape = {"Rs": t["halo_Rs"][k], "alpha_Rs": t["halo_alpha_Rs"][k]}
                found.append(("NFW_ELLIPSE_POTENTIAL", shape | at, 1.0))
        elif t["halo_b0"][k] > 0:  # an elliptical dPIE is the difference of two ellipsoids with cores
            core, cut = t["halo_core"][k], t["halo_cut"][k]
            strength = {"theta_E": t["halo_b0"][k] * cut / (cut - core)}
            found += [("NIE", strength | at | {"s_scale": s}, sign) for s, sign in ((core, 1.0), (cut, -1.0))]
    for k in np.flatnonzero(t["member_b0"] > 0).tolist():
        core, cut = t["member_core"][k], t["member_cut"][k]
        shape = {"sigma0": t["member_b0"][k] / (2 * core), "Ra": core, "Rs": cut}
        found.append(("PJAFFE", shape | {"center_x": t["member_x"][k], "center_y": t["member_y"][k]}, 1.0))
    shear = {"gamma1": t["gamma1"][0], "gamma2": t["gamma2"][0], "ra_0": t["halo_x"][0], "dec_0": t["halo_y"][0]}
    return [*found, ("SHEAR", shear, 1.0)]


def deflection(of: Keywords, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the weighted deflections of lenstronomy's profiles [arcsec]."""
    from lenstronomy.LensModel.lens_model import LensModel

    models: dict[str, Any] = {kind: LensModel([kind]) for kind, _, _ in of}
    total_x, total_y = np.zeros(x.size), np.zeros(x.size)
    for kind, keywords, weight in of:
        ax, ay = models[kind].alpha(x.ravel(), y.ravel(), [keywords])
        total_x += weight * ax
        total_y += weight * ay
    return total_x.reshape(x.shape), total_y.reshape(x.shape)


def _lensed(truth: Truth, state: ImagerState, view: View) -> list[Sampled]:
    """The sources, each through the same mass by its own D_ls / D_s."""
    # arcs a little outside too: the plane tells the cells a pixel from the side, less than one more for all of these
    wide = replace(view, npix=view.npix + 2 * min(OUTSIDE, (view.npix - 1) // (2 * view.cells)))
    x, y = midpoints(wide)
    ax, ay = deflection(masses(truth), x, y)
    found = []
    for k, magnitude in enumerate(truth["source_mag"]):
        flux = counts(magnitude, state)
        if np.any(flux):
            efficiency = float(truth["source_efficiency"][k])
            n, radius, q, angle, sx, sy = (float(truth[f"source_{key}"][k]) for key in SHAPE)
            light = sersic(x - efficiency * ax - sx, y - efficiency * ay - sy, n, radius, q, angle)
            found.append(Sampled(on_cells(wide, light), flux))
    return found
