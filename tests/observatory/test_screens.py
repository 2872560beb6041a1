"""Phase screens have von Karman's structure function, and their PSFs do not depend on how they are drawn."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from twin.numerics.turbulence import structure_function
from twin.observatory.screens import (
    ReadyScreen,
    Setup,
    _field,
    draw_screens,
    fresh_psf,
    pooled_psf,
    ready_screen,
    structure,
    window_psf,
)

R0, L0 = 0.2, 25.0
SMALL = Setup(grid=64, across=32)


def expected(n: int, pitch: float, outer_scale: float) -> np.ndarray:
    """(n // 2 + 1,) mean structure function along x of field and plane at separations of 0 to n / 2 pixels."""
    amplitude, slope = _field(n, pitch, R0, outer_scale)
    covariance = np.fft.fft2(amplitude**2).real[0, : n // 2 + 1]
    return 2 * (covariance[0] - covariance) + (slope * pitch * np.arange(n // 2 + 1)) ** 2


def test_structure_function_in_float64_is_that_of_the_fast_path() -> None:
    r = np.array([1e-3, 0.05, 0.3, 1.0, 3.0, 11.0, 60.0])
    fast = structure_function(jnp.asarray(r, jnp.float32), jnp.float32(R0), jnp.float32(L0))
    assert structure(r, R0, L0) == pytest.approx(np.asarray(fast), rel=5e-5)
    assert structure(np.zeros(1), R0, L0)[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("n", "pitch"), [(256, 1 / 128), (512, 1 / 16)])  # 2 m, far below L0, and 32 m
@pytest.mark.parametrize("outer_scale", [2.0, 25.0, 1e4])
def test_field_and_plane_have_the_structure_function(n: int, pitch: float, outer_scale: float) -> None:
    r = pitch * np.arange(1, n // 2 + 1)
    found = expected(n, pitch, outer_scale)[1:] / structure(r, R0, outer_scale)
    assert found[16:] == pytest.approx(1, abs=6e-4)
    assert found == pytest.approx(1, abs=1.2e-2)


def test_three_by_three_subharmonics_fall_short() -> None:
    """The trap that the field and its plane avoid: 256^2 pixels of 2 m, three levels of sub-harmonics."""

    def power(fx: np.ndarray, fy: np.ndarray, step: float) -> np.ndarray:
        f2 = fx**2 + fy**2
        shape = (np.maximum(f2, 1e-12) + 1 / L0**2) ** (-11 / 6) * step**2
        return np.where(f2 > 0, 0.0229 * R0 ** (-5 / 3) * shape, 0)

    f = np.fft.fftfreq(256, 1 / 128)
    whole = [(f[:, None], f[None, :], 0.5)]
    near = np.array([-1, 0, 1])
    whole += [(near[:, None] * 0.5 / 3**p, near[None, :] * 0.5 / 3**p, 0.5 / 3**p) for p in (1, 2, 3)]
    short = sum((2 * power(fy, fx, step) * (1 - np.cos(2 * np.pi * fx))).sum() for fy, fx, step in whole)
    assert short / structure(np.ones(1), R0, L0)[0] == pytest.approx(0.874, abs=2e-3)


def test_drawn_screens_have_the_structure_function() -> None:
    """4,000 screens of 2 m: within 4 % at 1 m, where one screen scatters by 100 %."""
    rng, n, pitch, lags = np.random.default_rng(3), 32, 1 / 16, np.array([1, 2, 4, 8, 16])
    squares, fourths = np.zeros((2, len(lags)))
    x = pitch * np.arange(n)
    for _ in range(2000):
        *fields, slopes = draw_screens(rng, n, pitch, R0, L0)
        screens = np.array(fields) + slopes[:, :1, None] * x + slopes[:, 1:, None] * x[:, None]
        for k, lag in enumerate(lags):
            for step in (screens[:, :, lag:] - screens[:, :, :-lag], screens[:, lag:] - screens[:, :-lag]):
                squares[k] += (step**2).mean() / 4000
                fourths[k] += (step**4).mean() / 4000
    assert squares == pytest.approx(structure(x[lags], R0, L0), rel=0.04)
    assert squares[:3] == pytest.approx(structure(x[lags[:3]], R0, L0), rel=0.02)
    assert fourths / squares**2 == pytest.approx(3, rel=0.1)  # Gaussian


def test_pooled_is_the_mean_of_fresh() -> None:
    """The blur that stands for planes, and both fields of an FFT, change the scatter alone."""
    fresh = fresh_psf(np.random.default_rng(0), 3000, SMALL, np.complex64, pairs=True)
    pooled = pooled_psf(np.random.default_rng(1), 3000, SMALL)
    assert np.abs(fresh - pooled).max() < 0.05 * pooled.max()
    assert (fresh * pooled).sum() / (pooled**2).sum() == pytest.approx(1, abs=0.015)
    for psf in (fresh, pooled):
        assert psf.sum() == pytest.approx(1, abs=1e-9)


def test_draws_are_seeded_and_precision_is_chosen() -> None:
    a, b, c = (fresh_psf(np.random.default_rng(s), 3, SMALL) for s in (5, 5, 6))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert draw_screens(np.random.default_rng(0), 64, 0.01, R0, L0, np.complex64)[0].dtype == np.float32
    assert draw_screens(np.random.default_rng(0), 64, 0.01, R0, L0)[0].dtype == np.float64
    odd, even = (fresh_psf(np.random.default_rng(5), n, SMALL, pairs=True) for n in (3, 4))
    assert not np.array_equal(odd, even)  # the fourth field counts only where it was asked for


def test_windows_of_a_ready_screen() -> None:
    """Over a screen of many outer scales windows give the PSF of fresh screens."""
    setup = Setup(grid=64, across=32, outer_scale=2.0)
    ready = ready_screen(np.random.default_rng(2), 1024, setup)
    assert ready.field.dtype == np.float32
    windows = window_psf(np.random.default_rng(3), 2000, setup, ready)
    pooled = pooled_psf(np.random.default_rng(4), 2000, setup)
    assert np.abs(windows - pooled).max() < 0.04 * pooled.max()
    calm = window_psf(np.random.default_rng(3), 1, setup, ReadyScreen(np.zeros((32, 32), np.float32), 0.0))
    assert calm.max() > 1.9 * pooled.max()


def test_a_lattice_too_small_for_its_pupil() -> None:
    with pytest.raises(ValueError, match="lattice"):
        Setup(grid=100, across=64)
