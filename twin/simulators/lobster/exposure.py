"""One exposure of a lobster eye: photons of many sources and clumps of background, drawn as a list and counted in bins.

What an exposure holds is a list of entries: every source at every one of the NODES energies, then the parts of the
background. Each has a Poisson number of photons (or clumps), known before any is drawn, and photons are drawn in blocks
of BLOCK until the list is at its end: a Crab in the field costs its photons, an empty field next to nothing.

Background: counts in clumps of Fisher's logarithmic law (twin.observatory.xray.background), a clump in one pixel and
channel. Diffuse light with density 1 - v (u^2 + w^2) / 2 over the detector, u, w from -1 to 1, is the even mixture of
1 - v u^2 and 1 - v w^2; particles and flickering pixels are flat in place; leaked light rises linearly with y.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.poisson import poisson
from twin.numerics.words import apart, words
from twin.observatory.lobster.bounces import ARCMIN
from twin.observatory.lobster.photons import ATOMS, inside_plates, pore_places
from twin.observatory.lobster.state import LobsterState
from twin.observatory.xray import BackgroundConfig, Clumps
from twin.simulators.lobster.energies import EACH, FINE, NODES, RANKS, Channels, channel_ranks
from twin.simulators.lobster.optics import Optic

BLOCK = 2048  # photons drawn at a time: what they need stays in the cache
PARTS = ("diffuse_x", "diffuse_y", "particles", "leak", "column")  # of the background, before its single pixels
QUANTILES = 65  # of a light curve's arrival times
_ROW = 32  # of a block, in its running sum
_SIZES = 8  # clumps are no larger: one in 2e6 would be
_SOFT, _FLICKER = 0.06, 0.15  # [keV] e-folding energies of leaked light and of flickers above the least of the band


class Photons(NamedTuple):
    """Events, one a row: pixel from 0, channel, time in units of the exposure, slot of the source (-1: background), and
    how many of them there are (0: none)."""

    x: Array
    y: Array
    pi: Array
    time: Array
    source: Array
    number: Array


@dataclass(frozen=True)
class Frame:
    """Geometry: `bins` a side of `pixels` sensor pixels each, from `origin` [arcmin], pixels of `pixel` [arcmin].

    bands   energy bands along the frame's first axis
    times   slices of the exposure, 0 for none; `sliced`: the frame's first axis is time, not energy
    """

    bins: int
    pixels: int
    origin: tuple[float, float]
    pixel: float
    bands: int
    times: int
    sliced: bool

    @property
    def side(self) -> float:
        """[arcmin]."""
        return self.bins * self.pixels * self.pixel

    @property
    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        steps = np.arange(self.bins + 1) * (self.pixels * self.pixel)
        return self.origin[0] + steps, self.origin[1] + steps


class Background:
    """Tables of the background in one instrument's channels."""

    def __init__(self, config: BackgroundConfig, channels: Channels, diffuse: np.ndarray, band: tuple[float, float]):
        """diffuse: (FINE,) relative numbers of diffuse photons; band [keV]: that of the config's rates."""
        self.config = config
        inside = (channels.centre >= band[0]) & (channels.centre < band[1])
        above = np.maximum(channels.centre - band[0], 0)
        density = np.stack(
            [
                diffuse @ channels.matrix,
                np.ones(len(inside)),
                np.exp(-above / _SOFT),
                np.exp(-above / _FLICKER),
            ]
        )
        density = np.where(inside, density, 0.0)
        density /= density.sum(1, keepdims=True)
        self.ranks = np.stack([channel_ranks(row) for row in density])
        bands = channels.lines.max() + 1
        self.in_band = np.stack([density[:, channels.lines == k].sum(1) for k in range(bands)], 1)
        clumps = Clumps(config.dispersion)
        self.clump = clumps.mean
        self.sizes = clumps.distribution()[:_SIZES]

    def across(self, u: Array) -> Array:
        """Places from 0 to 1 with the density 1 - v w^2, w from -1 to 1, at uniform deviates: w - v w^3 / 3 is
        (1 - v / 3) (2 u - 1), by Newton's method."""
        v = self.config.vignetting
        wanted = (1 - v / 3) * (2 * u - 1)
        w = wanted
        for _ in range(4 if v < 0.5 else 12):
            w = w - (w - v / 3 * w**3 - wanted) / (1 - v * w * w)
            w = jnp.clip(w, -1.0, 1.0)
        return 0.5 * (w + 1)


