"""Recipe: priors + simulator + instrument composed into one NumPyro program, and batched into shards.

`Recipe.model(exposure, obs)` is the program, `Recipe.sample(key, exposure)` its simulation: a pure JAX function.
`Recipe.shard(seed, shard, count)` is everything else: the batch axis is sharded over a mesh of all local devices.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax import Array
from jax.sharding import Mesh, PartitionSpec
from numpyro import handlers
from pydantic import BaseModel, ConfigDict, Field

from twin.io.layout import ArraySpec, DatasetSpec
from twin.numerics.fourier import Grid
from twin.observatory import detector, psf
from twin.observatory.imager import Imager, load_instrument
from twin.observatory.state import ImagerState
from twin.priors import fields
from twin.priors.laws import Law, quantile_draws
from twin.schema import Node, UserError, load_yaml, suggest, validate
from twin.simulators import optical

MICROBATCH = 64  # samples a device works on at a time; fixed, so that results do not depend on the number of devices
_INNER = 8  # samples vectorised together: their spectra fit in the L2 cache
QUANTUM = 0.25  # of the noise, the step in which sky-subtracted stacks are stored


class FrameConfig(BaseModel):
    """Geometry of a frame. npix pixels a side; factor: frequencies kept in units of the pixel's Nyquist limit;
    subsamples: midpoints a side of each convolution cell for sampled light."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    npix: int = Field(64, ge=8, le=1024)
    factor: int = Field(1, ge=1, le=4)
    pad: int = Field(2, ge=1, le=4)
    subsamples: int = Field(3, ge=1, le=16)


