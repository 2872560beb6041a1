"""Priors + simulator + instrument as one NumPyro program."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax import Array
from numpyro import handlers

from twin.numerics.fourier import Grid
from twin.observatory import detector
from twin.observatory.state import ImagerState
from twin.priors.fields import Prior, Truth
from twin.priors.laws import count_draws, quantile_draws
from twin.recipe import selection
from twin.recipe.config import RecipeConfig, absolute_paths, read_colours, read_config, read_instrument, read_table
from twin.schema import Node, validate
from twin.simulators.base import Canvas, Setup, Simulator, simulator


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sample:
    """One simulated exposure: frame (B, y, x) [count, float32], labels, and the truth as a flat vector (P,)."""

    frame: Array
    label: dict[str, Array]
    truth: Array


class Program:
    """A validated recipe as a program. Raises UserError with file, line and key for whatever its YAML has wrong.

    node         the recipe as YAML    config  the same, validated    instrument  Imager
    simulator    the physics, built for this recipe
    bands        of the frames         classes  those with a share, in the simulator's order
    table        telemetry (n, C) of the user's exposures; None = nights are drawn
    truth_names  of the truth vector: every parameter of every class, those with one value a band as name_band
    """

    def __init__(self, node: Node) -> None:
        self.config: RecipeConfig = read_config(node)
        self.node = absolute_paths(node, self.config)
        self.name = self.config.name
        self.instrument = read_instrument(self.node, self.config)
        self.bands = self.config.bands
        self.pixel_scale = self.instrument.pixel_scale
        self._index = np.array([self.instrument.bands.index(b) for b in self.bands])
        frame, physics = self.config.frame, simulator(self.config.simulator)
        self.classes = tuple(name for name in physics.classes if self.config.classes.get(name, 0) > 0)
        wavelengths = np.array([self.instrument.optics.wavelengths[i] for i in self._index]) * 1e9
        section = self.node.at("scene") if self.config.scene else Node({}, self.node.file, self.node.marks)
        options = validate(physics.options, section)
        self.simulator: Simulator = physics(Setup(self.bands, wavelengths, frame.npix, self.pixel_scale, options))
        self.laws = Prior(
            {name: law.distribution() for name, law in self.config.prior.items()},
            wavelengths,
            0.5 * frame.npix * self.pixel_scale,
            read_colours(self.node, self.config, self.instrument),
        )
        self._shapes, self._draws = self._check_prior()
        self.truth_names = tuple(full for name, shape in self._shapes.items() for full in self._flat_names(name, shape))
        self.table = read_table(self.node, self.instrument)
        optics = self.instrument.optics
        optics = replace(optics, wavelengths=tuple(optics.wavelengths[i] for i in self._index))
        if self.table is not None:
            given = self.instrument.optics_of(self.table)
            optics = replace(optics, stroke=given.stroke, max_r0=given.max_r0, reach=given.reach)
        self.optics = optics
        limit = optics.limit(self.pixel_scale)
        grid = Grid(frame.npix, self.pixel_scale, frame.factor, frame.pad, graded=True, limit=limit)
        selects = self.config.selection is not None
        self.canvas = Canvas(grid, grid.cells, frame.subsamples, optics, frame.blocks, frame.points, signal=selects)
        if selects:
            self._check_selection()

    def _check_prior(self) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
        """Shape of every truth parameter, and how many uniforms each class draws."""
        shapes: dict[str, tuple[int, ...]] = {}
        draws: dict[str, int] = {}
        for cls in self.classes:  # trace once: a class that misses a law says so now, not an hour into a run
            try:
                truth, draws[cls] = count_draws(self.simulator.truth(cls, self.laws))
            except KeyError as missing:
                raise self.node.error(f"class {cls!r} needs a law for {missing.args[0]!r}", ("prior",)) from None
            shapes |= {name: shape for name, shape in truth.items() if name not in shapes}
        return shapes, draws

    def criteria(self, cls: str) -> selection.Criteria | None:
        """What a draw of a class must have to become a sample; None for a class that takes every draw."""
        found = None if self.config.selection is None else self.config.selection.of(cls)
        return None if found is None or found.empty else found

    @property
    def tries(self) -> int:
        """Draws of a sample before the last one is kept, never accepted."""
        return 1 if self.config.selection is None else self.config.selection.tries

    def _check_selection(self) -> None:
        """Trace the classes that select: a simulator that tells no signal of one says so now."""
        exposure = jax.ShapeDtypeStruct((len(self.instrument.channel_names),), jnp.float32)
        for cls in self.classes:
            if self.criteria(cls) is not None:
                try:
                    jax.eval_shape(partial(self.sample, cls=cls), jax.random.key(0), exposure)
                except KeyError as missing:
                    if missing.args[0] not in ("signal", "size"):
                        raise
                    problem = f"the simulator tells no {missing.args[0]} of class {cls!r}"
                    raise self.node.error(problem, ("selection",)) from None

    def key(self, cls: str, seed: Array, shard: Array, index: Array, attempt: Array) -> Array:
        """Key of a sample of a shard, another one for each try of a class that selects."""
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), shard), index)
        return key if self.criteria(cls) is None else jax.random.fold_in(key, attempt)

    def _flat_names(self, name: str, shape: tuple[int, ...]) -> list[str]:
        if shape == ():
            return [name]
        if name.endswith("_mag"):
            inner = [f"_{band}" for band in self.bands]
            return [
                f"{name}{k}{end}" for k in ([f"_{j}" for j in range(shape[0])] if shape[1:] else [""]) for end in inner
            ]
        return [f"{name}_{k}" for k in range(shape[0])]

    def _flatten(self, truth: Truth) -> Array:
        """The truth vector (P,): NaN for what the class lacks."""
        parts = []
        for name, shape in self._shapes.items():
            value = jnp.asarray(truth.get(name, jnp.nan), jnp.float32)
            parts.append(jnp.ravel(jnp.broadcast_to(value, shape)))
        return jnp.concatenate(parts)

    def unflatten(self, cls: str, vector: Array) -> Truth:
        """The truth of a class from the truth vector (P,): what the class lacks is left out."""
        names, _ = count_draws(self.simulator.truth(cls, self.laws))
        found, at = {}, 0
        for name, shape in self._shapes.items():
            size = math.prod(shape)
            if name in names:
                found[name] = vector[at : at + size].reshape(shape)
            at += size
        return found

    def state(self, exposure: Array) -> ImagerState:
        """State of the recipe's bands during an exposure, a telemetry row (C,)."""
        whole = self.instrument.state(exposure)
        return replace(whole, **{k: getattr(whole, k)[self._index] for k in vars(whole) if k != "aberration"})

    @property
    def stacked(self) -> bool:
        """Frames are sky-subtracted stacks (int16 in steps of the noise), not raw counts (uint16)."""
        return self.instrument.config.frame.zero_point is not None

    def model(self, exposure: Array, obs: Array | None = None, cls: str | None = None) -> Sample | None:
        """The NumPyro program of one class (the recipe's first, if none is named): draw a truth, render it, expose it.

        With `obs` (B, y, x) [count] the frame's log-likelihood joins the joint density instead, for inference.
        """
        cls = cls or self.classes[0]
        truth = self.simulator.truth(cls, self.laws)()
        state = self.state(exposure)
        rendered = self.simulator.render(cls, truth, state, self.canvas)
        effects = self.instrument.config.detector
        if obs is not None:
            numpyro.factor("frame", detector.log_prob(obs, rendered.expected, state, self.stacked, effects))
            return None
        frame = detector.expose(numpyro.prng_key(), rendered.expected, state, effects, self.stacked)
        label = self.simulator.labels(cls, truth, rendered, state) | {"class": jnp.uint8(self.classes.index(cls))}
        if self.config.selection is not None:
            needs = self.criteria(cls) or selection.Criteria()
            passes = selection.accepted(needs, rendered, state, self.canvas, self.stacked, effects)
            label["tries"] = passes.astype(jnp.uint8)
        return Sample(frame, label, self._flatten(truth))

    def sample(self, key: Array, exposure: Array, cls: str | None = None) -> Sample:
        """Simulate one exposure: pure, jit- and vmap-able over key and exposure (a telemetry row)."""
        truth_key, noise_key = jax.random.split(key)
        many = self._draws[cls or self.classes[0]]
        drawn = handlers.substitute(self.model, substitute_fn=quantile_draws(truth_key, many))
        return handlers.seed(drawn, noise_key)(exposure, cls=cls)
