"""A recipe's `sky:` section: what it may say of the X-ray sky, and what is checked of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator

from twin.priors.laws import Law

KINDS = ("none", "extragalactic", "galactic", "bright", "grb", "tde", "flare", "breakout")
TRANSIENTS = KINDS[4:]
CLASSES = ("field", "crab", "stray")
FAMILIES = ("powerlaw", "blackbody", "bremsstrahlung")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Spectra(_Strict):
    """Shares of the families, and laws of their shapes: photon index, kT [keV], kT [keV]; nh [1e22/cm2]."""

    powerlaw: float = Field(0.0, ge=0)
    blackbody: float = Field(0.0, ge=0)
    bremsstrahlung: float = Field(0.0, ge=0)
    index: Law | None = None
    surface: Law | None = None
    plasma: Law | None = None
    nh: Law

    @model_validator(mode="after")
    def _complete(self) -> Spectra:
        if not self.powerlaw + self.blackbody + self.bremsstrahlung > 0:
            raise ValueError("the shares of powerlaw, blackbody and bremsstrahlung add up to 0")
        for share, name in zip((self.powerlaw, self.blackbody, self.bremsstrahlung), self.laws, strict=True):
            if share and self.laws[name] is None:
                raise ValueError(f"needs the law {name}")
        for name, law, least in (("surface", self.surface, 0.01), ("plasma", self.plasma, 0.05), ("nh", self.nh, 0.0)):
            if law is not None and law.support[0] < least:
                raise ValueError(f"{name} reaches {law.support[0]:g}, below {least:g}: cut it with a range")
        return self

    @property
    def laws(self) -> dict[str, Law | None]:
        return {"index": self.index, "surface": self.surface, "plasma": self.plasma}


class Counts(_Strict):
    """density: sources a square degree above 1 mCrab; N(>S) ~ S^-slope between `least` and `most` [mCrab]."""

    density: float = Field(ge=0, le=10)
    slope: float = Field(gt=0, le=3)
    least: float = Field(gt=0, le=100)
    most: float = Field(gt=0, le=1e5)
    spectra: Spectra

    @model_validator(mode="after")
    def _ordered(self) -> Counts:
        if self.least >= self.most:
            raise ValueError(f"least {self.least:g} is not below most {self.most:g}")
        return self

    def above(self, flux: float) -> float:
        """Sources a square degree between `flux` and `most` [mCrab]."""
        return self.density * max(max(flux, self.least) ** -self.slope - self.most**-self.slope, 0.0)

    def brightest(self, density: float) -> float:
        """The flux [mCrab], from `least` to `most`, above which there are `density` sources a square degree."""
        if not self.density:
            return self.most
        return max((density / self.density + self.most**-self.slope) ** (-1 / self.slope), self.least)


class Galactic(Counts):
    """density holds at latitude 0 and falls by e in `height` [deg]. Rates swing by `amplitude` about their mean with
    `period` [s]."""

    height: float = Field(gt=0, le=90)
    amplitude: Law
    period: Law

    @model_validator(mode="after")
    def _swings(self) -> Galactic:
        if not 0 <= self.amplitude.support[0] <= self.amplitude.support[1] < 1:
            raise ValueError("amplitude must stay from 0 to below 1")
        if self.period.support[0] <= 0:
            raise ValueError("period must stay above 0")
        return self


class Transient(_Strict):
    """One kind: mean number a field, flux at the peak [mCrab], times [s], and its spectra.

    grb, flare  `rise` and `fall` of `twin.priors.xray.fred`
    breakout    `rise` and `fall` of `twin.priors.xray.shock_breakout`
    tde         `fall`: days since the disruption, rates falling with the power 5/3 from there
    It begins at `onset`, in units of the exposure.

    templates   a folder of real light curves in place of `rise` and `fall`, one of them for each; `flux` is at its peak
    stretch     factor of its times, (1 + z) over its own (1 + z)
    phase       in place of `onset`: where in the curve the exposure begins, in units of its length
    """

    number: float = Field(ge=0, le=3)
    flux: Law
    rise: Law | None = None
    fall: Law | None = None
    onset: Law | None = None
    spectra: Spectra
    templates: str | None = None
    stretch: Law | None = None
    phase: Law | None = None

    @model_validator(mode="after")
    def _positive(self) -> Transient:
        of_curves = ("stretch", "phase")
        for name in ("rise", "fall", "onset") if self.templates is None else ():
            if getattr(self, name) is None:
                raise ValueError(f"needs the law {name}, or templates")
        for name in of_curves if self.templates is None else ():
            if getattr(self, name) is not None:
                raise ValueError(f"{name} is of real light curves: it needs templates")
        if self.onset is None and self.phase is None:
            raise ValueError("needs the law onset or phase: when its light curve begins")
        for name in ("flux", "rise", "fall", "stretch"):
            law = getattr(self, name)
            if law is not None and law.support[0] <= 0:
                raise ValueError(f"{name} must stay above 0: cut it with a range")
        if self.phase is not None and not 0 <= self.phase.support[0] <= self.phase.support[1] <= 1:
            raise ValueError("phase must stay from 0 to 1: cut it with a range")
        return self

    @model_serializer(mode="wrap")
    def _without_options(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        # a recipe that does not use them is the same recipe as before there were any
        return _left_out(handler(self), "templates", "stretch", "phase")


class Lists(_Strict):
    """Files of real sources, and how a recipe uses them.

    lmxb, hmxb  X-ray binaries (`twin.io.xray.source_lists.read_binaries`);  bat  Swift-BAT's (`read_bat`)
    toward      share of the fields that point towards one of the sources, which then lies anywhere in them
    outburst    chance that a transient source of the lists is there
    """

    lmxb: str | None = None
    hmxb: str | None = None
    bat: str | None = None
    toward: float = Field(0.0, ge=0, le=1)
    outburst: float = Field(0.1, ge=0, le=1)

    @model_validator(mode="after")
    def _some(self) -> Lists:
        if not (self.lmxb or self.hmxb or self.bat):
            raise ValueError("names no list: it needs lmxb, hmxb or bat")
        return self


class Bright(_Strict):
    """The source of the classes `crab` and `stray`. flux [mCrab]; beyond: how far outside a stray is [arcmin]."""

    flux: Law
    beyond: Law
    spectra: Spectra

    @model_validator(mode="after")
    def _positive(self) -> Bright:
        if self.flux.support[0] <= 0 or self.beyond.support[0] < 0:
            raise ValueError("flux must stay above 0, beyond at 0 or above")
        return self


class SkyConfig(_Strict):
    """A recipe's `sky:` section."""

    extragalactic: Counts
    galactic: Galactic
    bright: Bright
    transients: dict[str, Transient] = {}
    catalogue: Lists | None = None

    @model_validator(mode="after")
    def _known(self) -> SkyConfig:
        for name, law in self.transients.items():
            if name not in TRANSIENTS:
                raise ValueError(f"transients: unknown kind {name}, there are {', '.join(TRANSIENTS)}")
            if name == "tde" and law.templates is not None and law.phase is None:
                raise ValueError("transients: tde: its light curves are longer than any exposure: it needs phase")
        return self

    @model_serializer(mode="wrap")
    def _without_options(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return _left_out(handler(self), "catalogue")


def _left_out(found: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in names or value is not None}
