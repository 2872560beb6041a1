"""What may stand in a field about a cluster of galaxies: its halos and members, the light between them, what lies
before it, and the galaxies far behind that it bends into arcs.

Masses follow from richness, members from a Schechter function, the red sequence and scaling relations; ranges and
scatters come from the recipe's `prior:` section. Lensing strengths are those of a source infinitely far behind,
D_ls / D_s = 1; each source's own ratio is its `source_efficiency`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array

from twin.priors import populations as pop
from twin.priors.fields import Prior, Truth
from twin.priors.sites import SITES, Site

MEMBERS, FIELDS, STARS, SOURCES, HALOS = 300, 40, 4, 6, 2
_SHARED = (
    "early_n", "shear", "centre", "blue_gr", "blue_ri", "star_gr", "m_dwarf",
    "z_source", "source_mag", "source_radius", "source_n", "field_n",
)  # fmt: skip

CLUSTER_SITES: dict[str, Site] = {name: SITES[name] for name in _SHARED} | {
    "z_cluster": Site("redshift of the cluster", "", 0.02, 2.0),
    "richness": Site("red members brighter than 0.2 L* within R_lambda", "", 1.0, 400.0),
    "mass_scatter": Site("ln of a cluster's mass against its richness's", "", -3, 3),
    "concentration": Site("concentration of an NFW halo as seen, of the radius of 200 mean densities", "", 1.0, 30.0),
    "halo_core": Site("core radius of a dPIE halo", "kpc", 0.1, 300.0),
    "halo_cut": Site("cut radius of a dPIE halo", "kpc", 100.0, 10000.0),
    "halo_q": Site("axis ratio of a halo: of the potential of an NFW, of the mass of a dPIE", "", 0.3, 1.0),
    "second_halo": Site("there is a second halo", chance=True),
    "second_share": Site("mass of the second halo, of the first's", "", 1e-3, 1.0),
    "second_distance": Site("its distance from the first", "kpc", 1.0, 3000.0),
    "member_scale": Site("scale radius of the members' distribution", "kpc", 10.0, 3000.0),
    "member_sigma": Site("central velocity dispersion of an L* member", "km/s", 10.0, 400.0),
    "member_cut": Site("cut radius of an L* member", "kpc", 0.5, 300.0),
    "blue_member": Site("a member is blue", chance=True),
    "bcg_contrast": Site("r of the brightest member minus that of L*", "mag", -5.0, 2.0),
    "bcg_radius": Site("half-light radius of the brightest member", "kpc", 1.0, 200.0),
    "icl_contrast": Site("r of the intracluster light minus that of the brightest member", "mag", -3.0, 10.0),
    "icl_radius": Site("half-light radius of the intracluster light", "kpc", 10.0, 1000.0),
    "field_density": Site("galaxies in front or beside, by square arcminute, brighter than the limit", "", 0.0, 2000.0),
    "field_limit": Site("r of the faintest of them", "mag", 15, 40),
    "red_field": Site("one of them is red", chance=True),
    "star_density": Site("stars by square arcminute", "", 0.0, 100.0),
    "star_mag": Site("r of a star", "mag", 5, 40),
    "sources": Site("lensed sources, rounded", "", 0.0, SOURCES + 0.49),
    "near_caustic": Site("a source lies where the critical curve maps to", chance=True),
    "critical_offset": Site("distance of its image from the critical curve, of the latter's radius", "", -0.9, 3.0),
    "away_offset": Site("the same of other sources", "", 0.0, 10.0),
}

RELATIONS = {
    # M200m [Msun / h] at a richness, and the slope
    "simet2017": (10**14.344, 40.0, 1.33),  # Simet+ 2017, MNRAS 466, 3103
    "abdullah2022": (11.4e12, 1.0, 0.95),  # Abdullah+ 2022, ApJ 933, 48
}

_H = 0.7
_CRITICAL = 1.35994e11  # Msun / Mpc^3 today, h = 0.7
_SIGMA_UNIT = 1.66291e18  # c^2 / (4 pi G) [Msun / Mpc]
_ARCSEC = 206264.806
_SIGMA_STAR = 174.0  # km/s: the dispersion of L*, M_r = -21.3, by `populations.early_type_r`
_BRIGHTEST = 10.0  # L*: none of the Schechter function's is brighter, the brightest member is drawn apart
_NEAREST = 6.0  # kpc: members closer to the brightest have been swallowed


def mass(richness: Array, relation: str) -> Array:
    """log10 of M200m [Msun] = M0 (richness / richness0)^slope, one of RELATIONS."""
    m0, pivot, slope = RELATIONS[relation]
    return float(np.log10(m0 / _H)) + slope * jnp.log10(richness / pivot)


def nfw(log_mass: Array, concentration: Array, z: Array) -> tuple[Array, Array]:
    """Scale radius [arcsec] and deflection there [arcsec] for D_ls / D_s = 1, of an NFW halo of M200m [Msun].

    rho_s = 200 rho_m c^3 / (3 m(c)), m(c) = ln(1 + c) - c / (1 + c); alpha(R_s) = 4 (1 - ln 2) rho_s R_s / Sigma_cr R_s
    (Wright & Brainerd 2000, ApJ 534, 34; lenstronomy's `Rs`, `alpha_Rs`).
    """
    density = 200 * pop.OMEGA_M * _CRITICAL * (1 + z) ** 3
    r200 = jnp.exp((jnp.log(10.0) * log_mass - jnp.log(4 / 3 * np.pi * density)) / 3)  # Mpc
    rs, c = r200 / concentration, concentration
    rho = density / 3 * c**3 / (jnp.log1p(c) - c / (1 + c))
    kappa = rho * rs * _distance(z) / _SIGMA_UNIT
    angle = 1e3 * rs * pop.arcsec_per_kpc(z)
    return angle, 4 * (1 - np.log(2)) * kappa * angle


def dispersion(log_mass: Array, z: Array) -> Array:
    """Velocity dispersion [km/s] of a halo: 1083 (h(z) M / 1e15 Msun)^0.336 (Evrard+ 2008, ApJ 672, 122)."""
    hubble = _H * jnp.sqrt(pop.OMEGA_M * (1 + z) ** 3 + 1 - pop.OMEGA_M)
    return 1082.9 * 10 ** (0.3361 * (log_mass - 15 + jnp.log10(hubble)))


def strength(sigma: Array) -> Array:
    """b0 = 4 pi (sigma / c)^2 [arcsec] of a dPIE of central velocity dispersion sigma [km/s], for D_ls / D_s = 1.

    sigma is what spectra measure. LENSTOOL's sigma_LT is sqrt(2/3) of it, with b0 = 6 pi (sigma_LT / c)^2: both give
    the same mass (Eliasdottir+ 2007, arXiv:0710.5636; Bergamini+ 2019, A&A 631, A130, App. C).
    """
    return 4 * np.pi * _ARCSEC * (sigma / 299792.458) ** 2


def _distance(z: Array) -> Array:
    """Angular diameter distance [Mpc]."""
    return pop.comoving_distance(z) / (1 + z)


@cache
def _schechter(faintest: float) -> tuple[np.ndarray, np.ndarray]:
    """(share of members fainter, magnitude below L*) from `_BRIGHTEST` L* to `faintest` mag below it, alpha = -1."""
    from scipy.special import exp1

    m = np.linspace(-2.5 * np.log10(_BRIGHTEST), faintest, 256)
    number = exp1(10 ** (-0.4 * m))
    return (number - number[0]) / (number[-1] - number[0]), m


def members_per_richness(faintest: float) -> float:
    """Members down to `faintest` mag below L* for one brighter than 0.2 L*, the limit of richness (Rykoff+ 2014)."""
    from scipy.special import exp1

    return float(exp1(10 ** (-0.4 * faintest)) / exp1(0.2))


@cache
def _projected() -> tuple[np.ndarray, np.ndarray]:
    """(ln x, number within x) of a projected NFW distribution: ln(x/2) + arccosh(1/x) / sqrt(1 - x^2) (Bartelmann
    1996, A&A 313, 697)."""
    x = np.exp(np.linspace(np.log(1e-4), np.log(1e3), 600))
    u = np.sqrt(np.abs(1 - x * x))
    rest = np.where(x < 1, np.arccosh(np.maximum(1 / x, 1)), np.arccos(np.minimum(1 / x, 1))) / np.maximum(u, 1e-12)
    return np.log(x), np.log(x / 2) + np.where(u < 1e-6, 1.0, rest)


def _within(x: Array) -> Array:
    log_x, number = _projected()
    return jnp.interp(jnp.log(jnp.maximum(x, 1e-4)), log_x.astype(np.float32), number.astype(np.float32))


def _radius_of(share: Array) -> Array:
    log_x, number = _projected()
    return jnp.exp(jnp.interp(share, number.astype(np.float32), log_x.astype(np.float32)))


def _uniform(name: str, size: int | None = None, high: float = 1.0) -> Array:
    law = dist.Uniform(0.0, high)
    return numpyro.sample(name, law if size is None else law.expand([size]).to_event(1))


def _normal(name: str, size: int) -> Array:
    return numpyro.sample(name, dist.Normal(0.0, 1.0).expand([size]).to_event(1))


def _ratios(name: str, size: int, scale: float, low: float = 0.25) -> Array:
    """Axis ratios, 1 - q Rayleigh of `scale` without the tail below `low`."""
    most = 1 - np.exp(-0.5 * ((1 - low) / scale) ** 2)
    return 1 - scale * jnp.sqrt(-2 * jnp.log1p(-_uniform(name, size) * float(most)))


def _magnitudes(
    p: Prior, r: Array, gr: Array, ri: Array, there: Array, of: str = "galaxy", z: Array | float = 0.0
) -> Array:
    """(K, B), NaN where there is nothing."""
    return jnp.where(there[:, None], p.magnitudes(r, gr, ri, of, z).T, jnp.nan)


def _halos(p: Prior, kind: str, relation: str, z: Array, kpc: Array) -> tuple[Truth, Array]:
    """One or two halos, and where the second lies by the first (dx, dy) [arcsec]."""
    richness = p.draw("richness")
    log_mass = mass(richness, relation) + p.draw("mass_scatter") / np.log(10.0)
    second = p.draw("second_halo")
    share, distance = p.draw("second_share"), p.draw("second_distance") * kpc
    phi = _uniform("second_phi", high=2 * np.pi)
    log_masses = jnp.stack([log_mass, log_mass + jnp.log10(share)])
    there = jnp.stack([jnp.ones_like(log_mass), 1.0 * second])
    apart = jnp.stack([distance * jnp.cos(phi), distance * jnp.sin(phi)])
    x, y = p.draw("centre", "halo_x"), p.draw("centre", "halo_y")
    halo: Truth = {
        "richness": richness,
        "log_mass": log_mass,
        "halo_x": x + jnp.stack([0.0 * x, apart[0]]),
        "halo_y": y + jnp.stack([0.0 * y, apart[1]]),
        "halo_q": p.draw("halo_q", size=HALOS),
        "halo_angle": _uniform("halo_angle", HALOS, np.pi),
        "gamma1": p.draw("shear", "gamma1"),
        "gamma2": p.draw("shear", "gamma2"),
    }
    if kind == "nfw":
        scale, deflection = nfw(log_masses, p.draw("concentration", size=HALOS), z)
        return halo | {"halo_Rs": scale, "halo_alpha_Rs": there * deflection}, apart * second
    core, cut = p.draw("halo_core", size=HALOS) * kpc, p.draw("halo_cut", size=HALOS) * kpc
    b0 = there * strength(dispersion(log_masses, z))
    return halo | {"halo_b0": b0, "halo_core": core, "halo_cut": cut}, apart * second


def _members(p: Prior, faintest: float, bcg: Array, z: Array, kpc: Array, halo: Truth, apart: Array) -> Truth:
    """Members of the cluster: 0 is the brightest, at the first halo's centre, then as many as the richness says.

    Numbers within the frame's corners follow the projected NFW profile; luminosities a Schechter function; sigma =
    sigma* (L / L*)^(1/4), core and cut = those of L* (L / L*)^(1/2); sizes Hyde & Bernardi's of that sigma.
    """
    scale = p.draw("member_scale") * kpc
    reach = 1.1 * np.sqrt(2) * p.half_side
    richness_radius = 1e3 / _H * (halo["richness"] / 100) ** 0.2 * kpc  # Rykoff+ 2014, ApJ 785, 104
    inner, outer = _within(_NEAREST * kpc / scale), _within(reach / scale)
    expected = halo["richness"] * members_per_richness(faintest) * (outer - inner) / _within(richness_radius / scale)
    expected = jnp.maximum(expected, 0.0)
    number = jnp.round(expected + jnp.sqrt(expected) * numpyro.sample("member_noise", dist.Normal(0.0, 1.0)))
    number = jnp.clip(number, 0, MEMBERS - 1)

    radius = scale * _radius_of(inner + _uniform("member_u", MEMBERS) * (outer - inner))
    phi = _uniform("member_phi", MEMBERS, 2 * np.pi)
    stretch = jnp.sqrt(halo["halo_q"][0])
    u, v = radius * jnp.cos(phi) / stretch, radius * jnp.sin(phi) * stretch
    cos, sin = jnp.cos(halo["halo_angle"][0]), jnp.sin(halo["halo_angle"][0])
    other = _uniform("member_halo", MEMBERS) < 0.3  # of a second halo, where there is one
    x = halo["halo_x"][0] + cos * u - sin * v + other * apart[0]
    y = halo["halo_y"][0] + sin * u + cos * v + other * apart[1]

    share, fainter = _schechter(faintest)
    dm = jnp.interp(_uniform("member_l", MEMBERS), share.astype(np.float32), fainter.astype(np.float32))
    first = jnp.arange(MEMBERS) == 0
    dm = jnp.where(first, bcg, dm)
    light = 10 ** (-0.4 * dm)
    r = pop.early_type_r(jnp.float32(_SIGMA_STAR), z) + dm
    sigma = jnp.clip(_SIGMA_STAR * light**0.25, 40.0, 400.0)
    size = pop.early_type_radius(sigma, z) * 10 ** (0.11 * _normal("member_size", MEMBERS))
    gr, ri = pop.red_sequence(z)
    gr = gr - 0.03 * dm + 0.04 * _normal("member_gr", MEMBERS)
    ri = ri - 0.01 * dm + 0.03 * _normal("member_ri", MEMBERS)
    blue = (p.draw("blue_member", size=MEMBERS) == 1) & ~first
    blue_gr = p.draw("blue_gr", "member_blue_gr", MEMBERS)
    blue_ri = 0.35 * blue_gr + p.draw("blue_ri", "member_blue_ri", MEMBERS)
    there = jnp.arange(MEMBERS) <= number
    q, angle = _ratios("member_q", MEMBERS, 0.25), _uniform("member_angle", MEMBERS, np.pi)
    return {
        "members": number + 1,
        "member_x": jnp.where(first, halo["halo_x"][0], x),
        "member_y": jnp.where(first, halo["halo_y"][0], y),
        "member_b0": there * strength(p.draw("member_sigma")) * jnp.sqrt(light),
        "member_core": 0.1 * kpc * jnp.sqrt(light),
        "member_cut": p.draw("member_cut") * kpc * jnp.sqrt(light),
        "member_radius": jnp.where(first, p.draw("bcg_radius") * kpc, size),
        "member_sersic": jnp.clip(p.draw("early_n", "member_n", MEMBERS) * light**0.12, 0.8, 6.0),
        "member_q": jnp.where(first, 0.5 + 0.5 * halo["halo_q"][0], q),
        "member_angle": jnp.where(first, halo["halo_angle"][0], angle),
        "member_mag": _magnitudes(p, r, jnp.where(blue, blue_gr, gr), jnp.where(blue, blue_ri, ri), there, z=z),
    }


def _intracluster(p: Prior, bcg: Array, z: Array, kpc: Array) -> Truth:
    """Intracluster light about the brightest member, a little bluer."""
    gr, ri = pop.red_sequence(z)
    r = pop.early_type_r(jnp.float32(_SIGMA_STAR), z) + bcg + p.draw("icl_contrast")
    return {"icl_radius": p.draw("icl_radius") * kpc, "icl_mag": p.magnitudes(r, gr - 0.1, ri - 0.05, "galaxy", z)}


def _field(p: Prior) -> Truth:
    """Galaxies and stars anywhere in the frame and a little outside; counts of galaxies rise by 10^(0.4 r)."""
    half = 1.05 * p.half_side
    area = (2 * half / 60) ** 2
    truth: Truth = {}
    for name, size in (("field", FIELDS), ("star", STARS)):
        expected = p.draw(f"{name}_density") * area
        number = jnp.round(expected + jnp.sqrt(expected) * numpyro.sample(f"{name}_noise", dist.Normal(0.0, 1.0)))
        truth[f"{name}_x"] = half * (2 * _uniform(f"{name}_u", size) - 1)
        truth[f"{name}_y"] = half * (2 * _uniform(f"{name}_v", size) - 1)
        truth[f"{name}s"] = jnp.clip(number, 0, size)
    there = jnp.arange(FIELDS) < truth["fields"]
    limit = p.draw("field_limit")
    r = limit + jnp.log10(jnp.maximum(_uniform("field_m", FIELDS), 1e-3)) / 0.4
    gr = p.draw("blue_gr", "field_gr", FIELDS)
    ri = 0.35 * gr + p.draw("blue_ri", "field_ri", FIELDS)
    z = 0.1 + 0.8 * _uniform("field_z", FIELDS)
    passive = pop.red_sequence(z)
    red = p.draw("red_field", size=FIELDS) == 1
    gr, ri = jnp.where(red, passive[0], gr), jnp.where(red, passive[1], ri)
    # half-light radii fall by a factor of two in four magnitudes, 0.35" at r = 23.5
    radius = 0.35 * 10 ** (-0.075 * (r - 23.5) + 0.2 * _normal("field_size", FIELDS))
    star = p.draw("star_gr", size=STARS)
    dwarf = p.draw("m_dwarf", size=STARS) == 1
    late = 0.5 + 1.7 * _uniform("star_type", STARS)
    shining = jnp.arange(STARS) < truth["stars"]
    star_r, star_ri = p.draw("star_mag", size=STARS), jnp.where(dwarf, late, pop.stellar_locus(star))
    return truth | {
        "field_mag": _magnitudes(p, r, gr, ri, there, z=z),
        "field_radius": jnp.clip(radius, 0.05, 3.0),
        "field_sersic": p.draw("field_n", size=FIELDS),
        "field_q": _ratios("field_q", FIELDS, 0.3),
        "field_angle": _uniform("field_angle", FIELDS, np.pi),
        "star_mag": _magnitudes(p, star_r, jnp.where(dwarf, 1.45, star), star_ri, shining, "star"),
    }


def _sources(p: Prior, z: Array, near: bool) -> Truth:
    """Sources behind the cluster; `source_offset` says how far an image of each lies from the critical curve, in its
    direction `source_phi` from the first halo."""
    number = jnp.round(p.draw("sources"))
    there = jnp.arange(SOURCES) < number
    z_source = jnp.maximum(p.draw("z_source", size=SOURCES), 1.15 * z + 0.1)
    gr = p.draw("blue_gr", "source_gr", SOURCES)
    ri = 0.35 * gr + p.draw("blue_ri", "source_ri", SOURCES)
    at = p.draw("critical_offset", size=SOURCES)
    away = p.draw("away_offset", size=SOURCES)
    close = p.draw("near_caustic", size=SOURCES) == 1
    return {
        "sources": number,
        "source_redshift": z_source,
        "source_efficiency": pop.lensing_efficiency(z, z_source),
        "source_phi": _uniform("source_phi", SOURCES, 2 * np.pi),
        "source_offset": jnp.where(close, at, away) if near else away,
        "source_mag": _magnitudes(p, p.draw("source_mag", size=SOURCES), gr, ri, there, z=z_source),
        "source_radius": p.draw("source_radius", size=SOURCES),
        "source_sersic": p.draw("source_n", size=SOURCES),
        "source_q": _ratios("source_q", SOURCES, 0.3),
        "source_angle": _uniform("source_angle", SOURCES, np.pi),
    }


def cluster(p: Prior, halo: str, relation: str, faintest: float, near: bool) -> Truth:
    """A cluster and what lies before and behind it.

    halo      "nfw" or "dpie"      relation  one of RELATIONS      faintest  members reach so far below L* [mag]
    near      sources lie near the caustics, as `near_caustic` says; else none does
    """
    z = p.draw("z_cluster")
    kpc = pop.arcsec_per_kpc(z)
    halos, apart = _halos(p, halo, relation, z, kpc)
    bcg = p.draw("bcg_contrast")
    return {
        "z_cluster": z,
        **halos,
        **_members(p, faintest, bcg, z, kpc, halos, apart),
        **_intracluster(p, bcg, z, kpc),
        **_field(p),
        **_sources(p, z, near),
    }


def field(p: Prior) -> Truth:
    """Field galaxies and stars alone."""
    return _field(p)


CLASSES: dict[str, Callable[..., Truth]] = {
    "arcs": lambda p, **options: cluster(p, near=True, **options),
    "cluster": lambda p, **options: cluster(p, near=False, **options),
    "field": lambda p, **_: field(p),
}
