"""The slow witness: a photon-by-photon ray trace of square pores on a sphere, exact in three dimensions.

A straight square pore is unfolded: where a photon that enters at u (in units of the side, from a wall) with the slope
t = dx/dz leaves, is U = u + t L/w folded back into [0, 1]; floor |U| walls were met, each at the grazing sine |d_x|,
and an odd number turns the slope round. The two axes of a pore do not know of each other, so no photon is followed
from wall to wall and any number of bounces is exact. Pores stand at R times the unit vector n, their axes
parallel-transported from the middle of the field; each plate has its own tilt and length. Light is caught on the
sphere of radius R/2.

Places are orthographic: direction sines about the source in the axes of the pores, in arcmin.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from scipy.special import ndtri

from twin.observatory.lobster.bounces import ARCMIN
from twin.observatory.lobster.reflectivity import Coating, reflectivity
from twin.observatory.lobster.state import LobsterState

PLATES = 8  # along an axis; what lies further out shares the outermost plate's tilt
_TABLE = 2048  # nodes of the reflectivity over the sine of the grazing angle
_STEEPEST = 0.25
_MANY = np.random.default_rng(0).permuted(np.tile(ndtri((np.arange(65536) + 0.5) / 65536), (3, 1)), axis=1)
_MANY = _MANY.astype(np.float32)  # standard normal deviates of the plates that rays of the mean telescope meet


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Rays:
    """Photons on the focal sphere."""

    x: Array
    """(rays,) place along the pores' first axis about the source's image [arcmin]."""
    y: Array
    """(rays,) along the second."""
    weight: Array
    """(rays,) effective area of the optic alone that the ray stands for [cm2]."""
    bounces: Array
    """(2, rays) reflections on the walls across x and across y."""


def _frame(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """Axes e_x, e_y, n (each (3, ...)) at direction sines a, b, carried there along a great circle from the middle."""
    c = jnp.sqrt(1 - a * a - b * b)
    k = 1 / (1 + c)
    return (
        jnp.stack([1 - a * a * k, -a * b * k, -a]),
        jnp.stack([-a * b * k, 1 - b * b * k, -b]),
        jnp.stack([a, b, c]),
    )


def _dot(a: Array, b: Array) -> Array:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@partial(jax.jit, static_argnames=("coating", "count", "one_telescope", "wings"))
def trace(
    key: Array,
    state: LobsterState,
    coating: Coating,
    energy: ArrayLike,
    direction: ArrayLike,
    count: int,
    one_telescope: bool = False,
    wings: bool = True,
) -> Rays:
    """Trace `count` photons of one energy [keV] from a source at direction sines `direction` (x, y) [arcmin].

    Rays start evenly over the plates' area; those between plates carry no weight. one_telescope: one set of plates
    instead of the mean of many. wings: False leaves `scatter` and `second_order` out, which are random numbers saved
    where both are 0; they are added to the place of the photons that they concern. Filters and detector are not in it.
    """
    k_plates, k_rays, k_wing = jax.random.split(key, 3)
    tilts = jax.random.normal(k_plates, (3, PLATES * PLATES)) if one_telescope else jnp.asarray(_MANY)
    bits = jax.random.bits(k_rays, (3, count), jnp.uint32)
    lo, hi = (state.aperture * ARCMIN).T
    source = jnp.asarray(direction, jnp.float32) * ARCMIN

    # pores: 24 bits of place, twice 8 of which plate; entrance: 16 bits each
    unit = (bits[:2] >> 8).astype(jnp.float32) * 2.0**-24 + 2.0**-25
    place = lo[:, None] + (hi - lo)[:, None] * unit
    pitch = state.plate_pitch / state.radius
    cell = (place - lo[:, None]) / pitch
    plate = jnp.floor(cell)
    inside = jnp.abs(cell - plate - 0.5) * pitch < (pitch - state.plate_gap / state.radius) / 2
    index = jnp.clip(plate.astype(jnp.int32), 0, PLATES - 1)
    index = index[0] * PLATES + index[1]
    if not one_telescope:
        index = ((bits[0] & 255) << 8 | (bits[1] & 255)).astype(jnp.int32)
    ex, ey, n = _frame(place[0], place[1])
    _, _, to = _frame(source[0], source[1])
    facing = _dot(to[:, None], n)
    tx, ty = state.tilt * ARCMIN * tilts[0, index], state.tilt * ARCMIN * tilts[1, index]
    axis = n + tx * ex + ty * ey
    ex, ey = ex - tx * n, ey - ty * n
    ratio = state.pore_ratio * (1 + state.ratio_spread * tilts[2, index])

    down = -to[:, None]
    along = -_dot(down, axis)
    enter = jnp.stack([(bits[2] & 0xFFFF), (bits[2] >> 16)]).astype(jnp.float32) * 2.0**-16 + 2.0**-17
    slope = jnp.stack([_dot(down, ex), _dot(down, ey)])
    far = enter + slope / along * ratio
    floor = jnp.floor(far)
    left = far - floor
    odd = (floor.astype(jnp.int32) & 1) == 1
    left = jnp.where(odd, 1 - left, left)
    out = jnp.where(odd, -slope, slope)
    bounces = jnp.abs(floor)

    sines = jnp.linspace(0, _STEEPEST, _TABLE)
    table = jnp.log(jnp.maximum(state.efficiency * reflectivity(coating, energy, sines, state.roughness), 1e-12))
    at = jnp.minimum(jnp.abs(slope) * ((_TABLE - 1) / _STEEPEST), _TABLE - 1.001)
    node = at.astype(jnp.int32)
    logs = table[node] + (at - node) * (table[node + 1] - table[node])
    kept = jnp.exp((bounces * logs).sum(0)) * inside.all(0)

    side = state.pore_width / state.radius
    offset = (left - 0.5) * side
    point = n + offset[0] * ex + offset[1] * ey - 0.5 * side * ratio * axis
    towards = out[0] * ex + out[1] * ey - along * axis
    b = _dot(point, towards)
    point = point + (-b - jnp.sqrt(b * b - _dot(point, point) + 0.25)) * towards
    sx, sy, _ = _frame(source[0], source[1])
    x, y = _dot(sx[:, None], point) * (2 / ARCMIN), _dot(sy[:, None], point) * (2 / ARCMIN)

    if wings:
        kick = _kicks(k_wing, state, bounces, odd)
        x, y = x + kick[0], y + kick[1]
    area = state.open_area * (state.radius * 100) ** 2 * ((hi - lo)[0] * (hi - lo)[1] / count)
    return Rays(x, y, kept * facing / n[2] * area, bounces.astype(jnp.int32))


def _kicks(key: Array, state: LobsterState, bounces: Array, odd: Array) -> Array:
    """(2, rays) what rough walls and walls out of square add to the photons' places [arcmin]."""
    u = jax.random.uniform(key, (4, bounces.shape[1]), minval=1e-6)
    share = 1 - jnp.exp(bounces * jnp.log1p(-state.scatter))
    again = jnp.clip(2 * u[:2] / jnp.maximum(share, 1e-6) - 1, -0.999999, 0.999999)
    kick = jnp.where(u[:2] < share, state.scatter_width * again * jax.lax.rsqrt(1 - again**2), 0.0)
    turns, swing = 6.2831853 * u[2], jnp.sqrt(-2 * jnp.log(u[3])) * state.second_order
    many = (bounces >= 2) & ~odd
    kick = kick.at[0].add(jnp.where(many[1] & odd[0], swing * jnp.cos(turns), 0.0))
    return kick.at[1].add(jnp.where(many[0] & odd[1], swing * jnp.sin(turns), 0.0))
