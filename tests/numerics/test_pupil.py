"""Annular pupils: overlaps by closed form and by quadrature, against counting points of a fine lattice."""

from __future__ import annotations

import numpy as np
import pytest

from twin.numerics.pupil import _overlap_rows, annular_otf, overlap_quadrature


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


@pytest.mark.parametrize("obscuration", [0.0, 0.3, 0.62])
@pytest.mark.parametrize("shift", [0.01, 0.2, 0.5, 0.9, 1.3, 1.9])
def test_rows_fill_the_overlap(obscuration: float, shift: float) -> None:
    _, weight, pieces = _overlap_rows(shift, obscuration)
    area = 2 * sum(sign * (weight @ (high - low)) for low, high, sign in pieces)
    share = float(annular_otf(np.array(shift / 2), obscuration))
    assert area == pytest.approx(share * np.pi * (1 - obscuration**2), abs=1e-7)


@pytest.mark.parametrize("obscuration", [0.0, 0.62])
@pytest.mark.parametrize("shift", [0.05, 0.3, 0.9])
def test_quadrature_is_the_mean_over_the_overlap(obscuration: float, shift: float) -> None:
    q = overlap_quadrature(obscuration, shift, 12)
    x, y = overlap(shift, 0, obscuration)
    assert (q[:, 1] > 0).all()
    assert q[:, 2].sum() == pytest.approx(1)
    for f in (lambda x, y: x * x, lambda x, y: x**3 * y - y**4, lambda x, y: np.cos(3 * x - 2 * y)):
        assert q[:, 2] @ f(q[:, 0], q[:, 1]) == pytest.approx(f(x, y).mean(), abs=1e-3)
    exact, more = (overlap_quadrature(obscuration, shift, d) for d in (12, 20))
    assert exact[:, 2] @ (exact[:, 0] ** 10 * exact[:, 1] ** 2) == pytest.approx(
        more[:, 2] @ (more[:, 0] ** 10 * more[:, 1] ** 2), abs=1e-9
    )


@pytest.mark.parametrize("shift", [0.0, 2.0, 2.5])
def test_no_overlap_no_quadrature(shift: float) -> None:
    with pytest.raises(ValueError, match="no overlap"):
        overlap_quadrature(0.3, shift, 8)
