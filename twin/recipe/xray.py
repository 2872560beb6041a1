"""X-ray recipes: a sky prior and a lobster eye composed into shards of labelled exposures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax import Array
from jax.sharding import Mesh, PartitionSpec
from numpyro import handlers

from twin.io.layout import DatasetSpec
from twin.observatory.lobster.bounces import ARCMIN
from twin.observatory.xray import grade_fractions
from twin.observatory.xray.pileup import pile_up
from twin.priors.laws import Law, count_draws, quantile_draws
from twin.priors.xray.catalogue import pointed
from twin.priors.xray.config import CLASSES
from twin.priors.xray.field import FieldPrior
from twin.recipe.xray_config import instrument_path, read_telescope, read_xray
from twin.recipe.xray_files import read_files
from twin.recipe.xray_spec import EVENTS, xray_spec
from twin.schema import Node, UserError
from twin.simulators.lobster.energies import EDGES, channels_of
from twin.simulators.lobster.exposure import BLOCK, Frame
from twin.simulators.lobster.field import CHANNELS, CONDITIONS, OPTICS, Listing, LobsterField
from twin.simulators.lobster.optics import Optic

_TELEMETRY = 2**32 - 1  # stands for the shard in keys of telemetry: no dataset has as many
_ROOM = 1 << 14  # events kept of an exposure, and 16 times as many where that is too few
_STEP = 4  # pointings a device works on in one call


class XrayRecipe:
    """A lobster eye's recipe. Raises UserError with file, line and key for whatever its YAML has wrong.

    node       the recipe as YAML    config  the same, validated    instrument  Lobster
    bands      of the frames' first axis      classes  those with a share
    simulator  LobsterField;  prior  FieldPrior
    """

    def __init__(self, node: Node) -> None:
        self.config = config = read_xray(node)
        self.instrument = read_telescope(node, config)
        named = {}
        path = instrument_path(node, config.instrument)
        if path is not None:  # a copy of the recipe elsewhere still finds it
            named["instrument"] = str(path.absolute())
        response = None
        if config.response is not None:
            from twin.io.xray import read_rmf

            said_in = node.where(("response",))[0]
            file = ((Path() if said_in == "--set" else Path(said_in).parent) / config.response).absolute()
            response, named["response"] = read_rmf(file), str(file)
        self.files = read_files(node, config)
        node = self.files.node
        self.node = replace(node, value={**node.value, **named})
        self.name = config.name
        self.classes = tuple(name for name in CLASSES if config.classes.get(name, 0) > 0)
        bins, detector = config.frame.bins, self.instrument.config.detector
        x, y = self.instrument.edges(bins)
        self.frame = Frame(
            bins, detector.npix // bins, (float(x[0]), float(y[0])), self.instrument.pixel_scale, len(config.bands),
            config.frame.times, config.frame.axis == "time",
        )  # fmt: skip
        sliced = [f"t{k}" for k in range(config.frame.times)]
        self.bands = tuple(sliced if self.frame.sliced else config.bands)
        self.pixel_scale = 60 * self.frame.side / bins
        try:
            self.channels = channels_of(config.sensor, tuple(config.bands.values()), response)
        except ValueError as mistake:
            raise node.error(str(mistake), ("response",)) from None
        half = self.frame.side / 2
        middle = self.frame.origin[0] + half, self.frame.origin[1] + half
        self.prior = FieldPrior(config.sky, half, middle, self.files.catalogue, self.files.templates)
        listing = Listing(config.list.sources, config.list.faintest)
        self.simulator = LobsterField(
            self.instrument, self.prior, config.background, self.channels, self.frame, listing, config.frame.psf,
            config.pixels,
        )  # fmt: skip
        self._mesh = Mesh(np.array(jax.local_devices()), ("batch",))
        zero = jnp.zeros(3)
        _, self._sites = count_draws(lambda: self.prior.program(jnp.int32(0), zero))

    @cached_property
    def sha256(self) -> str:
        """Identity of what `shard` makes: the recipe without its `train:` section, and the instrument."""
        apart = ("train", "description", "response")
        content = {k: v for k, v in self.config.model_dump(mode="json").items() if k not in apart}
        content["instrument"] = self.instrument.identity
        if self.config.response is not None:
            content["response"] = hashlib.sha256(self.channels.matrix.tobytes()).hexdigest()
        content = self.files.identity(content)
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()

    @cached_property
    def spec(self) -> DatasetSpec:
        """Arrays and attributes of the datasets that this recipe makes."""
        return xray_spec(self)

    @property
    def background_shape(self) -> np.ndarray:
        """(y, x) mean brightness of the background in bins of the frame, of mean 1, at the config's own rates: diffuse
        light that falls off to the corners, 1 - v (u^2 + w^2) / 2, over flat particles."""
        b = self.config.background
        u = (np.arange(self.frame.bins) + 0.5) * (2 / self.frame.bins) - 1
        light = 1 - b.vignetting * (u[:, None] ** 2 + u**2) / 2
        whole = b.diffuse * light / light.mean() + b.particles
        return whole / whole.mean()

    def timed(self, slices: int) -> XrayRecipe:
        """This recipe, or where its frames have no slices of time one whose samples have so many in `input/times`."""
        if self.frame.times or not slices:
            return self
        frame = {**self.node.value.get("frame", {}), "times": slices}
        return XrayRecipe(replace(self.node, value={**self.node.value, "frame": frame}))

    # telemetry

    def exposures(self, seed: int, start: int, count: int) -> np.ndarray:
        """Telemetry rows (count, CHANNELS) of samples start .. start + count - 1. Optics change from one pointing of
        `pointing.samples` to the next, conditions from sample to sample; every second pointing follows `outside`."""
        index = start + np.arange(count)
        each = self.config.pointing.samples
        padded = -count % 256  # few shapes to compile
        ids = np.pad(index, (0, padded), mode="edge").astype(np.uint32)
        rows = self._rows(np.uint32(seed), ids, (ids // each).astype(np.uint32))
        return np.asarray(rows)[:count]

    @cached_property
    def _rows(self) -> Any:
        nominal = {name: float(getattr(self.simulator.base, name)) for name in OPTICS}

        def drawn(laws: dict[str, Law], names: tuple[str, ...]) -> dict[str, Array]:
            return {n: numpyro.sample(n, laws[n].distribution()) for n in names if n in laws}

        def section(key: Array, names: tuple[str, ...], odd: Array) -> list[Array]:
            inside = self.config.laws
            outside = {**inside, **self.config.outside}
            found = []
            for laws in (inside, outside):
                program = handlers.substitute(drawn, substitute_fn=quantile_draws(key))
                found.append(program(laws, names))
            return [
                jnp.where(odd, found[1][n], found[0][n]) if n in found[0] else jnp.float32(nominal.get(n, 0.0))
                for n in names
            ]

        def aimed(key: Array) -> Array:
            """A pointing that has one of the real sources anywhere in its field."""
            u = jax.random.uniform(jax.random.fold_in(key, 3), (4,))
            index = jnp.minimum(u[0] * len(sources), len(sources) - 1).astype(jnp.int32)
            x, y = (2 * u[1:3] - 1) * self.prior.half
            return pointed(jnp.asarray(sources, jnp.float32)[index], x, y, 2 * jnp.pi * u[3], self.prior.middle)

        lists, table = self.config.sky.catalogue, self.files.exposures
        toward = 0.0 if lists is None else lists.toward
        sources = self.files.catalogue.place if self.files.catalogue is not None else np.zeros((1, 3))

        def one(seed: Array, sample: Array, pointing: Array) -> Array:
            base = jax.random.fold_in(jax.random.key(seed), jnp.uint32(_TELEMETRY))
            odd = (pointing % 2 == 1) & bool(self.config.outside)
            optics = section(jax.random.fold_in(jax.random.fold_in(base, 0), pointing), tuple(OPTICS), odd)
            key = jax.random.fold_in(jax.random.fold_in(base, 1), sample)
            conditions = section(key, tuple(CONDITIONS), odd)
            u = jax.random.uniform(jax.random.fold_in(key, 1), (3,))
            sky = [360 * u[0], jnp.rad2deg(jnp.arcsin(2 * u[1] - 1)), 360 * u[2]]
            if toward:
                there = jax.random.uniform(jax.random.fold_in(key, 2)) < toward
                sky = list(jnp.where(there, aimed(key), jnp.stack(sky)))
            row = jnp.stack([*optics, *conditions, *sky]).astype(jnp.float32)
            if table is None:
                return row
            of = jax.random.fold_in(jax.random.fold_in(base, 2), pointing if table.shared else sample)
            told = jnp.asarray(table.values)[jax.random.randint(of, (), 0, len(table.values))]
            return row.at[np.array([CHANNELS.index(name) for name in table.names])].set(told)

        return jax.jit(jax.vmap(one, in_axes=(None, 0, 0)))

    # samples

    def class_of(self, seed: int, shard: int, count: int) -> np.ndarray:
        """Index in `classes` (count,) of each sample: shares as exact as whole numbers allow, in random order within
        the shard."""
        share = np.array([self.config.classes[name] for name in self.classes])
        edges = np.cumsum(share / share.sum()) * count
        classes = np.searchsorted(np.round(edges), np.arange(count), side="right")
        return np.random.default_rng([seed, shard, 7]).permutation(np.minimum(classes, len(self.classes) - 1))

    def sample(self, key: Array, exposure: Array, cls: Array | int = 0, optics: Any = None, room: int = 0) -> Any:
        """(arrays, events): simulate one exposure, a telemetry row. cls: index in CLASSES. Pure.

        optics  `simulator.optic` of the row's State, where it is known already;  room  rows of events to keep, 0: None
        """
        truth_key, noise_key = jax.random.split(key)
        program = handlers.substitute(self.prior.program, substitute_fn=quantile_draws(truth_key, self._sites))
        field = program(jnp.asarray(cls), exposure[-3:])
        if optics is None:
            optics = self.simulator.optic(self.simulator.state(exposure))
        return self.simulator.sample(noise_key, field, exposure, optics, room)

    @cached_property
    def _tables(self) -> Any:
        """Telemetry (P, C) of pointings -> their optics and PSF images, leading axis P."""

        def one(row: Array) -> tuple[Optic, Array]:
            state = self.simulator.state(row)
            optics = self.simulator.optic(state)
            psf = self.simulator.psf(state, optics.profiles, fine=self.config.frame.fine)
            return optics, psf.astype(jnp.float16)

        return self._spread(lambda rows: jax.lax.map(one, rows))

    @cached_property
    def _frames(self) -> Any:
        """(optics (P,), seed (P,), shard (P,), index (P, n), class (P, n), telemetry (P, n, C)) -> arrays with axes
        (P, n), P pointings of n samples each."""

        def pointing(a: tuple[Optic, Array, Array, Array, Array, Array]) -> dict[str, Array]:
            optics, seed, shard, *rest = a
            base = jax.random.fold_in(jax.random.key(seed), shard)

            def one(b: tuple[Array, Array, Array]) -> dict[str, Array]:
                arrays, _ = self.sample(jax.random.fold_in(base, b[0]), b[2], b[1], optics)
                return arrays

            out: dict[str, Array] = jax.lax.map(one, tuple(rest))
            return out

        return self._spread(lambda *a: jax.lax.map(pointing, a))

    def _spread(self, program: Callable[..., Any]) -> Any:
        """A program of pointings, shared out among the devices."""
        axis = PartitionSpec("batch")
        return jax.jit(jax.shard_map(program, mesh=self._mesh, in_specs=axis, out_specs=axis, check_vma=False))

    def shard(self, seed: int, shard: int, count: int) -> dict[str, np.ndarray]:
        """Every array of `spec` for `count` samples of one shard; depends on (recipe, seed, shard, count) alone.

        With `events`, `events` is a structured array besides, one row an event, sorted by sample and time.
        Raises UserError where a field has more sources above `list.faintest` than `list.sources`.
        """
        if not 0 <= seed < 2**32:
            raise UserError(f"must be from 0 to {2**32 - 1}, not {seed}", key="seed")
        start = shard * self.spec.shard_samples
        rows = self.exposures(seed, start, count)
        classes = self.class_of(seed, shard, count)
        kinds = np.array([CLASSES.index(name) for name in self.classes], np.int32)[classes]
        out = self._draw(seed, shard, start, rows, kinds)
        most = int(out["label/n_sources"].max())
        if most > self.config.list.sources:
            raise UserError(
                f"is {self.config.list.sources}: a field has {most} sources above {self.config.list.faintest:g} mCrab",
                file=self.name,
                key="list.sources",
            )
        needed = out.pop("needed")
        if self.config.events or self.config.frame.pileup:
            frames, events = self._events(seed, shard, rows, kinds, needed)
            out |= frames
            if self.config.events:
                out["events"] = events
        numbers = start + np.arange(count, dtype=np.int64)
        return out | {
            "label/class": classes.astype(np.uint8),
            "telemetry": rows.astype(np.float32),
            "exposure_id": numbers,
            "object_id": numbers,
            "pointing_id": numbers // self.config.pointing.samples,
        }

    def _draw(self, seed: int, shard: int, start: int, rows: np.ndarray, kinds: np.ndarray) -> dict[str, np.ndarray]:
        each, count = self.config.pointing.samples, len(rows)
        lead = start % each  # a shard may begin within a pointing
        groups = -(-(lead + count) // each)
        step = _STEP * self._mesh.size
        whole = -(-groups // step) * step * each
        # padding repeats samples at either end: no shape but one is ever compiled
        index = np.clip(np.arange(whole).reshape(-1, each) - lead, 0, count - 1)
        numbers = np.full(step, seed, np.uint32), np.full(step, shard, np.uint32)
        pending = []
        for begin in range(0, len(index), step):
            part = index[begin : begin + step]
            optics, psf = self._tables(rows[part[:, each // 2]])
            made = self._frames(optics, *numbers, part.astype(np.uint32), kinds[part], rows[part])
            pending.append((made, psf))
        host = jax.device_get(pending)
        out = {
            name: np.concatenate([made[name].reshape(-1, *made[name].shape[2:]) for made, _ in host])
            for name in host[0][0]
        }
        out["input/psf"] = np.repeat(np.concatenate([psf for _, psf in host]), each, axis=0)
        return {name: values[lead : lead + count] for name, values in out.items()}

    # events

    def _events(
        self, seed: int, shard: int, rows: np.ndarray, kinds: np.ndarray, needed: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Frames counted from the events, so that the two agree to the last photon, and the events."""
        frames: dict[str, list[np.ndarray]] = {"frame": [], "input/times": []}
        lists = []
        optics, last = None, -1
        each = self.config.pointing.samples
        start = shard * self.spec.shard_samples
        for i, (row, cls) in enumerate(zip(rows, kinds, strict=True)):
            if (start + i) // each != last:
                many, _ = self._tables(np.repeat(row[None], _STEP * self._mesh.size, axis=0))
                optics, last = jax.tree.map(lambda leaf: leaf[0], many), (start + i) // each
            room = _ROOM  # few sizes to compile: fields without a bright source, and one or two more
            while room < needed[i] + BLOCK:
                room *= 16
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), shard), i)
            photons = jax.device_get(self._listed(room)(key, row, cls, optics))
            rng = np.random.default_rng([seed, shard, i, 13])
            events = self._table(rng, i, row, photons)
            lists.append(events)
            for name, image in self.count(events, float(row[len(OPTICS)])).items():
                frames[name].append(image)
        found = {name: np.stack(images) for name, images in frames.items() if images}
        return found, np.concatenate(lists) if lists else np.zeros(0, EVENTS)

    def _listed(self, room: int) -> Any:
        """The compiled program of one exposure that keeps its events."""
        cache = self.__dict__.setdefault("_programs", {})
        if room not in cache:
            cache[room] = jax.jit(lambda key, row, cls, optics: self.sample(key, row, cls, optics, room)[1])
        return cache[room]

    def _table(self, rng: np.random.Generator, sample: int, row: np.ndarray, photons: Any) -> np.ndarray:
        """Rows of EVENTS, in order of time. A clump's events lie in its pixel and channel, seconds apart."""
        number = np.asarray(photons.number)
        keep = np.flatnonzero(number)
        copies = np.repeat(keep, number[keep])
        again = np.append(False, copies[1:] == copies[:-1])
        exposure, step = float(row[len(OPTICS)]), self.instrument.config.detector.frame_time
        time = np.asarray(photons.time)[copies].astype(float)
        frames = max(round(exposure / step), 1)
        edges = np.arange(self.frame.times + 1) / max(self.frame.times, 1)
        slot = np.clip(np.searchsorted(edges, time, side="right") - 1, 0, max(self.frame.times - 1, 0))
        late = time + again * rng.exponential(5.0 / exposure, len(time))
        if self.frame.times:  # a clump stays in its slice
            late = np.minimum(late, edges[slot + 1] - 1e-6)
        made = np.zeros(len(copies), EVENTS)
        made["sample"] = sample
        made["TIME"] = np.minimum(np.floor(np.minimum(late, 1 - 1e-9) * frames), frames - 1) * step
        made["DETX"], made["DETY"] = (np.asarray(v)[copies] + 1 for v in (photons.x, photons.y))
        made["PI"] = np.asarray(photons.pi)[copies]
        made["SOURCE"] = np.asarray(photons.source)[copies]
        made["X"], made["Y"] = self.sky_pixels(made["DETX"], made["DETY"], float(row[-1]))
        fine = np.clip(np.searchsorted(EDGES, 1e-3 * self.config.sensor.channel * (made["PI"] + 0.5)) - 1, 0, None)
        below = self._grades[np.minimum(fine, len(self._grades) - 1)]
        made["GRADE"] = (rng.random(len(made))[:, None] >= below[:, :-1]).sum(1)
        if self.config.frame.pileup:
            made = self._piled(made, step)
        return made[np.argsort(made["TIME"], kind="stable")]

    def _piled(self, events: np.ndarray, step: float) -> np.ndarray:
        """What is left of events that pile up in read-outs of `step` [s]; sums beyond the bands are lost."""
        number = np.round(events["TIME"] / step).astype(np.int64)
        kept, pi, grade = pile_up(number, events["DETX"], events["DETY"], events["PI"], events["GRADE"])
        bands = np.append(self.channels.lines, -1)
        kept = kept[bands[np.minimum(pi[kept], len(bands) - 1)] >= 0]
        left = events[kept]
        left["PI"], left["GRADE"] = pi[kept], grade[kept]
        return left

    @cached_property
    def _grades(self) -> np.ndarray:
        """(FINE, 13) cumulative shares of grades 0-12 of photons of each fine bin."""
        middle = 1e3 * np.sqrt(EDGES[1:] * EDGES[:-1])
        shares = np.stack([grade_fractions(float(e), self.config.sensor, steps=100) for e in middle])
        shares[shares.sum(1) == 0, 0] = 1.0
        return np.cumsum(shares, 1) / shares.sum(1, keepdims=True)

    def sky_pixels(self, detx: np.ndarray, dety: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
        """Columns X, Y [pixel] of the tangent plane about the detector's middle, north up, east to the left, of
        detector pixels; `angle` of the detector's y axis, north through east [deg]. The middle is pixel
        (1.5 side + 1) / 2 of the plane, whose pixels are the detector's, so that no corner is below 1."""
        frame, side = self.frame, self.instrument.config.detector.npix
        step = frame.pixel * ARCMIN
        l0, m0 = (ARCMIN * (o + frame.side / 2) for o in frame.origin)
        c0 = np.sqrt(1 - l0**2 - m0**2)
        k = 1 / (1 + c0)  # axes carried from the middle of the field, as twin.observatory.lobster.trace carries them
        axes = np.array([[1 - l0**2 * k, -l0 * m0 * k, -l0], [-l0 * m0 * k, 1 - m0**2 * k, -m0], [l0, m0, c0]])
        place = [
            ARCMIN * o + (np.asarray(v, float) - 0.5) * step for o, v in zip(frame.origin, (detx, dety), strict=True)
        ]
        direction = np.stack([*place, np.sqrt(1 - place[0] ** 2 - place[1] ** 2)])
        u, v, along = axes @ direction
        u, v, a = u / along / step, v / along / step, np.deg2rad(angle)
        middle = (1.5 * side + 1) / 2
        x, y = np.cos(a) * u - np.sin(a) * v, np.sin(a) * u + np.cos(a) * v
        return np.round(x + middle).astype(np.int16), np.round(y + middle).astype(np.int16)

    def count(self, events: np.ndarray, exposure: float) -> dict[str, np.ndarray]:
        """Frames of events of one sample: `frame`, and `input/times` where the recipe has slices beside the bands."""
        f = self.frame
        place = ((events["DETY"] - 1) // f.pixels).astype(np.int64) * f.bins + (events["DETX"] - 1) // f.pixels
        band = self.channels.lines[events["PI"]].astype(np.int64)
        when = np.zeros(len(events), np.int64)
        if f.times:
            step = self.instrument.config.detector.frame_time
            frames = max(round(exposure / step), 1)
            number = np.round(events["TIME"] / step).astype(np.int64)
            when = np.minimum(number * f.times // frames, f.times - 1)
        out = {}
        planes = f.times if f.sliced else f.bands
        for name, plane, many in (("frame", when if f.sliced else band, planes), ("input/times", when, f.times)):
            if name == "frame" or (f.times and not f.sliced):
                image = np.bincount(plane * f.bins**2 + place, minlength=many * f.bins**2)
                out[name] = np.minimum(image, 65535).astype(np.uint16).reshape(many, f.bins, f.bins)
        return out
