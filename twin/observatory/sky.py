"""Brightness of the sky from its sources: moon, twilight, zodiacal light, airglow, the earth below.

Every source is an intensity 10^(-0.4 m) with m in AB mag / arcsec^2, (B,) by band, as it reaches the telescope; they
add. Channel values broadcast, differentiate and vmap; wavelengths of the bands are static.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

# The sun's AB magnitude over that in V: Willmer 2018 (ApJS 236, 47) in u, B, g, V, r, i, z, J, H, Ks; in the
# ultraviolet from its irradiance, 0.055 / 0.065 / 0.21 / 0.535 / 0.79 / 1.12 / 1.6 W/m2/nm (ASTM E490, smoothed).
_SUN = np.array(
    [(230, 5.6), (250, 5.3), (275, 3.9), (300, 2.67), (325, 2.08), (355, 1.59), (380, 1.36), (400, 0.86), (440, 0.51),
     (475, 0.27), (550, 0.0), (617, -0.15), (748, -0.27), (893, -0.30), (1240, -0.26), (1650, -0.14), (2160, 0.28)]
)  # fmt: skip

# Zodiacal light at 500 nm [1e-8 W m^-2 sr^-1 um^-1]: rows longitude from the sun, columns latitude (Leinert+ 1998,
# A&AS 127, 1, table 17). Where it has no entry, near the sun, the column's next one stands.
_LONGITUDE = np.array([0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 60, 75, 90, 105, 120, 135, 150, 165, 180.0])
_LATITUDE = np.array([0, 5, 10, 15, 20, 25, 30, 45, 60, 75, 90.0])
_ZODIACAL = np.array(
    [
        [11500, 6780, 4740, 3140, 1610, 985, 640, 275, 150, 100, 77],
        [11500, 6780, 4740, 2940, 1540, 945, 625, 271, 150, 100, 77],
        [11500, 6780, 4740, 2470, 1370, 865, 590, 264, 148, 100, 77],
        [11500, 6780, 3440, 1860, 1110, 755, 525, 251, 146, 100, 77],
        [6400, 4480, 2410, 1410, 910, 635, 454, 237, 141, 99, 77],
        [3840, 2830, 1730, 1100, 749, 545, 410, 223, 136, 97, 77],
        [2480, 1870, 1220, 845, 615, 467, 365, 207, 131, 95, 77],
        [1650, 1270, 910, 680, 510, 397, 320, 193, 125, 93, 77],
        [1180, 940, 700, 530, 416, 338, 282, 179, 120, 92, 77],
        [910, 730, 555, 442, 356, 292, 250, 166, 116, 90, 77],
        [505, 442, 352, 292, 243, 209, 183, 134, 104, 86, 77],
        [338, 317, 269, 227, 196, 172, 151, 116, 93, 82, 77],
        [259, 251, 225, 193, 166, 147, 132, 104, 86, 79, 77],
        [212, 210, 197, 170, 150, 133, 119, 96, 82, 77, 77],
        [188, 186, 177, 154, 138, 125, 113, 90, 77, 74, 77],
        [179, 178, 166, 147, 134, 122, 110, 90, 77, 73, 77],
        [179, 178, 165, 148, 137, 127, 116, 96, 79, 72, 77],
        [196, 192, 179, 165, 151, 141, 131, 104, 82, 72, 77],
        [230, 212, 195, 178, 163, 148, 134, 105, 83, 72, 77],
    ],
    float,
)
_ZODIACAL_UNIT = 28.169  # AB mag / arcsec^2 of 1e-8 W m^-2 sr^-1 um^-1 at 500 nm

# Twilight at the zenith of Paranal, V = a0 + a1 x + a2 x^2 with x = zenith distance of the sun - 95 deg, in U B V R I
# (Patat+ 2006, A&A 455, 385, table 1), and what takes each to AB (Blanton & Roweis 2007, AJ 133, 734, table 1).
_TWILIGHT = np.array(
    [[365, 11.78 + 0.79, 1.376, -0.039], [440, 11.84 - 0.09, 1.411, -0.041], [550, 11.84 + 0.02, 1.518, -0.057],
     [640, 11.40 + 0.21, 1.567, -0.064], [790, 10.93 + 0.45, 1.470, -0.062]]
)  # fmt: skip
_DARKER = 6.0  # beyond this x the fit is of the night, which has its own sources: twilight goes on at its slope there

Bands = tuple[float, ...]


def solar_colour(wavelengths: Bands) -> np.ndarray:
    """The sun's AB magnitude (B,) at each wavelength [m], minus that in V."""
    return np.interp(np.array(wavelengths) * 1e9, _SUN[:, 0], _SUN[:, 1])


