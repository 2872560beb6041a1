"""The reference engine and the JAX kernels draw the same truths."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.recipe.small import quick
from twin.recipe import Recipe, load_recipe
from twin.recipe.reference import Witness
from twin.schema import UserError
from twin.simulators.reference import fields, psf, reference
from twin.simulators.reference.sky import Galaxy, Sky, Star, draw, hankel, sersic
from twin.simulators.reference.view import View

galsim = pytest.importorskip("galsim")
pytest.importorskip("lenstronomy")

TOLERANCE = 1e-4  # of the peak; what is usual is a tenth of it


@cache
def recipe(name: str, npix: int) -> Recipe:
    """With light behind lenses integrated until nothing changes."""
    return load_recipe(name, [f"frame.npix={npix}", "frame.blocks=4096", "frame.points=16"])


@cache
def kernel(name: str, npix: int, cls: str) -> Any:
    """(truth, expected) of one sample, compiled."""
    r = recipe(name, npix)

    def one(number: jax.Array, exposure: jax.Array) -> tuple[jax.Array, jax.Array]:
        truth = r.sample(jax.random.key(number), exposure, cls).truth
        return truth, r.simulator.render(cls, r.unflatten(cls, truth), r.state(exposure), r.canvas).expected

    return quick(one, jnp.uint32(0), jnp.asarray(r.exposures(0, 0, 1)[0]))


def errors(name: str, npix: int, cls: str, count: int) -> tuple[list[float], list[float]]:
    """Largest differences over the reference's peak; the same for an Einstein radius 2 % larger, where there is one."""
    r = recipe(name, npix)
    witness, found, wrong = Witness(r), [], []
    for number, exposure in enumerate(r.exposures(1, 0, count)):
        truth, fast = (np.asarray(v) for v in kernel(name, npix, cls)(jnp.uint32(number), jnp.asarray(exposure)))
        state = witness.state(exposure)
        slow = witness.expected(cls, truth, state)
        assert slow.shape == fast.shape
        found.append(float(np.abs(slow - fast).max() / slow.max()))
        if "theta_E" in r.unflatten(cls, truth) and number == 0:
            other = np.where(np.array(r.truth_names) == "theta_E", 1.02 * truth, truth)
            wrong.append(float(np.abs(witness.expected(cls, other, state) - fast).max() / slow.max()))
    return found, wrong


@pytest.mark.parametrize(("name", "cls"), [("csst-lens", "lens_galaxy")])
def test_a_class(name: str, cls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "FINE", 48)
    found, wrong = errors(name, 32, cls, 2)
    assert max(found) < TOLERANCE
    assert all(error > 10 * TOLERANCE for error in wrong)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ps1-lens", "csst-lens"])
def test_every_class(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "FINE", 48)
    for cls in recipe(name, 64).classes:
        found, _ = errors(name, 64, cls, 3)
        assert np.median(found) < TOLERANCE, cls
        assert max(found) < 10 * TOLERANCE, cls


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "cls", "tolerance"),
    [
        (
            "csst-lens-pop",
            "lensed_galaxy",
            2e-3,
        ),  # the kernels refine where light is concentrated, the witness everywhere
        ("csst-lens-point", "lensed_quasar", 2e-3),
        ("csst-lens-point", "lensed_supernova", 2e-3),
        ("csst-crowded", "crowded", 5e-3),  # the kernels draw small objects on stamps
        ("csst-morphology", "lenticular", 1e-3),
    ],
)
def test_other_simulators(name: str, cls: str, tolerance: float) -> None:
    npix = load_recipe(name).config.frame.npix
    found, _ = errors(name, npix, cls, 4 if name == "csst-lens-point" else 2)
    assert np.median(found) < tolerance
    assert max(found) < 3 * tolerance


@pytest.mark.slow
@pytest.mark.parametrize("name", ["csst-cluster-arcs", "legacy-cluster-arcs"])
def test_clusters(name: str) -> None:
    """To the frame's edges: what lies outside is blurred in."""
    r = load_recipe(name)
    witness, exposure = Witness(r), r.exposures(1, 0, 1)[0]
    truth, fast = (
        np.asarray(v) for v in kernel(name, r.config.frame.npix, "arcs")(jnp.uint32(0), jnp.asarray(exposure))
    )
    slow = witness.expected("arcs", truth, witness.state(exposure))
    assert np.abs(slow - fast).max() < 3e-3 * slow.max()


@cache
def calm() -> tuple[View, Any]:
    """A view and an exposure without aberrations and offsets, for which GalSim has everything in closed form."""
    from dataclasses import replace

    r = recipe("ps1-lens", 32)
    state = Witness(r).state(r.exposures(5, 0, 1)[0])
    state = replace(state, aberration=0 * state.aberration, offset=0 * state.offset)
    return View(r.canvas.grid.npix, r.pixel_scale, 1, 1, r.optics), state