class RecipeConfig(BaseModel):
    """What a recipe's YAML holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    description: str = ""
    simulator: Literal["optical"] = "optical"
    instrument: str
    bands: tuple[str, ...] = Field(min_length=1)
    telemetry: str | None = None
    frame: FrameConfig = FrameConfig()
    classes: dict[str, float]
    prior: dict[str, Law]
    train: dict[str, Any] = {}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sample:
    """One simulated exposure: frame (B, y, x) [count, float32], labels, and the truth as a flat vector (P,)."""

    frame: Array
    label: dict[str, Array]
    truth: Array


class Recipe:
    """A validated recipe. Raises UserError with file, line and key for whatever its YAML has wrong."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.config = validate(RecipeConfig, node)
        self.name = self.config.name
        self._check_classes()
        try:
            self.instrument: Imager = load_instrument(self.config.instrument)
        except UserError as mistake:
            if mistake.file is not None:  # the mistake is in the instrument's own file
                raise
            raise node.error(mistake.problem, ("instrument",), mistake.suggestion) from None
        self.bands = self.config.bands
        for k, band in enumerate(self.bands):
            if band not in self.instrument.bands:
                raise node.error(
                    f"instrument {self.instrument.name!r} has no band {band!r}",
                    ("bands", k),
                    suggest(band, self.instrument.bands),
                )
        if len(set(self.bands)) < len(self.bands):
            raise node.error("a band stands twice", ("bands",))
        self.pixel_scale = self.instrument.pixel_scale
        self.classes = tuple(name for name, share in self.config.classes.items() if share > 0)
        self._index = np.array([self.instrument.bands.index(b) for b in self.bands])
        optics = self.instrument.optics
        self.optics = replace(optics, wavelengths=tuple(optics.wavelengths[i] for i in self._index))
        frame = self.config.frame
        grid = Grid(frame.npix, self.pixel_scale, frame.factor, frame.pad, graded=True)
        self.canvas = optical.Canvas(grid, frame.factor, frame.subsamples)
        #: names of the truth vector: every parameter of every class, those with one value a band as name_band
        self._prior, self.truth_names = self._check_prior()
        self._table = self._read_telemetry()
        if self._table is not None:
            given = self.instrument.optics_of(self._table)
            self.optics = replace(self.optics, stroke=given.stroke, max_r0=given.max_r0)

    def _check_classes(self) -> None:
        for name, share in self.config.classes.items():
            place = ("classes", name)
            if name not in fields.CLASSES:
                raise self.node.error("unknown class", place, suggest(name, fields.CLASSES))
            if not 0 <= share < float("inf"):
                raise self.node.error(f"a share must not be negative, not {share:g}", place)
        if not sum(self.config.classes.values()) > 0:
            raise self.node.error("the shares of the classes add up to 0", ("classes",))

    def _check_prior(self) -> tuple[fields.Prior, tuple[str, ...]]:
        laws = {name: law.distribution() for name, law in self.config.prior.items()}
        wavelengths = np.array(self.optics.wavelengths) * 1e9
        prior = fields.Prior(laws, wavelengths, 0.5 * self.config.frame.npix * self.pixel_scale)
        names: dict[str, None] = {}
        for cls in self.classes:  # trace once: a class that misses a law says so now, not an hour into a run
            try:
                truth = jax.eval_shape(handlers.seed(self._truth(prior, cls), 0))
            except KeyError as missing:
                raise self.node.error(f"class {cls!r} needs a law for {missing.args[0]!r}", ("prior",)) from None
            names |= {full: None for name, value in truth.items() for full in self._flat_names(name, value.shape)}
        return prior, tuple(names)

    def _read_telemetry(self) -> np.ndarray | None:
        if self.config.telemetry is None:
            return None
        path = Path(self.config.telemetry)
        said_in = self.node.where(("telemetry",))[0]
        if said_in != "--set":  # a recipe file names it beside itself, a command line where the user is
            path = Path(said_in).parent / path
        table = self.instrument.read_exposures(path)
        if len(table) == 0:
            raise UserError("the table has no exposure", file=str(path))
        return table

    @cached_property
    def sha256(self) -> str:
        """Identity of what `shard` makes: the recipe without its `train:` section, the instrument, the telemetry
        table."""
        content = {k: v for k, v in self.config.model_dump(mode="json").items() if k not in ("train", "description")}
        content["instrument"] = self.instrument.node.value
        if self._table is not None:
            content["telemetry"] = hashlib.sha256(self._table.tobytes()).hexdigest()
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()

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

    def _expected(self, cls: str, exposure: Array) -> tuple[fields.Truth, ImagerState, optical.Rendered]:
        truth = self._truth(self._prior, cls)()
        state = self.state(exposure)
        transfer = psf.otf(self.optics, state, self.canvas.grid)
        return truth, state, optical.render_class(cls, truth, state, transfer, self.canvas)

    def model(self, exposure: Array, obs: Array | None = None, cls: str | None = None) -> Sample | None:
        """The NumPyro program of one class (the recipe's first, if none is named): draw a truth, render it, expose it.

        With `obs` (B, y, x) [count] the frame's log-likelihood joins the joint density instead, for inference.
        """
        cls = cls or self.classes[0]
        truth, state, rendered = self._expected(cls, exposure)
        if obs is not None:
            numpyro.factor("frame", detector.log_prob(obs, rendered.expected, state, self.stacked))
            return None
        expose = detector.expose_stack if self.stacked else detector.expose_single
        frame = expose(numpyro.prng_key(), rendered.expected, state)
        label = optical.labels(cls, rendered) | {"class": jnp.uint8(self.classes.index(cls))}
        return Sample(frame, label, self._flatten(truth))

    def sample(self, key: Array, exposure: Array, cls: str | None = None) -> Sample:
        """Simulate one exposure: pure, jit- and vmap-able over key and exposure (a telemetry row)."""
        truth_key, noise_key = jax.random.split(key)
        drawn = handlers.substitute(self.model, substitute_fn=quantile_draws(truth_key))
        return handlers.seed(drawn, noise_key)(exposure, cls=cls)

    @cached_property
    def spec(self) -> DatasetSpec:
        """Arrays and attributes of the datasets that this recipe makes."""
        n, bands = self.config.frame.npix, len(self.bands)
        names = {"band": self.bands}
        frame = ArraySpec(
            "frame", (bands, n, n), "int16" if self.stacked else "uint16", ("band", "y", "x"), "ct", "phot.count",
            "sky-subtracted counts in steps of noise/scale" if self.stacked else "detector counts, with sky and bias",
            names,
        )  # fmt: skip
        per_band = partial(ArraySpec, shape=(bands,), dtype="float32", dims=("band",), coords=names)
        arrays = [
            frame,
            per_band("noise/rms", unit="ct", ucd="stat.stdev;instr.background", description="noise of an empty pixel"),
            per_band("noise/gain", ucd="instr.det", description="electrons a count stands for"),
            ArraySpec("label/lens", (), "uint8", (), "", "meta.code.class", "1 if the field holds a lens"),
            ArraySpec("label/class", (), "uint8", (), "", "meta.code.class", "index into the attribute classes"),
            ArraySpec(
                "label/separation", (), "float32", (), "arcsec", "pos.angDistance",
                "largest image separation, NaN for no lens",
            ),
            ArraySpec(
                "truth", (len(self.truth_names),), "float32", ("parameter",),
                description="what the prior drew, NaN where a class lacks it",
                coords={"parameter": self.truth_names, "parameter_unit": tuple(map(unit_of, self.truth_names))},
            ),
            ArraySpec(
                "telemetry", (len(self.instrument.channel_names),), "float32", ("channel",),
                description="telemetry of the exposure", coords=self._channel_coords,
            ),
            ArraySpec("exposure_id", (), "int64", (), "", "meta.id;obs", "row of the telemetry table, or number"),
            ArraySpec("object_id", (), "int64", (), "", "meta.id;src", "index of the object: split by it"),
        ]  # fmt: skip
        arrays.insert(1, per_band("noise/scale", unit="ct", description="counts a step of frame stands for"))
        if not self.stacked:
            arrays.insert(2, per_band("noise/sky", unit="ct", description="level of an empty pixel: sky, dark, bias"))
        attrs = {
            "recipe": json.loads(json.dumps(self.node.value, default=str)),
            "recipe_name": self.name,
            "recipe_sha256": self.sha256,
            "classes": list(self.classes),
            "bands": list(self.bands),
            "pixel_scale": self.pixel_scale,
        }
        return DatasetSpec(tuple(arrays), attrs)

    @property
    def _channel_coords(self) -> dict[str, tuple[str, ...]]:
        channels = self.instrument.telemetry_channels
        units = tuple(c.unit.replace("px", "pixel") for c in channels)
        return {"channel": tuple(c.name for c in channels), "channel_unit": units}

    def exposures(self, seed: int, start: int, count: int) -> np.ndarray:
        """Telemetry rows (count, C) of samples start .. start + count - 1: the user's table in turn, or drawn
        nights."""
        if self._table is not None:
            return self._table[self.exposure_ids(start, count)]
        return self.instrument.draw_exposures(seed, count, start)

    def exposure_ids(self, start: int, count: int) -> np.ndarray:
        """Exposures (count,) of samples start .. start + count - 1: rows of the user's table, or numbers in the
        nights."""
        number = start + np.arange(count, dtype=np.int64)
        return number if self._table is None else number % len(self._table)

    def class_of(self, seed: int, shard: int, count: int) -> np.ndarray:
        """Class index (count,) of each sample: shares as exact as whole numbers allow, in random order within the
        shard."""
        share = np.array([self.config.classes[name] for name in self.classes])
        edges = np.cumsum(share / share.sum()) * count
        classes = np.searchsorted(np.round(edges), np.arange(count), side="right")
        return np.random.default_rng([seed, shard, 7]).permutation(np.minimum(classes, len(self.classes) - 1))

    def shard(self, seed: int, shard: int, count: int) -> dict[str, np.ndarray]:
        """Every array of `spec` for `count` samples of one shard; depends on (recipe, seed, shard, count) alone."""
        classes = self.class_of(seed, shard, count)
        start = shard * self.spec.shard_samples
        rows = self.exposures(seed, start, count)
        out: dict[str, np.ndarray] = {}
        for k, name in enumerate(self.classes):
            where = np.flatnonzero(classes == k)
            for field_name, values in self._run(name, seed, shard, where, rows[where]).items():
                if field_name not in out:
                    out[field_name] = np.empty((count, *values.shape[1:]), values.dtype)
                out[field_name][where] = values
        return out | {
            "telemetry": rows.astype(np.float32),
            "exposure_id": self.exposure_ids(start, count),
            "object_id": start + np.arange(count, dtype=np.int64),
        }

    def _run(self, cls: str, seed: int, shard: int, index: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        step = MICROBATCH * self._mesh.size
        pending = []
        for begin in range(0, len(index), step):
            part = slice(begin, begin + step)
            pad = step - len(index[part])  # remainders are padded: the compiled shape never changes
            ids, table = np.pad(index[part], (0, pad)), np.pad(rows[part], ((0, pad), (0, 0)), mode="edge")
            pending.append(self._programs[cls](np.uint32(seed), np.uint32(shard), ids.astype(np.uint32), table))
        if not pending:
            return {}
        host = jax.device_get(pending)
        return {name: np.concatenate([p[name] for p in host])[: len(index)] for name in host[0]}

    @cached_property
    def _mesh(self) -> Mesh:
        return Mesh(np.array(jax.local_devices()), ("batch",))

    @cached_property
    def _programs(self) -> dict[str, Any]:
        """The compiled program of each class: (seed, shard, index (N,), telemetry (N, C)) -> arrays with leading axis
        N."""
        size = MICROBATCH * self._mesh.size
        shapes = (
            jax.ShapeDtypeStruct((), jnp.uint32),
            jax.ShapeDtypeStruct((), jnp.uint32),
            jax.ShapeDtypeStruct((size,), jnp.uint32),
            jax.ShapeDtypeStruct((size, len(self.instrument.channel_names)), jnp.float32),
        )
        lowered = [self._program(cls).lower(*shapes) for cls in self.classes]
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # XLA compiles one program on one core
            return dict(zip(self.classes, pool.map(lambda program: program.compile(), lowered), strict=True))

    def _program(self, cls: str) -> Any:
        def one(seed: Array, shard: Array, index: Array, exposure: Array) -> dict[str, Array]:
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), shard), index)
            sample = self.sample(key, exposure, cls)
            return self._stored(sample, self.state(exposure))

        def block(seed: Array, shard: Array, index: Array, exposures: Array) -> dict[str, Array]:
            return jax.lax.map(lambda a: one(seed, shard, *a), (index, exposures), batch_size=_INNER)

        spread, same = PartitionSpec("batch"), PartitionSpec()
        specs = (same, same, spread, spread)
        return jax.jit(jax.shard_map(block, mesh=self._mesh, in_specs=specs, out_specs=spread, check_vma=False))

    def _stored(self, sample: Sample, state: ImagerState) -> dict[str, Array]:
        """A sample in the types in which it is stored."""
        rms = detector.noise_rms(state, self.stacked)
        out = {"noise/rms": rms, "noise/gain": state.gain, "truth": sample.truth}
        if self.stacked:
            scale = rms * QUANTUM
            steps = jnp.clip(jnp.round(sample.frame / scale[:, None, None]), -32767, 32767)
            out |= {"frame": steps.astype(jnp.int16), "noise/scale": scale}
        else:
            sky = detector.level(state)
            frame = sample.frame.astype(jnp.uint16)  # whole, from 0 to saturation
            out |= {"frame": frame, "noise/scale": jnp.ones_like(sky), "noise/sky": sky}
        return out | {f"label/{name}": value for name, value in sample.label.items()}


