"""Annular pupils: overlaps by closed form and by quadrature, against counting points of a fine lattice."""

from __future__ import annotations

import numpy as np
import pytest

from twin.numerics.pupil import annular_otf, mean_difference, overlap_quadrature
from twin.numerics.zernike import zernike

SHIFTS = ((0.05, 0.0), (0.2, 0.1), (0.0, 0.3), (0.4, -0.3), (0.9, 0.5))  # [pupil radius]


def overlap(sx: float, sy: float, obscuration: float, n: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Points of a lattice within both the pupil shifted by +s/2 and by -s/2."""
    axis = (np.arange(n) + 0.5) / n * 2 - 1
    x, y = np.meshgrid(axis, axis)
    inside = np.ones(x.shape, bool)
    for sign in (1, -1):
        r = np.hypot(x + sign * sx / 2, y + sign * sy / 2)
        inside &= (r <= 1) & (r >= obscuration)
    return x[inside], y[inside]


@pytest.mark.parametrize("obscuration", [0.0, 0.35, 0.62])
def test_otf_is_the_share_of_the_pupil_that_overlaps(obscuration: float) -> None:
    area = np.pi * (1 - obscuration**2)
    for shift in (0.0, 0.02, 0.1, 0.3, 0.55, 0.8, 0.97):
        counted = len(overlap(2 * shift, 0, obscuration)[0]) * (2 / 1500) ** 2 / area
        assert float(annular_otf(np.array(shift), obscuration)) == pytest.approx(counted, abs=5e-4)
    assert float(annular_otf(np.array(0.0), obscuration)) == pytest.approx(1)
    assert annular_otf(np.array([1.0, 1.5]), obscuration) == pytest.approx([0, 0], abs=1e-12)


@pytest.mark.parametrize("obscuration", [0.0, 0.62])
@pytest.mark.parametrize("shift", SHIFTS)
def test_mean_difference_of_odd_modes(obscuration: float, shift: tuple[float, float]) -> None:
    sx, sy = shift
    x, y = overlap(sx, sy, obscuration)
    for j in (7, 8, 9, 10):
        ahead, behind = zernike(j, x + sx / 2, y + sy / 2), zernike(j, x - sx / 2, y - sy / 2)
        ours = float(mean_difference(obscuration, j, np.array(sx), np.array(sy)))
        assert ours == pytest.approx((ahead - behind).mean(), abs=4e-3)
        assert abs((ahead - behind).mean()) > 0.01 or abs(ours) < 0.02


def test_mean_difference_of_even_modes_is_nothing() -> None:
    assert np.all(mean_difference(0.5, 4, np.linspace(0, 1, 5), np.zeros(5)) == 0)


@pytest.mark.parametrize("obscuration", [0.0, 0.62])
@pytest.mark.parametrize("shift", SHIFTS)
def test_quadrature_is_the_mean_over_the_overlap(obscuration: float, shift: tuple[float, float]) -> None:
    q = overlap_quadrature(obscuration, *shift)
    x, y = overlap(*shift, obscuration)
    assert q.shape[1] == 3
    assert q[:, 2].sum() == pytest.approx(1)
    for f in (lambda x, y: x * x, lambda x, y: x**3 * y - y**4, lambda x, y: np.cos(3 * x - 2 * y)):
        assert q[:, 2] @ f(q[:, 0], q[:, 1]) == pytest.approx(f(x, y).mean(), abs=1e-3)
    # symmetric about the midpoint: means of odd functions vanish
    assert q[:, 2] @ (q[:, 0] + q[:, 1] ** 3) == pytest.approx(0, abs=1e-3)


def test_a_pupil_that_does_not_overlap_has_no_points() -> None:
    assert overlap_quadrature(0.3, 2.05, 0.0).shape == (0, 3)
