"""Half-plane Fourier transforms against NumPy's FFT and against functions whose transforms are known."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from twin.numerics.fourier import Grid, image, phasors, product, spectrum


def direct(grid: Grid, x: np.ndarray, y: np.ndarray, values: np.ndarray) -> np.ndarray:
    """sum_p v_p exp(-2 pi i f r_p) at every frequency of the half-plane, in double precision."""
    ex = np.exp(-2j * np.pi * np.outer(grid.fx.astype(float), x))
    ey = np.exp(-2j * np.pi * np.outer(grid.fy.astype(float), y))
    return (ey * values) @ ex.T


@pytest.mark.parametrize(("npix", "m", "factor"), [(8, 1, 1), (9, 1, 2), (8, 3, 3)])
def test_spectrum_is_the_sum_over_samples(npix: int, m: int, factor: int, rng: np.random.Generator) -> None:
    grid = Grid(npix, 0.3, factor)
    cells = rng.normal(size=(2, m * npix, m * npix)).astype(np.float32)
    at = (np.arange(m * npix) - (m * npix - 1) / 2) * 0.3 / m
    x, y = np.meshgrid(at, at)
    re, im = spectrum(grid, jnp.asarray(cells))
    assert re.shape == im.shape == (2, 2 * grid.half, grid.half)
    for k in range(2):
        expected = direct(grid, x.ravel(), y.ravel(), cells[k].ravel())
        assert np.asarray(re[k]) + 1j * np.asarray(im[k]) == pytest.approx(expected, abs=2e-4)


def test_spectrum_is_numpys_fft(rng: np.random.Generator) -> None:
    """On an unpadded grid the frequencies are those of `fft2`, the origin moved to the frame's centre."""
    grid = Grid(16, 1.0, pad=1)
    cells = rng.normal(size=(16, 16)).astype(np.float32)
    re, im = spectrum(grid, jnp.asarray(cells))
    shift = np.exp(2j * np.pi * np.fft.fftfreq(16) * 7.5)
    theirs = np.fft.fft2(cells) * shift[:, None] * shift[None, :]
    ours = np.asarray(re) + 1j * np.asarray(im)
    assert ours[:8] == pytest.approx(theirs[:8, :8], abs=2e-5)
    assert ours[9:] == pytest.approx(theirs[:8:-1, :8], abs=2e-5)  # ky = -1, -2, ...


@pytest.mark.parametrize(("npix", "factor", "pad"), [(12, 1, 2), (11, 2, 2), (12, 3, 1)])
def test_band_limited_light_comes_back(npix: int, factor: int, pad: int) -> None:
    """Waves below the grid's limit, each on its own frequency, are evaluated exactly at the pixel centres."""
    grid = Grid(npix, 0.25, factor, pad)
    side = npix * pad * 0.25
    waves = [(0, 0, 1.0, 0.0), (1, 0, 0.5, 0.3), (0, 2, -0.7, 0.2), (3, 2, 0.4, -0.6), (2, -3, 0.9, 0.1)]
    re = np.zeros((2 * grid.half, grid.half), np.float32)
    im = np.zeros_like(re)
    expected = np.zeros((npix, npix))
    x, y = np.meshgrid(grid.centres, grid.centres)
    for kx, ky, a, b in waves:
        rows = [ky, grid.half] if ky == 0 else [ky if ky > 0 else grid.half - ky]
        for row in rows:
            re[row, kx], im[row, kx] = a, b
        angle = 2 * np.pi * (kx * x + ky * y) / side
        twice = 1 if (kx, ky) == (0, 0) else 2
        if kx == 0 and ky != 0:  # the column kx = 0 is its own mirror image: the partner at -ky
            re[grid.half + ky, 0], im[grid.half + ky, 0] = a, -b
        expected += twice * (a * np.cos(angle) - b * np.sin(angle)) / (npix * pad) ** 2
    out = np.asarray(image(grid, (jnp.asarray(re), jnp.asarray(im))))
    assert out.shape == (npix, npix)
    assert out == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("factor", [1, 3])
def test_gaussian_through_the_pixel(factor: int, graded: bool) -> None:
    """A shifted Gaussian integrated over pixels is a difference of error functions."""
    from scipy.special import erf

    grid, sigma, x0, y0 = Grid(24, 0.2, factor, graded=graded), 0.25, 0.13, -0.31
    cx, sx, cy, sy = phasors(grid, jnp.float32(x0), jnp.float32(y0))
    blur = np.exp(-2 * np.pi**2 * sigma**2 * (grid.fx[None, :] ** 2 + grid.fy[:, None] ** 2)) * grid.pixel
    shift = product((cx[None, :], sx[None, :]), (cy[:, None], sy[:, None]))
    out = np.asarray(image(grid, (shift[0] * blur, shift[1] * blur)))

    def share(centre: float) -> np.ndarray:
        edges = (np.append(grid.centres, grid.centres[-1] + 0.2) - 0.1 - centre) / sigma / np.sqrt(2)
        return 0.5 * np.diff(erf(edges))

    expected = np.outer(share(y0), share(x0))
    # one Nyquist limit cuts 0.1 arcsec pixels' worth of a sigma of 1.25 pixels: 1e-4 of the peak
    assert out == pytest.approx(expected, abs=(5e-4 if factor == 1 else 2e-6) * expected.max())


