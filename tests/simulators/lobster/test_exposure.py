"""Counts of simulated exposures against closed form: spectrum x area x time, the PSF, the background's two moments."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.simulators.lobster.conftest import source
from twin.io.xray import Arf
from twin.observatory.lobster.psf import areas, optic_area, profile, rolled, transmission
from twin.observatory.xray import particle_factor
from twin.priors.xray import Spectrum, from_mcrab
from twin.simulators.lobster.energies import EACH, EDGES, NODE_ENERGIES, NODES, shapes
from twin.simulators.lobster.optics import boundless, boundless_area

OFF = {"diffuse": 0.0, "particles": 0.0}
MIDDLES = np.sqrt(EDGES[1:] * EDGES[:-1])


@partial(jax.jit, static_argnums=1)
def whole_area(state, coating, place):
    """(FINE,) effective area [cm2] on a boundless detector, by the other module's integrals of the PSF."""

    def one(energy):
        found = areas(state, coating, energy, place)
        return found["focus"] + found["arms"] + found["diffuse"]

    energies = jnp.asarray(MIDDLES, jnp.float32)
    return jax.lax.map(one, energies) * transmission(state, coating, energies)


@partial(jax.jit, static_argnums=1)
def images(state, coating, place, x, y):
    """(NODES, bins, bins) PSF at the nodes' energies [cm2], bin by bin."""

    def one(energy):
        return rolled(state, profile(state, coating, energy), place, x, y, optic_area(state))

    return jax.lax.map(one, jnp.asarray(NODE_ENERGIES, jnp.float32))


@partial(jax.jit, static_argnums=1)
def lights(state, coating):
    """Boundless area (NODES,) of the optic alone, and (FINE,) of all [cm2]."""
    nodes = optic_area(state) * boundless(state, coating, jnp.asarray(NODE_ENERGIES, jnp.float32)) ** 2
    return nodes, boundless_area(state, coating)


def expected_image(recipe, row, place, photons):
    """(bins, bins) counts/s of photons (FINE,) [1/cm2/s], every fine bin with its own area and its node's shape."""
    simulator = recipe.simulator
    state, coating = simulator.state(jnp.asarray(row)), recipe.instrument.coating
    x, y = recipe.frame.edges
    at = jnp.asarray(place, jnp.float32) + jnp.asarray(simulator.middle)
    shape = np.asarray(images(state, coating, at, x, y), float)
    light, optic = lights(state, coating)
    weight = (photons * np.asarray(optic) * recipe.channels.in_band.sum(1)).reshape(NODES, EACH).sum(1)
    return np.tensordot(weight / np.asarray(light), shape, 1)


@pytest.mark.parametrize(
    ("family", "kind", "shape", "nh"),
    [
        (0, "powerlaw", 2.1, 0.36),
        (1, "blackbody", 0.1, 0.03),
        (1, "blackbody", 1.2, 2.0),
        (2, "bremsstrahlung", 2.0, 0.5),
    ],
)
def test_photons_of_a_spectrum_are_those_of_its_flux(family: int, kind: str, shape: float, nh: float) -> None:
    photons, through = shapes(jnp.int32(family), jnp.float32(shape), jnp.float32(nh))
    exact = Spectrum(kind, shape, nh=nh).scaled_to(1.0)  # type: ignore[arg-type]
    parts = np.geomspace(EDGES[0], EDGES[-1], 64 * len(MIDDLES) + 1)  # fine enough for absorption edges
    want = exact.photons(parts[:-1], parts[1:]).reshape(-1, 64).sum(1)
    np.testing.assert_allclose(photons, want, rtol=0.02, atol=2e-3 * want.max())
    for low, high in ((6, 18), (18, 30), (30, 42)):
        total = want[low:high].sum()
        assert float(photons[low:high].sum()) == pytest.approx(total, rel=0.003, abs=1e-3 * want.sum())
    assert float(through) == pytest.approx(exact.flux() / exact.flux(absorbed=False), rel=0.01)


