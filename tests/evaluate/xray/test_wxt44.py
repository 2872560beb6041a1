"""The benchmark on a real frame, tried on made-up ones: a cross-shaped PSF without optics behind it."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import ndtr

from twin.evaluate import config as benchmarks
from twin.evaluate import registry
from twin.evaluate.xray import compare, injections, likelihood, scene, searchers, wxt44
from twin.evaluate.xray.nodes import FINE, NodeSpread
from twin.evaluate.xray.page import picture, render
from twin.schema import UserError

N, SIDE = 64, 4.5
CRAB, AIM = (24.3, 22.1), (48.0, 47.0)
LEVEL = 0.12


def parts(x, y, size=N, arm=1.0, core=0.45):
    """A cross about its middle in parts of bins; brighter to the right, as a vignetted one is."""
    half = FINE * (size + 1)
    offset = np.arange(-half, half + 1) / FINE
    edges = (np.append(offset, offset[-1] + 1 / FINE) - 0.5 / FINE) / core
    odd = np.diff(ndtr(edges))
    even = arm * np.maximum(0, 1 - np.abs(offset) / 14)
    odd, even = 0.55 * odd / odd.sum(), 0.45 * even / even.sum()
    return np.outer(odd + even, odd + even) * (1 + (x - size / 2) / (2 * size))


@pytest.fixture(scope="module")
def spread():
    return NodeSpread(parts, 3, np.ones((N, N)), np.array([CRAB]))


def made_scene(spread, counts, wrong=0.0):
    light = 9000 * spread.images(*np.array([CRAB]).T)[0]
    grid = SimpleNamespace(side=(SIDE, SIDE))
    return scene.Scene(
        SimpleNamespace(counts=counts, grid=grid), {"turn": 0.0, "roll": 0.0}, spread, np.full((N, N), LEVEL),
        np.array(CRAB), light, np.ones((N, N), bool), wrong, SimpleNamespace(sky=None),
        lambda x, y: spread.images(np.array([x]), np.array([y]))[0], lambda x, y: parts(x, y),
    )  # fmt: skip


def drawn(spread, sources, seed=0):
    rng = np.random.default_rng(seed)
    table = np.array(sources, float).reshape(-1, 3)
    return rng.poisson(LEVEL + spread.expected(*table.T))


@pytest.fixture(scope="module")
def settings():
    whole = benchmarks.load("ep-wxt44")
    change = {"transient": AIM, "fields": 30, "frames": 2, "injections": (3, 1), "fluxes": (5, 10), "apart": 9}
    return whole.model_copy(update=change | {"on_arm": 5.0, "off_arm": 14.0, "transient_counts": 149})


def test_nodes_have_the_psf_between_them(spread):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(14, N - 15, (2, 6))
    images = spread.images(x, y)
    # parts moved to the place exactly: made by hand in fine bins
    for k in range(6):
        offset = np.arange(N)[None] - np.array([x[k], y[k]])[:, None]
        fine = np.linspace(-0.5, 0.5, 21)
        core = np.exp(-0.5 * ((offset[..., None] + fine) / 0.45) ** 2).mean(-1)
        arm = np.maximum(0, 1 - np.abs(offset[..., None] + fine) / 14).mean(-1)
        gx, gy = 0.55 * core / (0.45 * np.sqrt(2 * np.pi)) + 0.45 * arm / 14
        truth = np.outer(gy, gx) * (1 + (x[k] - N / 2) / (2 * N))
        assert np.abs(images[k] - truth).sum() < 0.04 * truth.sum()
    weight = rng.random((N, N))
    grid = np.array([[20, 30], [33, 40], [45, 21]])
    seen = spread.images(*grid.T)
    np.testing.assert_allclose(spread.correlate(weight)[grid[:, 1], grid[:, 0]], (seen * weight).sum((1, 2)), rtol=2e-3)
    level = np.full((N, N), 2.0)
    np.testing.assert_allclose(
        spread.correlate_square(level)[grid[:, 1], grid[:, 0]], 2 * (seen**2).sum((1, 2)), rtol=0.02
    )
    total = spread.expected(x, y, np.arange(6.0))
    np.testing.assert_allclose(total, np.tensordot(np.arange(6.0), images, 1), rtol=1e-6)
    values, whole = spread.at(x[:1], y[:1], np.array([3, 30]), np.array([5, 31]))
    np.testing.assert_allclose(values[0], images[0][[3, 30], [5, 31]])
    assert whole[0] == pytest.approx(images[0].sum())
    i, j = (int(v) for v in (x[1], y[1]))
    values, whole = spread.at(x[1:3], y[1:3], np.array([j, j + 3, j - 4]), np.array([i, i + 2, i + 5]))
    np.testing.assert_allclose(values, images[1:3][:, [j, j + 3, j - 4], [i, i + 2, i + 5]], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(whole, images[1:3].sum((1, 2)), rtol=5e-3)


def test_a_place_of_its_own_has_its_own_psf(spread):
    changed = NodeSpread(lambda x, y: parts(x, y) * (5 if (x, y) == CRAB else 1), 3, np.ones((N, N)), np.array([CRAB]))
    near = [np.array([v]) for v in (CRAB[0] + 0.3, CRAB[1])]
    assert changed.images(*near).sum() == pytest.approx(5 * spread.images(*near).sum(), rel=1e-4)
    far = [np.array([v]) for v in (CRAB[0] + 9, CRAB[1])]
    assert changed.images(*far).sum() == pytest.approx(spread.images(*far).sum(), rel=1e-4)


def test_misfit_is_what_the_arms_are_wrong_by(spread):
    rng = np.random.default_rng(1)
    light = 60000 * spread.images(*np.array([CRAB]).T)[0]
    model = light + LEVEL
    right = [scene.misfit(rng.poisson(model), model, light, np.array(CRAB)) for _ in range(4)]
    assert np.mean(right) < 0.04
    # wrong by a quarter, alike over four bins
    error = np.repeat(np.repeat(rng.choice([-0.25, 0.25], (N // 4, N // 4)), 4, 0), 4, 1)
    wrong = [scene.misfit(rng.poisson(light * (1 + error) + LEVEL), model, light, np.array(CRAB)) for _ in range(4)]
    assert 0.12 < np.mean(wrong) < 0.3


def test_what_is_left_of_a_bright_source_ends_no_search(spread):
    """Bright light beside a source found, which the PSF does not explain, and a faint source far from it."""
    counts = drawn(spread, [(*CRAB, 9000), (*AIM, 150)])
    counts[20:25, 23:27] += 60
    found = likelihood.detect(counts, np.full((N, N), LEVEL), 5, spread)
    assert (np.hypot(found.x - AIM[0], found.y - AIM[1]) < 1).any()


def test_injected_sources_lie_where_they_should(spread):
    one = made_scene(spread, np.zeros((N, N)))
    ground = injections.Ground(one.distance, 5.0, 14.0, injections.clear_ground(one.lit, 6, np.array([CRAB]), [6.0]))
    rng = np.random.default_rng(2)
    rows = injections.places(ground, (5, 2), 8, rng)
    assert (rows[:, 2] == [1, 1, 0, 0, 0, 0, 0]).all()
    distance = one.distance(*rows[:, :2].T)
    assert (distance[:2] < 5).all()
    assert (distance[2:] > 14).all()
    apart = np.hypot(*(rows[:, None, :2] - rows[None, :, :2]).transpose(2, 0, 1))
    assert apart[np.triu_indices(7, 1)].min() >= 8
    assert ((rows[:, :2] > 5) & (rows[:, :2] < N - 6)).all()
    assert np.hypot(*(rows[:, :2] - CRAB).T).min() > 5
    with pytest.raises(ValueError, match="no room"):
        injections.places(ground, (50, 2), 20, rng)
    made = injections.inject(np.zeros((N, N)), ground, one.exact, 4000.0, 7.0, (2, 0), 10, rng)
    assert made.counts.sum() == pytest.approx(2 * 4000, rel=0.35)
    assert made.flux == 7.0


def test_thresholds_of_too_few_alarms_are_the_lowest_asked_for():
    alarms = [np.array([4.0, 5.0]), np.array([]), np.array([6.0])] * 20
    at, rate = wxt44._level(alarms, 0.5, 3.5)
    assert at == pytest.approx(5.0)
    assert rate.value == 0.5
    at, rate = wxt44._level(alarms, 2.0, 3.5)
    assert at == 3.5
    assert rate.value == 1.0
    assert compare.level(alarms, 0.5, 3.5)[0] == 5.0


def test_clumps_make_the_variance_and_leave_the_mean(spread):
    one = made_scene(spread, np.zeros((N, N)))
    rng = np.random.default_rng(3)
    dark = one.light < 1e-9
    for clumps in (1.0, 1.3):
        fields = np.stack([wxt44.simulated(one, clumps, rng)[~dark | dark] for _ in range(60)])
        rest = fields - one.light.ravel()
        assert rest.mean() == pytest.approx(LEVEL, abs=0.01)
        far = one.light.ravel() < 0.01
        ratio = fields[:, far].var() / fields[:, far].mean()
        assert ratio == pytest.approx(clumps, abs=0.04)


def run(spread, settings, sources, seed=4):
    counts = drawn(spread, sources, seed)
    one = made_scene(spread, counts)
    who = [searchers.likelihood_ratio(one), *searchers.baselines()]
    return wxt44.score(one, settings, who, 1.2)


def test_a_made_up_frame_is_judged(spread, settings, tmp_path):
    sources = [(*CRAB, 9000), (48.1, 47.2, 260)]
    found = run(spread, settings, sources)
    metrics = found.metrics
    assert metrics["likelihood_found_crab"].value == 1
    assert metrics["likelihood_found_transient"].value == 1
    assert metrics["likelihood_false_alarms"].value == 0
    assert metrics["likelihood_transient_offset"].value < 1.8
    assert metrics["wavelet_false_alarms"].value <= 1
    assert "wavelet_found_crab" not in metrics
    counts = metrics["likelihood_transient_counts"]
    # counts are those that the source would have in the Crab's place
    there = found.expected.sum() - LEVEL * N * N
    assert there == pytest.approx(spread.expected(*np.array(sources).T).sum(), rel=0.03)
    assert counts.low < counts.value < counts.high
    box = metrics["likelihood_transient_box"]
    truth = LEVEL * 25 + spread.expected(*np.array(sources).T)[45:50, 46:51].sum()
    assert box.low < truth < box.high
    for kind in ("on", "off"):
        assert metrics[f"likelihood_completeness_{kind}_10"].value >= metrics[f"likelihood_completeness_{kind}_5"].value
    said = {what: reached for what, _, _, reached in found.asked}
    assert said["likelihood: crab found"]
    assert said["likelihood: false detections"]
    assert picture(found)[:4] == b"\x89PNG"
    page = render(settings, found, {"calibration": "made-up"})
    assert "wavelet_threshold" in page
    assert len(found.as_json("ep-wxt44")) > 500
    # without the transient, with a third source
    other = run(spread, settings, [(*CRAB, 9000), (10.0, 50.0, 400)])
    assert other.metrics["likelihood_found_transient"].value == 0
    assert other.metrics["likelihood_false_alarms"].value == 1
    assert not {what: reached for what, _, _, reached in other.asked}["likelihood: transient found"]


def test_counts_of_the_area_are_told_from_the_crab(spread, settings):
    """An area that counts the circle has the Crab's counts there; one that counts all of the PSF has fewer."""
    counts = drawn(spread, [(*CRAB, 9000), (*AIM, 260)])
    one = made_scene(spread, counts)
    inside = one.light[wxt44.in_circle(one, one.crab, settings.circle)].sum()
    there = one.exact(*AIM)[wxt44.in_circle(one, np.array(AIM), settings.circle)].sum() * one.light.sum()
    got = wxt44.areas(one, counts.astype(float), there / 1000, settings)
    assert got["crab_circle_over_area"].value == pytest.approx(1, abs=0.05)
    assert got["crab_all_over_area"].value == pytest.approx(one.light.sum() / inside, rel=0.1)


