"""What one State of the telescope does to all photons of an exposure: tables made once, used for many frames.

Photons are drawn from `Ways` at each of the NODES energies; their numbers follow from the area of a boundless optic in
every fine bin. Tables over the place of a source tell which share of its focus, arms and patch falls on the detector.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.observatory.lobster.bounces import ARCMIN, ORDERS, SINES, STEP, chance
from twin.observatory.lobster.photons import Ways, ways
from twin.observatory.lobster.psf import (
    Profile,
    factors,
    gathered,
    odd_light,
    optic_area,
    plates,
    profile,
    transmission,
)
from twin.observatory.lobster.reflectivity import Coating, reflectivity
from twin.observatory.lobster.state import LobsterState
from twin.simulators.lobster.energies import EDGES, NODE_ENERGIES

_EVERY = 8  # of the pores' sines, for the area
_PLACES = 49  # of a source along an axis, for even bounces
_OFFSETS = 65  # from a source, for even bounces
_ODD = 257  # places of a source along an axis, for odd bounces
_SUB = 16  # samples of a profile to a bin of the PSF image


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Optic:
    """Tables of one State.

    ways, profiles   leading axis NODES
    area    (FINE,) [cm2] that a boundless optic has for a photon of each fine bin, behind filters, in the silicon
    light   (NODES,) light of an axis of a boundless optic, in radians of pore
    odd     (NODES, 2, _ODD) that of odd bounces, of a source at each place along the axes, plates as they are
    even    (NODES, 2, _PLACES, _OFFSETS) that of even bounces up to an offset from the source
    ends    (2, 2) [arcmin] between which sources were placed, along the pores' axes
    reach   () [arcmin] of the offsets: from minus this to this
    """

    ways: Ways
    profiles: Profile
    area: Array
    light: Array
    odd: Array
    even: Array
    ends: Array
    reach: Array


def boundless(state: LobsterState, coating: Coating, energy: Array) -> Array:
    """(...,) light of an axis of a boundless optic at photon energies [keV], in radians of pore: the sum over bounces
    n of the integral of P(n) (efficiency R)^n."""
    sines = SINES.reshape(-1, _EVERY).mean(1)
    p = chance(state.pore_ratio, sines, state.tilt * ARCMIN, state.ratio_spread)

    def one(at: Array) -> Array:
        each = jnp.log(jnp.maximum(state.efficiency * reflectivity(coating, at, sines, state.roughness), 1e-12))
        total = jnp.zeros_like(each)
        for n in range(ORDERS - 1, -1, -1):  # Horner: no power for each order
            total = total * jnp.exp(each) + p[n]
        return 2 * STEP * _EVERY * total.sum()

    return jax.vmap(one)(jnp.ravel(energy)).reshape(jnp.shape(energy))


def boundless_area(state: LobsterState, coating: Coating) -> Array:
    """(FINE,) [cm2] of a boundless optic on a boundless detector, behind filters, in the silicon."""
    middle = jnp.asarray(np.sqrt(EDGES[1:] * EDGES[:-1]), jnp.float32)
    return optic_area(state) * boundless(state, coating, middle) ** 2 * transmission(state, coating, middle)


def optic(state: LobsterState, coating: Coating, ends: Array, reach: float) -> Optic:
    """The tables of a State (no batch axes) for sources between `ends` (2, 2) [arcmin] along the pores' axes, and
    detectors within `reach` [arcmin] of them."""

    def one(energy: Array) -> tuple[Ways, Profile, Array, Array]:
        p = profile(state, coating, energy)
        return ways(state, p), p, *_shares(state, p, ends, reach)

    draws, profiles, odd, even = jax.lax.map(one, jnp.asarray(NODE_ENERGIES, jnp.float32))
    return Optic(draws, profiles, boundless_area(state, coating), draws.light, odd, even, ends, jnp.float32(reach))


def _shares(state: LobsterState, p: Profile, ends: Array, reach: float) -> tuple[Array, Array]:
    offsets = jnp.linspace(-reach, reach, _OFFSETS)
    odd, even = [], []
    for axis in range(2):
        at = jnp.linspace(ends[axis, 0], ends[axis, 1], _ODD)
        begin, end = plates(state, axis, at, jnp.zeros_like(at))
        odd.append((gathered(p, begin, end) + gathered(p, -end, -begin)).sum(0))

        def along(place: Array, axis: int = axis) -> Array:
            found = factors(state, p, axis, place, place + offsets)
            return jnp.concatenate([jnp.zeros(1), jnp.cumsum(found.zero + found.many)])

        even.append(jax.vmap(along)(jnp.linspace(ends[axis, 0], ends[axis, 1], _PLACES)))
    return jnp.stack(odd), jnp.stack(even)


def seen(o: Optic, state: LobsterState, place: Array, edges_x: Array, edges_y: Array) -> tuple[Array, Array]:
    """Shares of the photons of a boundless optic and detector that fall on the detector, each (sources, NODES): all of
    them, and those of the focus.

    place  (sources, 2) along the detector's axes, from the middle of the field [arcmin]. Arms end where their line
    leaves the detector; focus and arms are cut at edges as Gaussians of the focus' width across them.
    """
    angle = jnp.deg2rad(state.roll)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    x, y = place[:, 0], place[:, 1]
    pores = jnp.stack([cos * x + sin * y, cos * y - sin * x])
    low, high = [], []
    for direction in ((cos, sin), (-sin, cos)):
        a, b = (
            jnp.sort(jnp.stack([(edges[0] - v) / _away(d), (edges[-1] - v) / _away(d)]), axis=0)
            for edges, v, d in ((edges_x, x, direction[0]), (edges_y, y, direction[1]))
        )
        low.append(jnp.maximum(a[0], b[0]))
        high.append(jnp.maximum(jnp.minimum(a[1], b[1]), low[-1]))
    blur = jnp.hypot(2 * state.tilt, 0.5) * np.sqrt(2)
    edge_x, edge_y = (
        0.5 * (jax.lax.erf((v - edges[0]) / blur) - jax.lax.erf((v - edges[-1]) / blur))
        for v, edges in ((x, edges_x), (y, edges_y))
    )
    odd, even = [], []
    for axis in range(2):
        at = (pores[axis] - o.ends[axis, 0]) / (o.ends[axis, 1] - o.ends[axis, 0])
        odd.append(_line(o.odd[:, axis], at * (_ODD - 1)))
        even.append(_plane(o.even[:, axis], at * (_PLACES - 1), high[axis], o.reach)
                    - _plane(o.even[:, axis], at * (_PLACES - 1), low[axis], o.reach))  # fmt: skip
    focus = odd[0] * odd[1] * edge_x * edge_y
    total = focus + even[0] * odd[1] * edge_y + odd[0] * even[1] * edge_x + even[0] * even[1]
    unit = 1 / o.light[:, None] ** 2
    return (total * unit).T, (focus * unit).T


def _away(d: Array) -> Array:
    """A direction's component, never 0."""
    return jnp.where(jnp.abs(d) < 1e-6, 1e-6, d)


