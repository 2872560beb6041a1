"""Real sources on the sky: where a field has them, fluxes from one band to another, and none twice."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from numpyro import handlers

from twin.io.xray.source_lists import SourceList
from twin.priors.laws import at_quantiles
from twin.priors.xray import CRAB, Spectrum, to_mcrab
from twin.priors.xray.catalogue import (
    BAND,
    CRAB_NAME,
    EXTRAGALACTIC,
    FIXED,
    GALACTIC,
    GIVEN,
    MICROJANSKY,
    Catalogue,
    Softness,
    merged,
    placed,
    pointed,
    unit,
)
from twin.priors.xray.config import FAMILIES, KINDS, Lists, SkyConfig
from twin.priors.xray.field import FieldPrior
from twin.recipe import load_recipe

HALF = 288.0


def sources(name: list[str], ra: list[float], dec: list[float], low: float, high: float, transient: bool) -> SourceList:
    n = len(name)
    fluxes = np.full(n, low), np.full(n, high)
    return SourceList(tuple(name), np.array(ra), np.array(dec), *fluxes, np.full(n, transient))


@pytest.fixture(scope="module")
def lists() -> Catalogue:
    steady = sources(["steady", "other"], [83.0, 266.0], [21.0, -29.0], 100.0, 100.0, False)
    now = sources(["now and then"], [84.0], [22.5], 10.0, 1000.0, True)
    bat = sources([CRAB_NAME, "the same", "plane", "far"], [83.633, 83.01, 266.5, 150.0], [22.015, 21.01, -28.0, 60.0],
                  np.nan, np.nan, False)  # fmt: skip
    return merged([steady, now], bat)


@pytest.fixture(scope="module")
def config() -> SkyConfig:
    found = load_recipe("ep-wxt").config.sky
    assert isinstance(found, SkyConfig)
    return found.model_copy(update={"catalogue": Lists(bat="x", outburst=0.5)})


def test_each_source_stands_once(lists: Catalogue) -> None:
    assert lists.names == ("steady", "other", "now and then", CRAB_NAME, "plane", "far")
    np.testing.assert_array_equal(lists.source, [GIVEN, GIVEN, GIVEN, FIXED, GALACTIC, EXTRAGALACTIC])
    np.testing.assert_array_equal(lists.galactic, [True] * 5 + [False])


def test_the_unit_of_the_lists_is_that_of_the_crab() -> None:
    """Liu+ 2007 quote fluxes on the scale on which the Crab has 1060 uJy (Bradt & McClintock 1983, ARA&A 21, 13)."""
    assert CRAB.flux(*BAND) / (8 * MICROJANSKY) == pytest.approx(1060, rel=0.06)


def test_places_are_those_of_spherical_trigonometry(rng: np.random.Generator) -> None:
    """astropy's separation and position angle, of fields all over the sky."""
    for _ in range(20):
        ra, dec, angle = rng.uniform(0, 360), np.rad2deg(np.arcsin(rng.uniform(-1, 1))), rng.uniform(0, 360)
        centre = SkyCoord(ra, dec, unit="deg")
        near = centre.directional_offset_by(rng.uniform(0, 360, 8) * u.deg, 4 * u.deg)
        away, turn = centre.separation(near).rad, centre.position_angle(near).rad - np.deg2rad(angle)
        x, y, ahead = placed(jnp.asarray(unit(near.ra.deg, near.dec.deg)), jnp.array([ra, dec, angle]), (0.0, 0.0))
        np.testing.assert_allclose(x, -np.sin(away) * np.sin(turn) * 10800 / np.pi, atol=0.01)
        np.testing.assert_allclose(y, np.sin(away) * np.cos(turn) * 10800 / np.pi, atol=0.01)
        assert ahead.all()
    assert not placed(-unit(np.array([10.0]), np.array([20.0])), jnp.array([10.0, 20.0, 0.0]), (0.0, 0.0))[2].any()


def test_pointings_bring_a_source_to_its_place(key: jax.Array) -> None:
    middle = (279.0, -279.0)
    z = jnp.concatenate([jnp.linspace(-1, 1, 60), jnp.array([0.9999, -0.9999])])
    v = jax.random.uniform(key, (4, 62))
    turn = 2 * jnp.pi * v[0]
    vectors = jnp.stack([jnp.sqrt(1 - z**2) * jnp.cos(turn), jnp.sqrt(1 - z**2) * jnp.sin(turn), z], 1)
    x, y = (2 * v[1:3] - 1) * HALF
    rows = jax.vmap(lambda s, a, b, roll: pointed(s, a, b, roll, middle))(vectors, x, y, 2 * jnp.pi * v[3])
    assert (jnp.abs(rows[:, 1]) <= 90).all()
    found = jax.vmap(lambda s, row: placed(s[None], row, middle))(vectors, rows)
    np.testing.assert_allclose(found[0][:, 0], x, atol=0.02)
    np.testing.assert_allclose(found[1][:, 0], y, atol=0.02)
    assert found[2].all()
    assert np.ptp(np.asarray(rows[:, 2])) > 300


def test_softness_is_the_ratio_of_integrals(rng: np.random.Generator) -> None:
    of = Softness()
    limits = {"powerlaw": (0.5, 3.0), "blackbody": (0.5, 2.5), "bremsstrahlung": (1.0, 19.0)}
    family, shape, nh, exact, wrong = [], [], [], [], []
    for k, name in enumerate(FAMILIES):
        for _ in range(8):
            family.append(k)
            shape.append(rng.uniform(*limits[name]))
            nh.append(10 ** rng.uniform(-2, 1))
            one = Spectrum(name, shape[-1], nh=nh[-1])  # type: ignore[arg-type]
            exact.append(to_mcrab(one.flux()) / one.flux(*BAND))
            wrong.append(to_mcrab(one.flux(absorbed=False)) / one.flux(*BAND))
    found = of(jnp.array(family), jnp.array(shape), jnp.array(nh))
    np.testing.assert_allclose(found, exact, rtol=0.02)
    assert (np.abs(found / np.array(wrong) - 1) > 0.02).mean() > 0.5


