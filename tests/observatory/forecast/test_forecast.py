import json

import numpy as np
import pytest

from tests.observatory.forecast.known import forecast, nights, parameters
from twin.observatory.forecast import Exposures, Forecast, fit, last_visible, read_exposures
from twin.schema import UserError

BANDS = {"g": 472.0, "r": 641.5}


@pytest.fixture(scope="module")
def many():
    return nights(np.random.default_rng(0), 60, 40, parameters())


@pytest.fixture(scope="module")
def learnt(many):
    return fit(many.take(np.flatnonzero(many.night < 57040)), iterations=25, draws=16, say=lambda text: None)


@pytest.mark.parametrize("age", [0.0, 30.0, 75.0])
def test_a_forecast_of_simulated_seeing_covers_and_a_sigma_wrong_by_half_is_rejected(many, age):
    last = last_visible(many, age)
    use = last >= 0
    law = forecast().predict(many, last)
    for factor, right in ((1.0, True), (1.5, False), (1 / 1.5, False)):
        pit = law.widened(factor).cdf(many.fwhm)[use]
        for level in (0.68, 0.95):
            inside = np.abs(pit - 0.5) < level / 2
            nightly = np.array([inside[many.night[use] == n].mean() for n in np.unique(many.night[use])])
            error = nightly.std() / np.sqrt(len(nightly))
            assert (abs(inside.mean() - level) < 3.5 * error) == right


def test_fitting_recovers_what_the_simulation_was_made_with(learnt):
    truth = parameters()
    for name in ("airmass", "noise_short"):
        best, drawn = learnt.draws[name][0], learnt.draws[name][1:]
        assert abs(best - truth[name]) < 4 * drawn.std() + 0.03
    assert learnt.draws["airmass"][1:].std() < 0.1  # of a prior of 0.3
    fast, slow = np.exp(2 * truth["sizes"])
    variances = np.exp(2 * learnt.draws["sizes"][0])
    assert variances.sum() == pytest.approx(fast + slow, rel=0.5)


def test_what_was_learnt_covers_nights_it_never_saw_as_well_as_the_truth_does(learnt, many):
    unseen = many.take(np.flatnonzero(many.night >= 57040))
    gap = (forecast().predict(unseen).log_pdf(unseen.fwhm) - learnt.predict(unseen).log_pdf(unseen.fwhm)).mean()
    assert -0.01 < gap < 0.04
    inside = np.abs(learnt.predict(unseen).cdf(unseen.fwhm) - 0.5) < 0.34
    assert abs(inside.mean() - 0.68) < 0.05
    wider = learnt.predict(unseen, mixed=4)
    assert wider.mean.shape[1] == 4 * learnt.predict(unseen).mean.shape[1]
    np.testing.assert_allclose(np.exp(wider.ln_weight).sum(1), 1)


def test_a_distribution_agrees_with_itself(many):
    law = forecast().predict(many).take(np.arange(30))
    for probability in (0.001, 0.16, 0.5, 0.975):
        np.testing.assert_allclose(law.cdf(law.quantile(probability)), probability, rtol=1e-6)
    grid = np.linspace(0.05, 6, 20001)
    one = law.take(np.array([3]))
    density = np.exp([one.log_pdf(np.array([f]))[0] for f in grid[::20]])
    assert np.trapezoid(density, grid[::20]) == pytest.approx(1, abs=2e-3)
    drawn = law.sample(np.random.default_rng(0), 200)
    assert (drawn < law.quantile(0.5)).mean() == pytest.approx(0.5, abs=0.03)
    with pytest.raises(ValueError, match="between 0 and 1"):
        law.quantile(1.0)


def test_a_saved_forecast_is_the_same_and_damage_is_found(learnt, many, tmp_path):
    learnt.save(tmp_path)
    again = Forecast.load(tmp_path)
    np.testing.assert_array_equal(again.predict(many).mean, learnt.predict(many).mean)
    assert json.loads((tmp_path / "forecast.json").read_text())["parameters"]["airmass"]["best"] > 0
    with (tmp_path / "forecast.npz").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(UserError, match="damaged"):
        Forecast.load(tmp_path)
    (tmp_path / "forecast.npz").unlink()
    with pytest.raises(UserError, match="calibrate with --forecast"):
        Forecast.load(tmp_path)
    with pytest.raises(UserError, match="no such"):
        Forecast.load(tmp_path / "none")


