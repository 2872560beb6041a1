import numpy as np
import pytest

from twin.evaluate import scores


def test_halves_are_balanced_fixed_and_by_name():
    names = np.array([f"object {i}" for i in range(2000)])
    half = scores.halves(names)
    assert abs(half.mean() - 0.5) < 0.04
    np.testing.assert_array_equal(scores.halves(names[::-1]), half[::-1])
    # the last bit of SHA-256, as a person would check it with sha256sum
    assert (
        scores.halves(np.array(["HE0435-1223"]))[0]
        == int(__import__("hashlib").sha256(b"HE0435-1223").hexdigest(), 16) % 2
    )


def test_by_half_scores_each_half_apart():
    half = np.array([0, 1] * 10)
    got = scores.by_half(lambda index: {"mean": scores.Estimate(half[index].mean(), 0, 1)}, half, "_x")
    assert {name: value.value for name, value in got.items()} == {"mean_x": 0.5, "mean_x_tune": 0, "mean_x_held": 1}


def test_too_small_a_half_is_left_out():
    got = scores.by_half(lambda index: {"n": scores.Estimate(len(index), 0, 0)}, np.array([0] * 12 + [1] * 3))
    assert set(got) == {"n", "n_tune"}


def test_separation_metrics_of_known_error(fake):
    truth = np.full(40, 2.0)
    got = scores.separation_metrics(fake.delta(np.full(40, 2.2), np.ones(40)), truth, np.arange(40).astype(str))
    assert got["sep_median_rel_error"].value == pytest.approx(0.1, abs=0.03)
    assert got["sep_median_ratio"].value == pytest.approx(1.1, abs=0.03)
    assert got["sep_crps"].value == pytest.approx(0.2, abs=0.05)
    assert got["sep_cover68"].value == 0.0
    assert got["sep_pit_p"].value < 1e-6