def galsim_frame(thing: Any, b: int) -> np.ndarray:
    """Galsim's own image of it."""
    view, state = calm()
    fine = galsim.GSParams(maxk_threshold=1e-5, kvalue_accuracy=1e-7, xvalue_accuracy=1e-7, maximum_fft_size=16384)
    nm = view.optics.wavelengths[b] * 1e9
    epochs = zip(state.weight[b], state.r0[b], state.outer_scale[b], strict=True)
    air = galsim.Sum([w * galsim.VonKarman(lam=nm, r0=r0, L0=size, gsparams=fine) for w, r0, size in epochs])
    pupil = galsim.Airy(lam=nm, diam=view.optics.diameter, obscuration=view.optics.obscuration, gsparams=fine)
    xx, yy, xy = state.jitter[b]
    blur = (state.resampling[b] * view.pixel_scale) ** 2
    trace = xx + yy + 2 * blur
    motion = galsim.Gaussian(sigma=((xx + blur) * (yy + blur) - xy**2) ** 0.25, gsparams=fine)
    motion = motion.shear(e1=(xx - yy) / trace, e2=2 * xy / trace)
    whole = galsim.Convolve([air, pupil, motion, thing], gsparams=fine)
    return whole.drawImage(nx=view.npix, ny=view.npix, scale=view.pixel_scale, dtype=float).array


def test_a_star_and_a_galaxy_as_galsim_draws_them() -> None:
    view, state = calm()
    one = np.ones(3)
    for thing, sky in (
        (galsim.DeltaFunction().shift(0.3, -1.2), Sky(stars=[Star(0.3, -1.2, one)])),
        (
            galsim.Sersic(2.0, half_light_radius=0.8).shear(q=0.5, beta=0.7 * galsim.radians).shift(0.3, -1.2),
            Sky(galaxies=[Galaxy(2.0, 0.8, 0.5, 0.7, 0.3, -1.2, one)]),
        ),
    ):
        theirs, ours = galsim_frame(thing, 1), draw(view, state, sky)[1]
        assert np.abs(ours - theirs).max() < 2e-5 * theirs.max()


def test_a_galaxy_larger_than_the_frame_does_not_come_round() -> None:
    """Intracluster light far larger than the frame, against its brightness at the pixels: it is too smooth for the PSF
    to change, but for light that diffraction scatters out of reach."""
    view, state = calm()
    wide = View(128, view.pixel_scale, 1, 1, view.optics)
    axis = (np.arange(128) - 63.5) * view.pixel_scale
    for n, radius, tolerance in ((1.0, 30.0, 0.01), (4.0, 20.0, 0.04)):  # without it 9 and 46 per cent too bright
        frame = draw(wide, state, Sky(galaxies=[Galaxy(n, radius, 0.7, 0.4, 0.5, 20.0, np.ones(3))]))[1]
        wanted = sersic(*np.meshgrid(axis - 0.5, axis - 20.0), n, radius, 0.7, 0.4) * view.pixel_scale**2
        assert frame[8:-8, 8:-8] == pytest.approx(wanted[8:-8, 8:-8], rel=tolerance)


def test_galaxies_steeper_than_galsim_draws() -> None:
    """SciPy's Hankel transform, where GalSim still goes."""
    log_k, transform = hankel(6.0)
    k = np.array([0.01, 0.3, 3.0, 40.0])
    fine = galsim.GSParams(maxk_threshold=1e-5, kvalue_accuracy=1e-7)
    theirs = [galsim.Sersic(6.0, half_light_radius=1.0, gsparams=fine).kValue(v, 0).real for v in k]
    np.testing.assert_allclose(np.interp(np.log(k), log_k, transform), theirs, atol=1e-5)


def test_sampled_sersic_light_integrates_to_one() -> None:
    axis = (np.arange(800) - 399.5) * 0.05
    x, y = np.meshgrid(axis, axis)
    assert sersic(x, y, 1.0, 0.7, 0.6, 1.1).sum() * 0.05**2 == pytest.approx(1, abs=1e-3)


def test_the_plane_holds_all_that_the_optics_pass() -> None:
    r = load_recipe("csst-lens")
    state = Witness(r).state(r.exposures(0, 0, 1)[0])
    view = View(64, r.pixel_scale, 3, 1, r.optics)
    plane = psf.plane(view, state)
    assert plane.factor == 3  # 2 m / 480.8 nm is 3.0 times the pixel's Nyquist limit
    assert np.abs(psf.transfer(plane, state, 0)[:, -1]).max() < 1e-3


def test_a_simulator_without_reference() -> None:
    with pytest.raises(UserError, match="no reference engine"):
        reference("fibre")


def test_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twin.simulators.reference.PEERS", ("galsim", "no_such_library"))
    with pytest.raises(UserError, match=r"needs no_such_library: pip install 'twin\[bench\]'"):
        reference("optical")