def test_counts_of_a_source_are_flux_times_area_times_exposure(recipe, row, exposures) -> None:
    telemetry = row(**OFF)
    out = exposures(source(0.0, 0.0, 100.0), telemetry, 1)
    spectrum = Spectrum("powerlaw", 2.1, nh=0.36).scaled_to(100 * from_mcrab(1.0))
    state = recipe.simulator.state(jnp.asarray(telemetry))
    area = np.asarray(whole_area(state, recipe.instrument.coating, jnp.asarray(recipe.simulator.middle)))
    arf = Arf(EDGES[:-1], EDGES[1:], area * recipe.channels.in_band.sum(1))
    boundless = spectrum.counts(arf, 1000.0, 0.3, 6.0)
    label = out["label/sources"][0, 0]
    image = expected_image(recipe, telemetry, (0.0, 0.0), spectrum.photons(EDGES[:-1], EDGES[1:]))
    on = image.sum() * 1000
    assert on / boundless == pytest.approx(0.94, abs=0.04)  # the rest falls beside the detector
    number = out["frame"].sum((1, 2, 3)).astype(float)
    error = np.sqrt(on / len(number))
    assert number.mean() == pytest.approx(on, abs=4 * error + 0.01 * on)
    assert label[2] == pytest.approx(on, rel=0.02)
    assert number.var(ddof=1) / number.mean() == pytest.approx(1, abs=0.75)  # sources are Poissonian
    assert number.mean() != pytest.approx(0.95 * on, abs=4 * error + 0.01 * on)  # an area 5 % off would be seen


@pytest.mark.parametrize("place", [(0.0, 0.0), (-200.0, 120.0), (262.0, -240.0)])
def test_labels_tell_what_falls_on_the_frame(recipe, row, exposures, place: tuple[float, float]) -> None:
    telemetry = row(**OFF)
    out = exposures(source(*place, 300.0), telemetry, 2)
    found = dict(zip(recipe.spec["label/sources"].coords["field"], out["label/sources"][0, 0], strict=True))
    number = out["frame"].sum((1, 2, 3)).astype(float)
    assert found["counts"] == pytest.approx(number.mean(), rel=0.025)
    bands = out["frame"].sum((0, 2, 3)).astype(float)
    assert found["hardness"] == pytest.approx(bands[-1] / bands.sum(), abs=0.01)
    width = recipe.frame.side / recipe.frame.bins
    assert found["x"] == pytest.approx(64 - 0.5 + place[0] / width, abs=0.01)
    image = out["frame"].sum((0, 1))
    top = np.unravel_index(image.argmax(), image.shape)
    assert abs(top[1] - found["x"]) <= 1.5
    assert abs(top[0] - found["y"]) <= 1.5
    # of the focus, four in five within a box of 7 bins, and little else there but the roots of four arms
    y, x = round(float(found["y"])), round(float(found["x"]))
    box = image[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4].sum() / len(number)
    assert 0.85 * found["focus"] < box < 1.75 * found["focus"]
    assert found["mcrab"] == pytest.approx(300)
    assert found["flux"] == pytest.approx(300 * from_mcrab(1.0), rel=1e-4)


def test_a_stack_is_the_psf_and_a_wrong_tilt_is_noticed(recipe, row, exposures) -> None:
    telemetry, place = row(**OFF), (-60.0, 40.0)
    out = exposures(source(*place, 2000.0), telemetry, 3)
    stack = out["frame"].sum((0, 1)).astype(float)
    photons = np.asarray(shapes(jnp.int32(0), jnp.float32(2.1), jnp.float32(0.36))[0])

    def reduced(**changes: float) -> float:
        image = expected_image(recipe, row(**OFF, **changes), place, photons)
        image *= stack.sum() / image.sum()
        use = image > 25
        # quantiles of profiles and places of plates' edges are good to about 2 %
        return float((((stack - image) ** 2) / (image + (0.02 * image) ** 2))[use].sum() / use.sum())

    right = reduced()
    assert right < 1.5
    assert reduced(tilt=1.1) > 2 * right
    assert reduced(pore_ratio=60.0) > 2 * right
    assert reduced(roll=2.5) > 2 * right


