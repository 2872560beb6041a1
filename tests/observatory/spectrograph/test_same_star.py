"""The fit of one star seen twice: made-up spectra, whose blur is known, and the real pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

from twin.observatory.spectrograph.grid import linear_grid
from twin.observatory.spectrograph.same_star import fit_pair, pixels_of

ROOT = Path(__file__).parents[3]


def line(edges: np.ndarray, width: float, depth: float = 0.5) -> np.ndarray:
    """A line at 6564.6 AA of standard deviation `width`, and half of it 20 AA to the blue, over a continuum of 1."""
    parts = [
        d * np.sqrt(2 * np.pi) * 1.2 * np.diff(ndtr((edges - at) / width))
        for at, d in ((6564.6, depth), (6544.6, depth / 2))
    ]
    return 1 - sum(parts) / np.diff(edges)


def test_the_blur_and_velocity_of_a_made_up_pair_are_found(rng):
    sharp = linear_grid(6282.1, 0.2567, 1757, air=True)
    wavelength = 10 ** (3.8 + 1e-4 * np.arange(300))
    pixels, inside = pixels_of(wavelength, 6500.0, 6640.0)
    moved = 1 + 20.0 / 299792.458
    blurred = 700 * line(pixels.edges / moved, np.hypot(1.2, 1.7)) * (1 + 0.1 * np.linspace(-1, 1, pixels.count))
    blurred += 2.0 * rng.standard_normal(pixels.count)
    fit = fit_pair((sharp.centres, line(sharp.edges, 1.2)), blurred, pixels)
    assert fit.sigma == pytest.approx(1.7, abs=4 * fit.error)
    assert fit.error < 0.05
    assert fit.velocity == pytest.approx(20, abs=3)
    assert fit.rms == pytest.approx(2 / 700, rel=0.3)
    assert inside.stop - inside.start == pixels.count
    wider = fit_pair((sharp.centres, line(sharp.edges, 0.6, 1.0)), blurred, pixels)  # a wrong own width shows
    assert abs(wider.sigma - 1.7) > 4 * fit.error


def test_what_cannot_be_fitted_is_named():
    wavelength = 10 ** (3.8 + 1e-4 * np.arange(300))
    with pytest.raises(ValueError, match="does not cover"):
        pixels_of(wavelength, 6200.0, 6640.0)
    with pytest.raises(ValueError, match="not even"):
        pixels_of(np.r_[wavelength[:100], wavelength[150:]], 6400.0, 6640.0)
    pixels, _ = pixels_of(wavelength, 6500.0, 6640.0)
    short = linear_grid(6500.0, 0.25, 560)
    with pytest.raises(ValueError, match="covers 6499"):
        fit_pair((short.centres, np.ones(560)), np.ones(pixels.count), pixels)


@pytest.mark.real
@pytest.mark.slow
def test_lamost_from_ondrejov(real_data, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import lsf_pairs

    found = lsf_pairs.summary(lsf_pairs.pairs(real_data / "spectra" / "podondra-bt-spectraldl"))
    assert found["pairs"] == 22
    assert 1.5 <= found["sigma"] <= 1.9
    assert found["rms_good"] <= 0.04
