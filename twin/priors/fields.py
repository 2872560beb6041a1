"""What may stand in a small field of the sky: galaxy-scale lenses and the look-alikes that are none.

Each class is a NumPyro program that draws its truth, a flat dictionary of scalars and (B,) magnitudes. Ranges and
scatters come from the recipe's `prior:` section; relations between parameters (distances, scaling relations, colours)
are the field's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array

from twin.priors import populations as pop
from twin.priors import sed

Truth = dict[str, Array]
GALAXY_INTERLOPERS, STAR_INTERLOPERS = 1, 2
FAINT = 8  # galaxies too faint and small to have a shape from the ground
FAINT_BRIGHTEST = 21.0  # their brightest i: above it stand the interlopers
IMAGES = 4


@dataclass(frozen=True)
class Prior:
    """Laws of the recipe by site name, band wavelengths [nm] and the frame's half side [arcsec].

    colours  tables of the bands by family (twin.priors.sed.FAMILIES), where the recipe says `colours: sed`
    """

    laws: Mapping[str, dist.Distribution]
    wavelengths: np.ndarray
    half_side: float
    colours: Mapping[str, sed.Colours] | None = None

    def draw(self, site: str, name: str | None = None, size: int | None = None) -> Array:
        """A NumPyro sample of the law of `site`, under `name` where a class has several of the kind; `size` independent
        ones as a vector."""
        law = self.laws[site]
        return numpyro.sample(name or site, law if size is None else law.expand([size]).to_event(1))

    def magnitudes(
        self, r: Array, gr: Array, ri: Array, of: str | None = None, z: Array | float | None = None
    ) -> Array:
        """AB magnitudes (B, ...) of a source of magnitude r and two colours.

        With spectra (`colours`), those of the one of family `of` at redshift z that has its g - i; else, and for
        sources of no family, `populations.band_magnitudes`.
        """
        if self.colours is None or of is None:
            return pop.band_magnitudes(self.wavelengths, r, gr, ri)
        return sed.by_colour(self.colours[of], r, gr + ri, 0.0 if z is None else z)

    def redshift(self, site: str, name: str) -> Array | None:
        """A redshift for objects that need one only for their spectra; None, and nothing drawn, without spectra."""
        return None if self.colours is None else self.draw(site, name)


def _angle(name: str) -> Array:
    return numpyro.sample(name, dist.Uniform(0.0, np.pi))


def _unit(name: str, size: int | None = None) -> Array:
    law = dist.Normal(0.0, 1.0)
    return numpyro.sample(name, law if size is None else law.expand([size]).to_event(1))


def _axis_ratio(name: str, scale: float | Array, low: float = 0.2) -> Array:
    """q with 1 - q Rayleigh of `scale`, its tail below q = `low` drawn anew (LensPop; Collett 2015, ApJ 811, 20)."""
    u = numpyro.sample(name, dist.Uniform(0.0, 1.0))
    most = 1 - jnp.exp(-0.5 * ((1 - low) / scale) ** 2)
    return 1 - scale * jnp.sqrt(-2 * jnp.log1p(-u * most))


def _at(name: str, radius: Array) -> tuple[Array, Array]:
    """A position at `radius` from the centre in any direction."""
    phi = numpyro.sample(f"{name}_phi", dist.Uniform(0.0, 2 * np.pi))
    return radius * jnp.cos(phi), radius * jnp.sin(phi)


def _blue(p: Prior, name: str) -> tuple[Array, Array]:
    """Colours of a star-forming galaxy."""
    gr = p.draw("blue_gr", f"{name}_gr")
    return gr, 0.35 * gr + p.draw("blue_ri", f"{name}_ri")


def _red(name: str, z: Array) -> tuple[Array, Array]:
    gr, ri = pop.red_sequence(z)
    return gr + 0.08 * _unit(f"{name}_gr"), ri + 0.05 * _unit(f"{name}_ri")


def _quasar(p: Prior, name: str) -> tuple[Array, Array]:
    return p.draw("quasar_gr", f"{name}_gr"), p.draw("quasar_ri", f"{name}_ri")


def _star(p: Prior, name: str) -> tuple[Array, Array]:
    """Colours on the stellar locus; M dwarfs leave it with g - r about 1.45 and r - i of 0.5 to 2.2."""
    gr = p.draw("star_gr", f"{name}_gr")
    dwarf = p.draw("m_dwarf", f"{name}_m")
    ri = pop.stellar_locus(gr) + 0.04 * _unit(f"{name}_ri")
    late = 0.5 + 1.7 * numpyro.sample(f"{name}_type", dist.Kumaraswamy(1.2, 2.0))
    return jnp.where(dwarf == 1, 1.45 + 0.06 * _unit(f"{name}_mgr"), gr), jnp.where(dwarf == 1, late, ri)


def _field_redshift(name: str, r: Array, size: int | None = None) -> Array:
    """Of a field galaxy, about the median of those as bright, 0.2 10^(0.13 (r - 20)) with 0.4 in ln (after VVDS,
    Le Fevre+ 2013, A&A 559, A14)."""
    return jnp.clip(0.2 * 10 ** (0.13 * (r - 20)) * jnp.exp(0.4 * _unit(f"{name}_z", size)), 0.01, 6.0)


def interlopers(p: Prior) -> Truth:
    """Field objects anywhere in the frame but on its object; each slot is filled or not. Where the recipe has a law of
    `field_distance`, the galaxy keeps it: the lens in whose field an object lies, say."""
    truth: Truth = {}
    for k in range(GALAXY_INTERLOPERS + STAR_INTERLOPERS):
        name = f"field{k}"
        galaxy = k < GALAXY_INTERLOPERS
        there = p.draw("field_galaxy" if galaxy else "field_star", f"{name}_there")
        inner, outer = 0.275 * p.half_side, 1.35 * p.half_side  # off the object itself, and into the corners
        if galaxy and "field_distance" in p.laws:
            radius = p.draw("field_distance", f"{name}_distance")
        else:
            radius = jnp.sqrt(inner**2 + numpyro.sample(f"{name}_u", dist.Uniform(0.0, 1.0)) * (outer**2 - inner**2))
        truth[f"{name}_x"], truth[f"{name}_y"] = _at(name, radius)
        r = p.draw("field_mag", f"{name}_r")
        gr, ri = _blue(p, name) if galaxy else _star(p, name)
        z = _field_redshift(name, r) if galaxy and p.colours is not None else None
        light = p.magnitudes(r, gr, ri, "galaxy" if galaxy else "star", z)
        truth[f"{name}_mag"] = jnp.where(there == 1, light, jnp.nan)
        if galaxy:
            truth[f"{name}_radius"] = p.draw("field_radius", f"{name}_radius")
            truth[f"{name}_n"] = p.draw("field_n", f"{name}_n")
            truth[f"{name}_q"] = _axis_ratio(f"{name}_q", 0.3)
            truth[f"{name}_angle"] = _angle(f"{name}_angle")
    return truth


def faint_galaxies(p: Prior) -> Truth:
    """The FAINT brightest galaxies behind and about the object that are fainter than FAINT_BRIGHTEST in i, anywhere in
    the frame and a tenth beyond it; none where the recipe has no law of `faint_density`.

    Counts along a line of sight are a Poisson process in N(< i): its arrivals are sums of unit exponentials, and the
    k-th is the magnitude of the k-th brightest galaxy. `faint_density` is their number over the mean sky's: galaxies
    cluster.
    """
    if "faint_density" not in p.laws:
        return {}
    side = 2.2 * p.half_side
    arcmin2 = p.draw("faint_density") * (side / 60) ** 2
    u = numpyro.sample("faint_u", dist.Uniform(0.0, 1.0).expand([FAINT]).to_event(1))
    arrivals = jnp.cumsum(-jnp.log1p(-jnp.minimum(u, 1 - 1e-6)))
    brighter = pop.galaxies_brighter(FAINT_BRIGHTEST)
    i = pop.galaxy_count_i(brighter + arrivals / arcmin2)
    gr, ri = p.draw("faint_gr", size=FAINT), p.draw("faint_ri", size=FAINT)
    place = numpyro.sample("faint_place", dist.Uniform(-0.5, 0.5).expand([2 * FAINT]).to_event(1)) * side
    z = None if p.colours is None else _field_redshift("faint", i + ri, FAINT)
    return {
        "faint_x": place[:FAINT],
        "faint_y": place[FAINT:],
        "faint_mag": p.magnitudes(i + ri, gr, ri, "galaxy", z).T,
    }


class Starlight(NamedTuple):
    """r, g - r, r - i and half-light radius [arcsec] of a galaxy."""

    r: Array
    gr: Array
    ri: Array
    radius: Array


def early_type_deflector(p: Prior, theta_E: Array, z: Array, sigma: Array) -> tuple[Truth, Starlight]:
    """Mass, with shear, of an early-type galaxy of velocity dispersion sigma [km/s], and its light."""
    q = _axis_ratio("lens_q", jnp.clip(0.378 - 0.000572 * sigma, 0.08, 0.35), 0.3)
    angle = _angle("lens_angle")
    gr, ri = _red("lens", z)
    r = pop.early_type_r(sigma, z) + p.draw("lens_mag_scatter")
    mass = {
        "theta_E": theta_E,
        "lens_q": q,
        "lens_angle": angle,
        "lens_x": p.draw("centre", "lens_x"),
        "lens_y": p.draw("centre", "lens_y"),
        "gamma1": p.draw("shear", "gamma1"),
        "gamma2": p.draw("shear", "gamma2"),
        "velocity_dispersion": sigma,
        "z_lens": z,
    }
    return mass, Starlight(r, gr, ri, pop.early_type_radius(sigma, z) * 10 ** (0.11 * _unit("lens_size")))


def as_the_mass(lens: Truth) -> Truth:
    """Axis ratio and angle of a lens's light: about those of its mass."""
    return {
        "light_q": jnp.clip(lens["lens_q"] + 0.08 * _unit("light_dq"), 0.3, 1.0),
        "light_angle": lens["lens_angle"] + 0.15 * _unit("light_dangle"),
    }


