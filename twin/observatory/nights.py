"""Nights of telemetry drawn from an instrument's channel models: correlated in time, independent between nights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.observatory.telemetry import Channel

_STREAM = 0x7E1E  # keeps these keys apart from those of shards, which fold small integers into the same seed
_ROWS = 1 << 16  # exposures a call draws at most: bounds memory, and one compiled shape serves any number


def draw(
    channels: tuple[Channel, ...], exposures: int, cadence: float, seed: int, n: int, start: int = 0
) -> np.ndarray:
    """Exposures start .. start + n - 1 of the endless sequence of nights that belongs to `seed`: (n, C) float32.

    A night holds `exposures` exposures, `cadence` seconds apart; night k uses fold_in(key(seed), k), so that a row
    depends on (seed, its index) alone. The deviate of a channel is
        z(t) = sqrt(night) a + sum_j sqrt(share_j) x_j(t) + sqrt(rest) w(t)
    with Ornstein-Uhlenbeck processes, corr[x_j(t), x_j(s)] = exp(-abs(t - s) / time_j), and corr[z_b, z_c] of two bands
    b, c of one channel is between_bands.
    """
    first, last = start // exposures, -(-(start + n) // exposures)
    batch = max(1, _ROWS // exposures)
    nights = _nights(channels, exposures, float(cadence))
    key = jax.random.fold_in(jax.random.key(seed), _STREAM)
    rows = np.empty((max(last - first, 0) * exposures, len(channels)), np.float32)
    for begin in range(first, last, batch):
        numbers = jnp.arange(begin, begin + batch, dtype=jnp.uint32)
        drawn = np.asarray(nights(key, numbers)).reshape(-1, len(channels))
        at = (begin - first) * exposures
        rows[at : at + len(drawn)] = drawn[: len(rows) - at]
    skip = start - first * exposures
    return rows[skip : skip + n]


@lru_cache(maxsize=16)
def _nights(channels: tuple[Channel, ...], exposures: int, cadence: float) -> Callable[[Array, Array], Array]:
    """Compiled (key, night numbers (N,)) -> telemetry (N, exposures, C)."""
    sources, mix = _sources(channels)
    drifts = [(i, j) for i, c in enumerate(sources) for j in range(len(c.drift))]
    night = jnp.asarray([c.night for c in sources], jnp.float32)
    rest = jnp.asarray([max(0.0, 1 - c.night - sum(s for s, _ in c.drift)) for c in sources], jnp.float32)
    share = jnp.asarray([sources[i].drift[j][0] for i, j in drifts], jnp.float32)
    rho = jnp.asarray([np.exp(-cadence / sources[i].drift[j][1]) for i, j in drifts], jnp.float32)
    owner = jnp.asarray([i for i, _ in drifts], jnp.int32)

    def one(key: Array, number: Array) -> Array:
        k_night, k_drift, k_rest = jax.random.split(jax.random.fold_in(key, number), 3)
        z = jnp.sqrt(night) * jax.random.normal(k_night, night.shape)
        z = z + jnp.sqrt(rest) * jax.random.normal(k_rest, (exposures, len(sources)))
        if drifts:
            noise = jax.random.normal(k_drift, (exposures, len(drifts)))

            def step(x: Array, e: Array) -> tuple[Array, Array]:
                x = rho * x + jnp.sqrt(1 - rho * rho) * e
                return x, x

            _, rest_of_night = jax.lax.scan(step, noise[0], noise[1:])
            x = jnp.concatenate([noise[:1], rest_of_night]) * jnp.sqrt(share)
            z = z.at[:, owner].add(x)
        return z @ mix.T

    @jax.jit
    def nights(key: Array, numbers: Array) -> Array:
        return from_deviates(channels, jax.vmap(one, (None, 0))(key, numbers))

    return nights


def _sources(channels: Sequence[Channel]) -> tuple[list[Channel], Array]:
    """Independent processes and the (C, sources) matrix that makes the channels' deviates of them.

    Bands of a channel share one process with weight sqrt(between_bands) and keep one of their own.
    """
    sources: list[Channel] = []
    entries: list[tuple[int, int, float]] = []
    common: dict[str, int] = {}
    for row, channel in enumerate(channels):
        if channel.law == "constant":
            continue
        if channel.between_bands > 0:
            if channel.kind not in common:
                common[channel.kind] = len(sources)
                sources.append(channel)
            entries.append((row, common[channel.kind], channel.between_bands**0.5))
        if channel.between_bands < 1:
            entries.append((row, len(sources), (1 - channel.between_bands) ** 0.5))
            sources.append(channel)
    mix = np.zeros((len(channels), len(sources)), np.float32)
    for row, column, weight in entries:
        mix[row, column] = weight
    return sources, jnp.asarray(mix)


def from_deviates(channels: Sequence[Channel], z: Array) -> Array:
    """Channel values (..., C) of standard normal deviates z (..., C), clipped to each channel's range."""

    def row(name: str) -> Array:
        return jnp.asarray([getattr(c, name) for c in channels], jnp.float32)

    def where(law: str) -> Array:
        return jnp.asarray([c.law == law for c in channels])

    low, high, centre, sigma, shift = map(row, ("low", "high", "centre", "sigma", "shift"))
    linear = centre + sigma * z
    scale = jnp.exp(jnp.where(where("lognormal"), sigma * z, 0.0))
    value = jnp.where(where("lognormal"), shift + (centre - shift) * scale, linear)
    value = jnp.where(where("uniform"), low + (high - low) * jax.scipy.special.ndtr(z), value)
    within = jnp.clip(value, low, high)
    for i, channel in enumerate(channels):
        if channel.above is not None:
            total = jnp.clip(value[..., i] + within[..., channel.above], channel.low, channel.high)
            within = within.at[..., i].set(total)
    return within
