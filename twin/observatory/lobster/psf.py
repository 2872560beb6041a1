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

from twin.observatory.lobster.bounces import ARCMIN, NODES, ORDERS, REACH, SINES, STEP, chance, weights
from twin.observatory.lobster.materials import absorption
from twin.observatory.lobster.reflectivity import Coating
from twin.observatory.lobster.state import LobsterState

PLATES = 8  # most along an axis
_CELLS = 16  # of the focus before its blur
_CORE = 97  # nodes of the blurred focus
_EVERY = 8  # nodes of the pores' sines in one box of the focus
_SPAN = 4.5  # standard deviations
_COARSE = 4  # nodes of the even bounces' wing
BENDS = (0.03, 0.07)  # direction sines of pores whose part of the arms is moved exactly


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Profile:
    """What pores make of one photon energy, whichever the source: cumulative tables along one axis, per unit of
    sine."""

    odd: Array
    """(2, NODES + 1) light of 1, and of 3 and more odd bounces, from pores at sines 0 to s, one side."""
    moment: Array
    """(NODES + 1,) the same of any odd number of bounces, times the pore's sine."""
    even: Array
    """(2, 2 NODES + 1) light of 0, and of 2 and more even bounces, at offsets -2 REACH to x."""
    scatter: Array
    """(3,) share of what bounces 1, 2, 3 times and more that lies in the wing."""
    core: Array
    """(2, 2, _CORE) distribution of odd bounces' offsets about the source: once, more; sharp, broadened as second-order
    arms are. Pores at positive s."""
    reach: Array
    """(2,) where the tables of `core` end [arcmin]."""


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


def profile(state: LobsterState, coating: Coating, energy: ArrayLike) -> Profile:
    """The tables of one State (no batch axes) and one photon energy [keV]."""
    w = weights(state, coating, energy)
    order = jnp.arange(ORDERS)
    kept = jnp.exp(order * jnp.log1p(-state.scatter))
    first, many = w[1], w[3::2].sum(0)
    odd = jnp.concatenate([jnp.zeros((2, 1)), jnp.cumsum(jnp.stack([first, many]), 1) * STEP], 1)
    lost = [_mean(1 - kept[n][:, None], w[n]) for n in (slice(1, 2), slice(2, None, 2), slice(3, None, 2))]
    # photons of n even bounces leave the pore n w/2 nearer to the source's image than its middle
    moved = order[2::2, None] * (state.pore_width / state.radius / 2 / STEP) + jnp.arange(NODES, dtype=jnp.float32)
    two = _wings(state, jax.vmap(_uniform)(w[2::2], moved), 1 - kept[2::2])
    both = jnp.stack([jnp.concatenate([w[0, ::-1], w[0]]), two])
    even = jnp.concatenate([jnp.zeros((2, 1)), jnp.cumsum(both, 1) * STEP], 1)
    core, reach = _core(state, w)
    moment = jnp.concatenate([jnp.zeros(1), jnp.cumsum((first + many) * SINES) * STEP])
    return Profile(odd, moment, even, jnp.stack(lost), core, reach)


def _mean(share: ArrayLike, w: Array) -> Array:
    return (share * w).sum() / jnp.maximum(w.sum(), 1e-30)


def _wings(state: LobsterState, w: Array, share: Array) -> Array:
    """(2 NODES,) even bounces on both sides, with what is scattered moved along x: in cells of some nodes."""
    sharp, loose = ((1 - share[:, None]) * w).sum(0), (share[:, None] * w).sum(0)
    cells = loose.reshape(-1, _COARSE).mean(1)
    cells = jnp.concatenate([cells[::-1], cells])
    n = len(cells)
    # from a cell to a cell: second differences of the wing's second integral
    edges = (2 * STEP * _COARSE / ARCMIN) * jnp.arange(-n - 1, n + 2, dtype=jnp.float32)
    kernel = jnp.diff(jnp.diff((edges + jnp.hypot(edges, state.scatter_width)) / 2)) / (edges[1] - edges[0])
    moved = jnp.fft.irfft(jnp.fft.rfft(cells, 4 * n) * jnp.fft.rfft(kernel, 4 * n), 4 * n)[n : 2 * n]
    half = jnp.arange(NODES, dtype=jnp.float32) / _COARSE + (n - 1) / 2 + 0.5 / _COARSE
    one = sharp + _uniform(moved, half)
    return jnp.concatenate([one[::-1], one])


def _wing(x: Array, width: Array) -> Array:
    """Share of the wing below x [arcmin]."""
    return 0.5 * (1 + x * jax.lax.rsqrt(x**2 + width**2))


