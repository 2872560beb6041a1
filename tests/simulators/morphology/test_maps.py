"""Sampled components: their flux, how they converge with the cells, which way arms turn, what dust takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.simulators.morphology.truths import GRID, disc
from twin.numerics.fourier import Grid, image, spectrum
from twin.simulators.morphology import maps
from twin.simulators.morphology.maps import Cells, Plane
from twin.simulators.morphology.shapes import edge_on_profile, inclined_disc, turned

Truth = dict[str, jax.Array]
LARGE = Grid(160, 0.074, 1, 2)
CLUMPS = [jnp.asarray(v, jnp.float32) for v in ([0.1, -0.4], [0.3, 0.02], [0.7, 0.3])]
PARTS: dict[str, Callable[[Cells, Truth], jax.Array]] = {
    "arms": lambda c, t: maps.arms(Plane.of(c, t), t)[0],
    "arms spread": lambda c, t: maps.arms(Plane.of(c, t), t)[1],
    "ring": lambda c, t: maps.ring(Plane.of(c, t), t),
    "clumps": lambda c, t: maps.clumps(c, *CLUMPS, jnp.float32(0.07)),
    "bar": lambda c, t: maps.bar(Plane.of(c, t), t)[0],
    "bar spread": lambda c, t: maps.bar(Plane.of(c, t), t)[1],
    "disc": lambda c, t: maps.exponential(Plane.of(c, t), t["disc_scale"]),
    "closed disc": lambda c, t: closed(c, t),
}
EDGES = {"bar": 2e-3, "bar spread": 2e-3, "closed disc": 2e-4}  # an edge; what is beyond the frame


def closed(cells: Cells, t: Truth, factor: float = 2.0, **changes: float) -> jax.Array:
    """An inclined disc of its transform up to `factor` times the pixel's Nyquist limit, in cells."""
    t = t | {name: jnp.float32(v) for name, v in changes.items()}
    grid = replace(cells.grid, factor=2, limit=0.5 * factor / cells.grid.pixel_scale)
    profile = inclined_disc(*turned(grid, t["galaxy_angle"]), t["disc_scale"], t["disc_height"], t["cos_inclination"])
    return cells.light(grid, profile, t["galaxy_x"], t["galaxy_y"])


@pytest.mark.parametrize("name", PARTS)
def test_a_component_holds_its_light(name: str) -> None:
    assert float(jnp.sum(PARTS[name](Cells(LARGE, 2), disc()))) == pytest.approx(1, abs=EDGES.get(name, 2e-5))


def test_arms_of_any_shape_hold_their_light() -> None:
    for changes in ({"arm_count": 5.0, "arm_sharpness": 12.0}, {"arm_pitch": 0.15}, {"flocculence": 1.2}):
        total = float(jnp.sum(PARTS["arms"](Cells(LARGE, 4), disc(**changes))))
        assert total == pytest.approx(1, abs=2e-5), changes


def seen(name: str, cells: int, truth: Truth) -> np.ndarray:
    """Through a PSF of 0.1" FWHM and the pixel, as `develop` does it."""
    low = Grid(GRID.npix, GRID.pixel_scale, 2, 2, graded=True, limit=0.625 / GRID.pixel_scale)
    psf = np.exp(-2 * np.pi**2 * 0.0425**2 * (low.fx[None, :] ** 2 + low.fy[:, None] ** 2)) * low.pixel
    re, im = spectrum(low, PARTS[name](Cells(GRID, cells), truth))
    return np.asarray(image(low, (re * psf, im * psf)), float)


@pytest.mark.parametrize("name", ["arms", "ring", "clumps", "bar"])
def test_cells_converge(name: str) -> None:
    """Two cells a pixel against eight, of the peak; the bar's edge is the worst, and drawn so for its dust alone."""
    fine, coarse = seen(name, 8, disc()), seen(name, 2, disc())
    assert np.abs(fine - coarse).max() < (3e-3 if name == "bar" else 3e-4) * fine.max()