def test_no_field_has_more_than_there_is_room_for(rng: np.random.Generator) -> None:
    z = rng.uniform(-1, 1, 1500)
    ra = np.where(np.arange(1500) < 300, rng.normal(266, 4, 1500), rng.uniform(0, 360, 1500))
    dec = np.where(np.arange(1500) < 300, rng.normal(-29, 4, 1500), np.rad2deg(np.arcsin(z)))
    nothing = np.zeros(1500)
    many = Catalogue(("",) * 1500, unit(ra, dec), nothing.astype(int), nothing, nothing, nothing > 0)
    room = many.room(HALF)
    most = 0
    for _ in range(200):
        row = jnp.array([rng.normal(266, 3), rng.normal(-29, 3), rng.uniform(0, 360)])
        x, y, ahead = placed(jnp.asarray(many.place), row, (279.0, 279.0))
        most = max(most, int((ahead & (jnp.abs(x) < HALF) & (jnp.abs(y) < HALF)).sum()))
    assert 150 < most <= room < 300


def drawn(prior: FieldPrior, pointing: tuple[float, float, float], n: int) -> dict[str, np.ndarray]:
    """n fields towards a pointing; uniforms of equal length whatever a prior draws."""

    @jax.jit
    @jax.vmap
    def one(key: jax.Array) -> dict[str, jax.Array]:
        fill = at_quantiles(jax.random.uniform(key, (6000,), minval=2.0**-24))
        return handlers.substitute(prior.program, substitute_fn=fill)(jnp.int32(0), jnp.array(pointing))

    return jax.device_get(one(jax.random.split(jax.random.key(5), n)))


def test_fields_hold_the_sources_of_the_lists(config: SkyConfig, lists: Catalogue) -> None:
    prior = FieldPrior(config, HALF, (279.0, 279.0), lists)
    n = 400
    field = drawn(prior, (83.633, 22.015, 30.0), n)
    last = prior.slots["extragalactic"]
    part = {name: values[:, -last - prior.slots["catalogue"] : -last] for name, values in field.items()}
    at = {name: [part["entry"] == k for k in range(6)][k] for k, name in enumerate(lists.names)}
    assert (field["entry"] >= 0).sum() == (part["entry"] >= 0).sum()
    for name, share in (("steady", 1.0), (CRAB_NAME, 1.0), ("now and then", 0.5), ("far", 0.0), ("other", 0.0)):
        assert at[name].sum() / n == pytest.approx(share, abs=0.1 if 0 < share < 1 else 0), name
    crab = {name: values[at[CRAB_NAME]] for name, values in part.items()}
    np.testing.assert_allclose(crab["flux"], to_mcrab(CRAB.flux()), rtol=1e-4)
    np.testing.assert_allclose(
        np.stack([crab["shape"], crab["nh"]]), np.array([[2.1], [0.36]]) + np.zeros(n), rtol=1e-6
    )
    assert (np.abs([crab["x"], crab["y"]]) < 0.1).all()
    assert (crab["rise"] == 0).all()
    assert set(crab["kind"]) == {KINDS.index("galactic")}
    # 100 uJy are 94 mCrab in 2-10 keV; in 0.5-4 keV what the drawn spectrum says
    steady = {name: values[at["steady"]] for name, values in part.items()}
    for k in range(20):
        one = Spectrum(FAMILIES[steady["family"][k]], float(steady["shape"][k]), nh=float(steady["nh"][k]))  # type: ignore[arg-type]
        known = one.scaled_to(100 * 8 * MICROJANSKY, *BAND)
        assert steady["flux"][k] == pytest.approx(to_mcrab(known.flux()), rel=0.03)
    assert 20 < np.median(steady["flux"]) < 150
    ranged = part["flux"][at["now and then"]]
    assert ranged.max() / ranged.min() > 30
    # a transient that is not there leaves no trace
    assert (part["kind"][part["entry"] < 0] == 0).all()


def test_laws_end_where_lists_begin_and_their_other_draws_stay(config: SkyConfig, lists: Catalogue) -> None:
    plain = FieldPrior(config.model_copy(update={"catalogue": None}), HALF)
    real = FieldPrior(config, HALF, (279.0, 279.0), lists)
    one, other = (drawn(prior, (83.0, 22.0, 0.0), 200) for prior in (plain, real))
    before = plain.slots["bright"] + plain.slots["transient"]
    galactic = slice(before, before + plain.slots["galactic"])
    for name, values in one.items():
        np.testing.assert_array_equal(other[name][:, :before], values[:, :before], err_msg=name)
        if name != "kind":
            np.testing.assert_array_equal(other[name][:, galactic], values[:, galactic], err_msg=name)
    # five Galactic sources stand for the five brightest on the sky, one other for the brightest of those
    for where, law, number, area in (
        (galactic, config.galactic, 5, 3600 * (1 - (5 * np.pi / 180) ** 2)),
        (slice(-plain.slots["extragalactic"], None), config.extragalactic, 1, 41253),
    ):
        end = law.brightest(number / area)
        assert end < law.most
        assert law.above(end) * area == pytest.approx(number, rel=1e-3)
        was, flux = one["kind"][:, where] > 0, one["flux"][:, where]
        np.testing.assert_array_equal(other["kind"][:, where] > 0, was & (flux < end))
