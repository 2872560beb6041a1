"""Cosmic rays: Landau's law against SciPy, their number per area and time, tracks against geometry."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, stats

from tests.observatory.detector.common import detector
from twin.observatory.detector import cosmic_rays
from twin.observatory.detector.cosmic_rays import PAIR, XI, deposit, landau, losses


def camera(rate: float = 5.0, thickness: str = "60 um", **rays: object):  # noqa: ANN201
    return detector(pixel="10 um", cosmic_rays={"rate": f"{rate} /cm2/s", "thickness": thickness} | rays)


def landaus(loc: float = 0.0, scale: float = 1.0):  # noqa: ANN201
    """Landau's own distribution: SciPy's standard one is narrower by pi / 2 and shifted."""
    return stats.landau(loc + scale * np.log(np.pi / 2), scale * np.pi / 2)


def test_draws_follow_landaus_law(key: jax.Array) -> None:
    draws = np.asarray(landau(key, (200_000,)), float)
    assert stats.kstest(draws, landaus().cdf).pvalue > 1e-3
    assert stats.kstest(draws + 0.05, landaus().cdf).pvalue < 1e-6


def test_pieces_of_a_track_add_up_to_the_law_of_the_whole(key: jax.Array) -> None:
    """100 um of silicon: scale 17.8 eV/um, most probable loss after the Review of Particle Physics (300 um: 84 keV)."""
    assert XI == pytest.approx(17.83, abs=0.03)
    for path, likely in ((100.0, 26.09e3), (300.0, 84.1e3)):
        energy = np.asarray(losses(key, jnp.full(60_000, path), 96), float).sum(1)
        scale = XI * path
        most = likely + 30 * scale  # beyond, electrons leave the layer
        for mode, right in ((-0.22278, True), (-0.30, False)):
            law = landaus(likely - mode * scale, scale)
            uniform = law.cdf(energy[energy < most]) / law.cdf(most)
            assert (stats.kstest(uniform, "uniform").pvalue > 1e-3) == right
        assert np.median(energy) / path / PAIR == pytest.approx(82, rel=0.08)  # about 80 electrons a micron


def test_number_per_area_and_time(key: jax.Array) -> None:
    """Of tracks that enter the frame itself, from above; rate x area x time in each band."""
    exptime, config, shape = jnp.asarray([100.0, 300.0]), camera(2.0, "5 um"), (2, 100, 100)
    keys = jax.random.split(key, 30)
    frames = np.asarray(jax.lax.map(lambda k: deposit(k, shape, exptime, config), keys))
    # thin silicon: a track is a spot
    found = np.array([[ndimage.label(f > 20, np.ones((3, 3)))[1] for f in pair] for pair in frames]).sum(0)
    expected = 2.0 * (100 * 10e-4) ** 2 * np.array([100, 300]) * len(keys)
    assert np.all(np.abs(found - expected) < 4 * np.sqrt(expected) + 0.06 * expected)  # edges, and pairs that touch
    assert not np.any(deposit(key, shape, jnp.zeros(2), config))


@pytest.mark.parametrize("muons", [False, True])
def test_tracks_have_the_lengths_of_their_angles(key: jax.Array, muons: bool) -> None:
    """d tan(theta), with p(cos theta) ~ cos^(1 + m): cos^(2 + m) is uniform. All directions alike, charge as path."""
    config = camera(thickness="100 um", muons=muons)
    x, y, charge = cosmic_rays._tracks(key, (1, 64, 64), 20_000, config)
    x, y, charge = (np.asarray(v, float)[0] for v in (x, y, charge))
    steps = x.shape[-1]
    dx, dy = ((v[:, -1] - v[:, 0]) * steps / (steps - 1) for v in (x, y))
    length = np.hypot(dx, dy) * 10.0  # [um]
    free = length < 470  # where it is not cut
    cosine = 1 / np.sqrt(1 + (length / 100) ** 2)
    low = 1 / np.sqrt(1 + 4.7**2)
    power = 4 if muons else 2
    law = (cosine[free] ** power - low**power) / (1 - low**power)
    assert stats.kstest(law, "uniform").pvalue > 1e-3
    assert stats.kstest(law ** (1.5 if muons else 0.75), "uniform").pvalue < 1e-6
    assert stats.kstest((np.arctan2(dy, dx)[free] + np.pi) / (2 * np.pi), "uniform").pvalue > 1e-3
    path = np.hypot(100, length)
    per_micron = charge.sum(1) / path
    long = free & (length > 300)
    assert np.median(per_micron[long]) / np.median(per_micron[length < 100]) == pytest.approx(1.05, abs=0.05)
    assert np.median(per_micron) == pytest.approx(80, rel=0.05)


def test_a_track_is_a_straight_line_of_pixels(key: jax.Array) -> None:
    """Found as one connected piece, thin across and as long as its ends lie apart, not as dots."""
    config, shape = camera(0.3, "200 um"), (1, 120, 120)
    frames = np.asarray(jax.lax.map(lambda k: deposit(k, shape, jnp.full(1, 200.0), config), jax.random.split(key, 40)))
    long = 0
    for frame in frames[:, 0]:
        labels, count = ndimage.label(frame > 50, np.ones((3, 3)))
        for k in range(1, count + 1):
            at = np.argwhere(labels == k)
            if len(at) < 12:
                continue
            spread = np.linalg.eigvalsh(np.cov(at.T))
            long += bool(spread[1] > 30 * spread[0])
    assert long > 20


def test_the_same_key_brings_the_same_rays_in_a_batch_too(key: jax.Array) -> None:
    config, exptime, keys = camera(), jnp.full(2, 200.0), jax.random.split(key, 3)
    batch = np.asarray(jax.jit(jax.vmap(lambda k: deposit(k, (2, 48, 48), exptime, config)))(keys))
    assert np.array_equal(batch[1], np.asarray(deposit(keys[1], (2, 48, 48), exptime, config)))
    assert not np.array_equal(batch[0], batch[1])
    assert batch.min() == 0
    assert batch.sum() > 0
