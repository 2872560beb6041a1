"""What a spectrum shows of an expected one, what the pipeline says of its errors, and how likely that makes it.

With f the expected flux (after `Blur`), T the air's transmission, and c electrons for a unit of observed flux,

    mean of a pixel = f (1 + flat + fringes) + crosstalk x neighbour + sky left over / c,
    variance [electron^2] = c max(f, 0) + sky + read noise^2 + (scatter x sky lines)^2, over c^2 in flux;

c follows from the S/N of the State: the electrons N of a source pixel in the window solve N / sqrt(N + B) = snr, B
being the other terms of the variance there. Pixels are independent; counts above some tens make them Gaussian. Of the
hits of cosmic rays a share is masked; the rest add an exponential charge to their pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import log_ndtr
from jax.scipy.stats import norm

from twin.numerics.words import words
from twin.observatory.spectrograph.lsf import series
from twin.observatory.spectrograph.state import SpectrographState

FLATS = 8
_SIDE = 32  # pixels of the blocks whose means stand for the continuum beside a line
_HALO = 4  # pixels around a masked peak that go with it
_FOOT = 0.08  # of the continuum: what is less above it stays unmasked
_LEAST = 1e-3  # of the window's flux: below, a spectrum has no flux to measure an S/N by


@dataclass(frozen=True)
class Tables:
    """What is fixed of an instrument's pixels, as float32 arrays of P columns.

    u, lines (4, 3 P: twin.observatory.spectrograph.sky.sky_lines in electrons, group by group), depth (2, P), flats
    (10, P: the half waves, and fringes of phase 0 and a quarter), window (P: 1 inside), width: mean standard
    deviation of the lines of `lines` over the nominal one's series at u = 0 [AA]
    """

    u: np.ndarray
    lines: np.ndarray
    depth: np.ndarray
    flats: np.ndarray
    window: np.ndarray
    width: float


@dataclass(frozen=True)
class Noise:
    """Mean and standard deviation (P,) in flux, and electrons for a unit of flux (P,)."""

    mean: Array
    sigma: Array
    electrons: Array


def window_mean(values: Array, tables: Tables) -> Array:
    """Mean over the S/N window."""
    return values @ (tables.window / tables.window.sum())


def noise(expected: Array, state: SpectrographState, tables: Tables) -> Noise:
    """Mean and standard deviation of every pixel, see the module. Of unbatched states."""
    u = tables.u
    lost = (1 - state.air_left) * state.air
    lit = jnp.exp(series(state.throughput, u) - lost[0] * tables.depth[0] - lost[1] * tables.depth[1])
    shape = lit / window_mean(lit, tables)
    wider = 0.5 * jnp.log((state.lsf_sigma[0] ** 2 + state.lsf_blur) / tables.width**2)
    template, shifted, widened = (state.sky_lines @ tables.lines).reshape(3, -1)
    lines = jnp.maximum(template + wider * widened, 0.0) * shape
    sky = state.sky_continuum * shape + lines
    other = sky + state.read_noise**2 + (state.sky_scatter * lines) ** 2
    # the window's mean stands for the median: they agree to a few percent, and the median of a sum has no closed form
    background = window_mean(other, tables)
    wanted = 0.5 * (state.snr**2 + state.snr * jnp.sqrt(state.snr**2 + 4 * background))
    flux = jnp.abs(window_mean(expected, tables))
    flux = jnp.maximum(flux, _LEAST * jnp.max(jnp.abs(expected)) + 1e-30)
    electrons = wanted / flux * shape
    turn = 2 * jnp.pi * state.fringe[1]
    fringe = state.fringe[0] * jnp.stack([jnp.cos(turn), jnp.sin(turn)])
    response = 1 + jnp.concatenate([state.flat, fringe]) @ tables.flats
    beside = state.crosstalk * state.neighbour[0] * flux * jnp.exp(state.neighbour[1] * u)
    scale, shift, width = state.sky_residual
    left = scale * sky + (shift * shifted + width * widened) * shape
    mean = expected * response + beside + left / electrons
    variance = electrons * jnp.maximum(expected, 0.0) + other
    return Noise(mean, jnp.sqrt(variance) / electrons, electrons)


def expose(key: Array, expected: Array, state: SpectrographState, tables: Tables) -> tuple[Array, Array, Array]:
    """(flux, ivar, good), each (P,), of an expected spectrum: what the pipeline would write.

    ivar  from the observed flux, times ivar_scale; 0 where the pixel is bad, a hit that was caught, or (line_mask) an
          emission line that the pipeline took for hits. The flux of such a line is kept.
    good  pixels that have a value and no hit that was caught: it knows nothing of lines, so that it cannot tell a
          network what `ivar` would
    """
    given = noise(expected, state, tables)
    first, second = words(key, expected.shape[-1])
    uniform, chance = ((bits >> 8).astype(jnp.float32) * np.float32(2**-24) for bits in (first, second))
    deviate = np.float32(np.sqrt(2)) * jax.lax.erf_inv(2 * uniform + np.float32(2**-24 - 1))
    hits, caught = state.cosmic_rays, state.cosmic_rays * state.cosmic_caught
    flux = given.mean + given.sigma * deviate
    hit, masked = chance < hits, chance < caught
    low, high = jnp.where(masked, 0.0, caught), jnp.where(masked, caught, hits)
    part = jnp.clip((chance - low) / jnp.maximum(high - low, 1e-12), 0.0, 1 - 1e-6)
    charge = -state.cosmic_charge * jnp.log1p(-part)
    flux = flux + jnp.where(hit, charge / given.electrons, 0.0)
    bad = chance > 1 - state.bad_pixels
    flux = jnp.where(bad, 0.0, flux)
    good = ~(bad | masked)
    seen = jnp.maximum(flux, 0.0) - jnp.maximum(expected, 0.0)
    estimate = jnp.maximum(given.sigma**2 + seen / given.electrons, 0.1 * given.sigma**2)
    sigma = jnp.sqrt(estimate)
    ivar = jnp.where(good & ~_taken_for_hits(flux, sigma, state.line_mask), state.ivar_scale / estimate, 0.0)
    return flux, ivar, good


def _taken_for_hits(flux: Array, sigma: Array, threshold: Array) -> Array:
    """Pixels of lines that stand `threshold` sigma above the continuum beside them.

    The continuum is the mean of two blocks of _SIDE pixels, the second before and the second after the pixel's own.
    """
    count = flux.shape[-1]
    side = min(_SIDE, max(count // 5, 1))
    blocks = -(-count // side)
    means = jnp.mean(jnp.pad(flux, (0, blocks * side - count), mode="edge").reshape(blocks, side), -1)
    beside = jnp.pad(means, 2, mode="reflect" if blocks > 2 else "edge")
    continuum = jnp.repeat(0.5 * (beside[:-4] + beside[4:]), side, total_repeat_length=blocks * side)[:count]
    excess = flux - continuum
    peak = jnp.where(excess > threshold * sigma, 1.0, 0.0)
    # how many of the pixels within the halo are peaks, as a product with a band of ones would count them
    near = jnp.convolve(peak, jnp.ones(2 * _HALO + 1), mode="same") > 0.5
    return near & (excess > _FOOT * jnp.abs(continuum)) & jnp.isfinite(threshold)


def log_prob(
    flux: Array, expected: Array, state: SpectrographState, tables: Tables, good: Array | None = None
) -> Array:
    """Log density of the pixels' flux (P,) given the expected spectrum: that of `expose`, of the pixels in `good`.

    A pixel is Gaussian about its mean, or with the chance r of a hit that was not caught, r = hits (1 - caught) / (1 -
    hits caught - bad), the sum of that Gaussian and an exponential charge: its density is
    exp(s^2 / 2 m^2 - d / m) Phi(d / s - s / m) / m at d above the mean, with m the mean charge in flux.
    """
    given = noise(expected, state, tables)
    caught = state.cosmic_rays * state.cosmic_caught
    chance = (state.cosmic_rays - caught) / (1 - caught - state.bad_pixels)
    d, m = (flux - given.mean) / given.sigma, state.cosmic_charge / given.electrons / given.sigma
    plain = norm.logpdf(d)
    hit = 0.5 / m**2 - d / m + log_ndtr(d - 1 / m) - jnp.log(m)
    both = jnp.logaddexp(plain + jnp.log1p(-chance), hit + jnp.log(jnp.maximum(chance, 1e-30)))
    each = jnp.where(chance > 0, both, plain) - jnp.log(given.sigma)
    return jnp.sum(each if good is None else jnp.where(good, each, 0.0))