def _lens(p: Prior, z_source: Array) -> Truth:
    """An SIE with shear and the early-type galaxy that makes it."""
    theta_E, z = p.draw("theta_E"), p.draw("z_lens")
    z = jnp.minimum(z, 0.8 * z_source)
    sigma = jnp.clip(pop.velocity_dispersion(theta_E, z, z_source), 70.0, 600.0)
    lens, light = early_type_deflector(p, theta_E, z, sigma)
    return {
        **lens,
        "lens_mag": p.magnitudes(light.r, light.gr, light.ri, "galaxy", z),
        "lens_radius": light.radius,
        "lens_n": p.draw("early_n", "lens_n"),
        **as_the_mass(lens),
    }


def _behind(p: Prior) -> Truth:
    """Where the source lies inside the cut: share of the way to it, and the direction."""
    return {
        "source_depth": p.draw("source_depth"),
        "source_phi": numpyro.sample("source_phi", dist.Uniform(0.0, 2 * np.pi)),
    }


def lens_galaxy(p: Prior) -> Truth:
    """A galaxy lensed by a galaxy."""
    z_source = p.draw("z_source")
    gr, ri = _blue(p, "source")
    return {
        **_lens(p, z_source),
        **_behind(p),
        "z_source": z_source,
        "source_mag": p.magnitudes(p.draw("source_mag"), gr, ri, "galaxy", z_source),
        "source_radius": p.draw("source_radius"),
        "source_n": p.draw("source_n"),
        "source_q": _axis_ratio("source_q", 0.3),
        "source_angle": _angle("source_angle"),
    }


