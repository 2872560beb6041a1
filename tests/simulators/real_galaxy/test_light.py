"""Deconvolved galaxies against GalSim, their noise against pure-noise stamps, their brightness maps against both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from tests.io.made_real_galaxy import SCALE, gaussian, write
from twin.io.real_galaxy import Catalogue, RealGalaxy, read_catalogue
from twin.numerics.fourier import Grid, image, spectrum
from twin.schema import UserError
from twin.simulators.real_galaxy.deconvolve import Table, build
from twin.simulators.real_galaxy.light import noise_variance, outline, real_light, real_spectrum

GRID = Grid(48, 0.08, 3, 2, graded=True)
AT = (0.13, -0.2)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return read_catalogue(write(tmp_path_factory.mktemp("real")))


@pytest.fixture(scope="module")
def table(catalogue: Catalogue) -> Table:
    return build(catalogue)


def _gaussian_psf(fwhm: float) -> tuple[jax.Array, jax.Array]:
    k2 = GRID.fx[None, :] ** 2 + GRID.fy[:, None] ** 2
    transfer = np.exp(-2 * (np.pi * fwhm / 2.354820) ** 2 * k2).astype(np.float32)
    return jnp.asarray(transfer), jnp.zeros_like(transfer)


def _ours(
    table: Table, fwhm: float, index: int, x: float, y: float, angle: float, flip: int, size: float
) -> np.ndarray:
    seen = _gaussian_psf(fwhm)[0] * GRID.pixel
    numbers = [jnp.float32(v) for v in (index, x, y, angle, flip, size)]
    re, im = jax.jit(lambda *a: real_spectrum(GRID, table, *a))(*numbers)
    return np.asarray(image(GRID, (re * seen, im * seen)))


def _galsim(galaxy: RealGalaxy, fwhm: float, x: float, y: float, angle: float, flip: int, size: float) -> np.ndarray:
    galsim = pytest.importorskip("galsim")
    made, psf = (
        galsim.InterpolatedImage(galsim.Image(v, scale=SCALE), x_interpolant="quintic", flux=1.0)
        for v in (galaxy.image, galaxy.psf)
    )
    sharp = galsim.Convolve(made, galsim.Deconvolve(psf))
    if flip:
        sharp = sharp.transform(1, 0, 0, -1)
    sharp = sharp.dilate(size).rotate(angle * galsim.radians).shift(x, y)
    seen = galsim.Convolve(sharp, galsim.Gaussian(fwhm=fwhm))
    found: np.ndarray = seen.drawImage(nx=GRID.npix, ny=GRID.npix, scale=GRID.pixel_scale).array
    return found


@pytest.mark.parametrize(("index", "angle", "flip", "size"), [(0, 0.0, 0, 1.0), (0, 0.7, 1, 0.8), (1, -2.1, 0, 1.3)])
def test_through_a_wider_psf_galsim_draws_the_same(
    catalogue: Catalogue, table: Table, index: int, angle: float, flip: int, size: float
) -> None:
    theirs = _galsim(catalogue.galaxies[index], 0.25, *AT, angle, flip, size)
    ours = _ours(table, 0.25, index, *AT, angle, flip, size)
    assert np.abs(ours - theirs).max() < 2e-4 * theirs.max()
    assert ours.sum() == pytest.approx(theirs.sum(), abs=1e-4)
    mirrored = _ours(table, 0.25, index, *AT, angle, 1 - flip, size)
    assert np.abs(mirrored - theirs).max() > (0.05 if index == 0 else 1e-3) * theirs.max()


def test_angles_turn_from_x_to_y(table: Table) -> None:
    # the second, fainter light of galaxy 0 lies at u = -8, v = 4 pixels of the first's 3, -2
    upright, turned, flipped = (
        _ours(table, 0.15, 0, 0.0, 0.0, angle, flip, 1.0) for angle, flip in ((0.0, 0), (np.pi / 2, 0), (0.0, 1))
    )
    assert np.abs(turned - np.rot90(upright, -1)).max() < 1e-4 * upright.max()  # rows count upward: rot90 turns back
    assert np.abs(flipped - upright[::-1]).max() < 1e-4 * upright.max()


def test_sharper_psf_shows_no_more_than_the_original_resolved(catalogue: Catalogue) -> None:
    """The spectrum of an unresolved source is 1 up to where the original PSF is cut, and 0 beyond, soon."""
    psf = catalogue.galaxies[0].psf
    star = RealGalaxy("1", 20.0, "F814W", np.pad(100 * psf, 60), psf, SCALE, 1e-9, None)
    points = build(Catalogue((star,), "", ()))
    zero, one = jnp.float32(0), jnp.float32(1)
    re, im = (np.asarray(v) for v in real_spectrum(GRID, points, zero, zero, zero, zero, zero, one))
    k = np.hypot(GRID.fx[None, :], GRID.fy[:, None]) / points.resolved[0]
    assert np.abs(re[k < 0.75] - 1).max() < 5e-3
    assert np.abs(re[k > 1.3]).max() < 5e-3
    assert np.abs(im).max() < 1e-4
    # the Gaussian PSF of sigma 1.6 pixels falls to 0.05 at sqrt(-2 ln 0.05) / (2 pi sigma)
    assert points.resolved[0] == pytest.approx(np.sqrt(-2 * np.log(0.05)) / (2 * np.pi * 1.6 * SCALE), rel=0.1)


@pytest.mark.parametrize("correlated", [False, True])
def test_variance_of_noise_is_that_of_pure_noise_stamps(catalogue: Catalogue, correlated: bool) -> None:
    rng = np.random.default_rng(8)
    source, many = catalogue.galaxies[0], 48
    light = 1e4 * gaussian(81, 81, 5.0)
    row = np.array([1, 2, 1]) / 4 if correlated else np.array([0.0, 1.0, 0.0])
    galaxies = []
    for _ in range(many):
        white = rng.normal(0, 1, (83, 83))
        noise = sum(row[a] * row[b] * white[a : a + 81, b : b + 81] for a in range(3) for b in range(3)) / (row @ row)
        correlation = source.correlation if correlated else None
        galaxies.append(replace(source, image=light + noise, noise_variance=1.0, correlation=correlation))
    noisy, clean = (
        build(Catalogue(tuple(galaxies), "", ())),
        build(Catalogue((replace(galaxies[0], image=light),), "", ())),
    )
    angle, flip, size = (jnp.float32(v) for v in (0.4, 1, 1.4))
    x, y = (jnp.float32(v) for v in AT)
    psf = _gaussian_psf(0.15)
    flux = jnp.asarray([1e4, 5e3], jnp.float32)

    def drawn(table: Table) -> np.ndarray:
        def one(k: jax.Array) -> jax.Array:
            re, im = real_spectrum(GRID, table, k, x, y, angle, flip, size)
            return image(GRID, (re * psf[0] * GRID.pixel, im * psf[0] * GRID.pixel))

        return np.asarray(jax.jit(lambda k: jax.lax.map(one, k))(jnp.arange(len(table))))

    added = drawn(noisy) - drawn(clean)
    told = np.asarray(noise_variance(GRID, psf, noisy, jnp.float32(0), angle, flip, size, flux))
    inside = np.asarray(outline(GRID, noisy, jnp.float32(0), x, y, angle, flip, size)) > 0
    middle = ndimage.binary_erosion(inside, iterations=4)
    assert 1e8 * (added[:, middle] ** 2).mean() == pytest.approx(told[0], rel=0.06)
    assert told[0] == pytest.approx(4 * told[1], rel=1e-5)
    assert (added[:, ~ndimage.binary_dilation(inside, iterations=4)] ** 2).mean() < 0.1 * (added[:, middle] ** 2).mean()


def test_brightness_map_is_the_galaxy_without_its_noise(table: Table) -> None:
    """Drawn through a wide PSF, map and spectrum agree but for the smoothing and the noise about the galaxy."""
    numbers = [jnp.float32(v) for v in (0, *AT, 0.7, 1, 1.0)]
    fine = (np.arange(48 * 6) - (48 * 6 - 1) / 2) * GRID.pixel_scale / 6
    x, y = (v.astype(np.float32) for v in np.meshgrid(fine, fine))
    brightness = np.asarray(real_light(table, *numbers)(jnp.asarray(x), jnp.asarray(y)))
    assert brightness.min() >= 0
    assert brightness.sum() * (GRID.pixel_scale / 6) ** 2 == pytest.approx(1, abs=2e-3)
    samples = brightness.reshape(48, 6, 48, 6).mean((1, 3)) * GRID.pixel_scale**2
    re, im = spectrum(GRID, jnp.asarray(samples))
    seen = _gaussian_psf(0.35)[0]
    drawn = np.asarray(image(GRID, (re * seen, im * seen)))
    truth = _ours(table, 0.35, 0, *AT, 0.7, 1, 1.0)
    assert np.abs(drawn - truth).max() < 0.03 * truth.max()
    # what is left is a matter of size alone: the places agree
    axis = GRID.centres
    for one in (0, 1):
        at = [np.sum(f.sum(one) * axis) / f.sum() for f in (drawn, truth)]
        assert at[0] == pytest.approx(at[1], abs=0.01)


def test_brightness_scales_with_size_and_keeps_its_flux(table: Table) -> None:
    fine = (np.arange(400) - 199.5) * 0.01
    x, y = (jnp.asarray(v, jnp.float32) for v in np.meshgrid(fine, fine))
    for size in (0.4, 1.0, 1.5):
        light = real_light(table, *(jnp.float32(v) for v in (1, 0.0, 0.0, 0.3, 0, size)))(x, y)
        assert float(light.sum()) * 1e-4 == pytest.approx(1, abs=2e-3)


def test_noise_alone_is_no_galaxy(catalogue: Catalogue) -> None:
    noise = np.abs(np.random.default_rng(1).normal(0, 1e-3, (40, 40)))
    galaxy = replace(catalogue.galaxies[0], image=noise - noise.mean() + 1e-9, noise_variance=1.0)
    with pytest.raises(UserError, match="galaxy 11 does not stand out of its noise"):
        build(Catalogue((galaxy,), "", ()))


@pytest.mark.real
def test_hst_galaxies_are_those_that_galsim_draws(real_data: Path) -> None:
    folder = real_data / "imaging" / "hst_galaxies_cosmos_aegis"
    catalogue = read_catalogue(folder / "galsim__AEGIS_F814w_catalog.fits.gz")
    table = build(catalogue)
    assert len(table) == 5
    for k, galaxy in enumerate(catalogue.galaxies):
        ours, theirs = _ours(table, 0.25, k, *AT, 0.7, k % 2, 0.8), _galsim(galaxy, 0.25, *AT, 0.7, k % 2, 0.8)
        assert np.abs(ours - theirs).max() < 2e-4 * theirs.max()


def test_removed_noise_leaves_the_galaxy(catalogue: Catalogue) -> None:
    rng = np.random.default_rng(5)
    light = 600 * gaussian(81, 81, 5.0, 0.6)
    plain = replace(catalogue.galaxies[0], image=light, noise_variance=1e-6, correlation=None)
    noisy = replace(plain, image=light + rng.normal(0, 0.3, light.shape), noise_variance=0.09)
    truth = _ours(build(Catalogue((plain,), "", ())), 0.12, 0, *AT, 0.4, 0, 1.0)
    kept, removed = (build(Catalogue((noisy,), "", ()), noise=noise) for noise in ("keep", "remove"))
    off = {name: _ours(t, 0.12, 0, *AT, 0.4, 0, 1.0) - truth for name, t in (("kept", kept), ("removed", removed))}
    assert np.std(off["removed"]) < 0.4 * np.std(off["kept"])
    assert removed.power.sum() < 0.1 * kept.power.sum()


def test_variance_left_by_removal_is_told(catalogue: Catalogue) -> None:
    """In the middle of the galaxy, and to a quarter: the filter follows the noise that it is to remove."""
    rng = np.random.default_rng(6)
    light = 600 * gaussian(81, 81, 7.0, 0.6)
    plain = replace(catalogue.galaxies[0], noise_variance=0.01, correlation=None)
    many = tuple(replace(plain, image=light + rng.normal(0, 0.1, light.shape)) for _ in range(40))
    table, psf = build(Catalogue(many, "", ()), noise="remove"), _gaussian_psf(0.13)
    zero, one = jnp.float32(0), jnp.float32(1)

    def drawn(k: jax.Array) -> jax.Array:
        re, im = real_spectrum(GRID, table, k, zero, zero, zero, zero, one)
        return image(GRID, (re * psf[0] * GRID.pixel, im * psf[0] * GRID.pixel))

    frames = np.asarray(jax.jit(lambda k: jax.lax.map(drawn, k))(jnp.arange(len(table))))
    told = float(noise_variance(GRID, psf, table, zero, zero, zero, one, jnp.ones(1))[0])
    mean = frames.mean(0)
    assert frames[:, mean > 0.1 * mean.max()].var(0).mean() == pytest.approx(told, rel=0.4)
    assert frames[:, mean < 1e-3 * mean.max()].var(0).mean() < 0.05 * told
