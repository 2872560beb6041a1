"""Galaxy-scale lenses as the sky holds them: deflectors from the velocity-dispersion function, sources behind them.

After LensPop (Collett 2015, ApJ 811, 20). A source at z_s behind comoving volume dV finds deflectors of dispersion
sigma with probability phi(sigma) dV pi theta_E^2: what is drawn is that density within the Einstein radii asked for,
sigma and redshift together, by its inverse distribution and without rejection.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Literal

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from pydantic import BaseModel, ConfigDict, Field, model_validator

from twin.numerics.sersic import N_MAX, N_MIN
from twin.priors import populations as pop
from twin.priors.fields import (
    Prior,
    Truth,
    _angle,
    _axis_ratio,
    _blue,
    _quasar,
    as_the_mass,
    early_type_deflector,
    interlopers,
)
from twin.priors.sites import LARGE, SITES, Site
from twin.priors.substructure import line_of_sight, subhalos

SIGMA_MIN, SIGMA_MAX = 100.0, 500.0  # km/s
_SIGMA_STAR, _ALPHA, _BETA = 161.0, 2.32, 2.67
_Z = 48  # redshifts at which the deflectors' density is known


class Scene(BaseModel):
    """The `scene:` section. Numbers of components are sizes of padded arrays; how many are there is drawn.

    theta_E             smallest and largest Einstein radius [arcsec]
    subhalos            of the lens that there is room for, the heaviest first; 0 = none
    line_of_sight       the same for halos that are no part of it, in each of `planes` (redshifts)
    mass                the deflector: isothermal, power law, or NFW halo with stars as light
    lens_components     Sersic components of the lens's light: 1, or 2 with an extended envelope
    source_components   Sersic components of a source: its main body and clumps
    max_images          images of a point source that truth and labels have room for
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    theta_E: tuple[float, float] = (0.25, 1.8)
    subhalos: int = Field(0, ge=0, le=512)
    line_of_sight: int = Field(0, ge=0, le=128)
    planes: tuple[float, ...] = (0.15, 0.3, 0.5, 0.7, 1.0, 1.5)
    mass: Literal["sie", "epl", "nfw_sersic"] = "epl"
    lens_components: int = Field(1, ge=1, le=2)
    source_components: int = Field(3, ge=1, le=8)
    max_images: int = Field(5, ge=2, le=12)

    @model_validator(mode="after")
    def _ordered(self) -> Scene:
        if not 0 < self.theta_E[0] < self.theta_E[1]:
            raise ValueError(f"theta_E {list(self.theta_E)} is not positive and increasing")
        if not all(a < b for a, b in zip((0.0, *self.planes), self.planes, strict=False)):
            raise ValueError(f"planes {list(self.planes)} are not positive and increasing")
        return self


_OWN = {
    "slope": Site("slope of the lens's density in space", "", 1.2, 2.8),
    "convergence": Site("convergence of what lies along the line of sight", "", -0.4, 0.4),
    "envelope_share": Site("share of the lens's light in its envelope", "", 0, 1),
    "envelope_size": Site("half-light radius of the envelope, of the lens's", "", 0.5, 20),
    "dark_fraction": Site("share of dark matter in the deflection at the Einstein radius", "", 0, 1),
    "dark_radius": Site("scale radius of the NFW halo, of the Einstein radius", "", 0.5, 100),
    "subhalo_fraction": Site("share of subhalos in the mass at the Einstein radius", "", 0, 0.2),
    "line_of_sight": Site("halos along the line of sight, of Sheth and Tormen's number", "", 0, 20),
    "z_source": Site("redshift of a lensed galaxy", "", 0.05, LARGE),
    "z_quasar": Site("redshift of a lensed quasar", "", 0.05, LARGE),
    "z_supernova": Site("redshift of a lensed supernova", "", 0.05, LARGE),
    "source_area": Site("place of the source: share of the Einstein radius's disc that lies within", "", 0, 4),
    "source_size": Site("log10 of a source's size about its luminosity's", "", -2, 2),
    "clump": Site("each clump of a source is there", chance=True),
    "clump_distance": Site("distance of a clump, of the source's half-light radius", "", 0, 10),
    "clump_contrast": Site("its magnitude minus that of the main body", "mag", -5, 20),
    "clump_size": Site("its half-light radius, of the main body's", "", 0.01, 2),
    "quasar_mag": Site("unlensed r of a quasar", "mag", 0, 50),
    "quasar_tau": Site("damping time of a quasar's random walk, in its own time", "d", 0.1, 1e5),
    "quasar_sf": Site("its structure function at long lags", "mag", 0, 3),
    "supernova_peak": Site("absolute B magnitude of a type Ia supernova at maximum", "mag", -25, 0),
    "supernova_stretch": Site("stretch of its light curve", "", 0.3, 3),
    "supernova_age": Site("days in its own time since the image that arrives first exploded", "d", -1000, 1000),
    "supernova_distance": Site("distance from the centre of its host, of a usual half-light radius", "", 0, 10),
}
_SHARED = (
    "shear", "lens_mag_scatter", "early_n", "centre", "source_mag", "source_n", "quasar_gr", "quasar_ri",
    "image_scatter", "host_contrast", "blue_gr", "blue_ri", "star_gr", "m_dwarf", "field_galaxy", "field_star",
    "field_mag", "field_radius", "field_n",
)  # fmt: skip
GALAXY_LENS_SITES: dict[str, Site] = _OWN | {name: SITES[name] for name in _SHARED}
assert GALAXY_LENS_SITES["source_n"].low >= N_MIN
assert GALAXY_LENS_SITES["source_n"].high <= N_MAX