def test_the_background_has_its_mean_and_its_clumps(recipe, row, exposures) -> None:
    config = recipe.config.background
    out = exposures(source(0.0, 0.0, 0.0), row(latitude=30.0, leak=0.01), 4)
    rate = config.diffuse + config.particles * float(particle_factor(np.array(30.0), config)) + 0.01
    want = rate * recipe.simulator.area * 1000
    image = out["frame"].sum(1).astype(float)
    number = image.sum((1, 2))
    assert number.mean() == pytest.approx(want, abs=4 * np.sqrt(1.3 * want / len(number)))
    assert out["noise/sky"].sum(1) * 128**2 == pytest.approx(want, rel=1e-3)
    mean = image.mean(0)
    assert (image.var(0, ddof=1).sum() / mean.sum()) == pytest.approx(1.30, abs=0.015)
    assert image.sum(0).reshape(-1).var() / image.sum(0).mean() == pytest.approx(1.30, abs=0.25)
    bands = out["frame"].sum((0, 2, 3)) / len(number)
    np.testing.assert_allclose(bands, out["noise/sky"][0] * 128**2, rtol=0.01)
    # vignetted: the corners have less than the middle
    corners = sum(mean[a, b].mean() for a in (slice(0, 24), slice(-24, None)) for b in (slice(0, 24), slice(-24, None)))
    assert 0.8 < corners / 4 / mean[48:80, 48:80].mean() < 0.97
    assert out["label/n_sources"].max() == 0
    assert np.isnan(out["label/sources"]).all()


def test_flickering_pixels_and_columns_stay_where_they_are(recipe, row, exposures) -> None:
    out = exposures(source(0.0, 0.0, 0.0), row(**OFF, flicker=0.2, column=0.3), 5)
    for frame in out["frame"].sum(1)[:8]:
        column = int(np.argmax((frame > 0).sum(0)))
        rest = np.delete(frame, column, axis=1)
        assert 150 < frame[:, column].sum() < 480
        assert (rest > 0).sum() <= recipe.config.pixels


def test_the_psf_image_is_the_bin_by_bin_one(recipe, row, optics) -> None:
    telemetry = row()
    simulator, frame = recipe.simulator, recipe.frame
    state, profiles = simulator.state(jnp.asarray(telemetry)), optics(telemetry).profiles
    photons = np.asarray(shapes(jnp.int32(0), jnp.float32(2.1), jnp.float32(0.36))[0])
    # a source in the middle of the bin beside the frame's middle, so that bins of the two are the same
    half = 0.5 * frame.side / frame.bins
    made = np.asarray(jax.jit(simulator.psf)(state, profiles, jnp.full(2, frame.bins / 2)))
    image = expected_image(recipe, telemetry, (half, half), photons)
    image /= (photons * np.asarray(lights(state, recipe.instrument.coating)[1]) * recipe.channels.in_band.sum(1)).sum()
    np.testing.assert_allclose(made[:-1, :-1], image, atol=1.5e-3 * image.max())
    assert made.sum() == pytest.approx(image.sum(), rel=0.01)
    assert image.sum() == pytest.approx(0.94, abs=0.04)  # the rest falls further out, and between plates


def arms(image: np.ndarray, bins: int) -> np.ndarray:
    """(4,) mean offset [bin] across the arms, unrolled, beyond `bins` from the source: up, down, right, left."""
    across = np.arange(-4, 5)
    parts = [turned[-image.shape[0] // 2 + bins :] for turned in (image, image[::-1], image.T, image.T[::-1])]
    sums = np.array([part.sum(0)[image.shape[0] // 2 + across] for part in parts])
    return sums @ across / sums.sum(1)


def test_the_psf_image_bends_as_photons_do_and_straight_arms_are_noticed(
    recipe, row, optics, exposures, monkeypatch
) -> None:
    telemetry = row(**OFF, roll=0.0)
    simulator, frame = recipe.simulator, recipe.frame
    half = 0.5 * frame.side / frame.bins
    made = exposures(source(half, half, 15000.0), telemetry, 6)
    stack = made["frame"].sum((0, 1)).astype(float)
    stack /= made["label/sources"][0, 0, 2] * 64

    def image() -> np.ndarray:
        state, profiles = simulator.state(jnp.asarray(telemetry)), optics(telemetry).profiles
        whole = jax.jit(lambda *a: simulator.psf(*a))(state, profiles, jnp.full(2, frame.bins / 2))
        found = np.asarray(whole, float)[:-1, :-1]
        return found * (stack.sum() / found.sum())

    bent = image()
    # photons' ways are quantiles: 4,096 an axis
    np.testing.assert_allclose(bent, stack, atol=3e-3 * bent.max())
    np.testing.assert_allclose(arms(bent, 25), arms(stack, 25), atol=0.01)
    middle = simulator.middle
    monkeypatch.setattr("twin.simulators.lobster.optics.odd_light", lambda *_: (None, jnp.asarray(middle[0] / 2)))
    straight = image()
    assert np.abs(arms(straight, 25) - arms(stack, 25)).min() > 0.03
