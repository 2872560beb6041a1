import gzip
import json

import numpy as np
import pytest

from tests.observatory.forecast.known import forecast, nights, parameters
from twin.evaluate import config as benchmarks
from twin.evaluate import decam_seeing, evaluate
from twin.observatory.calibrate.exposures import held_out
from twin.observatory.forecast import Forecast, fit, last_visible, read_exposures
from twin.schema import UserError


@pytest.fixture(scope="module")
def protocol():
    return benchmarks.load("decam-seeing")


@pytest.fixture(scope="module")
def sky():
    return nights(np.random.default_rng(11), 120, 40, parameters())


def whole(**changed):
    """A forecast with as many processes as a shipped one has: two of them known, the others silent."""
    p = {"times": np.log([5.0, 60.0, 100.0, 200.0, 400.0]), "sizes": np.log([0.06, 0.15, 1e-6, 1e-6, 1e-6])}
    law = forecast(**(p | changed))
    return Forecast(law.draws, law.bands, law.highest, {"exposures": 100, "nights": 3, "held_out_exposures": 7})


@pytest.fixture(scope="module")
def found(sky, protocol):
    return decam_seeing.score(whole(), sky, held_out(sky.night), protocol)


def test_the_truth_beats_persistence_and_covers_in_every_class(found):
    for name in decam_seeing.CLASSES:
        assert found.metrics[f"{name}_mae_ratio"].high < 1
        assert found.metrics[f"{name}_nll_gain"].low > 0
        for level in decam_seeing.LEVELS:
            got = found.metrics[f"{name}_cover{100 * level:.0f}"]
            assert abs(got.value - level) < 1.5 * (got.high - got.low)


def test_coverage_rejects_a_sigma_that_is_wrong_by_half(found):
    for name in decam_seeing.CLASSES:
        for suffix, outside in (("_x1.5", lambda got: got.low > 0.68), ("_over1.5", lambda got: got.high < 0.68)):
            assert outside(found.metrics[f"{name}_cover68{suffix}"])


def test_classes_score_test_nights_alone_and_see_only_what_they_may(found, sky, protocol):
    ages = decam_seeing.hashed_ages(sky.name, protocol.aged)
    assert ages.min() >= 30
    assert ages.max() <= 90
    assert ages.mean() == pytest.approx(60, abs=1)
    np.testing.assert_array_equal(ages[:3], decam_seeing.hashed_ages(np.array(["e0.0", "e1", "e2"]), protocol.aged))
    for one, least in zip(found.classes, (np.zeros(len(sky)), np.full(len(sky), 30.0), ages), strict=True):
        assert held_out(sky.night[one.row]).all()
        age = (sky.mjd[one.row] - sky.mjd[one.last]) * 1440
        assert (age >= least[one.row]).all()
        assert (age > 0).all()
    recent = found.classes[0]
    assert ((sky.mjd[recent.row] - sky.mjd[recent.last]) * 1440 < 15).all()
    k = 5
    row, last = recent.row[k], recent.last[k]
    scaled = sky.fwhm[last] * (sky.airmass[row] / sky.airmass[last]) ** 0.6
    scaled *= (sky.wavelength[row] / sky.wavelength[last]) ** -0.2
    assert recent.persistence[k] == pytest.approx(scaled)


def test_what_is_hidden_changes_no_forecast(sky, protocol):
    """FWHM younger than the age, and of the exposure itself, could be anything."""
    last = last_visible(sky, protocol.hidden)
    row = 333
    changed = sky.fwhm.copy()
    changed[last[row] + 1 : row + 1] *= 3
    other = type(sky)(sky.name, sky.mjd, sky.night, changed, sky.airmass, sky.wavelength, sky.exptime, sky.band)
    before, after = (whole().predict(e, last).take(np.array([row])) for e in (sky, other))
    np.testing.assert_array_equal(before.mean, after.mean)
    np.testing.assert_array_equal(before.sd, after.sd)


def test_evaluate_writes_report_catalogue_and_json(tmp_path, sky, protocol):
    folder, place = tmp_path / "calibration", tmp_path / "data" / protocol.folder
    folder.mkdir()
    place.mkdir(parents=True)
    whole().save(folder)
    text = ["expnum,mjd_obs,exptime,airmass,band,seeing"]
    columns = zip(sky.mjd, sky.exptime, sky.airmass, sky.band, sky.fwhm, strict=True)
    text += [f"{k},{t:.9f},{d},{x:.12g},{b},{f:.12g}" for k, (t, d, x, b, f) in enumerate(columns)]
    (place / protocol.table).write_bytes(
        gzip.compress("\n".join(text).replace("np.float64(", "").replace(")", "").encode())
    )
    said = []
    found = evaluate(folder, "decam-seeing", tmp_path / "out", tmp_path / "s.json", tmp_path / "data", said.append)
    written = json.loads((tmp_path / "s.json").read_text())
    assert written["benchmark"] == "decam-seeing"
    assert written["n"] == found.n > 500
    got = written["metrics"]["recent_mae_ratio"]
    assert got["low"] < got["value"] < got["high"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "data:image/png" in page
    assert "held out" in page
    from pyarrow import parquet

    table = parquet.read_table(tmp_path / "out" / "forecasts.parquet")
    assert table.num_rows == sum(len(one.row) for one in found.classes)
    low, high, fwhm = (table.column(name).to_numpy() for name in ("forecast_low", "forecast_high", "fwhm"))
    assert ((low < fwhm) & (fwhm < high)).mean() == pytest.approx(0.68, abs=0.05)
    assert len(said) >= 3


def test_too_few_nights_or_no_forecast_are_refused(tmp_path, sky, protocol):
    few = sky.take(np.flatnonzero(sky.night < sky.night[0] + 6))
    with pytest.raises(UserError, match="5 nights are needed"):
        decam_seeing.score(whole(), few, held_out(few.night), protocol)
    with pytest.raises(UserError, match="no such calibration folder"):
        evaluate(tmp_path / "none", "decam-seeing", tmp_path / "o", tmp_path / "s.json", tmp_path)


@pytest.mark.real
def test_on_real_exposures_of_training_nights_the_forecast_beats_persistence(real_data, protocol):
    exposures = read_exposures(real_data / protocol.folder / protocol.table, protocol.bands)
    exposures = exposures.take(np.flatnonzero(~held_out(exposures.night)))  # the test nights are never read here
    third = exposures.night % 3
    learnt = fit(exposures.take(np.flatnonzero(third == 0)), iterations=30, draws=0, say=lambda text: None)
    # every night is a test night of this fold but those of its fit, on which persistence's width is learnt
    found = decam_seeing.score(learnt, exposures, third != 0, protocol).metrics
    assert found["recent_mae_ratio"].value < 0.96
    assert found["recent_nll_gain"].value > 0.08
    assert found["hidden30_median_ratio"].value < 0.92
    assert found["aged_median_ratio"].value < 0.88
    for name in decam_seeing.CLASSES:
        assert found[f"{name}_cover68"].value == pytest.approx(0.68, abs=0.06)
        assert found[f"{name}_cover95"].value == pytest.approx(0.95, abs=0.03)
