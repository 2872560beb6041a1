"""Common grids: what is kept, and what the noise and masks become."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.io.spectra import made
from twin.io.spectra import GRIDS, Grid, Spectrum, grid_named, resample
from twin.schema import UserError


def spectrum(wave: np.ndarray, flux: np.ndarray, ivar: np.ndarray | None = None) -> Spectrum:
    bits = np.zeros(len(wave), np.int32)
    return Spectrum(wave, flux, ivar, bits, bits, "x.fits", "", "LAMOST-LRS", "", "vacuum", "", False)


def test_the_grids() -> None:
    halpha = GRIDS["halpha"].wavelength
    np.testing.assert_allclose(halpha, np.linspace(6519, 6732, 140), rtol=1e-12)
    native = GRIDS["lamost-lrs"]
    assert native.wavelength[[0, -1]] == pytest.approx([10**3.5682, 10**3.959])
    for grid in GRIDS.values():
        assert len(grid.wavelength) == grid.n == len(grid.edges) - 1
        assert (grid.edges[:-1] < grid.wavelength).all()
        assert (grid.wavelength < grid.edges[1:]).all()
    with pytest.raises(UserError, match='did you mean "halpha"'):
        grid_named("halfa")


def test_on_the_lattice_nothing_changes(rng: np.random.Generator) -> None:
    grid = GRIDS["lamost-lrs"]
    wave = grid.wavelength[5:3905].astype(np.float32).astype(np.float64)  # as files have it
    given = spectrum(wave, rng.normal(size=3900), rng.uniform(size=3900))
    for method in ("conserve", "linear"):
        out = resample(given, grid, method)
        np.testing.assert_array_equal(out.flux[5:3905], given.flux.astype(np.float32))
        np.testing.assert_array_equal(out.ivar[5:3905], given.ivar.astype(np.float32))
        assert out.valid.sum() == 3900
        assert not out.valid[:5].any()
        assert (out.flux[3905:] == 0).all()
    longer = spectrum(np.exp(np.log(10) * (3.5680 + 1e-4 * np.arange(3950))), np.arange(3950.0))
    out = resample(longer, grid)
    np.testing.assert_array_equal(out.flux, np.arange(2, 3911))


@pytest.mark.parametrize("step", [0.2567, 1.5, 4.0])
def test_the_integral_is_kept(rng: np.random.Generator, step: float) -> None:
    wave = np.arange(6400.0, 6850.0, step) + 0.1 * step
    given = spectrum(wave, rng.uniform(1, 2, len(wave)))
    grid = Grid("own", 6500.0, 1.7, 100, log=False)
    out = resample(given, grid)
    assert out.valid.all()
    edges = np.concatenate(([wave[0] - step / 2], wave + step / 2))
    whole = np.concatenate(([0], np.cumsum(given.flux * step)))
    want = np.interp(grid.edges[-1], edges, whole) - np.interp(grid.edges[0], edges, whole)
    assert out.flux.sum(dtype=np.float64) * 1.7 == pytest.approx(want, rel=1e-6)
    linear = resample(given, grid, "linear")
    np.testing.assert_allclose(linear.flux, np.interp(grid.wavelength, wave, given.flux), rtol=1e-6)
    assert abs(linear.flux.sum(dtype=np.float64) * 1.7 / want - 1) > 1e-5  # the integral is what it does not keep


@pytest.mark.parametrize("method", ["conserve", "linear"])
def test_variance_is_that_of_many_draws(rng: np.random.Generator, method: str) -> None:
    wave = np.arange(6500.0, 6760.0, 0.9)
    ivar = rng.uniform(0.5, 2, len(wave))
    grid = GRIDS["halpha"]
    noise = rng.normal(size=(3000, len(wave))) / np.sqrt(ivar)
    drawn = np.stack([resample(spectrum(wave, row, ivar), grid, method).flux for row in noise])
    told = resample(spectrum(wave, noise[0], ivar), grid, method).ivar
    ratio = drawn.var(axis=0) * told
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    assert np.abs(ratio - 1).max() < 0.12
    if method == "conserve":  # the diagnostic rejects a variance that is summed like the flux
        shares = resample(spectrum(wave, 1 / ivar), grid, method).flux
        assert abs((drawn.var(axis=0) / shares).mean() - 1) > 0.2


def test_masked_pixels_keep_their_flux_and_lose_their_error() -> None:
    wave = np.arange(6480.0, 6780.0, 0.5)
    flux, ivar = made.profile(wave, -4.0), np.ones(len(wave))
    ivar[np.abs(wave - made.CENTRE) < 5] = 0
    given = spectrum(wave, flux, ivar)
    grid = GRIDS["halpha"]
    for method in ("conserve", "linear"):
        out = resample(given, grid, method)
        near = np.abs(grid.wavelength - made.CENTRE) < 4
        assert out.flux[near].max() == pytest.approx(flux.max(), rel=0.04)
        assert (out.ivar[near] == 0).all()
        assert (out.mask[near] == 1).all()
        assert out.valid.all()
        far = np.abs(grid.wavelength - made.CENTRE) > 8
        assert (out.ivar[far] > 0).all()
        assert (out.mask[far] == 0).all()


def test_what_is_not_covered_has_no_value() -> None:
    wave = np.arange(6600.0, 6780.0, 0.5)
    for method in ("conserve", "linear"):
        out = resample(spectrum(wave, np.ones(len(wave)), np.ones(len(wave))), GRIDS["halpha"], method)
        inside = GRIDS["halpha"].wavelength > 6601
        assert out.valid[inside].all()
        assert not out.valid[GRIDS["halpha"].wavelength < 6599].any()
        np.testing.assert_allclose(out.flux[inside], 1, rtol=1e-6)
        assert (out.flux[out.valid == 0] == 0).all()
        beyond = spectrum(np.arange(8000.0, 8100.0), np.ones(100), np.ones(100))
        assert not resample(beyond, GRIDS["halpha"], method).valid.any()
    with pytest.raises(UserError, match="no such way to resample"):
        resample(beyond, GRIDS["halpha"], "cubic")


def test_no_errors_in_the_file_are_no_errors_here() -> None:
    given = spectrum(np.arange(6480.0, 6780.0, 0.5), np.ones(600))
    assert (resample(given, GRIDS["halpha"]).ivar == 0).all()
    assert not resample(given, GRIDS["halpha"]).mask.any()
    assert (resample(replace(given, ivar=np.full(600, 2.0)), GRIDS["halpha"]).ivar > 0).all()
