"""Trails against a detector that is clocked pixel by pixel, every pixel with its own traps."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.observatory.detector.common import WELL, detector
from twin.observatory.detector.charge_transfer import trail, transfer
from twin.observatory.detector.config import Traps
from twin.observatory.detector.place import at

TRAPS = (Traps(density=0.1, release="1.5 px"), Traps(density=0.15, release="8 px"))
FILL = 0.6


def clocked(packets: np.ndarray, first: int) -> np.ndarray:
    """Packets as they leave a column: the one at `first` + k pixels from the register passes that many sites. Sites and
    packets move past each other one step at a time; each site keeps its own electrons."""
    out = packets.astype(float).copy()
    sites = np.zeros((len(TRAPS), first + len(packets)))
    density = np.array([t.density for t in TRAPS])[:, None]
    stay = np.exp(-1 / np.array([t.release for t in TRAPS]))[:, None]
    for tick in range(first + 2 * len(packets)):
        # at this tick packet k is over site first + k - tick
        which = np.arange(len(packets))
        place = first + which - tick
        on = (place >= 0) & (place < sites.shape[1])
        which, place = which[on], place[on]
        let_go = np.zeros_like(sites)
        let_go[:, place] = sites[:, place] * (1 - stay)
        sites = sites - let_go
        q = out[which] + let_go[:, place].sum(0)
        taken = np.maximum(density * (np.maximum(q, 0) / WELL) ** FILL - sites[:, place], 0)
        sites[:, place] += taken
        out[which] = q - taken.sum(0)
    return out


def ours(packets: np.ndarray, first: int, before: float = 0.0) -> np.ndarray:
    """As `clocked` has it, the pixel at `first` passes first + 1 sites."""
    number = first + 1 + np.arange(len(packets))
    charge = jnp.asarray(packets[:, None], jnp.float32)
    return np.asarray(trail(charge, jnp.asarray(number)[:, None], TRAPS, jnp.float32(WELL), FILL, jnp.float32(before)))[
        :, 0
    ]


def test_trails_are_those_of_a_clocked_detector() -> None:
    """A star, a hot pixel and a warm pixel on faint sky, 1500 pixels from the register; 1 % of what is lost."""
    packets = np.full(60, 4.0)
    packets[10:15] += 3e4 * stats.norm.pdf(np.arange(5) - 2)
    packets[30], packets[33] = 5000, 800
    truth = clocked(packets, 1500)
    found = ours(packets, 1500)
    lost = np.abs(truth - packets).max()
    assert lost > 70
    assert np.abs(found - truth).max() < 0.01 * lost
    # what pixels lose, and the light of the trails
    for region in (slice(10, 15), slice(15, 30), slice(30, 31), slice(34, 60)):
        change, theirs = (found - packets)[region].sum(), (truth - packets)[region].sum()
        assert change == pytest.approx(theirs, rel=0.02), region


def test_charge_is_neither_made_nor_lost() -> None:
    """All of it comes out where the trails have room to end."""
    packets = np.zeros(400)
    packets[5], packets[20:23] = 20000, 500
    found = ours(packets, 800)
    assert found.sum() == pytest.approx(packets.sum(), rel=1e-5)
    assert found.min() > -1e-6
    assert packets[5] - found[5] == pytest.approx(806 * 0.25 * (20000 / WELL) ** FILL, rel=1e-4)  # closed form
    # the trail of one packet: shares of two exponentials
    lost = np.array([806 * t.density for t in TRAPS]) * (20000 / WELL) ** FILL
    decay = np.exp(-1 / np.array([t.release for t in TRAPS]))
    alone = ours(np.where(np.arange(400) == 5, 20000.0, 0.0), 800)
    for k in range(4):  # later on the traps have room for what was let go
        assert alone[6 + k] == pytest.approx(np.sum(lost * (1 - decay) * decay**k), rel=1e-4)
    assert np.all(np.diff(alone[6:60]) < 0)


def test_sky_fills_the_traps() -> None:
    """The brighter the sky, the less a source loses (what post-flashing is for)."""
    loss = []
    for sky in (0.0, 30.0, 300.0, 3000.0):
        packets = np.full(40, sky)
        packets[20] += 1000
        loss.append(packets[20] - ours(packets, 1000, sky)[20])
    assert np.all(np.diff(loss) < 0)
    flat = ours(np.full(40, 300.0), 1000, 300.0)
    assert np.abs(flat - 300).max() < 1  # a flat stays one: it began with full traps


@pytest.mark.parametrize(("serial", "rows"), [("left", 1), ("right", 1), ("outward", 2)])
def test_trails_point_away_from_each_amplifier(serial: str, rows: int) -> None:
    trap = [{"density": 0.05, "release": "3 px"}]
    amplifiers = {"columns": 2, "rows": rows, "serial": serial}
    config = detector(amplifiers=amplifiers, transfer={"parallel": trap, "serial": trap})
    charge = np.zeros((1, 256, 512), np.float32)
    spots = [(y, x) for y in (60, 200) for x in (100, 400)]
    for y, x in spots:
        charge[0, y, x] = 1e4
    place = at(np.zeros((1, 2), int), 256, 512)
    found = np.asarray(transfer(jnp.asarray(charge), place, jnp.full(1, WELL), jnp.zeros(1), config))[0]
    assert found.sum() == pytest.approx(charge.sum(), rel=1e-4)
    for y, x in spots:
        along = 1 if rows == 1 or y < 128 else -1
        left = serial == "left" or (serial == "outward" and x < 256)
        across = 1 if left else -1
        assert found[y + along, x] > 5 * max(found[y - along, x], 1e-3)
        assert found[y, x + across] > 5 * max(found[y, x - across], 1e-3)
        parallel = y + 1 if along == 1 else 256 - y
        column = x % 256
        number = column + 1 if left else 256 - column
        lost = (parallel + number) * 0.05 * (1e4 / WELL) ** 0.58
        assert 1e4 - found[y, x] == pytest.approx(lost, rel=0.01)
    assert found[:, 256 - 3 : 256].max() < 1e4  # nothing crosses from one amplifier to the next


def test_a_cut_out_is_trailed_as_the_whole_detector(rng: np.random.Generator) -> None:
    trap = [{"density": 0.05, "release": "2 px"}]
    config = detector(
        amplifiers={"columns": 4, "rows": 2, "serial": "outward"}, transfer={"parallel": trap, "serial": trap}
    )
    charge = rng.poisson(400, (1, 256, 512)).astype(np.float32)
    charge[0, 120:140:3, 120:140:3] += 3000
    full, before = jnp.full(1, WELL), jnp.full(1, 400.0)
    whole = np.asarray(transfer(jnp.asarray(charge), at(np.zeros((1, 2), int), 256, 512), full, before, config))
    cut = np.asarray(
        transfer(jnp.asarray(charge[:, 90:170, 90:170]), at(np.array([[90, 90]]), 80, 80), full, before, config)
    )
    lost = np.abs(whole - charge).max()
    assert np.abs(cut - whole[:, 90:170, 90:170])[:, 15:-15, 15:-15].max() < 0.02 * lost
