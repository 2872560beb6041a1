"""Spectra against closed forms and published fluxes, numbers of sources against their slope, light curves, arrivals."""

from __future__ import annotations

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest

from twin.io.xray import Arf, bins
from twin.priors.xray import (
    CRAB,
    EXTRAGALACTIC,
    NumberCounts,
    Spectrum,
    arrival_times,
    bright_sources,
    cross_section,
    decay,
    fitted_slope,
    fred,
    from_mcrab,
    shock_breakout,
    to_mcrab,
)


def test_the_crab_has_its_published_fluxes() -> None:
    """2-10 keV: 2.1e-8 to 2.4e-8 erg/cm2/s; 0.5-4 keV: 3 mCrab are 9.6e-11 in the literature of WXT (Jia+ 2023)."""
    assert 2.1e-8 < CRAB.flux(2, 10, absorbed=False) < 2.4e-8
    assert abs(from_mcrab(3.0) / 9.6e-11 - 1) < 0.03
    assert to_mcrab(from_mcrab(7.0)) == pytest.approx(7)
    nustar = Spectrum("powerlaw", 2.106, 9.71)
    assert abs(nustar.flux(2, 10) / CRAB.flux(2, 10, absorbed=False) - 1) < 0.02


def test_absorption_has_the_published_cross_sections() -> None:
    """Table 2 of Morrison & McCammon gives 2.422e-22 cm2 at 1 keV; edges of O, Fe L, Ne, Mg, Si, S, Ar, Ca, Fe, Ni."""
    np.testing.assert_allclose(cross_section(np.array([0.5, 1.0, 3.0])), [7.356e-22, 2.422e-22, 1.4774e-23], rtol=1e-3)
    edges = np.array([0.1, 0.284, 0.4, 0.532, 0.707, 0.867, 1.303, 1.84, 2.471, 3.21, 4.038, 7.111, 8.331])
    jump = cross_section(edges) / cross_section(edges - 1e-9)
    assert (jump[3:] > 1.0).all()
    assert (np.abs(jump - 1) < 0.9).all()
    np.testing.assert_allclose(jump[0], 1, atol=0.01)  # no element has an edge there: two fits meet


def test_thick_columns_take_the_soft_photons() -> None:
    thin, thick = Spectrum("powerlaw", 2.0), Spectrum("powerlaw", 2.0, nh=2.0)
    tau = 2e22 * cross_section(np.array([0.6, 2.0]))
    np.testing.assert_allclose(thick.density([0.6, 2.0]) / thin.density([0.6, 2.0]), np.exp(-tau), rtol=1e-12)


def test_integrals_are_those_of_the_closed_forms() -> None:
    """A power law's; a black body's whole flux, L39 / (4 pi D10^2); a hot plasma's with SciPy's quadrature."""
    low, high = bins(0.5, 4.0, 0.05)
    law = Spectrum("powerlaw", 1.7, 3.0)
    exact = 3.0 * (low**-0.7 - high**-0.7) / 0.7
    np.testing.assert_allclose(law.photons(low, high), exact, rtol=1e-6)
    black = Spectrum("blackbody", 0.3, 2.0)
    assert abs(black.flux(0.001, 15) / (2 * 1e39 / (4 * math.pi * (3.0857e22) ** 2)) - 1) < 0.003
    plasma = Spectrum("bremsstrahlung", 1.2, 0.4, lines=((1.35, 0.01),))
    whole = quad(lambda e: float(e * plasma.density(e)), 0.5, 4)[0] + 1.35 * 0.01
    assert plasma.flux(0.5, 4) == pytest.approx(1.602176634e-9 * whole, rel=1e-6)
    assert plasma.photons(np.array([1.3]), np.array([1.4]))[0] > 0.01


def test_spectra_are_scaled_to_a_flux() -> None:
    plasma = replace(Spectrum("bremsstrahlung", 0.7, lines=((1.02, 0.1),)), nh=0.2)
    assert plasma.scaled_to(from_mcrab(5)).flux() == pytest.approx(from_mcrab(5))


