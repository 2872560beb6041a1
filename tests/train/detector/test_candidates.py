"""Candidates: what is fitted at them, what is told of them, and that it turns with the image."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.detector.made_up import lit, psf_of
from twin.train.detector import front
from twin.train.detector.candidates import FEATURES, SCALARS, Candidates, found_in, matched, on_image
from twin.train.detector.fields import answers, mistaken
from twin.train.detector.network import ARTEFACT, FLAGS, MEASURED, NOTHING, SOURCE, blinded, laws, loss, turned

N, WIDE = 48, 0.45
SHAPE = np.ones((N, N), np.float32)
NONE = np.zeros((0, N, N), np.float32)


@cache
def psf() -> np.ndarray:
    return psf_of(N, 0.0, WIDE)


@cache
def search() -> Any:
    return jax.jit(found_in)


def searched(bands: np.ndarray, times: np.ndarray = NONE) -> Candidates:
    found, _ = search()(jnp.asarray(bands, jnp.float32), jnp.asarray(times, jnp.float32), psf(), SHAPE)
    return Candidates(*(np.asarray(v) for v in found))


def expected(*sources: tuple[float, float, float], background: float = 0.3) -> np.ndarray:
    return np.full((N, N), background) + sum(c * lit(x, y, N, 0.0, WIDE) for x, y, c in sources)


def drawn(seed: int, mean: np.ndarray, hard: float = 0.25) -> np.ndarray:
    """(2, N, N) counts of two bands."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.poisson((1 - hard) * mean), rng.poisson(hard * mean)]).astype(np.float32)


def nearest(found: Candidates, x: float, y: float) -> int:
    apart = np.hypot(found.base[:, 0] - x, found.base[:, 1] - y)
    k = int(np.argmin(np.where(found.there, apart, np.inf)))
    assert apart[k] < 1.2
    return k


def scalar(found: Candidates, k: int, name: str) -> float:
    return float(found.features[k, SCALARS.index(name)])


def test_the_filter_of_nothing_is_normal() -> None:
    """Mean 0 and variance 1 of empty images; a background that is told too low shows."""
    with jax.ensure_compile_time_eval():
        kernel = front.kernel(jnp.asarray(psf()), N)
    z = jax.jit(lambda n, m: matched(n, m, m[0, 0], kernel))
    frames = np.random.default_rng(1).poisson(2.0, (60, N, N)).astype(np.float32)
    right = np.stack([np.asarray(z(f, jnp.full((N, N), 2.0))) for f in frames])
    assert abs(right.mean()) < 0.02
    assert right.std() == pytest.approx(1, abs=0.03)
    assert np.mean([np.asarray(z(f, jnp.full((N, N), 1.6))).mean() for f in frames]) > 0.5


def test_fits_are_right_within_their_own_errors() -> None:
    """Places and counts of 200 sources: no bias, unit scatter; counts on the image, whose edge cuts some light off."""
    pulls = []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        truth = [(10 + rng.uniform(-0.5, 0.5) + 26 * i, 10 + rng.uniform(-0.5, 0.5) + 26 * j, 250.0)
                 for i in range(2) for j in range(2)]  # fmt: skip
        found = searched(drawn(seed, expected(*truth)))
        for x, y, c in truth:
            k = nearest(found, x, y)
            on = np.log(c * lit(x, y, N, 0.0, WIDE).sum())
            pulls.append((found.base[k] - [x, y, on]) / found.sigma[k])
    mean, scatter = np.mean(pulls, 0), np.std(pulls, 0)
    assert np.all(np.abs(mean) < 0.3)
    assert np.all((scatter > 0.8) & (scatter < 1.25))


def test_light_on_the_image() -> None:
    """Through the core of a source that lies on an edge the sum of half bins is known to a few per cent."""
    for x, y, least in ((20.0, 25.0, 2e-3), (1.3, 46.1, 5e-3), (-0.4, -0.4, 0.03)):
        got = float(on_image(jnp.asarray(psf()), jnp.float32(x), jnp.float32(y), N, 2))
        assert got == pytest.approx(lit(x, y, N, 0.0, WIDE).sum(), rel=least)


def test_a_flickering_pixel_is_no_source() -> None:
    """As significant as a source, but by one bin: without it nothing is left, and of the source most is."""
    frame = drawn(3, expected((30.2, 31.6, 120)))
    frame[0, 12, 12] += 16
    found = searched(frame)
    source, pixel = nearest(found, 30.2, 31.6), nearest(found, 12, 12)
    assert min(scalar(found, k, "ts") for k in (source, pixel)) > 4
    assert scalar(found, pixel, "hollow") < 1
    assert scalar(found, source, "hollow") > 3


