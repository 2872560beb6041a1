"""The lens of a truth: one plane of mass components, and where its images may lie."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
from jax import Array

from twin.priors.fields import Truth
from twin.priors.galaxy_lens import Scene
from twin.simulators.mass import nfw, sersic
from twin.simulators.mass.compound import Mass
from twin.simulators.mass.epl import EPL
from twin.simulators.mass.nfw import NFW
from twin.simulators.mass.sersic import Sersic
from twin.simulators.mass.shear import Shear
from twin.simulators.mass.sheet import Sheet
from twin.simulators.mass.sie import SIE


def lens(truth: Truth, scene: Scene) -> Mass:
    """The deflector of a truth with external shear and convergence about its centre."""
    x, y, q, angle = truth["lens_x"], truth["lens_y"], truth["lens_q"], truth["lens_angle"]
    around = Mass(
        shear=Shear(gamma1=truth["gamma1"], gamma2=truth["gamma2"], x=x, y=y),
        convergence=Sheet(kappa=truth["kappa"], x=x, y=y),
    )
    if scene.mass == "nfw_sersic":
        halo, stars = _halo_and_stars(truth)
        return replace(around, nfw=halo, sersic=stars)
    if scene.mass == "sie":
        return replace(around, sie=SIE(theta_E=truth["theta_E"], q=q, angle=angle, x=x, y=y))
    return replace(around, epl=EPL(theta_E=truth["theta_E"], gamma=truth["slope"], q=q, angle=angle, x=x, y=y))


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
