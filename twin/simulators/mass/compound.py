"""Any number of each profile in one plane.

The number of components is an array's shape, not a program: pad it (`api.pad`) and fewer need no new compilation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from twin.simulators.mass import dpie, epl, nfw, nfw_ellipse, point, sersic, shear, sheet, sie, sis, tnfw

KINDS: dict[str, ModuleType] = {
    "sie": sie,
    "epl": epl,
    "nfw": nfw,
    "nfw_ellipse": nfw_ellipse,
    "tnfw": tnfw,
    "sersic": sersic,
    "dpie": dpie,
    "point": point,
    "sis": sis,
    "shear": shear,
    "convergence": sheet,
}
_UNROLLED = 2  # components written out one after another; more of them go through a loop
_FEW_POINTS = 512  # up to here all components are computed at once: a loop would cost more than the sums


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Mass:
    """The deflectors of one plane: of each kind none (None), or K components (fields of shape (K,), or scalars)."""

    sie: sie.SIE | None = None
    epl: epl.EPL | None = None
    nfw: nfw.NFW | None = None
    nfw_ellipse: nfw_ellipse.EllipticalNFW | None = None
    tnfw: tnfw.TNFW | None = None
    sersic: sersic.Sersic | None = None
    dpie: dpie.DPIE | None = None
    point: point.Point | None = None
    sis: sis.SIS | None = None
    shear: shear.Shear | None = None
    convergence: sheet.Sheet | None = None

    def present(self) -> dict[str, Any]:
        """The kinds that are there."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {kind: profile for kind, profile in found.items() if profile is not None}


def sum_components(function: Callable[..., Any], profile: Any, x: Array, y: Array) -> Any:
    """Sum over components of a function of one; gradients recompute a component instead of storing all."""
    profile = jax.tree.map(jnp.atleast_1d, profile)
    count = len(jax.tree.leaves(profile)[0])
    if count > _UNROLLED and jnp.size(x) <= _FEW_POINTS:
        each = jax.vmap(function, (0, None, None))(profile, x, y)
        return jax.tree.map(lambda value: jnp.sum(value, 0), each)
    if count <= _UNROLLED:
        first, *others = (function(jax.tree.map(lambda v, i=i: v[i], profile), x, y) for i in range(count))
        for value in others:
            first = jax.tree.map(jnp.add, first, value)
        return first

    def add(total: Any, one: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, function(one, x, y)), None

    start = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(function, _first(profile), x, y))
    return jax.lax.scan(jax.checkpoint(add), start, profile)[0]


def _first(profile: Any) -> Any:
    return jax.tree.map(lambda v: v[0], profile)


def _total(name: str, mass: Mass, x: Array, y: Array, outputs: int) -> Any:
    total: Any = (jnp.zeros_like(x),) * outputs if outputs > 1 else jnp.zeros_like(x)
    for kind, profile in mass.present().items():
        total = jax.tree.map(jnp.add, total, sum_components(getattr(KINDS[kind], name), profile, x, y))
    return total


def deflection(mass: Mass, x: Array, y: Array) -> tuple[Array, Array]:
    """(alpha_x, alpha_y) [arcsec] at positions of any shape [arcsec]."""
    total: tuple[Array, Array] = _total("deflection", mass, x, y, 2)
    return total


def potential(mass: Mass, x: Array, y: Array) -> Array:
    """psi [arcsec^2]: constants as in lenstronomy's profiles, only differences mean anything."""
    total: Array = _total("potential", mass, x, y, 1)
    return total


def hessian(mass: Mass, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """(psi_xx, psi_yy, psi_xy)."""
    total: tuple[Array, Array, Array] = _total("hessian", mass, x, y, 3)
    return total


def convergence(mass: Mass, x: Array, y: Array) -> Array:
    """Surface density in units of the critical one."""
    total: Array = _total("convergence", mass, x, y, 1)
    return total


def invert(determinant: Array) -> Array:
    """1 / determinant, +-1e12 where that is smaller than float32 can tell from 0."""
    least = jnp.where(determinant < 0, -1e-12, 1e-12)
    return 1 / jnp.where(jnp.abs(determinant) > 1e-12, determinant, least)


def magnification(mass: Mass, x: Array, y: Array) -> Array:
    """Signed 1 / det(1 - hessian), finite on critical curves."""
    xx, yy, xy = hessian(mass, x, y)
    return invert((1 - xx) * (1 - yy) - xy * xy)
