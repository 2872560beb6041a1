"""What has no closed transform, sampled on cells finer than pixels: arms, rings, clumps, and what dust takes away.

Maps are (n, n) over the frame, in units of a component's flux (or counts) a cell. Nothing in them is finer than 0.8 of
a pixel (standard deviation): arms that would be are drawn wider, and midpoints converge.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr

from twin.numerics import angles
from twin.numerics.fourier import Grid
from twin.priors.fields import Truth
from twin.priors.morphology import PATCHES
from twin.simulators.morphology.shapes import edge_on_profile, ferrers_light

_ORDERS = (2.0, 3.0, 5.0, 8.0)[:PATCHES]  # waves around the disc of what breaks arms into pieces
_LANE = 0.4  # scale height of dust, of the stars' (Xilouris+ 1999, A&A 344, 868: 0.3 to 0.6)
_FADE = 0.85  # of the highest frequency
_POLAR = (np.geomspace(0.02, 15, 56).astype(np.float32), np.linspace(0, 2 * np.pi, 97)[:-1].astype(np.float32))


@dataclass(frozen=True)
class Cells:
    """Midpoints of `cells` x `cells` cells a pixel over a frame and `margin` pixels around it: what lies there the PSF
    brings in, and the edge where maps end rings outside."""

    grid: Grid
    cells: int
    margin: int = 0

    @cached_property
    def axis(self) -> np.ndarray:
        """(n,) midpoints [arcsec]."""
        n = (self.grid.npix + 2 * self.margin) * self.cells
        return ((np.arange(n) - (n - 1) / 2) * self.size).astype(np.float32)

    @property
    def size(self) -> float:
        """Side of a cell [arcsec]."""
        return self.grid.pixel_scale / self.cells

    @property
    def finest(self) -> float:
        """Least standard deviation of a detail [arcsec]: finer ones would ring where the maps' frequencies end."""
        return 0.8 * self.grid.pixel_scale

    def turned(self, x: Array, y: Array, angle: Array) -> tuple[Array, Array]:
        """Offsets (n, n) from (x, y) [arcsec] along and across an axis at `angle`."""
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        dx, dy = self.axis[None, :] - x, self.axis[:, None] - y
        return cos * dx + sin * dy, cos * dy - sin * dx

    def light(self, low: Grid, profile: Array, x: Array, y: Array) -> Array:
        """Light (n, n) of a component at (x, y) [arcsec] in the cells, of its transform (2 half, half) on the
        frequencies `low`, real for it is centred on the origin.

        As sharp as these frequencies allow: they fade out over the last 15 per cent, so that nothing rings below zero.
        """
        grid, h = self.grid, low.half
        ends = low.fx[-1]
        outer = np.clip((np.hypot(low.fx[None, :], low.fy[:, None]) / ends - _FADE) / (1 - _FADE), 0, 1)
        count = np.where(np.arange(h) == 0, 1.0, 2.0) * low.weight / (grid.npix * grid.pad * self.cells) ** 2
        once = np.concatenate([np.ones(h), [0.0], np.ones(h - 1)])  # the row ky = 0 stands twice
        weight = once[:, None] * 0.5 * (1 + np.cos(np.pi * outer)) * count
        kept = profile * weight.astype(np.float32)
        (sx, cx), (sy, cy) = (angles.sincos((2 * np.pi * low.fx[:, None]) * (self.axis - v)) for v in (x, y))
        rows = low.weight[:, None].astype(np.float32)
        even, odd = kept[:h] + kept[h:], kept[:h] - kept[h:]
        return (rows * cy).T @ (even @ cx) - (rows * sy).T @ (odd @ sx)

    def pixels(self, m: Array) -> Array:
        """Sums (..., npix, npix) of a map over the frame's pixels: strided slices, for a reduction over short axes is
        slow."""
        c = self.cells
        first, end = c * self.margin, c * (self.margin + self.grid.npix)
        each = [m[..., first + i : end : c, first + j : end : c] for i in range(c) for j in range(c)]
        return sum(each[1:], each[0])


@dataclass(frozen=True)
class Plane:
    """Places in a disc: coordinates in its plane, the part of its plane that a cell covers, the finest detail
    [arcsec]."""

    u: Array
    v: Array
    r: Array
    azimuth: Array
    area: Array
    finest: float

    @classmethod
    def of(cls, cells: Cells, truth: Truth) -> Plane:
        cos_i = truth["cos_inclination"]
        u, v = cells.turned(truth["galaxy_x"], truth["galaxy_y"], truth["galaxy_angle"])
        v = v * (1 / cos_i)
        r2 = u * u + v * v + np.float32(1e-10)
        r = jnp.sqrt(r2)
        half = angles.arcsin(v * (1 / r))
        return cls(u, v, r, jnp.where(u < 0, np.float32(np.pi) - half, half), cells.size**2 / cos_i, cells.finest)


