"""SIE with shear, its images, and whole lensed frames, held to lenstronomy drawing the same truth."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gammaincinv

from twin.simulators import lensing
from twin.simulators.optical import lensed_brightness
from twin.simulators.quadrature import bin_cells, integrate

SCALE = 0.25


def draws(count: int, seed: int) -> list[dict[str, float]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "theta_E": rng.uniform(0.4, 2.0),
            "lens_q": rng.uniform(0.4, 0.97),
            "lens_angle": rng.uniform(0, np.pi),
            "lens_x": rng.normal() * 0.1,
            "lens_y": rng.normal() * 0.1,
            "gamma1": rng.normal() * 0.05,
            "gamma2": rng.normal() * 0.05,
            "source_radius": rng.uniform(0.15, 0.5),
            "source_n": rng.uniform(0.7, 2.5),
            "source_q": rng.uniform(0.4, 1.0),
            "source_angle": rng.uniform(0, np.pi),
            "depth": rng.uniform(0.1, 0.85),
            "phi": rng.uniform(0, 2 * np.pi),
        }
        for _ in range(count)
    ]


def sie(d: dict[str, float]) -> lensing.SIE:
    names = ("theta_E", "lens_q", "lens_angle", "lens_x", "lens_y", "gamma1", "gamma2")
    return lensing.SIE(*(jnp.float32(d[k]) for k in names))


def peer(d: dict[str, float]) -> list[dict[str, float]]:
    from lenstronomy.Util.param_util import phi_q2_ellipticity

    e1, e2 = phi_q2_ellipticity(d["lens_angle"], d["lens_q"])
    x, y = d["lens_x"], d["lens_y"]
    return [
        {"theta_E": d["theta_E"], "e1": e1, "e2": e2, "center_x": x, "center_y": y},
        {"gamma1": d["gamma1"], "gamma2": d["gamma2"], "ra_0": x, "dec_0": y},
    ]


def source_at(d: dict[str, float]) -> tuple[float, float]:
    x, y = lensing.cut(sie(d), jnp.float32(d["phi"]))
    return d["lens_x"] + d["depth"] * (float(x) - d["lens_x"]), d["lens_y"] + d["depth"] * (float(y) - d["lens_y"])


@pytest.fixture(scope="module")
def lens_model():
    pytest.importorskip("lenstronomy")
    from lenstronomy.LensModel.lens_model import LensModel

    return LensModel(["SIE", "SHEAR"])


def test_deflection_and_magnification(lens_model) -> None:
    rng = np.random.default_rng(1)
    for d in draws(50, 0):
        x, y = rng.uniform(-4, 4, (2, 200))
        theirs = lens_model.alpha(x, y, peer(d))
        ours = lensing.deflection(sie(d), jnp.float32(x), jnp.float32(y))
        np.testing.assert_allclose(np.array(ours), theirs, atol=5e-6)
        inverse = 1 / np.asarray(lensing.magnification(sie(d), jnp.float32(x), jnp.float32(y)))
        np.testing.assert_allclose(inverse, 1 / lens_model.magnification(x, y, peer(d)), atol=5e-4)


def test_every_bright_image_is_found(lens_model) -> None:
    from lenstronomy.LensModel.Solver.lens_equation_solver import LensEquationSolver

    solver, find = LensEquationSolver(lens_model), jax.jit(lensing.images)
    checked = 0
    for d in draws(15, 2):
        bx, by = source_at(d)
        x, y = solver.image_position_from_source(
            bx, by, peer(d), min_distance=0.03, search_window=10, precision_limit=1e-10, num_iter_max=100
        )
        bright = np.abs(lens_model.magnification(x, y, peer(d))) > 0.1
        ours = find(sie(d), jnp.float32(bx), jnp.float32(by))
        there = np.asarray(ours[3])
        near = np.hypot(x[bright, None] - np.asarray(ours[0])[there], y[bright, None] - np.asarray(ours[1])[there]).min(
            1
        )
        assert near.max() < 1e-3
        checked += bright.sum()
        separation = lensing.largest_separation(*ours[:2], ours[3])
        assert float(separation) >= np.hypot(x[bright] - x[bright][:1], y[bright] - y[bright][:1]).max() - 2e-3
    assert checked >= 30


def frame_error(d: dict[str, float], lens_model) -> float:
    """Largest difference in units of the peak before convolution: midpoints 3 x 3 a pixel in both."""
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LightModel.light_model import LightModel
    from lenstronomy.Util.param_util import phi_q2_ellipticity

    beta = source_at(d)
    truth = {k: jnp.float32(v) for k, v in d.items()}
    ours = np.asarray(bin_cells(integrate(lensed_brightness(truth, beta), 3 * 64, SCALE / 3, 0, 1), 3))[0]
    start = -31.5 * SCALE
    data = ImageData(
        np.zeros((64, 64)), ra_at_xy_0=start, dec_at_xy_0=start, transform_pix2angle=np.eye(2) * SCALE,
        background_rms=1.0, exposure_time=1.0,
    )  # fmt: skip
    e1, e2 = phi_q2_ellipticity(d["source_angle"], d["source_q"])
    # lenstronomy's b_n is 1.9992 n - 0.3271 (Sersic.k_n): the radius at which that makes the same profile
    n = d["source_n"]
    radius = d["source_radius"] * ((1.9992 * n - 0.3271) / gammaincinv(2 * n, 0.5)) ** n
    source = {"R_sersic": radius, "n_sersic": d["source_n"], "e1": e1, "e2": e2, "amp": 1.0,
              "center_x": beta[0], "center_y": beta[1]}  # fmt: skip
    model = ImageModel(
        data, PSF("NONE"), lens_model, LightModel(["SERSIC_ELLIPSE"]),
        kwargs_numerics={"supersampling_factor": 3, "supersampling_convolution": False},
    )  # fmt: skip
    theirs = model.image(peer(d), [source])
    return float(np.abs(ours / ours.sum() - theirs / theirs.sum()).max() / (theirs / theirs.sum()).max())


def test_lensed_frames_with_the_same_quadrature(lens_model) -> None:
    assert max(frame_error(d, lens_model) for d in draws(20, 3)) < 1e-4


@pytest.mark.slow
def test_lensed_frames_with_the_same_quadrature_200(lens_model) -> None:
    assert max(frame_error(d, lens_model) for d in draws(200, 4)) < 1e-4


def test_a_wrong_einstein_radius_shows(lens_model) -> None:
    d = draws(1, 5)[0]
    right = frame_error(d, lens_model)
    x, y = jnp.float32(np.linspace(-3, 3, 50)), jnp.float32(np.linspace(2, -2, 50))
    off = lensing.deflection(sie(d | {"theta_E": 1.02 * d["theta_E"]}), x, y)
    theirs = lens_model.alpha(np.asarray(x, float), np.asarray(y, float), peer(d))
    assert right < 1e-4
    assert np.abs(np.array(off) - theirs).max() > 5e-3
