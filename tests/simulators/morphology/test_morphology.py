"""Whole galaxies: their light, their answers to Galaxy Zoo's questions, and frames at the prior's extremes."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.recipe.small import quick
from tests.simulators.morphology import truths
from twin.observatory.state import ImagerState
from twin.recipe import load_recipe
from twin.schema import UserError
from twin.simulators.morphology import galaxies
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


def at_extremes(cls: str, count: int) -> None:
    """Finite frames without negative light, and labels in range, whatever the prior draws."""
    edges = truths.extreme("csst-morphology", cls, count, 1)
    for k in range(count):
        truth = {name: v[k] for name, v in edges.items()}
        expected, labels = drawn(cls)(truth)
        frame = np.asarray(expected)
        assert np.all(np.isfinite(frame)), (cls, k)
        mags = [np.asarray(v) for name, v in truth.items() if name.endswith("_mag")]
        light = sum(np.nan_to_num(10 ** (-0.4 * (m - np.asarray(state().zero_point)))) for m in mags)
        assert frame.min() > -5e-3 * np.max(light), (cls, k)  # points ring where frequencies end early
        assert np.all(np.isfinite(np.asarray(labels["signal"])))
        assert 0 <= float(labels["strayed"]) <= 1


@pytest.mark.parametrize("cls", ["barred", "merger"])
def test_extremes(cls: str) -> None:
    at_extremes(cls, 20)


@pytest.mark.slow
@pytest.mark.parametrize("cls", CLASSES)
def test_extremes_of_every_class(cls: str) -> None:
    at_extremes(cls, 300)


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
    kept = studio.lowered((jnp.asarray(square), jnp.asarray(-square)))
    wanted = low.fx[None, :] ** 2 + 3 * low.fy[:, None]
    assert np.asarray(kept[0]) == pytest.approx(wanted)
    assert np.asarray(kept[1]) == pytest.approx(-wanted)
