"""Sersic constants and Fourier transforms against SciPy and GalSim."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from twin.numerics.sersic import N_MAX, N_MIN, b_n, fourier, fourier_row, log_gamma_factor


def test_half_the_light_lies_within_the_half_light_radius() -> None:
    from scipy.special import gammaincinv

    n = np.linspace(N_MIN, N_MAX, 200)
    assert np.asarray(b_n(jnp.asarray(n, jnp.float32))) == pytest.approx(gammaincinv(2 * n, 0.5), rel=5e-6)


def test_flux_integral() -> None:
    from scipy.integrate import quad

    for n in (0.5, 1.0, 4.0):
        b = float(b_n(jnp.float32(n)))
        total = quad(lambda t, n=n, b=b: 2 * np.pi * np.exp(-b * (np.exp(t / n) - 1) + 2 * t), -30, 12, limit=200)[0]
        assert float(log_gamma_factor(jnp.float32(n), jnp.float32(b))) == pytest.approx(np.log(total), abs=1e-5)


def test_exact_transforms() -> None:
    """n = 1/2 is a Gaussian, n = 1 an exponential: exp(-kappa^2 / 4b), (1 + kappa^2 / b^2)^(-3/2)."""
    kappa = np.logspace(-2, 2, 300)
    for n, exact in ((0.5, lambda b: np.exp(-(kappa**2) / (4 * b))), (1.0, lambda b: (1 + (kappa / b) ** 2) ** -1.5)):
        ours = fourier(fourier_row(jnp.float32(n)), jnp.asarray(kappa**2, jnp.float32))
        assert np.asarray(ours) == pytest.approx(exact(float(b_n(jnp.float32(n)))), abs=2e-5)
    assert float(fourier(fourier_row(jnp.float32(3.0)), jnp.float32(0.0))) == pytest.approx(1, abs=2e-5)


def test_transform_agrees_with_galsim() -> None:
    galsim = pytest.importorskip("galsim")
    params = galsim.GSParams(maxk_threshold=1e-5, kvalue_accuracy=1e-8, folding_threshold=1e-6)
    kappa = np.logspace(-2, 2, 100)
    for n in (0.5, 0.7, 1.5, 2.2, 3.3, 4.0, 5.1, 6.0):
        profile = galsim.Sersic(n, half_light_radius=1.0, gsparams=params)
        theirs = np.array([profile.kValue(k, 0).real for k in kappa])
        ours = np.asarray(fourier(fourier_row(jnp.float32(n)), jnp.asarray(kappa**2, jnp.float32)))
        assert np.abs(ours - theirs).max() < 6e-5, n


def test_transforms_from_the_lowest_n_to_the_highest() -> None:
    """Hankel transforms by direct integration, from n = 0.3 to 8, ends included; all of the light at kappa = 0."""
    from scipy.integrate import simpson
    from scipy.special import gammaincinv, gammaln, j0

    kappa = np.array([0.0, 0.02, 0.1, 0.4, 1.0, 2.5])
    for n in (0.3, 0.31, 0.45, 2.6, 5.5, 7.7, 8.0):
        b = gammaincinv(2 * n, 0.5)
        t = np.linspace(-22, 13 if n > 2 else 4, 800_001)  # ln r
        r = np.exp(t)
        light = np.exp(-b * r ** (1 / n) + 2 * n * np.log(b) - gammaln(2 * n) + 2 * t) / n
        exact = [simpson(light * j0(k * r), x=t) for k in kappa]
        ours = np.asarray(fourier(fourier_row(jnp.float32(n)), jnp.asarray(kappa**2, jnp.float32)))
        assert ours == pytest.approx(exact, abs=3e-5), n