def nanolambert_to_mag(brightness: Array) -> Array:
    """V [mag/arcsec^2, Vega] of a brightness [nL] B = 34.08 exp(20.7233 - 0.92104 V) (Garstang 1989, PASP 101, 306)."""
    return (20.7233 - jnp.log(jnp.maximum(brightness, 1e-6) / 34.08)) / 0.92104


def scattering_airmass(airmass: Array) -> Array:
    """(1 - 0.96 sin^2 z)^-1/2, which stays finite at the horizon (Krisciunas & Schaefer 1991, eq. 3), for sec z."""
    return (1 - 0.96 * (1 - airmass**-2.0)) ** -0.5


def moonlight(illumination: Array, altitude: Array, separation: Array, airmass: Array, extinction: Array) -> Array:
    """Scattered moonlight [nL] (Krisciunas & Schaefer 1991, PASP 103, 1033, eq. 8, 15, 20, 21; good to 8-23 %).

    B = f(rho) I* 10^(-0.4 k X_moon) (1 - 10^(-0.4 k X)),  I* = 10^(-0.4 (3.84 + 0.026 a + 4e-9 a^4)),
    f = 10^5.36 (1.06 + cos^2 rho) + 10^(6.15 - rho / 40), and 6.2e7 / rho^2 below 10 deg;
    phase angle a [deg] from the lit share (1 + cos a) / 2, X as `scattering_airmass`, k [mag] of the band, separation
    rho and altitude [deg]. 0 where the moon has set.
    """
    phase = jnp.rad2deg(jnp.arccos(jnp.clip(2 * illumination - 1, -0.999999, 0.999999)))
    moon = 10 ** (-0.4 * (3.84 + 0.026 * phase + 4e-9 * phase**4))
    up = altitude > 0
    sin2 = jnp.cos(jnp.deg2rad(jnp.where(up, altitude, 45.0))) ** 2
    moon_airmass = (1 - 0.96 * sin2) ** -0.5
    rho = jnp.clip(separation, 0.25, 180.0)  # the disc itself is no sky
    far = 10 ** (6.15 - rho / 40)
    aureole = jnp.where(rho < 10, 6.2e7 / rho**2, far)
    scatter = 10**5.36 * (1.06 + jnp.cos(jnp.deg2rad(rho)) ** 2) + aureole
    here = scattering_airmass(airmass)
    light = scatter * moon * 10 ** (-0.4 * extinction * moon_airmass) * (1 - 10 ** (-0.4 * extinction * here))
    return jnp.where(up, light, 0.0)


def moon_intensity(
    illumination: Array, altitude: Array, separation: Array, airmass: Array, extinction: Array, wavelengths: Bands
) -> Array:
    """The same as an AB intensity (B,): the moon has the colours of the sun, each band its own extinction."""
    light = moonlight(illumination, altitude, separation, airmass, extinction)
    v = 10 ** (-0.4 * (20.7233 + np.log(34.08)) / 0.92104)  # intensity of 1 nL in V: mag linear in its logarithm
    power = 0.4 * np.log(10) / 0.92104  # 1 but for the rounding of Garstang's constants
    vega = solar_colour(wavelengths) + 0.02
    return v * jnp.maximum(light, 1e-12) ** power * jnp.asarray(10 ** (-0.4 * vega), jnp.float32)


def twilight_intensity(sun_altitude: Array, wavelengths: Bands) -> Array:
    """AB intensity (B,) of twilight at the zenith for the sun's altitude [deg] (Patat+ 2006; see _TWILIGHT).

    Brighter than the fit's range it goes on along its first slope, darker along its slope at 101 deg from the zenith.
    """
    nm = np.array(wavelengths) * 1e9
    a0, a1, a2 = (jnp.asarray(np.interp(nm, _TWILIGHT[:, 0], _TWILIGHT[:, k]), jnp.float32) for k in (1, 2, 3))
    x = -5.0 - sun_altitude  # zenith distance of the sun - 95 deg
    inside = jnp.clip(x, 0.0, _DARKER)
    mag = a0 + a1 * inside + a2 * inside**2 + a1 * jnp.minimum(x, 0.0)
    mag = mag + (a1 + 2 * _DARKER * a2) * jnp.maximum(x - _DARKER, 0.0)
    return 10 ** (-0.4 * mag)


