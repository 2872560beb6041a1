"""Counts that a telescope's State makes of point sources in a frame whose bins are turned against the pores.

As `twin.observatory.lobster.psf.rolled`, of whose factors it is made: along each axis of the pores a profile, as a
running sum on a fine grid once for an energy, looked up where a bin begins and ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from twin.observatory.lobster.bounces import ARCMIN, NODES, REACH
from twin.observatory.lobster.psf import Profile, factors, optic_area, profile, transmission, turned
from twin.observatory.lobster.reflectivity import Coating
from twin.observatory.lobster.state import LobsterState
from twin.observatory.lobster_calibrate.frame import Grid, Window, axes, share

STEP = 0.5  # [arcmin] of the profiles' grid
_RANKS = (np.arange(6) + 0.5) / 6
_SINES = np.linspace(0, REACH, NODES + 1)
_SIGNS = np.array([1.0, -1.0], np.float32)
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(8)
TURNS, WEIGHTS = _NODES[4:].astype(np.float32), (_WEIGHTS[4:] / _WEIGHTS[4:].sum()).astype(np.float32)
"""Turns of pores, in standard deviations, that stand for all, and their weights; each has a twin of the other sign."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Spectrum:
    """Photons of a source at a few energies."""

    energy: Array
    """(bands,) [keV]"""
    photons: Array
    """(bands,) [photons/cm2/s]"""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Figure:
    """What real optics have beyond LobsterState: how pores are turned, and light spread evenly about a focus."""

    twist: Array
    """() standard deviation of the pores' turn about their own axes [rad]: a photon that one pair of walls reflects
    an odd
    number of times, in a pore at p along the other axis, is off by 2 p times the turn"""
    halo: Array
    """() share of the focus that lies in a round halo: scattering out of the plane of incidence, and by dust"""
    halo_width: Array
    """() scale h of its profile h / (2 pi) (r^2 + h^2)^(-3/2) [arcmin]"""
    bend: Array
    """(2,) what is reflected an odd number of times along x in a pore at p along y [rad] lands at a p^2 times this, a
    the
    source's direction sine along x, and so for the other axis: 1 where pores' axes are carried along great circles"""
    gap_ratio: Array
    """() gap between plates along y over that along x, of which LobsterState's is the geometric mean"""
    patch: Array
    """() light that neither axis focuses (even numbers of bounces along both) over what a product of profiles has: 1
    where the two pairs of walls of a pore know nothing of each other"""


def expected(
    state: LobsterState, coating: Coating, figure: Figure, spectrum: Spectrum, source: ArrayLike, centre: ArrayLike,
    window: Window, grid: Grid, reach: float | None = None,
) -> Array:  # fmt: skip
    """(y, x) expected counts per second of one source in the bins of a frame.

    source  place of its image along the image's axes, from the detector's middle [arcmin]
    centre  the detector's middle in the field of the plates [arcmin of direction sine]
    reach   of bins from the source [arcmin], where the grid is traced; by default what any source of the grid needs
    """
    sky = directions(state, centre, window, grid)
    at = directions(state, centre, window, jnp.asarray(source, jnp.float32))
    sx, sy, _ = frame_at(at)
    # the separable PSF holds along the pores' axes carried to the source, about its image
    offset = jnp.stack([_dot(sx, sky), _dot(sy, sky)]) / ARCMIN
    half = np.asarray(grid.side, np.float32) / 2
    place = at[:2] / ARCMIN
    if reach is None:
        reach = 2.1 * float(np.hypot(np.abs(grid.x).max(), np.abs(grid.y).max()))
    cells = 2 * int(np.ceil(reach / STEP))
    rise = (STEP * (np.arange(cells + 1) - cells / 2)).astype(np.float32)
    # pores' axes are carried from the middle of the field, not from the source: turned by half the area between
    bend = figure.bend * at[:2] * ARCMIN
    turns = figure.twist * TURNS
    round_ = _halo(offset, half, figure.halo_width)

    def until(table: Array, x: Array) -> Array:
        t = jnp.clip((x - rise[0]) / STEP, 0, cells - 1e-3)
        k = t.astype(jnp.int32)
        return table[..., k] + (t - k) * (table[..., k + 1] - table[..., k])

    def lookup(table: Array, axis: int, x: Array) -> Array:
        return until(table, x + half[axis]) - until(table, x - half[axis])

    def along(p: Profile, axis: int) -> tuple[Array, ...]:
        seen = replace(state, plate_gap=state.plate_gap * figure.gap_ratio ** (axis - 0.5))
        f = factors(seen, p, axis, place[axis], place[axis] + rise, place[1 - axis])
        odd, broad, zero, many = _summed(jnp.stack([f.odd, f.broad, f.zero, f.many]))
        whole = p.odd.sum(0)
        pore = jnp.interp(_RANKS * whole[-1], whole, _SINES) / ARCMIN
        kick = (_SIGNS[:, None, None] * 2 * turns[:, None] * pore).transpose(1, 0, 2).reshape(len(TURNS), -1)
        kick = kick + jnp.tile(bend[axis] * pore**2, 2)
        blurred = jax.vmap(lambda by: until(odd, rise - by[:, None]).mean(0))(kick)
        x, across = offset[axis], offset[axis] - bend[axis] * (offset[1 - axis] / 2) ** 2
        by = (_SIGNS[:, None] * turns).reshape(-1, 1) * offset[1 - axis]
        share = np.tile(WEIGHTS, 2)[:, None] / 2
        arm = (share * lookup(jnp.stack([odd, broad]), axis, across - by)).sum(1)
        return lookup(blurred, axis, x), arm[0], arm[1], *lookup(jnp.stack([zero, many]), axis, x)

    def one(energy: Array, photons: Array) -> Array:
        p = profile(state, coating, energy)
        (a, a_odd, a_broad, a_zero, a_many), (b, b_odd, b_broad, b_zero, b_many) = along(p, 0), along(p, 1)
        focus = (WEIGHTS[:, None] * a * b).sum(0)
        light = (1 - figure.halo) * focus + figure.halo * focus.sum() * round_
        light = light + a_odd * b_zero + a_zero * b_odd + a_broad * b_many + a_many * b_broad
        light = light + figure.patch * (a_zero + a_many) * (b_zero + b_many)
        return light * photons * transmission(state, coating, energy)

    made = jax.vmap(one)(spectrum.energy, spectrum.photons).sum(0) * optic_area(state)
    return made.reshape(grid.shape) * reached(window, grid)


