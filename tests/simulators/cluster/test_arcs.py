"""Pieces, boxes, lengths and widths on arcs whose shape is known."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from twin.simulators.cluster import arcs

N = 96
Y, X = np.mgrid[:N, :N].astype(float)


def ellipse(a: float, b: float, angle: float, x: float = 47.3, y: float = 46.8) -> np.ndarray:
    u = (X - x) * np.cos(angle) + (Y - y) * np.sin(angle)
    v = (Y - y) * np.cos(angle) - (X - x) * np.sin(angle)
    return (u / a) ** 2 + (v / b) ** 2 < 1


def bent(radius: float, half_angle: float, width: float, turn: float, x: float = 48.0, y: float = 48.0) -> np.ndarray:
    """An ellipse of length 2 half_angle radius and of `width`, bent round (x, y)."""
    r, phi = np.hypot(X - x, Y - y), np.angle(np.exp(1j * (np.arctan2(Y - y, X - x) - turn)))
    return ((r - radius) / (width / 2)) ** 2 + (phi / half_angle) ** 2 < 1


measure = jax.jit(arcs.length_and_ratio)


@pytest.mark.parametrize("angle", [0.0, 0.5, 1.9])
@pytest.mark.parametrize(("a", "b"), [(10, 10), (20, 10), (30, 5), (36, 4)])
def test_ellipses_have_their_axis_ratio(a: float, b: float, angle: float) -> None:
    length, ratio = measure(ellipse(a, b, angle))
    assert float(length) == pytest.approx(2 * a, rel=0.06)
    assert float(ratio) == pytest.approx(a / b, rel=0.12)


@pytest.mark.parametrize("turn", [0.3, 2.0, 4.5])
@pytest.mark.parametrize(("half_angle", "width"), [(0.5, 5), (1.0, 6), (1.5, 7)])
def test_bent_arcs_are_measured_along_the_bend(half_angle: float, width: float, turn: float) -> None:
    radius = 34.0
    length, ratio = measure(bent(radius, half_angle, width, turn))
    assert float(length) == pytest.approx(2 * half_angle * radius, rel=0.1)
    assert float(ratio) == pytest.approx(2 * half_angle * radius / width, rel=0.2)
    assert 2 * radius * np.sin(half_angle) < 0.97 * float(length)  # the straight distance of the ends


@pytest.mark.parametrize("half_angle", [2.2, 2.8, 3.2])
def test_rings_are_measured_by_their_outline(half_angle: float) -> None:
    """More than half a circle: the two farthest pixels lie across the ring, not at the ends."""
    length, ratio = measure(bent(34.0, half_angle, 7, 1.0))
    true = 2 * min(half_angle, np.pi) * 34.0
    assert float(length) == pytest.approx(true, rel=0.15)
    assert float(ratio) == pytest.approx(true / 7, rel=0.3)


def frames() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(1)
    for share in (0.02, 0.3, 0.45, 0.6):
        smooth = ndimage.gaussian_filter(rng.normal(size=(N, N)), 1.5)
        yield smooth > np.quantile(smooth, 1 - share), (X + Y > 90).astype(np.int32)
    spiral = np.abs(np.hypot(X - 48, Y - 48) - 7 - 5 * np.arctan2(Y - 48, X - 48) / np.pi) % 10 < 2
    yield spiral, np.zeros((N, N), np.int32)  # one long piece winds about another


def test_pieces_are_connected_and_of_one_owner() -> None:
    find = jax.jit(arcs.pieces)
    for mask, owner in frames():
        ours = np.asarray(find(mask, owner))
        assert np.all((ours > 0) == mask)
        expected = 0
        for k in (0, 1):
            number, count = ndimage.label(mask & (owner == k), np.ones((3, 3)))
            pairs = {(a, b) for a, b in zip(number[number > 0], ours[number > 0], strict=True)}
            assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == count
            expected += count
        assert len(set(ours[mask])) == expected


def find(seen: np.ndarray, owner: np.ndarray, determinant: float = 0.1, most: int = 4) -> arcs.Arcs:
    args = seen, owner, seen, np.full((N, N), determinant), 1.0
    return arcs.find(*(jnp.asarray(a) for a in args), most=most, least_ratio=3.0, least_pixels=20)


def test_arcs_are_found_with_all_about_them() -> None:
    """Two arcs, a round image and a speck: the first two are arcs, the longer one first."""
    long, short = bent(40, 0.8, 7, 0.0), ellipse(14, 3, 1.57, 20, 40)
    owner = np.where(X > 60, 2, 1).astype(np.int32)
    found = find(5.0 * (long | short | ellipse(5, 5, 0, 40, 80) | ellipse(2, 0.5, 0, 40, 10)), owner)
    assert int(found.count) == 2
    assert np.array_equal(np.asarray(found.mask), long * 1 + short * 2)
    assert np.asarray(found.source).tolist() == [2, 1, -1, -1]
    for k, arc in enumerate((long, short)):
        box = [X[arc].min() - 0.5, Y[arc].min() - 0.5, X[arc].max() + 0.5, Y[arc].max() + 0.5]
        assert np.allclose(found.box[k], box)
    assert np.allclose(found.magnification[:2], 10, rtol=1e-4)
    assert np.isnan(found.box[2:]).all()
    assert np.isnan(found.ratio[2:]).all()


def test_nothing_above_the_noise_is_no_arc() -> None:
    found = find(np.full((N, N), 0.5), np.zeros((N, N), np.int32))
    assert int(found.count) == 0
    assert not np.any(found.mask)


def test_of_too_many_the_largest_stay() -> None:
    many = sum(ellipse(12 + k, 2, 0, 30, 10 + 12 * k) for k in range(6))
    found = find(5.0 * many, np.zeros((N, N), np.int32))
    assert int(found.count) == 4
    assert int(np.max(found.mask)) == 4
    assert float(found.length[0]) == pytest.approx(34, abs=2)


def test_on_a_caustic_magnification_is_finite() -> None:
    found = find(5.0 * bent(40, 0.8, 7, 0.0), np.zeros((N, N), np.int32), determinant=0.0)
    assert np.isfinite(found.magnification[0])