@cache
def _dispersions() -> tuple[np.ndarray, np.ndarray]:
    """ln sigma and the distribution function of sigma^4 phi(sigma) between SIGMA_MIN and SIGMA_MAX.

    phi(s) ds = phi* (s/s*)^a exp[-(s/s*)^b] b / Gamma(a/b) ds/s (Choi, Park & Vogeley 2007, ApJ 658, 884): with
    t = (s/s*)^b, the weighted law is a Gamma law of t.
    """
    from scipy.special import gammainc

    log_sigma = np.linspace(np.log(SIGMA_MIN), np.log(SIGMA_MAX), 256)
    cdf = gammainc((_ALPHA + 4) / _BETA, (np.exp(log_sigma) / _SIGMA_STAR) ** _BETA)
    return log_sigma.astype(np.float32), ((cdf - cdf[0]) / (cdf[-1] - cdf[0])).astype(np.float32)


def einstein_radius(sigma: Array, z_lens: Array, z_source: Array) -> Array:
    """theta_E = 4 pi (sigma/c)^2 D_ls/D_s [arcsec]; 0 for a source that is not behind the lens."""
    efficiency = jnp.maximum(pop.lensing_efficiency(z_lens, z_source), 0.0)
    return 4 * np.pi * 206264.806 * (sigma / 299792.458) ** 2 * efficiency


def _sigma_share(theta_E: float, efficiency: Array) -> Array:
    """Distribution function of sigma at which the Einstein radius is theta_E."""
    log_sigma, cdf = _dispersions()
    sigma2 = theta_E / (4 * np.pi * 206264.806) / jnp.maximum(efficiency, 1e-6)
    return jnp.interp(0.5 * jnp.log(sigma2) + np.log(299792.458), log_sigma, cdf)


def _cumulative(weight: Array) -> Array:
    """Trapezoidal distribution function (N,) of equally spaced weights (N,)."""
    steps = 0.5 * (weight[1:] + weight[:-1])
    total = jnp.concatenate([jnp.zeros(1), jnp.cumsum(steps)])
    return total / jnp.maximum(total[-1], 1e-30)


def deflector(z_source: Array, limits: tuple[float, float], u_z: Array, u_sigma: Array) -> tuple[Array, Array, Array]:
    """(theta_E [arcsec], z_lens, sigma [km/s]) at two uniforms, of deflectors whose Einstein radius is within limits.

    Density of z: phi* (1 + z)^-2.5 dV/dz (D_ls/D_s)^2 times the share of sigma^4 phi(sigma) that the limits leave.
    Where no galaxy reaches them behind so near a source, the heaviest or lightest at hand is taken and theta_E is
    what it makes.
    """
    z = z_source * np.linspace(0.02, 0.95, _Z, dtype=np.float32)
    chi, chi_source = pop.comoving_distance(z), pop.comoving_distance(z_source)
    efficiency = 1 - chi * (1 / chi_source)
    hubble = jnp.sqrt(pop.OMEGA_M * (1 + z) ** 3 + 1 - pop.OMEGA_M)
    low, high = (_sigma_share(v, efficiency) for v in limits)
    weight = chi**2 / hubble * (1 + z) ** -2.5 * efficiency**2 * (jnp.maximum(high - low, 0.0) + 1e-12)
    z_lens = jnp.interp(u_z, _cumulative(weight), z)
    efficiency = pop.lensing_efficiency(z_lens, z_source)
    low, high = (_sigma_share(v, efficiency) for v in limits)
    log_sigma, cdf = _dispersions()
    sigma = jnp.exp(jnp.interp(low + u_sigma * (high - low), cdf, log_sigma))
    return einstein_radius(sigma, z_lens, z_source), z_lens, sigma


