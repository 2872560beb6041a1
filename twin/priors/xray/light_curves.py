"""Light curves of transients as relative rates, and arrival times drawn from them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array


def fred(time: Array, rise: float | Array, fall: float | Array) -> Array:
    """Fast rise, exponential decay: exp(2 sqrt(a/b) - a/t - t/b), a = `rise`, b = `fall` [s], 1 at its peak sqrt(a b)
    (Norris+ 2005, ApJ 627, 324). Zero before t = 0."""
    t = jnp.maximum(jnp.asarray(time), 1e-6)
    return jnp.where(jnp.asarray(time) > 0, jnp.exp(2 * jnp.sqrt(rise / fall) - rise / t - t / fall), 0.0)


def decay(time: Array, start: float | Array, index: float | Array) -> Array:
    """Power-law decay (t / start)^-index from `start` [s] on, 1 there, zero before: afterglows, tidal disruptions (5/3:
    Rees 1988, Nature 333, 523)."""
    t = jnp.asarray(time)
    return jnp.where(t >= start, (jnp.maximum(t, start) / start) ** -index, 0.0)


def shock_breakout(time: Array, rise: float | Array = 63.0, fall: float | Array = 129.0) -> Array:
    """Linear rise to 1 in `rise` [s] and exponential decay with `fall` [s]: SN 2008D's (Soderberg+ 2008, Nature 453,
    469: 63 s to the peak, an e-folding time of 129 s)."""
    t = jnp.asarray(time)
    return jnp.where(t < rise, jnp.clip(t / rise, 0.0, 1.0), jnp.exp(-jnp.maximum(t - rise, 0.0) / fall))


def arrival_times(key: Array, grid: Array, rate: Array, count: int) -> Array:
    """(count,) arrival times of photons whose rate runs straight between its values on `grid` (n,) [s].

    By inversion: the step from the running integral, the place within it from its quadratic.
    """
    width = jnp.diff(grid)
    area = jnp.concatenate([jnp.zeros(1), jnp.cumsum(0.5 * (rate[1:] + rate[:-1]) * width)])
    target = jax.random.uniform(key, (count,), jnp.float32) * area[-1]
    step = jnp.clip(jnp.searchsorted(area, target, side="right") - 1, 0, len(width) - 1)
    left, slope = rate[step], (rate[step + 1] - rate[step]) / width[step]
    part = target - area[step]
    root = jnp.sqrt(jnp.maximum(left**2 + 2 * slope * part, 0.0))
    return grid[step] + jnp.clip(2 * part / jnp.maximum(left + root, 1e-30), 0.0, width[step])