def lens_quasar(p: Prior) -> Truth:
    """A quasar lensed by a galaxy, with its host. `quasar_mag` is that of all images together; `image_scatter` is what
    microlensing, subhalos and time delays do to each image's flux, common to the bands; `image_reddening` is
    differential."""
    z_source = p.draw("z_quasar")
    r = p.draw("quasar_mag")
    gr, ri = _quasar(p, "quasar")
    host_gr, host_ri = _blue(p, "host")
    return {
        **_lens(p, z_source),
        **_behind(p),
        "z_source": z_source,
        "quasar_mag": p.magnitudes(r, gr, ri, "quasar", z_source),
        "image_scatter": p.draw("image_scatter", size=IMAGES),
        "image_reddening": p.draw("image_reddening", size=IMAGES),
        "source_mag": p.magnitudes(r + p.draw("host_contrast"), host_gr, host_ri, "galaxy", z_source),
        "source_radius": p.draw("source_radius"),
        "source_n": p.draw("source_n"),
        "source_q": _axis_ratio("source_q", 0.3),
        "source_angle": _angle("source_angle"),
    }


def galaxy(p: Prior) -> Truth:
    """One galaxy with bulge and disc, the mix anywhere from one to the other."""
    z, r = p.draw("z_galaxy"), p.draw("object_mag", "galaxy_mag")
    radius = p.draw("galaxy_radius")
    share = numpyro.sample("bulge_share", dist.Kumaraswamy(0.7, 0.7))
    q, angle = _axis_ratio("galaxy_q", 0.3), _angle("galaxy_angle")
    bulge, disc = _red("bulge", z), _blue(p, "disc")
    magnitude = -2.5 * jnp.log10(jnp.clip(jnp.stack([share, 1 - share]), 1e-3, 1.0))
    return {
        "galaxy_x": p.draw("centre", "galaxy_x"),
        "galaxy_y": p.draw("centre", "galaxy_y"),
        "bulge_mag": p.magnitudes(r + magnitude[0], *bulge, "galaxy", z),
        "disc_mag": p.magnitudes(r + magnitude[1], *disc, "galaxy", z),
        "bulge_radius": radius * p.draw("bulge_size"),
        "disc_radius": radius,
        "bulge_n": p.draw("early_n", "bulge_n"),
        "bulge_q": jnp.clip(q + 0.25 * (1 - q), 0.2, 1.0),
        "disc_q": q,
        "galaxy_angle": angle,
    }


