"""The background's rates, shape and clumps, against their laws and the real frame's."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.stats import chi2, nbinom

from twin.io.xray import read_count_image
from twin.observatory.xray import BackgroundConfig, Clumps, diffuse_shape, particle_factor
from twin.observatory.xray.background import draw_counts, expected, scatter_counts

CONFIG = BackgroundConfig()
SIDE, BIN_AREA = 128, (4096 / 128 * 15e-4) ** 2


def test_the_rate_and_shape_are_what_they_say() -> None:
    mean = expected(SIDE, BIN_AREA, 500.0, CONFIG)
    rate = mean.sum() / (6.144**2 * 500)
    assert abs(rate - (CONFIG.diffuse + CONFIG.particles)) < 1e-9
    assert 0.10 <= rate <= 0.13
    shape = diffuse_shape(SIDE, CONFIG)
    assert abs(shape[0, 0] / shape[64, 64] - (1 - CONFIG.vignetting)) < 0.01


@pytest.mark.parametrize("dispersion", [1.0, 1.3])
@pytest.mark.parametrize("mean", [0.14, 3.0])
def test_counts_are_negative_binomial(key: jax.Array, mean: float, dispersion: float) -> None:
    """Both ways of drawing, against the law; the law of another dispersion is refused."""
    side = 128
    gamma = np.asarray(draw_counts(key, np.full((side, side), mean, np.float32), dispersion)).reshape(-1)
    share = np.arange(1, side * side + 1, dtype=np.float32) / (side * side)
    total = mean * side * side
    clumps = np.asarray(scatter_counts(key, total, share, int(total + 8 * total**0.5), dispersion))

    def law(d: float) -> np.ndarray:
        n = np.arange(40)
        if d == 1:
            return np.exp(-mean + n * np.log(mean) - np.cumsum(np.log(np.maximum(n, 1))))
        return nbinom.pmf(n, mean / (d - 1), 1 / d)

    def distance(counts: np.ndarray, d: float) -> float:
        found, wanted = np.bincount(counts, minlength=40)[:40], counts.size * law(d)
        seen = wanted > 10
        return float(np.sum((found - wanted)[seen] ** 2 / wanted[seen]) / chi2.ppf(0.99999, int(seen.sum())))

    for counts in (gamma, clumps):
        assert distance(counts, dispersion) < 1
        assert distance(counts, 1.15) > 1


def test_clump_sizes_have_their_mean() -> None:
    clumps = Clumps(1.3)
    sizes = np.diff(clumps.distribution(), prepend=0)
    n = np.arange(1, 25)
    assert abs((sizes * n).sum() - clumps.mean) < 1e-9
    assert abs((sizes * n**2).sum() / (sizes * n).sum() - 1.3) < 1e-9  # variance / mean of a compound Poisson
    assert Clumps(1.0).mean == 1


def test_variation_around_the_orbit() -> None:
    factor = np.asarray(particle_factor(np.array([0.0, 25.0, 45.0]), CONFIG))
    assert (np.diff(factor) > 0).all()
    latitude = np.degrees(np.arccos((np.array([6.0, 14.0]) / 14.9) ** 0.25))
    pair = np.asarray(particle_factor(latitude, CONFIG))
    assert 1.8 < pair[0] / pair[1] < 2.5


@pytest.mark.real
def test_the_real_corners_are_as_the_background_says(real_data: Path, key: jax.Array) -> None:
    """Three corners of the real frame without arms: their rates, and a variance over the mean that the twin draws too
    and that a Poisson process does not."""
    image = read_count_image(real_data / "xray/heapy_wxt/EP_WXT44_13600003859_image.fits")
    assert image.sky is not None
    area = (image.sky.scale() / 2.26146e-3 * 15e-4) ** 2
    near, far = slice(8, 28), slice(100, 120)
    corners = [image.counts[place] for place in ((near, near), (near, far), (far, near))]
    rate = np.mean([corner.mean() for corner in corners]) / area / image.exposure
    assert 0.08 < rate < 0.13
    ratio = np.mean([corner.var() / corner.mean() for corner in corners])
    assert 1.24 < ratio < 1.37
    mean = np.full((300, 3, 20, 20), rate * area * image.exposure, np.float32)
    for dispersion, inside in ((CONFIG.dispersion, True), (1.0, False)):
        drawn = np.asarray(draw_counts(key, mean, dispersion))
        low, high = np.quantile((drawn.var((2, 3)) / drawn.mean((2, 3))).mean(1), [0.005, 0.995])
        assert (low < ratio < high) == inside
