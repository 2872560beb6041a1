"""Bleeding against a pixel-by-pixel account in plain Python."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from twin.observatory.detector.well import bleed

WELL = 100.0


def account(column: np.ndarray, up: float) -> tuple[np.ndarray, float]:
    """One column, and what left it: each pixel's excess walks its way until it has found room, the nearest first."""
    held = np.minimum(column, WELL)
    lost = 0.0
    for share, step, order in ((up, 1, range(len(column) - 1, -1, -1)), (1 - up, -1, range(len(column)))):
        for y in order:  # the farthest along the way first: what is nearer the end finds its room taken
            left, at = share * max(column[y] - WELL, 0), y + step
            while left > 0 and 0 <= at < len(column):
                taken = min(left, WELL - held[at])
                held[at] += taken
                left, at = left - taken, at + step
            lost += left
    return held, lost


@pytest.mark.parametrize("up", [0.5, 0.2, 1.0])
def test_excess_fills_the_column(rng: np.random.Generator, up: float) -> None:
    charge = rng.exponential(40, (2, 90, 6))
    charge[0, 30, 2], charge[0, 33, 2], charge[0, 50, 3], charge[1, 2, 4], charge[1, 80:83, 5] = (
        900,
        500,
        3000,
        800,
        700,
    )
    found = np.asarray(bleed(jnp.asarray(charge, jnp.float32), jnp.float32(WELL), up))
    left = 0.0
    for band in range(2):
        for x in range(6):
            truth, lost = account(charge[band, :, x], up)
            left += lost
            assert found[band, :, x] == pytest.approx(truth, abs=0.02)
    assert found.sum() + left == pytest.approx(charge.sum(), rel=1e-6)
    assert left > 0  # at the ends
    assert found.max() <= WELL


def test_a_star_bleeds_along_its_column_alone() -> None:
    charge = np.full((1, 101, 7), 10.0, np.float32)
    charge[0, 50, 3] = WELL + 20 * (WELL - 10)
    found = np.asarray(bleed(jnp.asarray(charge), jnp.float32(WELL)))[0]
    assert np.flatnonzero(found[:, 3] == WELL).tolist() == list(range(40, 61))
    assert np.all(np.delete(found, 3, axis=1) == 10)
    assert found.sum() == pytest.approx(charge.sum(), rel=1e-6)


def test_what_is_below_the_well_stays() -> None:
    charge = jnp.linspace(0, WELL, 60).reshape(1, 10, 6)
    assert np.array_equal(bleed(charge, jnp.float32(WELL)), charge)
