"""Whole galaxies: their light, their answers to Galaxy Zoo's questions, and frames at the prior's extremes."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers

from tests.recipe.small import quick
from tests.simulators.morphology import truths
from twin.numerics.fourier import image, product, spectrum
from twin.observatory.state import ImagerState
from twin.priors.laws import at_quantiles
from twin.recipe import load_recipe
from twin.schema import UserError
from twin.simulators.morphology import galaxies, maps, shapes
from twin.simulators.morphology.answers import FEATURES, NONE

CLASSES = ("smooth", "lenticular", "spiral", "barred", "ring", "edge_on", "irregular", "merger", "star")


@cache
def state() -> ImagerState:
    r = truths.recipe("csst-morphology")
    return r.state(jnp.asarray(r.exposures(3, 0, 1)[0]))


@cache
def drawn(cls: str) -> Any:
    """(truth) -> (expected, labels), compiled quickly."""
    r, now = truths.recipe("csst-morphology"), state()

    def one(truth: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        rendered = r.simulator.render(cls, truth, now, r.canvas)
        return rendered.expected, r.simulator.labels(cls, truth, rendered, now)

    example = {name: v[0] for name, v in truths.extreme("csst-morphology", cls, 1, 0).items()}
    return quick(one, example)


DARK = 5e-4  # of the frame's brightest pixel: small inclined rings, band-limited, ring to 1.6e-4, all else to 1e-5


@cache
def extremes(cls: str) -> tuple[Any, int]:
    """(program, uniforms that it takes): (uniforms, telemetry) -> expected light and labels of the recipe as it is
    shipped: points ring where frequencies end early, and in smaller frames what has left comes round."""
    r = load_recipe("csst-morphology")

    def one(u: jax.Array, row: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        truth = handlers.substitute(r.simulator.truth(cls, r.laws), substitute_fn=at_quantiles(u))()
        now = r.state(row)
        rendered = r.simulator.render(cls, truth, now, r.canvas)
        return rendered.expected, r.simulator.labels(cls, truth, rendered, now)

    return jax.jit(one), r._draws[cls]


def at_extremes(cls: str, count: int) -> None:
    """Finite frames without negative light, and labels in range, with every site at its median, or at the least or the
    largest that the prior draws."""
    program, number = extremes(cls)  # compiled as usual: frames of this size are slow without
    u = np.random.default_rng(1).choice([2.0**-24, 0.5, 1 - 2.0**-24], (count, number)).astype(np.float32)
    rows = truths.recipe("csst-morphology").exposures(3, 0, count)
    for k in range(count):
        expected, labels = program(u[k], rows[k])
        frame = np.asarray(expected)
        assert np.all(np.isfinite(frame)), (cls, k)
        assert np.all(frame.min((1, 2)) > -DARK * frame.max((1, 2))), (cls, k)
        assert np.all(np.isfinite(np.asarray(labels["signal"])))
        assert 0 <= float(labels["strayed"]) <= 1


@pytest.mark.parametrize("cls", ["edge_on", "merger"])
def test_extremes(cls: str) -> None:
    at_extremes(cls, 12)


@pytest.mark.slow
@pytest.mark.parametrize("cls", CLASSES)
def test_extremes_of_every_class(cls: str) -> None:
    at_extremes(cls, 300)


def test_a_nucleus_that_has_left_does_not_come_back() -> None:
    """A merger whose lesser galaxy is 20 arcsec away: periods of the finest waves would bring it round as a pattern
    above and below zero."""
    truth = {name: v[0] for name, v in truths.extreme("csst-morphology", "merger", 1, 3).items()}
    truth |= {f"field{k}_mag": jnp.full(3, jnp.nan) for k in range(3)}
    truth |= {"encounter_time": jnp.float32(45.0), "pericentre": jnp.float32(6.0), "disc0_scale": jnp.float32(1.6)}
    expected, labels = drawn("merger")(truth)
    frame = np.asarray(expected)
    assert float(labels["separation"]) > 64 * truths.recipe("csst-morphology").pixel_scale
    assert np.all(frame.min((1, 2)) > -DARK * frame.max((1, 2)))


def test_dust_leaves_of_an_edge_on_galaxy_what_passes() -> None:
    """The light less what dust takes against the light times what passes, with twice as fine cells and all
    frequencies."""
    r, now = load_recipe("csst-morphology", ("frame.npix=48",)), state()
    truth = {name: v[0] for name, v in truths.extreme("csst-morphology", "edge_on", 1, 5).items()}
    given = {
        "galaxy_x": 0.03, "galaxy_y": -0.05, "galaxy_angle": 0.7, "disc_scale": 0.3, "disc_height": 0.07,
        "cos_inclination": 0.05, "bulge_radius": 0.12, "bulge_n": 2.0, "bulge_q": 0.8, "dust_tau": 1.5,
        "bulge_mag": [20.6, 20.0, 19.6], "disc_mag": [19.8, 19.4, 19.2],
    }  # fmt: skip
    given |= {f"field{k}_mag": [np.nan] * 3 for k in range(3)}
    truth |= {name: jnp.asarray(v, jnp.float32) for name, v in given.items()}

    def ours(truth: dict[str, jax.Array]) -> jax.Array:
        return r.simulator.render("edge_on", truth, now, r.canvas).expected

    def directly(truth: dict[str, jax.Array]) -> jax.Array:
        fine = galaxies.Studio(r.canvas, 4, r.simulator._wavelengths)
        grid, cells = fine.grid, fine.fine
        f_u, f_v = shapes.turned(grid, truth["galaxy_angle"])
        form = [truth[f"disc_{k}"] for k in ("scale", "height")] + [truth["cos_inclination"]]
        profiles = {
            "bulge": shapes.sersic(f_u, f_v, truth["bulge_radius"], truth["bulge_q"], truth["bulge_n"]),
            "disc": shapes.inclined_disc(f_u, f_v, *form),
        }
        light = [
            galaxies._flux(truth, name, now) * cells.light(grid, profile, truth["galaxy_x"], truth["galaxy_y"])
            for name, profile in profiles.items()
        ]
        law = shapes.extinction(fine.wavelengths, truth["z_galaxy"])[:, None, None]
        left = (light[0] + light[1]) * maps.well_mixed(law * maps.edge_on_dust(cells, truth))
        re, im = product(r.canvas.transfer(now), spectrum(grid, left))
        return image(grid, (re * grid.pixel, im * grid.pixel))

    program = quick(ours, truth)
    found, wanted = np.asarray(program(truth)), np.asarray(quick(directly, truth)(truth))
    assert np.abs(found - wanted).max() < 2e-3 * wanted.max()
    bare = np.asarray(program(truth | {"dust_tau": jnp.float32(0)}))
    assert np.min(found / bare) < 0.2  # nearly opaque: an error of the light would show five times


def test_a_galaxy_has_the_light_of_its_magnitudes() -> None:
    """Components add up to what their magnitudes say, dust aside, with what leaves the frame; no light gives none."""
    truth = {name: v[0] for name, v in truths.extreme("csst-morphology", "barred", 1, 5).items()}
    small = {"galaxy_x": 0.0, "galaxy_y": 0.0, "disc_scale": 0.25, "disc_height": 0.05, "arm_start_radius": 0.25,
             "bar_length": 0.25, "bulge_radius": 0.1, "bulge_n": 1.0, "dust_tau": 0.0}  # fmt: skip
    truth |= {name: jnp.float32(v) for name, v in small.items()}
    truth |= {f"clump_{axis}": jnp.zeros(24) for axis in "xy"}
    truth |= {f"field{k}_mag": jnp.full(3, jnp.nan) for k in range(3)}
    names = [name for name in truth if name.endswith("_mag") and not name.startswith("field")]
    assert len(names) == 5
    expected, _ = drawn("barred")(truth)
    light = sum(10 ** (-0.4 * (np.asarray(truth[name]) - np.asarray(state().zero_point))) for name in names)
    kept = np.asarray(expected).sum((1, 2)) / light
    assert np.all((kept > 0.992) & (kept < 1))  # diffraction's wings leave the frame,
    assert np.all(np.diff(kept) < 0)  # the more the redder
    dusty, _ = drawn("barred")(truth | {"dust_tau": jnp.float32(1.0)})
    lost = 1 - np.asarray(dusty).sum((1, 2)) / np.asarray(expected).sum((1, 2))
    assert np.all(np.diff(lost) < 0)  # blue light suffers most
    assert 0.02 < lost[2] < lost[0] < 0.5
    dark, labels = drawn("barred")(truth | {name: jnp.full(3, jnp.nan) for name in names})
    assert np.all(np.asarray(dark) == 0)
    assert np.asarray(labels["signal"]) == pytest.approx(0)


def test_answers() -> None:
    """The truth's answers, and a feature that fades below the noise is there but not visible."""
    truth = {name: v[0] for name, v in truths.extreme("csst-morphology", "barred", 1, 7).items()}
    truth |= {name: jnp.asarray(v, jnp.float32) for name, v in truths.DISC.items() if name in truth} | {
        "disc_scale": jnp.float32(0.7), "disc_height": jnp.float32(0.1), "arm_sense": jnp.float32(1.0),
        "bulge_share": jnp.float32(0.3), "arm_start_radius": jnp.float32(0.6), "bar_length": jnp.float32(0.6),
    }  # fmt: skip
    bright = {"bulge": 20.0, "disc": 19.5, "bar": 20.5, "arm": 20.0, "clump": 22.5}
    truth |= {f"{name}_mag": jnp.full(3, m, jnp.float32) for name, m in bright.items()}
    _, labels = drawn("barred")(truth)
    answer = {name: np.asarray(v) for name, v in labels.items()}
    expected = {"features": 1, "edge_on": 0, "bulge": 2, "roundness": NONE, "arm_number": 2, "winding": 1, "sense": 1,
                "odd": 0, "looks": 1, "bar": 1, "arms": 1, "ring": 0, "bar_visible": 1, "arms_visible": 1,
                "ring_visible": 0}  # fmt: skip
    assert {name: int(answer[name]) for name in expected} == expected
    assert answer["signal"].shape == (len(FEATURES),)
    faint = truth | {f"{name}_mag": jnp.full(3, m + 6.0, jnp.float32) for name, m in bright.items()}
    _, labels = drawn("barred")(faint)
    assert {name: int(labels[name]) for name in ("bar", "bar_visible", "arms", "arms_visible", "looks")} == {
        "bar": 1, "bar_visible": 0, "arms": 1, "arms_visible": 0, "looks": 0,
    }  # fmt: skip
    # 0.004 of the light: less signal than by its own noise (the root of that), not less than by the sky's
    assert 0.0039 < np.asarray(labels["signal"])[0] / answer["signal"][0] < 0.03


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("prior.bulge_n={law: uniform, low: 1.0, high: 12.0}", "bulge_n"),
        ("prior.smooth_q={law: uniform, low: 0.0, high: 1.0}", "smooth_q"),
        ("prior.disc_scale={law: normal, mean: 0.1, sigma: 1.0}", "disc_scale"),
        ("scene.cells=0", "cells"),
        ("scene={tiers: [[32, 4], [64, 4]]}", "tiers"),
        ("classes={elliptical: 1.0}", "elliptical"),
    ],
)
def test_what_no_galaxy_has_is_refused(change: str, key: str) -> None:
    with pytest.raises(UserError) as mistake:
        load_recipe("csst-morphology", (change,))
    assert key in str(mistake.value)


def test_low_frequencies_of_a_spectrum_are_those_of_the_limited_grid() -> None:
    studio = galaxies.Studio(truths.CANVAS, 2, np.array([480.0, 620.0, 760.0]))
    grid, low = studio.grid, studio.low
    square = grid.fx[None, :] ** 2 + 3 * grid.fy[:, None]
    kept = studio.lowered((jnp.asarray(square), jnp.asarray(-square)), low)
    wanted = low.fx[None, :] ** 2 + 3 * low.fy[:, None]
    assert np.asarray(kept[0]) == pytest.approx(wanted)
    assert np.asarray(kept[1]) == pytest.approx(-wanted)