def test_a_neighbour_is_accounted_for() -> None:
    """Two sources 5 bins apart, too faint to be fitted before the rest: each one's counts are its own."""
    pairs = [searched(drawn(k, expected((20, 24, 300), (25, 24, 300)))) for k in range(40)]
    counts = [np.exp(f.base[nearest(f, x, 24), 2]) for f in pairs for x in (20, 25)]
    light = lit(20, 24, N, 0.0, WIDE).sum()
    assert np.mean(counts) == pytest.approx(300 * light, abs=4 * np.std(counts) / np.sqrt(80))


def test_energies_and_times() -> None:
    """Shares of bands, and a burst in one slice of eight, within their errors; an image without either is told so."""
    rng = np.random.default_rng(4)
    mean = expected((22.3, 24.1, 400))
    found = searched(drawn(4, mean, 0.4))
    k = nearest(found, 22.3, 24.1)
    assert scalar(found, k, "coloured") == 1
    assert scalar(found, k, "timed") == 0
    assert scalar(found, k, "hard") == pytest.approx(0.4, abs=4 * scalar(found, k, "hard_error"))
    even = rng.poisson(np.repeat(mean[None] / 8, 8, 0)).astype(np.float32)
    burst = rng.poisson(np.repeat(expected()[None] / 8, 8, 0)).astype(np.float32)
    burst[3] += rng.poisson(mean - expected())
    swings = []
    for times in (even, burst):
        both = np.stack([0.6 * times.sum(0), 0.4 * times.sum(0)])
        found = searched(both, times)
        k = nearest(found, 22.3, 24.1)
        assert scalar(found, k, "timed") == 1
        swings.append((scalar(found, k, "swing"), scalar(found, k, "burst")))
    assert abs(swings[0][0]) < 0.6
    assert swings[1][0] > 4
    assert swings[1][1] > swings[0][1] + 5
    grey = searched(np.stack([mean / 2, mean / 2]))
    assert scalar(grey, nearest(grey, 22.3, 24.1), "coloured") == 0


def test_a_source_brighter_than_any_model_of_it() -> None:
    """Counts of another PSF, 10 per cent wider, by the hundred thousand: numbers all the same."""
    frame = 200000 * lit(7.3, 9.6, N, 0.0, 1.1 * WIDE) + 0.3
    counts = np.random.default_rng(5).poisson(frame).astype(np.float32)
    found = searched(np.stack([counts, counts]))
    assert np.all(np.isfinite(found.features[found.there].astype(np.float16)))
    k = nearest(found, 7.3, 9.6)
    assert scalar(found, k, "bright") == 1
    assert np.exp(found.base[k, 2]) == pytest.approx(2 * (frame - 0.3).sum(), rel=0.1)
    far = found.there & (np.hypot(found.base[:, 0] - 7.3, found.base[:, 1] - 9.6) > 4)
    arms = far & (np.abs(found.base[:, 1] - 9.6) < 1)
    assert np.all(found.lit[arms])


def test_what_the_answers_are() -> None:
    base = np.array([[10, 10, 4], [10.3, 10, 4], [30, 30, 3], [20, 20, 2], [5, 5, 2]], np.float32)
    features = np.zeros((5, FEATURES), np.float16)
    features[:, 0] = 9, 8, 7, 6, 5
    found = Candidates(
        features, base, np.full((5, 3), 0.1, np.float32), np.arange(5) < 4, np.array([0, 0, 0, 1, 0]) > 0
    )
    truth = np.array([[10.1, 10, 4.2, 0.6, 0.5], [30.9, 30, 3, 0, 0], [5, 5, 2, 0, 0]], np.float32)
    kind, target = answers(found, truth, np.ones(3, bool))
    assert kind.tolist() == [SOURCE, NOTHING, NOTHING, ARTEFACT, NOTHING]
    assert target[0] == pytest.approx([1, 0, 2, 1, 1], abs=1e-4)
    assert np.isnan(target[1:]).all()


