"""What the air does: Fried parameter, dome and mirror seeing, refraction, extinction, coherence time.

Pure functions of channel values in the channels' units; they broadcast, differentiate and vmap.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

ARCSEC = np.pi / 180 / 3600
REFERENCE = 500e-9  # wavelength at which seeing is quoted [m]
_TORR = 1013.25 / 760  # [hPa]
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


def fried(
    seeing: Array, airmass: Array, wavelengths: tuple[float, ...], airmass_exponent: float, wavelength_exponent: float
) -> Array:
    """Fried parameter (B,) [m] at each band's wavelength [m], along the line of sight.

    r0 = 0.976 x 500 nm / (seeing X^a (lambda / 500 nm)^b) x lambda / 500 nm, seeing in arcsec at 500 nm and zenith
    (Sarazin & Roddier 1990, A&A 227, 294); a = 0.6 and b = -0.2 for Kolmogorov's turbulence.
    """
    colour = jnp.asarray([(w / REFERENCE) ** (1 - wavelength_exponent) for w in wavelengths], jnp.float32)
    return 0.976 * REFERENCE / ARCSEC / seeing * colour * airmass**-airmass_exponent


def warm_seeing(warm: Array, cold: Array, coefficient: float, exponent: float) -> Array:
    """FWHM [arcsec] at 500 nm of the air over something `warm` in `cold` air [deg_C]: coefficient max(0, dT)^exponent.

    Mirror: 0.40 arcsec and 6/5 where the mirror is warmer than the air inside the dome; dome: 0.1 arcsec and 6/5 of
    the difference between inside and outside (Racine+ 1991, PASP 103, 1020, abstract).
    """
    return coefficient * jnp.maximum(warm - cold, 0.0) ** exponent


def add_seeing(r0: Array, fwhm: Array, wavelengths: tuple[float, ...]) -> Array:
    """r0 [m] (B, ...) after turbulence near the telescope is added, `fwhm` (B,) [arcsec] of it alone at 500 nm.

    Structure functions add, so r0^(-5/3) do, and FWHM^(5/3): r0' = r0 (1 + (fwhm / FWHM)^(5/3))^(-3/5) with FWHM =
    0.976 lambda / r0 (Racine+ 1991). What is near the telescope does not know of the airmass, and goes as lambda^-0.2.
    """
    colour = jnp.asarray([(w / REFERENCE) ** 1.2 for w in wavelengths], jnp.float32)
    near = fwhm / (0.976 * REFERENCE / ARCSEC * colour)  # 1 / r0 of the turbulence near the telescope
    near = jnp.reshape(near, near.shape + (1,) * (jnp.ndim(r0) - jnp.ndim(near)))
    return r0 * (1 + (r0 * near) ** (5 / 3)) ** -0.6


def vapour_pressure(temperature: Array, humidity: Array) -> Array:
    """Partial pressure of water [hPa] at `temperature` [deg_C] and relative humidity (share of one).

    humidity x 6.112 exp(17.62 t / (243.12 + t)) over water (Magnus, with the constants of WMO 2008, CIMO guide, 4.B).
    """
    return humidity * 6.112 * jnp.exp(17.62 * temperature / (243.12 + temperature))


def refractivity(wavelength: Array, pressure: Array, temperature: Array, humidity: Array) -> Array:
    """n - 1 of air at `wavelength` [m], pressure [hPa], temperature [deg_C], relative humidity (share of one).

    Dry air at 15 deg_C and 760 Torr, s = 1 um / lambda (Edlen 1953, as Filippenko 1982, PASP 94, 715, eq. 1-3):
        (n - 1) 1e6 = 64.328 + 29498.1 / (146 - s^2) + 255.4 / (41 - s^2)
    times P (1 + (1.049 - 0.0157 t) 1e-6 P) / (720.883 (1 + 0.003661 t)), P in Torr, less
        (0.0624 - 0.000680 s^2) f / (1 + 0.003661 t) for f Torr of water.
    """
    s2 = (1e-6 / wavelength) ** 2
    torr, water = pressure / _TORR, vapour_pressure(temperature, humidity) / _TORR
    thinner = 1 / (1 + 0.003661 * temperature)
    dry = 64.328 + 29498.1 / (146 - s2) + 255.4 / (41 - s2)
    dry = dry * torr * (1 + (1.049 - 0.0157 * temperature) * 1e-6 * torr) / 720.883 * thinner
    return (dry - (0.0624 - 0.000680 * s2) * water * thinner) * 1e-6


def refraction_shift(
    wavelength: Array, reference: float, airmass: Array, pressure: Array, temperature: Array, humidity: Array
) -> Array:
    """How much nearer to the zenith [arcsec] an image lies at `wavelength` than at `reference` [m].

    (n - n_ref) tan z, with 1 / cos z = airmass (Filippenko 1982, eq. 4): plane parallel, good to airmass 3.
    """
    change = refractivity(wavelength, pressure, temperature, humidity)
    change = change - refractivity(jnp.float32(reference), pressure, temperature, humidity)
    return change * _tan_zenith(airmass) * (1 / ARCSEC)


def refraction_spread(
    wavelength: Array, width: Array, airmass: Array, pressure: Array, temperature: Array, humidity: Array
) -> Array:
    """Variance [arcsec^2] of refraction within a band that is flat over `width` around `wavelength` [m].

    tan^2 z Var[n(lambda)], the mean over the band by eight Gauss-Legendre nodes; refraction as in `refraction_shift`.
    """
    here = wavelength[..., None] + 0.5 * width[..., None] * np.asarray(_NODES, np.float32)
    weather = (jnp.asarray(v)[..., None] for v in (pressure, temperature, humidity))
    n = refractivity(here, *weather) * 1e6  # float32 squares of 1e-6 would lose digits
    share = jnp.asarray(_WEIGHTS / 2, jnp.float32)
    n = n - jnp.sum(n * share, -1, keepdims=True)
    return jnp.sum(n * n * share, -1) * _tan2_zenith(airmass) * (1e-6 / ARCSEC) ** 2


def _tan2_zenith(airmass: Array) -> Array:
    return jnp.maximum(airmass * airmass - 1, 0.0)


def _tan_zenith(airmass: Array) -> Array:
    squared = _tan2_zenith(airmass)
    zenith = squared <= 0  # where the square root has no gradient
    return jnp.where(zenith, 0.0, jnp.sqrt(jnp.where(zenith, 1.0, squared)))


def throughput(transparency: Array, extinction: Array, airmass: Array) -> Array:
    """Share of the light of a clear sky at airmass 1 that arrives: T 10^(-0.4 k (X - 1)), k in mag an airmass."""
    return transparency * 10 ** (-0.4 * extinction * (airmass - 1))


def coherence_time(r0_500: Array, ground_wind: Array, wind_200mb: Array) -> Array:
    """tau0 [s] at 500 nm, zenith: 0.314 r0 / V, V = max(V_ground, 0.4 V_200mb) [m/s] (Roddier 1981; Sarazin &
    Tokovinin 2002, ESO Conf. 58, 321: at Paranal and Cerro Pachon)."""
    return 0.314 * r0_500 / jnp.maximum(jnp.maximum(ground_wind, 0.4 * wind_200mb), 1.0)


def towards_zenith(parallactic_angle: Array, rotation: float, parity: int) -> Array:
    """Direction of the zenith on the detector [rad], x to y: rotation + parity q, q from north over east [deg]."""
    return jnp.deg2rad(rotation + parity * parallactic_angle)


def along(angle: Array, variance: Array) -> Array:
    """Covariance xx, yy, xy (..., 3) of a variance along one direction [rad]."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([variance * cos * cos, variance * sin * sin, variance * cos * sin], -1)
