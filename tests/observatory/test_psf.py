"""The PSF of every exposure against GalSim, and against a plain FFT of the pupil."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.observatory.witness import fft_psf, galsim_psf
from twin.numerics.fourier import Grid
from twin.observatory.imager import Imager, load_instrument
from twin.observatory.psf import Optics, otf, psf_image
from twin.observatory.state import STATE_FIELDS, ImagerState

DRAWS, NPIX = 200, 64


def drawn(imager: Imager, factor: int, seed: int = 11, **changes: float) -> tuple[ImagerState, np.ndarray]:
    """States of 200 exposures of the instrument's own telemetry prior, and their PSFs (200, B, 64, 64); `changes` of
    its optics."""
    optics = replace(imager.optics, **changes)  # type: ignore[arg-type]
    states = jax.vmap(imager.state)(jnp.asarray(imager.draw_exposures(seed, DRAWS)))

    @jax.jit
    def draw(states: ImagerState) -> jax.Array:
        one = lambda s: psf_image(optics, s, NPIX, imager.pixel_scale, factor)  # noqa: E731
        return jax.lax.map(one, states, batch_size=8)

    return states, np.asarray(draw(states))


@pytest.fixture(scope="module")
def ps1() -> tuple[Imager, ImagerState, np.ndarray]:
    imager = load_instrument("ps1")
    return imager, *drawn(imager, 1)


def error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference in units of the peak."""
    return float(np.abs(ours - theirs).max() / theirs.max())


@pytest.mark.slow
def test_ps1_agrees_with_galsim() -> None:
    """A few of the draws, as GalSim takes seconds each; light beyond the pixel's Nyquist frequency included, and what
    isotropic resampling takes of it, which GalSim does not know, left in."""
    pytest.importorskip("galsim")
    imager = load_instrument("ps1")
    states, stamps = drawn(imager, 2, stack_pixel=0.0)
    for k, i in enumerate(range(0, DRAWS, 25)):
        b = k % len(imager.bands)
        theirs = galsim_psf(imager.optics, states, i, b).drawImage(nx=NPIX, ny=NPIX, scale=imager.pixel_scale).array
        assert error(stamps[i, b], theirs) < 1e-4


def test_what_frequencies_beyond_nyquist_would_add(ps1: tuple[Imager, ImagerState, np.ndarray]) -> None:
    """Frames of ps1 stop at the pixel's Nyquist frequency: in the sharpest hundredth of the stacks that shows."""
    imager, _, stamps = ps1
    full = drawn(imager, 2)[1]
    found = np.array([error(stamps[i, b], full[i, b]) for i in range(DRAWS) for b in range(len(imager.bands))])
    assert np.quantile(found, 0.9) < 1e-4
    assert found.max() < 1e-3


@pytest.mark.slow
def test_ps1_agrees_with_an_fft_of_the_pupil(ps1: tuple[Imager, ImagerState, np.ndarray]) -> None:
    """All 200 draws of the telemetry's prior, each band in turn."""
    imager, states, stamps = ps1
    grid = Grid(NPIX, imager.pixel_scale)
    bands = np.arange(DRAWS) % len(imager.bands)
    found = [error(stamps[i, b], fft_psf(imager.optics, states, i, b, grid)) for i, b in enumerate(bands)]
    assert max(found) < 1e-4
    assert np.median(found) < 2e-5
    blurred = fft_psf(imager.optics, replace(states, aberration=1.02 * states.aberration), 0, 0, grid)
    assert error(stamps[0, 0], blurred) > 1e-4  # 2 % more of the aberrations would show


def test_csst_agrees_with_an_fft_of_the_pupil() -> None:
    """Five exposures in each of seven bands, the five most aberrated of 200 among them."""
    imager = load_instrument("csst")
    states, stamps = drawn(imager, 3)
    grid = Grid(NPIX, imager.pixel_scale, 3)
    worst = np.argsort(-np.linalg.norm(states.aberration, axis=1))[:35]
    for k, i in enumerate(worst):
        b = k % len(imager.bands)
        assert error(stamps[i, b], fft_psf(imager.optics, states, i, b, grid)) < 1e-4


def test_aberrations_beyond_the_prior_are_exact_where_they_were_announced() -> None:
    """0.6 micrometres of defocus: wrong with the sampling that the prior asks for, right with its own."""
    imager = load_instrument("ps1")
    row = imager.draw_exposures(3, 1)
    row[0, imager.channel_names.index("z4")] = 600
    states = jax.vmap(imager.state)(jnp.asarray(row))
    one = jax.tree.map(lambda v: v[0], states)
    truth = fft_psf(imager.optics, states, 0, 0, Grid(NPIX, imager.pixel_scale))
    usual, announced = (
        np.asarray(psf_image(optics, one, NPIX, imager.pixel_scale))[0]
        for optics in (imager.optics, imager.optics_of(row))
    )
    assert error(announced, truth) < 1e-4
    assert error(usual, truth) > 1e-4


