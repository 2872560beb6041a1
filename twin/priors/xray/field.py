"""The X-ray sky of one field as a NumPyro program: what is there, where, how bright, with which spectrum, how variable.

Sources come in a fixed number of slots; a slot that holds none has the kind 0. Slots in their order: a bright source of
the field's class, transients, Galactic sources, extragalactic ones.

Extragalactic  Euclidean counts, even over the field
Galactic       N(>S) with a shallow slope, density falling with the Galactic latitude as exp(-|b|/h)
Transient      a burst (fast rise and exponential fall), a tidal disruption, a stellar flare, a shock break-out
Bright         uniform in the logarithm of flux; in the class `stray` just outside the field
Catalogue      real sources at their places (`twin.priors.xray.catalogue`), where a recipe names lists of them; they
               stand for as many of the brightest that the laws would have, and only fainter ones are drawn

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

from twin.priors.laws import Law
from twin.priors.xray.catalogue import EXTRAGALACTIC, FIXED, GALACTIC, GIVEN, Catalogue, Softness, spectra_of
from twin.priors.xray.config import CLASSES, KINDS, TRANSIENTS, Counts, SkyConfig, Spectra, Transient
from twin.priors.xray.light_curves import decay, fred, shock_breakout
from twin.priors.xray.spectra import to_mcrab
from twin.priors.xray.templates import Templates

KNOTS = 257  # of light curves over an exposure

# North Galactic pole, ICRS (Hipparcos, ESA SP-1200, vol. 1, 1.5.3)
_POLE = math.radians(192.85948), math.radians(27.12825)


def slots(mean: float) -> int:
    """Room for a Poisson number: one in 1e7 fields has more."""
    return math.ceil(mean + 5.2 * math.sqrt(mean) + 3) if mean else 0


class FieldPrior:
    """The program of fields of `half` [arcmin] from their middle to each side.

    middle     of the field about the telescope's axis [arcmin], for places on the sky
    catalogue  of real sources;  templates  real light curves; None where the config names none
    slots  of each population, in order;  total  of all;  varying  of them that have light curves: the first ones
    """

    def __init__(
        self,
        config: SkyConfig,
        half: float,
        middle: tuple[float, float] = (0.0, 0.0),
        catalogue: Catalogue | None = None,
        templates: Templates | None = None,
    ) -> None:
        self.config, self.half, self.middle = config, half, middle
        self.catalogue, self.templates = catalogue, templates
        area = (2 * half / 60) ** 2
        self._means = {
            "transient": sum(t.number for t in config.transients.values()),
            "galactic": area * config.galactic.above(0.0),
            "extragalactic": area * config.extragalactic.above(0.0),
        }
        self.slots = {"bright": 1, **{name: slots(mean) for name, mean in self._means.items()}}
        # the flux at which laws end where lists take their place, and below which no source of a list is drawn
        self._ends = {"galactic": math.inf, "extragalactic": math.inf}
        if catalogue is not None:
            self.slots = {**self.slots, "catalogue": min(catalogue.room(half), len(catalogue.names))}
            self.slots["extragalactic"] = self.slots.pop("extragalactic")  # those are steady, and stay the last
            self._softness = Softness()
            sky = 4 * math.pi * math.degrees(1) ** 2
            disc = sky * _share_in_disc(config.galactic.height)
            for name, where, spread in (("galactic", catalogue.galactic, disc),
                                        ("extragalactic", ~catalogue.galactic, sky)):  # fmt: skip
                if where.any():
                    self._ends[name] = getattr(config, name).brightest(where.sum() / spread)
        self.total = sum(self.slots.values())
        self.varying = self.total - self.slots["extragalactic"]

    def program(self, cls: Array, pointing: Array) -> dict[str, Array]:
        """Draw a field. cls () index in CLASSES; pointing (3,): ra, dec, position angle [deg].

        Returns arrays with one element a slot: x, y [arcmin] from the middle of the field; flux [mCrab]; family (index
        in FAMILIES), shape, nh; kind (index in KINDS, 0: empty); rise, fall, onset (`rates` says of what).
        With a catalogue also `entry`, the index of its source, with templates `template`, that of its light curve; -1
        for none.
        """
        bright = self._bright(cls)
        drawn = {
            "transient": self._transients(),
            "galactic": self._galactic(pointing),
            "extragalactic": self._extragalactic(),
            "catalogue": self._catalogued(pointing),  # the last to draw: options leave the other draws alone
        }
        others = [drawn[name] for name in self.slots if name != "bright"]
        parts = [bright, *(part for part in others if part is not None)]
        found = {name: jnp.concatenate([part[name] for part in parts]) for name in bright}
        for name, there in (("entry", self.catalogue), ("template", self.templates)):
            if there is not None:
                none = [jnp.full(len(part["kind"]), -1) for part in parts]
                found[name] = jnp.concatenate([part.get(name, n) for part, n in zip(parts, none, strict=True)])
        return found

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
            if law.templates is None:
                one = {key: _draw(f"{name}_{key}", getattr(law, key), n) for key in ("flux", "rise", "fall", "onset")}
            else:
                one = self._templates(name, law, n)
            if self.templates is not None:
                one.setdefault("template", jnp.full(n, -1))
            drawn.append((TRANSIENTS.index(name), one | _spectra(name, law.spectra, n)))
        chosen = drawn[0][1]
        for k, one in drawn[1:]:
            chosen = {key: jnp.where(which == k, one[key], chosen[key]) for key in chosen}
        x, y = self._even(u[:2])
        there = jnp.arange(n) < _number("transient", self._means["transient"], n)
        first = KINDS.index(TRANSIENTS[0])
        return {"x": x, "y": y, "kind": jnp.where(there, which + first, 0).astype(jnp.int32), **chosen}

    def _templates(self, name: str, law: Transient, n: int) -> dict[str, Array]:
        """rise: factor of the curve's times; fall: phase, or -1 where there is an onset."""
        assert self.templates is not None
        first, number = self.templates.span[name]
        index = first + jnp.minimum(_uniform(f"{name}_template", 1, n)[0] * number, number - 1).astype(jnp.int32)
        return {
            "flux": _draw(f"{name}_flux", law.flux, n),
            "rise": jnp.ones(n) if law.stretch is None else _draw(f"{name}_stretch", law.stretch, n),
            "fall": jnp.full(n, -1.0) if law.phase is None else _draw(f"{name}_phase", law.phase, n),
            "onset": jnp.zeros(n) if law.onset is None else _draw(f"{name}_onset", law.onset, n),
            "template": index,
        }

    def _galactic(self, pointing: Array) -> dict[str, Array] | None:
        n, law = self.slots["galactic"], self.config.galactic
        if n == 0:
            return None
        u = _uniform("galactic", 4, n)
        x, y = self._even(u[:2])
        kept = u[3] < jnp.exp(-jnp.abs(latitude(x, y, pointing)) / law.height)
        there = kept & (jnp.arange(n) < _number("galactic", self._means["galactic"], n))
        flux = _fluxes(law, u[2])
        there &= flux < self._ends["galactic"]
        out = {
            "x": x,
            "y": y,
            "flux": flux,
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
        flux = _fluxes(law, u[2])
        there &= flux < self._ends["extragalactic"]
        steady = dict.fromkeys(("rise", "fall", "onset"), jnp.zeros(n))
        kind = jnp.where(there, KINDS.index("extragalactic"), 0).astype(jnp.int32)
        spectra = _spectra("extragalactic", law.spectra, n)
        return {"x": x, "y": y, "flux": flux, "kind": kind, **spectra, **steady}

    def _catalogued(self, pointing: Array) -> dict[str, Array] | None:
        real, lists = self.catalogue, self.config.catalogue
        if real is None or lists is None:
            return None
        n = self.slots["catalogue"]
        entry, x, y, there = real.near(pointing, self.middle, self.half, n)
        source = jnp.asarray(real.source)[entry]
        galactic, extragalactic = self.config.galactic, self.config.extragalactic
        spectra = spectra_of(
            source,
            _spectra("catalogue", galactic.spectra, n),
            _spectra("catalogue_extragalactic", extragalactic.spectra, n),
        )
        u = _uniform("catalogue", 2, n)
        low, high = (jnp.asarray(np.log(np.maximum(v, 1e-30)), jnp.float32)[entry] for v in (real.low, real.high))
        given = jnp.exp(low + (high - low) * u[0])
        flux = jnp.where(source == FIXED, to_mcrab(1.0) * given, self._softness(**spectra) * given)
        for which, law, name in ((GALACTIC, galactic, "galactic"), (EXTRAGALACTIC, extragalactic, "extragalactic")):
            brighter = law.model_copy(update={"least": min(self._ends[name], 0.999 * law.most)})
            flux = jnp.where(source == which, _fluxes(brighter, u[0]), flux)
        there &= ~jnp.asarray(real.transient)[entry] | (u[1] < lists.outburst)
        kind = jnp.where(source == EXTRAGALACTIC, KINDS.index("extragalactic"), KINDS.index("galactic"))
        swing = self._swing("catalogue", n)
        swing["rise"] = jnp.where((source == GIVEN) | (source == GALACTIC), swing["rise"], 0.0)
        found = {"x": x, "y": y, "flux": flux, "kind": jnp.where(there, kind, 0).astype(jnp.int32)}
        return found | spectra | swing | {"entry": jnp.where(there, entry, -1)}


def rates(field: Mapping[str, Array], prior: FieldPrior, exposure: Array) -> Array:
    """(varying, KNOTS) rate over that at the peak, of the first slots, at even times of an `exposure` [s]."""
    t = jnp.linspace(0.0, 1.0, KNOTS) * exposure
    first, last = prior.slots["bright"], prior.slots["bright"] + prior.slots["transient"]
    amplitude, period, phase = (field[key][: prior.varying, None] for key in ("rise", "fall", "onset"))
    steady = (1 + amplitude * jnp.sin(2 * jnp.pi * (t / period + phase))) / (1 + amplitude)
    return jnp.concatenate([steady[:first], _bursts(field, prior, slice(first, last), t), steady[last:]])


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
    r = _bursts(field, prior, slice(first, last), jnp.linspace(0.0, 1.0, KNOTS) * exposure)
    burst = 0.5 * (r[:, 1:] + r[:, :-1]).mean(1)
    square = (r[:, 1:] ** 2 + r[:, 1:] * r[:, :-1] + r[:, :-1] ** 2).mean(1) / 3
    swing = jnp.sqrt(jnp.maximum(square / jnp.maximum(burst, 1e-12) ** 2 - 1, 0.0))
    quiet = prior.total - prior.varying
    return (
        jnp.concatenate([mean[:first], burst, mean[last:], jnp.ones(quiet)]),
        jnp.concatenate([rms[:first], swing, rms[last:], jnp.zeros(quiet)]),
    )


def _bursts(field: Mapping[str, Array], prior: FieldPrior, where: slice, t: Array) -> Array:
    """(transients, knots) light curves of the transients' slots."""
    kind, rise, fall, onset = (field[key][where, None] for key in ("kind", "rise", "fall", "onset"))
    since, day = t - onset * t[-1], 86400.0
    # kinds that a slot is not of are computed too: their times must be harmless
    rise, fall = jnp.maximum(rise, 1e-3), jnp.maximum(fall, 1e-3)
    found = jnp.where(kind == KINDS.index("tde"), decay(fall * day + t, fall * day, 5 / 3), fred(since, rise, fall))
    found = jnp.where(kind == KINDS.index("breakout"), shock_breakout(since, rise, fall), found)
    if prior.templates is None:
        return found
    index, stretch, phase = field["template"][where], field["rise"][where, None], field["fall"][where, None]
    known = jnp.maximum(index, 0)
    length = jnp.asarray(prior.templates.length, jnp.float32)[known][:, None]
    real = prior.templates.rates(known, jnp.where(phase < 0, since / stretch, t / stretch + phase * length))
    return jnp.where(index[:, None] >= 0, real, found)


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


def _share_in_disc(height: float) -> float:
    """Mean of exp(-|b| / height) over the sphere; `height` [deg]."""
    a = math.radians(height)
    return (a**2 / (1 + a**2)) * (math.exp(-math.pi / 2 / a) + 1 / a)


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
