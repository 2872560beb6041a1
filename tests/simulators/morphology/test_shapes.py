"""Closed components against GalSim, or against fine sampling where GalSim has none of the kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import k1

from twin.numerics.fourier import Grid, image, spectrum
from twin.simulators.morphology import shapes

TOLERANCE = 1e-4  # of the peak
GRID = Grid(64, 0.074, 2, 2, graded=True)
SIGMA, X, Y, ANGLE = 0.06, 0.11, -0.07, 0.7  # PSF [arcsec], place, angle of the major axis
Profile = Callable[[Any, Any], jax.Array]


def psf(grid: Grid) -> np.ndarray:
    return np.exp(-2 * np.pi**2 * SIGMA**2 * (grid.fx[None, :] ** 2 + grid.fy[:, None] ** 2))


def ours(profile: Profile) -> np.ndarray:
    total = profile(*shapes.turned(GRID, jnp.float32(ANGLE))) * psf(GRID) * GRID.pixel
    wave = shapes.waves(GRID, jnp.float32(X), jnp.float32(Y))
    return np.asarray(image(GRID, (total * wave[0], total * wave[1])), float)


def galsims(profile: Any) -> np.ndarray:
    galsim = pytest.importorskip("galsim")
    whole = galsim.Convolve([profile.rotate(ANGLE * galsim.radians).shift(X, Y), galsim.Gaussian(sigma=SIGMA)])
    return whole.drawImage(nx=GRID.npix, ny=GRID.npix, scale=GRID.pixel_scale, dtype=float).array


def error(mine: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(mine - theirs).max() / theirs.max())


@pytest.mark.parametrize(("inclination", "thickness"), [(0.0, 0.1), (0.9, 0.2), (1.45, 0.12), (np.pi / 2, 0.25)])
def test_inclined_discs(inclination: float, thickness: float) -> None:
    galsim = pytest.importorskip("galsim")
    fine = galsim.GSParams(kvalue_accuracy=1e-7, folding_threshold=5e-4)
    theirs = galsims(
        galsim.InclinedExponential(
            inclination * galsim.radians, scale_radius=0.4, scale_h_over_r=thickness, gsparams=fine
        )
    )

    def disc(scale: float, height: float) -> np.ndarray:
        at = (jnp.float32(v) for v in (scale, height, np.cos(inclination)))
        scale, height, cos_i = at
        return ours(lambda f_u, f_v: shapes.inclined_disc(f_u, f_v, scale, height, cos_i))

    assert error(disc(0.4, 0.4 * thickness), theirs) < TOLERANCE
    assert error(disc(0.402, 0.4 * thickness), theirs) > TOLERANCE
    if inclination > 1:
        assert error(disc(0.4, 0.41 * thickness), theirs) > TOLERANCE


@pytest.mark.parametrize("n", [0.5, 1.0, 2.5, 4.0, 6.0])
def test_sersics(n: float) -> None:
    galsim = pytest.importorskip("galsim")
    fine = galsim.GSParams(maxk_threshold=1e-5, kvalue_accuracy=1e-7, folding_threshold=1e-4, maximum_fft_size=16384)
    theirs = galsims(galsim.Sersic(n, half_light_radius=0.5, gsparams=fine).shear(q=0.6, beta=0 * galsim.radians))
    radius, q = jnp.float32(0.5), jnp.float32(0.6)
    assert error(ours(lambda f_u, f_v: shapes.sersic(f_u, f_v, radius, q, jnp.float32(n))), theirs) < TOLERANCE
    wrong = jnp.float32(1.01 * n)
    assert error(ours(lambda f_u, f_v: shapes.sersic(f_u, f_v, radius, q, wrong)), theirs) > TOLERANCE


@pytest.mark.parametrize(("angle", "cos_i"), [(0.0, 1.0), (0.8, 0.5), (2.2, 0.35)])
def test_bars(angle: float, cos_i: float) -> None:
    """The transform of what `ferrers_light` draws, sampled ten times a pixel."""
    length, q = 0.9, 0.3
    fine = (np.arange(640) - 319.5) * GRID.pixel_scale / 10
    u, v = np.cos(ANGLE) * fine + np.sin(ANGLE) * fine[:, None], np.cos(ANGLE) * fine[:, None] - np.sin(ANGLE) * fine
    v = v / cos_i
    p, s = (np.cos(angle) * u + np.sin(angle) * v) / length, (np.cos(angle) * v - np.sin(angle) * u) / length
    light = np.asarray(shapes.ferrers_light(jnp.asarray(p), jnp.asarray(s), jnp.asarray(q)))
    light = light * (GRID.pixel_scale / 10) ** 2 / cos_i / length**2
    assert light.sum() == pytest.approx(1, abs=1e-5)  # all of it in the frame, of unit flux
    centred = tuple(jnp.asarray(part * psf(GRID) * GRID.pixel) for part in spectrum(GRID, jnp.asarray(light)))
    theirs = np.asarray(image(GRID, (centred[0], centred[1])), float)

    def bar(length: float) -> np.ndarray:
        a, f = shapes.turned(GRID, jnp.float32(ANGLE)), [jnp.float32(x) for x in (length, q, angle, cos_i)]
        total = shapes.ferrers_bar(*a, *f) * psf(GRID) * GRID.pixel
        return np.asarray(image(GRID, (total, jnp.zeros_like(total))), float)

    assert error(bar(length), theirs) < TOLERANCE
    assert error(bar(1.002 * length), theirs) > TOLERANCE


def test_the_run_of_an_edge_on_disc() -> None:
    u = np.geomspace(1e-3, 20, 300)
    assert np.asarray(shapes.edge_on_profile(jnp.asarray(u))) == pytest.approx(u * k1(u), rel=2e-4)
    assert float(shapes.edge_on_profile(jnp.float32(0))) == 1
    assert float(shapes.edge_on_profile(jnp.float32(1e9))) == pytest.approx(0, abs=1e-12)


def test_extinction_is_that_of_cardelli_clayton_and_mathis() -> None:
    """Their table 3, R_V = 3.1: U B V R I J H K (B by the definition of R_V); dust sees bluer light than we."""
    x = np.array([2.78, 2.27, 1.82, 1.43, 1.11, 0.80, 0.63, 0.46])
    table = np.array([1.569, 1 + 1 / 3.1, 1.000, 0.751, 0.479, 0.282, 0.190, 0.114])
    assert np.asarray(shapes.extinction(1000 / x, jnp.float32(0))) == pytest.approx(table, abs=4e-3)
    assert np.asarray(shapes.extinction(1500 / x, jnp.float32(0.5))) == pytest.approx(table, abs=4e-3)
    # the bump of 217.5 nm: 3.11 of A(V) there (Fitzpatrick 1999, PASP 111, 63, table 3 at R = 3.1: 2.9 to 3.2)
    assert 2.9 < float(shapes.extinction(np.array([217.5]), jnp.float32(0))[0]) < 3.2
    assert np.all(np.isfinite(np.asarray(shapes.extinction(np.array([300.0, 900.0]), jnp.float32(9.0)))))