def zodiacal(longitude: Array, latitude: Array) -> Array:
    """Zodiacal light [1e-8 W m^-2 sr^-1 um^-1] at 500 nm, from outside the atmosphere; ecliptic longitude from the sun
    and latitude [deg] (Leinert+ 1998, table 17), bilinear in its logarithm."""
    lon = jnp.abs((longitude + 180.0) % 360.0 - 180.0)
    lat = jnp.minimum(jnp.abs(latitude), 90.0)
    table = jnp.asarray(np.log(_ZODIACAL), jnp.float32)

    def place(value: Array, knots: np.ndarray) -> tuple[Array, Array]:
        index = jnp.clip(jnp.searchsorted(jnp.asarray(knots, jnp.float32), value) - 1, 0, len(knots) - 2)
        low = jnp.asarray(knots, jnp.float32)[index]
        return index, (value - low) / jnp.asarray(np.diff(knots), jnp.float32)[index]

    (i, u), (j, v) = place(lon, _LONGITUDE), place(lat, _LATITUDE)
    near = table[i, j] * (1 - v) + table[i, j + 1] * v
    return jnp.exp(near * (1 - u) + (table[i + 1, j] * (1 - v) + table[i + 1, j + 1] * v) * u)


def zodiacal_intensity(longitude: Array, latitude: Array, wavelengths: Bands) -> Array:
    """AB intensity (B,) of zodiacal light outside the atmosphere.

    The sun's colour, reddened by f = 1 + c log10(lambda / 500 nm) with c = 1.2 (below 500 nm) and 0.8 (above) within
    30 deg of the sun, 0.9 and 0.6 beyond 90 deg, linear in elongation between (Leinert+ 1998, eq. 22).
    """
    cosine = jnp.cos(jnp.deg2rad(longitude)) * jnp.cos(jnp.deg2rad(latitude))
    elongation = jnp.rad2deg(jnp.arccos(jnp.clip(cosine, -0.999999, 0.999999)))
    far = jnp.clip((elongation - 30) / 60, 0.0, 1.0)
    ratio = np.log10(np.clip(np.array(wavelengths) * 1e9, 220, 2500) / 500)
    near90, near30 = np.where(ratio < 0, 0.9, 0.6) * ratio, np.where(ratio < 0, 1.2, 0.8) * ratio
    red = 1 + far * jnp.asarray(near90, jnp.float32) + (1 - far) * jnp.asarray(near30, jnp.float32)
    colour = solar_colour(wavelengths) - solar_colour((500e-9,)) + _ZODIACAL_UNIT
    return zodiacal(longitude, latitude) * red * jnp.asarray(10 ** (-0.4 * colour), jnp.float32)


def diffuse_throughput(brightness: Array, extinction: Array, airmass: Array) -> Array:
    """Share of zodiacal light that reaches the ground: 10^(-0.4 f k X), with less than a star's loss since light is
    scattered into the beam too: f = 1.407 log10 I - 2.692 below log10 I = 2.244, 0.527 log10 I - 0.715 above, I
    [1e-8 W m^-2 sr^-1 um^-1] (Noll+ 2012, A&A 543, A92, eq. 19, for Rayleigh scattering)."""
    log = jnp.log10(brightness)
    share = jnp.where(log <= 2.244, 1.407 * log - 2.692, 0.527 * log - 0.715)
    return 10 ** (-0.4 * share * extinction * airmass)


def van_rhijn(airmass: Array) -> Array:
    """Path through the airglow layer at 90 km, over that at the zenith: (1 - sin^2 z (R / (R + h))^2)^-1/2 with
    R = 6371 km (van Rhijn 1921; Leinert+ 1998, eq. 13)."""
    return (1 - (6371 / 6461) ** 2 * (1 - airmass**-2.0)) ** -0.5


def solar_activity(flux: Array, reference: float) -> Array:
    """Airglow at a 10.7 cm flux over that at `reference` [sfu]: 145 + 130 (F - 80) / 120 in S10 units (Benn & Ellison
    1998, La Palma technical note 115)."""
    return (145 + 130 / 120 * (flux - 80)) / (145 + 130 / 120 * (reference - 80))


def airglow_intensity(zenith: Array, activity: Array, airmass: Array, extinction: Array) -> Array:
    """AB intensity (B,) of airglow whose zenith, as seen through the atmosphere, has `zenith` [AB mag/arcsec^2].

    van Rhijn's path times 10^(-0.4 k (X - 1)) (Krisciunas & Schaefer 1991, eq. 2, has X for the path).
    """
    path = van_rhijn(airmass) * activity
    return 10 ** (-0.4 * zenith) * path * 10 ** (-0.4 * extinction * (scattering_airmass(airmass) - 1))


def earthshine_intensity(brightness: float, share: Array, wavelengths: Bands) -> Array:
    """AB intensity (B,) of the earth's light in the telescope, `share` of `brightness` [AB mag/arcsec^2 in V]; its
    colour is the sun's."""
    colour = 10 ** (-0.4 * (brightness + solar_colour(wavelengths)))
    return share * jnp.asarray(colour, jnp.float32)