def companion(p: Prior) -> Truth:
    """An early-type galaxy with one or two companions beside it."""
    z = p.draw("z_galaxy")
    r = p.draw("object_mag", "galaxy_mag")
    radius = p.draw("galaxy_radius")
    gr, ri = _red("galaxy", z)
    truth: Truth = {
        "galaxy_x": p.draw("centre", "galaxy_x"),
        "galaxy_y": p.draw("centre", "galaxy_y"),
        "galaxy_mag": p.magnitudes(r, gr, ri, "galaxy", z),
        "galaxy_radius": radius,
        "galaxy_n": p.draw("early_n", "galaxy_n"),
        "galaxy_q": _axis_ratio("galaxy_q", 0.22, 0.3),
        "galaxy_angle": _angle("galaxy_angle"),
    }
    for k in (0, 1):
        name = f"companion{k}"
        there = 1 if k == 0 else p.draw("second_companion")
        dx, dy = _at(name, p.draw("companion_distance", f"{name}_distance"))
        red, same = numpyro.sample(f"{name}_red", dist.Bernoulli(0.5)), _red(name, z)
        other = _blue(p, f"{name}_blue")
        gr, ri = (jnp.where(red == 1, a, b) for a, b in zip(same, other, strict=True))
        magnitudes = p.magnitudes(r + p.draw("companion_contrast", f"{name}_contrast"), gr, ri, "galaxy", z)
        truth |= {
            f"{name}_x": truth["galaxy_x"] + dx,
            f"{name}_y": truth["galaxy_y"] + dy,
            f"{name}_mag": jnp.where(there == 1, magnitudes, jnp.nan),
            f"{name}_radius": p.draw("field_radius", f"{name}_radius"),
            f"{name}_n": p.draw("field_n", f"{name}_n"),
            f"{name}_q": _axis_ratio(f"{name}_q", 0.3),
            f"{name}_angle": _angle(f"{name}_angle"),
        }
    return truth


def star(p: Prior) -> Truth:
    """One star."""
    return {
        "star0_x": p.draw("centre", "star0_x"),
        "star0_y": p.draw("centre", "star0_y"),
        "star0_mag": p.magnitudes(p.draw("object_mag", "star0_r"), *_star(p, "star0"), "star"),
    }


