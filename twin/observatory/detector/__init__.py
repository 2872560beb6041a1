"""What a detector, or a stack of exposures, makes of an expected image."""

from __future__ import annotations

from jax import Array

from twin.observatory.detector.config import DetectorConfig
from twin.observatory.detector.noise import background_variance, level, log_prob, noise_rms, variance
from twin.observatory.detector.single import FLAGS, expose_single, flags
from twin.observatory.detector.stack import expose_stack, valid
from twin.observatory.state import ImagerState

__all__ = [
    "FLAGS",
    "DetectorConfig",
    "background_variance",
    "expose",
    "expose_single",
    "expose_stack",
    "flags",
    "level",
    "log_prob",
    "noise_rms",
    "valid",
    "variance",
]


def expose(
    key: Array, expected: Array, state: ImagerState, detector: DetectorConfig | None = None, stacked: bool = False
) -> Array:
    """The frame (B, npix, npix) [count] of an expected image above the sky [count]: raw counts, or a sky-subtracted
    stack, with the effects that `detector` names."""
    if stacked:
        return expose_stack(key, expected, state, detector)
    return expose_single(key, expected, state, detector)
