import numpy as np
import pytest

from twin.evaluate.two_star import fit_two_stars, moffat


def frame(rng, separation, angle, ratio=0.6, fwhm=(4.4, 4.2, 4.0), noise=5.0):
    """(3, 40, 40) counts of two Moffat stars `separation` arcsec apart, the second `ratio` as bright."""
    y, x = np.mgrid[:40, :40]
    dx, dy = separation / 0.25 / 2 * np.array([np.cos(angle), np.sin(angle)])
    bands = [
        2000 * moffat(x - 20 - dx, y - 20 - dy, f, 3.0) + 2000 * ratio * moffat(x - 20 + dx, y - 20 + dy, f, 3.0)
        for f in fwhm
    ]
    return (np.array(bands) + rng.normal(size=(3, 40, 40)) * noise).astype(np.float32)


@pytest.mark.parametrize(("separation", "angle"), [(0.9, 0.3), (1.6, 2.0), (3.0, -1.0), (4.8, 0.8)])
def test_two_stars_are_recovered(rng, separation, angle):
    fit = fit_two_stars(frame(rng, separation, angle), np.full(3, 5.0), np.full(3, 1e6), 0.25)
    assert fit.separation == pytest.approx(separation, rel=0.02)
    assert fit.chi2 == pytest.approx(1.0, abs=0.1)
    np.testing.assert_allclose(np.sort(fit.flux, axis=0)[0] / np.sort(fit.flux, axis=0)[1], 0.6, rtol=0.1)


def test_invalid_pixels_do_not_count(rng):
    image = frame(rng, 2.0, 0.5)
    image[:, :, :3] = np.nan
    image[1, 5:8] = np.nan
    assert fit_two_stars(image, np.full(3, 5.0), np.full(3, 1e6), 0.25).separation == pytest.approx(2.0, rel=0.02)


def test_moffat_has_its_width():
    peak, half = moffat(np.array([0.0, 2.5]), np.zeros(2), 5.0, 3.0)
    assert (peak, half) == pytest.approx((1.0, 0.5))
