"""A recipe's `stars:` section: kinds of stars, and the laws of what makes their H alpha."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from twin.priors.laws import Law
from twin.priors.sites import Site, misfit

KINDS = ("star", "be", "nebular", "mdwarf", "pcygni")

SHARED: dict[str, Site] = {
    "logg_scatter": Site("log g about that of its luminosity class", "", -1, 1),
    "giant": Site("a star of 3,600 to 5,300 K is a giant", chance=True),
    "evolved": Site("how far log g of a star above 6,000 K has come down from the main sequence", "", 0, 3),
    "metallicity": Site("[Fe/H]", "", -2.5, 0.5),
    "vsini_cool": Site("v sin i below the break of Kraft (1967)", "km.s-1", 0, 400),
    "vsini_hot": Site("v sin i above it", "km.s-1", 0, 400),
    "velocity": Site("radial velocity", "km.s-1", -1000, 1000),
    "bands": Site("TiO and CaH over what the temperature says", "", 0, 5),
    "hydride": Site("CaH over TiO, relative", "", 0, 5),
    "chromosphere": Site("H alpha that a quiet chromosphere adds below 5,200 K, an equivalent width", "Angstrom", 0, 3),
}
OWN: dict[str, dict[str, Site]] = {
    "star": {},
    "be": {
        "breakup": Site("Keplerian speed at the star's equator", "km.s-1", 100, 1000),
        "rotation": Site("equatorial speed over that", "", 0.1, 1),
        "disc_scatter": Site("ln of the disc's size about the relation to its emission", "", -3, 3),
        "be_width": Site("emission of the disc, an equivalent width", "Angstrom", 0.05, 300),
        "disc_slope": Site("q of the disc's surface brightness r^-q", "", 0.5, 3),
        "disc_thickness": Site("share of the shear of an optically thick line that its brightness feels", "", 0, 1),
        "turbulence": Site("sigma of the gas", "km.s-1", 5, 100),
        "arm": Site("V/R: amplitude of a one-armed wave", "", -1, 1),
        "shell_angle": Site("half opening angle under which the disc hides the star", "deg", 0, 45),
        "shell_depth": Site("optical depth of a shell's line", "", 0, 30),
        "shell_width": Site("sigma of a shell's line", "km.s-1", 5, 200),
    },
    "nebular": {
        "nebula_width": Site("H alpha of the nebula, an equivalent width", "Angstrom", 0.05, 1000),
        "nebula_velocity": Site("velocity of the nebula less the star's", "km.s-1", -500, 500),
        "nebula_sigma": Site("sigma of the nebula's lines", "km.s-1", 2, 200),
        "nitrogen": Site("[N II] 6583 over H alpha", "", 0, 10),
        "sulphur": Site("[S II] 6716 + 6731 over H alpha", "", 0, 10),
        "sulphur_ratio": Site("[S II] 6716 over 6731", "", 0.4, 1.5),
    },
    "mdwarf": {
        "active_width": Site("H alpha of a chromosphere, an equivalent width", "Angstrom", 0.05, 300),
        "active_sigma": Site("its sigma", "km.s-1", 5, 300),
        "reversal": Site("light that its core absorbs, of the line", "", 0, 0.5),
    },
    "pcygni": {
        "terminal": Site("terminal velocity of the wind", "km.s-1", 20, 4000),
        "wind_depth": Site("optical depth at the wind's foot", "", 0.1, 30),
        "wind_beta": Site("exponent of the wind's velocity law", "", 0.7, 4),
        "wind_excess": Site("emission by recombination over that by scattering", "", 0, 50),
    },
}
COOLEST, HOTTEST = 3000.0, 30000.0


class Temperatures(BaseModel):
    """Teff [K]: even in ln Teff between neighbouring `edges`, with `shares` of the stars between them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    edges: tuple[float, ...] = Field(min_length=2)
    shares: tuple[float, ...]

    @model_validator(mode="after")
    def _fits(self) -> Temperatures:
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError("edges must increase")
        if not COOLEST <= self.edges[0] <= self.edges[-1] <= HOTTEST:
            raise ValueError(f"edges must stay from {COOLEST:g} to {HOTTEST:g} K")
        if len(self.shares) != len(self.edges) - 1:
            raise ValueError(f"{len(self.shares)} shares for {len(self.edges) - 1} intervals")
        if min(self.shares) < 0 or not sum(self.shares) > 0:
            raise ValueError("shares must be at least 0, and not all 0")
        return self

    @property
    def quantiles(self) -> tuple[np.ndarray, np.ndarray]:
        """(cumulated shares, ln Teff), of the edges."""
        return np.append(0, np.cumsum(self.shares)) / sum(self.shares), np.log(self.edges)


class StarsConfig(BaseModel):
    """temperatures by kind of star; laws by site, those of SHARED and of the kinds that the recipe has."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    temperatures: dict[str, Temperatures]
    laws: dict[str, Law]

    def mistake(self, kinds: tuple[str, ...]) -> tuple[str, tuple[str, ...], list[str]] | None:
        """(problem, key, what could be meant) of the first thing that is wrong; None = nothing."""
        known = SHARED | {name: site for sites in OWN.values() for name, site in sites.items()}
        for name in self.temperatures:
            if name not in KINDS:
                return "unknown kind of star", ("temperatures", name), list(KINDS)
        for kind in kinds:
            if kind not in self.temperatures:
                return f"says nothing of the kind {kind}", ("temperatures",), []
        for name, law in self.laws.items():
            if name not in known:
                return "unknown key", ("laws", name), list(known)
            problem = misfit(known[name], law)
            if problem is not None:
                return problem, ("laws", name), []
        for name in [*SHARED, *(name for kind in kinds for name in OWN[kind])]:
            if name not in self.laws:
                return f"has no law of {name} ({known[name].meaning})", ("laws",), []
        return None
