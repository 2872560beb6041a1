"""Posterior method "ensemble": independent networks, one `vmap` over members, mapped over the devices.

Members differ in their first weights, in the order of their data and in its augmentation. The member axis is split
over the devices as far as it divides, and each member's batch over the devices that are left, so that one network on
two cores and four networks on two cores both keep them busy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from twin.train.augment import all_dihedrals, augment
from twin.train.config import TrainConfig
from twin.train.frames import channels
from twin.train.heads import head_loss, head_probability
from twin.train.network import build

Batch = dict[str, Any]
Metrics = dict[str, jax.Array]


class State(NamedTuple):
    """All that a training is at one moment; every leaf has a leading member axis.

    weights, mean   networks and the running mean of their weights; optimiser  optax state; step (member,) int32
    """

    weights: nnx.State
    mean: nnx.State
    optimiser: optax.OptState
    step: jax.Array


def device_mesh(members: int, batch: int, devices: Sequence[jax.Device]) -> Mesh:
    """Mesh (member, batch) of devices; those that divide neither stay idle."""
    across = math.gcd(members, len(devices))
    along = math.gcd(len(devices) // across, batch)
    return Mesh(np.array(devices[: across * along]).reshape(across, along), ("member", "batch"))


def schedule(config: TrainConfig) -> optax.Schedule:
    """Learning rate by step: linear warm-up, then a cosine to zero."""
    rise = min(max(1, round(config.warmup * config.steps)), config.steps)
    return optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, rise, max(config.steps, rise + 1))


def optimiser(config: TrainConfig) -> optax.GradientTransformation:
    """AdamW with clipped gradients; only matrices and kernels decay."""

    def kernels(weights: Any) -> Any:
        return jax.tree.map(lambda w: w.ndim > 1, weights)

    adam = optax.adamw(schedule(config), b2=0.99, weight_decay=config.weight_decay, mask=kernels)
    return optax.chain(optax.clip_by_global_norm(config.clip), adam)


def ensemble(config: TrainConfig, bands: int, centre: int) -> Ensemble:
    """The `Ensemble` of these arguments; the last few are kept with what was compiled for them."""
    return _ensemble(config.model_dump_json(), bands, centre)


@lru_cache(maxsize=4)
def _ensemble(config: str, bands: int, centre: int) -> Ensemble:
    return Ensemble(TrainConfig.model_validate_json(config), bands, centre)


class Ensemble:
    """The ensemble that a recipe's `train:` section describes: `init`, `step` and `predict`.

    bands   number of bands of a frame; centre  index of the band whose peak sets the scale of the linear image
    devices  None = all local ones. Use `ensemble`, which compiles equal ones once.
    """

    def __init__(
        self, config: TrainConfig, bands: int, centre: int, devices: Sequence[jax.Device] | None = None
    ) -> None:
        self.config, self.bands, self.centre = config, bands, centre
        self.mesh = device_mesh(config.members, config.batch, devices or jax.local_devices())
        self.graph = nnx.graphdef(build(config, bands, nnx.Rngs(0)))
        self.tx = optimiser(config)
        self.step = self._compile_step()
        self._forward = self._compile_forward()

    def _first(self, key: jax.Array) -> State:
        weights = nnx.state(build(self.config, self.bands, nnx.Rngs(key)), nnx.Param)
        return State(weights, weights, self.tx.init(weights), jnp.zeros((), jnp.int32))

    def keys(self, seed: int) -> jax.Array:
        """(member,) keys of first weights, augmentation and dropout."""
        return jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(jnp.arange(self.config.members))

    def init(self, keys: jax.Array) -> State:
        """The state before the first step. One member after the other: compiling them as one takes longer."""
        members = [jax.tree.map(np.asarray, self._first(key)) for key in keys]
        return self.place(jax.tree.map(lambda *leaves: np.stack(leaves), *members))

    def shapes(self) -> State:
        """Shapes and types of a state."""
        return jax.eval_shape(jax.vmap(self._first), self.keys(0))

    def place(self, state: Any) -> Any:
        """A tree with a leading member axis, laid out over the devices."""
        return jax.device_put(state, NamedSharding(self.mesh, P("member")))

    def place_batch(self, batch: Batch) -> Batch:
        """Arrays (member, batch, ...) laid out over the devices."""
        return jax.device_put(batch, NamedSharding(self.mesh, P("member", "batch")))

    def _compile_step(self) -> Callable[[State, Batch, jax.Array], tuple[State, Metrics]]:
        member = jax.vmap(self._member_step)
        sharded = jax.shard_map(
            member,
            mesh=self.mesh,
            in_specs=(P("member"), P("member", "batch"), P("member")),
            out_specs=P("member"),
            check_vma=False,
        )
        return jax.jit(sharded)

    def _member_step(self, state: State, batch: Batch, key: jax.Array) -> tuple[State, Metrics]:
        """One optimiser step of one member on its share of the batch; gradients are averaged over the shares."""
        config = self.config
        here = jax.random.fold_in(jax.random.fold_in(key, state.step), jax.lax.axis_index("batch"))
        change, drop = jax.random.split(here)
        counts = batch["frame"].astype(jnp.float32) * batch["scale"][:, :, None, None]
        counts, rms = augment(change, counts, batch["rms"], config.crop, config.augment)
        inputs = channels(counts, rms, self.centre)

        def loss(weights: nnx.State) -> tuple[jax.Array, Metrics]:
            logits = nnx.merge(self.graph, weights)(inputs, drop)
            parts = {name: head_loss(head, logits[name], batch[name]) for name, head in config.heads.items()}
            return sum((config.heads[name].weight * part for name, part in parts.items()), jnp.zeros(())), parts

        gradient, parts = jax.grad(loss, has_aux=True)(state.weights)
        gradient, parts = jax.lax.pmean((gradient, parts), "batch")
        update, optimiser_state = self.tx.update(gradient, state.optimiser, state.weights)
        weights = optax.apply_updates(state.weights, update)
        # a mean over few steps at first, so that the random first weights are soon forgotten
        decay = jnp.minimum(config.ema, (1 + state.step) / (10 + state.step)) if config.ema else 0.0
        mean = jax.tree.map(lambda m, w: w + decay * (m - w), state.mean, weights)
        return State(weights, mean, optimiser_state, state.step + 1), parts

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
