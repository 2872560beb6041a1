"""The filter: from the exposures of a night to the state after each, and from a state to the next exposure.

Heavy tails make the exact posterior a mixture that grows with every exposure. After each it is replaced by the one
normal distribution of the same mean and covariance (the generalised pseudo-Bayes filter of first order: Ackerson & Fu
1970, IEEE Trans. AC 15, 10; Harrison & Stevens 1976, JRSS B 38, 205). With one component this is Kalman's.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.observatory.forecast.model import EXPTIME, MULTIPLES, Parameters

LN_2PI = float(np.log(2 * np.pi))
FAR = 1e6  # minutes: a time after which nothing is known
LONGEST_JUMP = 200.0  # minutes after which no further jump is counted
BURST = 4.0  # factor of the new variance in a burst
MOST_BURSTS = 0.2  # share of intervals that are bursts, at most: below 1 / BURST
BURST_TIME = 30.0  # minutes over which bursts average out
LARGEST_DRIFT = 1.5  # of v, either way


class State(NamedTuple):
    """Processes after an exposure: mean (.., D), covariance (.., D, D), drift v (..)."""

    mean: Array
    covariance: Array
    drift: Array


class Law(NamedTuple):
    """Parameters as the filter uses them: times and variances (D,) of the processes, ln weights (K,) of the noise."""

    times: Array
    variances: Array
    ln_weights: Array
    jump_rate: Array
    jump: Array
    step: Array
    drift_time: Array
    slew: Array
    averaging: Array
    bursts: Array


def law(p: Parameters) -> Law:
    """Law of unconstrained parameters."""
    weights = jax.nn.log_softmax(jnp.concatenate([jnp.zeros(1), p["tails"]]))
    return Law(
        jnp.exp(p["times"]), jnp.exp(2 * p["sizes"]), weights, jnp.exp(p["jump_rate"]), jnp.exp(p["jump_size"]) + 1,
        p["drift"], jnp.exp(p["drift_time"]), jnp.exp(p["slew"]), p["averaging"],
        MOST_BURSTS / (1 + jnp.exp(-p["bursts"])),
    )  # fmt: skip


def increments(each: Law, minutes: Array) -> tuple[tuple[Array, Array], ...]:
    """Factor of the processes' new variance and ln chance, (..) each: between bursts, in a burst, with a jump."""
    jump = -jnp.expm1(-each.jump_rate * jnp.clip(minutes, 0.1, LONGEST_JUMP))
    burst = each.bursts * jnp.exp(-minutes / BURST_TIME) + 1e-9
    calm = (1 - BURST * burst) / (1 - burst)
    steady = jnp.log1p(-jump)
    return (
        (calm, steady + jnp.log1p(-burst)),
        (jnp.full_like(calm, BURST), steady + jnp.log(burst)),
        (jnp.full_like(calm, 1.0) * each.jump, jnp.log(jump)),
    )


def components(each: Law, kept: Array, new: Array, noise: Array, minutes: Array) -> tuple[Array, Array]:
    """Variances and ln weights (.., 3K) of the next observation, in the order of `increments`.

    kept, new   variance of the processes that is left of the state and that has come since; noise R; all (..)
    """
    size = jnp.asarray(MULTIPLES) * noise[..., None]
    found = increments(each, minutes)
    variance = jnp.concatenate([(kept + new * factor)[..., None] + size for factor, _ in found], -1)
    return variance, jnp.concatenate([ln_chance[..., None] + each.ln_weights for _, ln_chance in found], -1)


