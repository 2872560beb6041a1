"""Model atmospheres and lines, held to closed forms and to the Sun."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expn

from twin.simulators.spectra.atmosphere import TAU, Atmosphere, atmospheres, emergent, temperature
from twin.simulators.spectra.elements import electron_density, hydrogen_density, number, stages
from twin.simulators.spectra.hydrogen import BALMER, OFFSETS, profile, residual, splitting, stark
from twin.simulators.spectra.metals import metal_lines, strengths, vacuum
from twin.simulators.spectra.opacity import continuum


@pytest.fixture(scope="module")
def models() -> Atmosphere:
    """The Sun, a K and an M dwarf, Vega, a B3 star; then Vega with a giant's gravity."""
    teff = np.array([5777.0, 4500.0, 3400.0, 9550.0, 18000.0, 9550.0])
    logg = np.array([4.44, 4.6, 4.9, 3.95, 4.0, 2.0])
    return atmospheres(teff, logg, np.zeros(6))


def test_charges_and_particles_balance() -> None:
    t, p, feh = np.array([4000.0, 6000.0, 10000.0, 25000.0]), np.array([1e4, 1e5, 1e3, 1e3]), np.zeros(4)
    ne = electron_density(t, p, feh)
    h = hydrogen_density(t, p, ne, feh)
    _, protons, _ = stages("H", t, ne)
    donors = {"He", "C", "Na", "Mg", "Al", "Si", "K", "Ca", "Fe"}
    charge = protons * h
    for element in donors:
        _, one, two = stages(element, t, ne)
        charge = charge + number(element, feh) * h * (one + 2 * two)
    np.testing.assert_allclose(charge, ne, rtol=1e-3)
    # Saha's law for hydrogen alone, by hand: T = 10,000 K, n_e = 1e14: x/(1 - x) = 2.41e15 T^1.5 e^(-13.598/kT) / n_e
    neutral, ionised, _ = stages("H", np.array([1e4]), np.array([1e14]))
    assert (ionised / neutral).item() == pytest.approx(2.4146e15 * 1e6 * np.exp(-13.598 / 0.8617333) / 1e14, rel=1e-3)


def test_negative_hydrogen_has_its_maximum_and_threshold() -> None:
    """Wishart's (1979) cross-section is 39.5e-18 cm^2 at 8,500 Angstrom, its maximum, and ends at 16,420."""
    t, ne, neutral = np.float64(5040.0), np.float64(1e13), np.float64(1e17)
    w = np.array([5000.0, 8500.0, 12000.0, 16000.0, 16500.0])
    found = continuum(w, t, ne, neutral, np.float64(0.0))
    assert found.argmax() == 1
    assert found[4] < 0.5 * found[1]


def test_flux_of_a_linear_source_function(models: Atmosphere) -> None:
    """S = a + b tau gives F = a + 2 b / 3 (Eddington and Barbier), in units of pi F = pi S."""
    opacity = models.mean
    found = emergent(models, opacity, np.broadcast_to(1 + 2 * TAU, opacity.shape))
    np.testing.assert_allclose(found, 1 + 4 / 3, rtol=0.01)
    # and by the exponential integral, of a source that is no straight line: 2 int exp(-tau) E2(tau) dtau
    exact = 2 * quad(lambda x: np.exp(-x) * expn(2, x), 0, 60)[0]
    assert emergent(models, opacity, np.broadcast_to(np.exp(-TAU), opacity.shape))[0] == pytest.approx(exact, rel=0.02)


def test_effective_temperature_stands_at_two_thirds() -> None:
    assert temperature(np.array([20000.0]), np.array([2 / 3]))[0] == pytest.approx(20000, rel=0.01)
    assert temperature(np.array([5777.0]), np.array([0.5]))[0] == pytest.approx(6100, rel=0.02)


def test_stark_constant_of_h_alpha_comes_from_its_components() -> None:
    """2 nm of Kurucz's tables: 0.00902; Holtsmark's wing; unit area."""
    assert splitting(3) == pytest.approx(0.00902, rel=0.01)
    assert splitting(4) == pytest.approx(0.01772, rel=0.01)
    area = 2 * quad(lambda b: float(stark(np.array(b))), 0, 50)[0] + 2 * 1.5 / 1.5 * 50**-1.5
    assert area == pytest.approx(1, abs=2e-3)


def test_profiles_have_unit_area(models: Atmosphere) -> None:
    phi = profile(OFFSETS, BALMER[0], models)[:, 20]  # high up, where Doppler's core has nearly all
    area = 2 * np.trapezoid(phi, OFFSETS, axis=1)
    np.testing.assert_allclose(area, 1, atol=0.06)


def test_the_sun(models: Atmosphere) -> None:
    """Core 0.16 (Kurucz+ 1984), 0.80 at 2 Angstrom and 0.96 at 10 (the same atlas); metal lines of Moore, Minnaert &
    Houtgast (1966) [mA] within a third."""
    found = residual(BALMER[0], models)[0]
    assert found[0] == pytest.approx(0.16, abs=0.03)
    assert np.interp(2.0, OFFSETS, found) == pytest.approx(0.80, abs=0.04)
    assert np.interp(10.0, OFFSETS, found) == pytest.approx(0.96, abs=0.015)
    measured = {6546.24: 103, 6592.91: 123, 6609.11: 65, 6643.63: 93, 6663.44: 83, 6677.99: 129, 6703.57: 36,
                6705.10: 45, 6717.68: 120}  # fmt: skip
    for air, width in measured.items():
        line = next(entry for entry in metal_lines() if abs(entry.wavelength - vacuum(air)) < 1e-6)
        assert 1000 * strengths(line, models)[0][0] == pytest.approx(width, rel=0.33), air


def test_h_alpha_along_the_sequence(models: Atmosphere) -> None:
    width = 2 * np.trapezoid(1 - residual(BALMER[0], models), OFFSETS, axis=1)
    sun, k, m, vega, b, giant = width
    assert m < 0.3 < k < sun < vega  # it peaks among the A stars
    assert 2.5 < b < 0.5 * vega
    assert giant < 0.6 * vega  # Stark's wings need electrons
    assert 9 < vega < 14


def test_a_line_that_scatters_is_deeper_than_one_in_equilibrium(models: Atmosphere) -> None:
    in_equilibrium = residual(BALMER[0], models, destroyed=1.0)
    shows = np.arange(6) != 2  # the M dwarf has hardly any atoms in level 2
    assert (residual(BALMER[0], models)[shows, 0] < in_equilibrium[shows, 0] - 0.05).all()
    wings = OFFSETS > 5
    np.testing.assert_allclose(residual(BALMER[0], models)[:, wings], in_equilibrium[:, wings], atol=0.01)
