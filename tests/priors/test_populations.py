"""Distances against astropy's cosmology, scaling relations against their papers' numbers, colours against real ones."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as parquet
import pytest
from astropy.cosmology import FlatLambdaCDM
from scipy.integrate import quad

from twin.priors import populations as pop

COSMOLOGY = FlatLambdaCDM(H0=70, Om0=0.3, Tcmb0=0)
REDSHIFTS = np.linspace(0.01, 8, 400, dtype=np.float32)


def test_distances_are_astropys() -> None:
    z, exact = jnp.asarray(REDSHIFTS), REDSHIFTS.astype(float)
    assert np.asarray(pop.comoving_distance(z)) == pytest.approx(COSMOLOGY.comoving_distance(exact).value, rel=1e-6)
    assert np.asarray(pop.distance_modulus(z)) == pytest.approx(COSMOLOGY.distmod(exact).value, abs=2e-5)
    scale = COSMOLOGY.arcsec_per_kpc_proper(exact).value
    assert np.asarray(pop.arcsec_per_kpc(z)) == pytest.approx(scale, rel=1e-6)
    angular = np.asarray(pop.comoving_distance(z), float) / (1 + exact)
    assert angular == pytest.approx(COSMOLOGY.angular_diameter_distance(exact).value, rel=1e-6)


def test_einstein_radius_of_the_velocity_dispersion(rng: np.random.Generator) -> None:
    """theta_E = 4 pi (sigma / c)^2 D_ls / D_s with D_ls / D_s as two integrals over 1/E in float64."""
    z_source = rng.uniform(0.3, 6, 200).astype(np.float32)
    z_lens = (z_source * rng.uniform(0.03, 0.8, 200)).astype(np.float32)
    theta = rng.uniform(0.3, 3.2, 200).astype(np.float32)
    between = [quad(COSMOLOGY.inv_efunc, float(a), float(b))[0] for a, b in zip(z_lens, z_source, strict=True)]
    ratio = np.array(between) / [quad(COSMOLOGY.inv_efunc, 0, float(b))[0] for b in z_source]
    assert np.asarray(pop.lensing_efficiency(jnp.asarray(z_lens), jnp.asarray(z_source))) == pytest.approx(
        ratio, rel=1e-5
    )
    sigma = pop.velocity_dispersion(*map(jnp.asarray, (theta, z_lens, z_source)))
    again = np.degrees(4 * np.pi * (np.asarray(sigma, float) / 299792.458) ** 2 * ratio) * 3600
    assert again == pytest.approx(theta, rel=1e-5)


def test_early_type_galaxies_of_200_km_per_second() -> None:
    """Size: log R = 2.46 - 2.79 V + 0.84 V^2 is 3.08 kpc; light: M_r = -21.9, faded and reddened by distance."""
    v = np.log10(200)
    kpc = 10 ** (2.46 - 2.79 * v + 0.84 * v**2)
    assert kpc == pytest.approx(3.08, abs=0.01)
    z = np.array([0.05, 0.2, 0.5, 1.0])
    radius = pop.early_type_radius(jnp.float32(200), jnp.asarray(z, jnp.float32))
    assert np.asarray(radius) == pytest.approx(kpc * COSMOLOGY.arcsec_per_kpc_proper(z).value, rel=1e-5)
    light = np.asarray(pop.early_type_r(jnp.float32(200), jnp.asarray(z, jnp.float32)))
    assert light == pytest.approx(COSMOLOGY.distmod(z).value - 21.9 + 0.15 * z + 0.3 * z**2, abs=1e-4)
    # twice the dispersion: 16 times the light
    assert light - np.asarray(pop.early_type_r(jnp.float32(400), jnp.asarray(z, jnp.float32))) == pytest.approx(
        2.5 * np.log10(16), abs=1e-4
    )


def test_early_type_galaxies_lie_on_the_faber_jackson_relation_of_sdss() -> None:
    """<log sigma> = 2.203 - 0.102 (M_r + 21.15) (Bernardi+ 2003, AJ 125, 1849, r band), to 0.35 mag."""
    for sigma in (150.0, 200.0, 250.0):
        theirs = -21.15 - (np.log10(sigma) - 2.203) / 0.102
        ours = float(pop.early_type_r(jnp.float32(sigma), jnp.float32(0.1))) - COSMOLOGY.distmod(0.1).value
        assert ours == pytest.approx(theirs, abs=0.35)


def test_power_law_spectra_have_exact_magnitudes() -> None:
    """f_nu ~ lambda^beta: m = r - 2.5 beta log10(lambda / 620 nm) in, and between, g, r and i."""
    wavelengths = np.array([480.0, 550.0, 620.0, 700.0, 760.0])
    for beta in (-2.0, 0.0, 1.5):
        exact = 20 - 2.5 * beta * np.log10(wavelengths / 620)
        got = pop.band_magnitudes(wavelengths, *map(jnp.float32, (20.0, exact[0] - exact[2], exact[2] - exact[4])))
        assert np.asarray(got) == pytest.approx(exact, abs=1e-5)


def test_bands_beyond_g_and_i_keep_half_the_slope() -> None:
    r, gr, ri = map(jnp.float32, (20.0, 0.7, 0.4))
    ends = np.array([380.0, 479.999, 480.001, 619.999, 620.001, 759.999, 760.001, 960.0])
    m = np.asarray(pop.band_magnitudes(ends, r, gr, ri), float)
    assert m[1::2][:3] == pytest.approx(m[2::2], abs=1e-4)  # no step where the pieces meet
    assert (m[0] - m[1]) / np.log(480 / 380) == pytest.approx(0.5 * 0.7 / np.log(620 / 480), rel=1e-4)
    assert (m[6] - m[7]) / np.log(960 / 760) == pytest.approx(0.5 * 0.4 / np.log(760 / 620), rel=1e-4)


def test_bands_beyond_i_follow_black_bodies() -> None:
    """z and y of 3500 to 8000 K to 0.15 mag; u is not held: the 400 nm break is no black body's."""
    wavelengths = np.array([480.0, 620.0, 760.0, 910.0, 967.0])
    nu = 2.99792458e17 / wavelengths
    for temperature in (3500, 5000, 8000):
        m = -2.5 * np.log10(nu**3 / np.expm1(4.799243e-11 * nu / temperature))
        got = pop.band_magnitudes(wavelengths, *map(jnp.float32, (m[1], m[0] - m[1], m[1] - m[2])))
        assert np.asarray(got)[3:] == pytest.approx(m[3:], abs=0.15)


