"""The reference engine: a recipe's samples drawn by GalSim, lenstronomy and NumPy in place of the JAX kernels."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.io.layout import DatasetSpec
from twin.observatory.state import ImagerState
from twin.priors.fields import Truth
from twin.recipe.batches import stored
from twin.recipe.program import Program
from twin.recipe.recipe import Recipe
from twin.recipe.spectra import SpectrumRecipe
from twin.recipe.xray import XrayRecipe
from twin.schema import UserError
from twin.simulators.base import Canvas, Rendered
from twin.simulators.reference import made_with, reference
from twin.simulators.reference.view import View


class Witness:
    """The expected image of a program's samples, by the reference engine.

    Raises UserError where the recipe's simulator has none, or GalSim or lenstronomy is missing.
    """

    def __init__(self, program: Program) -> None:
        self.reference = reference(program.config.simulator)
        self._draw = self.reference.draw
        self._program = program
        canvas = program.canvas
        data = getattr(program.simulator, "table", None)
        self._view = View(canvas.grid.npix, program.pixel_scale, canvas.cells, canvas.subsamples, program.optics, data)
        self._state = jax.jit(program.state)

    def state(self, exposure: np.ndarray) -> ImagerState:
        """State of an exposure, a telemetry row (C,), as float64."""
        found: ImagerState = jax.tree.map(lambda leaf: np.asarray(leaf, float), self._state(exposure))
        return found

    def expected(self, cls: str, truth: np.ndarray, state: ImagerState) -> np.ndarray:
        """Expected counts (B, npix, npix) above the sky of a truth vector (P,)."""
        named = {
            name: np.asarray(value, float) for name, value in self._program.unflatten(cls, jnp.asarray(truth)).items()
        }
        return self._draw(cls, named, state, self._view)


class _SmallShards(DatasetSpec):
    """A shard is one chunk: the reference engine takes a second a frame, and resumes by shards."""

    @property
    def shard_samples(self) -> int:
        return self.chunk_samples


@dataclass(frozen=True)
class _Given:
    """A simulator whose expected image is given."""

    simulator: Any
    expected: Array

    def __getattr__(self, name: str) -> Any:
        return getattr(self.simulator, name)

    def render(self, cls: str, truth: Truth, state: ImagerState, canvas: Canvas) -> Rendered:
        return replace(self.simulator.render(cls, truth, state, canvas), expected=self.expected)


class ReferenceRecipe:
    """The first `n` samples of a recipe and a seed (`twin.io.layout.ShardSource`): truth, telemetry and labels as the
    recipe itself makes them, noise of the same code with the same keys, but expected images of the witness. Raises
    UserError where the witness does not draw a class."""

    def __init__(self, recipe: Recipe | XrayRecipe | SpectrumRecipe, n: int) -> None:
        if not isinstance(recipe, Recipe):
            problem = "draws optical frames; X-ray optics have a ray tracer, twin.observatory.lobster.trace"
            if isinstance(recipe, SpectrumRecipe):
                problem = "draws optical frames, no spectra: their profiles are held to photons in the tests"
            raise UserError(problem, file=recipe.name, key="--engine reference")
        self._recipe, self._n = recipe, n
        self._witness = Witness(recipe)
        lacking = [cls for cls in recipe.classes if not self._witness.reference.draws(cls)]
        if lacking:
            raise recipe.node.error(f"the reference engine does not draw {', '.join(lacking)}", ("classes",))
        self.name, self.sha256, self.node = recipe.name, recipe.sha256, recipe.node
        self.bands, self.pixel_scale = recipe.bands, recipe.pixel_scale
        self.maker = {"engine": made_with()}

    @cached_property
    def spec(self) -> DatasetSpec:
        spec = self._recipe.spec
        return _SmallShards(spec.arrays, {**spec.attrs, "engine": "reference"})

    def shard(self, seed: int, shard: int, count: int) -> dict[str, np.ndarray]:
        """Every array of `spec` for one of its shards."""
        recipe, large = self._recipe, self._recipe.spec.shard_samples
        start = shard * self.spec.shard_samples
        home, first = divmod(start, large)  # where the recipe itself has these samples
        arrays = recipe.part(seed, home, min(large, self._n - home * large), first, count)
        frames = arrays["frame"]
        for i in range(count):
            cls, exposure = recipe.classes[arrays["label/class"][i]], arrays["telemetry"][i]
            expected = self._witness.expected(cls, arrays["truth"][i], self._witness.state(exposure))
            accepted = int(arrays["label/tries"][i]) if "label/tries" in arrays else 1
            attempt = (accepted or recipe.tries) - 1  # which draw this is, counted from 0
            numbers = (np.uint32(v) for v in (seed, home, first + i, attempt))
            frames[i] = self._expose(cls)(*numbers, exposure, expected.astype(np.float32))
        return arrays

    @cache  # noqa: B019 - lives as long as the recipe, whose programs these are
    def _expose(self, cls: str) -> Any:
        """The compiled frame of a sample whose expected image is given."""
        recipe = self._recipe

        def frame(seed: Array, shard: Array, index: Array, attempt: Array, exposure: Array, expected: Array) -> Array:
            given = copy.copy(recipe)
            given.simulator = _Given(recipe.simulator, expected)  # type: ignore[assignment]
            key = recipe.key(cls, seed, shard, index, attempt)
            sample, state = given.sample(key, exposure, cls), recipe.state(exposure)
            return stored(sample, state, recipe.stacked, recipe.instrument.config.detector)["frame"]

        return jax.jit(frame)
