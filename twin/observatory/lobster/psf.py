"""Separable point spread function of a lobster eye: along each axis of the pores one profile, g(x) and g(y).

With s the direction sine of a pore about the source, W_n(s) the share that leaves it after n bounces
(`bounces.weights`) and M the open part of the plates, the light of an axis is, in sines,

odd n    integral of W_n(s) M(source + s) ds, gathered at x = +-n w/R - s^3 within P_n w/R, blurred by twice the tilt
even n   W_n(s) M(source + x/2) / 2 at x = 2 s - n w/R, a photon that was not turned

w/R stands for where a pore's photons leave it, s^3 for the sphere's aberration. A bounce scatters a share f into the
wing g^2/2 (x^2 + g^2)^(-3/2); n bounces 1 - (1 - f)^n. In two dimensions the sum of products is

G_x G_y + T_x (B_y - O_y) + (B_x - O_x) T_y + sum over k of F_x (A_y - O_y) + (A_x - O_x) F_y,   G = Z + T + O:

zero bounces Z, two and more even ones T, odd ones O, and B = O broadened by `second_order`: a frame of sources is one
matrix product. Focus O O, arms O (Z + T), diffuse patch the rest.

Arms are no straight lines. Off the middle of the field the pores' axes along an arm are turned against those at the
source, by half the area that middle, source and pore enclose, and the sphere has an aberration: photons of odd bounces
from pores at (s_x, s_y) move by (source_x - 2 s_x) s_y^2 along x where their bounces along y are even. A_k = O moved as
at the sine s_y = BENDS[k], F_k the share of Z + T that is nearest to it, so that s_y^2 is interpolated between: light
stays positive, and its mean is where it should be.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from twin.observatory.lobster.bounces import ARCMIN, REACH, STEP
from twin.observatory.lobster.materials import absorption
from twin.observatory.lobster.profile import CORE, uniform, wing_below
from twin.observatory.lobster.profile import Profile as Profile
from twin.observatory.lobster.profile import profile as profile
from twin.observatory.lobster.reflectivity import Coating
from twin.observatory.lobster.state import LobsterState

PLATES = 8  # most along an axis
BENDS = (0.03, 0.07)  # direction sines of pores whose part of the arms is moved exactly


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Factors:
    """Light in the bins of an axis, each (..., bins), in radians of pore: times R^2 and the open area it is an area."""

    zero: Array
    """no bounce"""
    many: Array
    """an even number of them, two and more"""
    odd: Array
    """an odd number"""
    broad: Array
    """the same, where the other axis has `many`"""
    bent: Array
    """(..., BENDS, bins) the same, where the other axis has `far`"""
    far: Array
    """(..., BENDS, bins) the shares of `zero` and `many` that lie near pores at the sines BENDS"""

    @property
    def whole(self) -> Array:
        return self.zero + self.many + self.odd


def _smooth(table: Array, at: Array) -> Array:
    """Cubic interpolation (Catmull & Rom) of tables (..., nodes) at node numbers (..., places), constant beyond."""
    n = table.shape[-1]
    at = jnp.clip(at, 0, n - 1.001)
    low = at.astype(jnp.int32)
    t = at - low
    row = jnp.concatenate([table[..., :1], table, table[..., -1:]], -1)
    before, left, right, after = (row[..., k : n - 1 + k] for k in range(4))
    slope, curve, cube = right - before, 2 * before - 5 * left + 4 * right - after, 3 * (left - right) + after - before
    powers = jnp.stack([left, slope / 2, curve / 2, cube / 2], -1)
    found = jnp.take_along_axis(powers, low[..., None], -2)
    return found[..., 0] + t * (found[..., 1] + t * (found[..., 2] + t * found[..., 3]))


def odd_light(p: Profile, begin: Array, end: Array) -> tuple[Array, Array]:
    """(2, sides, ...) light of one, and of 3 and more, odd bounces of the pores at positive and at negative sines
    between `begin` and `end` (..., plates), and the mean sine (...,) of them all [arcmin]."""
    ends = jnp.stack([begin, end, -end, -begin]) / STEP
    below = jax.vmap(lambda t: uniform(t, ends))(jnp.concatenate([p.odd, p.moment[None]])).sum(-1)
    found = below[:, 1::2] - below[:, ::2]
    return found[:2], (found[2, 0] - found[2, 1]) / jnp.maximum(found[:2].sum((0, 1)), 1e-12) / ARCMIN


def plates(state: LobsterState, axis: int | Array, source: Array, other: Array) -> tuple[Array, Array]:
    """(..., PLATES) where the open parts of plates begin and end along an axis, in sines about the source.

    source, other  the source's place along that axis and along the other (...,) [arcmin]. Along the other axis pores
                   are taken to lie about the source, as those that reflect it an odd number of times do.
    """
    lo, hi = state.aperture[axis, 0] * ARCMIN, state.aperture[axis, 1] * ARCMIN
    pitch, gap = state.plate_pitch / state.radius, state.plate_gap / state.radius
    begin = lo + pitch * jnp.arange(PLATES)
    a, b = source[..., None] * ARCMIN, other[..., None] * ARCMIN
    k = 1 / (1 + jnp.sqrt(1 - a**2 - b**2))

    def seen(edge: Array) -> Array:
        edge = jnp.clip(edge, lo, hi)
        return edge * (1 - a**2 * k) - a * b**2 * k - a * jnp.sqrt(1 - edge**2 - b**2)

    return seen(begin + gap / 2), seen(begin + pitch - gap / 2)


def factors(
    state: LobsterState, p: Profile, axis: int | Array, source: ArrayLike, edges: ArrayLike, other: ArrayLike = 0.0
) -> Factors:
    """Light of unit sources at direction sines `source` (...,) [arcmin], in bins with `edges` (bins + 1,), of one axis.

    Both along the pores' axis 0 or 1, from the middle of the field; `other`: the sources' place along the other.
    Factors have shape (..., bins).
    """
    source = jnp.asarray(source, jnp.float32)
    begin, end = plates(state, axis, source, jnp.asarray(other, jnp.float32))
    x = jnp.asarray(edges, jnp.float32) - source[..., None]
    # even: a cumulative table, times the open part of the plates that the bin looks at
    pore = x * ARCMIN / 2
    at = (pore + REACH) / STEP
    even = jnp.diff(jax.vmap(lambda t: uniform(t, at))(p.even), axis=-1)
    sharp = even[:2] * _share(jnp.stack([pore, reflecting(state, pore)]), begin, end)
    loose = even[2] * _scattered(state, x, begin, end)
    zero, twice = sharp[0], sharp[1] + loose
    far = _near((pore[..., 1:] + pore[..., :-1]) / 2) * (zero + twice)[..., None, :]
    # odd: all that the plates' pores at either side of the source gather
    light, bend = odd_light(p, begin, end)
    share = p.scatter[jnp.array([0, 2])]
    tables = jnp.einsum("os...,o,sobx->b...x", light, 1 - share, jnp.stack([p.core, 1 - p.core[..., ::-1]]))
    wing = jnp.diff(wing_below(x, state.scatter_width), axis=-1) * jnp.tensordot(share, light.sum(1), 1)[..., None]
    # the focus, the same broadened, and moved as the sines BENDS do
    places = [x, x * (p.reach[0] / p.reach[1]), *[x - (s**2 * (source - 2 * bend))[..., None] for s in BENDS]]
    at = (jnp.stack(places) / p.reach[0] + 1) * ((CORE - 1) / 2)
    core = jnp.diff(_smooth(jnp.stack([tables[0], tables[1], *[tables[0] for _ in BENDS]]), at), axis=-1)
    core = jnp.maximum(core, 0) + wing
    return Factors(zero, twice, core[0], core[1], jnp.moveaxis(core[2:], 0, -2), far)


def reflecting(state: LobsterState, place: Array) -> Array:
    """Sines of the pores that send what they reflect two times or more, evenly, to 2 `place`: as many as they must."""
    bounces = 2 * jnp.maximum(1, jnp.round(jnp.abs(place) * state.pore_ratio / 2))
    return place + jnp.sign(place) * bounces * (state.pore_width / state.radius / 2)


def _near(pore: Array) -> Array:
    """(..., BENDS, bins) weights of the sines BENDS in a linear interpolation of pore^2 from 0 on, held beyond."""
    at = jnp.clip(pore**2, 0, BENDS[-1] ** 2)
    squares = np.array([0.0, *BENDS, 1.0]) ** 2
    up = [(at - low) / (high - low) for low, high in zip(squares, squares[1:], strict=False)]
    return jnp.stack([jnp.clip(jnp.minimum(a, 1 - b), 0, 1) for a, b in zip(up, up[1:], strict=False)], -2)


def _share(pore: Array, begin: Array, end: Array) -> Array:
    """(..., bins) share of the pores between sines `pore` (..., bins + 1) that is open."""
    low, high = begin[..., None, :], end[..., None, :]
    seen = (jnp.clip(pore[..., None], low, jnp.maximum(low, high)) - low).sum(-1)
    return jnp.diff(seen, axis=-1) / jnp.diff(pore, axis=-1)


def _scattered(state: LobsterState, x: Array, begin: Array, end: Array) -> Array:
    """(..., bins) the open share of the pores, as far as the wing reaches, that scatter light to bins with edges x
    (..., bins + 1): it fills gaps and passes the plates' edges."""
    ends = jnp.maximum(end, begin)[..., None, :] * (2 / ARCMIN)
    below, width = begin[..., None, :] * (2 / ARCMIN), state.scatter_width
    # of the wing's share below x the integral over a bin
    light = (jnp.hypot(x[..., None] - below, width) - jnp.hypot(x[..., None] - ends, width) + ends - below).sum(-1)
    return 0.5 * jnp.diff(light, axis=-1) / jnp.diff(x, axis=-1)


