"""The lens of a truth: its mass components in one plane or several, and where its images may lie."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import Array

from twin.priors import populations as pop
from twin.priors.fields import Truth
from twin.priors.galaxy_lens import Scene
from twin.simulators.mass import compound, multiplane, nfw, sersic
from twin.simulators.mass.compound import Mass
from twin.simulators.mass.epl import EPL
from twin.simulators.mass.multiplane import Planes
from twin.simulators.mass.nfw import NFW
from twin.simulators.mass.sersic import Sersic
from twin.simulators.mass.shear import Shear
from twin.simulators.mass.sheet import Sheet
from twin.simulators.mass.sie import SIE
from twin.simulators.mass.tnfw import TNFW

Lens = Mass | Planes


def lens(truth: Truth, scene: Scene) -> Lens:
    """The deflector of a truth with external shear and convergence about its centre, its subhalos, and halos along
    the line of sight, which make several planes of it."""
    x, y, q, angle = truth["lens_x"], truth["lens_y"], truth["lens_q"], truth["lens_angle"]
    mass = Mass(
        shear=Shear(gamma1=truth["gamma1"], gamma2=truth["gamma2"], x=x, y=y),
        convergence=Sheet(kappa=truth["kappa"], x=x, y=y),
        tnfw=_halos(truth, "subhalo") if scene.subhalos else None,
    )
    if scene.mass == "nfw_sersic":
        halo, stars = _halo_and_stars(truth)
        mass = replace(mass, nfw=halo, sersic=stars)
    elif scene.mass == "sie":
        mass = replace(mass, sie=SIE(theta_E=truth["theta_E"], q=q, angle=angle, x=x, y=y))
    else:
        mass = replace(mass, epl=EPL(theta_E=truth["theta_E"], gamma=truth["slope"], q=q, angle=angle, x=x, y=y))
    return _with_line_of_sight(mass, truth, scene) if scene.line_of_sight else mass


def _halos(truth: Truth, name: str) -> TNFW:
    x, y = truth["lens_x"] + truth[f"{name}_x"], truth["lens_y"] + truth[f"{name}_y"]
    return TNFW(truth[f"{name}_Rs"], truth[f"{name}_alpha_Rs"], truth[f"{name}_r_trunc"], x, y)


def _with_line_of_sight(mass: Mass, truth: Truth, scene: Scene) -> Planes:
    """The lens between the planes of halos. Which of them lie before it is not known when the program is compiled:
    all stand on both sides of it, and on the wrong one, at its own distance, without mass."""
    distance, source = pop.comoving_distance(truth["z_lens"]), pop.comoving_distance(truth["z_source"])
    at = pop.comoving_distance(jnp.asarray(scene.planes, distance.dtype))
    every = _halos(truth, "los")

    def side(k: int, there: Array) -> Mass:
        part = slice(k * scene.line_of_sight, (k + 1) * scene.line_of_sight)
        halos = jax.tree.map(lambda v: v[part], every)
        return Mass(tnfw=replace(halos, alpha_Rs=jnp.where(there, halos.alpha_Rs, 0.0)))

    count = range(len(scene.planes))
    before, behind = [side(k, at[k] < distance) for k in count], [side(k, at[k] >= distance) for k in count]
    distances = jnp.concatenate([jnp.minimum(at, distance), distance[None], jnp.maximum(at, distance)])
    return Planes((*before, mass, *behind), distances, source)


def deflection(lens: Lens, x: Array, y: Array) -> tuple[Array, Array]:
    """theta - beta [arcsec]."""
    if isinstance(lens, Mass):
        return compound.deflection(lens, x, y)
    bx, by = multiplane.shoot(lens, x, y)
    return x - bx, y - by


def potential(lens: Lens, x: Array, y: Array) -> Array:
    """What |theta - beta|^2 / 2 less it is the Fermat potential of, at the images of beta [arcsec^2]; of several planes
    their arrival time in the lens's own units."""
    if isinstance(lens, Mass):
        return compound.potential(lens, x, y)
    ax, ay = deflection(lens, x, y)
    distance = lens.distances[len(lens.masses) // 2]
    unit = multiplane.DAYS * distance * lens.source / (lens.source - distance)
    return 0.5 * (ax * ax + ay * ay) - multiplane.arrival_time(lens, x, y) / unit


def _halo_and_stars(truth: Truth) -> tuple[NFW, Sersic]:
    """NFW halo and stars as the lens's light, which together deflect by theta_E at theta_E; the halo's share of it is
    `dark_fraction`. Their potentials are a third as flat as the density of `lens_q`."""
    theta_E, dark = truth["theta_E"], truth["dark_fraction"]
    place = truth["lens_angle"], truth["lens_x"], truth["lens_y"]
    q, one, zero = 1 - (1 - truth["lens_q"]) * (1 / 3), jnp.ones_like(theta_E), jnp.zeros_like(theta_E)
    halo = NFW(truth["dark_radius"], one, one, zero, zero, zero)
    stars = Sersic(one, truth["lens_radius"][0], truth["lens_n"][0], one, zero, zero, zero)
    of_halo, of_stars = nfw.deflection(halo, theta_E, zero)[0], sersic.deflection(stars, theta_E, zero)[0]
    return (
        NFW(truth["dark_radius"], dark * theta_E / of_halo, q, *place),
        Sersic((1 - dark) * theta_E / of_stars, stars.R_e, stars.n, q, *place),
    )


def window(truth: Truth, beta_x: Array, beta_y: Array) -> tuple[Array, Array, Array]:
    """Square that holds every image: |theta| (1 - kappa - gamma) <= |beta| + largest deflection, about the lens."""
    away = jnp.hypot(beta_x - truth["lens_x"], beta_y - truth["lens_y"])
    left = 1 - truth["kappa"] - jnp.hypot(truth["gamma1"], truth["gamma2"])
    return truth["lens_x"], truth["lens_y"], (away + 1.6 * truth["theta_E"]) / jnp.maximum(left, 0.3)
