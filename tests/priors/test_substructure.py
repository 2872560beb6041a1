"""Numbers, masses and places of dark halos against the laws that they were drawn from."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from scipy import special, stats

from twin.priors import substructure as sub
from twin.priors.laws import count_draws, quantile_draws
from twin.priors.populations import comoving_distance
from twin.simulators.mass import compound
from twin.simulators.mass.compound import Mass
from twin.simulators.mass.tnfw import TNFW

Z_LENS, Z_SOURCE, RADIUS = 0.5, 2.0, 3.0
MASSES = sub.MassRange(1e7, 1e10)


def drawn(program: Any, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Truths as a recipe draws them: quantiles of uniforms, all at once."""
    needed = count_draws(program)[1]

    def one(key: jax.Array) -> dict[str, jax.Array]:
        return handlers.substitute(program, substitute_fn=quantile_draws(key, needed))()

    found = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(seed), count))
    return {name: np.asarray(value) for name, value in found.items()}


def subhalos(count: int, fraction: float | None = None) -> Any:
    def program() -> dict[str, jax.Array]:
        share = numpyro.sample("fraction", sub.FRACTION) if fraction is None else jnp.float32(fraction)
        truth = sub.subhalos(share, jnp.float32(1.2), Z_LENS, Z_SOURCE, RADIUS, count, MASSES)
        return truth | {"fraction": share}

    return program


def test_mass_fraction_is_the_priors() -> None:
    """Mean and spread of the fraction, and the mass in subhalos of it."""
    truth = drawn(subhalos(160), 4000)
    law = stats.truncnorm((0 - 2e-3) / 1.1e-3, (1e-2 - 2e-3) / 1.1e-3, 2e-3, 1.1e-3)
    assert stats.kstest(truth["fraction"], law.cdf).pvalue > 1e-3
    half = 0.5 * np.pi * RADIUS**2 * float(sub.critical_mass(Z_LENS, Z_SOURCE))
    share = truth["subhalo_mass"].sum(1) / half
    error = (share - truth["fraction"]).std() / np.sqrt(len(share))
    assert abs(share.mean() - truth["fraction"].mean()) < 4 * error
    assert error < 0.03 * share.mean()
    # and would show if the normalisation were a tenth off
    assert abs(1.1 * share.mean() - truth["fraction"].mean()) > 3 * error
    # the share follows the fraction drawn for each lens
    assert np.corrcoef(share, truth["fraction"])[0, 1] > 0.3


def test_counts_are_poisson_and_masses_a_power_law() -> None:
    truth = drawn(subhalos(160, 3e-3), 3000)
    mass = truth["subhalo_mass"]
    numbers = (mass > 0).sum(1)
    unit = float(sub.critical_mass(Z_LENS, Z_SOURCE))
    expected = 0.5 * 3e-3 * np.pi * RADIUS**2 * unit / MASSES.mean
    assert numbers.max() < 160
    assert abs(numbers.mean() - expected) < 4 * np.sqrt(expected / len(numbers))
    assert numbers.var() == pytest.approx(expected, rel=0.1)
    e = sub.SLOPE + 1

    def below(m: np.ndarray) -> np.ndarray:
        return (m**e - 1e7**e) / (1e10**e - 1e7**e)

    assert stats.kstest(mass[mass > 0][::20], below).pvalue > 1e-3
    assert stats.kstest(mass[mass > 0][::20] * 1.1, below).pvalue < 1e-3
    assert (np.diff(mass, axis=1) <= 0).all()  # heaviest first


def test_short_arrays_lose_the_lightest() -> None:
    """The same uniforms: the heaviest are the heaviest, however many fit."""
    few, many = (drawn(subhalos(count, 3e-3), 500, seed=4)["subhalo_mass"] for count in (10, 160))
    assert (many > 0).sum(1).max() > 10
    # heaviest of each: the same law (another draw, as the uniforms are shared out otherwise)
    assert stats.ks_2samp(few[:, 0], many[:, 0]).pvalue > 1e-3
    assert stats.ks_2samp(few[:, 9], many[:, 9]).pvalue > 1e-3


def test_places_are_uniform_in_the_disc() -> None:
    truth = drawn(subhalos(60, 3e-3), 500)
    r2 = truth["subhalo_x"] ** 2 + truth["subhalo_y"] ** 2
    assert stats.kstest(r2.ravel() / RADIUS**2, "uniform").pvalue > 1e-3


