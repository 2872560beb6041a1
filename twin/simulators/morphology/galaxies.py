"""Scenes of one galaxy: closed components in Fourier space, sampled ones on cells, unrelated objects around it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.fourier import Grid, Spectrum, image, product, spectrum
from twin.observatory.detector import variance
from twin.observatory.state import ImagerState
from twin.priors.fields import Truth
from twin.priors.morphology import FIELD_GALAXIES
from twin.simulators.base import Canvas
from twin.simulators.morphology import encounter, maps, shapes
from twin.simulators.morphology.maps import Cells, Plane
from twin.simulators.optical import counts
from twin.simulators.scene import Points, point_spectrum

_NAMES = {"arm": "arms", "clump": "clumps"}
_KERNELS = (
    0.10,
    0.26,
)  # standard deviation of what a particle stands for, in scale lengths: inside, outside
_DUSTY = 2.0  # times the pixel's Nyquist limit: what dust takes of thin discs and small bulges needs finer waves
_LANE_CELLS = 3  # cells a pixel, and waves as fine as they hold, for lanes seen from the edge: their sides are steep
_MARGIN = 4  # pixels of maps around the frame
_BEYOND = 0.75, 0.85  # of the frame's side from its middle: where a nucleus that has left begins to fade, and is gone
_WITHIN = np.cumsum(encounter.WEIGHTS), np.arange(encounter.PARTICLES, dtype=np.float32)  # light within a particle


@dataclass(frozen=True)
class Sketch:
    """What is in a frame before PSF and noise.

    sharp    spectrum (B, 2 half, half), still to be integrated over the pixel
    smooth   maps (B, n, n) [counts a cell], or their spectrum; None where there is none
    features maps (npix, npix) of the middle band [counts a pixel] of what stands out, by name
    grid     frequencies of `smooth`; None = the studio's low ones
    """

    sharp: Spectrum
    smooth: Array | Spectrum | None
    features: dict[str, Array]
    parts: dict[str, Array]
    grid: Grid | None = None


@dataclass(frozen=True)
class Studio:
    """Frame, cells and frequencies that sampled light needs: `low`, to 1.25 times the pixel's Nyquist limit."""

    canvas: Canvas
    cells: int
    wavelengths: np.ndarray

    @cached_property
    def grid(self) -> Grid:
        return self.canvas.grid

    @cached_property
    def low(self) -> Grid:
        return self.up_to(1.25)

    def up_to(self, factor: float) -> Grid:
        """The frame's frequencies up to `factor` times the pixel's Nyquist limit, or as far as they go."""
        limit = 0.5 * factor / self.grid.pixel_scale
        return replace(self.grid, limit=min(limit, self.grid.limit))

    @cached_property
    def fine(self) -> Cells:
        # `spectrum` tells the cells a pixel from the map's side: less than one more for all of the margin
        return Cells(self.grid, self.cells, min(_MARGIN, (self.grid.npix - 1) // (2 * self.cells)))

    @property
    def middle(self) -> int:
        """Band in which features are judged."""
        return len(self.wavelengths) // 2

    def lowered(self, s: Spectrum, low: Grid) -> Spectrum:
        """The frequencies `low` of a spectrum (..., 2 half, half)."""
        h, k = self.grid.half, low.half
        re, im = (jnp.concatenate([v[..., :k, :k], v[..., h : h + k, :k]], -2) for v in s)
        return re, im


def field_spectrum(grid: Grid, truth: Truth, state: ImagerState) -> Spectrum:
    """Unrelated galaxies, thin inclined discs, and a star: (B, 2 half, half)."""
    star, names = f"field{FIELD_GALAXIES}", [f"field{k}" for k in range(FIELD_GALAXIES)]
    flux = counts(truth[f"{star}_mag"], state)[:, None]
    re, im = point_spectrum(grid, Points(truth[f"{star}_x"][None], truth[f"{star}_y"][None], flux))

    def one(x: Array, y: Array, scale: Array, cos_i: Array, angle: Array) -> Spectrum:
        profile = shapes.inclined_disc(*shapes.turned(grid, angle), scale, 0.15 * scale, cos_i)
        wave = shapes.waves(grid, x, y)
        return profile * wave[0], profile * wave[1]

    kinds = ("x", "y", "scale", "cos_i", "angle")
    each = jax.vmap(one)(*(jnp.stack([truth[f"{name}_{kind}"] for name in names]) for kind in kinds))
    flux = jnp.stack([counts(truth[f"{name}_mag"], state) for name in names], 1)
    more_re, more_im = (jnp.einsum("bk,kyx->byx", flux, part) for part in each)
    return re + more_re, im + more_im


def _moved(grid: Grid, x: Array, y: Array, *parts: tuple[Array, Array]) -> Spectrum:
    """Spectrum (B, 2 half, half) of components (flux (B,), transform) about one place.

    Added up by a matrix product: XLA fuses a sum into all that comes after it and works each transform out many times.
    """
    wave = shapes.waves(grid, x, y)
    total = jnp.einsum("bk,kyx->byx", jnp.stack([flux for flux, _ in parts], 1), jnp.stack([t for _, t in parts]))
    return total * wave[0], total * wave[1]


def _flux(truth: Truth, name: str, state: ImagerState) -> Array:
    return counts(truth[f"{name}_mag"], state)[:, None, None]


def smooth(studio: Studio, truth: Truth, state: ImagerState) -> Sketch:
    """One Sersic profile."""
    f_u, f_v = shapes.turned(studio.grid, truth["galaxy_angle"])
    profile = shapes.sersic(f_u, f_v, truth["bulge_radius"], truth["bulge_q"], truth["bulge_n"])
    light = counts(truth["bulge_mag"], state), profile
    return Sketch(_moved(studio.grid, truth["galaxy_x"], truth["galaxy_y"], light), None, {}, {})


def star(studio: Studio, truth: Truth, state: ImagerState) -> Sketch:
    """A point."""
    flux = counts(truth["star_mag"], state)[:, None]
    point = Points(truth["star_x"][None], truth["star_y"][None], flux)
    return Sketch(point_spectrum(studio.grid, point), None, {}, {})


def disc(studio: Studio, truth: Truth, state: ImagerState) -> Sketch:
    """Bulge, disc and bar in closed form; arms, ring, clumps and what dust takes of everything sampled.

    Dust takes of the light that the closed forms have in the cells, no other: what it leaves is never less than
    nothing.
    """
    f_u, f_v = shapes.turned(studio.grid, truth["galaxy_angle"])
    cos_i = truth["cos_inclination"]
    profiles = {
        "bulge": shapes.sersic(f_u, f_v, truth["bulge_radius"], truth["bulge_q"], truth["bulge_n"]),
        "disc": shapes.inclined_disc(f_u, f_v, truth["disc_scale"], truth["disc_height"], cos_i),
    }
    if "bar_mag" in truth:
        profiles["bar"] = shapes.ferrers_bar(f_u, f_v, truth["bar_length"], truth["bar_q"], truth["bar_angle"], cos_i)
    light = [(counts(truth[f"{name}_mag"], state), profile) for name, profile in profiles.items()]
    sharp = _moved(studio.grid, truth["galaxy_x"], truth["galaxy_y"], *light)
    if "dust_tau" in truth and "arm_mag" not in truth:
        studio = replace(studio, cells=max(studio.cells, _LANE_CELLS))
        grid = studio.up_to(studio.cells)
        depth = maps.edge_on_dust(studio.fine, truth)
        passed = maps.well_mixed(shapes.extinction(studio.wavelengths, truth["z_galaxy"])[:, None, None] * depth)
        lost, feature = _taken(studio, _old(studio, truth, light, grid), passed)
        return Sketch(sharp, -lost, {"dust": feature}, {}, grid)
    grid = studio.up_to(_DUSTY) if "dust_tau" in truth else studio.low
    sampled, features = _sampled(studio, truth, state, light, grid)
    return Sketch(sharp, sampled, features, {}, grid)


def _sampled(
    studio: Studio, truth: Truth, state: ImagerState, closed: list[tuple[Array, Array]], grid: Grid
) -> tuple[Array | None, dict[str, Array]]:
    """Maps (B, n, n) of young light as dust leaves it, less what dust takes of the old (flux and transform of each
    component); and what stands out."""
    if not {"arm_mag", "ring_mag", "clump_mag"} & truth.keys():
        return None, {}
    cells, plane = studio.fine, Plane.of(studio.fine, truth)
    plain = maps.exponential(plane, truth["disc_scale"])
    maps_of: dict[str, tuple[Array, Array]] = {}  # (component, the same light without it)
    if "arm_mag" in truth:
        maps_of["arm"] = maps.arms(plane, truth)
    if "ring_mag" in truth:
        maps_of["ring"] = maps.ring(plane, truth), plain
    if "clump_mag" in truth:
        maps_of["clump"] = maps.clumps(cells, *(truth[f"clump_{k}"] for k in ("x", "y", "light", "size"))), plain
    each = [_flux(truth, name, state) * m for name, (m, _) in maps_of.items()]
    light = sum(each[1:], each[0])
    if "bar_mag" in truth:
        maps_of["bar"] = maps.bar(plane, truth)
    features = {
        _NAMES.get(name, name): cells.pixels(m - without) * counts(truth[f"{name}_mag"], state)[studio.middle]
        for name, (m, without) in maps_of.items()
    }
    if "dust_tau" in truth:
        law = shapes.extinction(studio.wavelengths, truth["z_galaxy"])[:, None, None]
        passed = maps.half_behind(law * maps.arm_dust(plane, truth))
        lost, features["dust"] = _taken(studio, _old(studio, truth, closed, grid) + light, passed)
        light = light - lost
    return light, features


def _old(studio: Studio, truth: Truth, closed: list[tuple[Array, Array]], grid: Grid) -> Array:
    """Light (B, n, n) in the cells of what is drawn in closed form, (flux (B,), transform) each."""
    h, k = studio.grid.half, grid.half
    total: Array | float = 0.0
    for flux, profile in closed:
        kept = jnp.concatenate([profile[:k, :k], profile[h : h + k, :k]])
        total = total + flux[:, None, None] * studio.fine.light(grid, kept, truth["galaxy_x"], truth["galaxy_y"])
    return jnp.asarray(total)


def _taken(studio: Studio, light: Array, passed: Array) -> tuple[Array, Array]:
    """What dust takes of light (B, n, n), and (npix, npix) what of it is no even dimming, in the middle band."""
    taken = (1 - passed) * light
    lost, whole = taken[studio.middle], light[studio.middle]
    dimming = jnp.sum(lost * whole) / jnp.maximum(jnp.sum(whole * whole), 1e-20)
    return taken, studio.fine.pixels(lost - dimming * whole)


def merger(studio: Studio, truth: Truth, state: ImagerState) -> Sketch:
    """Two bulges in closed form, two discs of particles smoothed in Fourier space, clumps that went with them."""
    flux = [counts(truth[f"disc{k}_mag"], state) for k in (0, 1)]
    share = jnp.stack([jnp.ones_like(truth["mass_ratio"]), truth["mass_ratio"]]) / (1 + truth["mass_ratio"])
    now = encounter.snapshot(
        truth["mass_ratio"], truth["pericentre"], truth["encounter_time"], truth["spin"], truth["spin_node_angle"],
        truth["view"], share,
    )  # fmt: skip
    cos, sin = jnp.cos(truth["galaxy_angle"]), jnp.sin(truth["galaxy_angle"])

    def sky(p: Array) -> tuple[Array, Array]:
        u, v = p[..., 0] * truth["disc0_scale"], p[..., 1] * truth["disc0_scale"]
        return truth["galaxy_x"] + cos * u - sin * v, truth["galaxy_y"] + sin * u + cos * v

    re, im = jnp.zeros(()), jnp.zeros(())
    nucleus_x, nucleus_y = sky(now.nuclei)
    f_u, f_v = shapes.turned(studio.grid, jnp.float32(0))
    for k in (0, 1):
        profile = shapes.sersic(f_u, f_v, truth[f"bulge{k}_radius"], jnp.float32(1), truth[f"bulge{k}_n"])
        light = counts(truth[f"bulge{k}_mag"], state) * _inside(studio, nucleus_x[k], nucleus_y[k]), profile
        more = _moved(studio.grid, nucleus_x[k], nucleus_y[k], light)
        re, im = re + more[0], im + more[1]
    x, y = sky(now.discs)
    splats = _splat(studio.fine, x, y)
    low = studio.low
    squared = (low.fx[None, :] ** 2 + low.fy[:, None] ** 2).astype(np.float32)
    scales = jnp.stack([truth["disc0_scale"], truth["disc1_scale"]])
    widths = jnp.maximum((scales[:, None] * jnp.asarray(_KERNELS)).reshape(4), studio.fine.finest)
    blur = jnp.exp((-2 * np.pi**2 * widths**2)[:, None, None] * squared)
    part_re, part_im = spectrum(low, splats)
    weights = jnp.stack([flux[0], flux[0], flux[1], flux[1]], 1)  # (B, 4)
    index = jnp.interp(truth["clump_particle"], *_WITHIN).astype(jnp.int32)
    half = len(index) // 2
    at_x, at_y = (jnp.concatenate([v[0, index[:half]], v[1, index[half:]]]) for v in (x, y))
    clumps = maps.clumps(studio.fine, at_x, at_y, truth["clump_light"], truth["clump_size"])
    clump_re, clump_im = spectrum(low, clumps)
    knots = _flux(truth, "clump", state)
    smooth = (
        jnp.einsum("bk,kyx->byx", weights, blur * part_re) + knots * clump_re,
        jnp.einsum("bk,kyx->byx", weights, blur * part_im) + knots * clump_im,
    )
    coarse = Cells(studio.grid, 1)
    moved = _splat(coarse, x, y) - _splat(coarse, *sky(now.undisturbed))
    each = jnp.stack([flux[k // 2][studio.middle] * moved[k] for k in range(4)])
    bare_re, bare_im = spectrum(low, each)
    tides = image(low, (jnp.sum(blur * bare_re, 0), jnp.sum(blur * bare_im, 0)))
    features = {"tides": tides, "clumps": studio.fine.pixels(clumps) * knots[studio.middle]}
    separation = jnp.hypot(nucleus_x[1] - nucleus_x[0], nucleus_y[1] - nucleus_y[0])
    return Sketch((re, im), smooth, features, {"strayed": jnp.sum(share * now.strayed), "separation": separation})


def _inside(studio: Studio, x: Array, y: Array) -> Array:
    """1, fading to 0 for what has left the frame so far that the period of its finest waves would bring it back: as far
    as 1.4 sides from its middle, on the other side."""
    grid, (near, far) = studio.grid, _BEYOND
    distance = jnp.maximum(jnp.abs(x), jnp.abs(y)) * (1 / (grid.npix * grid.pixel_scale))
    return jnp.clip((far - distance) * (1 / (far - near)), 0.0, 1.0)


def _splat(cells: Cells, x: Array, y: Array) -> Array:
    """Particles (2, N) of both discs on the nearest cells: (4, n, n), inner and outer ones of each disc apart."""
    n = len(cells.axis)
    column, row = (jnp.floor(v * (1 / cells.size) + 0.5 * n).astype(jnp.int32) for v in (x, y))
    group = 2 * np.arange(2)[:, None] + encounter.WIDE[None, :]
    inside = (column >= 0) & (column < n) & (row >= 0) & (row < n)
    index = jnp.where(inside, (group * n + row) * n + column, 4 * n * n)
    weight = jnp.broadcast_to(jnp.asarray(encounter.WEIGHTS), x.shape)
    flat = jnp.zeros(4 * n * n).at[index.reshape(-1)].add(weight.reshape(-1), mode="drop")
    return flat.reshape(4, n, n)


def develop(studio: Studio, sketch: Sketch, around: Spectrum, state: ImagerState) -> tuple[Array, dict[str, Array]]:
    """(expected counts (B, npix, npix), signal-to-noise ratio of each feature) of a sketch through PSF and pixel.

    A feature's is (sum of its squares over the variance of pixels)^(1/2) in the middle band: that of a matched filter.
    """
    grid, low = studio.grid, studio.low
    transfer = studio.canvas.transfer(state)
    sharp = ((sketch.sharp[0] + around[0]) * grid.pixel, (sketch.sharp[1] + around[1]) * grid.pixel)
    expected = image(grid, product(transfer, sharp))
    low_transfer = studio.lowered(transfer, low)
    if sketch.smooth is not None:
        at = sketch.grid or low
        passed = low_transfer if at is low else studio.lowered(transfer, at)
        waves = sketch.smooth if isinstance(sketch.smooth, tuple) else spectrum(at, sketch.smooth)
        expected = expected + image(at, product(passed, (waves[0] * at.pixel, waves[1] * at.pixel)))
    if not sketch.features:
        return expected, {}
    judged = (low_transfer[0][studio.middle], low_transfer[1][studio.middle])
    seen = image(low, product(judged, spectrum(low, jnp.stack(list(sketch.features.values())))))
    noise = variance(expected, state)[studio.middle]
    signal = jnp.sqrt(jnp.sum(seen * seen * (1 / noise), (-2, -1)))
    return expected, {name: signal[k] for k, name in enumerate(sketch.features)}