def blend(p: Prior) -> Truth:
    """Two stars, or a star and a galaxy, down to sub-arcsecond distance; sometimes a third star."""
    truth = star(p)
    r = p.draw("object_mag", "blend_r")
    is_galaxy = p.draw("blend_galaxy")
    dx, dy = _at("blend", p.draw("blend_distance"))
    second = r + p.draw("blend_contrast")
    first = p.magnitudes(r, *_star(p, "first"), "star")
    star_colours, z = _star(p, "second"), p.draw("z_galaxy")
    as_star = p.magnitudes(second, *star_colours, "star")
    as_galaxy = p.magnitudes(second, *_red("second_galaxy", z), "galaxy", z)
    tx, ty = _at("third", p.draw("blend_distance", "third_distance"))
    third = p.magnitudes(r + p.draw("blend_contrast", "third_contrast"), *_star(p, "third"), "star")
    return {
        "star0_x": truth["star0_x"],
        "star0_y": truth["star0_y"],
        "star0_mag": first,
        "star1_x": truth["star0_x"] + dx,
        "star1_y": truth["star0_y"] + dy,
        "star1_mag": jnp.where(is_galaxy == 1, jnp.nan, as_star),
        "galaxy_x": truth["star0_x"] + dx,
        "galaxy_y": truth["star0_y"] + dy,
        "galaxy_mag": jnp.where(is_galaxy == 1, as_galaxy, jnp.nan),
        "galaxy_radius": p.draw("galaxy_radius"),
        "galaxy_n": p.draw("field_n", "galaxy_n"),
        "galaxy_q": _axis_ratio("galaxy_q", 0.3),
        "galaxy_angle": _angle("galaxy_angle"),
        "star2_x": truth["star0_x"] + tx,
        "star2_y": truth["star0_y"] + ty,
        "star2_mag": jnp.where(p.draw("third_star") == 1, third, jnp.nan),
    }


def quasar_star(p: Prior) -> Truth:
    """A quasar with a star, or with an unrelated galaxy, close to its line of sight."""
    r = p.draw("quasar_mag")
    is_galaxy = p.draw("blend_galaxy")
    x, y = p.draw("centre", "star0_x"), p.draw("centre", "star0_y")
    dx, dy = _at("blend", p.draw("blend_distance"))
    contrast = p.draw("blend_contrast")
    as_star = p.magnitudes(r + contrast, *_star(p, "second"), "star")
    z = p.draw("z_galaxy")
    as_galaxy = p.magnitudes(r + contrast, *_red("second_galaxy", z), "galaxy", z)
    z_quasar = p.redshift("z_quasar", "z_quasar")
    return {
        "star0_x": x,
        "star0_y": y,
        "star0_mag": p.magnitudes(r, *_quasar(p, "quasar"), "quasar", z_quasar),
        "star1_x": x + dx,
        "star1_y": y + dy,
        "star1_mag": jnp.where(is_galaxy == 1, jnp.nan, as_star),
        "galaxy_x": x + dx,
        "galaxy_y": y + dy,
        "galaxy_mag": jnp.where(is_galaxy == 1, as_galaxy, jnp.nan),
        "galaxy_radius": p.draw("galaxy_radius"),
        "galaxy_n": p.draw("field_n", "galaxy_n"),
        "galaxy_q": _axis_ratio("galaxy_q", 0.3),
        "galaxy_angle": _angle("galaxy_angle"),
    }


def spiral(p: Prior) -> Truth:
    """A disc with logarithmic arms or a ring about a red bulge: the shapes that pass for lensed arcs."""
    z, r = p.draw("z_galaxy"), p.draw("object_mag", "galaxy_mag")
    share = jnp.clip(numpyro.sample("bulge_share", dist.Kumaraswamy(2.0, 3.0)), 1e-3, 1.0)
    radius = p.draw("spiral_radius")
    return {
        "galaxy_x": p.draw("centre", "galaxy_x"),
        "galaxy_y": p.draw("centre", "galaxy_y"),
        "bulge_mag": p.magnitudes(r - 2.5 * jnp.log10(share), *_red("bulge", z), "galaxy", z),
        "disc_mag": p.magnitudes(r - 2.5 * jnp.log10(1 - share), *_blue(p, "disc"), "galaxy", z),
        "bulge_radius": radius * p.draw("bulge_size"),
        "disc_radius": radius,
        "bulge_n": p.draw("field_n", "bulge_n"),
        "disc_q": _axis_ratio("galaxy_q", 0.3, 0.35),
        "galaxy_angle": _angle("galaxy_angle"),
        "arm_count": 1.0 + numpyro.sample("arm_extra", dist.Categorical(jnp.array([0.4, 0.45, 0.15]))),
        "arm_pitch": p.draw("arm_pitch"),
        "arm_contrast": p.draw("arm_contrast"),
        "arm_phase": numpyro.sample("arm_phase", dist.Uniform(0.0, 2 * np.pi)),
        "ring_share": numpyro.sample("ring_share", dist.Kumaraswamy(0.5, 0.8)),
        "ring_radius": p.draw("ring_radius"),
    }


CLASSES: dict[str, Callable[[Prior], Truth]] = {
    f.__name__: f for f in (lens_galaxy, lens_quasar, galaxy, companion, star, blend, quasar_star, spiral)
}