def test_the_sun_lies_on_the_stellar_locus() -> None:
    """g - r = 0.44, r - i = 0.11 (SDSS colours of the Sun)."""
    assert float(pop.stellar_locus(jnp.float32(0.44))) == pytest.approx(0.11, abs=0.05)


def colours(table: Path, **wanted: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """g - r, r - i, i - z and redshift of the rows of an SDSS table whose columns have the wanted values."""
    rows = parquet.read_table(table)
    keep = np.all([rows[name].to_numpy() == value for name, value in wanted.items()], axis=0)
    g, r, i, z, redshift = (
        rows[name].to_numpy().astype(float)[keep] for name in ("mag_g", "mag_r", "mag_i", "mag_z", "z_spec")
    )
    return g - r, r - i, i - z, redshift


@pytest.mark.real
def test_real_stars_lie_on_the_stellar_locus(real_data: Path) -> None:
    table = real_data / "catalogs/photoz_sdss_star_qso_ood/skyserver_10k.parquet"
    gr, ri, iz, _ = colours(table, object_class="STAR")
    for low, high in ((-0.3, 0.0), (0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.9), (0.9, 1.3)):
        here = (gr > low) & (gr < high)
        assert here.sum() > 100
        assert float(pop.stellar_locus(jnp.float32(np.median(gr[here])))) == pytest.approx(
            np.median(ri[here]), abs=0.04
        )
    ours = pop.band_magnitudes(
        np.array([760.0, 893.0]), jnp.float32(0), *(jnp.asarray(c, jnp.float32) for c in (gr, ri))
    )
    miss = np.asarray(ours[0] - ours[1]) - iz
    assert abs(np.median(miss)) < 0.05
    assert np.mean(np.abs(miss) < 0.2) > 0.9


@pytest.mark.real
def test_real_passive_galaxies_have_the_colours_of_the_red_sequence(real_data: Path) -> None:
    """Medians of SDSS galaxies with redshifts to 0.2 mag (g - r, i - z) and 0.15 mag (r - i).

    Their files do not say whether dust was taken out, which alone is worth 0.1 mag; many of the
    nearer ones are not passive.
    """
    table = real_data / "catalogs/photoz_sdss_id/photoz_sdss_id.parquet"
    low, high = colours(table, survey="sdss_mgs"), colours(table, survey="sdss_annz")
    for z, (gr, ri, iz, redshift) in ((0.1, low), (0.2, low), (0.2, high), (0.3, high), (0.4, high)):
        here = np.abs(redshift - z) < 0.02
        assert here.sum() > 100
        ours = [float(c) for c in pop.red_sequence(jnp.float32(z))]
        assert ours[0] == pytest.approx(np.median(gr[here]), abs=0.2)
        assert ours[1] == pytest.approx(np.median(ri[here]), abs=0.15)
        far = pop.band_magnitudes(np.array([760.0, 893.0]), jnp.float32(0), *map(jnp.float32, ours))
        assert float(far[0] - far[1]) == pytest.approx(np.median(iz[here]), abs=0.2)