def halos(truth: dict[str, np.ndarray], name: str, i: int) -> TNFW:
    return TNFW(*(jnp.asarray(truth[f"{name}_{key}"][i]) for key in ("Rs", "alpha_Rs", "r_trunc", "x", "y")))


def test_they_deflect_as_their_masses() -> None:
    """Far outside, a halo deflects as a point of its mass: alpha = 4 G M / (c^2 b) D_ls / D_s."""
    truth = drawn(subhalos(40, 3e-3), 3)
    unit = float(sub.critical_mass(Z_LENS, Z_SOURCE))
    for i in range(3):
        mass = truth["subhalo_mass"][i].sum() / unit
        ax, _ = compound.deflection(Mass(tnfw=halos(truth, "subhalo", i)), jnp.asarray([3e3]), jnp.asarray([0.0]))
        assert float(ax[0]) * 3e3 == pytest.approx(mass / np.pi, rel=5e-3)
    # Einstein radius of a point
    from astropy import constants, units
    from astropy.cosmology import FlatLambdaCDM

    cosmos = FlatLambdaCDM(H0=70, Om0=0.3)
    near, far = (cosmos.angular_diameter_distance(z) for z in (Z_LENS, Z_SOURCE))
    apart = far - near * (1 + Z_LENS) / (1 + Z_SOURCE)
    point = np.sqrt((4 * constants.G * 1e12 * units.Msun / constants.c**2 * apart / near / far).decompose().value)
    assert np.sqrt(1e12 / unit / np.pi) == pytest.approx(point * 206264.806, rel=1e-4)
    density = cosmos.critical_density(Z_LENS).to_value(units.Msun / units.Mpc**3)
    radius = float(sub.radius_200(jnp.float32(1e9), Z_LENS))
    assert 4 / 3 * np.pi * radius**3 * 200 * density == pytest.approx(1e9, rel=1e-3)


def test_any_number_without_recompilation() -> None:
    """A hundred padded subhalos: their number varies with the fraction, the program does not."""
    traced = 0

    @jax.jit
    def deflect(key: jax.Array, fraction: jax.Array) -> tuple[jax.Array, jax.Array]:
        nonlocal traced
        traced += 1

        def program() -> dict[str, jax.Array]:
            return sub.subhalos(fraction, jnp.float32(1.0), Z_LENS, Z_SOURCE, RADIUS, 100)

        truth = handlers.substitute(program, substitute_fn=quantile_draws(key, 600))()
        mass = Mass(tnfw=TNFW(*(truth[f"subhalo_{k}"] for k in ("Rs", "alpha_Rs", "r_trunc", "x", "y"))))
        x, y = jnp.meshgrid(jnp.linspace(-3, 3, 32), jnp.linspace(-3, 3, 32))
        alpha = compound.deflection(mass, x, y)
        return jnp.sum(truth["subhalo_mass"] > 0), jnp.stack(alpha)

    numbers = []
    for fraction in (0.0, 1e-3, 3e-3, 1e-2):
        number, alpha = deflect(jax.random.key(1), jnp.float32(fraction))
        numbers.append(int(number))
        assert bool(jnp.isfinite(alpha).all())
        assert (float(jnp.abs(alpha).max()) > 0) == (fraction > 0)
    assert traced == 1
    assert numbers == sorted(set(numbers))


PLANES = (0.1, 0.3, 0.5, 0.7, 1.0, 1.5)


def line_of_sight(count: int, abundance: float = 1.0, z_source: float = Z_SOURCE) -> Any:
    def program() -> dict[str, jax.Array]:
        return sub.line_of_sight(
            jnp.float32(abundance), PLANES, jnp.float32(Z_LENS), jnp.float32(z_source), RADIUS, count, MASSES
        )

    return program


