"""Photons of many sources at once, without a ray trace: draws from the cumulative profiles, counted in frames.

What a photon does along an axis of the pores is one of `ATOMS` equally likely ways of each kind (no bounce, an even
number, an odd one): the pore's place s and the offset of its image, quantiles of the tables of
`twin.observatory.lobster.psf`. A photon whose pore would lie outside the plates, or between two, is lost. So field
edges, gaps and vignetting need no table for each source, and numbers stay Poissonian: thinning leaves them so. Where
photons are many, `exposed` draws the bins of the expected image instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from twin.numerics.poisson import poisson
from twin.numerics.poisson_tables import poisson_image
from twin.numerics.words import apart, words
from twin.observatory.lobster.bounces import ARCMIN, NODES, REACH, STEP
from twin.observatory.lobster.psf import Profile, factors, frame, reflecting
from twin.observatory.lobster.state import LobsterState

ATOMS = 4096
_RANKS = (np.arange(ATOMS) + 0.5) / ATOMS


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Ways:
    """What a photon of one energy may do along an axis."""

    ends: Array
    """(2,) probability below which it is not reflected, and below which it is an even number of times"""
    offset: Array
    """(4 ATOMS,) offset of its image: none, even, odd, odd and broadened [arcmin]"""
    pore: Array
    """(4 ATOMS,) direction sine of its pore about the source [arcmin]"""
    light: Array
    """() light of an axis of a boundless optic, in radians of pore"""


def _golden(k: int) -> np.ndarray:
    """A low-discrepancy sequence in the order of the atoms, independent of the others."""
    return (0.5 + np.arange(ATOMS) * np.array([0.8191725134, 0.6710436067, 0.5497004779])[k]) % 1


def _wing(state: LobsterState, rank: Array) -> Array:
    """Offsets [arcmin] in the wing at ranks from 0 to 1."""
    x = jnp.clip(2 * rank - 1, -0.9999, 0.9999)
    return state.scatter_width * x / jnp.sqrt(1 - x**2)


def ways(state: LobsterState, p: Profile) -> Ways:
    """The draws of a profile: made once for a State and an energy."""
    x = jnp.linspace(-2 * REACH, 2 * REACH, 2 * NODES + 1) / ARCMIN
    rows = jnp.stack([p.even[0], p.even[1] + p.even[2]])
    even = [jnp.interp(_RANKS * row[-1], row, x) for row in rows]
    # of what lies there, the wing's is from pores as far from there as the wing reaches
    near = jnp.clip(((even[1] * ARCMIN + 2 * REACH) / (2 * STEP)).astype(jnp.int32), 0, 2 * NODES - 1)
    rises = jnp.diff(p.even[1:])[:, near]
    turned = even[1] - jnp.where(_golden(0) * rises.sum(0) < rises[1], _wing(state, jnp.asarray(_golden(1))), 0.0)
    whole = p.odd.sum(0)
    s = jnp.linspace(0, REACH, NODES + 1)
    pore = jnp.interp(_RANKS * whole[-1], whole, s)
    node = jnp.clip((pore / STEP).astype(jnp.int32), 0, NODES - 1)
    rise = p.odd[:, node + 1] - p.odd[:, node]
    more = (rise[1] > _golden(0) * rise.sum(0)).astype(jnp.int32)
    share, rank = p.scatter[2 * more], jnp.asarray(_golden(1), jnp.float32)
    loose = rank < share
    again = jnp.where(loose, rank / jnp.maximum(share, 1e-9), (rank - share) / jnp.maximum(1 - share, 1e-9))
    wing = _wing(state, again)
    nodes = jnp.linspace(-1, 1, p.core.shape[-1])
    side = jnp.asarray(np.where(_golden(2) < 0.5, -1.0, 1.0), jnp.float32)
    odd = []
    for k in range(2):
        core = [jnp.interp(again, row, nodes) * p.reach[k] for row in p.core[:, k]]
        odd.append(side * jnp.where(loose, wing, jnp.where(more == 1, core[1], core[0])))
    light = jnp.stack([rows[0, -1], rows[1, -1], 2 * whole[-1]])
    pore = side * pore / ARCMIN
    return Ways(
        jnp.cumsum(light)[:2] / light.sum(),
        jnp.concatenate([*even, *odd]),
        jnp.concatenate([even[0] / 2, reflecting(state, turned / 2 * ARCMIN) / ARCMIN, pore, pore]),
        light.sum(),
    )


def _way(below: list[Array], step: list[Array], u: Array) -> tuple[Array, Array, Array]:
    """The way (of 3 ATOMS: none, even, odd) that uniform deviates take; whether it is even or odd, and whether odd.

    below  (2,) as `Ways.ends`;  step  (3,) what of u an atom of each kind has
    """
    some, odd = u >= below[0], u >= below[1]
    begin = jnp.where(odd, below[1], jnp.where(some, below[0], 0.0))
    first = jnp.where(odd, 2 * ATOMS, jnp.where(some, ATOMS, 0))
    each = jnp.where(odd, step[2], jnp.where(some, step[1], step[0]))
    return first + jnp.minimum(((u - begin) * each).astype(jnp.int32), ATOMS - 1), some, odd


def photons(
    key: Array, state: LobsterState, w: Ways, sources: Array, counts: Array, background: ArrayLike,
    edges_x: ArrayLike, edges_y: ArrayLike, size: int,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """Places x, y [arcmin], the source (sources + 1: background) and whether there is such a photon, each (size,).

    sources     (sources, 2) direction sines along the detector's axes, from the middle of the field [arcmin]
    counts      (sources,) mean number of photons that a boundless optic would bring to a boundless detector
    background  mean number of events that are spread evenly over the detector
    size        photons that may be drawn: Poisson numbers beyond it are cut, so keep it some sqrt(N) above the mean
    """
    k_number, k_bits = jax.random.split(key)
    mean = jnp.append(counts, background)
    ones = np.triu(np.ones((len(counts) + 1, len(counts) + 1), np.float32))
    # no cumulative sum, and no array of both axes: loops with neither are vectorised
    below = jnp.matmul(mean[None], ones, precision="highest")[0]
    number = poisson(k_number, below[-1])
    angle = jnp.deg2rad(state.roll)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    turn = jnp.stack([jnp.stack([cos, sin]), jnp.stack([-sin, cos])])
    places = jnp.matmul(turn, jnp.pad(sources, ((0, 1), (0, 0))).T, precision="highest")
    ends = [w.ends[0], w.ends[1]]
    steps = [ATOMS / jnp.maximum(end - begin, 1e-9) for begin, end in ((0, ends[0]), (ends[0], ends[1]), (ends[1], 1))]
    some, bits, below, middles, ends, steps = apart(
        number > 0, (number, words(k_bits, size), below, (places[0], places[1]), ends, steps)
    )
    # 20 bits for the way along each axis, 24 for the source
    u = [(b >> 12).astype(jnp.float32) * 2.0**-20 + 2.0**-21 for b in bits]
    choice = ((bits[0] & 0xFFF) << 12 | (bits[1] & 0xFFF)).astype(jnp.float32) * 2.0**-24
    which = (choice * below[-1] >= below[:-1, None]).sum(0)
    empty = which == len(counts)
    middle = [_taken(table, which) for table in middles]
    way, reflected, odd = zip(*(_way(ends, steps, v) for v in u), strict=True)
    pores = [_taken(w.pore, taken) for taken in way]
    sines = [pore * ARCMIN for pore in pores]
    passed = jnp.arange(size) < some
    found = []
    for axis in range(2):
        broad = odd[axis] & reflected[1 - axis] & ~odd[1 - axis]
        offset = _taken(w.offset, way[axis] + jnp.where(broad, ATOMS, 0))
        # arms are bent: see twin.observatory.lobster.psf
        bend = (middle[axis] - 2 * pores[axis]) * sines[1 - axis] ** 2
        found.append(middle[axis] + offset + jnp.where(odd[axis] & ~odd[1 - axis], bend, 0.0))
    for axis, seen in enumerate(pore_places((middle[0], middle[1]), pores, sines)):
        passed &= inside_plates(state, axis, seen) | empty
    x, y = cos * found[0] - sin * found[1], sin * found[0] + cos * found[1]
    edges_x, edges_y = jnp.asarray(edges_x), jnp.asarray(edges_y)
    x = jnp.where(empty, edges_x[0] + (edges_x[-1] - edges_x[0]) * u[0], x)
    y = jnp.where(empty, edges_y[0] + (edges_y[-1] - edges_y[0]) * u[1], y)
    passed &= (x >= edges_x[0]) & (x < edges_x[-1]) & (y >= edges_y[0]) & (y < edges_y[-1])
    return x, y, which, passed


def _taken(table: Array, at: Array) -> Array:
    return table.at[at].get(mode="promise_in_bounds")


def exposed(
    key: Array, state: LobsterState, p: Profile, sources: Array, counts: Array, background: ArrayLike,
    edges_x: ArrayLike, edges_y: ArrayLike,
) -> Array:  # fmt: skip
    """(y bins, x bins) photons, int32, as `count` of `photons`: drawn bin by bin from the expected image.

    Cheaper than photons from some 12,000 in 128 x 128 bins on. For a detector that the pores are not rolled against.
    """
    edges_x, edges_y = jnp.asarray(edges_x, jnp.float32), jnp.asarray(edges_y, jnp.float32)
    light = p.even[:, -1].sum() + 2 * p.odd[:, -1].sum()
    x = factors(state, p, 0, sources[:, 0], edges_x, sources[:, 1])
    y = factors(state, p, 1, sources[:, 1], edges_y, sources[:, 0])
    bins = (len(edges_x) - 1) * (len(edges_y) - 1)
    expected = frame(x, y, counts / light**2) + jnp.asarray(background) / bins
    return poisson_image(key, expected)


def pore_places(source: tuple[Array, Array], pores: list[Array], sines: list[Array]) -> tuple[Array, Array]:
    """Direction sines [arcmin] from the middle of the field of pores that lie at sines about their sources."""
    a, b = (place * ARCMIN for place in source)
    k = 1 / (1 + jnp.sqrt(1 - a**2 - b**2))
    towards = jnp.sqrt(1 - sines[0] ** 2 - sines[1] ** 2)
    turn = k * (a * pores[0] + b * pores[1])
    return source[0] * towards + pores[0] - a * turn, source[1] * towards + pores[1] - b * turn


def inside_plates(state: LobsterState, axis: int, pore: Array) -> Array:
    """Whether pores at these sines [arcmin] lie in a plate's open part."""
    lo, hi = state.aperture[axis]
    pitch, gap = (v / state.radius / ARCMIN for v in (state.plate_pitch, state.plate_gap))
    cell = (pore - lo) / pitch
    return (pore >= lo) & (pore < hi) & (jnp.abs(cell - jnp.floor(cell) - 0.5) * pitch < (pitch - gap) / 2)


def count(x: Array, y: Array, passed: Array, edges_x: ArrayLike, edges_y: ArrayLike) -> Array:
    """(y bins, x bins) photons, int32, in bins of equal width."""
    edges_x, edges_y = jnp.asarray(edges_x), jnp.asarray(edges_y)
    nx, ny = len(edges_x) - 1, len(edges_y) - 1
    column = jnp.clip(((x - edges_x[0]) * (nx / (edges_x[-1] - edges_x[0]))).astype(jnp.int32), 0, nx - 1)
    row = jnp.clip(((y - edges_y[0]) * (ny / (edges_y[-1] - edges_y[0]))).astype(jnp.int32), 0, ny - 1)
    bins = jnp.where(passed, row * nx + column, nx * ny)
    return jnp.zeros(nx * ny + 1, jnp.int32).at[bins].add(1, mode="promise_in_bounds")[:-1].reshape(ny, nx)
