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

from twin.numerics import angles
from twin.numerics.fourier import Grid
from twin.numerics.sersic import b_n, log_gamma_factor
from twin.priors.fields import Truth
from twin.priors.morphology import PATCHES
from twin.simulators.morphology.shapes import edge_on_profile, ferrers_light

_ORDERS = (2.0, 3.0, 5.0, 8.0)[:PATCHES]  # waves around the disc of what breaks arms into pieces
_LANE = 0.4  # scale height of dust, of the stars' (Xilouris+ 1999, A&A 344, 868: 0.3 to 0.6)
_POLAR = (np.geomspace(0.02, 15, 56).astype(np.float32), np.linspace(0, 2 * np.pi, 97)[:-1].astype(np.float32))


@dataclass(frozen=True)
class Cells:
    """Midpoints of `cells` x `cells` cells a pixel over a frame."""

    grid: Grid
    cells: int

    @cached_property
    def axis(self) -> np.ndarray:
        """(n,) midpoints [arcsec]."""
        n = self.grid.npix * self.cells
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

    def pixels(self, m: Array) -> Array:
        """Sums (..., npix, npix) of a map over pixels: strided slices, for a reduction over short axes is slow."""
        c = self.cells
        each = [m[..., i::c, j::c] for i in range(c) for j in range(c)]
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


def _crests(r: Array, wave: Array, truth: Truth, finest: float) -> Array:
    """exp(kappa (cos(wave) - 1)), kappa such that arms of width r sin(pitch) / (m kappa^(1/2)) are no narrower than
    `finest`."""
    width = (finest / jnp.sin(truth["arm_pitch"])) * truth["arm_count"]
    unresolved = (width * (1 / r)) ** 2
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
    return run * _crests(r, _wave(r, azimuth, truth), truth, finest) * _broken(r, azimuth, truth, finest), run


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
    """Gaussian ring of unit flux, brighter here and fainter there."""
    radius, width = truth["ring_radius"], truth["ring_width"]

    def patches(azimuth: Array) -> Array:
        each = [angles.cos(order * azimuth + truth["patch_phase"][k]) for k, order in enumerate(_ORDERS)]
        return jnp.exp(truth["flocculence"] * np.float32(np.sqrt(2 / len(_ORDERS))) * sum(each[1:], each[0]))

    total = jnp.mean(patches(jnp.asarray(_POLAR[1]))) * np.float32((2 * np.pi) ** 1.5) * radius * width
    light = jnp.exp(-0.5 * ((plane.r - radius) * (1 / width)) ** 2) * patches(plane.azimuth)
    return light * (plane.area / total)


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


def bulge(cells: Cells, truth: Truth) -> Array:
    """Sersic bulge of unit flux, its cusp blunted within a pixel: only what dust takes of it is sampled."""
    u, v = cells.turned(truth["galaxy_x"], truth["galaxy_y"], truth["galaxy_angle"])
    q, n, radius = truth["bulge_q"], truth["bulge_n"], truth["bulge_radius"]
    b = b_n(n)
    r2 = (q * u * u + v * v * (1 / q) + cells.finest**2) * (1 / radius**2)
    log_light = -b * (jnp.exp(jnp.log(r2) * (0.5 / n)) - 1) - log_gamma_factor(n, b)
    return jnp.exp(log_light) * (cells.size / radius) ** 2


def edge_on_disc(cells: Cells, truth: Truth) -> tuple[Array, Array]:
    """(disc of unit flux as nearly edge-on discs look, optical depth in V along the line of sight) of the same disc.

    Stars: |u| / h K_1(|u| / h) sech^2(v / h_z) (van der Kruit & Searle 1981), its height widened by the tilt. Dust: the
    same law, thinner, as long as the stars', shifted to the near side where a tilted disc shows it.
    """
    u, v = cells.turned(truth["galaxy_x"], truth["galaxy_y"], truth["galaxy_angle"])
    scale, height, cos_i = truth["disc_scale"], truth["disc_height"], truth["cos_inclination"]
    run = edge_on_profile(jnp.abs(u) * (1 / scale))
    tilt = 0.8 * scale * cos_i
    tall, thin = jnp.sqrt(height**2 + tilt**2), jnp.sqrt((_LANE * height) ** 2 + (0.5 * tilt) ** 2 + cells.finest**2)
    light = run * _sech2(v * (1 / tall)) * (cells.size**2 / (2 * np.pi * scale * tall))
    # the column of an exponential disc seen from the edge, R K_1 / h_z, of a central column tau seen face-on
    depth = truth["dust_tau"] * (scale / thin) * run * _sech2((v - 0.5 * tilt) * (1 / thin))
    return light, depth


def _sech2(x: Array) -> Array:
    decay = jnp.exp(-2 * jnp.minimum(jnp.abs(x), 30.0))
    return 4 * decay / (1 + decay) ** 2


def arm_dust(plane: Plane, truth: Truth) -> Array:
    """Optical depth in V along the line of sight: lanes on the inner edge of the arms over a thin layer."""
    lanes = _crests(plane.r, _wave(plane.r, plane.azimuth, truth, 0.9), truth, plane.finest)
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
