"""Separable point spread function of a lobster eye: along each axis of the pores one profile, g(x) and g(y).

With s the direction sine of a pore about the source, W_n(s) the share that leaves it after n bounces
(`bounces.weights`) and M the open part of the plates, the light of an axis is, in sines,

odd n    integral of W_n(s) M(source + s) ds, gathered at x = +-n w/R - s^3 within P_n w/R, blurred by twice the tilt
even n   W_n(s) M(source + x/2) / 2 at x = 2 s - n w/R, a photon that was not turned

w/R stands for where a pore's photons leave it, s^3 for the sphere's aberration. A bounce scatters a share f into the
wing g^2/2 (x^2 + g^2)^(-3/2); n bounces 1 - (1 - f)^n. In two dimensions the sum of products is

G_x G_y + T_x (B_y - O_y) + (B_x - O_x) T_y,   G = Z + T + O:

zero bounces Z, two and more even ones T, odd ones O, and B = O broadened by `second_order`: a frame of sources is one
matrix product. Focus O O, arms O (Z + T), diffuse patch the rest.
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
_CELLS = 32  # of the focus before its blur
_CORE = 257  # nodes of the blurred focus
_EVERY = 8  # node of the pores' sines for the shape of the focus
_SPAN = 6.0  # standard deviations


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Profile:
    """What pores make of one photon energy, whichever the source: cumulative tables along one axis, per unit of
    sine."""

    odd: Array
    """(2, NODES + 1) light of 1, and of 3 and more odd bounces, from pores at sines 0 to s, one side."""
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
    return Profile(odd, even, jnp.stack(lost), core, reach)


def _mean(share: Array, w: Array) -> Array:
    return (share * w).sum() / jnp.maximum(w.sum(), 1e-30)


def _wings(state: LobsterState, w: Array, share: Array) -> Array:
    """(2 NODES,) even bounces on both sides, with what is scattered moved along x."""
    sharp, loose = ((1 - share[:, None]) * w).sum(0), (share[:, None] * w).sum(0)
    sharp, loose = (jnp.concatenate([v[::-1], v]) for v in (sharp, loose))
    edges = 2 * STEP / ARCMIN * (jnp.arange(4 * NODES + 1) - 2 * NODES - 0.5)
    kernel = jnp.diff(_wing(edges, state.scatter_width))
    size = 8 * NODES
    moved = jnp.fft.irfft(jnp.fft.rfft(loose, size) * jnp.fft.rfft(kernel, size), size)
    return sharp + moved[2 * NODES : 4 * NODES]


def _wing(x: Array, width: Array) -> Array:
    """Share of the wing below x [arcmin]."""
    return 0.5 * (1 + x * jax.lax.rsqrt(x**2 + width**2))


def _core(state: LobsterState, w: Array) -> tuple[Array, Array]:
    side, s = state.pore_width / state.radius, SINES[::_EVERY]
    p = chance(state.pore_ratio, s)[1::2]
    order = jnp.arange(1, ORDERS, 2, dtype=jnp.float32)[:, None]
    middle, half = order * side - s**3, jnp.maximum(p * side, 1e-7)
    span = 4 * side + 3e-4
    edges = span * jnp.linspace(-1, 1, _CELLS + 1)
    below = jnp.clip((edges[:, None, None] - middle) / (2 * half) + 0.5, 0, 1)
    light = w[1::2, ::_EVERY] * (p > 0)
    below = jnp.stack([(below * light)[:, :1].sum((1, 2)), (below * light)[:, 1:].sum((1, 2))])
    cells = jnp.diff(below, axis=1) / jnp.maximum(below[:, -1:] - below[:, :1], 1e-30)
    blur = jnp.stack([2 * state.tilt, jnp.hypot(2 * state.tilt, state.second_order)])
    blur = jnp.maximum(blur, 0.02)
    reach = span / ARCMIN + _SPAN * blur
    x = reach[:, None] * jnp.linspace(-1, 1, _CORE)
    z = (x[:, :, None] - edges / ARCMIN) / blur[:, None, None]
    h = z * 0.5 * (1 + jax.lax.erf(z * 0.70710678)) + 0.39894228 * jnp.exp(-0.5 * z**2)
    step = 2 * span / ARCMIN / _CELLS
    table = jnp.einsum("bxc,oc->obx", (h[..., :-1] - h[..., 1:]) * (blur / step)[:, None, None], cells)
    return table, reach


def _uniform(table: Array, at: Array) -> Array:
    """Linear interpolation at node numbers, held constant beyond the ends."""
    at = jnp.clip(at, 0, table.shape[-1] - 1.001)
    low = at.astype(jnp.int32)
    left = table[low]
    return left + (at - low) * (table[low + 1] - left)


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
    low, high = begin[..., None, :], end[..., None, :]
    seen = (jnp.clip(pore[..., None], low, jnp.maximum(low, high)) - low).sum(-1)
    share = jnp.diff(seen, axis=-1) / jnp.diff(pore, axis=-1)
    # odd: all that the plates' pores at either side of the source gather
    one, two = _side(p, begin, end, x, state), _side(p, -end, -begin, -x, state)
    return Factors(even[0] * share, even[1] * share, one[0] + two[0], one[1] + two[1])


def gathered(p: Profile, low: Array, high: Array) -> Array:
    """(2, ...) light of one, and of 3 and more, odd bounces from pores at sines `low` > 0 to `high` (..., plates)."""
    return jax.vmap(lambda t: (_uniform(t, high / STEP) - _uniform(t, low / STEP)).sum(-1))(p.odd)


def _side(p: Profile, low: Array, high: Array, x: Array, state: LobsterState) -> tuple[Array, Array]:
    """Odd bounces of the pores at positive sines, in bins with edges x: sharp, and broadened."""
    light = gathered(p, low, high)[..., None]
    wing = jnp.diff(_wing(x, state.scatter_width), axis=-1)
    loose = p.scatter[jnp.array([0, 2])].reshape(2, *[1] * x.ndim)
    found = []
    for k in range(2):
        at = (x / p.reach[k] + 1) * ((_CORE - 1) / 2)
        core = jnp.diff(jax.vmap(lambda t, at=at: _uniform(t, at))(p.core[:, k]), axis=-1)
        found.append(jnp.abs((light * ((1 - loose) * core + loose * wing)).sum(0)))
    return found[0], found[1]


def frame(x: Factors, y: Factors, flux: ArrayLike, broad: bool = True) -> Array:
    """(y bins, x bins) sum over sources (and energies) of flux times their PSF; Factors of shape (sources, bins).

    broad  whether `second_order` is above zero anywhere: three times the sources to sum
    """
    flux = jnp.asarray(flux)[:, None]
    left, right = [y.whole * flux], [x.whole]
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
