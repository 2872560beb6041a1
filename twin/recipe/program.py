"""Priors + simulator + instrument as one NumPyro program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax import Array
from numpyro import handlers

from twin.numerics.fourier import Grid
from twin.observatory import detector, psf
from twin.observatory.state import ImagerState
from twin.priors import fields
from twin.priors.laws import quantile_draws
from twin.recipe.config import RecipeConfig, absolute_paths, read_config, read_instrument, read_table
from twin.schema import Node
from twin.simulators import optical


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
    bands        of the frames         classes  those with a share, in the order of `fields.CLASSES`
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
        self.classes = tuple(name for name in fields.CLASSES if self.config.classes.get(name, 0) > 0)
        self._index = np.array([self.instrument.bands.index(b) for b in self.bands])
        frame = self.config.frame
        grid = Grid(frame.npix, self.pixel_scale, frame.factor, frame.pad, graded=True)
        self.canvas = optical.Canvas(grid, frame.factor, frame.subsamples)
        self._prior, self.truth_names = self._check_prior()
        self.table = read_table(self.node, self.instrument)
        optics = self.instrument.optics
        self.optics = replace(optics, wavelengths=tuple(optics.wavelengths[i] for i in self._index))
        if self.table is not None:
            given = self.instrument.optics_of(self.table)
            self.optics = replace(self.optics, stroke=given.stroke, max_r0=given.max_r0, reach=given.reach)

    def _check_prior(self) -> tuple[fields.Prior, tuple[str, ...]]:
        laws = {name: law.distribution() for name, law in self.config.prior.items()}
        wavelengths = np.array([self.instrument.optics.wavelengths[i] for i in self._index]) * 1e9
        prior = fields.Prior(laws, wavelengths, 0.5 * self.config.frame.npix * self.pixel_scale)
        names: dict[str, None] = {}
        for cls in self.classes:  # trace once: a class that misses a law says so now, not an hour into a run

            def drawn(cls: str = cls) -> fields.Truth:
                return handlers.substitute(self._truth(prior, cls), substitute_fn=quantile_draws(jax.random.key(0)))()

            try:
                truth = jax.eval_shape(drawn)
            except KeyError as missing:
                raise self.node.error(f"class {cls!r} needs a law for {missing.args[0]!r}", ("prior",)) from None
            names |= {full: None for name, value in truth.items() for full in self._flat_names(name, value.shape)}
        return prior, tuple(names)

    @staticmethod
    def _truth(prior: fields.Prior, name: str) -> Callable[[], fields.Truth]:
        return lambda: {**fields.CLASSES[name](prior), **fields.interlopers(prior)}

    def _flat_names(self, name: str, shape: tuple[int, ...]) -> list[str]:
        if shape == ():
            return [name]
        ends = self.bands if name.endswith("_mag") else [str(k) for k in range(shape[0])]
        return [f"{name}_{end}" for end in ends]

    def _flatten(self, truth: fields.Truth) -> Array:
        values: dict[str, Array] = {}
        for name, value in truth.items():
            parts = jnp.ravel(jnp.asarray(value, jnp.float32))
            values |= {full: parts[k] for k, full in enumerate(self._flat_names(name, jnp.shape(value)))}
        return jnp.stack([values.get(name, jnp.float32(jnp.nan)) for name in self.truth_names])

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
        truth = self._truth(self._prior, cls)()
        state = self.state(exposure)
        transfer = psf.otf(self.optics, state, self.canvas.grid)
        rendered = optical.render_class(cls, truth, state, transfer, self.canvas)
        effects = self.instrument.config.detector
        if obs is not None:
            numpyro.factor("frame", detector.log_prob(obs, rendered.expected, state, self.stacked, effects))
            return None
        frame = detector.expose(numpyro.prng_key(), rendered.expected, state, effects, self.stacked)
        label = optical.labels(cls, rendered) | {"class": jnp.uint8(self.classes.index(cls))}
        return Sample(frame, label, self._flatten(truth))

    def sample(self, key: Array, exposure: Array, cls: str | None = None) -> Sample:
        """Simulate one exposure: pure, jit- and vmap-able over key and exposure (a telemetry row)."""
        truth_key, noise_key = jax.random.split(key)
        drawn = handlers.substitute(self.model, substitute_fn=quantile_draws(truth_key))
        return handlers.seed(drawn, noise_key)(exposure, cls=cls)