def unit_of(name: str) -> str:
    """VOUnit of a truth parameter by its name's ending."""
    endings = {
        "arcsec": ("theta_E", "_x", "_y", "_radius"),
        "rad": ("_angle", "_phi", "arm_pitch", "arm_phase"),
        "km.s-1": ("velocity_dispersion",),
    }
    if "_mag" in name:
        return "mag"
    return next((unit for unit, ends in endings.items() if name.endswith(ends) and name != "ring_radius"), "")


def _shipped() -> Path:
    return Path(str(resources.files("twin") / "configs" / "recipes"))


def list_recipes() -> list[tuple[str, str]]:
    """(name, description) of the shipped recipes."""
    out = []
    for path in sorted(_shipped().glob("*.yaml")):
        out.append((path.stem, str(load_yaml(path).value.get("description", ""))))
    return out


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A shipped recipe by name, or a YAML file by path; `overrides` are "key.sub=value" as of `--set`."""
    text = str(name_or_path)
    path = _shipped() / f"{text}.yaml"
    if not path.exists():
        path = Path(text)
        if not path.is_file():
            names = [name for name, _ in list_recipes()]
            raise UserError(
                f"no recipe of this name, and no such file; shipped: {', '.join(names)}",
                key=text,
                suggestion=suggest(text, names),
            )
    node = load_yaml(path)
    for override in overrides:
        node = node.set(override)
    return Recipe(node)
