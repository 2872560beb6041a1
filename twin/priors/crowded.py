"""Crowded fields: many galaxies and stars in one frame, in places a group of them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array

from twin.numerics.sersic import N_MAX, N_MIN, b_n, log_gamma_factor
from twin.priors import populations as pop
from twin.priors.fields import Prior, Truth
from twin.priors.sites import LARGE, Site

POINT = 1e-3  # [arcsec] radius by which a star is a galaxy too
_FAINT = 27.5  # [mag/arcsec^2] r isophote that says how far out an object matters

SITES: dict[str, Site] = {
    "density": Site("objects a square arcminute that are expected", "arcmin-2", 0, 1e5),
    "object_mag": Site("r of an object", "mag", 0, 50),
    "star": Site("an object is a star", chance=True),
    "radius_22": Site("half-light radius of a galaxy of r = 22; brighter ones are larger by 10^(0.13 mag)", "arcsec",
                      POINT, LARGE),
    "sersic_n": Site("Sersic index of a galaxy", "", N_MIN, N_MAX),
    "axis_ratio": Site("axis ratio of a galaxy", "", 0.05, 1),
    "group_share": Site("share of the galaxies that belong to a group", "", 0, 1),
    "group_size": Site("standard deviation of a group on the sky", "arcsec", 1e-2, LARGE),
    "z_group": Site("redshift of the group, whose galaxies are red", "", 1e-4, LARGE),
    "blue_gr": Site("g - r of galaxies outside the group", "mag", -10, 10),
    "blue_ri": Site("their r - i above 0.35 (g - r)", "mag", -10, 10),
    "star_gr": Site("g - r of stars", "mag", -10, 10),
}  # fmt: skip

UNITS = {"_x": "arcsec", "_y": "arcsec", "_radius": "arcsec", "_angle": "rad"}


def _uniform(name: str, low: float, high: float, size: int | None = None) -> Array:
    law = dist.Uniform(low, high)
    return numpyro.sample(name, law if size is None else law.expand([size]).to_event(1))


def extent(r: Array, radius: Array, n: Array, is_star: Array) -> Array:
    """Radius [arcsec] of a galaxy's faint isophote, major axis aside; of a star, where diffraction's wings, flux 0.1"
    r^-3 / 2 pi, reach the same brightness."""
    b = b_n(n)
    # magnitudes by which the surface brightness at R_e is brighter than the isophote
    central = _FAINT - r - 2.5 * np.float32(np.log10(np.e)) * (log_gamma_factor(n, b) + 2 * jnp.log(radius))
    reach = radius * jnp.exp(n * jnp.log(jnp.maximum(1 + central * np.float32(0.4 * np.log(10)) / b, 1e-3)))
    wings = 10 ** (0.4 / 3 * (_FAINT - r)) * np.float32((0.1 / (2 * np.pi)) ** (1 / 3))
    return jnp.where(is_star, wings, reach)


def crowded(p: Prior, most: int) -> Truth:
    """At most `most` objects in slots of vectors (K,), the largest on the sky first, the empty ones last (NaN
    magnitudes). Their number is Poisson's, from Gaussian quantiles where it is large."""
    side = p.half_side
    expected = p.draw("density") * np.float32((2 * side / 60) ** 2)
    spread = numpyro.sample("number", dist.Normal(0.0, 1.0))
    # Anscombe's root: the square of a Gaussian of standard deviation 1/2 (Anscombe 1948, Biometrika 35, 246)
    number = jnp.round(jnp.maximum((jnp.sqrt(expected + 0.375) + 0.5 * spread) ** 2 - 0.375, 0))
    there = jnp.arange(most) < jnp.minimum(number, most)
    r, star = p.draw("object_mag", size=most), p.draw("star", size=most)
    grouped = (_uniform("member", 0.0, 1.0, most) < p.draw("group_share")) & (star == 0)
    width = p.draw("group_size")
    place = {}
    for axis in "xy":
        anywhere, centre = (
            _uniform(f"any_{axis}", -side, side, most),
            _uniform(f"group_{axis}", -0.6 * side, 0.6 * side),
        )
        off = numpyro.sample(f"off_{axis}", dist.Normal(0.0, 1.0).expand([most]).to_event(1))
        place[axis] = jnp.clip(jnp.where(grouped, centre + width * off, anywhere), -side, side)
    blue_gr = p.draw("blue_gr", size=most)
    red_gr, red_ri = pop.red_sequence(p.draw("z_group"))
    star_gr = p.draw("star_gr", size=most)
    gr = jnp.where(star == 1, star_gr, jnp.where(grouped, red_gr, blue_gr))
    blue_ri = 0.35 * blue_gr + p.draw("blue_ri", size=most)
    ri = jnp.where(star == 1, pop.stellar_locus(star_gr), jnp.where(grouped, red_ri, blue_ri))
    radius = jnp.clip(p.draw("radius_22", size=most) * 10 ** (-0.13 * (r - 22)), 0.02, 0.4 * side)
    radius, n = jnp.where(star == 1, POINT, radius), p.draw("sersic_n", size=most)
    order = jnp.argsort(jnp.where(there, -extent(r, radius, n, star == 1), jnp.inf))
    magnitudes = jnp.where(there, p.magnitudes(r, gr, ri), jnp.nan)
    objects = {
        "object_x": place["x"],
        "object_y": place["y"],
        "object_radius": radius,
        "object_n": jnp.where(star == 1, 1.0, n),
        "object_q": jnp.where(star == 1, 1.0, p.draw("axis_ratio", size=most)),
        "object_angle": _uniform("angle", 0.0, np.pi, most),
        "object_star": star.astype(jnp.float32),
    }
    return {name: v[order] for name, v in objects.items()} | {"object_mag": magnitudes.T[order]}