def _core(state: LobsterState, w: Array) -> tuple[Array, Array]:
    side, s = state.pore_width / state.radius, SINES.reshape(-1, _EVERY).mean(1)
    p = chance(state.pore_ratio, s)[1::2]
    order = jnp.arange(1, ORDERS, 2, dtype=jnp.float32)[:, None]
    middle, half = order * side - s**3, jnp.maximum(p * side, 1e-7)
    span = 4 * side + 3e-4
    edges = span * jnp.linspace(-1, 1, _CELLS + 1)
    below = jnp.clip((edges[:, None, None] - middle) / (2 * half) + 0.5, 0, 1)
    light = w[1::2].reshape(-1, len(s), _EVERY).mean(2) * (p > 0)
    below = jnp.stack([(below * light)[:, :1].sum((1, 2)), (below * light)[:, 1:].sum((1, 2))])
    cells = jnp.diff(below, axis=1) / jnp.maximum(below[:, -1:] - below[:, :1], 1e-30)
    blur = jnp.stack([2 * state.tilt, jnp.hypot(2 * state.tilt, state.second_order)])
    blur = jnp.maximum(blur, 0.02)
    reach = span / ARCMIN + _SPAN * blur
    x = reach[:, None] * jnp.linspace(-1, 1, _CORE)
    z = (x[:, :, None] - edges / ARCMIN) / blur[:, None, None]
    h = z * 0.5 * (1 + jax.lax.erf(z * 0.70710678)) + 0.39894228 * jnp.exp(-0.5 * z**2)
    step = 2 * span / ARCMIN / _CELLS
    # each cell's light, and what it takes from the next one's: of h itself, not of its differences
    turns = jnp.diff(cells, axis=1, prepend=0.0, append=0.0)
    table = jnp.einsum("bxc,oc->obx", h, turns) * (blur / step)[:, None]
    return table, reach


def _uniform(table: Array, at: Array) -> Array:
    """Linear interpolation at node numbers, held constant beyond the ends."""
    at = jnp.clip(at, 0, table.shape[-1] - 1.001)
    low = at.astype(jnp.int32)
    left = table[low]
    return left + (at - low) * (table[low + 1] - left)


def _smooth(table: Array, at: Array) -> Array:
    """Cubic interpolation (Catmull & Rom) of tables (..., nodes) at node numbers (..., places), constant beyond."""
    at = jnp.clip(at, 0, table.shape[-1] - 1.001)
    low = at.astype(jnp.int32)
    t = at - low
    before, left, right, after = (
        jnp.take_along_axis(table, jnp.clip(low + k, 0, table.shape[-1] - 1), -1) for k in (-1, 0, 1, 2)
    )
    bend = 2 * before - 5 * left + 4 * right - after + t * (3 * (left - right) + after - before)
    return left + 0.5 * t * (right - before + t * bend)


def _sines(p: Profile, low: Array, high: Array, light: Array) -> Array:
    """(...,) mean sine [arcmin] of the pores between `low` and `high` (..., plates) whose odd bounces are `light`."""
    total = (_uniform(p.moment, high / STEP) - _uniform(p.moment, low / STEP)).sum(-1)
    return total / jnp.maximum(light, 1e-12) / ARCMIN


def plates(state: LobsterState, axis: int, source: Array, other: Array) -> tuple[Array, Array]:
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
    state: LobsterState, p: Profile, axis: int, source: ArrayLike, edges: ArrayLike, other: ArrayLike = 0.0
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
    even = jnp.diff(jax.vmap(lambda t: _uniform(t, at))(p.even), axis=-1)
    even = even * jnp.stack([_share(pore, begin, end), _share(reflecting(state, pore), begin, end)])
    far = _near((pore[..., 1:] + pore[..., :-1]) / 2) * even.sum(0)[..., None, :]
    # odd: all that the plates' pores at either side of the source gather
    light = jnp.stack([gathered(p, begin, end), gathered(p, -end, -begin)], -1)  # (once or more, ..., sides)
    loose = p.scatter[jnp.array([0, 2])]
    tables = jnp.einsum("o...s,o,sobx->bs...x", light, 1 - loose, jnp.stack([p.core, 1 - p.core[..., ::-1]]))
    wing = jnp.diff(_wing(x, state.scatter_width), axis=-1) * jnp.tensordot(loose, light.sum(-1), 1)[..., None]

    def core(table: Array, x: Array, which: int = 0) -> Array:
        at = (x / p.reach[which] + 1) * ((_CORE - 1) / 2)
        return jnp.maximum(jnp.diff(_smooth(table, at), axis=-1), 0)

    right, left = light[..., 0].sum(0), light[..., 1].sum(0)
    bend = source - 2 * _sines(p, begin, end, right), source + 2 * _sines(p, -end, -begin, left)
    odd, broad = core(tables[0].sum(0), x), core(tables[1].sum(0), x, 1)
    bent = jnp.stack(
        [sum((core(tables[0, side], x - (s**2 * bend[side])[..., None]) for side in (0, 1)), wing) for s in BENDS],
        -2,
    )
    return Factors(even[0], even[1], odd + wing, broad + wing, bent, far)


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


def gathered(p: Profile, low: Array, high: Array) -> Array:
    """(2, ...) light of one, and of 3 and more, odd bounces from pores at sines `low` > 0 to `high` (..., plates)."""
    return jax.vmap(lambda t: (_uniform(t, high / STEP) - _uniform(t, low / STEP)).sum(-1))(p.odd)


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
    x = factors(state, p, 0, source[:1], edges_x, source[1:])
    y = factors(state, p, 1, source[1:], edges_y, source[:1])
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