def gathered(p: Profile, low: Array, high: Array) -> Array:
    """(2, ...) light of one, and of 3 and more, odd bounces from pores at sines `low` > 0 to `high` (..., plates)."""
    return jax.vmap(lambda t: (uniform(t, high / STEP) - uniform(t, low / STEP)).sum(-1))(p.odd)


def frame(x: Factors, y: Factors, flux: ArrayLike, broad: bool = True) -> Array:
    """(y bins, x bins) sum over sources (and energies) of flux times their PSF; Factors of shape (sources, bins).

    broad  whether `second_order` is above zero anywhere: seven times the sources to sum, five without
    """
    flux = jnp.asarray(flux)[:, None]
    left, right = [y.whole * flux], [x.whole]
    for k in range(len(BENDS)):
        left += [(y.bent[:, k] - y.odd) * flux, y.far[:, k] * flux]
        right += [x.far[:, k], x.bent[:, k] - x.odd]
    if broad:
        left += [(y.broad - y.odd) * flux, y.many * flux]
        right += [x.many, x.broad - x.odd]
    return jnp.concatenate(left).T @ jnp.concatenate(right)


def psf(
    state: LobsterState, coating: Coating, energy: ArrayLike, source: ArrayLike, edges_x: ArrayLike, edges_y: ArrayLike
) -> Array:
    """(y bins, x bins) effective area of the optic [cm2] for one source (x, y) [arcmin], in the pores' axes."""
    p = profile(state, coating, energy)
    source = jnp.asarray(source, jnp.float32)
    edges = jnp.asarray(edges_x, jnp.float32), jnp.asarray(edges_y, jnp.float32)
    if len(edges[0]) == len(edges[1]):  # both axes at once
        along = jax.vmap(lambda axis, at, e, other: factors(state, p, axis, at, e, other))
        both = along(jnp.arange(2), source[:, None], jnp.stack(edges), source[::-1, None])
        x, y = (jax.tree.map(lambda leaf, axis=axis: leaf[axis], both) for axis in range(2))
    else:
        x, y = (factors(state, p, k, source[k : k + 1], edges[k], source[1 - k : 2 - k]) for k in range(2))
    return frame(x, y, optic_area(state)[None])


