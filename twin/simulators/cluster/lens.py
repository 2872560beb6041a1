"""Deflection of a cluster: halos, shear, and members on scaling relations, for sources with D_ls / D_s = 1.

Members are circular dPIEs, as cluster models have them (Bergamini+ 2019, A&A 631, A130). With A = sqrt(core^2 + r^2),
B = sqrt(cut^2 + r^2):  alpha = b0 cut / (cut - core) (1 / (A + core) - 1 / (B + cut)) (x, y)
(Eliasdottir+ 2007, arXiv:0710.5636, written so that nothing cancels at the centre). The loop over them ends with the
last one that is there: a cluster of ten costs what ten cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.priors.fields import Truth
from twin.simulators.mass import compound
from twin.simulators.mass.compound import Mass
from twin.simulators.mass.dpie import DPIE
from twin.simulators.mass.nfw import NFW
from twin.simulators.mass.shear import Shear

_TOGETHER = 4  # members added in one pass over the positions: a pass costs as much in memory as two members in sums


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Lens:
    """halos: smooth mass and shear; members (M / _TOGETHER, 5, _TOGETHER): x, y, core^2 and so on; count of them."""

    halos: Mass
    members: Array
    count: Array


def lens(truth: Truth) -> Lens:
    """The lens that a truth of `twin.priors.cluster` describes."""
    at = {"q": truth["halo_q"], "angle": truth["halo_angle"], "x": truth["halo_x"], "y": truth["halo_y"]}
    shear = Shear(truth["gamma1"], truth["gamma2"], truth["halo_x"][0], truth["halo_y"][0])
    if "halo_Rs" in truth:
        halos = Mass(nfw=NFW(Rs=truth["halo_Rs"], alpha_Rs=truth["halo_alpha_Rs"], **at), shear=shear)
    else:
        dpie = DPIE(b0=truth["halo_b0"], core=truth["halo_core"], cut=truth["halo_cut"], **at)
        halos = Mass(dpie=dpie, shear=shear)
    core, cut = truth["member_core"], truth["member_cut"]
    rows = (truth["member_x"], truth["member_y"], truth["member_b0"] * cut / (cut - core), core, cut)
    packed = jnp.stack(rows).reshape(len(rows), -1, _TOGETHER).swapaxes(0, 1)
    return Lens(halos, packed, truth["members"])


def _member(row: Array, x: Array, y: Array) -> tuple[Array, Array]:
    dx, dy = x - row[0], y - row[1]
    r2, core, cut = dx * dx + dy * dy, row[3], row[4]
    near, far = jnp.sqrt(r2 + core * core) + core, jnp.sqrt(r2 + cut * cut) + cut
    weight = row[2] * (far - near) / (near * far)
    return weight * dx, weight * dy


def deflection(of: Lens, x: Array, y: Array) -> tuple[Array, Array]:
    """(alpha_x, alpha_y) [arcsec] at positions of any shape, for D_ls / D_s = 1."""

    def add(i: Array, total: tuple[Array, Array]) -> tuple[Array, Array]:
        rows = of.members[i]
        for k in range(_TOGETHER):
            each = _member(rows[:, k], x, y)
            total = total[0] + each[0], total[1] + each[1]
        return total

    passes = jnp.ceil(of.count / _TOGETHER).astype(jnp.int32)
    return jax.lax.fori_loop(0, passes, add, compound.deflection(of.halos, x, y))


_STEP = 0.02  # arcsec, half the base of differences: float32 tells deflections of 30 arcsec to 4e-6
_RADII = 40


def critical_radius(of: Lens, x: Array, y: Array, phi: Array, efficiency: Array, reach: float) -> Array:
    """Distance [arcsec] of the outermost critical curve from (x, y) in the directions phi (K,), for sources of each
    efficiency D_ls / D_s; `reach` / 40 where there is none within `reach`.

    Outermost change of sign of det A, from differences of the deflection at 40 radii, refined linearly.
    """
    radii = (reach / _RADII * (1 + np.arange(_RADII))).astype(np.float32)
    px = x + radii[:, None] * jnp.cos(phi)
    py = y + radii[:, None] * jnp.sin(phi)
    xs = jnp.stack([px + _STEP, px - _STEP, px, px])
    ys = jnp.stack([py, py, py + _STEP, py - _STEP])
    ax, ay = deflection(of, xs, ys)
    slope = efficiency * np.float32(0.5 / _STEP)
    xx, xy = (ax[0] - ax[1]) * slope, (ay[0] - ay[1]) * slope
    yx, yy = (ax[2] - ax[3]) * slope, (ay[2] - ay[3]) * slope
    det = (1 - xx) * (1 - yy) - xy * yx
    inside = (det[:-1] < 0) & (det[1:] >= 0)
    last = jnp.max(jnp.where(inside, np.arange(_RADII - 1)[:, None], -1), 0)
    at = jnp.maximum(last, 0)
    low, high = (jnp.take_along_axis(det, (at + k)[None], 0)[0] for k in (0, 1))
    share = low / jnp.where(low < high, low - high, 1.0)
    return np.float32(reach / _RADII) * jnp.where(last < 0, 1.0, 1 + at + share)


def place(truth: Truth, half_side: float) -> Truth:
    """The truth with unlensed positions source_x, source_y (K,) [arcsec]: where the point of the image plane maps to
    that lies `source_offset` critical radii beyond the critical curve, in the direction source_phi."""
    of, efficiency, phi = lens(truth), truth["source_efficiency"], truth["source_phi"]
    x0, y0 = truth["halo_x"][0], truth["halo_y"][0]
    radius = critical_radius(of, x0, y0, phi, efficiency, 0.9 * half_side) * (1 + truth["source_offset"])
    x, y = x0 + radius * jnp.cos(phi), y0 + radius * jnp.sin(phi)
    ax, ay = deflection(of, x, y)
    return truth | {"source_x": x - efficiency * ax, "source_y": y - efficiency * ay}
