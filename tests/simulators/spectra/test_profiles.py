"""Profiles, held to closed forms, to numerical integrals and to photons thrown one by one."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from twin.simulators.spectra import wind
from twin.simulators.spectra.disc import disc_profile
from twin.simulators.spectra.labels import CLASSES, ProfileConfig, classify, equivalent_width
from twin.simulators.spectra.photosphere import LIGHT, log_grid
from twin.simulators.spectra.rotation import broadened, kernel, transform

H_ALPHA = 6564.614
V = np.linspace(-900, 900, 3601)


def test_rotation_is_an_integral_over_the_star() -> None:
    """Light of a disc, darkened as 1 - e + e mu, by its speed across: no kernel used."""
    n, darkening = 1200, 0.6
    y, x = np.meshgrid(*2 * [(np.arange(n) + 0.5) / n * 2 - 1], indexing="ij")
    inside = x**2 + y**2 < 1
    light = np.where(inside, 1 - darkening + darkening * np.sqrt(np.maximum(1 - x**2 - y**2, 0)), 0)
    expected, edges = np.histogram(x, 40, (-1, 1), weights=light, density=True)
    found = kernel((edges[1:] + edges[:-1]) / 2, darkening)
    np.testing.assert_allclose(found[1:-1], expected[1:-1], rtol=5e-3)
    wrong = kernel((edges[1:] + edges[:-1]) / 2, 0.0)  # no darkening: another kernel
    assert np.abs(wrong - expected)[1:-1].max() > 0.05
    fine = (np.arange(20000) + 0.5) / 10000 - 1
    for k in (0.0, 0.005, 1.0, 7.0, 30.0):
        assert transform(np.array(k)) == pytest.approx(np.mean(kernel(fine) * np.cos(k * fine)) * 2, abs=1e-5)


def test_rotation_keeps_equivalent_widths() -> None:
    v = np.arange(-1500, 1500, 8.0)
    flux = 1 - 0.7 * np.exp(-0.5 * (v / 20) ** 2)
    turned = broadened(flux, 8.0, 200.0)
    assert (1 - turned).sum() == pytest.approx((1 - flux).sum(), rel=1e-6)
    np.testing.assert_allclose(turned[np.abs(v) > 300], 1, atol=2e-3)
    assert turned.min() > 0.8


CASES = {  # outer, ratio, slope, shear, turbulence, arm
    "thin": (100.0, 10.0, 1.7, 0.0, 10.0, 0.0),
    "wave": (60.0, 5.0, 1.2, 2.0, 15.0, 0.4),
    "thick": (150.0, 3.3, 2.3, 6.0, 20.0, -0.5),
    "pole-on": (12.0, 10.0, 1.5, 0.05, 20.0, 0.0),
}


@pytest.mark.parametrize("name", CASES)
def test_a_disc_is_what_its_photons_say(name: str) -> None:
    """Photons from random places of the disc: within 2 % of the peak, and not with another size."""
    outer, ratio, slope, shear, turbulence, arm = CASES[name]
    rng = np.random.default_rng(3)
    n = 800_000
    r = np.exp(rng.uniform(-np.log(ratio), 0, n))  # of the outer radius
    u = np.sin(rng.uniform(0, 2 * np.pi, n))
    weight = r ** (2 - slope) * np.sqrt(1 + shear**2 * u**2 * (1 - u**2))
    speed = outer * r**-0.5 * u + turbulence * rng.standard_normal(n)
    edges = np.arange(-900, 901, 10.0)
    thrown, _ = np.histogram(speed, edges, weights=weight * (1 + arm * u))
    thrown = thrown / weight.sum() / 10
    middle = (edges[1:] + edges[:-1]) / 2

    def off(ratio: float) -> float:
        found = disc_profile(jnp.asarray(V), *map(jnp.float32, (outer, ratio, slope, shear, turbulence, arm)))
        each = np.asarray(found)[:-1].reshape(-1, 20).mean(1)  # over the bins
        return float(np.abs(np.interp(middle, V[:-1].reshape(-1, 20).mean(1), each) - thrown).max() / thrown.max())

    assert off(ratio) < 0.02
    if name != "pole-on":
        assert off(2.5 * ratio) > 0.05


def test_peaks_stand_at_the_speed_of_the_outer_edge() -> None:
    """2 V_K(r_out) sin i apart where turbulence is small; emission of unit area; the odd part leaves it."""
    for outer in (60.0, 150.0, 250.0):
        args = (outer, 8.0, 1.5, 1.0, 0.05 * outer)
        found = np.asarray(disc_profile(jnp.asarray(V), *map(jnp.float32, args), jnp.float32(0.0)))
        apart = V[V > 0][found[V > 0].argmax()] - V[V < 0][found[V < 0].argmax()]
        assert apart == pytest.approx(2 * outer, rel=0.05)
        assert np.trapezoid(found, V) == pytest.approx(1, abs=5e-3)
        red = np.asarray(disc_profile(jnp.asarray(V), *map(jnp.float32, args), jnp.float32(0.5)))
        assert np.trapezoid(red, V) == pytest.approx(1, abs=5e-3)
        assert red[V > 0].max() > 1.5 * red[V < 0].max()


def test_a_wind_scatters_what_it_takes() -> None:
    """Photons are kept: light gained is light lost, less what falls back on the star or is hidden by it, at most the
    dilution at the wind's foot; all at velocities below the terminal one."""
    step = wind.X[1] - wind.X[0]
    for depth in (0.3, 3.0):
        lost, gained = (part.sum() * step for part in wind.sobolev(depth, 1.0))
        assert 0.8 * lost < gained < lost
    lost, gained = wind.sobolev(10.0, 1.0, turbulence=0.02)
    assert (lost[wind.X > 0.1] < 1e-3).all()  # only what comes towards us stands before the star
    assert lost[(wind.X > -0.8) & (wind.X < -0.2)].min() > 0.8
    assert gained[np.abs(wind.X) > 1.1].max() < 1e-3
    thin = [part.sum() for part in wind.sobolev(0.02, 1.0)]
    assert thin[0] < 0.02 * lost.sum()