def plain(bands: int = 1, epochs: int = 1, modes: int = 8) -> ImagerState:
    """No atmosphere, aberration, motion or offset."""
    f = lambda *shape: jnp.zeros(shape, jnp.float32)  # noqa: E731
    given = {
        "r0": f(bands, epochs) + jnp.inf, "outer_scale": f(bands, epochs) + 25, "weight": f(bands, epochs) + 1 / epochs,
        "jitter": f(bands, 3), "aberration": f(modes), "offset": f(bands, 2), "gain": f(bands) + 1,
        "sky_residual": f(bands, 3),
    }  # fmt: skip
    return ImagerState(**{name: given.get(name, f(bands)) for name in STATE_FIELDS})


def test_otf_of_a_perfect_telescope() -> None:
    """1 at zero frequency, 0 beyond D / lambda, and the Airy pattern: 83.8 % of the light in the first dark ring."""
    optics, grid = Optics(2.0, 0.0, (1e-6,), atmosphere=False), Grid(128, 0.02, 1, 2)
    re, im = otf(optics, plain(), grid)
    frequency = np.hypot(grid.fx[None, :], grid.fy[:, None])
    assert re.shape == (1, 2 * grid.half, grid.half)
    assert float(re[0, 0, 0]) == pytest.approx(1, abs=1e-6)
    assert np.abs(np.asarray(re[0])[frequency * 206264.8e-6 > 2.0]).max() < 1e-6
    assert np.abs(np.asarray(im)).max() < 1e-6
    stamp = np.asarray(psf_image(optics, plain(), 128, 0.02))[0]
    r = np.hypot(*np.meshgrid(grid.centres, grid.centres))
    # pixels of 0.02 arcsec smear the ring of 0.126 by a little
    assert stamp[r < 1.22e-6 / 2 * 206264.8].sum() == pytest.approx(0.838, abs=0.01)


def test_motion_offset_and_resampling_are_their_moments() -> None:
    """Broad Gaussian motion: centroid and second moments of the stamp are those that the State says."""
    optics = Optics(8.0, 0.0, (500e-9,), atmosphere=False)
    jitter = jnp.asarray([[0.5, 0.3, 0.12]], jnp.float32)
    state = replace(plain(), jitter=jitter, offset=jnp.asarray([[0.4, -0.2]]), resampling=jnp.asarray([1.5]))
    stamp = np.asarray(psf_image(optics, state, 64, 0.25), float)[0]
    grid = Grid(64, 0.25)
    x, y = np.meshgrid(grid.centres, grid.centres)
    near = np.hypot(x, y) < 5  # the wings of the Airy pattern have no second moment
    weight = np.where(near, stamp, 0) / stamp[near].sum()
    cx, cy = (weight * x).sum(), (weight * y).sum()
    assert (cx, cy) == pytest.approx((0.4, -0.2), abs=2e-3)
    moments = [(weight * (x - cx) ** 2).sum(), (weight * (y - cy) ** 2).sum(), (weight * (x - cx) * (y - cy)).sum()]
    blur, pixel = (1.5 * 0.25) ** 2, 0.25**2 / 12
    assert moments == pytest.approx([0.5 + blur + pixel, 0.3 + blur + pixel, 0.12], abs=0.015)


def test_epochs_of_a_stack_add_by_weight() -> None:
    optics = Optics(1.8, 0.6, (617e-9,))
    r0 = jnp.asarray([[0.08, 0.2]], jnp.float32)
    both = psf_image(optics, replace(plain(epochs=2), r0=r0, weight=jnp.asarray([[0.3, 0.7]])), 32, 0.25)
    each = [psf_image(optics, replace(plain(), r0=r0[:, k : k + 1]), 32, 0.25) for k in (0, 1)]
    assert np.asarray(both) == pytest.approx(np.asarray(0.3 * each[0] + 0.7 * each[1]), abs=1e-7)
    absent = replace(plain(epochs=2), r0=r0, weight=jnp.asarray([[1.0, 0.0]]))
    assert np.asarray(psf_image(optics, absent, 32, 0.25)) == pytest.approx(np.asarray(each[0]), abs=1e-7)


def test_worse_seeing_and_finite_slopes() -> None:
    """The peak falls with seeing, and has a finite derivative by every leaf of the State that shapes the PSF."""
    optics = Optics(1.8, 0.6, (617e-9,))
    state = replace(plain(), r0=jnp.asarray([[0.12]]), jitter=jnp.asarray([[0.02, 0.02, 0.0]]))
    state = replace(state, aberration=jnp.full(8, 3e-8))

    def peak(s: ImagerState) -> jax.Array:
        return psf_image(optics, s, 32, 0.25).max()

    slope = jax.grad(peak)(state)
    assert float(slope.r0[0, 0]) > 0
    assert float(slope.jitter[0, 0]) < 0
    for name in ("r0", "outer_scale", "jitter", "aberration", "offset", "weight"):
        assert np.isfinite(getattr(slope, name)).all(), name
    step = 1e-3
    two = [float(peak(replace(state, r0=state.r0 + s))) for s in (-step, step)]
    assert float(slope.r0[0, 0]) == pytest.approx((two[1] - two[0]) / (2 * step), rel=0.02)