def rolled(
    state: LobsterState, p: Profile, source: ArrayLike, edges_x: ArrayLike, edges_y: ArrayLike, area: ArrayLike = 1.0
) -> Array:
    """(y bins, x bins) PSF on a detector whose axes the pores' are rolled against: no product of two profiles any more.

    source and edges [arcmin] along the detector's axes, from the middle of the field. Each bin is taken as a bin of
    the pores' axes about the same middle, which holds for rolls of some degrees.
    """
    edges_x, edges_y = jnp.asarray(edges_x, jnp.float32), jnp.asarray(edges_y, jnp.float32)
    x, y = jnp.meshgrid((edges_x[1:] + edges_x[:-1]) / 2, (edges_y[1:] + edges_y[:-1]) / 2)
    middle = turned(state, jnp.stack([x.ravel(), y.ravel()]))
    at = turned(state, jnp.asarray(source, jnp.float32))
    half = jnp.stack([edges_x[1] - edges_x[0], edges_y[1] - edges_y[0]]) / 2
    sides = jnp.array([-1.0, 1.0])

    def along(axis: int) -> Factors:
        ends = middle[axis][:, None] + half[axis] * sides
        return jax.vmap(lambda e: factors(state, p, axis, at[axis], e, at[1 - axis]))(ends)

    a, b = along(0), along(1)
    light = a.whole * b.whole + a.many * (b.broad - b.odd) + (a.broad - a.odd) * b.many
    bent = (f.bent - f.odd[..., None, :] for f in (a, b))
    for of, other in zip(bent, (b, a), strict=True):
        light += (of * other.far).sum(-2)
    return jnp.asarray(area) * light.reshape(x.shape)


