"""Galaxy-scale lenses of `twin.priors.galaxy_lens` once more: lenstronomy's rays, images and delays.

Lensed light is sampled evenly and finely, where the kernels refine only what needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from scipy.integrate import cumulative_simpson

from twin.observatory.state import ImagerState
from twin.schema import UserError
from twin.simulators.reference.fields import around
from twin.simulators.reference.sky import Galaxy, Sampled, Sky, Star, counts, draw, midpoints, on_cells, sersic
from twin.simulators.reference.view import View

Truth = Mapping[str, np.ndarray]

FINE = 4  # midpoints a side of a cell
OMEGA_M, HUBBLE = 0.3, 70.0  # flat, [km/s/Mpc]


def expected(cls: str, truth: Truth, state: ImagerState, view: View) -> np.ndarray:
    """Expected counts (B, npix, npix) of a lens, its source and what is around."""
    sky = Sky()
    q, angle, x, y = (float(truth[key]) for key in ("light_q", "light_angle", "lens_x", "lens_y"))
    for n, radius, magnitude in zip(truth["lens_n"], truth["lens_radius"], truth["lens_mag"], strict=True):
        sky.galaxies.append(Galaxy(float(n), float(radius), q, angle, x, y, counts(magnitude, state)))
    sky.light = _lensed(truth, state, replace(view, subsamples=FINE * view.subsamples))
    if cls != "lensed_galaxy":
        sky.stars = _images(cls, truth, state)
    around(sky, truth, state)
    return draw(view, state, sky)


@cache
def _model(*kinds: str) -> Any:
    from lenstronomy.LensModel.lens_model import LensModel

    return LensModel(list(kinds))


def masses(truth: Truth) -> tuple[Any, list[dict[str, float]]]:
    """lenstronomy's model of the deflector with shear and convergence about its centre, and its parameters."""
    from lenstronomy.Util.param_util import phi_q2_ellipticity

    t = {name: float(value) for name, value in truth.items() if np.ndim(value) == 0}
    centre, origin = {"center_x": t["lens_x"], "center_y": t["lens_y"]}, {"ra_0": t["lens_x"], "dec_0": t["lens_y"]}
    field = [{"gamma1": t["gamma1"], "gamma2": t["gamma2"], **origin}, {"kappa": t["kappa"], **origin}]
    if "dark_fraction" in t:
        kinds, lens = _halo_and_stars(truth, t, centre)
    else:
        e1, e2 = phi_q2_ellipticity(t["lens_angle"], t["lens_q"])
        kinds = ("EPL",)
        lens = [{"theta_E": t["theta_E"], "gamma": t.get("slope", 2.0), "e1": e1, "e2": e2, **centre}]
    subhalos = _subhalos(truth)
    kinds, lens = (*kinds, *("TNFW",) * len(subhalos)), [*lens, *subhalos]
    return _model(*kinds, "SHEAR", "CONVERGENCE"), [*lens, *field]


def _subhalos(truth: Truth) -> list[dict[str, float]]:
    """Truncated NFW halos about the lens, in its plane. Raises UserError for halos in others."""
    if "los_x" in truth:
        raise UserError("the reference engine has no halos along the line of sight", key="scene.line_of_sight")
    found = []
    for k in np.flatnonzero(truth.get("subhalo_alpha_Rs", np.zeros(0)) > 0).tolist():
        shape = {name: float(truth[f"subhalo_{name}"][k]) for name in ("Rs", "alpha_Rs", "r_trunc")}
        x, y = (float(truth[f"lens_{axis}"] + truth[f"subhalo_{axis}"][k]) for axis in "xy")
        found.append(shape | {"center_x": x, "center_y": y})
    return found


def _halo_and_stars(
    truth: Truth, t: Mapping[str, float], centre: dict[str, float]
) -> tuple[tuple[str, ...], list[dict[str, float]]]:
    """NFW halo and Sersic stars that together deflect by theta_E at theta_E, their potentials a third as flat."""
    from lenstronomy.Util.param_util import phi_q2_ellipticity
    from scipy.special import gammaincinv

    n, radius = float(truth["lens_n"][0]), float(truth["lens_radius"][0])
    b, theirs = gammaincinv(2 * n, 0.5), 1.9992 * n - 0.3271  # lenstronomy's b_n: the radius that makes it the same
    halo = {"Rs": t["dark_radius"], "alpha_Rs": 1.0}
    stars = {"R_sersic": radius * (theirs / b) ** n, "n_sersic": n, "k_eff": 1.0}
    at = {"center_x": 0.0, "center_y": 0.0}
    of_halo = float(_model("NFW").alpha(t["theta_E"], 0.0, [halo | at])[0])
    of_stars = float(_model("SERSIC").alpha(t["theta_E"], 0.0, [stars | at])[0])
    e1, e2 = phi_q2_ellipticity(t["lens_angle"], 1 - (1 - t["lens_q"]) / 3)
    shape = {"e1": e1, "e2": e2, **centre}
    halo["alpha_Rs"] = t["dark_fraction"] * t["theta_E"] / of_halo
    stars["k_eff"] = (1 - t["dark_fraction"]) * t["theta_E"] / of_stars
    return ("NFW_ELLIPSE_POTENTIAL", "SERSIC_ELLIPSE_POTENTIAL"), [halo | shape, stars | shape]