def _run(r: Array, truth: Truth) -> Array:
    """exp(-R / h), rising from nothing at the radius where the arms begin."""
    x4 = (r * (1 / truth["arm_start_radius"])) ** 4
    return jnp.exp(-r * (1 / truth["disc_scale"])) * (x4 * x4 / (0.3 + x4 * x4))


def _wave(r: Array, azimuth: Array, truth: Truth, lag: float = 0.0) -> Array:
    """Arms' crests: m (azimuth - begin - sense ln(R / start) / tan(pitch)), 0 on a crest; `lag` rad inside it."""
    wind = jnp.log(r * (1 / truth["arm_start_radius"])) * (truth["arm_sense"] / jnp.tan(truth["arm_pitch"]))
    return truth["arm_count"] * (azimuth - truth["arm_start_angle"] - wind) + truth["arm_sense"] * lag


def _crests(r: Array, azimuth: Array, wave: Array, truth: Truth, finest: float) -> Array:
    """exp(kappa (cos(wave) - 1)), kappa such that arms are on the sky no narrower than `finest`: their width is
    1 / (|gradient of the wave on the sky| kappa^(1/2)), least where the inclination presses them together."""
    sin, cos = angles.sincos(azimuth)
    inward = truth["arm_sense"] / jnp.tan(truth["arm_pitch"])
    along, across = inward * cos + sin, (cos - inward * sin) * (1 / truth["cos_inclination"])
    unresolved = (along * along + across * across) * (finest * truth["arm_count"] * (1 / r)) ** 2
    return jnp.exp((angles.cos(wave) - 1) / (1 / truth["arm_sharpness"] + unresolved))


def _broken(r: Array, azimuth: Array, truth: Truth, finest: float) -> Array:
    """exp of waves that wind about as the arms do, rms `flocculence`: pieces of arms (Elmegreen & Elmegreen 1987, ApJ
    314, 3); waves shorter than a few times `finest` fade."""
    slope = truth["arm_sense"] / jnp.tan(truth["arm_pitch"])
    wind = jnp.log(r * (1 / truth["arm_start_radius"]))
    total: Array | float = 0.0
    for k, order in enumerate(_ORDERS):
        turn = truth["patch_winding"][k] * slope
        short = (finest * finest * order * order) * (1 + turn * turn) / (r * r)  # (finest times wave number)^2
        total = total + angles.cos(order * (azimuth - turn * wind) + truth["patch_phase"][k]) / (1 + short * short * 4)
    return jnp.exp(truth["flocculence"] * np.float32(np.sqrt(2 / len(_ORDERS))) * total)


def _arm_density(r: Array, azimuth: Array, truth: Truth, finest: float) -> tuple[Array, Array]:
    """(arms, the same disc without them), not normalised."""
    run = _run(r, truth)
    crests = _crests(r, azimuth, _wave(r, azimuth, truth), truth, finest)
    return run * crests * _broken(r, azimuth, truth, finest), run


def arms(plane: Plane, truth: Truth) -> tuple[Array, Array]:
    """(arms, a disc of their light without them), unit flux over the plane, by polar quadrature."""
    radii, azimuths = _POLAR
    r, azimuth = jnp.asarray(radii[:, None]) * truth["disc_scale"], jnp.asarray(azimuths)[None, :]
    step = np.log(radii[1] / radii[0]) * 2 * np.pi / len(azimuths)
    totals = [jnp.sum(jnp.broadcast_to(d, (len(radii), len(azimuths))) * r * r) * step
              for d in _arm_density(r, azimuth, truth, plane.finest)]  # fmt: skip
    arm, run = _arm_density(plane.r, plane.azimuth, truth, plane.finest)
    return arm * (plane.area / totals[0]), run * (plane.area / totals[1])


def ring(plane: Plane, truth: Truth) -> Array:
    """Gaussian ring of unit flux, brighter here and fainter there, on the sky no narrower than `finest`."""
    radius = truth["ring_radius"]

    def density(r: Array | float, azimuth: Array) -> tuple[Array, Array]:
        """(light by area, the same integrated over radius) at azimuths, not normalised."""
        sin, cos = angles.sincos(azimuth)
        # gradients of radius and, at the ring, of azimuth on the sky
        inverse = 1 / truth["cos_inclination"]
        outward = jnp.sqrt(cos**2 + (sin * inverse) ** 2)
        around2 = (sin**2 + (cos * inverse) ** 2) * (plane.finest / radius) ** 2
        width = jnp.maximum(truth["ring_width"], plane.finest * outward)
        waves: Array | float = 0.0
        for k, order in enumerate(_ORDERS):
            short = order**2 * around2  # (finest times wave number)^2, as in arms
            waves = waves + angles.cos(order * azimuth + truth["patch_phase"][k]) / (1 + short * short * 4)
        bright = jnp.exp(truth["flocculence"] * np.float32(np.sqrt(2 / len(_ORDERS))) * waves)
        # the same light in every direction, however wide: integral of r exp(-(r - R)^2 / 2 w^2) from 0 on
        x = radius * (1 / width)
        along = width * (jnp.exp(-0.5 * x * x) * width + np.float32(np.sqrt(2 * np.pi)) * radius * ndtr(x))
        return bright * jnp.exp(-0.5 * ((r - radius) * (1 / width)) ** 2) / along, bright

    total = jnp.mean(density(radius, jnp.asarray(_POLAR[1]))[1]) * np.float32(2 * np.pi)
    return density(plane.r, plane.azimuth)[0] * (plane.area / total)


