"""Refraction against Filippenko's table and Ciddor's equations; seeing terms against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.observatory import air

RADIAN = 206264.80624709636
# Filippenko 1982, PASP 94, 715, table 1: 600 Torr, 7 deg_C, 8 Torr of water, relative to 500 nm
TABLE = {
    1.10: {300: 0.97, 400: 0.29, 600: -0.15, 1000: -0.37},
    1.50: {300: 2.37, 350: 1.34, 400: 0.71, 450: 0.29, 550: -0.21, 650: -0.50, 800: -0.74, 1000: -0.91},
    2.00: {300: 3.67, 400: 1.10, 600: -0.58},
}
PRESSURE = 600 * 1013.25 / 760
HUMIDITY = 8 * 1013.25 / 760 / float(air.vapour_pressure(jnp.float32(7.0), jnp.float32(1.0)))


def test_refraction_is_filippenkos():
    for airmass, row in TABLE.items():
        wavelength = jnp.asarray([w * 1e-9 for w in row])
        found = air.refraction_shift(wavelength, 500e-9, jnp.float32(airmass), PRESSURE, 7.0, HUMIDITY)
        assert found == pytest.approx(list(row.values()), abs=0.011), airmass


def ciddor(wavelength_um, pressure, temperature, humidity, co2=450.0):
    """n - 1 after Ciddor 1996 (Appl. Opt. 35, 1566), appendix B; Pa, deg_C, share of one."""
    s2, kelvin = wavelength_um**-2, temperature + 273.15
    standard = 1e-8 * (5792105 / (238.0185 - s2) + 167917 / (57.362 - s2)) * (1 + 0.534e-6 * (co2 - 450))
    vapour = 1.022e-8 * (295.235 + 2.6422 * s2 - 0.032380 * s2**2 + 0.004028 * s2**3)
    svp = np.exp(1.2378847e-5 * kelvin**2 - 1.9121316e-2 * kelvin + 33.93711047 - 6.3431645e3 / kelvin)
    x_w = humidity * (1.00062 + 3.14e-8 * pressure + 5.6e-7 * temperature**2) * svp / pressure

    def compressibility(p, t, x):
        k = t + 273.15
        second = 1.58123e-6 - 2.9331e-8 * t + 1.1043e-10 * t**2
        second += (5.707e-6 - 2.051e-8 * t) * x + (1.9898e-4 - 2.376e-6 * t) * x**2
        return 1 - p / k * second + (p / k) ** 2 * (1.83e-11 - 0.765e-8 * x**2)

    mass_dry, mass_wet, gas = 1e-3 * (28.9635 + 12.011e-6 * (co2 - 400)), 0.018015, 8.314510
    density = {
        "dry standard": 101325 * mass_dry / (compressibility(101325, 15, 0) * gas * 288.15),
        "wet standard": 1333 * mass_wet / (compressibility(1333, 20, 1) * gas * 293.15),
    }
    z = compressibility(pressure, temperature, x_w)
    dry = pressure * mass_dry * (1 - x_w) / (z * gas * kelvin)
    wet = pressure * mass_wet * x_w / (z * gas * kelvin)
    return dry / density["dry standard"] * standard + wet / density["wet standard"] * vapour


@pytest.mark.parametrize(("pressure", "temperature", "humidity"), [(780, 14.2, 0.22), (1013, 20, 0.9), (600, -5, 0.5)])
def test_refractivity_is_ciddors(pressure, temperature, humidity):
    for nm in (350, 500, 700, 1000):
        found = float(air.refractivity(jnp.float32(nm * 1e-9), pressure, temperature, humidity))
        assert found == pytest.approx(ciddor(nm * 1e-3, pressure * 100, temperature, humidity), rel=6e-4)


def test_spread_within_a_band_is_the_variance_over_it():
    """By brute force in float64: 20,001 wavelengths of g."""
    nm = np.linspace(400, 550, 20001)
    n = ciddor(nm * 1e-3, 78000, 12.0, 0.3)
    variance = np.var(n) * (1.8**2 - 1) * RADIAN**2
    found = air.refraction_spread(jnp.asarray([475e-9]), jnp.asarray([150e-9]), jnp.float32(1.8), 780.0, 12.0, 0.3)
    assert found == pytest.approx([variance], rel=5e-3)
    assert 0.25 < float(found[0]) ** 0.5 < 0.4  # an image 1.1 arcsec long from end to end
    assert air.refraction_spread(jnp.asarray([475e-9]), jnp.asarray([0.0]), jnp.float32(1.8), 780.0, 12.0, 0.3) == 0
    assert air.refraction_spread(jnp.asarray([475e-9]), jnp.asarray([150e-9]), jnp.float32(1.0), 780.0, 12.0, 0.3) == 0


def test_direction_of_the_zenith():
    north_up = air.towards_zenith(jnp.float32(30.0), 90.0, 1)  # north along y, east to the left
    assert (jnp.cos(north_up), jnp.sin(north_up)) == pytest.approx((-0.5, 0.75**0.5), abs=1e-6)
    turned = air.towards_zenith(jnp.float32(90.0), 180.0, -1)  # DECam: north towards -x, east towards +y
    assert (jnp.cos(turned), jnp.sin(turned)) == pytest.approx((0, 1), abs=1e-6)
    xx, yy, xy = np.asarray(air.along(north_up, jnp.float32(0.04)))
    values, vectors = np.linalg.eigh([[xx, xy], [xy, yy]])
    assert values == pytest.approx([0, 0.04], abs=1e-7)
    assert abs(vectors[:, 1] @ [-0.5, 0.75**0.5]) == pytest.approx(1, abs=1e-6)


def test_exponents():
    """FWHM = 0.976 lambda / r0 goes as X^a lambda^b."""
    wavelengths = (500e-9, 1000e-9)
    one, two = (np.asarray(air.fried(jnp.float32(0.8), jnp.float32(x), wavelengths, 0.35, -0.31)) for x in (1.0, 1.7))
    fwhm = 0.976 * np.array(wavelengths) / one * RADIAN
    assert fwhm == pytest.approx([0.8, 0.8 * 2**-0.31], rel=1e-5)
    assert one / two == pytest.approx([1.7**0.35] * 2, rel=1e-5)


def test_mirror_and_dome_seeing_add_in_five_thirds():
    wavelengths = (500e-9, 800e-9)
    r0 = air.fried(jnp.float32(0.7), jnp.float32(1.0), wavelengths, 0.6, -0.2)[:, None]
    local = air.warm_seeing(jnp.asarray([14.0, 14.0]), jnp.float32(12.5), 0.4, 1.2)
    assert local == pytest.approx([0.4 * 1.5**1.2] * 2, rel=1e-5)
    assert air.warm_seeing(jnp.float32(9.0), jnp.float32(12.5), 0.4, 1.2) == 0  # a cold mirror is quiet
    fwhm = 0.976 * np.array(wavelengths) / np.asarray(air.add_seeing(r0, local, wavelengths))[:, 0] * RADIAN
    together = (0.7 ** (5 / 3) + (0.4 * 1.5**1.2) ** (5 / 3)) ** 0.6
    assert fwhm == pytest.approx(together * np.array([1, 1.6**-0.2]), rel=1e-4)
    slope = jax.grad(lambda t: air.add_seeing(r0, air.warm_seeing(t, 12.5, 0.4, 1.2)[None], wavelengths).sum())
    assert slope(jnp.float32(12.5)) == 0  # no NaN where the mirror is as warm as its air
    assert slope(jnp.float32(13.5)) < 0


def test_coherence_time():
    """0.8 arcsec and a jet stream of 30 m/s: 3.3 ms, as the ESO pages give for a median night."""
    r0 = 0.976 * 500e-9 / 0.8 * RADIAN
    assert air.coherence_time(jnp.float32(r0), 5.0, 30.0) == pytest.approx(0.314 * r0 / 12, rel=1e-5)
    assert 3e-3 < air.coherence_time(jnp.float32(r0), 5.0, 30.0) < 3.6e-3
    assert air.coherence_time(jnp.float32(r0), 20.0, 30.0) == pytest.approx(0.314 * r0 / 20, rel=1e-5)


def test_gradients_and_batches():
    arguments = (jnp.float32(1.3), jnp.float32(780.0), jnp.float32(12.0), jnp.float32(0.3))
    wavelength, width = jnp.asarray([500e-9]), jnp.asarray([1e-7])
    for k in range(4):
        slope = jax.grad(lambda *a: air.refraction_spread(wavelength, width, *a).sum(), argnums=k)(*arguments)
        assert np.isfinite(slope)
    shift = jax.grad(lambda x: air.refraction_shift(wavelength, 6e-7, x, 780.0, 12.0, 0.3).sum())
    assert np.isfinite(shift(jnp.float32(1.0)))
    many = jax.vmap(lambda x: air.refraction_spread(wavelength, width, x, 780.0, 12.0, 0.3))(jnp.linspace(1, 2, 5))
    assert many.shape == (5, 1)
    assert np.all(np.diff(many[:, 0]) > 0)
