"""Real X-ray sources where they really are: lists of binaries and of Swift-BAT, found in the field of a pointing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.io.xray.source_lists import SourceList
from twin.priors.xray.config import FAMILIES
from twin.priors.xray.spectra import CRAB, Spectrum, from_mcrab, to_mcrab

ARCMIN = math.pi / 10800
MICROJANSKY = 1e-29 / 4.135667696e-18  # [erg/cm2/s/keV]
BAND = (2.0, 10.0)  # [keV] of the lists' fluxes
GIVEN, GALACTIC, EXTRAGALACTIC, FIXED = range(4)  # where a source's flux and spectrum come from
CRAB_NAME = "Crab Nebula/Pulsar"  # as Swift-BAT's lists have it
_SAME = 3.0  # [arcmin] within which a source of Swift-BAT is one of the binaries
_PLANE = 10.0  # [deg] of Galactic latitude within which a source without a type is a Galactic one
_STRAY, _REACH = 100.0, 110.0  # sources above that flux [mCrab] are seen from so far [arcmin] outside a field
_SHAPES, _COLUMNS = np.geomspace(0.3, 20.0, 41), np.geomspace(1e-3, 30.0, 25)
_HARD = {"powerlaw": 0.3, "blackbody": 0.5, "bremsstrahlung": 1.0}  # least shape of a source known by its 2-10 keV
_ICRS_POLE = np.array([-0.8676661490, -0.1980763734, 0.4559837762])  # of the Galaxy (ESA SP-1200, vol. 1, 1.5.3)


@dataclass(frozen=True)
class Catalogue:
    """Sources of the lists, each once.

    names         (n,) of the lists
    place         (n, 3) unit vectors towards them, ICRS
    source        (n,) GIVEN (flux of a list), GALACTIC or EXTRAGALACTIC (drawn: the list has no flux), FIXED (the Crab)
    low, high     (n,) range of flux [erg/cm2/s, 2-10 keV, absorbed]; of FIXED [0.5-4 keV]; 0 where it is drawn
    transient     (n,) only now and then there
    """

    names: tuple[str, ...]
    place: np.ndarray
    source: np.ndarray
    low: np.ndarray
    high: np.ndarray
    transient: np.ndarray

    @property
    def galactic(self) -> np.ndarray:
        """(n,) whether it is one of our own Galaxy, as far as the lists let one say."""
        return self.source != EXTRAGALACTIC

    @cached_property
    def reach(self) -> np.ndarray:
        """(n,) how far outside a field it is still looked at [arcmin]: arms of bright ones reach into it."""
        return np.where(self.high > from_mcrab(_STRAY, *BAND), _REACH, 0.0)

    def room(self, half: float) -> int:
        """The most sources that a square field of `half` [arcmin] to each side may hold, wherever it points."""
        n = 10_000
        k = np.arange(n) + 0.5
        z, turn = 1 - 2 * k / n, math.pi * (1 + math.sqrt(5)) * k
        centres = np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], 1)
        # to the corners, and to the next of the centres: of 10,000 none of the sphere is further than 1.6 deg from one
        radius = np.sqrt(2) * (half + self.reach) / 60 * 1.01 + 1.6
        seen = centres @ self.place.T > np.cos(np.deg2rad(np.minimum(radius, 180)))
        return int(seen.sum(1).max())

    def near(self, pointing: Array, middle: tuple[float, float], half: float, most: int) -> tuple[Array, ...]:
        """(index, x, y, there), (most,) each: sources in a field, the brightest first; x, y [arcmin] from its middle.

        pointing (3,) and `middle` as of `placed`
        """
        x, y, ahead = placed(jnp.asarray(self.place, jnp.float32), pointing, middle)
        edge = half + jnp.asarray(self.reach, jnp.float32)
        there = ahead & (jnp.abs(x) < edge) & (jnp.abs(y) < edge)
        weight = jnp.asarray(1 + np.argsort(np.argsort(self.high, kind="stable"), kind="stable"), jnp.float32)
        found, index = jax.lax.top_k(jnp.where(there, weight, 0.0), min(most, len(self.names)))
        return index, x[index], y[index], found > 0


def merged(binaries: list[SourceList], bat: SourceList | None) -> Catalogue:
    """The lists as one: of sources closer than 3' the first, those of binaries' lists before Swift-BAT's.

    A source of Swift-BAT that is none of the binaries is taken for Galactic within 10 deg of the Galactic plane, for
    extragalactic elsewhere; the Crab is known by its name and has the flux and spectrum that mCrab are defined by.
    """
    names: list[str] = []
    rows: list[tuple[float, ...]] = []
    vectors = np.zeros((0, 3))
    for found in [*binaries, *([bat] if bat else [])]:
        for k, vector in enumerate(unit(found.ra, found.dec)):
            if len(vectors) and (vectors @ vector).max() > math.cos(_SAME * ARCMIN):
                continue
            low, high = (MICROJANSKY * (BAND[1] - BAND[0]) * v[k] for v in (found.low, found.high))
            kind = GIVEN
            if found.name[k] == CRAB_NAME:
                kind, low, high = FIXED, CRAB.flux(), CRAB.flux()
            elif math.isnan(low):
                near = abs(math.degrees(math.asin(vector @ _ICRS_POLE))) < _PLANE
                kind, low, high = GALACTIC if near else EXTRAGALACTIC, 0.0, 0.0
            names.append(found.name[k])
            rows.append((kind, low, high, found.transient[k]))
            vectors = np.concatenate([vectors, vector[None]])
    kind, low, high, transient = np.array(rows).T
    return Catalogue(tuple(names), vectors, kind.astype(int), low, high, transient.astype(bool))


def unit(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """(n, 3) unit vectors of right ascensions and declinations [deg]."""
    a, d = np.deg2rad(ra), np.deg2rad(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], -1)


def _carried(middle: tuple[float, float]) -> np.ndarray:
    """(3, 3) direction sines about the telescope's axis -> components along the detector's axes and towards its middle,
    axes carried there without a turn; `middle` [arcmin]."""
    l0, m0 = (ARCMIN * v for v in middle)
    c0 = math.sqrt(1 - l0**2 - m0**2)
    k = 1 / (1 + c0)
    return np.array([[1 - l0**2 * k, -l0 * m0 * k, -l0], [-l0 * m0 * k, 1 - m0**2 * k, -m0], [l0, m0, c0]])


def placed(vectors: Array, pointing: Array, middle: tuple[float, float]) -> tuple[Array, Array, Array]:
    """x, y [arcmin] from the middle of the field along the detector's axes, and whether it is in that half of the sky,
    of unit vectors (n, 3).

    pointing  (3,): right ascension and declination of the field's middle, position angle of its y axis from north
              through east [deg]; x runs to the west where that angle is 0
    middle    of the field, direction sines about the telescope's axis [arcmin], as x and y themselves are
    """
    ra, dec, angle = jnp.deg2rad(pointing)
    east = jnp.stack([-jnp.sin(ra), jnp.cos(ra), jnp.zeros_like(ra)])
    north = jnp.stack([-jnp.sin(dec) * jnp.cos(ra), -jnp.sin(dec) * jnp.sin(ra), jnp.cos(dec)])
    ahead = jnp.stack([jnp.cos(dec) * jnp.cos(ra), jnp.cos(dec) * jnp.sin(ra), jnp.sin(dec)])
    e, n, c = (jnp.dot(vectors, axis, precision="highest") for axis in (east, north, ahead))
    u = -e * jnp.cos(angle) + n * jnp.sin(angle)
    v = e * jnp.sin(angle) + n * jnp.cos(angle)
    back = jnp.asarray(_carried(middle), jnp.float32)
    x, y = (u * back[0, k] + v * back[1, k] + c * back[2, k] for k in range(2))
    return x / ARCMIN - middle[0], y / ARCMIN - middle[1], c > 0.1


def pointed(vector: Array, x: Array, y: Array, roll: Array, middle: tuple[float, float]) -> Array:
    """(3,) pointing, as of `placed`, from which a unit vector (3,) is at x, y [arcmin]; `roll` [rad] turns the field
    about that place."""
    lm = jnp.stack([(x + middle[0]) * ARCMIN, (y + middle[1]) * ARCMIN])
    u, v, c = jnp.asarray(_carried(middle), jnp.float32) @ jnp.append(lm, jnp.sqrt(1 - jnp.sum(lm**2)))
    cos, sin, zero = jnp.cos(roll), jnp.sin(roll), jnp.zeros_like(roll)
    turn = jnp.stack([jnp.stack([cos, -sin, zero]), jnp.stack([sin, cos, zero]), jnp.stack([zero, zero, zero + 1])])
    # rows: the field's axes (the first reversed, so that the three are right-handed) and its middle, on the sky
    axes = _basis(jnp.stack([-u, v, c])) @ turn @ _basis(vector).T
    ahead, up = axes[2], axes[1]
    ra, dec = jnp.arctan2(ahead[1], ahead[0]), jnp.arctan2(ahead[2], jnp.hypot(ahead[0], ahead[1]))
    east = -jnp.sin(ra) * up[0] + jnp.cos(ra) * up[1]
    north = -jnp.sin(dec) * (jnp.cos(ra) * up[0] + jnp.sin(ra) * up[1]) + jnp.cos(dec) * up[2]
    found = jnp.rad2deg(jnp.stack([ra, dec, jnp.arctan2(east, north)]))
    return jnp.where(jnp.array([True, False, True]), found % 360, found)


def _basis(w: Array) -> Array:
    """(3, 3) rotation that turns the z axis to the unit vector w (Duff+ 2017, JCGT 6, 1)."""
    s = jnp.where(w[2] < 0, -1.0, 1.0)
    a = -1 / (s + w[2])
    b = w[0] * w[1] * a
    return jnp.stack([jnp.stack([1 + s * w[0] ** 2 * a, s * b, -s * w[0]]),
                      jnp.stack([b, s + w[1] ** 2 * a, -w[1]]), w]).T  # fmt: skip


class Softness:
    """Flux in 0.5-4 keV [mCrab] over that in 2-10 keV [erg/cm2/s], both behind the absorption, by spectrum: tables of
    `Spectrum.flux`, straight between their logarithms, within 2 % of it."""

    def __init__(self) -> None:
        self._log = _softness()

    def __call__(self, family: Array, shape: Array, nh: Array) -> Array:
        at = []
        for grid, value in ((_SHAPES, shape), (_COLUMNS, nh)):
            step = math.log(grid[1] / grid[0])
            at.append(jnp.clip((jnp.log(jnp.maximum(value, 1e-6)) - math.log(grid[0])) / step, 0, len(grid) - 1.001))
        i, j = (jnp.floor(v).astype(jnp.int32) for v in at)
        a, b = at[0] - i, at[1] - j
        t = jnp.asarray(self._log)
        low = t[family, i, j] * (1 - b) + t[family, i, j + 1] * b
        high = t[family, i + 1, j] * (1 - b) + t[family, i + 1, j + 1] * b
        return jnp.exp(low * (1 - a) + high * a)


@cache
def _softness() -> np.ndarray:
    table = np.empty((len(FAMILIES), len(_SHAPES), len(_COLUMNS)), np.float32)
    for f, family in enumerate(FAMILIES):
        for s, shape in enumerate(_SHAPES):
            for c, nh in enumerate(_COLUMNS):
                source = Spectrum(family, float(shape), nh=float(nh))  # type: ignore[arg-type]
                table[f, s, c] = math.log(to_mcrab(source.flux()) / source.flux(*BAND))
    return table


def spectra_of(source: Array, galactic: Mapping[str, Array], other: Mapping[str, Array]) -> dict[str, Array]:
    """`family`, `shape` and `nh` of sources of the kinds `source`, from those drawn for Galactic and for extragalactic
    ones: the Crab's where FIXED, and none so soft where GIVEN that its flux above 2 keV would say nothing of it."""
    known = {"family": FAMILIES.index(CRAB.kind), "shape": CRAB.shape, "nh": CRAB.nh}
    drawn = {name: jnp.where(source == EXTRAGALACTIC, other[name], galactic[name]) for name in known}
    least = jnp.array([_HARD[name] for name in FAMILIES])[drawn["family"]]
    drawn["shape"] = jnp.where(source == GIVEN, jnp.maximum(drawn["shape"], least), drawn["shape"])
    return {name: jnp.where(source == FIXED, known[name], drawn[name]) for name in known}
