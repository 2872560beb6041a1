"""Poisson draws for images a CPU second, beside `jax.random.poisson` in the same run and on the same rates.

    python benchmarks/poisson.py

Eight frames of 64x64 pixels in three bands at a time, as a simulation vectorises them: `poisson_vs_jax` at 100 e- a
pixel, the others at a tenth, at ten thousand, and at rates from 0.01 to 10^5 mixed at random. Compiled programs are
warm; the time is that of the process on all its cores, the median of the runs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from _report import figure

from twin.numerics.devices import setup_devices

SHAPE, RUNS = (8, 3, 64, 64), 15


def main() -> None:
    setup_devices(1)
    import jax
    import jax.numpy as jnp
    from jax import Array

    from twin.numerics.poisson import poisson

    keys = jax.random.split(jax.random.key(0), SHAPE[0])

    def draws_per_second(sampler: Callable[[Array, Array], Array], rates: Array) -> float:
        run = jax.jit(jax.vmap(sampler))
        run(keys, rates).block_until_ready()
        seconds = []
        for _ in range(RUNS):
            begin = time.process_time()
            run(keys, rates).block_until_ready()
            seconds.append(time.process_time() - begin)
        return rates.size / statistics.median(seconds)

    mixed = 10 ** np.random.default_rng(0).uniform(-2, 5, SHAPE)
    levels = {"": 100.0, "_faint": 0.1, "_bright": 1e4, "_mixed": mixed}
    for name, level in levels.items():
        rates = jnp.asarray(np.broadcast_to(level, SHAPE), jnp.float32)
        ours, theirs = (draws_per_second(f, rates) for f in (poisson, jax.random.poisson))
        figure(f"poisson_vs_jax{name}", ours, "draws/CPU s", "jax.random.poisson", theirs)


if __name__ == "__main__":
    main()
