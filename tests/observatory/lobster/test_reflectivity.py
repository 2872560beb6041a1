"""Reflectivity of iridium against published values and complex arithmetic in double precision."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.observatory.lobster.materials import Table, absorption, constants
from twin.observatory.lobster.reflectivity import Coating, reflectivity

ENERGIES = np.array([1.0, 2.0, 4.0])


@pytest.mark.parametrize(
    ("table", "values", "tolerance"),
    [("henke", (0.820, 0.658, 0.479), 0.001), ("chantler", (0.843, 0.721, 0.495), 0.003)],
)
def test_smooth_iridium_at_one_degree(table: str, values: tuple[float, ...], tolerance: float) -> None:
    """What periodictable (Henke) and xrt (Chantler) give."""
    found = reflectivity(Coating(table=table), ENERGIES, np.sin(np.radians(1)), 0.0)  # type: ignore[arg-type]
    assert np.abs(np.asarray(found) - values).max() < tolerance


@pytest.mark.parametrize("element", ["Ir", "Au"])
@pytest.mark.parametrize("law", ["nevot-croce", "debye-waller"])
def test_single_precision_equals_complex_double(element: str, law: str) -> None:
    energy, sine = np.meshgrid(np.geomspace(0.11, 11, 60), np.linspace(1e-4, 0.2, 200), indexing="ij")
    sigma = 0.7e-9
    delta, beta = (np.asarray(v, float) for v in constants(element, "henke", energy))
    k = 2 * np.pi * energy / 1.23984198e-9
    k0, k1 = k * sine, k * np.sqrt((1 - delta + 1j * beta) ** 2 - 1 + sine**2)
    exact = np.abs((k0 - k1) / (k0 + k1)) ** 2
    exact *= np.abs(np.exp(-2 * k0 * k1 * sigma**2)) ** 2 if law == "nevot-croce" else np.exp(-((2 * k0 * sigma) ** 2))
    found = np.asarray(reflectivity(Coating(element, "henke", law), energy, sine, sigma))  # type: ignore[arg-type]
    assert np.abs(found - exact).max() < 2e-5


def test_it_has_gradients() -> None:
    def light(roughness: jax.Array) -> jax.Array:
        return reflectivity(Coating(), 1.0, jnp.linspace(0.001, 0.1, 20), roughness * 1e-9).sum()

    step = (light(jnp.float32(0.6)) - light(jnp.float32(0.5))) / 0.1
    assert abs(float(jax.grad(light)(jnp.float32(0.55)) / step) - 1) < 0.02


def test_absorption_edges() -> None:
    """Attenuation lengths of aluminium and silicon on either side of their K edges (1.560, 1.839 keV) [um]."""
    aluminium = 1e6 / np.asarray(absorption("Al", "henke", np.array([1.50, 1.60])))
    silicon = 1e6 / np.asarray(absorption("Si", "henke", np.array([1.80, 1.90])))
    assert aluminium[0] > 8 * aluminium[1]
    assert silicon[0] > 8 * silicon[1]
    assert 11 < silicon[0] < 15


@pytest.mark.parametrize("table", ["henke", "chantler"])
def test_compounds_are_their_atoms(table: Table) -> None:
    """Mass absorption is the atoms' by their share of the mass; each film has its own element's K edge."""
    energy = np.array([0.395, 0.415, 0.525, 0.550])
    mass = {
        what: np.asarray(absorption(what, table, energy)) / 100 / density
        for what, density in (("Si", 2.329), ("O", 1.0), ("N", 1.0), ("SiO2", 2.20), ("Si3N4", 3.17))
    }
    assert np.allclose(mass["SiO2"], 0.4674 * mass["Si"] + 0.5326 * mass["O"], rtol=1e-3)
    assert np.allclose(mass["Si3N4"], 0.6006 * mass["Si"] + 0.3994 * mass["N"], rtol=1e-3)
    assert mass["Si3N4"][1] > 1.8 * mass["Si3N4"][0]
    assert mass["Si3N4"][3] < mass["Si3N4"][2]
    assert mass["SiO2"][3] > 3 * mass["SiO2"][2]
    assert mass["SiO2"][1] < mass["SiO2"][0]
    assert 1.8e4 < mass["O"][3] < 2.2e4  # cm2/g