def _line(table: Array, at: Array) -> Array:
    """(NODES, sources) of a table (NODES, places)."""
    at = jnp.clip(at, 0, table.shape[-1] - 1.001)
    low = at.astype(jnp.int32)
    return table[:, low] + (at - low) * (table[:, low + 1] - table[:, low])


def _plane(table: Array, at: Array, offset: Array, reach: Array) -> Array:
    """(NODES, sources) of a table (NODES, places, offsets)."""
    at = jnp.clip(at, 0, table.shape[1] - 1.001)
    to = jnp.clip((offset / reach + 1) * ((table.shape[2] - 1) / 2), 0, table.shape[2] - 1.001)
    i, j = at.astype(jnp.int32), to.astype(jnp.int32)
    a, b = at - i, to - j
    return (
        (1 - a) * (1 - b) * table[:, i, j]
        + a * (1 - b) * table[:, i + 1, j]
        + (1 - a) * b * table[:, i, j + 1]
        + a * b * table[:, i + 1, j + 1]
    )


def psf_image(
    state: LobsterState, coating: Coating, profiles: Profile, weights: Array, source: Array, bins: int, width: float
) -> Array:
    """(bins, bins) light of a source in square bins of `width` [arcmin] about it, over what it would be on a boundless
    detector behind a boundless optic; the same as `psf.rolled`, at NODES energies at once. Arms are bent, every bin's
    share of them by its own pores' sine, as photons' are.

    profiles  at the NODES energies;  weights  (NODES,) share of its photons of each energy, summing to 1
    source   (2,) along the detector's axes, from the middle of the field [arcmin]; `bins` is odd
    """
    angle = jnp.deg2rad(state.roll)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    pores = jnp.stack([cos * source[0] + sin * source[1], cos * source[1] - sin * source[0]])
    side = (bins // 2) * 1.25  # bins: rolled by some degrees, corners reach further out
    many = int(np.ceil(2 * side * _SUB)) + 1
    centres = (jnp.arange(many) - (many - 1) / 2) * (width / _SUB)
    edges = (jnp.arange(many + _SUB) - (many + _SUB - 1) / 2) * (width / _SUB)
    steps = (jnp.arange(bins) - bins // 2) * width
    dx, dy = steps[None, :], steps[:, None]
    u = ((cos * dx + sin * dy) - centres[0]) * (_SUB / width)
    v = ((cos * dy - sin * dx) - centres[0]) * (_SUB / width)

    def one(p: Profile, energy: Array, weight: Array) -> tuple[list[Array], Array]:
        rows, sines = [], []
        for axis in range(2):
            fine = factors(state, p, axis, pores[axis], pores[axis] + edges, pores[1 - axis])
            kinds = jnp.stack([fine.zero, fine.many, fine.odd, fine.broad])
            total = jnp.concatenate([jnp.zeros((4, 1)), jnp.cumsum(kinds, 1)], 1)
            rows.append(total[:, _SUB:] - total[:, :-_SUB])
            sines.append(odd_light(p, *plates(state, axis, pores[axis], pores[1 - axis]))[1])
        rows[0] = rows[0] * (weight / boundless(state, coating, energy) ** 2)
        return rows, jnp.stack(sines)

    (x, y), sines = jax.vmap(one)(profiles, jnp.asarray(NODE_ENERGIES, jnp.float32), jnp.asarray(weights))
    sines = (sines * weights[:, None]).sum(0)  # of the pores of odd bounces: much the same at all energies

    def bent(along: Array, across: Array, axis: int) -> Array:
        """Place, where along the other axis the pore lies at half the offset (twin.observatory.lobster.psf)."""
        pore = (across * (width / _SUB) + centres[0]) * (ARCMIN / 2)
        return along - (pores[axis] - 2 * sines[axis]) * pore**2 * (_SUB / width)

    def between(at: Array) -> tuple[Array, Array]:
        at = jnp.clip(at, 0, many - 1.001).ravel()
        low = at.astype(jnp.int32)
        return low, at - low

    places = [between(at) for at in (u, v, bent(u, v, 0), bent(v, u, 1))]

    def more(image: Array, node: tuple[Array, Array]) -> tuple[Array, None]:
        def taken(row: Array, place: tuple[Array, Array]) -> Array:
            low, part = place
            left = row.at[low].get(mode="promise_in_bounds")
            return left + part * (row.at[low + 1].get(mode="promise_in_bounds") - left)

        (zero_x, many_x, odd_x), (zero_y, many_y, odd_y) = (
            [taken(rows[k], place) for k in range(3)] for rows, place in zip(node, places[:2], strict=True)
        )
        (arm_x, broad_x), (arm_y, broad_y) = (
            [taken(rows[k], place) for k in (2, 3)] for rows, place in zip(node, places[2:], strict=True)
        )
        light = odd_x * odd_y + (zero_x + many_x) * (zero_y + many_y)
        return image + light + arm_x * zero_y + broad_x * many_y + zero_x * arm_y + many_x * broad_y, None

    return jax.lax.scan(more, jnp.zeros(bins * bins), (x, y))[0].reshape(bins, bins)