def test_turned_candidates_are_those_of_the_turned_image() -> None:
    frame = drawn(6, expected((20.3, 11.2, 300), (33.0, 30.2, 90)))
    found = searched(frame)
    k = nearest(found, 20.3, 11.2)
    target = np.array([[1.0, 2.0, 0, 0, 0]], np.float32)
    for way in range(8):
        image, x, y = frame, 20.3, 11.2
        if way & 1:
            image, x = image[..., ::-1], N - 1 - x
        if way & 2:
            image, y = image[..., ::-1, :], N - 1 - y
        if way & 4:
            image, x, y = np.swapaxes(image, -1, -2), y, x
        again = searched(image)
        out = turned({"features": found.features[k : k + 1], "target": target}, way)
        assert out["features"][0] == pytest.approx(again.features[nearest(again, x, y)], abs=0.06)
        signs = [-1 if way & 1 else 1, -2 if way & 2 else 2]
        assert out["target"][0, :2].tolist() == (signs[::-1] if way & 4 else signs)


def test_blinded_candidates_know_no_energies() -> None:
    features = np.ones((400, FEATURES), np.float32)
    out = blinded(features, np.random.default_rng(1), 0.25)
    for flag, names in FLAGS.items():
        blind = out[:, SCALARS.index(flag)] == 0
        assert 60 < blind.sum() < 140
        assert np.all(out[blind][:, [SCALARS.index(n) for n in names]] == 0)
    assert np.all(features == 1)


def test_the_loss_is_least_where_the_laws_are_true() -> None:
    rng = np.random.default_rng(7)
    target = (0.5 + 2 * rng.normal(size=(4000, len(MEASURED)))).astype(np.float32)
    kind = np.full(4000, SOURCE)
    target[::3, 1] = np.nan

    def value(mean: float, log_sigma: float) -> float:
        output = np.zeros((4000, 3 + 2 * len(MEASURED)), np.float32)
        output[:, 3::2], output[:, 4::2] = mean, log_sigma
        return float(sum(v for name, v in loss(jnp.asarray(output), kind, target).items() if name != "classes"))

    best = value(0.5, np.log(2))
    assert np.isfinite(best)
    assert all(best < value(0.5 + a, np.log(2) + b) for a, b in ((0.3, 0), (-0.3, 0), (0, 0.2), (0, -0.2)))
    log_p, _, sigma = laws(jnp.full((1, 3 + 2 * len(MEASURED)), -50.0))
    assert np.exp(log_p).sum() == pytest.approx(1)
    assert np.all(np.asarray(sigma) > 0)


@pytest.mark.parametrize("counts", [0.0, 1.0])
def test_images_of_nothing(counts: float) -> None:
    found = searched(np.full((2, N, N), counts))
    assert not found.there.any()
    assert np.isfinite(found.features).all()


def test_mistaken_psfs_are_between_two() -> None:
    """About half of them their own; all of the same light; at the most the share that is asked for of another."""
    own = np.eye(64, dtype=np.float16)[:, None, :]
    told, exact = mistaken(own, np.random.default_rng(3), 0.4)
    share = 1 - told[np.arange(64), 0, np.arange(64)]
    assert told.sum((1, 2)) == pytest.approx(1)
    assert share.max() <= 0.4
    assert 0.3 < exact.mean() < 0.7
    assert np.all(share[exact] == 0)
    assert np.all(share[~exact] > 0)
    assert np.array_equal(mistaken(own, np.random.default_rng(3), 0.0)[0], own.astype(np.float32))


def test_a_list_of_a_region_alone() -> None:
    """Counts within 2 bins of a source and nowhere else, as lists of a region have them: numbers all the same."""
    inside = np.hypot(np.arange(N)[None] - 20.3, np.arange(N)[:, None] - 25.1) < 2
    found = searched(drawn(8, expected((20.3, 25.1, 300))) * inside)
    assert np.isfinite(found.features[found.there]).all()
    assert np.isfinite(found.base[found.there]).all()
    nearest(found, 20.3, 25.1)


def test_a_misfit_beside_a_bright_source_does_not_outshine_it() -> None:
    """Counts of a lopsided core leave a false companion: that lies in the bright one's light, not the reverse."""
    mean = expected((20.3, 25.1, 30000)) + 3000 * lit(22.0, 26.4, N, 0.0, WIDE)
    found = searched(drawn(9, mean))
    true, false = nearest(found, 20.3, 25.1), nearest(found, 22.0, 26.4)
    assert scalar(found, true, "other_light") == 0
    assert scalar(found, true, "fainter") == 0
    assert scalar(found, false, "other_light") > 4
    assert scalar(found, false, "fainter") == pytest.approx(np.log(0.1), abs=0.5)
    assert not found.lit[true]
    assert found.lit[false]
