"""A program's samples in batches over a mesh of all local devices: compiled once a class, whatever the number asked."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from twin.observatory import detector
from twin.observatory.state import ImagerState
from twin.recipe.program import Program, Sample

MICROBATCH = 64  # samples a device works on at a time; fixed, so that results do not depend on the number of devices
QUANTUM = 0.25  # of the noise, the step in which sky-subtracted stacks are stored


def vectorised(bands: int) -> int:
    """Samples that are vectorised together: more fill matrix products better, fewer fit in the L2 cache."""
    return 16 if bands == 1 else 8


class Batches:
    """The compiled programs of a recipe's classes."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._mesh = Mesh(np.array(jax.local_devices()), ("batch",))

    def run(self, cls: str, seed: int, shard: int, index: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Samples `index` (n,) of a shard, all of one class, with telemetry rows (n, C); {} for none.

        Where the recipe selects, samples that fail are drawn again; label/tries becomes the try that was accepted, 0
        where none was.
        """
        out = self._draw(cls, seed, shard, index, rows, 0)
        if not out or self._program.criteria(cls) is None:
            return out
        for attempt in range(1, self._program.tries):
            again = np.flatnonzero(out["label/tries"] == 0)
            if len(again) == 0:
                break
            drawn = self._draw(cls, seed, shard, index[again], rows[again], attempt)
            drawn["label/tries"] *= attempt + 1
            for name, values in out.items():
                values[again] = drawn[name]
        return out

    def _draw(
        self, cls: str, seed: int, shard: int, index: np.ndarray, rows: np.ndarray, attempt: int
    ) -> dict[str, np.ndarray]:
        """One try at each of the samples."""
        step = MICROBATCH * self._mesh.size
        pending = []
        for begin in range(0, len(index), step):
            part = slice(begin, begin + step)
            pad = step - len(index[part])  # remainders are padded: the compiled shape never changes
            ids, table = np.pad(index[part], (0, pad)), np.pad(rows[part], ((0, pad), (0, 0)), mode="edge")
            numbers = np.uint32(seed), np.uint32(shard), np.uint32(attempt)
            pending.append(self._compiled[cls](*numbers, ids.astype(np.uint32), table))
        if not pending:
            return {}
        host = jax.device_get(pending)
        return {name: np.concatenate([p[name] for p in host])[: len(index)] for name in host[0]}

    @cached_property
    def _compiled(self) -> dict[str, Any]:
        """The compiled program of each class: (seed, shard, try, index (N,), telemetry (N, C)) -> arrays with leading
        axis N."""
        size, classes = MICROBATCH * self._mesh.size, self._program.classes
        shapes = (
            *3 * (jax.ShapeDtypeStruct((), jnp.uint32),),
            jax.ShapeDtypeStruct((size,), jnp.uint32),
            jax.ShapeDtypeStruct((size, len(self._program.instrument.channel_names)), jnp.float32),
        )
        lowered = [self._jitted(cls).lower(*shapes) for cls in classes]
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # XLA compiles one program on one core
            return dict(zip(classes, pool.map(lambda program: program.compile(), lowered), strict=True))

    def _jitted(self, cls: str) -> Any:
        def one(seed: Array, shard: Array, attempt: Array, index: Array, exposure: Array) -> dict[str, Array]:
            key = self._program.key(cls, seed, shard, index, attempt)
            sample, state = self._program.sample(key, exposure, cls), self._program.state(exposure)
            return stored(sample, state, self._program.stacked, self._program.instrument.config.detector)

        inner = vectorised(len(self._program.bands))

        def block(seed: Array, shard: Array, attempt: Array, index: Array, exposures: Array) -> dict[str, Array]:
            return jax.lax.map(lambda a: one(seed, shard, attempt, *a), (index, exposures), batch_size=inner)

        spread, same = PartitionSpec("batch"), PartitionSpec()
        specs = (same, same, same, spread, spread)
        return jax.jit(jax.shard_map(block, mesh=self._mesh, in_specs=specs, out_specs=spread, check_vma=False))


def stored(
    sample: Sample, state: ImagerState, stacked: bool, effects: detector.DetectorConfig | None = None
) -> dict[str, Array]:
    """A sample in the types in which it is stored."""
    rms = detector.noise_rms(state, stacked, effects)
    out = {"noise/rms": rms, "noise/gain": state.gain, "truth": sample.truth}
    if stacked:
        scale = rms * QUANTUM
        steps = jnp.clip(jnp.round(sample.frame / scale[:, None, None]), -32767, 32767)
        out |= {"frame": steps.astype(jnp.int16), "noise/scale": scale}
    else:
        sky = detector.level(state)
        frame = sample.frame.astype(jnp.uint16)  # whole, from 0 to saturation
        out |= {"frame": frame, "noise/scale": jnp.ones_like(sky), "noise/sky": sky}
    return out | {f"label/{name}": value for name, value in sample.label.items()}
