"""State of a lobster-eye telescope during one exposure: everything physical, as a pytree."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jax import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LobsterState:
    """One exposure of one detector behind its plates of square pores. Float32 leaves, leading batch axes, no None.

    Angles are direction sines in arcmin (1' = pi/10800); where the plates lie is measured from the middle of the field.
    """

    radius: Array
    """(...,) radius of the sphere of pores [m]; the detector's sphere has half of it."""
    pore_width: Array
    """(...,) side w of a pore [m]."""
    pore_ratio: Array
    """(...,) length of a pore over its side, L/w."""
    ratio_spread: Array
    """(...,) relative standard deviation of L/w from plate to plate."""
    aperture: Array
    """(..., 2, 2) where the plates begin and end along x and along y, seen from the centre of the sphere [arcmin]."""
    plate_pitch: Array
    """(...,) from the middle of a plate to that of the next [m]."""
    plate_gap: Array
    """(...,) opaque width between the open areas of two plates [m]."""
    tilt: Array
    """(...,) standard deviation of the pores' tilt from the radial direction, an axis [arcmin]."""
    roughness: Array
    """(...,) rms roughness of the coating [m]."""
    efficiency: Array
    """(...,) share of a reflected photon that the ideal coating's reflectivity keeps, each bounce."""
    scatter: Array
    """(...,) share of photons that a bounce scatters into the wing."""
    scatter_width: Array
    """(...,) scale g of the wing's profile g^2 / 2 (x^2 + g^2)^(-3/2), in the plane of incidence [arcmin]."""
    second_order: Array
    """(...,) standard deviation of what broadens arms of two and more bounces across their length [arcmin]."""
    roll: Array
    """(...,) angle from the detector's x axis to the pores' x axis, counter-clockwise [deg]."""
    open_area: Array
    """(...,) open share of a plate."""
    filter_al: Array
    """(...,) aluminium in front of the detector, all films together [m]."""
    depletion: Array
    """(...,) silicon that collects charge [m]."""
    dead_layer: Array
    """(...,) silicon in front of it that does not [m]."""
    oxide: Array
    """(...,) silicon dioxide in front of it [m]."""
    nitride: Array
    """(...,) silicon nitride in front of it [m]."""
    throughput: Array
    """(...,) what else is lost, at all energies alike."""
