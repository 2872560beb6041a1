"""Galaxy components with closed Fourier transforms, and the dust that reddens what lies behind it.

Every transform is of unit flux, real (the component is centred on the origin), and of frequencies (f_u, f_v)
[cycle/arcsec] along the apparent major axis (the line of nodes) and across it.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from twin.numerics.angles import sincos
from twin.numerics.fourier import Grid, Spectrum, phasors
from twin.numerics.sersic import fourier, fourier_row

_OPTICAL = (
    (0.32999, -0.77530, 0.01979, 0.72085, -0.02427, -0.50447, 0.17699, 1.0),
    (-2.09002, 5.30260, -0.62251, -5.38434, 1.07233, 2.28305, 1.41338, 0.0),
)  # Cardelli, Clayton & Mathis's a(y) and b(y), y = 1 um / lambda - 1.82, highest power first


def turned(grid: Grid, angle: Array) -> tuple[Array, Array]:
    """Frequencies (2 half, half) along and across an axis at `angle` [rad]."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    fx, fy = grid.fx[None, :], grid.fy[:, None]
    return cos * fx + sin * fy, cos * fy - sin * fx


def sersic(f_u: Array, f_v: Array, radius: Array, q: Array, n: Array) -> Array:
    """Sersic profile of half-light radius `radius` (geometric mean of the axes) and axis ratio q."""
    scale = (2 * np.pi * radius) ** 2
    return fourier(fourier_row(n), (scale / q) * f_u**2 + (scale * q) * f_v**2)


def inclined_disc(f_u: Array, f_v: Array, scale: Array, height: Array, cos_i: Array) -> Array:
    """Transparent disc exp(-R / h) sech^2(z / h_z) seen at any inclination, thickness and all, from face-on to edge-on.

    (1 + k_u^2 + k_v^2 cos^2 i)^(-3/2) x / sinh x with k = 2 pi h f and x = (pi / 2) 2 pi h_z f_v sin i (van der Kruit
    & Searle 1981, A&A 95, 105, projected; GalSim's InclinedExponential).
    """
    k = 2 * np.pi * scale
    sin_i = jnp.sqrt(jnp.maximum(1 - cos_i * cos_i, 0))
    flat = lax.rsqrt(1 + (k * f_u) ** 2 + (k * cos_i * f_v) ** 2)
    x = jnp.abs((np.float32(np.pi**2) * height * sin_i) * f_v)
    decay = jnp.exp(-x)
    # below 0.05 the quotient of small numbers loses digits
    tall = jnp.where(x < 0.05, 1 - x * x * (1 / 6), 2 * x * decay / jnp.maximum(1 - decay * decay, 1e-6))
    return flat * flat * flat * tall


def ferrers_bar(f_u: Array, f_v: Array, length: Array, q: Array, angle: Array, cos_i: Array) -> Array:
    """Bar of projected density (1 - m^2)^(3/2), m < 1, in the disc's plane: Ferrers' n = 1 (Binney & Tremaine 2008,
    section 2.5.3), of semi-major axis `length`, axis ratio q, at `angle` from the line of nodes.

    15 j_2(k) / k^2, j_2 the spherical Bessel function and k = 2 pi |(a f_p, a q f_s)| along and across the bar.
    """
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    across = cos_i * f_v
    k2 = (2 * np.pi * length) ** 2 * ((cos * f_u + sin * across) ** 2 + q * q * (cos * across - sin * f_u) ** 2)
    series, term = jnp.ones_like(k2), jnp.ones_like(k2)
    for s in range(1, 6):  # j_2 by its series where sines and cosines cancel
        term = term * (k2 * (-0.5 / (s * (2 * s + 5))))
        series = series + term
    large = jnp.maximum(k2, 4.0)
    inverse = lax.rsqrt(large)
    k = large * inverse
    sine, cosine = sincos(k)
    inverse2 = inverse * inverse
    closed = 15 * ((3 * inverse2 - 1) * inverse * sine - 3 * inverse2 * cosine) * inverse2
    return jnp.where(k2 < 4.0, series, closed)


def waves(grid: Grid, x: Array, y: Array) -> Spectrum:
    """Spectrum (2 half, half) of a point of unit flux at (x, y) [arcsec]."""
    cx, sx, cy, sy = phasors(grid, x, y)
    rows = jnp.stack([cy, sy], 1)
    return rows @ jnp.stack([cx, -sx]), rows @ jnp.stack([sx, cx])


def ferrers_light(p: Array, s: Array, q: Array) -> Array:
    """The same bar where it is: density of unit flux at (p, s) along and across, in units of its semi-major axis."""
    left = jnp.maximum(1 - p * p - (s * (1 / q)) ** 2, 0)
    return (2.5 / np.pi) * left * jnp.sqrt(left) / q


def edge_on_profile(u: Array) -> Array:
    """u K_1(u), the run of a transparent edge-on disc's light along its major axis u = |x| / h, to 1e-4."""
    u = jnp.minimum(u, 40.0)
    return jnp.exp(-u) * jnp.sqrt(1 + u * (2 + u * (24.0002 + u * 27.7116)) / (1 + u * (13.3859 + u * 17.6347)))


def extinction(wavelength: np.ndarray, z: Array) -> Array:
    """A(lambda) / A(V) (B,) of observed wavelengths [nm] at redshift z, R_V = 3.1 (Cardelli, Clayton & Mathis 1989,
    ApJ 345, 245, eqs. 2 to 4); rest wavelengths are held within 170 nm and 3.3 um."""
    x = jnp.clip(1000.0 * (1 + z) / np.asarray(wavelength, np.float32), 0.3, 5.9)
    optical_a, optical_b = (jnp.polyval(np.array(c, np.float32), x - 1.82) for c in _OPTICAL)
    uv_a = 1.752 - 0.316 * x - 0.104 / ((x - 4.67) ** 2 + 0.341)
    uv_b = -3.09 + 1.825 * x + 1.206 / ((x - 4.62) ** 2 + 0.263)
    infrared = jnp.exp(1.61 * jnp.log(x))
    a = jnp.where(x < 1.1, 0.574 * infrared, jnp.where(x < 3.3, optical_a, uv_a))
    b = jnp.where(x < 1.1, -0.527 * infrared, jnp.where(x < 3.3, optical_b, uv_b))
    return a + b * (1 / 3.1)
