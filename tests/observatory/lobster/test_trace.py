"""The separable PSF against the photon-by-photon ray trace of the same State."""

from __future__ import annotations

import numpy as np
import pytest

from tests.observatory.lobster.common import fractions, ideal, reduced_chi_square, separable, traced
from twin.observatory.lobster.state import LobsterState
from twin.observatory.lobster.telescope import load_lobster

AXES = [(0.0, 0.0), (120.0, 0.0), (240.0, 0.0), (170.0, 170.0)]


def compare(rays: int, state: LobsterState, source: tuple[float, float], model: LobsterState) -> tuple[float, float]:
    """Largest difference of a fraction, largest reduced chi-square of the two marginals."""
    kinds, found, variance, _ = traced(state, source, rays)
    expected, marginals = separable(model, source)
    difference = np.abs(fractions(kinds) - fractions(expected)).max()
    return float(difference), float(reduced_chi_square(marginals, found, variance, rays).max())


@pytest.mark.parametrize("source", AXES[:3], ids=str)
def test_quick(source: tuple[float, float]) -> None:
    state = ideal(tilt=1.0)
    difference, chi_square = compare(400_000, state, source, state)
    assert difference < 0.01
    assert chi_square < 1.5


def test_a_real_telescope() -> None:
    """Plates with gaps, tilts and lengths of their own, lossy bounces, a wing, broadened arms; towards a corner."""
    state = load_lobster("ep-wxt").state()
    difference, chi_square = compare(400_000, state, (279.0, 279.0), state)
    assert difference < 0.01
    assert chi_square < 1.5


@pytest.mark.parametrize("wrong", [{"pore_ratio": 62.5 * 1.05}, {"efficiency": 0.95}], ids=str)
def test_a_wrong_model_is_seen(wrong: dict[str, float]) -> None:
    _, chi_square = compare(400_000, ideal(tilt=1.0), (0.0, 0.0), ideal(tilt=1.0, **wrong))
    assert chi_square > 3


@pytest.mark.slow
@pytest.mark.parametrize("source", AXES, ids=str)
def test_four_million_rays(source: tuple[float, float]) -> None:
    state = ideal(tilt=1.0)
    difference, chi_square = compare(4_000_000, state, source, state)
    assert difference < 0.01
    assert chi_square < 1.5