def test_halos_along_the_line_of_sight_are_sheth_and_tormens() -> None:
    truth = drawn(line_of_sight(180), 400)
    mass = truth["los_mass"].reshape(400, len(PLANES), 180)
    numbers = (mass > 0).sum(2)
    here = np.asarray(comoving_distance(jnp.asarray([*PLANES, Z_SOURCE, Z_LENS])), float)
    planes, source, lens = here[:-2], here[-2], here[-1]
    edges = np.concatenate([[0], 0.5 * (planes[1:] + planes[:-1]), [source]])
    reach = RADIUS * np.minimum(1, lens * (source - planes) / (planes * (source - lens)))
    m = np.exp(np.linspace(np.log(MASSES.low), np.log(MASSES.high), 400))
    for i, z in enumerate(PLANES):
        density = np.trapezoid(sub.sheth_tormen(m, z), np.log(m))
        expected = density * np.pi * (reach[i] / 206264.806 * planes[i]) ** 2 * (edges[i + 1] - edges[i])
        assert abs(numbers[:, i].mean() - expected) < 4 * np.sqrt(expected / 400) + 1e-3 * expected
        assert numbers[:, i].max() < 180
        r = np.hypot(truth["los_x"], truth["los_y"]).reshape(400, len(PLANES), 180)[:, i]
        assert r.max() == pytest.approx(reach[i], rel=1e-2)
    # masses of the plane with most halos
    busiest = numbers.sum(0).argmax()
    counts = np.cumsum(sub.sheth_tormen(m, PLANES[busiest]))
    found = mass[:, busiest]
    assert stats.kstest(found[found > 0][::5], lambda v: np.interp(v, m, counts / counts[-1])).pvalue > 1e-3


def test_planes_behind_the_source_are_empty() -> None:
    truth = drawn(line_of_sight(30, z_source=0.8), 50)
    mass = truth["los_mass"].reshape(50, len(PLANES), 30)
    assert (mass[:, 4:] == 0).all()
    assert (mass[:, :4] > 0).any()
    assert all(np.isfinite(value).all() for value in truth.values())
    assert (truth["los_alpha_Rs"][truth["los_mass"] == 0] == 0).all()
    none = drawn(line_of_sight(30, abundance=0.0), 20)
    assert (none["los_mass"] == 0).all()


def test_mass_function_has_its_known_properties() -> None:
    h = 0.7
    eight = 4 / 3 * np.pi * (8 / h) ** 3 * 0.3 * sub._RHO
    assert sub.sigma_mass(np.array([eight]))[0] == pytest.approx(0.81, rel=1e-6)
    nu = np.exp(np.linspace(-40, 3, 20000))
    assert np.trapezoid(sub.multiplicity(nu) * nu, np.log(nu)) == pytest.approx(1, abs=2e-3)  # all matter is in halos
    m = np.array([1e7, 1e9])
    density = sub.sheth_tormen(m, 0.5) / m
    assert np.log(density[1] / density[0]) / np.log(m[1] / m[0]) == pytest.approx(-1.9, abs=0.05)
    z = np.array([0.0, 0.5, 2.0])
    a = 1 / (1 + z)
    x = -0.7 / 0.3 * a**3
    closed = a * special.hyp2f1(1 / 3, 1, 11 / 6, x)
    np.testing.assert_allclose(sub.growth(z), closed / closed[0], rtol=1e-6)


def test_concentrations_fall_with_mass_and_redshift() -> None:
    """At z = 0 a power of the mass with 8.0 at 1e12 solar masses / h."""
    c = np.asarray(sub.concentration(jnp.asarray([1e10, 1e11, 1e12]) / 0.7, 0.0))
    np.testing.assert_allclose(c, 10 ** (0.905 - 0.101 * np.array([-2, -1, 0])), rtol=1e-5)
    assert float(sub.concentration(jnp.float32(1e9), 1.0)) < float(sub.concentration(jnp.float32(1e9), 0.0))


def test_density_of_unstripped_halos_as_a_fraction() -> None:
    """sigma_sub = 2e-3 per kpc^2 with slope -1.83 from 1e7 to 1e10 is 8.1e7 solar masses per kpc^2."""
    masses = sub.MassRange(1e7, 1e10, -1.83)
    m = np.geomspace(1e7, 1e10, 20001)
    density = np.trapezoid(2e-3 / 1e10 * (m / 1e10) ** -1.83 * m, m)
    kpc2 = (float(comoving_distance(jnp.asarray(Z_LENS))) / (1 + Z_LENS) * 1e3 / 206264.806) ** 2
    expected = density / (0.5 * float(sub.critical_mass(Z_LENS, Z_SOURCE)) / kpc2)
    found = sub.fraction_of_density(jnp.float32(2e-3), jnp.float32(Z_LENS), jnp.float32(Z_SOURCE), masses)
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_laws_of_the_normalisations() -> None:
    for law in (sub.FRACTION, sub.LINE_OF_SIGHT):
        assert isinstance(law, dist.Distribution)
        assert float(law.low) == 0