@pytest.mark.parametrize(("npix", "factor"), [(64, 1), (32, 1), (64, 3), (17, 2)])
def test_wings_come_round_late_where_frequencies_are_graded(npix: int, factor: int) -> None:
    """exp(-2 pi a f) is the transform of a / (2 pi (r^2 + a^2)^(3/2)): wings as heavy as those of light.

    The next periods bring 9 (a / period)^3 of the peak: 4e-3 at 32 arcsec, 1.1e-5 at seven times that.
    """
    scale, a, worst = 16 / npix, 2.4, {}
    for graded in (False, True):
        grid = Grid(npix, scale, factor, graded=graded)
        radius = np.hypot(grid.fx[None, :], grid.fy[:, None])
        x, y = np.meshgrid(grid.centres, grid.centres)
        errors = []
        for x0, y0 in ((0.3, -0.4), (9.0, 7.0)):
            cx, sx, cy, sy = phasors(grid, jnp.float32(x0), jnp.float32(y0))
            shift = product((cx[None, :], sx[None, :]), (cy[:, None], sy[:, None]))
            out = np.asarray(image(grid, tuple(part * np.exp(-2 * np.pi * a * radius) for part in shift)))
            exact = scale**2 * a / (2 * np.pi * ((x - x0) ** 2 + (y - y0) ** 2 + a**2) ** 1.5)
            errors.append(np.abs(out - exact).max() / (scale**2 / (2 * np.pi * a**2)))
        worst[graded] = max(errors)
    assert worst[True] < 2e-5
    assert worst[False] > 3e-3


@pytest.mark.parametrize(("npix", "factor"), [(8, 1), (64, 1), (64, 3), (128, 1)])
def test_graded_frequencies(npix: int, factor: int) -> None:
    """They start at zero, seven a step, and reach the limit; far from zero not fewer than 0.7 a step."""
    plain, graded = Grid(npix, 0.3, factor), Grid(npix, 0.3, factor, graded=True)
    assert graded.fx[0] == 0
    assert graded.fx[1] == pytest.approx(plain.step / 7, rel=0.05)
    gaps = np.diff(graded.fx.astype(float))
    assert np.all(np.diff(gaps) > -1e-6)
    assert gaps.max() < plain.step / 0.7 * 1.001
    assert graded.fx[-1] < plain.half * plain.step < graded.fx[-1] + 1.1 * gaps[-1]
    assert graded.half <= plain.half + 8
    assert graded.weight[1:-1] * plain.step == pytest.approx(0.5 * (gaps[1:] + gaps[:-1]), rel=0.05)


def test_frequencies_above_the_pixels_limit_fold() -> None:
    """Undersampled light is sampled, not smoothed: a wave above Nyquist shows as its alias."""
    grid, coarse = Grid(16, 1.0, 3, 1), Grid(16, 1.0, 1, 1)
    out = {}
    for g, k in ((grid, 20), (coarse, 4)):
        re = np.zeros((2 * g.half, g.half), np.float32)
        re[[0, g.half], k] = 1.0
        out[k] = np.asarray(image(g, (jnp.asarray(re), jnp.zeros_like(re))))
    x = grid.centres
    assert out[20] == pytest.approx(np.tile(2 * np.cos(2 * np.pi * 20 * x / 16) / 256, (16, 1)), abs=1e-6)
    # 20 and 4 cycles across 16 pixels differ by one cycle a pixel, whose centres lie at half pixels: a change of sign
    assert out[20] == pytest.approx(-out[4], abs=1e-6)


def test_cell_window_is_the_mean_over_a_pixels_samples(rng: np.random.Generator) -> None:
    """Samples of three a pixel, windowed and taken at pixel centres, are the sums of their blocks."""
    grid = Grid(16, 0.3, 3)
    at = (np.arange(48) - 23.5) * 0.1
    light = np.exp(-0.5 * ((at[None, :] - 0.2) ** 2 + (at[:, None] + 0.3) ** 2) / 0.25**2).astype(np.float32)
    re, im = spectrum(grid, jnp.asarray(light))
    out = np.asarray(image(grid, (re * grid.cell(3), im * grid.cell(3))))
    blocks = light.reshape(16, 3, 16, 3).sum((1, 3))
    assert out == pytest.approx(blocks, abs=float(2e-5 * blocks.max()))
    assert grid.cell(1) == pytest.approx(np.ones((2 * grid.half, grid.half)))


def test_product_is_complex(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))
    re, im = product((a[0], a[1]), (b[0], b[1]))
    assert re + 1j * im == pytest.approx((a[0] + 1j * a[1]) * (b[0] + 1j * b[1]))
