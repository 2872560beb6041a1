"""The X-ray sky of one field as a NumPyro program: what is there, where, how bright, with which spectrum, how variable.

Sources come in a fixed number of slots; a slot that holds none has the kind 0. Slots in their order: a bright source of
the field's class, transients, Galactic sources, extragalactic ones.

Extragalactic  Euclidean counts, even over the field
Galactic       N(>S) with a shallow slope, density falling with the Galactic latitude as exp(-|b|/h)
Transient      a burst (fast rise and exponential fall), a tidal disruption, a stellar flare, a shock break-out
Bright         uniform in the logarithm of flux; in the class `stray` just outside the field

Fluxes are of 0.5-4 keV behind the absorption, in mCrab (`twin.priors.xray.from_mcrab`), at the peak of the light curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from pydantic import BaseModel, ConfigDict, Field, model_validator

from twin.priors.laws import Law
from twin.priors.xray.light_curves import decay, fred, shock_breakout

KINDS = ("none", "extragalactic", "galactic", "bright", "grb", "tde", "flare", "breakout")
TRANSIENTS = KINDS[4:]
CLASSES = ("field", "crab", "stray")
FAMILIES = ("powerlaw", "blackbody", "bremsstrahlung")
KNOTS = 257  # of light curves over an exposure

# North Galactic pole, ICRS (Hipparcos, ESA SP-1200, vol. 1, 1.5.3)
_POLE = math.radians(192.85948), math.radians(27.12825)


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
    """

    number: float = Field(ge=0, le=3)
    flux: Law
    rise: Law
    fall: Law
    onset: Law
    spectra: Spectra

    @model_validator(mode="after")
    def _positive(self) -> Transient:
        for name, law in (("flux", self.flux), ("rise", self.rise), ("fall", self.fall)):
            if law.support[0] <= 0:
                raise ValueError(f"{name} must stay above 0: cut it with a range")
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

    @model_validator(mode="after")
    def _known(self) -> SkyConfig:
        for name in self.transients:
            if name not in TRANSIENTS:
                raise ValueError(f"transients: unknown kind {name}, there are {', '.join(TRANSIENTS)}")
        return self


def slots(mean: float) -> int:
    """Room for a Poisson number: one in 1e7 fields has more."""
    return math.ceil(mean + 5.2 * math.sqrt(mean) + 3) if mean else 0


