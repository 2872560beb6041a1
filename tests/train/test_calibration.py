"""A calibration undoes a known miscalibration, leaves a calibrated prediction alone, and is kept with its model."""

import numpy as np
import pytest
from scipy.stats import norm

from twin.schema import UserError
from twin.train.calibration import Calibration
from twin.train.prediction import Prediction, log_edges

EDGES = log_edges(0.3, 8.0, 96)


def predictions(rng, n, logit_factor=1.0, width_factor=1.0, members=2):
    """Objects with truth: lens probabilities whose logits, and log-normals whose sigmas, are wrong by these factors."""
    logit = rng.normal(0, 2, n)
    lens = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(float)
    centre, sigma = np.log(rng.uniform(1, 4, n)), 0.12
    separation = np.exp(centre + sigma * rng.normal(size=n))
    mass = np.diff(norm.cdf(np.log(EDGES)[None], centre[:, None], sigma * width_factor), axis=1)
    stated = 1 / (1 + np.exp(-logit_factor * logit))
    return Prediction(np.stack([stated] * members), np.stack([mass] * members), EDGES), lens, separation


def test_undoes_overconfidence(rng):
    prediction, lens, separation = predictions(rng, 4000, logit_factor=2.0, width_factor=0.5)
    found = Calibration.fit(prediction, lens, separation)
    assert found.slope == pytest.approx(0.5, rel=0.1)
    assert found.offset == pytest.approx(0.0, abs=0.15)
    assert found.temperature == pytest.approx(4.0, rel=0.1)  # a Gaussian to the power 1/T is sqrt(T) wider
    assert found.share < 0.01
    fresh, lens, separation = predictions(rng, 4000, logit_factor=2.0, width_factor=0.5)
    low, high = found.apply(fresh).interval(0.68)
    assert np.mean((low < separation) & (separation < high)) == pytest.approx(0.68, abs=0.025)
    low, high = fresh.interval(0.68)
    assert np.mean((low < separation) & (separation < high)) < 0.45
    probability = found.apply(fresh).lens_mean()
    assert lens[probability > 0.8].mean() == pytest.approx(probability[probability > 0.8].mean(), abs=0.03)


def test_leaves_a_calibrated_prediction_alone(rng):
    found = Calibration.fit(*predictions(rng, 4000))
    assert found.slope == pytest.approx(1.0, abs=0.08)
    assert found.temperature == pytest.approx(1.0, abs=0.1)


def test_too_few_objects_change_nothing(rng):
    prediction, lens, separation = predictions(rng, 12, logit_factor=3.0)
    assert Calibration.fit(prediction, lens, separation) == Calibration()
    same = Calibration().apply(prediction)
    np.testing.assert_array_equal(same.lens, prediction.lens)
    np.testing.assert_array_equal(same.separation, prediction.separation)


def test_kept_with_its_model(model_copy, trained):
    from twin.train import Model

    path = Calibration(slope=0.5, temperature=2.0).save(model_copy, "sdss", "50 labelled quasars")
    model = Model.load(model_copy, calibration="sdss")
    assert model.calibration == Calibration(slope=0.5, temperature=2.0)
    frames, rms = np.ones((3, 2, 24, 24), np.float32), np.ones((3, 2), np.float32)
    raw = trained.predict(frames, rms)
    assert trained.calibration.slope == 1  # what training leaves does not touch the lens probability
    np.testing.assert_allclose(model.predict(frames, rms).lens, Calibration(slope=0.5).apply(raw).lens, rtol=1e-5)
    with pytest.raises(
        UserError, match='no calibration "sdds"; there are none, sdss, simulations; did you mean "sdss"'
    ):
        Model.load(model_copy, calibration="sdds")
    assert (model.calibration.name, model.calibration.objects) == ("sdss", "50 labelled quasars")
    for text in ('{"slope": 1}', path.read_text().replace("2.0", "0.0"), path.read_text().replace("0.5", "NaN")):
        path.write_text(text)
        with pytest.raises(UserError, match="sdss.json: is damaged"):
            Model.load(model_copy, calibration="sdss")


def test_none_is_what_the_networks_say_and_simulations_the_default(model_copy):
    from twin.train import Model

    frames, rms = np.ones((3, 2, 24, 24), np.float32), np.ones((3, 2), np.float32)
    raw, default = Model.load(model_copy, "none"), Model.load(model_copy)
    assert raw.calibration is None
    assert (default.calibration.name, default.calibration.adjusts) == ("simulations", ("separation",))
    expected = default.calibration.apply(raw.predict(frames, rms)).separation
    np.testing.assert_array_equal(default.predict(frames, rms).separation, expected)
    assert np.abs(expected - raw.predict(frames, rms).separation).max() > 1e-3
    with pytest.raises(UserError, match="no calibration"):
        Model.load(model_copy, "../metrics")
    (model_copy / "calibration/simulations.json").write_text("{")
    np.testing.assert_array_equal(
        Model.load(model_copy, "none").predict(frames, rms).lens, raw.predict(frames, rms).lens
    )
    with pytest.raises(UserError, match="simulations.json: is damaged"):
        Model.load(model_copy)
    (model_copy / "calibration/simulations.json").unlink()
    assert Model.load(model_copy).calibration is None
