"""Recipes of spectra: a prior of stars, the simulator of their H alpha and a spectrograph composed into shards."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax import Array
from jax.sharding import Mesh, PartitionSpec
from numpyro import handlers

from twin.io.layout import DatasetSpec
from twin.priors.laws import at_quantiles, count_draws
from twin.priors.spectra import KINDS, StarPrior, parameter_units
from twin.recipe.spectra_adapter import GaussianSpectrograph
from twin.recipe.spectra_config import read_spectrum
from twin.recipe.spectra_spec import LABELS, spectrum_spec
from twin.schema import Node, UserError
from twin.simulators.spectra.labels import classify, equivalent_width
from twin.simulators.spectra.simulator import StarSpectra

_TELEMETRY = 2**32 - 1  # stands for the shard in keys of telemetry: no dataset has as many
_TOGETHER = 32  # spectra that are vectorised together: what they need stays in the L2 cache
_STEP = 1024  # spectra a device works on in one call; fixed, so that results do not depend on the number of devices


class SpectrumRecipe:
    """A recipe of spectra. Raises UserError with file, line and key for whatever its YAML has wrong.

    node       the recipe as YAML      config      the same, validated     instrument   the spectrograph
    kinds      of stars with a share   prior       StarPrior               simulator    StarSpectra
    """

    bands = ("flux",)
    pixel_scale = 1.0

    def __init__(self, node: Node) -> None:
        self.node, self.config = node, read_spectrum(node)
        config = self.config
        self.name = config.name
        self.kinds = tuple(kind for kind in KINDS if config.kinds.get(kind, 0) > 0)
        self.instrument = GaussianSpectrograph(config.grid.wavelength)
        self.prior = StarPrior(config.stars)
        shapes = {kind: count_draws(partial(self.prior.program, kind)) for kind in self.kinds}
        self._sites = max(count for _, count in shapes.values())
        units = parameter_units()
        present = {name for names, _ in shapes.values() for name in names}
        self.truth_names = tuple(name for name in units if name in present)
        self.truth_units = tuple(units[name] for name in self.truth_names)
        self._mesh = Mesh(np.array(jax.local_devices()), ("batch",))

    @cached_property
    def simulator(self) -> StarSpectra:
        fine = self.config.fine
        return StarSpectra(*self.config.span, fine.step, fine.components)

    @cached_property
    def sha256(self) -> str:
        """Identity of what `shard` makes: the recipe without its `train:` section."""
        content = {k: v for k, v in self.config.model_dump(mode="json").items() if k not in ("train", "description")}
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()

    @cached_property
    def spec(self) -> DatasetSpec:
        """Arrays and attributes of the datasets that this recipe makes."""
        return spectrum_spec(self)

    # samples

    def exposures(self, seed: int, start: int, count: int) -> np.ndarray:
        """Telemetry rows (count, C) of samples start .. start + count - 1."""
        index = start + np.arange(count)
        ids = np.pad(index, (0, -count % 1024), mode="edge").astype(np.uint32)  # few shapes to compile
        return np.asarray(self._rows(np.uint32(seed), ids))[:count]

    @cached_property
    def _rows(self) -> Any:
        laws, names = self.config.telemetry, self.instrument.channels

        def drawn() -> Array:
            return jnp.stack([numpyro.sample(name, laws[name].distribution()) for name in names])

        def one(seed: Array, index: Array) -> Array:
            base = jax.random.fold_in(jax.random.key(seed), jnp.uint32(_TELEMETRY))
            uniforms = jax.random.uniform(jax.random.fold_in(base, index), (len(names),), minval=2.0**-24)
            return handlers.substitute(drawn, substitute_fn=at_quantiles(uniforms))().astype(jnp.float32)

        return jax.jit(jax.vmap(one, in_axes=(None, 0)))

    def class_of(self, seed: int, shard: int, count: int) -> np.ndarray:
        """Index in `kinds` (count,) of each sample: shares as exact as whole numbers allow, in random order within the
        shard."""
        share = np.array([self.config.kinds[kind] for kind in self.kinds])
        edges = np.cumsum(share / share.sum()) * count
        found = np.searchsorted(np.round(edges), np.arange(count), side="right")
        return np.random.default_rng([seed, shard, 7]).permutation(np.minimum(found, len(self.kinds) - 1))

    def sample(self, key: Array, exposure: Array, kind: str = "star") -> dict[str, Array]:
        """Simulate one spectrum of a kind of star, exposure a telemetry row. Pure.

        Returns frame, noise/ivar (P,), label/* and truth, and `expected` (P,), the frame without noise.
        """
        truth_key, noise_key = jax.random.split(key)
        uniforms = jax.random.uniform(truth_key, (self._sites,), jnp.float32, minval=2.0**-24)
        truth = handlers.substitute(self.prior.program, substitute_fn=at_quantiles(uniforms))(kind)
        state = self.instrument.state(exposure)
        rendered = self.simulator.render(kind, truth)
        width, level = self._measure(rendered.flux)
        scale = 1 / jnp.maximum(level, 1e-3)
        seen = jax.lax.optimization_barrier(self._blur(rendered.flux, state) * scale)
        if kind == "star":
            cls = jnp.uint8(0)  # nothing that could shine
        else:
            alone = jax.lax.optimization_barrier(self._blur(rendered.star, state) * scale)
            cls = self._classify(seen, alone, truth["velocity"])
        flux, ivar, mask = jax.lax.optimization_barrier(self.instrument.expose(noise_key, seen, state))
        norm = jnp.maximum(_median(flux), 1e-3) if self.config.normalisation == "median" else jnp.float32(1.0)
        labels = {"ha_ew": width, **{name: truth[name] for name in LABELS if name != "ha_ew"}}
        nan = jnp.float32(jnp.nan)
        return {
            "frame": flux / norm,
            "noise/ivar": jnp.where(mask > 0, 0.0, ivar * norm**2),
            "expected": seen / norm,
            "label/class": cls,
            **{f"label/{name}": value.astype(jnp.float32) for name, value in labels.items()},
            "truth": jnp.stack([truth.get(name, nan) for name in self.truth_names]).astype(jnp.float32),
        }

    @cached_property
    def _measure(self) -> Any:
        return equivalent_width(self.simulator.wavelength)

    @cached_property
    def _classify(self) -> Any:
        return classify(self.instrument.wavelength, self.config.profile)

    @cached_property
    def _blur(self) -> Any:
        return self.instrument.blur(self.simulator.wavelength)

    @cached_property
    def _programs(self) -> dict[str, Any]:
        """By kind: (seed, shard, index (n,), telemetry (n, C)) -> arrays, n a multiple of _TOGETHER a device."""
        axis, whole = PartitionSpec("batch"), PartitionSpec()

        def program(kind: str) -> Any:
            def run(seed: Array, shard: Array, index: Array, rows: Array) -> dict[str, Array]:
                base = jax.random.fold_in(jax.random.key(seed), shard)

                def one(a: tuple[Array, Array]) -> dict[str, Array]:
                    found = self.sample(jax.random.fold_in(base, a[0]), a[1], kind)
                    del found["expected"]
                    return found

                out: dict[str, Array] = jax.lax.map(one, (index, rows), batch_size=_TOGETHER)
                return out

            specs = (whole, whole, axis, axis)
            return jax.jit(jax.shard_map(run, mesh=self._mesh, in_specs=specs, out_specs=axis, check_vma=False))

        return {kind: program(kind) for kind in self.kinds}

    def shard(self, seed: int, shard: int, count: int) -> dict[str, np.ndarray]:
        """Every array of `spec` for `count` samples of one shard; depends on (recipe, seed, shard, count) alone."""
        if not 0 <= seed < 2**32:
            raise UserError(f"must be from 0 to {2**32 - 1}, not {seed}", key="seed")
        start = shard * self.spec.shard_samples
        rows, which = self.exposures(seed, start, count), self.class_of(seed, shard, count)
        step = _STEP * self._mesh.size
        pending = []
        for k, kind in enumerate(self.kinds):
            where = np.flatnonzero(which == k).astype(np.uint32)
            for begin in range(0, len(where), step):
                part = where[begin : begin + step]
                padded = np.pad(part, (0, step - len(part)), mode="edge")  # no shape but one is ever compiled
                pending.append((part, self._programs[kind](np.uint32(seed), np.uint32(shard), padded, rows[padded])))
        out: dict[str, np.ndarray] = {}
        for part, made in pending:
            for name, values in made.items():
                if name not in out:
                    out[name] = np.empty((count, *values.shape[1:]), values.dtype)
                out[name][part] = np.asarray(values)[: len(part)]
        numbers = start + np.arange(count, dtype=np.int64)
        kinds = np.array([KINDS.index(kind) for kind in self.kinds], np.uint8)
        return out | {
            "label/kind": kinds[which],
            "telemetry": rows.astype(np.float32),
            "exposure_id": numbers,
            "object_id": numbers,
        }


def _median(values: Array) -> Array:
    """The lower median of (P,), to 1e-6 of their range: by bisection, which XLA vectorises, while it sorts slowly."""
    half = values.shape[0] // 2

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        above = jnp.sum(values <= middle) >= half
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    return jax.lax.fori_loop(0, 20, halve, (jnp.min(values), jnp.max(values)))[1]