def test_history_is_the_same_night_older_than_asked_never_the_exposure_itself():
    e = nights(np.random.default_rng(8), 3, 12, parameters())
    for age in (0.0, 20.0):
        last = last_visible(e, age)
        for row, seen in enumerate(last):
            allowed = [k for k in range(row) if e.night[k] == e.night[row] and (e.mjd[row] - e.mjd[k]) * 1440 >= age]
            assert seen == (max(allowed) if allowed else -1)
    for wrong, words in (
        (np.arange(len(e)), "earlier row"),
        (np.where(np.arange(len(e)) == 12, 11, -1), "another night"),
    ):
        with pytest.raises(ValueError, match=words):
            forecast().predict(e, wrong)
    with pytest.raises(ValueError, match="one night"):
        forecast().next_exposure(e, e.mjd[-1:] + 1, [1.2], [472.0], ["g"])
    with pytest.raises(ValueError, match="after its history"):
        forecast().next_exposure(e.take(np.arange(5)), e.mjd[:1], [1.2], [472.0], ["g"])


@pytest.mark.parametrize(
    ("key", "row", "value", "words"),
    [
        ("mjd", 4, 57000.0, "row 4 .e4. is earlier than the row before"),
        ("fwhm", 3, np.nan, "fwhm: row 3 .e3. has nan"),
        ("fwhm", 3, -999.0, "row 3 .e3. has -999"),
        ("airmass", 2, 0.5, "airmass: row 2"),
        ("wavelength", 1, 0.5, "wavelength: row 1"),
        ("night", 5, 1, "earlier night"),
    ],
)
def test_wrong_rows_are_refused_and_named(key, row, value, words):
    e = nights(np.random.default_rng(9), 1, 8, parameters())
    columns = {name: getattr(e, name).copy() for name in Exposures.__dataclass_fields__}
    columns[key][row] = value
    with pytest.raises(UserError, match=words):
        Exposures(**columns)
    columns = {name: getattr(e, name).copy() for name in Exposures.__dataclass_fields__}
    columns["mjd"][5] = columns["mjd"][4]
    with pytest.raises(UserError, match="row 5 .e5. has the time of the row before"):
        Exposures(**columns)


def test_a_table_is_sorted_and_its_doubles_and_gaps_are_left_out_aloud(tmp_path):
    path, said = tmp_path / "table.csv", []
    rows = ["2,57000.91,1.2,1.1,g,90", "1,57000.90,1.1,1.1,g,90", "1,57000.90,1.15,1.1,g,90",
            "3,57000.92,-999,1.1,r,90", "4,57000.93,1.3,1.1,VR,90", "5,57000.94,1.3,,r,90",
            "6,57000.95,1.4,1.2,r,"]  # fmt: skip
    path.write_text("\n".join(["expnum,mjd_obs,seeing,airmass,band,exptime", *rows]) + "\n")
    found = read_exposures(path, BANDS, said.append)
    assert found.name.tolist() == ["1", "2", "6"]
    assert found.fwhm.tolist() == [1.1, 1.2, 1.4]
    assert found.exptime.tolist() == [90.0, 90.0, 100.0]
    text = " ".join(said)
    for words in ("without a measured FWHM", "without an airmass", "unknown wavelength", "not in order", "another row"):
        assert words in text
    for wrong, words in (("seeing", "measured FWHM"), ("mjd_obs", "mjd is missing"), ("band", "band is missing")):
        other = tmp_path / "other.csv"
        other.write_text(path.read_text().replace(wrong, "thing", 1))
        with pytest.raises(UserError, match=words):
            read_exposures(other, BANDS)
    with pytest.raises(UserError, match="no row"):
        read_exposures(path, {"u": 350.0})


def test_too_little_to_learn_from_is_refused(many):
    with pytest.raises(UserError, match="100 exposures of 3 nights"):
        fit(many.take(np.arange(80)))
