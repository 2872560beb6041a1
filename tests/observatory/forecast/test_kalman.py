import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.observatory.forecast.known import forecast, nights, parameters
from twin.observatory.forecast import kalman, last_visible, model


def dense(p, exposures, target, seen):
    """Mean and variance of s - mean of a target under a Gaussian process, by one dense solution."""
    times, variances = np.exp(p["times"]), np.exp(2 * p["sizes"])
    minutes = exposures.mjd * 1440

    def covariance(a, b):
        return (variances * np.exp(-np.abs(a[:, None, None] - b[None, :, None]) / times)).sum(-1)

    noise = np.exp(2 * p["noise_rest"]) + np.exp(2 * p["noise_short"]) * 100 / exposures.exptime
    inner = covariance(minutes[seen], minutes[seen]) + np.diag(noise[seen])
    cross = covariance(minutes[[target]], minutes[seen])[0]
    floor = 0.7 / (1 + np.exp(-p["floor"]))
    with jax.enable_x64():
        data = model.columns(exposures.airmass, exposures.wavelength, exposures.exptime, exposures.band, ("g", "r"))
        known = {k: jnp.asarray(v) for k, v in p.items()}
        mean = np.asarray(model.mean_level(known, {k: jnp.asarray(v) for k, v in data.items()}))
        s = np.asarray(model.atmosphere(jnp.log(jnp.asarray(exposures.fwhm)), jnp.asarray(floor))[0])
    solved = np.linalg.solve(inner, np.stack([s[seen] - mean[seen], cross], 1))
    return mean[target] + cross @ solved[:, 0], variances.sum() - cross @ solved[:, 1] + noise[target]


@pytest.mark.parametrize("age", [0.0, 25.0])
def test_without_tails_the_filter_is_a_gaussian_process_solved_densely(age):
    p = parameters(tails=np.full(3, -200.0))
    e = nights(np.random.default_rng(1), 3, 40, p)
    found = forecast(tails=np.full(3, -200.0)).predict(e, last := last_visible(e, age))
    main = found.ln_weight.argmax(1)
    rows = np.arange(len(e))
    for target in (0, 5, 39, 40, 77, 119):
        first = target - target % 40
        mean, variance = dense(p, e, target, np.arange(first, last[target] + 1))
        np.testing.assert_allclose(found.mean[target, main[target]], mean, rtol=1e-6)
        np.testing.assert_allclose(found.sd[rows, main][target] ** 2, variance, rtol=1e-6)


def test_one_wild_exposure_moves_a_heavy_tailed_filter_little():
    e = nights(np.random.default_rng(2), 3, 40, parameters())
    fwhm = e.fwhm.copy()
    fwhm[60] *= 2.5
    wild = type(e)(e.name, e.mjd, e.night, fwhm, e.airmass, e.wavelength, e.exptime, e.band)
    moved = {}
    for name, tails in (("normal", np.full(3, -200.0)), ("heavy", parameters()["tails"])):
        law = forecast(tails=tails)
        moved[name] = abs(np.log(law.predict(wild).quantile(0.5)[61] / law.predict(e).quantile(0.5)[61]))
    assert moved["heavy"] < 0.6 * moved["normal"]


def test_after_a_jump_or_in_a_burst_the_filter_follows_faster():
    e = nights(np.random.default_rng(3), 3, 40, parameters())
    fwhm = np.where((np.arange(len(e)) >= 50) & (e.night == e.night[50]), e.fwhm * 1.6, e.fwhm)
    stepped = type(e)(e.name, e.mjd, e.night, fwhm, e.airmass, e.wavelength, e.exptime, e.band)
    error = {
        name: abs(np.log(fwhm[52:56] / law.predict(stepped).quantile(0.5)[52:56])).mean()
        for name, law in (("steady", forecast()), ("jumps", forecast(jump_rate=np.log(0.01), jump_size=3.0)))
    }
    assert error["jumps"] < 0.8 * error["steady"]


def test_new_variance_keeps_its_mean_whatever_the_share_of_bursts():
    with jax.enable_x64():
        law = kalman.law({k: jnp.asarray(v) for k, v in parameters(bursts=2.0).items()})
        for minutes in (0.5, 10.0, 200.0):
            calm, burst, _ = kalman.increments(law, jnp.asarray(minutes))
            mean = sum(float(factor * jnp.exp(ln_chance)) for factor, ln_chance in (calm, burst))
            assert mean == pytest.approx(1.0, rel=1e-9)


def test_lanes_change_no_forecast_and_nights_no_other_night():
    e = nights(np.random.default_rng(4), 7, 23, parameters())
    whole = forecast().predict(e)
    night = np.flatnonzero(e.night == e.night[0] + 4)
    alone = forecast().predict(e.take(night))
    np.testing.assert_allclose(whole.mean[night], alone.mean, rtol=1e-10)
    np.testing.assert_allclose(whole.sd[night], alone.sd, rtol=1e-10)
    packing = kalman.pack(e.night)
    assert len(set(zip(packing.lane.tolist(), packing.slot.tolist(), strict=True))) == len(e)


def test_without_history_the_forecast_is_the_stationary_law():
    p = parameters()
    e = nights(np.random.default_rng(5), 400, 1, p)
    pit = forecast().predict(e).cdf(e.fwhm)
    assert abs((np.abs(pit - 0.5) < 0.34).mean() - 0.68) < 4 * np.sqrt(0.68 * 0.32 / 400)
    later = forecast().next_exposure(None, e.mjd, e.airmass, e.wavelength, e.band, e.exptime)
    np.testing.assert_allclose(later.cdf(e.fwhm), pit, rtol=1e-12)


def test_a_slew_counts_as_time_and_short_exposures_are_noisier():
    e = nights(np.random.default_rng(6), 1, 30, parameters())
    law = forecast(slew=np.log(60.0))
    soon = np.full(2, e.mjd[-1] + 3 / 1440)
    wavelength, band = np.full(2, 472.0), np.array(["g", "g"])
    moved = law.next_exposure(e, soon, np.array([1, 1.6]) * e.airmass[-1], wavelength, band)
    assert moved.sd[1, 0] > 1.1 * moved.sd[0, 0]
    short = law.next_exposure(e, soon, np.full(2, 1.2), wavelength, band, np.array([300.0, 5.0]))
    assert short.sd[1, 0] > 1.3 * short.sd[0, 0]
    far = law.next_exposure(e, soon + np.array([0, 0.3]), np.full(2, 1.2), wavelength, band)
    assert far.sd[1, 0] > far.sd[0, 0]
