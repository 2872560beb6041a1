"""Blurring against closed forms: integrated Gaussian lines of variable width, on grids of every kind."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr

from twin.observatory.spectrograph.blur import Blur
from twin.observatory.spectrograph.grid import Grid, cells_around, linear_grid, log_grid
from twin.observatory.spectrograph.lsf import fwhm, integral, lsf, sigma
from twin.observatory.spectrograph.state import SpectrographState

REACH = 9
PIXELS = log_grid(5800.0, 1e-4, 700)
WIDTHS = (1.5, 0.1, 0.01)  # steeper over these pixels than any instrument here


def state_of(pixels: Grid, widths=WIDTHS, **values) -> SpectrographState:
    fields = dict.fromkeys(SpectrographState.__dataclass_fields__, 0.0)
    fields |= {"span": pixels.edges[[0, -1]], "lsf_sigma": widths, "wavelength_error": (0, 0, 0), "lsf_wing_width": 2.0}
    return SpectrographState(**{k: jnp.asarray(v, jnp.float32) for k, v in (fields | values).items()})


def width_at(wavelength: float, widths=WIDTHS) -> float:
    low, high = PIXELS.edges[[0, -1]]
    return float(np.polynomial.legendre.legval((2 * wavelength - low - high) / (high - low), widths))


def seen(wavelength: float, width: float) -> np.ndarray:
    """Closed form: the mean density in each pixel of a Gaussian line of unit flux."""
    return np.diff(ndtr((PIXELS.edges - wavelength) / width)) / np.diff(PIXELS.edges)


def delta_lines(fine: Grid, blur, widths=WIDTHS) -> float:
    """Worst error over the peak, of lines one cell wide."""
    worst = 0.0
    for j in range(60, fine.count - 60, 191):
        flux = np.zeros(fine.count)
        flux[j] = 1 / np.diff(fine.edges)[j]
        wanted = seen(fine.centres[j], width_at(fine.centres[j], widths))
        worst = max(worst, np.abs(blur(flux) - wanted).max() / wanted.max())
    return worst


@pytest.fixture(scope="module")
def exact():
    fine = PIXELS.finer(2, REACH)
    blur = jax.jit(Blur(PIXELS, fine, REACH))
    return fine, lambda flux, state: np.asarray(blur(jnp.asarray(flux, jnp.float32), state), np.float64)


def test_lines_are_integrated_gaussians_in_angstrom(exact):
    fine, blur = exact
    state = state_of(PIXELS)
    assert delta_lines(fine, lambda flux: blur(flux, state)) < 1e-4


def test_a_wrong_lsf_fails_that_check(exact):
    """Ten percent wider, or as many pixels as angstrom: the same check is far beyond its tolerance."""
    fine, blur = exact
    wide = state_of(PIXELS, tuple(1.1 * w for w in WIDTHS))
    assert delta_lines(fine, lambda flux: blur(flux, wide)) > 0.05
    pixel = float(np.diff(PIXELS.edges).mean())
    pixels = state_of(PIXELS, tuple(pixel * w for w in WIDTHS))
    assert delta_lines(fine, lambda flux: blur(flux, pixels)) > 0.2


def test_flux_is_kept(exact):
    fine, blur = exact
    flux = np.zeros(fine.count)
    flux[200:1200:97] = np.linspace(1, 3, len(flux[200:1200:97]))
    out = blur(flux, state_of(PIXELS, lsf_wing=0.05, lsf_skew=0.2))
    total = (flux * np.diff(fine.edges)).sum()
    assert (out * np.diff(PIXELS.edges)).sum() == pytest.approx(total, rel=2e-5)
    assert np.abs(blur(np.ones(fine.count), state_of(PIXELS)) - 1).max() < 1e-5


@pytest.mark.parametrize("means", [False, True])
@pytest.mark.parametrize("grid", [log_grid(5700.0, 1.7e-5, 7100), linear_grid(5650.0, 0.21, 5700)])
def test_grids_that_do_not_fit_the_pixels(grid, means):
    state = state_of(PIXELS)
    blur = jax.jit(Blur(PIXELS, grid, REACH, means=means))
    for at in (5901.3, 6300.7, 6700.1):
        own = 0.8
        x = (grid.edges - at) / own
        bell = np.exp(-0.5 * ((grid.centres - at) / own) ** 2) / own / np.sqrt(2 * np.pi)
        flux = np.diff(ndtr(x)) / np.diff(grid.edges) if means else bell
        wanted = seen(at, np.hypot(width_at(at), own))
        got = np.asarray(blur(jnp.asarray(flux, jnp.float32), state))
        assert np.abs(got - wanted).max() / wanted.max() < 5e-4


def test_an_observed_spectrum_is_blurred_on_its_own_wavelengths():
    """Cells around air wavelengths; a line of 0.2 AA comes out with the widths added in quadrature."""
    observed = linear_grid(5650.0, 0.2567, 4700, air=True)
    cells = cells_around(observed.centres)
    blur = jax.jit(Blur(PIXELS, cells, REACH, means=True))
    flux = np.diff(ndtr((cells.edges - 6200.0) / 0.3)) / np.diff(cells.edges)
    wanted = seen(6200.0, np.hypot(width_at(6200.0), 0.3))
    got = np.asarray(blur(jnp.asarray(flux, jnp.float32), state_of(PIXELS)))
    assert np.abs(got - wanted).max() / wanted.max() < 1e-3


def test_wavelength_error_moves_lines_where_the_pipeline_sees_them(exact):
    fine, blur = exact
    at = fine.centres[700]
    flux = np.zeros(fine.count)
    flux[700] = 1 / np.diff(fine.edges)[700]
    out = blur(flux, state_of(PIXELS, wavelength_error=(0.4, 0, 0)))
    wanted = seen(at + 0.4, width_at(at))
    assert np.abs(out - wanted).max() / wanted.max() < 1e-3


def test_the_density_is_the_slope_of_the_integral():
    state = state_of(PIXELS, lsf_wing=0.1, lsf_skew=0.3, lsf_blur=0.2)
    x = jnp.linspace(-6, 6, 1201)
    width = float(sigma(state, jnp.float32(0.0)))
    middle = float(PIXELS.edges[[0, -1]].mean())
    density = np.asarray(lsf(state, middle, x * width)) * width
    total = np.asarray(integral(x, state))
    assert np.abs(np.gradient(total, 0.01) - density)[1:-1].max() < 3e-4
    assert total[-1] - total[0] == pytest.approx(1, abs=1e-3)
    assert float(fwhm(replace(state, lsf_blur=jnp.float32(0)), middle)) == pytest.approx(
        2.3548 * width_at(middle), rel=1e-4
    )


def test_a_grid_too_short_is_named():
    with pytest.raises(ValueError, match="the fine grid covers 5899"):
        Blur(PIXELS, log_grid(5900.0, 1e-4, 100), REACH)
    with pytest.raises(ValueError, match="must rise"):
        cells_around(np.array([2.0, 1.0]))
