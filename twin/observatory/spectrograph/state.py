"""State of a spectrograph during one exposure: everything physical, as a pytree."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jax import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SpectrographState:
    """One spectrum of one fibre or slit. Float32 leaves, leading batch axes, no None.

    Wavelengths are in vacuum, in angstrom [AA]. Curves over wavelength are Legendre series sum_k c_k P_k(u) with
    u from -1 at the first edge of the pixels to 1 at the last. Electrons are those of the extracted pixel.
    """

    span: Array
    """(..., 2) wavelengths of u = -1 and u = 1 [AA]. Source: the instrument's pixels."""
    lsf_sigma: Array
    """(..., 3) Legendre series of the standard deviation of the line's core [AA]. Source: YAML, scaled by arc_fwhm."""
    lsf_blur: Array
    """(...,) variance that seeing and focus add to it, at all wavelengths alike [AA^2]. Source: telemetry."""
    lsf_wing: Array
    """(...,) share of the light in the wings. Source: YAML."""
    lsf_wing_width: Array
    """(...,) their standard deviation over that of the core. Source: YAML."""
    lsf_skew: Array
    """(...,) skewness of the core, positive to the red. Source: channel lsf_skew."""
    wavelength_error: Array
    """(..., 3) Legendre series of the pipeline's wavelength minus the true one [AA]. Source: telemetry."""
    throughput: Array
    """(..., 4) Legendre series of ln(electrons a pixel for a unit of flux), but for a constant. Source:
    YAML."""
    flat: Array
    """(..., 8) amplitudes of cos(pi k (u + 1) / 2), k = 1..8: relative error of flat field and flux calibration.
    Source: channels flat_1 .. flat_8."""
    fringe: Array
    """(..., 2) fringing left by the flat field: amplitude at the red end, phase [turn]. Source: telemetry; the
    detector's optical thickness is the instrument's."""
    snr: Array
    """(...,) signal-to-noise ratio of a pixel, median over the window. Source: telemetry."""
    sky_continuum: Array
    """(...,) sky in the window [electron/pixel]. Source: YAML, sky_brightness, exptime."""
    sky_lines: Array
    """(..., 4) airglow and lamps over their usual level: OI, OH, Na, Hg. Source: telemetry."""
    sky_residual: Array
    """(..., 3) what sky subtraction left of the sky: share of it, shift of its lines [AA], relative change of their
    width. Source: telemetry."""
    sky_scatter: Array
    """(...,) random error of the subtracted sky, a share of its lines. Source: YAML."""
    read_noise: Array
    """(...,) read noise of the extracted pixel [electron]: that of a detector pixel times the root of those under the
    aperture and of the reads. Source: YAML."""
    gain: Array
    """(...,) [electron/adu]. Source: YAML."""
    aperture: Array
    """(...,) detector pixels that are summed into one of the spectrum. Source: YAML."""
    cosmic_rays: Array
    """(...,) share of pixels that a cosmic ray hit. Source: YAML rate, exptime."""
    cosmic_charge: Array
    """(...,) mean charge of a hit [electron]. Source: YAML."""
    cosmic_caught: Array
    """(...,) share of the hits that the pipeline masks. Source: YAML."""
    bad_pixels: Array
    """(...,) share of pixels without a value. Source: YAML."""
    air: Array
    """(..., 2) optical depth of the air over that of the tables: O2, H2O. Source: airmass, water_vapour."""
    air_left: Array
    """(..., 2) share of it that the pipeline's correction left, negative where it did too much. Source: telemetry."""
    crosstalk: Array
    """(...,) share of a neighbouring fibre's light that is extracted too. Source: telemetry."""
    neighbour: Array
    """(..., 2) flux of that fibre over that of this one in the window, slope of ln flux with u. Source: telemetry."""
    ivar_scale: Array
    """(...,) inverse variance that the pipeline gives over the true one. Source: telemetry."""
    line_mask: Array
    """(...,) flux over the local continuum above which the pipeline sets ivar = 0, as it does with hits; inf = never.
    Source: YAML."""