class Told:
    """In place of a detector: says a source of probability .9 wherever a bin holds more than 25 counts."""

    threshold, bands = 0.5, ("soft", "hard")
    config = SimpleNamespace(batch=4)

    def predict(self, frames, psf, shape):
        from twin.train.detector.model import Said
        from twin.train.detector.network import MEASURED

        p, mean = np.zeros((len(frames), 5, 3)), np.zeros((len(frames), 5, len(MEASURED)))
        p[..., 0] = 1
        for k, frame in enumerate(frames.sum(1)):
            for m, (j, i) in enumerate(np.argwhere(frame > 25)[:5]):
                p[k, m] = 0.1, 0.9, 0
                mean[k, m] = i, j, np.log(100), 0.2, 0
        return Said(p, mean, np.full_like(mean, 0.1)), [None] * len(frames)


def test_a_network_is_asked_frame_by_frame():
    one = searchers.network(Told(), np.ones((3, 3), np.float32), np.ones((N, N)), 2)
    frames = [np.zeros((N, N)) for _ in range(6)]
    frames[5][30, 41] = 40
    found = one.find(frames, frames[0], 0.3)
    assert [len(d) for d in found] == [0, 0, 0, 0, 0, 1]
    assert (found[5].x[0], found[5].y[0]) == (41, 30)
    assert found[5].counts[0] == pytest.approx(100)
    assert np.sqrt(found[5].covariance[0, 2, 2]) == pytest.approx(10)
    assert found[5].significance[0] == pytest.approx(0.9)


