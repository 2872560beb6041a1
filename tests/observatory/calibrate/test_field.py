"""The PSF's shape over a field: physics recovered from simulated stars, outliers weighted down, gradients right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.observatory.calibrate.made import THETA, catalogue, small
from twin.observatory.calibrate.field import Physics, Prior, _cost, fit_field, physics_of, position_folds
from twin.observatory.calibrate.moments import Unknowns, windowed
from twin.observatory.calibrate.stars import Stars, read_stars


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stars, np.ndarray, Physics]:
    path, truth = catalogue(Path(tmp_path_factory.mktemp("field")))
    stars = read_stars(path, small())
    return stars, truth, physics_of(stars, small(), Prior())


def test_windowed_moments_of_a_gaussian() -> None:
    """Window and star of equal size halve the second moments; a shifted star has the same ones."""
    axis = np.arange(32) - 15.5
    for shift in (0.0, 0.4):
        x, y = np.meshgrid(axis - shift, axis + shift / 2)
        star = np.exp(-0.5 * (x**2 / 4.4 + y**2 / 3.6))
        e1, e2, ln_size = np.asarray(windowed(star, 2.0))
        xx, yy = 1 / (1 / 4.4 + 1 / 4), 1 / (1 / 3.6 + 1 / 4)
        assert e1 == pytest.approx((xx - yy) / (xx + yy), abs=1e-4)
        assert e2 == pytest.approx(0, abs=1e-4)
        assert ln_size == pytest.approx(0.5 * np.log((xx + yy) / 2), abs=1e-4)


def test_physics_is_recovered(made: tuple[Stars, np.ndarray, Physics]) -> None:
    """Where stars constrain the physics it is what made them; shapes of all stars are predicted below photon noise."""
    stars, truth, physics = made
    fit = fit_field(stars, small(), physics=physics)
    names = physics.unknowns.names
    sd = np.sqrt(np.diag(fit.covariance))
    told = [k for k, s in enumerate(sd) if s < 0.5 * physics.unknowns.prior_sd[k]]
    assert {"jitter_plus", "jitter_cross"} <= {names[k] for k in told}
    z = np.array([(THETA.get(names[k], 0.0) - fit.theta[k]) / sd[k] for k in told])
    assert np.abs(z).max() < 3.5, dict(zip([names[k] for k in told], z, strict=True))
    error = np.sqrt(((fit.predicted - truth) ** 2).mean(0))
    assert (error < 0.6 * np.sqrt((stars.noise**2).mean(0))).all(), error
    assert len(fit.outliers) == 0


def test_an_outlier_is_named_and_weighted_down(made: tuple[Stars, np.ndarray, Physics]) -> None:
    stars, truth, physics = made
    shape = stars.shape.copy()
    shape[7] += (0.15, -0.1, 0.2)  # a cosmic ray that no flag tells of
    spoiled = replace(stars, shape=shape)
    physics = replace(physics, stars=spoiled)
    fit = fit_field(spoiled, small(), physics=physics)
    assert fit.outliers.tolist() == [7]
    assert fit.weight[7] < 0.05
    averaged = fit_field(spoiled, small(), Prior(nu=np.inf), physics=physics)
    error, worse = (np.sqrt(((one.predicted - truth)[:, :2] ** 2).mean()) for one in (fit, averaged))
    assert error < 0.6 * np.sqrt((stars.noise[:, :2] ** 2).mean())
    assert worse > 1.3 * error, "averaged in, it does harm"


def test_hyperparameters_gradient() -> None:
    rng = np.random.default_rng(0)
    place = rng.normal(size=(15, 2))
    squares = ((place[:, None] - place[None]) ** 2).sum(-1)
    basis = rng.normal(size=(45, 3)) * 0.01
    given = (Prior(), rng.normal(size=45) * 0.01, np.full((15, 3), 1e-5), rng.uniform(0.3, 1, 15), squares,
             basis)  # fmt: skip
    hyper = np.array(Prior().hyper) + 0.1
    slope = _cost(hyper, *given)[1]
    for k in range(5):
        step = 1e-5 * np.eye(5)[k]
        assert slope[k] == pytest.approx(
            (_cost(hyper + step, *given)[0] - _cost(hyper - step, *given)[0]) / 2e-5, rel=1e-5
        )


def test_folds_are_by_position_alone(made: tuple[Stars, np.ndarray, Physics]) -> None:
    stars = made[0]
    fold = position_folds(stars)
    assert set(fold) == set(range(5))
    order = np.random.default_rng(0).permutation(len(stars))
    np.testing.assert_array_equal(position_folds(replace(stars, x=stars.x[order], y=stars.y[order])), fold[order])
    corner = replace(stars, x=np.array([10.0, 500, 520, 10]), y=np.array([10.0, 500, 10, 520]))
    assert position_folds(corner).tolist() == [0, 0, 1, 2]


def test_unknowns_have_a_prior_and_a_unit_each() -> None:
    unknowns = Unknowns(small())
    assert len(unknowns.names) == len(unknowns.units) == len(unknowns.prior_sd) == 4 + 3 + 6
