"""Stars as a NumPyro program: what makes a spectrum about H alpha, one kind of star at a time.

Dwarfs' log g: zero-age main sequence by Teff (Pecaut & Mamajek 2013, ApJS 208, 9, masses and radii). Giants': along the
red giant branch, 3.2 at 5,200 K to 1.3 at 3,900 K (red clump and branch, Holtzman+ 2015, AJ 150, 148). Rotation: two
laws on either side of the break at 6,500 K (Kraft 1967, ApJ 150, 551).

Be stars: inclinations are even in cos i. The disc grows with its emission as
r_out / R = (V_rot / V_K)^-2 [10^0.1 W^0.4]^2, which is Hanuschik, Kozok & Kaiser's (1988, A&A 189, 147)
log(Delta v_p / 2 v sin i) = -0.4 log W - 0.1 for peaks at V_K(r_out) sin i, with a scatter.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array

from twin.priors.spectra.config import OWN, SHARED, StarsConfig

_DWARFS = (
    (3000.0, 5.05), (3400.0, 4.90), (3850.0, 4.70), (4500.0, 4.62), (5200.0, 4.55), (5800.0, 4.44), (6500.0, 4.32),
    (7500.0, 4.25), (9000.0, 4.22), (12000.0, 4.20), (30000.0, 4.15),
)  # fmt: skip
_BREAK, _BREAK_WIDTH = 6500.0, 200.0  # K, of Kraft's break
PARAMETERS = {
    "teff": "K", "logg": "", "metallicity": "", "vsini": "km.s-1", "velocity": "km.s-1", "bands": "", "hydride": "",
    "chromosphere": "Angstrom", "inclination": "deg", "disc_speed": "km.s-1", "disc_radius": "",
}  # fmt: skip
_DROPPED = ("logg_scatter", "giant", "evolved", "vsini_cool", "vsini_hot", "breakup", "disc_scatter")


def parameter_units() -> dict[str, str]:
    """VOUnit by name of every number that `StarPrior.program` may return."""
    units = dict(PARAMETERS)
    for sites in (SHARED, *OWN.values()):
        units |= {name: site.unit for name, site in sites.items() if name not in _DROPPED}
    return units


class StarPrior:
    """The programs of a recipe's kinds of stars."""

    def __init__(self, config: StarsConfig) -> None:
        self.config = config

    def program(self, kind: str) -> dict[str, Array]:
        """Draw a star: scalars by name, with the units of `parameter_units`; those of other kinds are absent."""
        draw = self._draw
        shares, logs = self.config.temperatures[kind].quantiles
        u = numpyro.sample("temperature", dist.Uniform(0.0, 1.0))
        teff = jnp.exp(jnp.interp(u, jnp.asarray(shares, jnp.float32), jnp.asarray(logs, jnp.float32)))
        drawn = {name: draw(name) for name in SHARED}
        knots, values = (jnp.array(side, jnp.float32) for side in zip(*_DWARFS, strict=True))
        dwarf = jnp.interp(teff, knots, values) - jnp.where(teff > 6000, drawn["evolved"], 0.0)
        branch = 3.2 + (teff - 5200) * (1.9 / 1300)
        giant = (drawn["giant"] > 0) & (teff > 3600) & (teff < 5300) & (kind != "mdwarf")
        logg = jnp.clip(jnp.where(giant, branch, dwarf) + drawn["logg_scatter"], 1.0, 5.2)
        hot = 1 / (1 + jnp.exp(-(teff - _BREAK) / _BREAK_WIDTH))
        found = {
            "teff": teff,
            "logg": logg,
            "vsini": drawn["vsini_cool"] ** (1 - hot) * drawn["vsini_hot"] ** hot,
            **{name: value for name, value in drawn.items() if name not in _DROPPED},
        }
        own = {name: draw(name) for name in OWN[kind]}
        if kind == "be":
            cosine = numpyro.sample("cos_inclination", dist.Uniform(0.0, 1.0))
            sine = jnp.sqrt(1 - cosine**2)
            radius = own["rotation"] ** -2 * (10**0.1 * own["be_width"] ** 0.4) ** 2 * jnp.exp(own["disc_scatter"])
            radius = jnp.clip(radius, 1.5, 40.0)
            found |= {
                "vsini": own["breakup"] * own["rotation"] * sine,
                "inclination": jnp.rad2deg(jnp.arccos(cosine)),
                "disc_radius": radius,
                "disc_speed": own["breakup"] * sine / jnp.sqrt(radius),
            }
        return found | {name: value for name, value in own.items() if name not in _DROPPED}

    def _draw(self, name: str) -> Any:
        return numpyro.sample(name, self.config.laws[name].distribution())
