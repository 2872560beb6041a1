"""What every training of several networks at once shares: their states, how they lie on the devices, and a step.

Members differ in their first weights, in the order of their data and in its augmentation. The member axis is split
over the devices as far as it divides, and each member's batch over the devices that are left, so that one network on
two cores and four networks on two cores both keep them busy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

Batch = dict[str, Any]
Metrics = dict[str, jax.Array]


class Fitting(Protocol):
    """What of a `train:` section says how to fit (`twin.train.config.TrainConfig` tells what each means)."""

    @property
    def members(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def minutes(self) -> float: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def clip(self) -> float: ...
    @property
    def warmup(self) -> float: ...
    @property
    def ema(self) -> float: ...
    @property
    def checkpoint_seconds(self) -> float: ...


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


def schedule(config: Fitting) -> optax.Schedule:
    """Learning rate by step: linear warm-up, then a cosine to zero."""
    rise = min(max(1, round(config.warmup * config.steps)), config.steps)
    return optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, rise, max(config.steps, rise + 1))


def optimiser(config: Fitting) -> optax.GradientTransformation:
    """AdamW with clipped gradients; only matrices and kernels decay."""

    def kernels(weights: Any) -> Any:
        return jax.tree.map(lambda w: w.ndim > 1, weights)

    adam = optax.adamw(schedule(config), b2=0.99, weight_decay=config.weight_decay, mask=kernels)
    return optax.chain(optax.clip_by_global_norm(config.clip), adam)


class Members:
    """Networks that are fitted together: `init` and `step`. Who inherits says what a network is (`network`) and what
    its loss is (`losses`), and sets what these need before this class's `__init__` is called.

    devices  None = all local ones
    """

    def __init__(self, config: Fitting, devices: Sequence[jax.Device] | None = None) -> None:
        self.config: Any = config
        self.mesh = device_mesh(config.members, config.batch, devices or jax.local_devices())
        self.graph = nnx.graphdef(self.network(nnx.Rngs(0)))
        self.tx = optimiser(config)
        self.step = self._compile_step()

    def network(self, rngs: nnx.Rngs) -> nnx.Module:
        """A network with its first weights."""
        raise NotImplementedError

    def losses(self, weights: nnx.State, batch: Batch, key: jax.Array) -> tuple[jax.Array, Metrics]:
        """What a step makes smaller, and its parts, of one member's share of a batch."""
        raise NotImplementedError

    def _first(self, key: jax.Array) -> State:
        weights = nnx.state(self.network(nnx.Rngs(key)), nnx.Param)
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
        gradient, parts = jax.grad(self.losses, has_aux=True)(state.weights, batch, here)
        gradient, parts = jax.lax.pmean((gradient, parts), "batch")
        update, optimiser_state = self.tx.update(gradient, state.optimiser, state.weights)
        weights = optax.apply_updates(state.weights, update)
        # a mean over few steps at first, so that the random first weights are soon forgotten
        decay = jnp.minimum(config.ema, (1 + state.step) / (10 + state.step)) if config.ema else 0.0
        mean = jax.tree.map(lambda m, w: w + decay * (m - w), state.mean, weights)
        return State(weights, mean, optimiser_state, state.step + 1), parts
