"""State of an imager during one exposure: everything physical, in SI-like units, as a pytree."""

from __future__ import annotations

from dataclasses import dataclass, fields

import jax
from jax import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ImagerState:
    """One exposure (or one stack of E epochs) of an imager with B bands. Float32 leaves, leading batch axes, no None.

    Epochs that a stack does not have carry weight 0. A space telescope has `r0` = inf, which switches the atmosphere
    off.
    """

    r0: Array
    """(..., B, E) Fried parameter along the line of sight at the band's wavelength [m]."""
    outer_scale: Array
    """(..., B, E) outer scale L0 of the turbulence [m]."""
    weight: Array
    """(..., B, E) share of an epoch in the stack, sums to 1 over E."""
    jitter: Array
    """(..., B, 3) covariance of image motion: xx, yy, xy [arcsec^2]."""
    aberration: Array
    """(..., J) optical path difference of the Noll Zernikes z4..z(J+3) of the full pupil [m]."""
    offset: Array
    """(..., B, 2) misregistration of the band: x, y [arcsec]."""
    zero_point: Array
    """(..., B) AB magnitude that gives 1 count in the frame [mag]."""
    gain: Array
    """(..., B) effective gain of the frame [electron/count]."""
    sky: Array
    """(..., B) sky background in the frame before its subtraction [count/pixel]."""
    dark: Array
    """(..., B) dark signal in the frame [electron/pixel]."""
    read_noise: Array
    """(..., B) read noise of all reads together, root sum square [electron]."""
    bias: Array
    """(..., B) level that the electronics add to a frame; 0 where it was subtracted [count]."""
    saturation: Array
    """(..., B) level at which the frame saturates, bias included [count]."""
    resampling: Array
    """(..., B) standard deviation of the resampling kernel that correlates the noise, 0 = none [pixel]."""
    sky_residual: Array
    """(..., B, 3) what sky subtraction left: constant, x and y gradient across the frame [count/pixel,
    count/pixel/frame, ...]."""
    exptime: Array
    """(..., B) time in which a pixel of the frame collected light, all exposures together [s]."""
    reads: Array
    """(..., B) how often the detector was read for the frame."""
    anisotropy: Array
    """(..., B, 2) what a finite exposure leaves of the speckles: the phase structure function of the atmosphere is
    D(r) (1 + a1 cos 2 phi + a2 sin 2 phi), phi from x to y; 0 = a long exposure."""

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return self.gain.shape[:-1]


STATE_FIELDS = tuple(f.name for f in fields(ImagerState))
