"""Galaxies with the components that people see in them, after the questions of Galaxy Zoo 2 (Willett+ 2013, MNRAS 435,
2835), and crowded fields.

Each class is a NumPyro program that draws its truth. Lengths inside a disc are in units of its scale length in the
recipe's laws and in arcsec in the truth; angles of what lies in a disc count from its line of nodes, in its plane.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from scipy import special

from twin.numerics.sersic import N_MAX, N_MIN
from twin.priors import populations as pop
from twin.priors.fields import Prior, Truth
from twin.priors.sites import LARGE, Site

CLUMPS = 24
PATCHES = 4  # waves that break arms into pieces
FIELD_GALAXIES = 2
_ARMS = np.array([0.06, 0.58, 0.18, 0.12, 0.06])  # shares of 1 to 5 arms (Hart+ 2016, MNRAS 461, 3663, fig. 8)
_U = np.linspace(0, 0.95, 96)
_EXPONENTIAL = _U, special.gammaincinv(2, _U)  # share of an exponential disc's light within so many scale lengths


def _share(meaning: str) -> Site:
    return Site(f"share of {meaning}", "", 0, 1)


SITES: dict[str, Site] = {
    "object_mag": Site("r of the galaxy", "mag", 0, 50),
    "z_galaxy": Site("its redshift", "", 1e-4, LARGE),
    "centre": Site("offset from the frame's centre along an axis", "arcsec", -LARGE, LARGE),
    "smooth_radius": Site("half-light radius of a smooth galaxy", "arcsec", 1e-2, LARGE),
    "smooth_n": Site("Sersic index of a smooth galaxy", "", N_MIN, N_MAX),
    "smooth_q": Site("axis ratio of a smooth galaxy", "", 0.05, 1),
    "disc_scale": Site("scale length of a disc", "arcsec", 1e-2, LARGE),
    "disc_thickness": Site("scale height of a disc, of its scale length", "", 0.01, 0.5),
    "cos_inclination": Site("cosine of a disc's inclination", "", 0.15, 1),
    "edge_on_tilt": Site("90 degrees less the inclination of an edge-on disc", "rad", 0, 0.2),
    "bulge_share": _share("a galaxy's light in its bulge"),
    "bulge_size": Site("half-light radius of a bulge, of the disc's scale length", "", 0.02, 5),
    "bulge_n": Site("Sersic index of a bulge", "", N_MIN, N_MAX),
    "bar_share": _share("a disc's light in its bar"),
    "bar_length": Site("semi-major axis of a bar, of the scale length", "", 0.1, 5),
    "bar_q": Site("axis ratio of a bar", "", 0.1, 1),
    "arm_share": _share("a disc's light in its arms"),
    "arm_pitch": Site("pitch angle of arms", "rad", 0.1, 1.4),
    "arm_sharpness": Site("concentration of arms in azimuth (von Mises' kappa)", "", 0.1, 20),
    "flocculence": Site("rms of ln of what breaks arms and rings into pieces", "", 0, 1.5),
    "ring_share": _share("a disc's light in its ring"),
    "ring_radius": Site("radius of a ring, of the scale length", "", 0.2, 8),
    "ring_width": Site("standard deviation of a ring, of its radius", "", 0.03, 0.3),
    "clump_share": _share("a disc's light in clumps of young stars"),
    "clump_size": Site("standard deviation of a clump", "arcsec", 1e-2, LARGE),
    "clump_scatter": Site("place of a clump off the crest of an arm, of the way round to the next", "rad", -3.2, 3.2),
    "dust_tau": Site("optical depth in V of a disc's dust, seen face-on at its centre", "", 0, 20),
    "blue_gr": Site("g - r of a disc", "mag", -10, 10),
    "blue_ri": Site("its r - i above 0.35 (g - r)", "mag", -10, 10),
    "young_gr": Site("g - r of arms and rings less that of their disc; clumps differ twice as much", "mag", -2, 2),
    "mass_ratio": Site("mass of the lesser galaxy of an encounter, of the greater's", "", 0.02, 1),
    "pericentre": Site("closest approach on the first passage, in scale lengths", "", 0.5, 20),
    "encounter_time": Site("time since closest approach, in units of (h^3 / G M)^(1/2)", "", -20, 200),
    "field_galaxy": Site("each of two unrelated galaxies is there", chance=True),
    "field_star": Site("an unrelated star is there", chance=True),
    "field_mag": Site("r of unrelated objects", "mag", 0, 50),
    "field_scale": Site("scale length of unrelated galaxies", "arcsec", 1e-2, LARGE),
    "star_gr": Site("g - r of stars", "mag", -10, 10),
}

UNITS = {
    "_x": "arcsec", "_y": "arcsec", "_radius": "arcsec", "_scale": "arcsec", "_height": "arcsec", "_length": "arcsec",
    "_size": "arcsec", "_width": "arcsec", "_angle": "rad", "_phase": "rad", "arm_pitch": "rad", "spin": "rad",
    "view": "rad",
}  # fmt: skip


def _uniform(name: str, low: float = 0.0, high: float = 1.0, size: int | None = None) -> Array:
    law = dist.Uniform(low, high)
    return numpyro.sample(name, law if size is None else law.expand([size]).to_event(1))


def _normal(name: str, size: int | None = None) -> Array:
    law = dist.Normal(0.0, 1.0)
    return numpyro.sample(name, law if size is None else law.expand([size]).to_event(1))


def _disc_colours(p: Prior, name: str = "disc") -> tuple[Array, Array]:
    gr = p.draw("blue_gr", f"{name}_gr")
    return gr, 0.35 * gr + p.draw("blue_ri", f"{name}_ri")


def _old_colours(name: str, z: Array) -> tuple[Array, Array]:
    gr, ri = pop.red_sequence(z)
    return gr + 0.06 * _normal(f"{name}_gr"), ri + 0.04 * _normal(f"{name}_ri")


def _light(p: Prior, r: Array, share: Array, colours: tuple[Array, Array], bluer: Array | float = 0.0) -> Array:
    """Magnitudes (B,) of a share of r, its g - r bluer than `colours` and its r - i by half as much."""
    gr, ri = colours
    return p.magnitudes(r - 2.5 * jnp.log10(jnp.maximum(share, 1e-6)), gr + bluer, ri + 0.5 * bluer)


def around(p: Prior) -> Truth:
    """Unrelated objects anywhere in the frame."""
    truth: Truth = {}
    side = p.half_side
    for k in range(FIELD_GALAXIES + 1):
        name, galaxy = f"field{k}", k < FIELD_GALAXIES
        there = p.draw("field_galaxy" if galaxy else "field_star", f"{name}_there")
        truth |= {f"{name}_{axis}": _uniform(f"{name}_{axis}", -side, side) for axis in "xy"}
        r = p.draw("field_mag", f"{name}_r")
        if galaxy:
            gr, ri = _disc_colours(p, name)
            truth[f"{name}_scale"] = p.draw("field_scale", f"{name}_scale")
            truth[f"{name}_cos_i"] = _uniform(f"{name}_cos_i", 0.1, 1.0)
            truth[f"{name}_angle"] = _uniform(f"{name}_angle", 0.0, np.pi)
        else:
            gr = p.draw("star_gr", f"{name}_gr")
            ri = pop.stellar_locus(gr)
        truth[f"{name}_mag"] = jnp.where(there == 1, p.magnitudes(r, gr, ri), jnp.nan)
    return truth


def _whole(p: Prior) -> Truth:
    """What every galaxy has."""
    return {
        "z_galaxy": p.draw("z_galaxy"),
        "galaxy_x": p.draw("centre", "galaxy_x"),
        "galaxy_y": p.draw("centre", "galaxy_y"),
        "galaxy_angle": _uniform("galaxy_angle", 0.0, np.pi),
    }


def smooth(p: Prior) -> Truth:
    """A galaxy without features: one Sersic profile."""
    truth, r = _whole(p), p.draw("object_mag")
    return {
        **truth,
        "bulge_share": jnp.ones_like(r),
        "bulge_mag": _light(p, r, jnp.ones_like(r), _old_colours("bulge", truth["z_galaxy"])),
        "bulge_radius": p.draw("smooth_radius"),
        "bulge_n": p.draw("smooth_n"),
        "bulge_q": p.draw("smooth_q"),
    }


def star(p: Prior) -> Truth:
    """A star."""
    gr = p.draw("star_gr")
    return {
        "star_x": p.draw("centre", "galaxy_x"),
        "star_y": p.draw("centre", "galaxy_y"),
        "star_mag": p.magnitudes(p.draw("object_mag"), gr, pop.stellar_locus(gr)),
    }


def _disc(p: Prior, *parts: str, edge_on: bool = False, bulge: float = 1.0, clumpy: float = 1.0) -> Truth:
    """A bulge and a disc with `parts` of bar, arm, ring, clump, dust; bulge and clumps `bulge` and `clumpy` times as
    strong as their laws say."""
    truth, r = _whole(p), p.draw("object_mag")
    z, scale, colours = truth["z_galaxy"], p.draw("disc_scale"), _disc_colours(p)
    central = bulge * jnp.minimum(p.draw("bulge_share"), 0.95)
    cos_i = jnp.sin(p.draw("edge_on_tilt")) if edge_on else p.draw("cos_inclination")
    height = scale * p.draw("disc_thickness")
    wanted: dict[str, Array] = {
        name: p.draw(f"{name}_share") for name in ("bar", "arm", "ring", "clump") if name in parts
    }
    if "clump" in parts:
        wanted["clump"] = jnp.minimum(clumpy * wanted["clump"], 0.7)
    rest = jnp.maximum(1 - sum(wanted.values(), jnp.zeros_like(r)), 0.1)  # some disc is left between its parts
    whole = rest + sum(wanted.values(), jnp.zeros_like(r))
    share = {name: (1 - central) * value / whole for name, value in wanted.items()}
    share["disc"] = (1 - central) * rest / whole
    old, bluer = _old_colours("bulge", z), p.draw("young_gr")
    truth |= {
        "disc_scale": scale,
        "disc_height": height,
        "cos_inclination": cos_i,
        "bulge_share": central,
        "bulge_mag": _light(p, r, central, old),
        "bulge_radius": scale * p.draw("bulge_size"),
        "bulge_n": p.draw("bulge_n"),
        "bulge_q": 1 - 0.35 * (1 - cos_i) if not edge_on else _uniform("bulge_flattening", 0.55, 0.95),
        "disc_mag": _light(p, r, share["disc"], colours),
    }
    if "bar" in parts:
        truth |= {
            "bar_mag": _light(p, r, share["bar"], (0.5 * (old[0] + colours[0]), 0.5 * (old[1] + colours[1]))),
            "bar_length": scale * p.draw("bar_length"),
            "bar_q": p.draw("bar_q"),
            "bar_angle": _uniform("bar_angle", 0.0, np.pi),
        }
    if "ring" in parts:
        radius = scale * p.draw("ring_radius")
        truth |= {
            "ring_mag": _light(p, r, share["ring"], colours, bluer),
            "ring_radius": radius,
            "ring_width": radius * p.draw("ring_width"),
            **_patches(p),
        }
    if "arm" in parts:
        truth |= _arms(p, truth) | {"arm_mag": _light(p, r, share["arm"], colours, bluer)}
    if "clump" in parts:
        truth |= _clumps(p, truth) | {"clump_mag": _light(p, r, share["clump"], colours, 2 * bluer)}
    if "dust" in parts:
        truth["dust_tau"] = p.draw("dust_tau")
    return truth


def _arms(p: Prior, truth: Truth) -> Truth:
    """Logarithmic arms, from the ends of the bar where there is one; arm_sense 1 unwinds from +x to +y."""
    count = 1.0 + numpyro.sample("arm_extra", dist.Categorical(jnp.asarray(_ARMS, jnp.float32)))
    start = truth["bar_length"] if "bar_length" in truth else 0.5 * truth["disc_scale"]
    begin = truth["bar_angle"] if "bar_angle" in truth else _uniform("arm_begin", 0.0, np.pi)
    return {
        "arm_count": jnp.where(jnp.asarray("bar_length" in truth), 2.0, count),
        "arm_pitch": p.draw("arm_pitch"),
        "arm_sense": 2.0 * numpyro.sample("arm_sense", dist.Bernoulli(0.5)) - 1.0,
        "arm_sharpness": p.draw("arm_sharpness"),
        "arm_start_radius": start,
        "arm_start_angle": begin,
        "patch_winding": _uniform("patch_winding", 0.5, 1.5, PATCHES),
        **_patches(p),
    }


def _patches(p: Prior) -> Truth:
    """Waves around a disc that break its arms or its ring into pieces."""
    return {"flocculence": p.draw("flocculence"), "patch_phase": _uniform("patch_phase", 0.0, 2 * np.pi, PATCHES)}


def _luminosities(name: str) -> Array:
    """Shares (K,) of clumps whose luminosity function is L^-2 over a factor of 30, as that of HII regions (Kennicutt,
    Edgar & Hodge 1989, ApJ 337, 761)."""
    light = 1 / (1 - (1 - 1 / 30) * _uniform(name, size=CLUMPS))
    return light * (1 / light.sum())


def _clumps(p: Prior, truth: Truth) -> Truth:
    """Clumps on arms or ring where there are any, else all over the disc; positions on the sky [arcsec]."""
    scale, u = truth["disc_scale"], _uniform("clump_u", 0.02, 0.95, CLUMPS)
    azimuth = _uniform("clump_azimuth", 0.0, 2 * np.pi, CLUMPS)
    radius = scale * jnp.interp(u, *_EXPONENTIAL)
    scatter = p.draw("clump_scatter", size=CLUMPS)
    if "ring_radius" in truth:
        radius = truth["ring_radius"] + truth["ring_width"] * _normal("clump_off", CLUMPS)
    if "arm_pitch" in truth:
        wind = jnp.log(radius / truth["arm_start_radius"]) / jnp.tan(truth["arm_pitch"])
        arm = jnp.floor(azimuth * (truth["arm_count"] * (1 / (2 * np.pi)))) * (2 * np.pi / truth["arm_count"])
        azimuth = truth["arm_start_angle"] + truth["arm_sense"] * wind + arm + scatter / truth["arm_count"]
    u, v = radius * jnp.cos(azimuth), radius * jnp.sin(azimuth) * truth["cos_inclination"]
    cos, sin = jnp.cos(truth["galaxy_angle"]), jnp.sin(truth["galaxy_angle"])
    return {
        "clump_x": truth["galaxy_x"] + cos * u - sin * v,
        "clump_y": truth["galaxy_y"] + sin * u + cos * v,
        "clump_light": _luminosities("clump_light"),
        "clump_size": p.draw("clump_size"),
    }


def lenticular(p: Prior) -> Truth:
    """Bulge and disc, nothing in it."""
    return _disc(p)


def spiral(p: Prior) -> Truth:
    """A disc with arms, clumps and dust on them."""
    return _disc(p, "arm", "clump", "dust")


def barred(p: Prior) -> Truth:
    """Two arms from the ends of a bar."""
    return _disc(p, "bar", "arm", "clump", "dust")


def ring(p: Prior) -> Truth:
    """A disc with a ring of young stars."""
    return _disc(p, "ring", "clump")


def edge_on(p: Prior) -> Truth:
    """A disc seen from its edge, with a lane of dust."""
    return _disc(p, "dust", edge_on=True)


def irregular(p: Prior) -> Truth:
    """A disc full of clumps that follow nothing; its bulge gives way to them."""
    return _disc(p, "clump", bulge=0.05, clumpy=6.0)


def merger(p: Prior) -> Truth:
    """Two discs with bulges on a parabolic encounter (`twin.simulators.morphology.encounter`): 0 is the heavier one.

    spin (2,), node (2,)  inclination of each disc to the orbit's plane and argument of its pericentre
    view (2,)             inclination of the orbit to the sky, and the place of the observer about it
    """
    truth, r = _whole(p), p.draw("object_mag")
    z, ratio, scale = truth["z_galaxy"], p.draw("mass_ratio"), p.draw("disc_scale")
    light, clumps = jnp.stack([jnp.ones_like(ratio), ratio]) * (1 / (1 + ratio)), p.draw("clump_share")
    smooth = 1 - jnp.minimum(clumps, 0.9)
    for k in (0, 1):
        bulge = jnp.clip(p.draw("bulge_share", f"bulge{k}_share"), 0.0, 0.95)
        colours = _disc_colours(p, f"disc{k}")
        size = scale if k == 0 else scale * jnp.sqrt(ratio)
        truth |= {
            f"bulge{k}_mag": _light(p, r, light[k] * bulge * smooth, _old_colours(f"bulge{k}", z)),
            f"bulge{k}_radius": size * p.draw("bulge_size", f"bulge{k}_size"),
            f"bulge{k}_n": p.draw("bulge_n", f"bulge{k}_n"),
            f"disc{k}_scale": size,
            f"disc{k}_mag": _light(p, r, light[k] * (1 - bulge) * smooth, colours),
        }
    return {
        **truth,
        "mass_ratio": ratio,
        "pericentre": p.draw("pericentre"),
        "encounter_time": p.draw("encounter_time"),
        "spin": jnp.arccos(_uniform("cos_spin", -1.0, 1.0, 2)),
        "spin_node_angle": _uniform("spin_node", 0.0, 2 * np.pi, 2),
        "view": jnp.stack([jnp.arccos(_uniform("cos_view")), _uniform("view_phase", 0.0, 2 * np.pi)]),
        "clump_mag": _light(p, r, 1 - smooth, colours, 2 * p.draw("young_gr")),
        "clump_particle": _uniform("clump_particle", size=CLUMPS),
        "clump_light": _luminosities("clump_light"),
        "clump_size": p.draw("clump_size"),
    }


CLASSES: dict[str, Callable[[Prior], Truth]] = {
    f.__name__: f for f in (smooth, lenticular, spiral, barred, ring, edge_on, irregular, merger, star)
}