GRID = log_grid(6480.0, 6765.0, 2.5e-5)
SPEED = LIGHT * np.log(GRID / H_ALPHA)


def line(velocity: float, sigma: float, width: float) -> np.ndarray:
    """A Gaussian of an equivalent width [Angstrom]."""
    each = LIGHT / (H_ALPHA * np.sqrt(2 * np.pi) * sigma)
    found: np.ndarray = width * each * np.exp(-0.5 * ((SPEED - velocity) / sigma) ** 2)
    return found


def test_equivalent_widths() -> None:
    measure = equivalent_width(GRID)
    for width in (-30.0, -1.0, 2.5):
        for slope in (0.0, 0.1):
            continuum = 3 * (1 + slope * (GRID - H_ALPHA) / 100)
            found, level = measure(jnp.asarray(continuum * (1 - line(30.0, 90.0, width)), jnp.float32))
            assert float(found) == pytest.approx(width, abs=0.01 + 0.005 * abs(width))
            assert float(level) == pytest.approx(3, rel=2e-3)
    # what lies outside the window does not count
    found, _ = measure(jnp.asarray(1 - line(-1250.0, 60.0, 5.0), jnp.float32))
    assert abs(float(found)) < 0.05
    with pytest.raises(ValueError, match="covers 6520"):
        equivalent_width(GRID[GRID > 6520])


def test_classes_of_profiles() -> None:
    decide = classify(GRID, ProfileConfig(height=0.05, dip=0.06, least=0.015, trough=0.05, within=450.0))

    def cls(flux: np.ndarray, star: np.ndarray, velocity: float = 0.0) -> str:
        return CLASSES[int(decide(*(jnp.asarray(x, jnp.float32) for x in (flux, star)), jnp.float32(velocity)))]

    flat, dark = np.ones_like(GRID), 1 - line(0, 200, 5)
    assert cls(dark, dark) == "absorption"
    # a star's own double bump is no emission
    assert cls(1 + line(-120, 40, 1) + line(120, 40, 1), 1 + line(-120, 40, 1) + line(120, 40, 1)) == "absorption"
    for star in (flat, dark):
        assert cls(star + line(0, 60, 3), star) == "emission"
        assert cls(star + line(-120, 50, 3) + line(120, 50, 3), star) == "double-peak"
        assert cls(star + line(-40, 50, 3) + line(40, 50, 3), star) == "emission"  # not resolved
        assert cls(star + line(80, 60, 3), star, 80.0) == "emission"
    assert cls(flat + line(0, 60, 0.1), flat) == "absorption"  # too weak: 0.03 of the continuum
    assert cls(flat + line(30, 60, 4) - line(-180, 50, 1), flat) == "p-cygni"
    assert cls(flat + line(-30, 60, 4) - line(180, 50, 1), flat) == "emission"  # infall, no wind
    nitrogen = flat + line(0, 30, 3) + line(-673, 30, 1)
    assert cls(nitrogen, flat) == "emission"
