"""Distances and colours that tie the parameters of a field together."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

HUBBLE_DISTANCE = 2997.92458 / 0.7  # Mpc for h = 0.7
OMEGA_M = 0.3
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


def comoving_distance(z: Array) -> Array:
    """Line-of-sight comoving distance [Mpc] in flat LCDM (H0 = 70, Omega_m = 0.3); 1e-6 for z < 8 (Hogg 1999, eq.
    15)."""
    t = 0.5 * z[..., None] * (1 + _NODES.astype(np.float32))
    inverse_e = 1 / jnp.sqrt(OMEGA_M * (1 + t) ** 3 + 1 - OMEGA_M)
    return HUBBLE_DISTANCE * 0.5 * z * jnp.sum(inverse_e * _WEIGHTS.astype(np.float32), -1)


def lensing_efficiency(z_lens: Array, z_source: Array) -> Array:
    """D_ls / D_s in flat space."""
    return 1 - comoving_distance(z_lens) / comoving_distance(z_source)


def velocity_dispersion(theta_E: Array, z_lens: Array, z_source: Array) -> Array:
    """sigma [km/s] of the isothermal lens with Einstein radius theta_E = 4 pi (sigma/c)^2 D_ls/D_s [arcsec]."""
    return 299792.458 * jnp.sqrt(theta_E / 206264.806 / (4 * jnp.pi) / lensing_efficiency(z_lens, z_source))


def distance_modulus(z: Array) -> Array:
    return 5 * jnp.log10((1 + z) * comoving_distance(z)) + 25


def arcsec_per_kpc(z: Array) -> Array:
    return 206.264806 * (1 + z) / comoving_distance(z)


def early_type_r(sigma: Array, z: Array) -> Array:
    """Apparent r magnitude of an early-type galaxy: M_r = -21.9 - 2.5 log10((sigma/200 km/s)^4) (Bernardi+ 2003, AJ
    125, 1849, evolving by -0.85 z), with the K correction of an old population, about 1.0 z + 0.3 z^2."""
    return -21.9 - 10 * jnp.log10(sigma / 200) - 0.85 * z + 1.0 * z + 0.3 * z * z + distance_modulus(z)


def early_type_radius(sigma: Array, z: Array) -> Array:
    """Half-light radius [arcsec]: log10 R/kpc = 2.46 - 2.79 V + 0.84 V^2, V = log10 sigma (Hyde & Bernardi 2009)."""
    v = jnp.log10(sigma)
    return 10 ** (2.46 - 2.79 * v + 0.84 * v * v) * arcsec_per_kpc(z)


def red_sequence(z: Array) -> tuple[Array, Array]:
    """g - r and r - i of a passive galaxy as the 4000 A break passes through the bands (after Eisenstein+ 2001, AJ 122,
    2267)."""
    gr = jnp.interp(
        z, np.array([0.0, 0.1, 0.2, 0.38, 0.5, 0.8, 1.5]), np.array([0.75, 0.97, 1.25, 1.65, 1.75, 1.75, 1.4])
    )
    ri = jnp.interp(
        z, np.array([0.0, 0.2, 0.36, 0.5, 0.7, 0.9, 1.5]), np.array([0.36, 0.43, 0.52, 0.78, 1.12, 1.20, 1.0])
    )
    return gr, ri


def stellar_locus(gr: Array) -> Array:
    """r - i of main-sequence stars that are no M dwarfs (Covey+ 2007, AJ 134, 2398, their median locus)."""
    return jnp.interp(gr, np.array([-0.5, 0.2, 0.6, 1.0, 1.3, 1.6]), np.array([-0.25, 0.05, 0.21, 0.39, 0.60, 1.10]))


def band_magnitudes(wavelengths_nm: np.ndarray, r: Array, gr: Array, ri: Array) -> Array:
    """Magnitudes (B, ...) from r and two colours, the spectrum's slope in ln(lambda) held beyond g and i at half its
    value.

    Bands between g (480 nm), r (620) and i (760) are interpolated; outside them half the end slope is kept, which
    follows stars and galaxies to 0.2 mag in z and y. Blueward of g it follows quasars; stars and galaxies come out
    about a magnitude too bright in u, where the 400 nm break has fallen.
    """
    knots = np.log([480.0, 620.0, 760.0])
    out = []
    for w in np.log(wavelengths_nm):
        blue, red = gr / (knots[1] - knots[0]), ri / (knots[2] - knots[1])
        if w < knots[0]:
            m = r + gr + 0.5 * blue * (knots[0] - w)
        elif w <= knots[1]:
            m = r + blue * (knots[1] - w)
        elif w <= knots[2]:
            m = r - red * (w - knots[1])
        else:
            m = r - ri - 0.5 * red * (w - knots[2])
        out.append(m)
    return jnp.stack(out)


def galaxies_brighter(i: Array | float) -> Array:
    """Galaxies per arcmin^2 brighter than i: 46 x 10^(0.31 (i - 25)), good for i of 20.5 to 25.5 (LSST Science Book
    2009, arXiv:0912.0201, section 3.7.2, after CFHTLS Deep)."""
    return 46 * 10 ** (0.31 * (jnp.asarray(i) - 25))


def galaxy_count_i(brighter: Array) -> Array:
    """i than which so many galaxies per arcmin^2 are brighter: `galaxies_brighter` turned round."""
    return 25 + jnp.log10(brighter / 46) / 0.31
