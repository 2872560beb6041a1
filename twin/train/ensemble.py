"""Posterior method "ensemble": independent networks, one `vmap` over members, mapped over the devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import PartitionSpec as P

from twin.train.augment import all_dihedrals, augment
from twin.train.config import TrainConfig
from twin.train.frames import channels
from twin.train.heads import head_loss, head_probability
from twin.train.members import Batch, Members, Metrics
from twin.train.network import build


def ensemble(config: TrainConfig, bands: int, centre: int) -> Ensemble:
    """The `Ensemble` of these arguments; the last few are kept with what was compiled for them."""
    return _ensemble(config.model_dump_json(), bands, centre)


@lru_cache(maxsize=4)
def _ensemble(config: str, bands: int, centre: int) -> Ensemble:
    return Ensemble(TrainConfig.model_validate_json(config), bands, centre)


class Ensemble(Members):
    """The ensemble that a recipe's `train:` section describes: `init`, `step` and `predict`.

    bands   number of bands of a frame; centre  index of the band whose peak sets the scale of the linear image
    devices  None = all local ones. Use `ensemble`, which compiles equal ones once.
    """

    config: TrainConfig

    def __init__(
        self, config: TrainConfig, bands: int, centre: int, devices: Sequence[jax.Device] | None = None
    ) -> None:
        self.config, self.bands, self.centre = config, bands, centre
        super().__init__(config, devices)
        self._forward = self._compile_forward()

    def network(self, rngs: nnx.Rngs) -> nnx.Module:
        return build(self.config, self.bands, rngs)

    def losses(self, weights: nnx.State, batch: Batch, key: jax.Array) -> tuple[jax.Array, Metrics]:
        config = self.config
        change, drop = jax.random.split(key)
        counts = batch["frame"].astype(jnp.float32) * batch["scale"][:, :, None, None]
        counts, rms = augment(change, counts, batch["rms"], config.crop, config.augment)
        logits = nnx.merge(self.graph, weights)(channels(counts, rms, self.centre), drop)
        parts = {name: head_loss(head, logits[name], batch[name]) for name, head in config.heads.items()}
        return sum((config.heads[name].weight * part for name, part in parts.items()), jnp.zeros(())), parts

    def _compile_forward(self) -> Callable[[nnx.State, Any, Any], dict[str, jax.Array]]:
        heads = self.config.heads

        def member(weights: nnx.State, counts: jax.Array, rms: jax.Array) -> dict[str, jax.Array]:
            turned = all_dihedrals(counts) if self.config.augment.flip else counts[None]
            turns, n = turned.shape[:2]
            inputs = channels(turned.reshape(-1, *counts.shape[1:]), jnp.tile(rms, (turns, 1)), self.centre)
            logits = nnx.merge(self.graph, weights)(inputs)
            return {
                name: head_probability(head, logits[name].reshape(turns, n, -1).mean(axis=0))
                for name, head in heads.items()
            }

        return jax.jit(
            jax.shard_map(
                jax.vmap(member, in_axes=(0, None, None)),
                mesh=self.mesh,
                in_specs=(P("member"), P("batch"), P("batch")),
                out_specs=P("member", "batch"),
                check_vma=False,
            )
        )

    def predict(self, weights: nnx.State, counts: np.ndarray, rms: np.ndarray) -> dict[str, np.ndarray]:
        """{head: (member, n) or (member, n, outputs)} probabilities, from logits averaged over the eight flips
        and turns: a network that is exactly blind to them, and sharper than the mean of eight probabilities.

        counts  (n, band, size, size); rms (n, band). Always run in blocks of `batch` frames, the last one padded, so
        that what is said of a frame does not depend on its company.
        """
        block = self.config.batch
        parts = []
        for start in range(0, max(len(counts), 1), block):
            held = len(counts[start : start + block])
            frames = np.zeros((block, *counts.shape[1:]), np.float32)
            noise = np.ones((block, rms.shape[1]), np.float32)
            frames[:held], noise[:held] = counts[start : start + block], rms[start : start + block]
            found = self._forward(weights, frames, noise)
            parts.append({name: np.asarray(value)[:, :held] for name, value in found.items()})
        return {name: np.concatenate([part[name] for part in parts], axis=1) for name in self.config.heads}
