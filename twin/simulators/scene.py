"""A scene of Sersic galaxies, point sources and one sampled light map, seen through an optical transfer function.

Galaxies and points are drawn in Fourier space, where PSF and pixel cost nothing more and central cusps are exact; only
what has no closed transform (lensed arcs, spiral arms) is sampled on sub-pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.fourier import Grid, Spectrum, image, phasors, product, spectrum
from twin.numerics.sersic import fourier, fourier_row


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sersics:
    """K elliptical Sersic profiles. Positions and radii [arcsec], angles [rad] of the major axis from +x, counts."""

    x: Array
    y: Array
    radius: Array
    """(K,) half-light radius, geometric mean of the two axes."""
    q: Array
    angle: Array
    n: Array
    flux: Array
    """(B, K) counts in all."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Points:
    """P point sources: positions (P,) [arcsec], flux (B, P) [count]."""

    x: Array
    y: Array
    flux: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LightMap:
    """Samples (m npix, m npix) of a surface brightness that integrates to 1 over the plane [1/sample], flux (B,)
    [count]."""

    samples: Array
    flux: Array


@dataclass(frozen=True)
class Scene:
    """What is in a frame; parts that a class lacks are None (a static choice of the class, not of the sample)."""

    sersics: Sersics | None = None
    points: Points | None = None
    light: LightMap | None = None


def sersic_spectrum(grid: Grid, s: Sersics) -> Spectrum:
    """Spectra (K, 2 half, half) of unit-flux Sersic profiles."""
    cos, sin = jnp.cos(s.angle), jnp.sin(s.angle)
    scale = (2 * jnp.pi * s.radius) ** 2
    a = scale * (cos**2 / s.q + sin**2 * s.q)
    b = scale * (sin**2 / s.q + cos**2 * s.q)
    c = scale * 2 * cos * sin * (1 / s.q - s.q)
    fx, fy = grid.fx, grid.fy

    def one(a: Array, b: Array, c: Array, n: Array, x: Array, y: Array) -> Spectrum:
        kappa2 = (a * fx**2)[None, :] + (b * fy**2)[:, None] + c * (fy[:, None] * fx[None, :])
        profile = fourier(fourier_row(n), kappa2)
        cx, sx, cy, sy = phasors(grid, x, y)
        rows = jnp.stack([cy, sy], 1)
        return profile * (rows @ jnp.stack([cx, -sx])), profile * (rows @ jnp.stack([sx, cx]))

    return jax.vmap(one)(a, b, c, s.n, s.x, s.y)


def point_spectrum(grid: Grid, p: Points) -> Spectrum:
    """Spectra (B, 2 half, half) of all point sources together."""
    cx, sx, cy, sy = phasors(grid, p.x, p.y)
    rows = jnp.concatenate([p.flux[:, :, None] * cy, p.flux[:, :, None] * sy], 1)
    re = jnp.einsum("bpy,px->byx", rows, jnp.concatenate([cx, -sx], 0))
    im = jnp.einsum("bpy,px->byx", rows, jnp.concatenate([sx, cx], 0))
    return re, im


def render(grid: Grid, transfer: Spectrum, scene: Scene) -> Array:
    """Expected counts (B, npix, npix) of a scene through the PSF and the pixel.

    transfer  (B, 2 half, half) optical transfer function without the pixel (`twin.observatory.psf.otf`)
    """
    sharp: list[Spectrum] = []  # still to be integrated over the pixel
    if scene.sersics is not None:
        re, im = sersic_spectrum(grid, scene.sersics)
        flux = scene.sersics.flux
        sharp.append((jnp.einsum("bk,kyx->byx", flux, re), jnp.einsum("bk,kyx->byx", flux, im)))
    if scene.points is not None:
        sharp.append(point_spectrum(grid, scene.points))
    total_re: Any = 0.0
    total_im: Any = 0.0
    if sharp:
        total_re = sum(part[0] for part in sharp) * grid.pixel
        total_im = sum(part[1] for part in sharp) * grid.pixel
    if scene.light is not None:
        cells = scene.light.samples.shape[-1] // grid.npix
        window = grid.cell(cells) if cells > 1 else np.float32(1)
        re, im = spectrum(grid, scene.light.samples)
        flux = scene.light.flux[:, None, None]
        total_re, total_im = total_re + flux * (re * window), total_im + flux * (im * window)
    return image(grid, product(transfer, (total_re, total_im)))
