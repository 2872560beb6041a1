"""Magnitudes in any bands from spectral energy distributions: consistent colours from the ultraviolet to 1 micron, with
redshift.

What every template of a family gives in every band at every redshift, against its r, is worked out once; a field's
magnitudes are interpolated in that table. Between two steps of a sequence the light in r is mixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.priors.bands import Band, load_bands
from twin.priors.sed_templates import REST, STEP, load_family, sequence, transmission

FAMILIES = ("galaxy", "quasar", "star")
_STRIDE = 10  # wavelength steps a redshift node
_NODES = 220  # redshift nodes, to ln(1 + z) = 2.19
MAX_REDSHIFT = float(np.expm1(STEP * _STRIDE * (_NODES - 1)))  # 7.9: farther sources are taken for this far
FAINTEST = 15.0  # mag beyond r of a band in which hardly any light is left: finite, and never seen


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Colours:
    """<f_nu> of a family's sequence against r's: (Z, T, B + 2), the last two those of g and i of SDSS."""

    ratio: Array


def relative_fluxes(spectra: np.ndarray, curves: Sequence[Band], redshifts: int = _NODES) -> np.ndarray:
    """<f_nu> (Z, T, B) in the bands of spectra (T, len(REST)) at the redshifts of the table, common factor aside.

    In ln(wavelength) a redshift is a shift: the bands move over the spectra by whole steps.
    """
    longest = len(REST) + _STRIDE * redshifts
    observed = REST[0] * np.exp(STEP * np.arange(longest))
    weights = np.stack([band(observed) for band in curves])
    weights = weights * observed**2 / weights.sum(1, keepdims=True)
    out = np.empty((redshifts, len(spectra), len(curves)))
    used = np.flatnonzero(weights.any(0))
    for k in range(redshifts):
        z = np.expm1(STEP * _STRIDE * k)
        low, high = max(used[0] - _STRIDE * k, 0), min(used[-1] + 1 - _STRIDE * k, len(REST))
        seen = observed[low + _STRIDE * k : high + _STRIDE * k]
        part = weights[:, low + _STRIDE * k : high + _STRIDE * k] * transmission(seen, z)
        out[k] = spectra[:, low:high] @ part.T
    return out


def colours(family: str, curves: Sequence[Band]) -> Colours:
    """The table of a family, one of FAMILIES, for bands."""
    reference = load_bands("sdss")
    redshifts = 2 if family == "star" else _NODES
    spectra = sequence(load_family(family))
    flux = relative_fluxes(spectra, [*curves, reference["g"], reference["i"], reference["r"]], redshifts)
    ratio = flux[..., :-1] / np.maximum(flux[..., -1:], 1e-30)
    least = 10 ** (-0.4 * FAINTEST)
    return Colours(jnp.asarray(np.clip(ratio, least, 1 / least), jnp.float32))


@lru_cache(maxsize=32)
def shipped_colours(family: str, instrument: str, bands: tuple[str, ...]) -> Colours:
    """The table for bands of an instrument whose throughputs are shipped."""
    curves = load_bands(instrument)
    return colours(family, [curves[name] for name in bands])


def at_redshift(table: Colours, z: Array) -> Array:
    """Fluxes against r (T, B + 2) at a redshift, linear in ln(1 + z); beyond the table's ends those of its ends."""
    place = jnp.clip(jnp.log1p(z) * (1 / (STEP * _STRIDE)), 0.0, table.ratio.shape[0] - 1.001)
    low = jnp.floor(place).astype(jnp.int32)
    near, far = table.ratio[low], table.ratio[low + 1]
    return near + (place - low) * (far - near)


def shares(table: Colours, z: Array, gi: Array) -> Array:
    """Shares (T,) of the light in r of two neighbours of the sequence that together have the colour g - i [AB mag] at
    redshift z; of its first or last step alone where none is that blue or red."""
    ratio = at_redshift(table, z)
    # g of each step above the g that its i asks for: falls along the sequence
    above = ratio[:, -2] - 10 ** (-0.4 * gi) * ratio[:, -1]
    steps = above.shape[0]
    k = jnp.clip(jnp.sum(above > 0) - 1, 0, steps - 2)
    drop = above[k] - above[k + 1]
    share = jnp.clip(above[k] / jnp.where(drop > 0, drop, 1.0), 0.0, 1.0)
    index = jnp.arange(steps)
    return jnp.where(index == k, 1 - share, 0.0) + jnp.where(index == k + 1, share, 0.0)


def magnitudes(table: Colours, mix: Array, z: Array, r: Array) -> Array:
    """AB magnitudes (B,) of a source of magnitude r in SDSS's r.

    mix  (T,) shares of its light in r of the steps of the sequence, of sum 1
    """
    seen = mix @ at_redshift(table, z)[:, :-2]
    return r - 2.5 * jnp.log10(seen)


def by_colour(table: Colours, r: Array, gi: Array, z: Array | float = 0.0) -> Array:
    """AB magnitudes (B, ...) of sources of magnitude r and colour g - i at redshift z, of any one shape (...) together;
    a colour beyond what the family has there is taken for the nearest that it has."""
    r, gi, redshift = jnp.broadcast_arrays(jnp.asarray(r), jnp.asarray(gi), jnp.asarray(z, jnp.float32))

    def one(r: Array, gi: Array, z: Array) -> Array:
        return magnitudes(table, shares(table, z, gi), z, r)

    if r.ndim == 0:
        return one(r, gi, redshift)
    many = jax.vmap(one, out_axes=1)(r.ravel(), gi.ravel(), redshift.ravel())
    return many.reshape(many.shape[0], *r.shape)
