"""The population of lenses against a draw of it by rejection, and its relations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.priors import galaxy_lens as prior
from twin.priors import populations as pop

F = jnp.float32
LIMITS = (0.5, 1.5)


def by_rejection(rng: np.random.Generator, z_source: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(theta_E, z) of deflectors drawn from phi(sigma) (1 + z)^-2.5 dV/dz, kept by theta_E^2 within LIMITS."""
    from astropy.cosmology import FlatLambdaCDM

    cosmology = FlatLambdaCDM(H0=70, Om0=0.3)
    z = rng.uniform(0.02 * z_source, 0.95 * z_source, count)
    sigma = np.exp(rng.uniform(np.log(prior.SIGMA_MIN), np.log(prior.SIGMA_MAX), count))
    grid = np.linspace(0.01, z_source, 400)
    volume = np.interp(z, grid, cosmology.differential_comoving_volume(grid).value)
    chi = np.interp(z, grid, cosmology.comoving_distance(grid).value)
    theta = 4 * np.pi * (sigma / 299792.458) ** 2 * (1 - chi / cosmology.comoving_distance(z_source).value) * 206264.806
    s = sigma / 161.0
    weight = s**2.32 * np.exp(-(s**2.67)) * volume * (1 + z) ** -2.5 * theta**2
    weight *= (theta > LIMITS[0]) & (theta < LIMITS[1])
    kept = rng.uniform(0, weight.max(), count) < weight
    return theta[kept], z[kept]


def test_deflectors_are_those_of_the_population(rng: np.random.Generator) -> None:
    from scipy.stats import ks_2samp

    theta, z = by_rejection(rng, 2.0, 200_000)
    u = rng.uniform(size=(2, 20_000)).astype(np.float32)
    draw = jax.jit(jax.vmap(lambda a, b: prior.deflector(F(2.0), LIMITS, a, b)))
    ours, z_ours, sigma = (np.asarray(v) for v in draw(*u))
    assert len(theta) > 3000
    assert ks_2samp(theta, ours).pvalue > 1e-3
    assert ks_2samp(z, z_ours).pvalue > 1e-3
    assert ks_2samp(z, 0.95 * z_ours).pvalue < 1e-6  # the test tells 5 % of a difference
    assert ours.min() > 0.999 * LIMITS[0]
    assert ours.max() < 1.001 * LIMITS[1]
    assert 150 < np.median(sigma) < 300


def test_einstein_radius() -> None:
    """Undoes the velocity dispersion; nothing where the source is not behind the lens."""
    sigma = pop.velocity_dispersion(F(1.2), F(0.4), F(1.7))
    assert float(prior.einstein_radius(sigma, F(0.4), F(1.7))) == pytest.approx(1.2, rel=1e-5)
    assert float(prior.einstein_radius(sigma, F(0.4), F(0.3))) == 0


def test_out_of_reach_is_a_limit_not_a_nan() -> None:
    """No galaxy lenses a source at z = 0.06 by an arcsecond and a half: the heaviest at hand does what it can."""
    u = np.linspace(0, 1, 7, dtype=np.float32)
    theta, z, sigma = (np.asarray(v) for v in jax.vmap(lambda a: prior.deflector(F(0.06), (20.0, 30.0), a, a))(u))
    assert np.isfinite(theta).all()
    assert np.all((0 < z) & (z < 0.06))
    assert np.all((300 < sigma) & (sigma <= 1.001 * prior.SIGMA_MAX))


def test_supernovae_are_as_bright_as_they_are_known_to_be() -> None:
    """m_B = 24.1 +- 0.2 at z = 0.5 in the band that B has become (Perlmutter+ 1999, ApJ 517, 565, Fig. 1: 22.6-22.9
    in I and R with a flat spectrum's correction); fainter in the blue."""
    wavelengths = np.array([480.0, 440.0 * 1.5, 900.0])
    magnitude = np.asarray(prior.supernova_magnitudes(wavelengths, F(-19.4), F(0.5)))
    assert magnitude[1] == pytest.approx(-19.4 + float(pop.distance_modulus(F(0.5))) - 2.5 * np.log10(1.5), abs=1e-3)
    assert 22.0 < magnitude[1] < 23.0
    assert magnitude[0] > magnitude[1] + 1
    assert np.isfinite(prior.supernova_magnitudes(wavelengths, F(-19.4), F(9.0))).all()


def test_sources_shrink_with_redshift_and_grow_with_light() -> None:
    radius = float(prior.source_radius(F(25.0), F(2.0)))
    assert 0.05 < radius < 0.3
    assert float(prior.source_radius(F(24.0), F(2.0))) == pytest.approx(radius * 10**0.25, rel=1e-4)
