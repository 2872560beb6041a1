"""What a recipe's `prior:` section may speak of: each property's unit, meaning and limits, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass

from twin.numerics.sersic import N_MAX, N_MIN
from twin.priors.laws import Chance, Law

LARGE = 100.0  # arcsec, and redshift: beyond what any frame holds


@dataclass(frozen=True)
class Site:
    """A property. Its law must stay from `low` to `high`; `chance` = it happens or not."""

    meaning: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    chance: bool = False


def _size(meaning: str) -> Site:
    return Site(meaning, "arcsec", 1e-3, LARGE)


def _magnitude(meaning: str) -> Site:
    return Site(meaning, "mag", 0, 50)


def _colour(meaning: str) -> Site:
    return Site(meaning, "mag", -10, 10)


def _redshift(meaning: str) -> Site:
    return Site(meaning, "", 1e-4, LARGE)


def _index(meaning: str) -> Site:
    return Site(f"Sersic index of {meaning}", "", N_MIN, N_MAX)


def _chance(meaning: str) -> Site:
    return Site(meaning, chance=True)


SITES: dict[str, Site] = {
    # the lens
    "theta_E": Site("Einstein radius", "arcsec", 1e-2, LARGE),
    "z_lens": _redshift("redshift of the deflector, at most 0.8 of the source's"),
    "z_source": _redshift("redshift of a lensed galaxy"),
    "z_quasar": _redshift("redshift of a lensed quasar"),
    "shear": Site("a component of the external shear", "", -0.5, 0.5),
    "lens_mag_scatter": Site("scatter of its light about Faber & Jackson's relation", "mag", -10, 10),
    "early_n": _index("early-type galaxies and bulges"),
    "centre": Site("offset of the object from the frame's centre along an axis", "arcsec", -LARGE, LARGE),
    # the source
    "source_depth": Site("place of the source, of the way from the centre to the cut", "", 1e-3, 0.999),
    "source_mag": _magnitude("unlensed r of a lensed galaxy"),
    "source_radius": _size("half-light radius of a lensed galaxy or host"),
    "source_n": _index("a lensed galaxy or host"),
    "quasar_mag": _magnitude("r of a quasar, all images together"),
    "quasar_gr": _colour("g - r of quasars"),
    "quasar_ri": _colour("r - i of quasars"),
    "image_scatter": Site("ln of an image's flux against the model's", "", -5, 5),
    "image_reddening": Site("ln of an image's flux in the bluest band, reversed in the reddest", "", -5, 5),
    "host_contrast": Site("unlensed r of the host minus the quasar's", "mag", -10, 20),
    # galaxies and stars that are no lenses
    "object_mag": _magnitude("r of the object"),
    "z_galaxy": _redshift("redshift of galaxies that are no lenses"),
    "galaxy_radius": _size("half-light radius of galaxies"),
    "bulge_size": Site("half-light radius of a bulge, of its disc's", "", 1e-2, 10),
    "blue_gr": _colour("g - r of star-forming galaxies"),
    "blue_ri": _colour("their r - i above 0.35 (g - r)"),
    "companion_distance": Site("distance of a companion galaxy", "arcsec", 0, LARGE),
    "companion_contrast": Site("its r minus the galaxy's", "mag", -10, 20),
    "second_companion": _chance("there is a second companion"),
    "star_gr": _colour("g - r of stars that are no M dwarfs"),
    "m_dwarf": _chance("a star is an M dwarf"),
    "blend_distance": Site("distance of the second and third object of a blend", "arcsec", 0, LARGE),
    "blend_contrast": Site("their r minus the first one's", "mag", -10, 20),
    "blend_galaxy": _chance("the second object of a blend is a galaxy"),
    "third_star": _chance("a blend of stars has a third"),
    "spiral_radius": _size("half-light radius of a spiral's disc"),
    "arm_pitch": Site("pitch angle of spiral arms", "rad", 0.02, 1.5),
    "arm_contrast": Site("amplitude of spiral arms, of the disc", "", 0, 1),
    "ring_radius": Site("radius of a ring, of the disc's", "", 0.05, 10),
    # interlopers
    "field_galaxy": _chance("there is an unrelated galaxy"),
    "field_star": _chance("each of two unrelated stars is there"),
    "field_mag": _magnitude("r of unrelated objects"),
    "field_radius": _size("half-light radius of unrelated galaxies"),
    "field_n": _index("unrelated galaxies, companions and the bulges of spirals"),
    "field_distance": Site(
        "distance of the unrelated galaxy from the frame's centre; without it, anywhere", "arcsec", 0, LARGE
    ),
    "faint_density": Site("number of faint galaxies, of the mean sky's; without it there are none", "", 1e-2, LARGE),
    "faint_gr": _colour("g - r of faint galaxies"),
    "faint_ri": _colour("r - i of faint galaxies"),
}


def misfit(site: Site, law: Law) -> str | None:
    """What keeps a law from being one of a site, in plain words; None = nothing."""
    if site.chance != isinstance(law, Chance):
        return f"is {'a chance' if site.chance else 'no chance'} ({site.meaning}): the law {law.law} does not fit"
    low, high = law.support
    if not site.chance and not (site.low <= low and high <= site.high):
        limits = f"{site.low:g} to {site.high:g} {site.unit}".rstrip()
        return f"reaches from {low:.3g} to {high:.3g}, outside {limits} ({site.meaning}): cut it with a range"
    return None
