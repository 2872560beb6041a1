"""Rays through several planes against lenstronomy's MultiPlane."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.simulators.mass.peer import quick
from twin.priors.populations import comoving_distance
from twin.simulators.mass import api, compound, multiplane
from twin.simulators.mass.compound import Mass
from twin.simulators.mass.multiplane import Planes
from twin.simulators.mass.shear import Shear
from twin.simulators.mass.sie import SIE
from twin.simulators.mass.tnfw import TNFW

Z_LENS, Z_SOURCE = (0.2, 0.5, 0.8), 2.0


def fields(kind: type, *components: tuple[float, ...]) -> Any:
    return kind(*(jnp.asarray(values) for values in zip(*components, strict=True)))


def planes(source: float = Z_SOURCE) -> Planes:
    """A halo before a lens with shear, two halos behind it."""
    before = Mass(tnfw=fields(TNFW, (0.3, 0.1, 1.5, -0.4, 0.6)))
    lens = Mass(sie=fields(SIE, (1.2, 0.7, 0.4, 0.05, -0.02)), shear=fields(Shear, (0.03, -0.05, 0.0, 0.0)))
    behind = Mass(tnfw=api.pad(fields(TNFW, (0.2, 0.05, 1.0, 0.8, 0.1), (0.1, 0.02, 0.5, -1.0, -0.7)), 4))
    z = jnp.asarray([*Z_LENS, source])
    distances = comoving_distance(z)
    return Planes((before, lens, behind), distances[:-1], distances[-1])


def lenstronomy() -> tuple[Any, list[dict[str, float]]]:
    pytest.importorskip("lenstronomy")
    from astropy.cosmology import FlatLambdaCDM
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.Util.param_util import phi_q2_ellipticity

    names = ["TNFW", "SIE", "SHEAR", "TNFW", "TNFW"]
    at = [Z_LENS[0], Z_LENS[1], Z_LENS[1], Z_LENS[2], Z_LENS[2]]
    model = LensModel(
        names, z_source=Z_SOURCE, lens_redshift_list=at, multi_plane=True, cosmo=FlatLambdaCDM(H0=70, Om0=0.3)
    )
    e1, e2 = phi_q2_ellipticity(0.4, 0.7)

    def halo(Rs: float, alpha_Rs: float, r_trunc: float, x: float, y: float) -> dict[str, float]:
        return {"Rs": Rs, "alpha_Rs": alpha_Rs, "r_trunc": r_trunc, "center_x": x, "center_y": y}

    return model, [
        halo(0.3, 0.1, 1.5, -0.4, 0.6),
        {"theta_E": 1.2, "e1": e1, "e2": e2, "center_x": 0.05, "center_y": -0.02},
        {"gamma1": 0.03, "gamma2": -0.05, "ra_0": 0.0, "dec_0": 0.0},
        halo(0.2, 0.05, 1.0, 0.8, 0.1),
        halo(0.1, 0.02, 0.5, -1.0, -0.7),
    ]


@pytest.mark.filterwarnings("ignore:Cosmology is provided")
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(jnp.float32, 1.5e-5), pytest.param(jnp.float64, 1.5e-6, marks=pytest.mark.slow)],  # distances are good to 1e-6
)
def test_rays_magnifications_and_delays_are_lenstronomys(
    dtype: Any, tolerance: float, rng: np.random.Generator
) -> None:
    model, keywords = lenstronomy()
    x, y = rng.uniform(-2.5, 2.5, (2, 2000))
    beta = np.array(model.ray_shooting(x, y, keywords))
    mu = model.magnification(x, y, keywords, diff=1e-6)
    delay = model.arrival_time(x, y, keywords)
    with jax.enable_x64(dtype == jnp.float64):
        at = jnp.asarray(x, dtype), jnp.asarray(y, dtype)
        ours = jax.tree.map(lambda v: jnp.asarray(v, dtype), planes())

        @quick
        def every(p: Planes, *at: jax.Array) -> Any:
            return multiplane.shoot(p, *at), multiplane.magnification(p, *at), multiplane.arrival_time(p, *at)

        found, magnified, late = (np.asarray(value, float) for value in every(ours, *at))
    assert np.abs(found - beta).max() < tolerance
    np.testing.assert_allclose(1 / magnified, 1 / mu, rtol=1e-4, atol=1e-4)
    assert np.abs((late - late[0]) - (delay - delay[0])).max() < 1e-5 * np.abs(delay - delay[0]).max()


def test_one_plane_is_the_thin_lens(rng: np.random.Generator) -> None:
    lens = planes()
    alone = Planes(lens.masses[1:2], lens.distances[1:2], lens.source)
    x, y = (jnp.asarray(rng.uniform(-2, 2, 100), jnp.float32) for _ in range(2))
    ax, ay = compound.deflection(lens.masses[1], x, y)
    bx, by = multiplane.shoot(alone, x, y)
    np.testing.assert_allclose(bx, x - ax, atol=2e-6)
    np.testing.assert_allclose(by, y - ay, atol=2e-6)
    mu = quick(multiplane.magnification)(alone, x, y)
    np.testing.assert_allclose(1 / mu, 1 / compound.magnification(lens.masses[1], x, y), atol=2e-5)


def test_planes_behind_the_source_do_nothing(rng: np.random.Generator) -> None:
    x, y = (jnp.asarray(rng.uniform(-2, 2, 50), jnp.float32) for _ in range(2))
    every = planes(source=0.6)
    before = Planes(every.masses[:2], every.distances[:2], every.source)
    for quantity in (quick(multiplane.shoot), quick(multiplane.arrival_time)):
        np.testing.assert_allclose(quantity(every, x, y), quantity(before, x, y), atol=1e-5, rtol=1e-5)
    at_the_source = planes(source=0.8)
    assert bool(jnp.isfinite(quick(multiplane.arrival_time)(at_the_source, x, y)).all())


def test_order_of_planes_matters(rng: np.random.Generator) -> None:
    """What would be seen if the halo behind were put before the lens."""
    right = planes()
    wrong = Planes(right.masses[::-1], right.distances, right.source)
    x, y = (jnp.asarray(rng.uniform(-2, 2, 50), jnp.float32) for _ in range(2))
    assert float(jnp.abs(multiplane.shoot(right, x, y)[0] - multiplane.shoot(wrong, x, y)[0]).max()) > 1e-3