def _uniform(name: str) -> Array:
    return numpyro.sample(name, dist.Uniform(0.0, 1.0))


def _lens(p: Prior, scene: Scene, z_source: Array) -> Truth:
    """Mass and light of the deflector, an early-type galaxy."""
    theta_E, z, sigma = deflector(z_source, scene.theta_E, _uniform("deflector_z"), _uniform("deflector_sigma"))
    truth, light = early_type_deflector(p, theta_E, z, sigma)
    truth["kappa"] = p.draw("convergence", "kappa")
    if scene.mass == "epl":
        truth["slope"] = p.draw("slope")
    if scene.mass == "nfw_sersic":
        truth |= {"dark_fraction": p.draw("dark_fraction"), "dark_radius": theta_E * p.draw("dark_radius")}
    reach = 2 * scene.theta_E[1]  # arcsec: where halos can move an image
    if scene.subhalos:
        truth |= subhalos(p.draw("subhalo_fraction"), theta_E, z, z_source, reach, scene.subhalos)
    if scene.line_of_sight:
        number = p.draw("line_of_sight")
        truth |= line_of_sight(number, scene.planes, z, z_source, reach, scene.line_of_sight)
    one = jnp.ones_like(light.r)
    share = [one]
    if scene.lens_components == 2:
        envelope = p.draw("envelope_share")
        share = [1 - envelope, envelope]
        size, n = (
            jnp.stack([one, p.draw("envelope_size")]),
            jnp.stack([p.draw("early_n"), one]),
        )
    else:
        size, n = jnp.ones(1), p.draw("early_n")[None]
    magnitude = light.r - 2.5 * jnp.log10(jnp.clip(jnp.stack(share), 1e-4, 1.0))
    return {
        **truth,
        "lens_mag": p.magnitudes(magnitude, light.gr, light.ri, "galaxy", z).T,
        "lens_radius": light.radius * size,
        "lens_n": n,
        **as_the_mass(truth),
    }


def _place(p: Prior, lens: Truth) -> tuple[Array, Array]:
    """Where the source lies: anywhere in the disc of the Einstein radius, as `source_area` has it."""
    radius = lens["theta_E"] * jnp.sqrt(p.draw("source_area"))
    phi = numpyro.sample("source_phi", dist.Uniform(0.0, 2 * np.pi))
    return lens["lens_x"] + radius * jnp.cos(phi), lens["lens_y"] + radius * jnp.sin(phi)


def source_radius(r: Array, z: Array) -> Array:
    """Half-light radius [arcsec] of a galaxy of magnitude r: log10 R/kpc = -(M + 18)/4 at z = 0.6, smaller by
    ((1 + z)/1.6)^1.2 (LensPop, after Mosleh+ 2012 and Huang+ 2013); M without a K correction but that of a flat
    spectrum."""
    absolute = r - pop.distance_modulus(z) + 2.5 * jnp.log10(1 + z)
    return 10 ** (-0.25 * (absolute + 18)) * ((1 + z) / 1.6) ** -1.2 * pop.arcsec_per_kpc(z)