def turned(state: LobsterState, place: Array) -> Array:
    """(2, ...) places along the detector's axes, along the pores' axes."""
    angle = jnp.deg2rad(state.roll)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([cos * place[0] + sin * place[1], cos * place[1] - sin * place[0]])


def optic_area(state: LobsterState) -> Array:
    """Open area R^2 OAR that factors are multiplied with [cm2]."""
    return state.open_area * (100 * state.radius) ** 2


def transmission(state: LobsterState, coating: Coating, energy: ArrayLike) -> Array:
    """Share of the photons of `energy` (...,) [keV] that filters let through and the silicon collects."""
    silicon, aluminium, oxide, nitride = (
        absorption(what, coating.table, energy) for what in ("Si", "Al", "SiO2", "Si3N4")
    )
    filters = aluminium * state.filter_al + silicon * state.dead_layer
    filters += oxide * state.oxide + nitride * state.nitride
    return state.throughput * jnp.exp(-filters) * -jnp.expm1(-silicon * state.depletion)


def areas(state: LobsterState, coating: Coating, energy: ArrayLike, source: ArrayLike) -> dict[str, Array]:
    """Effective area [cm2] of a source at direction sines (x, y) [arcmin] and one energy [keV], on a boundless
    detector.

    focus, arms, diffuse (with the unreflected), unreflected: of the optic alone; the detector's share is
    `transmission`.
    """
    p = profile(state, coating, energy)
    source = jnp.asarray(source, jnp.float32)
    ends = 2 * REACH / ARCMIN * np.linspace(-1, 1, 2049)
    x, y = (factors(state, p, axis, source[axis], ends + source[axis], source[1 - axis]) for axis in range(2))
    odd = [_odd(state, p, axis, source) for axis in range(2)]
    zero = [v.zero.sum(-1) for v in (x, y)]
    even = [v.zero.sum(-1) + v.many.sum(-1) for v in (x, y)]
    area = optic_area(state)
    return {
        "focus": area * odd[0] * odd[1],
        "arms": area * (odd[0] * even[1] + even[0] * odd[1]),
        "diffuse": area * even[0] * even[1],
        "unreflected": area * zero[0] * zero[1],
    }


def _odd(state: LobsterState, p: Profile, axis: int, source: Array) -> Array:
    begin, end = plates(state, axis, source[axis], source[1 - axis])
    return (gathered(p, begin, end) + gathered(p, -end, -begin)).sum(0)
