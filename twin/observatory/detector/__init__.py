"""What a detector, or a stack of exposures, makes of an expected image."""

from twin.observatory.detector.frames import (
    background_variance,
    expose_single,
    expose_stack,
    level,
    log_prob,
    noise_rms,
    variance,
)

__all__ = ["background_variance", "expose_single", "expose_stack", "level", "log_prob", "noise_rms", "variance"]