def _body(p: Prior, scene: Scene, r: Array, z: Array, x: Array, y: Array) -> Truth:
    """The galaxy that is lensed: its main body at (x, y) and clumps about it, each of its own colour; (K,) each."""
    radius = jnp.clip(source_radius(r, z) * 10 ** p.draw("source_size"), 0.01, 2.0)
    rows = [(x, y, radius, p.draw("source_n"), _axis_ratio("source_q", 0.3), _angle("source_angle"))]
    magnitudes = [p.magnitudes(r, *_blue(p, "source"), "galaxy", z)]
    for k in range(1, scene.source_components):
        name = f"clump{k}"
        there = p.draw("clump", f"{name}_there")
        far = radius * p.draw("clump_distance", f"{name}_distance")
        phi = numpyro.sample(f"{name}_phi", dist.Uniform(0.0, 2 * np.pi))
        rows.append((
            x + far * jnp.cos(phi), y + far * jnp.sin(phi), radius * p.draw("clump_size", f"{name}_size"),
            jnp.ones_like(r), _axis_ratio(f"{name}_q", 0.2), _angle(f"{name}_angle"),
        ))  # fmt: skip
        light = p.magnitudes(r + p.draw("clump_contrast", f"{name}_contrast"), *_blue(p, name), "galaxy", z)
        magnitudes.append(jnp.where(there == 1, light, jnp.nan))
    names = ("source_x", "source_y", "source_radius", "source_n", "source_q", "source_angle")
    columns = {name: jnp.stack(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
    return columns | {"source_mag": jnp.stack(magnitudes)}


def lensed_galaxy(p: Prior, scene: Scene) -> Truth:
    """A galaxy of several components behind a galaxy."""
    z = p.draw("z_source")
    lens = _lens(p, scene, z)
    return {**lens, "z_source": z, **_body(p, scene, p.draw("source_mag"), z, *_place(p, lens))}


def lensed_quasar(p: Prior, scene: Scene) -> Truth:
    """A quasar in its host. `quasar_walk` are unit normals of its random walk, one for each image, in order of
    arrival; `image_scatter` is ln of what microlensing does to each image."""
    z = p.draw("z_quasar")
    lens, r = _lens(p, scene, z), p.draw("quasar_mag")
    x, y = _place(p, lens)
    walk = numpyro.sample("quasar_walk", dist.Normal(0.0, 1.0).expand([scene.max_images]).to_event(1))
    return {
        **lens,
        "z_source": z,
        "point_x": x,
        "point_y": y,
        "point_mag": p.magnitudes(r, *_quasar(p, "quasar"), "quasar", z),
        "quasar_tau": p.draw("quasar_tau"),
        "quasar_sf": p.draw("quasar_sf"),
        "quasar_walk": walk,
        "image_scatter": p.draw("image_scatter", size=scene.max_images),
        **_body(p, scene, r + p.draw("host_contrast"), z, x, y),
    }


# AB magnitudes of a type Ia supernova at B maximum relative to B, by rest wavelength [nm]: U to I of Prieto, Rest &
# Suntzeff 2006 (ApJ 647, 501) turned into AB, the ultraviolet after Brown+ 2010 (ApJ 721, 1608)
_IA_WAVELENGTH = np.array([170.0, 200.0, 260.0, 300.0, 360.0, 440.0, 550.0, 650.0, 800.0, 1000.0])
_IA_COLOUR = np.array([6.0, 4.8, 2.9, 1.6, 0.43, 0.0, 0.18, 0.38, 0.88, 0.9])


def supernova_magnitudes(wavelengths: np.ndarray, peak: Array, z: Array) -> Array:
    """AB magnitudes (B,) at maximum of a type Ia supernova of absolute B magnitude `peak` (AB)."""
    rest = jnp.asarray(wavelengths, jnp.float32) * (1 / (1 + z))
    colour = jnp.interp(rest, _IA_WAVELENGTH.astype(np.float32), _IA_COLOUR.astype(np.float32))
    return peak + colour + pop.distance_modulus(z) - 2.5 * jnp.log10(1 + z)


def lensed_supernova(p: Prior, scene: Scene) -> Truth:
    """A type Ia supernova in its host; `point_mag` is its unlensed maximum, `supernova_age` the days since the image
    that arrives first exploded, in its own time: images that arrive later are younger."""
    z = p.draw("z_supernova")
    lens, stretch = _lens(p, scene, z), p.draw("supernova_stretch")
    x, y = _place(p, lens)
    r = p.draw("source_mag")
    far = source_radius(r, z) * p.draw("supernova_distance")
    phi = numpyro.sample("supernova_phi", dist.Uniform(0.0, 2 * np.pi))
    # brighter where it is slower: 1.5 mag for a change of the stretch by 1 (Guy+ 2005, A&A 443, 781)
    peak = p.draw("supernova_peak") - 1.5 * (stretch - 1)
    return {
        **lens,
        "z_source": z,
        "point_x": x,
        "point_y": y,
        "point_mag": supernova_magnitudes(p.wavelengths, peak, z),
        "supernova_stretch": stretch,
        "supernova_age": p.draw("supernova_age"),
        "image_scatter": p.draw("image_scatter", size=scene.max_images),
        **_body(p, scene, r, z, x + far * jnp.cos(phi), y + far * jnp.sin(phi)),
    }


CLASSES: dict[str, Callable[[Prior, Scene], Truth]] = {
    f.__name__: f for f in (lensed_galaxy, lensed_quasar, lensed_supernova)
}


def program(cls: str, p: Prior, scene: Scene) -> Callable[[], Truth]:
    """NumPyro program of a class with whatever else is in its field."""
    return partial(_field, CLASSES[cls], p, scene)


def _field(draw: Callable[[Prior, Scene], Truth], p: Prior, scene: Scene) -> Truth:
    return {**draw(p, scene), **interlopers(p)}
