"""Light curves, hardness and spectra of a source in an event list, on drawn counts and on the real list."""

import os
from pathlib import Path

import numpy as np
import pytest

from twin.evaluate import config as benchmarks
from twin.evaluate.xray import transient
from twin.evaluate.xray.page import transient_picture, words
from twin.evaluate.xray.told import Told, tell
from twin.io.xray import Arf, Spectrum, fold, gaussian_rmf, read_arf
from twin.priors.xray.spectra import Spectrum as Law
from twin.schema import UserError

SCALE = 0.1


def times(rng, number, burst=0, at=150.0, width=20.0):
    return np.concatenate([rng.uniform(0, 500, number), rng.normal(at, width, burst)]) + 1e8


SPAN = (1e8, 1e8 + 500)


def test_a_burst_is_told_from_a_constant_source():
    rng = np.random.default_rng(0)
    steady = [
        transient.light_curve(times(rng, 150), times(rng, 300), SPAN, SCALE, 20.0, seed).chance for seed in range(20)
    ]
    assert 0.2 < np.mean(steady) < 0.8
    curve = transient.light_curve(times(rng, 20, 100), times(rng, 200), SPAN, SCALE, 20.0)
    assert curve.chance < 0.001
    assert curve.background_chance > 0.01
    assert curve.excess.low > 0.5
    assert curve.source.sum() == 120
    assert curve.rate.sum() * 20 == pytest.approx(120 - SCALE * 200)
    assert (curve.low < curve.rate + 1e-9).all()
    # 5 to 95 % of a normal burst: 3.29 standard deviations
    assert curve.t90.low < 3.29 * 20 < curve.t90.high * 1.5
    assert 40 < curve.t90.value < 200
    with pytest.raises(ValueError, match="no two bins"):
        transient.light_curve(times(rng, 5), times(rng, 5), (0, 30), SCALE, 20.0)


def test_intervals_of_the_net_rate_cover():
    rng = np.random.default_rng(1)
    inside = []
    for seed in range(30):
        curve = transient.light_curve(times(rng, 100), times(rng, 400), SPAN, SCALE, 50.0, seed)
        inside += ((curve.low < 60 / 500) & (60 / 500 < curve.high)).tolist()
    assert 0.55 < np.mean(inside) < 0.82  # 300 of 68 %


def test_hardness_has_its_closed_form_for_many_counts():
    source = np.concatenate([np.full(3000, 1.0), np.full(1000, 3.0)])
    background = np.concatenate([np.full(5000, 1.0), np.full(2000, 3.0)])
    got = transient.hardness(source, background, SCALE, 2.0)
    assert got.value == pytest.approx((800 - 2500) / 3300, abs=0.01)
    assert got.low < got.value < got.high
    assert got.high - got.low < 0.06
    soft = transient.hardness(np.full(5, 1.0), np.zeros(0), SCALE, 2.0)
    assert soft.low >= -1
    assert soft.high < 0


def test_w_is_the_least_over_the_background():
    rng = np.random.default_rng(2)
    s, b = rng.poisson(3, 12).astype(float), rng.poisson(5, 12).astype(float)
    s[:2], b[1:3] = 0, 0
    model = rng.uniform(0.1, 4, 12)
    levels = np.linspace(1e-6, 30, 200001)[:, None]

    def minus(n, m):
        return 2 * (m - n + np.where(n > 0, n * np.log(np.maximum(n, 1e-9) / m), 0))

    brute = (minus(s, model + SCALE * levels) + minus(b, levels)).min(0).sum()
    assert transient.w_statistic(s, b, model, SCALE) == pytest.approx(brute, abs=1e-3)


@pytest.fixture(scope="module")
def response():
    edges = np.arange(0.3, 6.01, 0.02)
    low, high = edges[:-1], edges[1:]
    channels = 0.01 * np.arange(1025)
    rmf = gaussian_rmf(low, high, channels[:-1], channels[1:], np.full(len(low), 0.06))
    return Arf(low, high, np.full(len(low), 2.0)), rmf


def spectra(response, law, rng, exposure=300.0, level=200):
    arf, rmf = response
    mean = exposure * fold(law.photons(rmf.low, rmf.high), arf, rmf)
    flat = np.full(1024, level / 1024)
    counted = [rng.poisson(mean + SCALE * flat), rng.poisson(flat)]
    return [Spectrum(np.arange(1024), c, exposure, s) for c, s in zip(counted, (SCALE, 1.0), strict=True)]


def test_a_drawn_spectrum_is_recovered(response):
    law = Law("powerlaw", 1.7, 1.0, nh=0.4).scaled_to(4e-9)
    rng = np.random.default_rng(3)
    inside = {"index": 0, "nh": 0, "flux": 0}
    fits = [transient.fit_spectrum(*spectra(response, law, rng), *response) for _ in range(4)]
    for fit in fits:
        for name, truth in (("index", 1.7), ("nh", 0.4), ("flux", 4e-9)):
            got = getattr(fit, name)
            inside[name] += got.low < truth < got.high
        assert fit.unabsorbed.value > fit.flux.value
        assert fit.worse > 0.001
    assert min(inside.values()) >= 3, inside  # of 4 at 90 %
    # what is no power law is said to be none
    line = Law("powerlaw", 1.7, 1e-9, lines=((1.0, 0.4), (3.0, 0.5)))
    assert transient.fit_spectrum(*spectra(response, line, rng), *response).worse < 0.01


def test_spectra_of_no_use_are_refused(response):
    none = Spectrum(np.arange(1024), np.zeros(1024), 10.0)
    with pytest.raises(ValueError, match="no counts"):
        transient.fit_spectrum(none, none, *response)
    few = Spectrum(np.arange(10), np.ones(10), 10.0)
    with pytest.raises(ValueError, match="10 channels"):
        transient.fit_spectrum(few, few, *response)


def test_a_page_is_drawn(response):
    rng = np.random.default_rng(4)
    law = Law("powerlaw", 1.7, 1.0, nh=0.4).scaled_to(4e-9)
    curve = transient.light_curve(times(rng, 20, 100), times(rng, 200), SPAN, SCALE, 20.0)
    hard = {"all": transient.hardness(np.full(9, 1.0), np.full(9, 3.0), SCALE, 2.0)}
    told = Told(curve, hard, transient.fit_spectrum(*spectra(response, law, rng), *response), 300.0)
    assert transient_picture(told)[:4] == b"\x89PNG"
    assert "photon index" in words(told)
    assert told.metrics()["transient_t90"] == curve.t90


@pytest.mark.real
@pytest.mark.skipif("TWIN_REAL_DATA" not in os.environ, reason="no real observations")
def test_the_real_transient_is_a_burst():
    config = benchmarks.load("ep-wxt44")
    folder = Path(os.environ["TWIN_REAL_DATA"]) / config.folder
    told = tell(folder, config, read_arf(folder / config.arf))
    assert told.curve.source.sum() == 144
    assert told.curve.background.sum() == 207
    assert told.curve.scale == pytest.approx(1 / 12, rel=0.001)
    assert told.curve.chance < 0.001
    assert 100 < told.curve.t90.value < 250
    assert 1.2 < told.spectrum.index.value < 3.2
    assert 1e-9 < told.spectrum.flux.value < 4e-9
    assert told.spectrum.worse > 0.01
    gone = config.transient_files.model_copy(update={"spectrum": "none.pha"})
    with pytest.raises(UserError, match="none.pha"):
        tell(folder, config.model_copy(update={"transient_files": gone}), read_arf(folder / config.arf))
