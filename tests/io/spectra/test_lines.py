"""Equivalent widths against closed form, and their errors against many draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.io.spectra import made
from tests.io.spectra.test_resample import spectrum
from twin.io.spectra import H_ALPHA, equivalent_width


@pytest.mark.parametrize("depth", [0.8, 0.1, -0.5, -9.0])
@pytest.mark.parametrize("step", [0.25, 1.5])
def test_closed_form(depth: float, step: float) -> None:
    wave = np.arange(6450.0, 6700.0, step) + 0.37 * step
    found = equivalent_width(spectrum(wave, made.profile(wave, depth)))
    assert found.value == pytest.approx(made.width(depth), rel=2e-4)
    assert found.peak == pytest.approx(1 - min(depth, 0) if depth < 0 else 1, rel=0.02)
    assert np.isnan(found.error)


def test_a_box_that_ends_between_pixels() -> None:
    """Linear pieces are integrated exactly: a ramp from the continuum is a trapezoid."""
    wave = np.concatenate((np.arange(6490.0, 6560.0), [6560.5, 6570.5], np.arange(6571.0, 6650.0)))
    flux = np.where((wave > 6560) & (wave < 6571), 0.4, 1.0)
    want = 0.6 * (10.0 + 0.5 * (1.5 + 0.5))
    assert equivalent_width(spectrum(wave, flux)).value == pytest.approx(want, rel=1e-12)


def test_the_pixel_phase_does_not_matter() -> None:
    found = []
    for phase in np.linspace(0, 1.5, 7):
        wave = np.arange(6440.0, 6700.0, 1.5) + phase
        found.append(equivalent_width(spectrum(wave, 5 * made.profile(wave, 0.5))).value)
    assert np.ptp(found) < 2e-3


def test_the_error_is_that_of_many_draws(rng: np.random.Generator) -> None:
    wave = np.arange(6450.0, 6700.0, 1.5)
    flux, ivar = made.profile(wave, 0.5), rng.uniform(0.005, 0.02, len(wave))
    drawn = [
        equivalent_width(spectrum(wave, flux + rng.normal(size=len(wave)) / np.sqrt(ivar), ivar)).value
        for _ in range(3000)
    ]
    told = equivalent_width(spectrum(wave, flux, ivar)).error
    ratio = np.std(drawn) / told
    assert ratio == pytest.approx(1, abs=0.05)
    bounds = ratio / 1.5, ratio * 1.5  # an error wrong by 1.5 would be seen
    assert all(abs(bound - 1) > 0.2 for bound in bounds)


def test_what_cannot_be_measured_is_nan() -> None:
    wave = np.arange(6450.0, 6700.0, 1.5)
    flux = made.profile(wave)
    for low, high in ((6510, 6700), (6450, 6630), (6700, 6800)):
        inside = (wave >= low) & (wave <= high)
        if inside.sum() > 1:
            assert np.isnan(equivalent_width(spectrum(wave[inside], flux[inside])).value)
    assert np.isnan(equivalent_width(spectrum(wave, -flux)).value)
    narrow = replace(H_ALPHA, continuum=((6500.0, 6501.0), (6600.0, 6640.0)))
    assert np.isnan(equivalent_width(spectrum(wave, flux), narrow).value)