def _summed(table: Array) -> Array:
    return jnp.concatenate([jnp.zeros((*table.shape[:-1], 1)), jnp.cumsum(table, -1)], -1)


def _halo(offset: Array, half: np.ndarray, width: Array) -> Array:
    """(n,) share of the halo in bins about the source: its integral over a rectangle is an arctangent in each
    corner."""

    def corner(i: int, j: int) -> Array:
        x, y = offset[0] + i * half[0], offset[1] + j * half[1]
        return jnp.arctan2(x * y, width * jnp.sqrt(x * x + y * y + width * width)) / (2 * np.pi)

    return corner(1, 1) - corner(1, -1) - corner(-1, 1) + corner(-1, -1)


def frame_at(n: Array) -> tuple[Array, Array, Array]:
    """Pores' axes e_x, e_y and n (each (3, ...)) at unit vectors n, carried there along a great circle from the
    middle."""
    a, b, c = n
    k = 1 / (1 + c)
    return jnp.stack([1 - a * a * k, -a * b * k, -a]), jnp.stack([-a * b * k, 1 - b * b * k, -b]), n


def _dot(a: Array, b: Array) -> Array:
    return jnp.tensordot(a, b, axes=(0, 0))


def directions(state: LobsterState, centre: ArrayLike, window: Window, where: Grid | Array) -> Array:
    """(3, n) unit vectors, in the pores' axes at the middle of the field, of the bins of a grid, or (3,) of a place
    (2,)
    along the image's axes [arcmin]. The detector is a plane that touches the focal sphere in its middle."""
    if isinstance(where, Grid):
        u, v = (t.ravel() * ARCMIN for t in axes(where, window.turn))
    else:
        cos, sin = jnp.cos(jnp.deg2rad(window.turn)), jnp.sin(jnp.deg2rad(window.turn))
        u, v = (cos * where[0] + sin * where[1]) * ARCMIN, (cos * where[1] - sin * where[0]) * ARCMIN
    a, b = jnp.asarray(centre, jnp.float32) * ARCMIN
    ex, ey, n = frame_at(jnp.stack([a, b, jnp.sqrt(1 - a * a - b * b)]))
    u, v = turned(state, jnp.stack([u, v]))
    shape = (3,) + (1,) * u.ndim
    there = n.reshape(shape) + ex.reshape(shape) * u + ey.reshape(shape) * v
    return there / jnp.sqrt((there**2).sum(0))


def reached(window: Window, grid: Grid) -> Array:
    """(y, x) share of each bin that light reaches."""
    u, v = axes(grid, window.turn)
    return share(u, window.lit[0], grid.side[0]) * share(v, window.lit[1], grid.side[1])


def covered(window: Window, grid: Grid) -> Array:
    """(y, x) share of each bin that is detector."""
    u, v = axes(grid, window.turn)
    return share(u, window.detector[0], grid.side[0]) * share(v, window.detector[1], grid.side[1])
