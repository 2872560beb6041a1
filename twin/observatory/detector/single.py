"""One exposure through the detector, effect after effect, in the order in which they happen."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from twin.numerics.poisson import poisson
from twin.observatory.detector import (
    brighter_fatter,
    charge_transfer,
    cosmic_rays,
    electronics,
    maps,
    persistence,
    place,
    well,
)
from twin.observatory.detector.config import DetectorConfig
from twin.observatory.detector.place import Place
from twin.observatory.state import ImagerState

SATURATED, HOT, DEAD, COSMIC, PERSISTENT = 1, 2, 4, 8, 16
FLAGS = {"saturated": SATURATED, "hot": HOT, "dead": DEAD, "cosmic": COSMIC, "persistent": PERSISTENT}
_SEEN = 3.0  # times the read noise: charge of a cosmic ray, or afterglow, that is flagged

# streams of random numbers beside those of photons and read noise, whose values no effect changes
_PLACE, _RAYS, _GHOSTS, _ROWS, _OVERSCAN = range(101, 106)


def expose_single(
    key: Array, expected: Array, state: ImagerState, detector: DetectorConfig | None = None, at: Place | None = None
) -> Array:
    """Raw counts (B, npix, npix) of one exposure, sky and bias included, for an expected image above the sky [count].

    Without `detector`, or where it names no effect: (Poisson(gain (signal + sky) + dark) + read noise) / gain + bias,
    cut at 0 and at saturation, whole. Otherwise in this order: response and dark current of each pixel, afterglow,
    photons, brighter-fatter, cosmic rays, full wells, charge transfer, non-linearity, read noise, gain, crosstalk,
    bias, converter, overscan. A frame summed of several reads is taken as one with wells so many times as deep. `at`:
    where on the detector the frame lies; default: its `position`, or drawn with the key. What lies around the frame
    counts as empty sky. Raises UserError for a frame larger than the detector.
    """
    return _read(key, expected, state, detector, at)[0]


def flags(
    key: Array, expected: Array, state: ImagerState, detector: DetectorConfig | None = None, at: Place | None = None
) -> Array:
    """What is wrong with each pixel of the frame that `expose_single` makes of the same arguments: (B, npix, npix)
    uint8, a sum of SATURATED (full well or converter, bled pixels too), HOT, DEAD, COSMIC and PERSISTENT."""
    return _read(key, expected, state, detector, at)[1]


def _read(
    key: Array, expected: Array, state: ImagerState, detector: DetectorConfig | None, at: Place | None
) -> tuple[Array, Array]:
    """Counts and flags."""
    photon_key, read_key = jax.random.split(key)
    if detector is None or not detector.effects:
        rate = _rate(expected, state) + state.dark[:, None, None]
        noise = state.read_noise[:, None, None] * jax.random.normal(read_key, expected.shape, jnp.float32)
        counts = (poisson(photon_key, rate) + noise) / state.gain[:, None, None] + state.bias[:, None, None]
        top = state.saturation[:, None, None]
        return jnp.round(jnp.clip(counts, 0.0, top)), jnp.where(counts >= top, SATURATED, 0).astype(jnp.uint8)

    at = place.draw(jax.random.fold_in(key, _PLACE), expected.shape, detector) if at is None else at
    charge, around, flagged = _collect(key, photon_key, expected, state, detector, at)
    full = detector.saturation * state.reads
    if detector.transfer is not None:
        charge = charge_transfer.transfer(charge, at, full, around, detector)
    if detector.nonlinearity:
        charge = electronics.bend(charge, full[:, None, None], detector.nonlinearity)
    noise = electronics.read_noise(state, at, detector) * jax.random.normal(read_key, expected.shape, jnp.float32)
    gain = electronics.gain(state, at, detector)
    if electronics.split(detector).crosstalk is not None:
        counts = electronics.crosstalk(charge / gain, around / state.gain, at, detector) + noise / gain
    else:
        counts = (charge + noise) / gain
    pixels, rows = electronics.bias(jax.random.fold_in(key, _ROWS), state, at, detector)
    counts = counts + (pixels + rows[:, :, None])
    top = electronics.top(state, at, detector)
    flagged = flagged | jnp.where(counts >= top, SATURATED, 0).astype(jnp.uint8)
    counts = jnp.round(jnp.clip(counts, 0.0, top))
    if detector.overscan is not None and detector.overscan.subtract:
        strip = electronics.overscan(jax.random.fold_in(key, _OVERSCAN), state, rows, at, detector)
        counts = electronics.corrected(counts, strip, state, at, detector)
        counts = jnp.round(jnp.clip(counts, 0.0, electronics.SIXTEEN_BITS))
    return counts, flagged


def _rate(expected: Array, state: ImagerState) -> Array:
    """Light [electron], (B, ny, nx)."""
    return (jnp.maximum(expected, 0) + state.sky[:, None, None]) * state.gain[:, None, None]


def _collect(
    key: Array, photon_key: Array, expected: Array, state: ImagerState, detector: DetectorConfig, at: Place
) -> tuple[Array, Array, Array]:
    """Charge (B, ny, nx) in the pixels when the shutter closes, that of empty sky (B,) [electron], and flags."""
    shape = expected.shape
    seen = _SEEN * electronics.read_noise(state, at, detector)
    flagged = HOT * maps.hot(at, detector).astype(jnp.uint8) | DEAD * maps.dead(at, detector).astype(jnp.uint8)
    light, dark = _rate(expected, state), state.dark[:, None, None]
    if detector.flat_field is not None:
        light = light * maps.response(at, detector)
    if detector.dark_pattern is not None:
        dark = dark * maps.dark_factor(at, detector)
    rate = light + dark
    if detector.persistence is not None:
        filled = persistence.ghosts(jax.random.fold_in(key, _GHOSTS), shape, detector.persistence)
        after = persistence.afterglow(filled, state.exptime, detector.persistence)
        flagged = flagged | jnp.where(after > seen, PERSISTENT, 0).astype(jnp.uint8)
        rate = rate + after
    charge, around = poisson(photon_key, rate), state.sky * state.gain + state.dark
    full = (detector.saturation * state.reads)[:, None, None]
    if detector.brighter_fatter is not None:
        charge = brighter_fatter.displace(charge, around, full, detector.brighter_fatter)
    if detector.cosmic_rays is not None:
        rays = cosmic_rays.deposit(jax.random.fold_in(key, _RAYS), shape, state.exptime, detector)
        flagged = flagged | jnp.where(rays > seen, COSMIC, 0).astype(jnp.uint8)
        charge = charge + rays
    flagged = flagged | jnp.where(charge >= full, SATURATED, 0).astype(jnp.uint8)
    if detector.bleeding is not None:
        charge = well.bleed(charge, full, detector.bleeding.up)
        flagged = flagged | jnp.where(charge >= 0.999 * full, SATURATED, 0).astype(jnp.uint8)
    elif detector.transfer is not None or detector.nonlinearity:
        charge = jnp.minimum(charge, full)
    return charge, around, flagged