def exponential(plane: Plane, scale: Array) -> Array:
    """Thin exponential disc of unit flux."""
    return jnp.exp(-plane.r * (1 / scale)) * (plane.area / (2 * np.pi * scale * scale))


def clumps(cells: Cells, x: Array, y: Array, light: Array, size: Array) -> Array:
    """Round Gaussians at (K,) places with (K,) shares of the light: a matrix product. Those that the frame's edge would
    cut, or that lie beyond, are left out: an edge would ring."""
    size = jnp.maximum(size, cells.finest)
    reach = jnp.maximum(jnp.abs(x), jnp.abs(y)) + 3 * size
    light = jnp.where(reach < 0.5 * cells.grid.npix * cells.grid.pixel_scale, light, 0.0)
    gx = jnp.exp(-0.5 * ((cells.axis - x[:, None]) * (1 / size)) ** 2)
    gy = jnp.exp(-0.5 * ((cells.axis - y[:, None]) * (1 / size)) ** 2)
    share = light * (cells.size**2 / (2 * np.pi * size * size))
    return (gy * share[:, None]).T @ gx


def bar(plane: Plane, truth: Truth) -> tuple[Array, Array]:
    """(bar, its light spread over a round disc of the same half-light radius), unit flux."""
    cos, sin, length, q = jnp.cos(truth["bar_angle"]), jnp.sin(truth["bar_angle"]), truth["bar_length"], truth["bar_q"]
    p, s = (cos * plane.u + sin * plane.v) * (1 / length), (cos * plane.v - sin * plane.u) * (1 / length)
    area = plane.area / length**2
    wide = jnp.sqrt(q)
    return ferrers_light(p, s, q) * area, ferrers_light(p * (1 / wide), s * (1 / wide), jnp.ones_like(q)) * (area / q)


def edge_on_dust(cells: Cells, truth: Truth) -> Array:
    """Optical depth in V along the line of sight of a nearly edge-on disc: the stars' law |u| / h K_1(|u| / h)
    sech^2(v / h_z) (van der Kruit & Searle 1981), thinner, as long as theirs, shifted to the near side where a tilted
    disc shows it."""
    u, v = cells.turned(truth["galaxy_x"], truth["galaxy_y"], truth["galaxy_angle"])
    scale, height, tilt = (
        truth["disc_scale"],
        truth["disc_height"],
        0.4 * truth["disc_scale"] * truth["cos_inclination"],
    )
    thin = jnp.sqrt((_LANE * height) ** 2 + tilt**2 + cells.finest**2)
    # the column of an exponential disc seen from the edge, R K_1 / h_z, of a central column tau seen face-on
    run = edge_on_profile(jnp.abs(u) * (1 / scale))
    return truth["dust_tau"] * (scale / thin) * run * _sech2((v - tilt) * (1 / thin))


def _sech2(x: Array) -> Array:
    decay = jnp.exp(-2 * jnp.minimum(jnp.abs(x), 30.0))
    return 4 * decay / (1 + decay) ** 2


def arm_dust(plane: Plane, truth: Truth) -> Array:
    """Optical depth in V along the line of sight: lanes on the inner edge of the arms over a thin layer."""
    wave = _wave(plane.r, plane.azimuth, truth, 0.9)
    lanes = _crests(plane.r, plane.azimuth, wave, truth, plane.finest)
    return (
        (truth["dust_tau"] / truth["cos_inclination"])
        * jnp.exp(-plane.r * (0.6 / truth["disc_scale"]))
        * (0.15 + 0.85 * lanes)
    )


def half_behind(depth: Array) -> Array:
    """Share of light that passes a thin sheet with half of the light behind it."""
    return 0.5 * (1 + jnp.exp(-depth))


def well_mixed(depth: Array) -> Array:
    """Share of light that leaves a slab of stars and dust, (1 - exp(-tau)) / tau (Disney+ 1989, MNRAS 239, 939)."""
    safe = jnp.maximum(depth, 1e-3)
    return jnp.where(depth < 1e-2, 1 - 0.5 * depth, (1 - jnp.exp(-safe)) / safe)