@dataclass(frozen=True)
class Scene:
    """What the light of an exposure is.

    place   (S, 2) sources along the detector's axes, from the middle of the field of the plates [arcmin]
    mean    (S, FINE) photons that a boundless optic would bring to a boundless detector
    curve   (V, QUANTILES) arrival times of the first V sources, in units of the exposure, at even ranks
    counts  (parts,) mean counts of PARTS and of each flickering pixel, in the band of the background's rates
    spots   (2, pixels) place of the flickering pixels, and of the column (first row, last element), from 0 to 1
    drift   () relative change of the background's rate from the beginning to the end
    """

    place: Array
    mean: Array
    curve: Array
    counts: Array
    spots: Array
    drift: Array


def expose(
    key: Array,
    o: Optic,
    state: LobsterState,
    scene: Scene,
    frame: Frame,
    background: Background,
    channels: Channels,
    room: int = 0,
) -> tuple[Array, Array, Photons | None, Array]:
    """Draw an exposure: frame (bands or times, y, x) int32; slices (times, y, x) int32, empty where there are none; the
    events themselves and the number of rows that would be needed, where there is `room` for any.

    Pure; meant for `jax.lax.map`, not for `vmap`, under which all exposures draw as many blocks as the longest.
    """
    number_key, draw_key, time_key = jax.random.split(key, 3)
    sources = scene.place.shape[0]
    by_node = scene.mean.reshape(sources * NODES, EACH)
    node_mean = by_node.sum(1)
    fine = jnp.cumsum(by_node, 1) / jnp.maximum(node_mean, 1e-30)[:, None]
    fines = [fine[:, k] for k in range(EACH - 1)]
    entry_mean = jnp.concatenate([node_mean, scene.counts / background.clump])
    ends = jnp.cumsum(poisson(number_key, entry_mean).astype(jnp.int32))
    first = sources * NODES  # the first entry of the background
    light_ends = ends[first - 1]

    angle = jnp.deg2rad(state.roll)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    # a source's place in the pores' axes, and where a part of the background begins, in units of the side
    at_x = cos * scene.place[:, 0] + sin * scene.place[:, 1]
    at_y = cos * scene.place[:, 1] - sin * scene.place[:, 0]
    zero = jnp.zeros(len(PARTS) - 1)
    spot_x = jnp.concatenate([zero, scene.spots[0, -1:], scene.spots[0, :-1]])
    spot_y = jnp.concatenate([zero, jnp.zeros(1), scene.spots[1, :-1]])
    column_part = len(PARTS) - 1
    ranks = jnp.concatenate([jnp.asarray(channels.quantiles), jnp.asarray(background.ranks)]).reshape(-1)
    sizes = [float(size) for size in background.sizes[:-1]]
    pore, offset = o.ways.pore.reshape(-1), o.ways.offset.reshape(-1)
    none_below, even_below = o.ways.ends[:, 0], o.ways.ends[:, 1]
    x0, y0 = frame.origin
    pixels = frame.bins * frame.pixels
    timed = frame.times > 0 or room > 0

    def pixel(x: Array, y: Array, there: Array) -> Array:
        """Number of the pixel at places from the detector's corner [arcmin], -1 beside it or where there is none."""
        column, row = x * (1 / frame.pixel), y * (1 / frame.pixel)
        there &= (column >= 0) & (column < pixels) & (row >= 0) & (row < pixels)
        return jnp.where(there, row.astype(jnp.int32) * pixels + column.astype(jnp.int32), -1)

    def light(entry: Array, u: list[Array], v: Array) -> tuple[Array, Array]:
        """Pixel and fine bin of photons: a way along each axis of the pores, as
        twin.observatory.lobster.photons draws it."""
        entry = jnp.minimum(entry, first - 1)
        source = entry // NODES
        node = entry - source * NODES
        none, even = none_below[node], even_below[node]
        kinds, atoms = zip(*(_along(none, even, u[axis]) for axis in range(2)), strict=True)
        middle = at_x[source], at_y[source]
        ways = [(node * 4 + kinds[axis]) * ATOMS + atoms[axis] for axis in range(2)]
        pores = [pore[way] for way in ways]
        sines = [place * ARCMIN for place in pores]
        found = []
        for axis in range(2):
            odd, other = kinds[axis] == 2, kinds[1 - axis]
            moved = middle[axis] + offset[ways[axis] + jnp.where(odd & (other == 1), ATOMS, 0)]
            bend = (middle[axis] - 2 * pores[axis]) * sines[1 - axis] ** 2
            found.append(moved + jnp.where(odd & (other != 2), bend, 0.0))
        there = jnp.ones(BLOCK, bool)
        for axis, place in enumerate(pore_places(middle, pores, sines)):
            there &= inside_plates(state, axis, place)
        x, y = cos * found[0] - sin * found[1] - x0, sin * found[0] + cos * found[1] - y0
        within = sum(((v >= below[entry]).astype(jnp.int32) for below in fines), jnp.zeros(BLOCK, jnp.int32))
        return pixel(x, y, there), node * EACH + within

    def dark(entry: Array, u: list[Array], v: Array) -> tuple[Array, Array, Array]:
        """Pixel, part of the tables of channels, and how many there are, of clumps of background."""
        part = jnp.clip(entry - first, 0, len(spot_x) - 1)
        flat_x = jnp.where(part == 0, background.across(u[0]), u[0])
        flat_y = jnp.where(part == PARTS.index("leak"), jnp.sqrt(u[1]), u[1])
        flat_y = jnp.where(part == 1, background.across(u[1]), flat_y)
        x = jnp.where(part < column_part, flat_x, spot_x[part]) * frame.side
        y = jnp.where(part <= column_part, flat_y, spot_y[part]) * frame.side
        size = sum(((v > below).astype(jnp.int32) for below in sizes), jnp.ones(BLOCK, jnp.int32))
        return pixel(x, y, entry < len(ends)), FINE + jnp.clip(part - 1, 0, 3), size

    def block(i: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Entry, pixel, channel, number and word for the time of some photons and clumps."""
        begin = i * BLOCK
        entry, (high, low) = apart(ends[-1] > begin, (_entries(ends, begin), words(draw_key, BLOCK, begin)))
        u = [(word >> 12).astype(jnp.float32) * 2.0**-20 + 2.0**-21 for word in (high, low)]
        rest = (high & 0xFFF) << 12 | (low & 0xFFF)  # 9 bits of rank, 15 of fine energy or clump size
        rank, v = (rest >> 15).astype(jnp.int32), (rest & 0x7FFF).astype(jnp.float32) * 2.0**-15 + 2.0**-16
        blank = jnp.zeros(BLOCK, jnp.int32)
        of_light = jax.lax.cond(begin < light_ends, lambda: light(entry, u, v), lambda: (blank, blank))
        of_dark = jax.lax.cond(begin + BLOCK > light_ends, lambda: dark(entry, u, v), lambda: (blank, blank, blank))
        empty = entry >= first
        place, g = (jnp.where(empty, of_dark[k], of_light[k]) for k in range(2))
        number = jnp.where(place < 0, 0, jnp.where(empty, of_dark[2], 1))
        return entry, place, ranks[g * RANKS + rank].astype(jnp.int32), number, begin

    spans = [np.flatnonzero(channels.lines == k) for k in range(frame.bands)]
    bins = frame.bins**2
    planes = frame.times if frame.sliced else frame.bands
    slices = 0 if frame.sliced else frame.times

    def more(carry: tuple[Array, Array, Array, Photons | None]) -> tuple[Array, Array, Array, Photons | None]:
        i, image, cube, kept = carry
        entry, pixel_of, pi, number, begin = block(i)
        band = jnp.full(BLOCK, -1)
        for k, span in enumerate(spans):
            band = jnp.where((pi >= int(span[0])) & (pi <= int(span[-1])), k, band)
        row = pixel_of // pixels
        column = pixel_of - row * pixels
        place = (row // frame.pixels) * frame.bins + column // frame.pixels
        counted = (number > 0) & (band >= 0)
        number = jnp.where(counted, number, 0)
        source = jnp.where(entry >= first, -1, entry // NODES)
        time = _times(words(time_key, BLOCK, begin)[0], scene, source) if timed else jnp.zeros(0)
        when = jnp.minimum((time * frame.times).astype(jnp.int32), frame.times - 1) if frame.times else band
        plane = when if frame.sliced else band
        image = image.at[jnp.where(counted, plane * bins + place, planes * bins)].add(number)
        if slices:
            cube = cube.at[jnp.where(counted, when * bins + place, slices * bins)].add(number)
        if kept is not None:
            p = Photons(column, row, pi, time, source, number)
            at = jnp.minimum(begin, room - BLOCK)
            kept = Photons(*(jax.lax.dynamic_update_slice(a, b, (at,)) for a, b in zip(kept, p, strict=True)))
        return i + 1, image, cube, kept

    kept = None
    if room:
        kept = Photons(*(jnp.zeros(room, t) for t in (*3 * (jnp.int32,), jnp.float32, *2 * (jnp.int32,))))
    start = (jnp.int32(0), jnp.zeros(planes * bins + 1, jnp.int32), jnp.zeros(slices * bins + 1, jnp.int32), kept)
    _, image, cube, kept = jax.lax.while_loop(lambda c: c[0] * BLOCK < ends[-1], more, start)
    side = frame.bins
    return image[:-1].reshape(planes, side, side), cube[:-1].reshape(slices, side, side), kept, ends[-1]


def _entries(ends: Array, begin: Array) -> Array:
    """(BLOCK,) entries, of which each ends before photon `ends`, that photons from `begin` on belong to: as
    `searchsorted` of sorted numbers, by a running sum over those that end at each photon."""
    steps = jnp.zeros(BLOCK, jnp.float32).at[jnp.maximum(ends - begin, 0)].add(1.0, mode="drop")
    rows = steps.reshape(-1, _ROW) @ np.triu(np.ones((_ROW, _ROW), np.float32))
    above = rows[:, -1] @ np.triu(np.ones((BLOCK // _ROW, BLOCK // _ROW), np.float32), 1)
    return (rows + above[:, None]).reshape(-1).astype(jnp.int32)


def _along(none: Array, even: Array, u: Array) -> tuple[Array, Array]:
    """The kind of way (none, even, odd) and its atom, of uniform deviates; probabilities below which it is not
    reflected, and below which it is an even number of times."""
    kind = (u >= none).astype(jnp.int32) + (u >= even)
    begin = jnp.where(kind == 0, 0.0, jnp.where(kind == 1, none, even))
    end = jnp.where(kind == 0, none, jnp.where(kind == 1, even, 1.0))
    atom = ((u - begin) / jnp.maximum(end - begin, 1e-9) * ATOMS).astype(jnp.int32)
    return kind, jnp.clip(atom, 0, ATOMS - 1)


def _times(bits: Array, scene: Scene, source: Array) -> Array:
    """Arrival times, in units of the exposure, of photons of sources (-1: background)."""
    u = (bits >> 8).astype(jnp.float32) * 2.0**-24
    varying = scene.curve.shape[0]
    at = u * (QUANTILES - 1)
    low = at.astype(jnp.int32)
    index = jnp.clip(source, 0, varying - 1) * QUANTILES + low
    table = scene.curve.reshape(-1)
    drawn = table[index] + (at - low) * (table[index + 1] - table[index])
    # background: density 1 + d (t - 1/2), its inverse by the quadratic formula
    d = scene.drift
    b = 1 - d / 2
    drifted = 2 * u / (b + jnp.sqrt(jnp.maximum(b * b + 2 * d * u, 1e-9)))
    found = jnp.where(source < 0, drifted, jnp.where(source < varying, drawn, u))
    return jnp.clip(found, 0.0, 1.0 - 2.0**-24)


def curve_quantiles(rate: Array) -> Array:
    """(V, QUANTILES) arrival times of rates (V, knots) at even times, at even ranks, in units of the exposure."""
    knots = rate.shape[1]
    steps = 0.5 * (rate[:, 1:] + rate[:, :-1])
    below = jnp.concatenate([jnp.zeros((rate.shape[0], 1)), jnp.cumsum(steps, 1)], 1)
    ranks = jnp.linspace(0.0, 1.0, QUANTILES)
    # a source that was not seen at all has no photons: any times will do
    below = below + 1e-7 * jnp.linspace(0.0, 1.0, knots)
    return jax.vmap(lambda row: jnp.interp(ranks * row[-1], row, jnp.linspace(0.0, 1.0, knots)))(below)