def run(each: Law, lanes: dict[str, Array]) -> State:
    """The states after every exposure of lanes (L, T): (L, T, ..).

    lanes  residual (s less its mean), noise (R), exptime [s], gap [minutes since the exposure before; FAR at the start
           of a night], slew (change of ln airmass since), valid (False: padding, changes nothing)
    """
    dimension = len(each.times)
    half = len(MULTIPLES)

    def step(state: State, row: tuple[Array, ...]) -> tuple[State, State]:
        residual, noise, ln_time, gap, slew, valid = row
        gap = gap + each.slew * slew
        fade = jnp.exp(-gap / each.times)
        drift = state.drift * jnp.exp(-gap / each.drift_time)
        scale = jnp.exp(2 * (drift + each.averaging * ln_time))
        mean = state.mean * fade
        kept = state.covariance * fade[:, None] * fade
        new = each.variances * (1 - fade**2) * scale
        miss = residual - mean.sum()
        variance, ln_weight = components(each, kept.sum(), new.sum(), noise * scale, gap)
        ln_p = ln_weight - 0.5 * (LN_2PI + jnp.log(variance) + miss**2 / variance)
        share = jax.nn.softmax(ln_p)
        moved = jnp.zeros(dimension)
        covariance = jnp.zeros((dimension, dimension))
        for k, (factor, _) in enumerate(increments(each, gap)):
            part = slice(k * half, (k + 1) * half)
            before = kept + jnp.diag(new * factor)
            gain = before.sum(1)
            g, v = share[part], variance[part]
            moved = moved + gain * ((g / v).sum() * miss)
            covariance = covariance + before * g.sum()
            covariance = covariance + jnp.outer(gain, gain) * (g * ((miss / v) ** 2 - 1 / v)).sum()
        covariance = covariance - jnp.outer(moved, moved)
        score = (share * miss**2 / variance).sum() - 1
        after = State(mean + moved, covariance, jnp.clip(drift + each.step * score, -LARGEST_DRIFT, LARGEST_DRIFT))
        after = jax.tree.map(lambda new, old: jnp.where(valid, new, old), after, state)
        return after, after

    def lane(*rows: Array) -> State:
        start = State(jnp.zeros(dimension), jnp.diag(each.variances), jnp.zeros(()))
        return jax.lax.scan(step, start, rows)[1]

    ln_time = jnp.log(lanes["exptime"] / EXPTIME)
    return jax.vmap(lane)(lanes["residual"], lanes["noise"], ln_time, lanes["gap"], lanes["slew"], lanes["valid"])


def ahead(
    each: Law, state: State, minutes: Array, slew: Array, known: Array, noise: Array, exptime: Array
) -> tuple[Array, Array, Array]:
    """What the next observation will be, as a mixture: mean (n,) over its own mean, variances and ln weights (n, 3K).

    state    (n, ..) after the last exposure seen; `known` (n,) is False where none was
    minutes  (n,) since then, slew (n,) change of ln airmass; noise (n,) R and exptime (n,) [s] of the exposure to come
    """
    minutes = jnp.where(known, minutes + each.slew * slew, FAR)
    fade = jnp.exp(-minutes[:, None] / each.times)
    drift = jnp.where(known, state.drift * jnp.exp(-minutes / each.drift_time), 0.0)
    scale = jnp.exp(2 * (drift + each.averaging * jnp.log(exptime / EXPTIME)))
    kept = (state.covariance * fade[:, :, None] * fade[:, None, :]).sum((1, 2))
    new = (each.variances * (1 - fade**2)).sum(1) * scale
    variance, ln_weight = components(each, kept, new, noise * scale, minutes)
    return (state.mean * fade).sum(1), variance, ln_weight


class Packing(NamedTuple):
    """Nights laid end to end in lanes of like length: where (n,) rows lie, and the lanes' shape."""

    lane: np.ndarray
    slot: np.ndarray
    shape: tuple[int, int]

    def fill(self, values: np.ndarray, rest: float) -> np.ndarray:
        """(n,) values as lanes (L, T), `rest` in the padding."""
        out = np.full(self.shape, rest, np.asarray(values).dtype)
        out[self.lane, self.slot] = values
        return out


def pack(night: np.ndarray) -> Packing:
    """Lanes for rows in order of time. As many as make the longest night the measure: steps cost time, lanes little."""
    _, start, index, count = np.unique(night, return_index=True, return_inverse=True, return_counts=True)
    lanes = int(np.clip(len(night) // count.max(), 1, 64))
    filled = np.zeros(lanes, int)
    at = np.zeros((2, len(count)), int)
    for k in np.argsort(-count, kind="stable"):
        at[:, k] = lane, slot = (best := int(filled.argmin())), int(filled[best])
        filled[lane] = slot + count[k]
    longest = -(-int(filled.max()) // 64) * 64  # few shapes, few compilations
    return Packing(at[0][index], at[1][index] + np.arange(len(night)) - start[index], (lanes, longest))


def gaps(mjd: np.ndarray, night: np.ndarray) -> np.ndarray:
    """(n,) minutes since the exposure before of the same night; FAR where there is none."""
    step = np.diff(mjd, prepend=np.nan) * 1440.0
    return np.where(np.diff(night, prepend=night[:1] - 1) == 0, step, FAR)


def slews(ln_airmass: np.ndarray) -> np.ndarray:
    """(n,) change of ln airmass since the row before, without sign."""
    return np.abs(np.diff(ln_airmass, prepend=ln_airmass[:1]))