def test_what_dust_takes_converges() -> None:
    def taken(cells: int) -> np.ndarray:
        low = Grid(GRID.npix, GRID.pixel_scale, 2, 2, graded=True, limit=0.625 / GRID.pixel_scale)
        psf = np.exp(-2 * np.pi**2 * 0.0425**2 * (low.fx[None, :] ** 2 + low.fy[:, None] ** 2)) * low.pixel
        truth, c = disc(), Cells(GRID, cells)
        plane = Plane.of(c, truth)
        light = closed(c, truth)
        re, im = spectrum(low, (1 - maps.half_behind(maps.arm_dust(plane, truth))) * light)
        return np.asarray(image(low, (re * psf, im * psf)), float)

    assert np.abs(taken(8) - taken(2)).max() < 2e-2 * taken(8).max()


def test_closed_light_in_cells_is_that_of_the_disc_itself() -> None:
    """An edge-on disc against its formula |u| / h K_1(|u| / h) sech^2(v / h_z), sampled ten times finer; margins are
    more of the same."""
    t = disc(disc_height=0.25, cos_inclination=0.0)
    cells, fine = Cells(GRID, 2, 3), Cells(GRID, 20, 3)
    u, v = fine.turned(t["galaxy_x"], t["galaxy_y"], t["galaxy_angle"])
    light = edge_on_profile(jnp.abs(u) / 0.35) * maps._sech2(v / 0.25) * (fine.size**2 / (2 * np.pi * 0.35 * 0.25))
    wanted = np.asarray(light).reshape(140, 10, 140, 10).sum((1, 3))
    found = np.asarray(closed(cells, t))
    assert np.abs(found - wanted).max() < 3e-3 * wanted.max()  # the middle of a cell is not its mean
    assert np.abs(found - np.asarray(closed(cells, t, disc_height=0.26))).max() > 1e-2 * wanted.max()
    assert found[6:-6, 6:-6] == pytest.approx(np.asarray(closed(Cells(GRID, 2), t)), abs=1e-6 * float(wanted.max()))
    assert np.asarray(cells.pixels(jnp.asarray(found))).sum() == pytest.approx(found[6:-6, 6:-6].sum(), rel=1e-5)


@pytest.mark.parametrize("cos_i", [0.3, 0.6, 1.0])
def test_what_is_too_fine_for_the_cells_is_drawn_wider(cos_i: float) -> None:
    """Rings and arms of any inclination ring by less than 1e-3 of their peak where frequencies end, and hold their
    light, to 5e-4 where the whole ring is two pixels wide."""
    for radius in (0.2, 0.5):
        t = disc(cos_inclination=cos_i, ring_radius=radius, ring_width=0.015, flocculence=0.7, arm_sharpness=12.0)
        for name in ("ring", "arms"):
            image_of = seen(name, 2, t)
            assert image_of.min() > -1e-3 * image_of.max(), (name, radius)
            assert float(jnp.sum(PARTS[name](Cells(LARGE, 4), t))) == pytest.approx(1, abs=5e-4), (name, radius)


def test_arms_unwind_the_way_their_sense_says() -> None:
    """A crest's azimuth grows with radius for sense 1, at the rate of its pitch."""
    for sense in (1.0, -1.0):
        t = disc(arm_sense=sense, arm_count=1.0, flocculence=0.0, arm_sharpness=8.0)
        azimuth = np.linspace(0, 2 * np.pi, 721)[:-1]
        crest = []
        for r in (0.5, 0.6):
            arm = maps._arm_density(jnp.full(720, r), jnp.asarray(azimuth, jnp.float32), t, 0.01)[0]
            crest.append(azimuth[int(jnp.argmax(arm))])
        turn = (crest[1] - crest[0] + np.pi) % (2 * np.pi) - np.pi
        assert turn == pytest.approx(sense * np.log(1.2) / np.tan(0.35), abs=0.02)


def test_light_through_dust() -> None:
    depth = jnp.asarray([0.0, 1e-3, 0.1, 1.0, 50.0])
    assert np.asarray(maps.half_behind(depth)) == pytest.approx(0.5 + 0.5 * np.exp(-np.asarray(depth)))
    d = np.asarray(depth[1:], float)
    assert np.asarray(maps.well_mixed(depth))[1:] == pytest.approx(-np.expm1(-d) / d, rel=1e-4)
    assert float(maps.well_mixed(depth)[0]) == 1