class FieldPrior:
    """The program of fields of `half` [arcmin] from their middle to each side.

    slots  of each population, in order;  total  of all;  varying  of them that have light curves: the first ones
    """

    def __init__(self, config: SkyConfig, half: float) -> None:
        self.config, self.half = config, half
        area = (2 * half / 60) ** 2
        self._means = {
            "transient": sum(t.number for t in config.transients.values()),
            "galactic": area * config.galactic.above(0.0),
            "extragalactic": area * config.extragalactic.above(0.0),
        }
        self.slots = {"bright": 1, **{name: slots(mean) for name, mean in self._means.items()}}
        self.total = sum(self.slots.values())
        self.varying = self.total - self.slots["extragalactic"]

    def program(self, cls: Array, pointing: Array) -> dict[str, Array]:
        """Draw a field. cls () index in CLASSES; pointing (3,): ra, dec, position angle [deg].

        Returns arrays with one element a slot: x, y [arcmin] from the middle of the field; flux [mCrab]; family (index
        in FAMILIES), shape, nh; kind (index in KINDS, 0: empty); rise, fall, onset (`rates` says of what).
        """
        bright = self._bright(cls)
        others = [self._transients(), self._galactic(pointing), self._extragalactic()]
        parts = [bright, *(part for part in others if part is not None)]
        return {name: jnp.concatenate([part[name] for part in parts]) for name in bright}

    def _bright(self, cls: Array) -> dict[str, Array]:
        law = self.config.bright
        u = _uniform("bright_place", 3, 1)
        side = jnp.floor(u[2] * 4)
        beyond = self.half + _draw("bright_beyond", law.beyond, 1)
        sign = jnp.where(side % 2 == 0, -1.0, 1.0)
        x, y = self._even(u[:2])
        stray = cls == CLASSES.index("stray")
        out = {
            "x": jnp.where(stray & (side < 2), sign * beyond, x),
            "y": jnp.where(stray & (side >= 2), sign * beyond, y),
            "flux": _draw("bright_flux", law.flux, 1),
            "kind": jnp.where(cls == 0, 0, KINDS.index("bright")) * jnp.ones(1, jnp.int32),
            **_spectra("bright", law.spectra, 1),
        }
        return out | self._swing("bright", 1)

    def _swing(self, name: str, n: int) -> dict[str, Array]:
        swings = self.config.galactic
        return {
            "rise": _draw(f"{name}_amplitude", swings.amplitude, n),
            "fall": _draw(f"{name}_period", swings.period, n),
            "onset": _uniform(f"{name}_phase", 1, n)[0],
        }

    def _even(self, u: Array) -> tuple[Array, Array]:
        return (2 * u[0] - 1) * self.half, (2 * u[1] - 1) * self.half

    def _transients(self) -> dict[str, Array] | None:
        n, kinds = self.slots["transient"], self.config.transients
        if n == 0:
            return None
        u = _uniform("transient", 3, n)
        shares = np.array([kinds[name].number if name in kinds else 0.0 for name in TRANSIENTS])
        which = jnp.sum(u[2] >= jnp.asarray(np.cumsum(shares) / shares.sum(), jnp.float32)[:-1, None], 0)
        drawn = []
        for name in TRANSIENTS:
            law = kinds.get(name)
            if law is None:
                continue
            one = {key: _draw(f"{name}_{key}", getattr(law, key), n) for key in ("flux", "rise", "fall", "onset")}
            drawn.append((TRANSIENTS.index(name), one | _spectra(name, law.spectra, n)))
        chosen = drawn[0][1]
        for k, one in drawn[1:]:
            chosen = {key: jnp.where(which == k, one[key], chosen[key]) for key in chosen}
        x, y = self._even(u[:2])
        there = jnp.arange(n) < _number("transient", self._means["transient"], n)
        first = KINDS.index(TRANSIENTS[0])
        return {"x": x, "y": y, "kind": jnp.where(there, which + first, 0).astype(jnp.int32), **chosen}

    def _galactic(self, pointing: Array) -> dict[str, Array] | None:
        n, law = self.slots["galactic"], self.config.galactic
        if n == 0:
            return None
        u = _uniform("galactic", 4, n)
        x, y = self._even(u[:2])
        kept = u[3] < jnp.exp(-jnp.abs(latitude(x, y, pointing)) / law.height)
        there = kept & (jnp.arange(n) < _number("galactic", self._means["galactic"], n))
        out = {
            "x": x,
            "y": y,
            "flux": _fluxes(law, u[2]),
            "kind": jnp.where(there, KINDS.index("galactic"), 0).astype(jnp.int32),
            **_spectra("galactic", law.spectra, n),
        }
        return out | self._swing("galactic", n)

    def _extragalactic(self) -> dict[str, Array] | None:
        n, law = self.slots["extragalactic"], self.config.extragalactic
        if n == 0:
            return None
        u = _uniform("extragalactic", 3, n)
        x, y = self._even(u[:2])
        there = jnp.arange(n) < _number("extragalactic", self._means["extragalactic"], n)
        steady = dict.fromkeys(("rise", "fall", "onset"), jnp.zeros(n))
        kind = jnp.where(there, KINDS.index("extragalactic"), 0).astype(jnp.int32)
        spectra = _spectra("extragalactic", law.spectra, n)
        return {"x": x, "y": y, "flux": _fluxes(law, u[2]), "kind": kind, **spectra, **steady}


def rates(field: Mapping[str, Array], prior: FieldPrior, exposure: Array) -> Array:
    """(varying, KNOTS) rate over that at the peak, of the first slots, at even times of an `exposure` [s]."""
    t = jnp.linspace(0.0, 1.0, KNOTS) * exposure
    first, last = prior.slots["bright"], prior.slots["bright"] + prior.slots["transient"]
    amplitude, period, phase = (field[key][: prior.varying, None] for key in ("rise", "fall", "onset"))
    steady = (1 + amplitude * jnp.sin(2 * jnp.pi * (t / period + phase))) / (1 + amplitude)
    return jnp.concatenate([steady[:first], _bursts(field, slice(first, last), t), steady[last:]])


