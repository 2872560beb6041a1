"""Dark halos too small to shine: subhalos of a lens, and halos along the line of sight.

Halos are points of a Poisson process in mass. The k-th heaviest has the mass that Gamma_k halos are expected to exceed,
Gamma_k a sum of k unit exponentials: counts are Poisson, masses follow their function, and an array that is too short
loses only the lightest. All are truncated NFW halos of bound mass m (twin.simulators.mass.tnfw); absent ones have mass
and alpha_Rs 0.

Lengths in arcsec and Mpc (comoving where called T), masses in solar masses; flat LCDM of `populations`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array

from twin.priors.populations import OMEGA_M, comoving_distance

# Subhalos' share of a lens's mass near its Einstein ring (simulations: median 2.5e-3, at most 1e-2 in 95 % of halos,
# Chen+ 2011, arXiv:1101.2916). The same numbers in Wagner-Carena+ 2023, arXiv:2203.00690, are no share but sigma_sub
# [kpc^-2], a density on the sky of halos before they were stripped: see `fraction_of_density`
FRACTION = dist.TruncatedNormal(2e-3, 1.1e-3, low=0.0, high=1e-2)
SLOPE = -1.9  # of dN/dm (Springel+ 2008, MNRAS 391, 1685)
# Halos along the line of sight in units of Sheth & Tormen's (arXiv:2203.00690)
LINE_OF_SIGHT = dist.TruncatedNormal(1.0, 0.6, low=0.0, high=4.0)

_CRITICAL = 1.662919e18  # c^2 / (4 pi G) in solar masses per Mpc
_ARCSEC = np.pi / 648000
_RHO = 1.35988e11  # critical density today, h = 0.7, in solar masses per Mpc^3
_SCATTER = 0.11 * np.log(10)  # of ln concentration (Dutton & Maccio 2014)
_DEPTH = 0.1  # Mpc: subhalos in projection lie up to this far before and behind the lens

Truth = dict[str, Array]


def critical_mass(z: Array | float, z_source: Array | float) -> Array:
    """Mass [solar masses] of a square arcsec of critical surface density at z."""
    near, far = comoving_distance(jnp.asarray(z)), comoving_distance(jnp.asarray(z_source))
    return _CRITICAL * _ARCSEC**2 * near * far / ((far - near) * (1 + z))


def concentration(mass: Array, z: Array | float) -> Array:
    """Median c_200 of halos (Dutton & Maccio 2014, MNRAS 441, 3359, eqs. 7, 10, 11)."""
    a = 0.520 + (0.905 - 0.520) * jnp.exp(-0.617 * jnp.asarray(z) ** 1.21)
    b = -0.101 + 0.026 * z
    return 10 ** (a + b * jnp.log10(mass * (0.7 / 1e12)))


def radius_200(mass: Array, z: Array | float) -> Array:
    """Radius [Mpc] of mean density 200 times the critical one at z."""
    density = 200 * _RHO * (OMEGA_M * (1 + jnp.asarray(z)) ** 3 + 1 - OMEGA_M)
    return jnp.cbrt(mass * (3 / (4 * np.pi)) / density)


def truncated_mass(t: Array) -> Array:
    """Mass of a truncated NFW halo in units of 4 pi rho0 Rs^3, t = r_trunc / Rs (Baltz+ 2009, eq. A.4)."""
    t2 = t * t
    return t2 / (t2 + 1) ** 2 * ((t2 - 1) * jnp.log(t) + np.pi * t - (t2 + 1))


def alpha_Rs(area: Array, size: Array, cut: Array) -> Array:
    """Deflection [arcsec] that names a truncated NFW halo of scale radius `size` and truncation radius `cut` [arcsec]:
    `area` [arcsec^2] is its whole mass in units of `critical_mass`."""
    return area * ((1 - np.log(2)) / np.pi) / (size * truncated_mass(cut / size))


def _heaviest(name: str, count: int) -> Array:
    """(count,) numbers of halos expected to be heavier than the 1st, 2nd, ...: a unit Poisson process."""
    uniform = numpyro.sample(f"{name}_order", dist.Uniform(0.0, 1.0).expand([count]).to_event(1))
    return jnp.cumsum(-jnp.log1p(-uniform))


def _disc(name: str, count: int, radius: Array | float) -> tuple[Array, Array]:
    """Positions uniform in a disc [arcsec]."""
    u = numpyro.sample(f"{name}_place", dist.Uniform(0.0, 1.0).expand([count]).to_event(1))
    phi = numpyro.sample(f"{name}_phi", dist.Uniform(0.0, 2 * np.pi).expand([count]).to_event(1))
    r = radius * jnp.sqrt(u)
    return r * jnp.cos(phi), r * jnp.sin(phi)


def _spread(name: str, count: int) -> Array:
    """Log-normal scatter of concentrations."""
    normal = numpyro.sample(f"{name}_spread", dist.Normal(0.0, 1.0).expand([count]).to_event(1))
    return jnp.exp(_SCATTER * normal)


@dataclass(frozen=True)
class MassRange:
    """Masses between which halos are drawn [solar masses], and the slope of dN/dm, not -1."""

    low: float = 1e7
    high: float = 1e10
    slope: float = SLOPE

    def _moment(self, power: int) -> float:
        e = self.slope + 1 + power
        return float(np.log(self.high / self.low) if e == 0 else (self.high**e - self.low**e) / e)

    @property
    def mean(self) -> float:
        """Mean mass."""
        return self._moment(1) / self._moment(0)

    def exceeded(self, share: Array) -> Array:
        """Mass above which this share of halos lies (0 to 1)."""
        e = self.slope + 1
        ratio = (self.high / self.low) ** e
        return self.low * (1 + (1 - share) * (ratio - 1)) ** (1 / e)


def fraction_of_density(sigma_sub: Array, z_lens: Array, z_source: Array, masses: MassRange) -> Array:
    """Mass fraction of subhalos with d^2 N / (dA dm) = sigma_sub / m0 (m / m0)^slope, m0 = 1e10, sigma_sub [kpc^-2].

    In this form Wagner-Carena+ 2023 (sigma_sub = N(2e-3, 1.1e-3), slopes -1.92 to -1.82, 1e7 to 1e10 solar masses:
    paltas) give the masses that halos had before they were stripped.
    """
    per_kpc2 = sigma_sub * masses._moment(1) * 1e10 ** -(masses.slope + 1)
    kpc = comoving_distance(jnp.asarray(z_lens)) / (1 + z_lens) * (1e3 * _ARCSEC)
    return 2 * per_kpc2 * kpc * kpc / critical_mass(z_lens, z_source)


def subhalos(
    fraction: Array,
    theta_E: Array,
    z_lens: Array,
    z_source: Array,
    radius: float,
    count: int,
    masses: MassRange = MassRange(),
    name: str = "subhalo",
) -> Truth:
    """NumPyro program of subhalos seen within `radius` [arcsec] of the lens, (count,) each, heaviest first.

    They have `fraction` of the lens's convergence at its Einstein ring, 1/2, everywhere: their surface density hardly
    varies so far inside the halo (Xu+ 2015, MNRAS 447, 3189). Truncated at 1.4 kpc (m / 1e7)^(1/3) (r / 50 kpc)^(2/3)
    for the distance r in space from the lens, softened by theta_E (Gilman+ 2020, MNRAS 491, 6077).

    In projection they lie anywhere within 100 kpc before and behind it.

    Returns `*_mass`, `*_Rs`, `*_alpha_Rs`, `*_r_trunc`, `*_x`, `*_y` (from the lens's centre).
    """
    unit = critical_mass(z_lens, z_source)
    expected = 0.5 * fraction * np.pi * radius**2 * unit / masses.mean
    order = _heaviest(name, count)
    there = order < expected
    share = jnp.where(there, order / jnp.where(expected > 0, expected, 1.0), 1.0)
    mass = masses.exceeded(jnp.minimum(share, 1.0))
    x, y = _disc(name, count, radius)
    depth = _DEPTH * numpyro.sample(f"{name}_depth", dist.Uniform(-1.0, 1.0).expand([count]).to_event(1))
    per_arcsec = comoving_distance(jnp.asarray(z_lens)) / (1 + z_lens) * _ARCSEC
    distance = jnp.sqrt((x * x + y * y + theta_E * theta_E) * per_arcsec**2 + depth * depth)
    size = radius_200(mass, z_lens) / (concentration(mass, z_lens) * _spread(name, count)) / per_arcsec
    cut = 1.4e-3 * jnp.cbrt(mass * 1e-7) * jnp.cbrt((distance * 20) ** 2) / per_arcsec
    return {
        f"{name}_mass": jnp.where(there, mass, 0.0),
        f"{name}_Rs": size,
        f"{name}_alpha_Rs": jnp.where(there, alpha_Rs(mass / unit, size, cut), 0.0),
        f"{name}_r_trunc": cut,
        f"{name}_x": x,
        f"{name}_y": y,
    }


def sigma_mass(mass: np.ndarray) -> np.ndarray:
    """RMS of the linear density field today in spheres of `mass`, top hat in space.

    Power spectrum k^0.965 T^2 with the transfer function of Eisenstein & Hu 1998, ApJ 496, 605 (eqs. 26, 28-31, without
    wiggles), Omega_b = 0.048, h = 0.7, normalised to sigma_8 = 0.81.
    """
    h, baryons = 0.7, 0.048
    om, ob = OMEGA_M * h * h, baryons * h * h
    k = np.exp(np.linspace(np.log(1e-4), np.log(1e5), 6000))  # per Mpc
    horizon = 44.5 * np.log(9.83 / om) / np.sqrt(1 + 10 * ob**0.75)
    ratio = baryons / OMEGA_M
    alpha = 1 - 0.328 * np.log(431 * om) * ratio + 0.38 * np.log(22.3 * om) * ratio**2
    shape = OMEGA_M * h * (alpha + (1 - alpha) / (1 + (0.43 * k * horizon) ** 4))
    q = k / h * (2.7255 / 2.7) ** 2 / shape
    l0 = np.log(2 * np.e + 1.8 * q)
    power = k**0.965 * (l0 / (l0 + (14.2 + 731 / (1 + 62.5 * q)) * q * q)) ** 2

    def rms(radius: np.ndarray) -> np.ndarray:
        x = k * radius[:, None]
        window = np.where(x < 1e-2, 1 - x * x / 10, 3 * (np.sin(x) - x * np.cos(x)) / np.maximum(x, 1e-3) ** 3)
        return np.sqrt(np.sum(power * k**3 * window**2, -1))

    radius = np.cbrt(3 * mass / (4 * np.pi * OMEGA_M * _RHO))
    return 0.81 * rms(radius) / rms(np.array([8 / h]))


def growth(z: np.ndarray) -> np.ndarray:
    """Linear growth factor, 1 today (Heath 1977: D ~ E(a) int da / (a E)^3)."""
    x, w = np.polynomial.legendre.leggauss(64)

    def factor(z: np.ndarray) -> np.ndarray:
        top = 1 / (1 + np.asarray(z, float))
        a = 0.5 * top[..., None] * (1 + x)
        inside = np.sum(w * 0.5 * top[..., None] * (a / (OMEGA_M + (1 - OMEGA_M) * a**3)) ** 1.5, -1)
        return np.sqrt(OMEGA_M / top**3 + 1 - OMEGA_M) * inside

    return factor(z) / factor(np.zeros(1))


def multiplicity(nu: np.ndarray) -> np.ndarray:
    """f(nu) d nu, nu = delta_c / sigma: share of matter in halos (Sheth & Tormen 1999, MNRAS 308, 119, eq. 10)."""
    a, p, norm = 0.707, 0.3, 0.3222
    y = a * nu * nu
    return norm * np.sqrt(2 * a / np.pi) * (1 + y**-p) * np.exp(-y / 2)


def sheth_tormen(mass: np.ndarray, z: float) -> np.ndarray:
    """Comoving number of halos per Mpc^3 and ln mass at redshift z."""
    step = 1e-2
    up, down = (sigma_mass(mass * np.exp(s * step)) for s in (0.5, -0.5))
    nu = 1.686 / (np.sqrt(up * down) * growth(np.array([z])))
    return OMEGA_M * _RHO / mass * multiplicity(nu) * nu * -np.log(up / down) / step


@cache
def _above(low: float, high: float, z: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """ln of masses (M,) and halos per comoving Mpc^3 heavier than each, (planes, M), none above `high`."""
    log = np.linspace(np.log(low), np.log(high), 129)
    fine = 0.5 * (log[1:] + log[:-1])
    inside = np.array([sheth_tormen(np.exp(fine), plane) * np.diff(log) for plane in z])
    above = np.cumsum(inside[:, ::-1], 1)[:, ::-1]
    return log, np.concatenate([above, np.zeros((len(z), 1))], 1)


def line_of_sight(
    abundance: Array,
    z_planes: tuple[float, ...],
    z_lens: Array,
    z_source: Array,
    radius: float,
    count: int,
    masses: MassRange = MassRange(),
    name: str = "los",
) -> Truth:
    """NumPyro program of halos that are no part of the lens, (planes * count,) each: `count` a plane, heaviest first.

    Slabs reach half-way to the neighbouring planes (the first from the observer, the last to the source); the cone has
    `radius` [arcsec] up to the lens and closes towards the source. Numbers are `abundance` times Sheth & Tormen's.
    Halos are truncated at their r_200; all of a halo's mass is what the function counts.

    Returns `*_mass`, `*_Rs`, `*_alpha_Rs`, `*_r_trunc`, `*_x`, `*_y`, (planes, count) flattened, deflections
    reduced for the source. Planes must rise; those behind the source are empty.
    """
    at = jnp.asarray(z_planes, jnp.float32)
    here, source, lens = (comoving_distance(jnp.asarray(z)) for z in (at, z_source, z_lens))
    middle = 0.5 * (here[1:] + here[:-1])
    low, high = (
        jnp.minimum(jnp.concatenate(edges), source)
        for edges in ((jnp.zeros(1, at.dtype), middle), (middle, jnp.maximum(here[-1:], source)))
    )
    before = here < 0.999 * source
    closing = lens * jnp.maximum(source - here, 0.0) / (here * (source - lens))
    reach = radius * jnp.minimum(closing, 1.0)
    volume = jnp.where(before, np.pi * (reach * _ARCSEC * here) ** 2 * jnp.maximum(high - low, 0.0), 0.0)
    log, above = (jnp.asarray(v, jnp.float32) for v in _above(masses.low, masses.high, z_planes))
    expected = abundance * volume[:, None] * above
    planes, size = len(z_planes), len(z_planes) * count
    steps = numpyro.sample(f"{name}_order", dist.Uniform(0.0, 1.0).expand([size]).to_event(1))
    order = jnp.cumsum(-jnp.log1p(-steps.reshape(planes, count)), 1)
    there = order < expected[:, :1]
    ln_mass = jax.vmap(lambda o, e: jnp.interp(-o, -e, log))(order, expected)
    mass = jnp.exp(jnp.where(there, ln_mass, log[0]))
    z, unit = at[:, None], critical_mass(at, jnp.where(before, z_source, at + 1.0))[:, None]
    per_arcsec = here[:, None] / (1 + z) * _ARCSEC
    cut = radius_200(mass, z) / per_arcsec
    scale = cut / (concentration(mass, z) * _spread(name, size).reshape(planes, count))
    x, y = (v.reshape(planes, count) for v in _disc(name, size, jnp.repeat(reach, count)))
    values = {
        "mass": jnp.where(there, mass, 0.0),
        "Rs": scale,
        "alpha_Rs": jnp.where(there, alpha_Rs(mass / unit, scale, cut), 0.0),
        "r_trunc": cut,
        "x": x,
        "y": y,
    }
    return {f"{name}_{key}": value.reshape(-1) for key, value in values.items()}