def test_counts_are_flux_through_the_area() -> None:
    arf = Arf(*bins(0.1, 10.0, 0.01), np.full(990, 2.0))
    law = Spectrum("powerlaw", 2.0, 1.0)
    assert law.counts(arf, 100.0, 0.5, 4.0) == pytest.approx(200 * (1 / 0.5 - 1 / 4.0), rel=1e-6)


def test_slopes_are_recovered_and_wrong_ones_refused(key: jax.Array) -> None:
    counts = replace(EXTRAGALACTIC, most=1.0)
    fluxes = np.asarray(counts.fluxes(key, (20_000,)))
    slope, error = fitted_slope(fluxes, counts.least)
    assert abs(slope - 1.5) < 4 * error
    assert abs(slope - 1.3) > 4 * error
    assert kstest(np.log(fluxes / counts.least), "expon", args=(0, 1 / 1.5)).pvalue > 1e-4
    assert kstest(np.log(fluxes / counts.least), "expon", args=(0, 1 / 1.3)).pvalue < 1e-4


def test_extragalactic_sources_have_their_number(key: jax.Array) -> None:
    """68 in 8.2 sr above 3.1e-11 erg/cm2/s, and none outside the limits."""
    sky = 8.2 * (180 / np.pi) ** 2
    assert abs(EXTRAGALACTIC.above(3.1e-11) * sky - 68) < 0.1
    fluxes = np.asarray(EXTRAGALACTIC.fluxes(key, (5000,)))
    assert fluxes.min() >= EXTRAGALACTIC.least * (1 - 1e-5)
    assert fluxes.max() <= EXTRAGALACTIC.most * (1 + 1e-4)
    share = EXTRAGALACTIC.above(1e-11) / EXTRAGALACTIC.above(0)
    assert abs((fluxes > 1e-11).mean() - share) < 5 * np.sqrt(share / 5000)
    assert EXTRAGALACTIC.rescaled(2.0).above(2e-11) == pytest.approx(EXTRAGALACTIC.above(1e-11))
    assert NumberCounts(0.2, 1.0, 1.0, 1.0, 10.0).above(20.0) == 0


def test_bright_sources_come_at_their_rate(key: jax.Array) -> None:
    number, flux = jax.vmap(lambda k: bright_sources(k, 0.5, 6))(jax.random.split(key, 4000))
    assert abs(float(number.mean()) - 0.5) < 5 * np.sqrt(0.5 / 4000)
    assert abs(float(number.var()) - 0.5) < 0.06
    assert kstest(np.log(np.asarray(flux).reshape(-1) / 100) / np.log(20), "uniform").pvalue > 1e-4
    assert int(bright_sources(key, 0.0, 3)[0]) == 0


def test_light_curves_peak_where_they_should() -> None:
    time = jnp.linspace(-10, 1000, 20_001)
    pulse = np.asarray(fred(time, 5.0, 40.0))
    assert abs(pulse.max() - 1) < 1e-4
    assert abs(float(time[pulse.argmax()]) - np.sqrt(200)) < 0.1
    burst = np.asarray(shock_breakout(time))
    assert abs(float(time[burst.argmax()]) - 63) < 0.1
    assert np.interp(63 + 129, np.asarray(time), burst) == pytest.approx(np.exp(-1), rel=1e-3)
    assert float(decay(jnp.array(80.0), 10.0, 5 / 3)) == pytest.approx(8 ** (-5 / 3), rel=1e-5)
    assert float(decay(jnp.array(9.0), 10.0, 5 / 3)) == 0


def test_photons_arrive_as_the_rate_says(key: jax.Array) -> None:
    grid = jnp.linspace(0.0, 600.0, 601)
    rate = fred(grid, 20.0, 60.0)
    times = np.asarray(arrival_times(key, grid, rate, 20_000))
    fine = np.linspace(0, 600, 60_001)
    running = np.cumsum(np.interp(fine, np.asarray(grid), np.asarray(rate)))
    assert kstest(times, lambda t: np.interp(t, fine, running / running[-1])).pvalue > 1e-4
    wrong = np.cumsum(np.asarray(fred(fine, 20.0, 66.0)))
    assert kstest(times, lambda t: np.interp(t, fine, wrong / wrong[-1])).pvalue < 1e-4