def swings(field: Mapping[str, Array], prior: FieldPrior, exposure: Array) -> tuple[Array, Array]:
    """(total,) mean rate over that at the peak, and its fractional rms, sqrt(<r^2> / <r>^2 - 1): of sources that swing
    in closed form, of transients by Simpson's rule between knots."""
    amplitude, period, phase = (field[key][: prior.varying] for key in ("rise", "fall", "onset"))
    first, last = prior.slots["bright"], prior.slots["bright"] + prior.slots["transient"]
    turn, begin = 2 * jnp.pi * exposure / jnp.maximum(period, 1e-3), 2 * jnp.pi * phase
    one = amplitude * (jnp.cos(begin) - jnp.cos(begin + turn)) / turn
    two = amplitude**2 * (0.5 - (jnp.sin(2 * (begin + turn)) - jnp.sin(2 * begin)) / (4 * turn))
    mean, square = 1 + one, 1 + 2 * one + two
    rms = jnp.sqrt(jnp.maximum(square / mean**2 - 1, 0.0))
    mean = mean / (1 + amplitude)
    r = _bursts(field, slice(first, last), jnp.linspace(0.0, 1.0, KNOTS) * exposure)
    burst = 0.5 * (r[:, 1:] + r[:, :-1]).mean(1)
    square = (r[:, 1:] ** 2 + r[:, 1:] * r[:, :-1] + r[:, :-1] ** 2).mean(1) / 3
    swing = jnp.sqrt(jnp.maximum(square / jnp.maximum(burst, 1e-12) ** 2 - 1, 0.0))
    quiet = prior.total - prior.varying
    return (
        jnp.concatenate([mean[:first], burst, mean[last:], jnp.ones(quiet)]),
        jnp.concatenate([rms[:first], swing, rms[last:], jnp.zeros(quiet)]),
    )


def _bursts(field: Mapping[str, Array], where: slice, t: Array) -> Array:
    """(transients, knots) light curves of the transients' slots."""
    kind, rise, fall, onset = (field[key][where, None] for key in ("kind", "rise", "fall", "onset"))
    since, day = t - onset * t[-1], 86400.0
    # kinds that a slot is not of are computed too: their times must be harmless
    rise, fall = jnp.maximum(rise, 1e-3), jnp.maximum(fall, 1e-3)
    found = jnp.where(kind == KINDS.index("tde"), decay(fall * day + t, fall * day, 5 / 3), fred(since, rise, fall))
    return jnp.where(kind == KINDS.index("breakout"), shock_breakout(since, rise, fall), found)


def latitude(x: Array, y: Array, pointing: Array) -> Array:
    """Galactic latitude [deg] of places x, y [arcmin] from the middle of a field at pointing (ra, dec, position angle
    of its y axis, from north through east) [deg]; x runs to the west where that angle is 0."""
    ra, dec, angle = jnp.deg2rad(pointing)
    east = (-x * jnp.cos(angle) + y * jnp.sin(angle)) * (math.pi / 10800)
    north = (x * jnp.sin(angle) + y * jnp.cos(angle)) * (math.pi / 10800)
    along = jnp.sqrt(jnp.maximum(1 - east**2 - north**2, 0.0))
    a, d = _POLE
    pole = (
        math.cos(d) * jnp.cos(ra - a) * jnp.cos(dec) + math.sin(d) * jnp.sin(dec),
        -math.cos(d) * jnp.sin(ra - a),
        -math.cos(d) * jnp.cos(ra - a) * jnp.sin(dec) + math.sin(d) * jnp.cos(dec),
    )
    return jnp.rad2deg(jnp.arcsin(jnp.clip(along * pole[0] + east * pole[1] + north * pole[2], -1, 1)))


def _uniform(name: str, rows: int, n: int) -> Array:
    found: Array = numpyro.sample(f"{name}_u", dist.Uniform(0, 1).expand([rows, n]))
    return found


def _draw(name: str, law: Law, n: int) -> Array:
    found: Any = numpyro.sample(name, law.distribution().expand([n]))
    return found


def _number(name: str, mean: float, most: int) -> Array:
    """A Poisson number by inversion, `most` at the most."""
    terms = [math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) if mean else float(k == 0) for k in range(most)]
    u = numpyro.sample(f"{name}_number", dist.Uniform(0, 1))
    return jnp.sum(u >= jnp.asarray(np.cumsum(terms), jnp.float32), dtype=jnp.int32)


def _fluxes(law: Counts, u: Array) -> Array:
    """[mCrab] by inversion of the counts between `least` and `most`."""
    ratio = (law.most / law.least) ** -law.slope
    return law.least * (1 - u * (1 - ratio)) ** (-1 / law.slope)


def _spectra(name: str, prior: Spectra, n: int) -> dict[str, Array]:
    shares = np.array([prior.powerlaw, prior.blackbody, prior.bremsstrahlung])
    edges = jnp.asarray((np.cumsum(shares) / shares.sum())[:-1], jnp.float32)
    family = jnp.sum(_uniform(f"{name}_family", 1, n)[0] >= edges[:, None], 0)
    shape: Array = jnp.zeros(n)
    for k, (key, law) in enumerate(prior.laws.items()):
        if shares[k] > 0 and law is not None:
            shape = jnp.where(family == k, _draw(f"{name}_{key}", law, n), shape)
    return {"family": family, "shape": shape, "nh": _draw(f"{name}_nh", prior.nh, n)}


Program = Callable[[Array, Array], dict[str, Array]]
