"""PSF measurements against closed forms and GalSim's adaptive moments."""

import numpy as np
import pytest

from twin.metrics.psf_shape import adaptive_moments, measure

SCALE = 0.05


def grid(n=201, x0=0.0, y0=0.0):
    axis = (np.arange(n) - (n - 1) / 2) * SCALE
    return axis[None, :] - x0, axis[:, None] - y0


def gaussian(cxx, cyy, cxy, x0=0.0, y0=0.0):
    x, y = grid(x0=x0, y0=y0)
    inverse = np.linalg.inv([[cxx, cxy], [cxy, cyy]])
    norm = SCALE**2 * np.sqrt(np.linalg.det(inverse)) / (2 * np.pi)
    return norm * np.exp(-0.5 * (inverse[0, 0] * x**2 + 2 * inverse[0, 1] * x * y + inverse[1, 1] * y**2))


def test_round_gaussian():
    sigma = 0.4
    shape = measure(gaussian(sigma**2, sigma**2, 0, 0.013, -0.021), SCALE)
    assert shape.fwhm == pytest.approx(sigma * np.sqrt(8 * np.log(2)), rel=2e-4)
    assert shape.ee50 == pytest.approx(sigma * np.sqrt(2 * np.log(2)), rel=2e-4)
    assert shape.ee80 == pytest.approx(sigma * np.sqrt(2 * np.log(5)), rel=2e-4)
    assert shape.ee95 == pytest.approx(sigma * np.sqrt(2 * np.log(20)), rel=2e-4)
    assert (shape.x, shape.y) == pytest.approx((0.013, -0.021), abs=1e-6)
    assert shape.ellipticity < 1e-6


def test_elliptical_gaussian_is_exact():
    cxx, cyy, cxy = 0.20, 0.12, 0.03
    shape = measure(gaussian(cxx, cyy, cxy), SCALE)
    assert (shape.e1, shape.e2) == pytest.approx(((cxx - cyy) / (cxx + cyy), 2 * cxy / (cxx + cyy)), abs=1e-6)


def test_moffat_with_flux_outside_the_image():
    beta, radius = 3.0, 0.6
    x, y = grid(401)
    image = SCALE**2 * (beta - 1) / (np.pi * radius**2) * (1 + (x**2 + y**2) / radius**2) ** -beta
    shape = measure(image, SCALE, total=1.0)

    def enclosed(f):
        return radius * np.sqrt((1 - f) ** (1 / (1 - beta)) - 1)

    assert shape.fwhm == pytest.approx(2 * radius * np.sqrt(2 ** (1 / beta) - 1), rel=2e-4)
    assert (shape.ee50, shape.ee80) == pytest.approx((enclosed(0.5), enclosed(0.8)), rel=3e-4)
    assert shape.ee95 == pytest.approx(enclosed(0.95), rel=3e-4)
    small = measure(image[190:211, 190:211], SCALE, total=1.0)
    assert np.isnan(small.ee80)


def test_adaptive_moments_agree_with_galsim():
    galsim = pytest.importorskip("galsim")
    psf = galsim.Kolmogorov(fwhm=0.9).shear(g1=0.05, g2=-0.08).shift(0.02, 0.03)
    image = psf.drawImage(nx=201, ny=201, scale=SCALE, method="no_pixel").array.astype(float)
    theirs = galsim.hsm.FindAdaptiveMom(galsim.Image(image, scale=SCALE))
    shape = measure(image, SCALE)
    assert (shape.e1, shape.e2) == pytest.approx((theirs.observed_e1, theirs.observed_e2), abs=2e-5)
    _, covariance = adaptive_moments(image)
    assert np.linalg.det(covariance) ** 0.25 == pytest.approx(theirs.moments_sigma, rel=1e-4)


@pytest.mark.parametrize("image", [np.zeros((21, 21)), -np.ones((21, 21)), np.full((21, 21), np.nan), np.zeros(5)])
def test_images_without_a_source(image):
    with pytest.raises(ValueError):
        measure(image, SCALE)