def test_folders_of_no_use_end_in_one_line(tmp_path, monkeypatch):
    where = tmp_path / "data"
    where.mkdir()
    with pytest.raises(UserError, match="no folder that"):
        registry.evaluate(tmp_path / "none", "ep-wxt44", tmp_path / "out", tmp_path / "m.json", where)
    monkeypatch.setattr(wxt44, "is_detector_folder", lambda folder: True)
    monkeypatch.setattr(wxt44.Detector, "load", lambda folder: Told())
    with pytest.raises(UserError, match="twin calibrate"):
        registry.evaluate(tmp_path / "model", "ep-wxt44", tmp_path / "out", tmp_path / "m.json", where)
    monkeypatch.setattr(wxt44, "is_detector_folder", lambda folder: False)
    with pytest.raises(UserError, match="goes with a trained detector"):
        registry.evaluate(
            tmp_path / "cal", "ep-wxt44", tmp_path / "out", tmp_path / "m.json", where, calibration=str(tmp_path)
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.skipif("TWIN_REAL_DATA" not in os.environ, reason="no real observations")
def test_the_real_frame_has_two_sources(tmp_path):
    from twin.observatory.lobster_calibrate.run import calibrate_image
    from twin.priors.xray.spectra import CRAB as SPECTRUM

    data = Path(os.environ["TWIN_REAL_DATA"])
    image = data / "xray/heapy_wxt/EP_WXT44_13600003859_image.fits"
    calibrate_image("ep-wxt", tmp_path / "cal", image, SPECTRUM.photons)
    found = registry.evaluate(tmp_path / "cal", "ep-wxt44", tmp_path / "out", tmp_path / "m.json", data)
    metrics = found.metrics
    assert metrics["likelihood_found_crab"].value == metrics["likelihood_found_transient"].value == 1
    assert metrics["likelihood_false_alarms"].value == 0
    assert metrics["likelihood_completeness_off_5"].value >= 0.9
    assert (tmp_path / "out/report.html").stat().st_size > 50_000