def _lensed(truth: Truth, state: ImagerState, view: View) -> list[Sampled]:
    """The components of the source."""
    model, keywords = masses(truth)
    x, y = midpoints(view)
    bx, by = (v.reshape(x.shape) for v in model.ray_shooting(x.ravel(), y.ravel(), keywords))
    names = ("n", "radius", "q", "angle", "x", "y")
    found = []
    for row in zip(*(truth[f"source_{key}"] for key in names), truth["source_mag"], strict=True):
        n, radius, q, angle, sx, sy = (float(v) for v in row[:-1])
        flux = counts(row[-1], state)
        if np.any(flux):
            found.append(Sampled(on_cells(view, sersic(bx - sx, by - sy, n, radius, q, angle)), flux))
    return found


def images(truth: Truth) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, y [arcsec], magnifications and Fermat potentials [arcsec^2] of the images of the point source, the first to
    arrive first."""
    with np.errstate(invalid="ignore", divide="ignore"):  # lenstronomy's EPL divides 0 by 0 in its own centre
        found = _images_of(truth)
    there = np.isfinite(found[2])  # an image in a singular centre has no light
    x, y, magnification, fermat = (v[there] for v in found)
    return x, y, magnification, fermat


def _images_of(truth: Truth) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    from lenstronomy.LensModel.Solver.lens_equation_solver import LensEquationSolver

    model, keywords = masses(truth)
    bx, by = float(truth["point_x"]), float(truth["point_y"])
    if len(keywords) == 3:
        # with a sheet kappa the equation is that of a lens without it, all but theta over 1 - kappa
        lens, shear, sheet = keywords
        left = 1 - sheet["kappa"]
        scaled = lens | {"theta_E": lens["theta_E"] * left ** (-1 / (lens["gamma"] - 1))}
        sheared = shear | {"gamma1": shear["gamma1"] / left, "gamma2": shear["gamma2"] / left}
        x0, y0 = lens["center_x"], lens["center_y"]
        x, y = LensEquationSolver(_model("EPL", "SHEAR")).image_position_from_source(
            x0 + (bx - x0) / left, y0 + (by - y0) / left, [scaled, sheared], solver="analytical",
            magnification_limit=None,
        )  # fmt: skip
    else:
        window = 8 * float(truth["theta_E"])
        x, y = LensEquationSolver(model).image_position_from_source(
            bx, by, keywords, min_distance=window / 400, search_window=window, precision_limit=1e-10,
            num_iter_max=200, x_center=float(truth["lens_x"]), y_center=float(truth["lens_y"]),
        )  # fmt: skip
    fermat = np.atleast_1d(model.fermat_potential(x, y, keywords, bx, by))
    order = np.argsort(fermat)
    x, y = x[order], y[order]
    return x, y, model.magnification(x, y, keywords), fermat[order]


def _images(cls: str, truth: Truth, state: ImagerState) -> list[Star]:
    """Images of a quasar or supernova at the epoch of the frame."""
    from astropy import constants
    from astropy.cosmology import FlatLambdaCDM

    x, y, magnification, fermat = images(truth)
    room = len(truth["image_scatter"])
    x, y, magnification, fermat = x[:room], y[:room], magnification[:room], fermat[:room]
    z_lens, z_source = float(truth["z_lens"]), float(truth["z_source"])
    sky = FlatLambdaCDM(HUBBLE, OMEGA_M, Tcmb0=0)
    near, far = sky.comoving_distance(z_lens), sky.comoving_distance(z_source)
    days = float((near * far / (far - near) / constants.c).to_value("day")) * (np.pi / 180 / 3600) ** 2
    lag = days * (fermat - fermat[0]) / (1 + z_source)
    share = np.abs(magnification) * np.exp(truth["image_scatter"][: len(x)])
    if cls == "lensed_quasar":
        walk = _walk(lag, truth["quasar_walk"], float(truth["quasar_tau"]), float(truth["quasar_sf"]))
        share = share * 10 ** (-0.4 * walk)
    else:
        age = float(truth["supernova_age"]) - lag
        share = share * np.interp(age / float(truth["supernova_stretch"]), *_supernova(), left=0.0)
    flux = counts(truth["point_mag"], state)[:, None] * share
    return [Star(float(a), float(b), f) for a, b, f in zip(x, y, flux.T, strict=True)]


def _walk(lag: np.ndarray, normals: np.ndarray, tau: float, structure: float) -> np.ndarray:
    """Damped random walk [mag] with covariance structure^2 / 2 exp(-|dt| / tau): its Cholesky factor times normals."""
    covariance = 0.5 * structure**2 * np.exp(-np.abs(lag[:, None] - lag[None, :]) / tau)
    found: np.ndarray = np.linalg.cholesky(covariance + 1e-14 * np.eye(len(lag))) @ normals[: len(lag)]
    return found


@cache
def _supernova() -> tuple[np.ndarray, np.ndarray]:
    """(days since explosion, brightness, 1 at maximum) of nickel and cobalt that diffuses out (Arnett 1982, ApJ 253,
    785), less the gamma rays that escape."""
    t = np.linspace(1e-3, 300, 60001)
    z = t / 16.0
    heat = (3.9e10 - 6.78e9) * np.exp(-t / 8.8) + 6.78e9 * np.exp(-t / 111.3)
    light = np.zeros_like(t)
    for begin in range(0, len(t) - 1, 200):  # in pieces: exp(z^2) alone would overflow
        part = slice(begin, begin + 201)
        growth = np.exp(z[part] ** 2 - z[part][-1] ** 2)
        inside = cumulative_simpson(2 * z[part] * growth * heat[part], x=z[part], initial=0)
        carried = light[begin] * np.exp(z[begin] ** 2 - z[part] ** 2)
        light[part] = carried + inside * np.exp(z[part][-1] ** 2 - z[part] ** 2)
    light *= 1 - np.exp(-((30.0 / t) ** 2))
    return t, light / light.max()
