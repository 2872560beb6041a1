"""Fields of a recipe as a detector's training keeps them: features and the answers that belong to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from twin.io.layout import ShardSource
from twin.numerics.poisson import poisson
from twin.schema import UserError
from twin.train.detector import front
from twin.train.detector.config import DetectorConfig
from twin.train.detector.network import ARTEFACT, MEASURED, NOTHING, SOURCE, SUBTILE, place

CHUNK = 256  # fields that the recipe is asked for at a time
_OWN = 3.0  # [bin] around a source where its light is its own and no artefact
EXTRA, EXTRA_COUNTS = 16, (20.0, 3000.0)  # sources that are added at the most, and their counts
_BRIGHT = 4  # sources whose arms are looked at
Arrays = dict[str, np.ndarray]


def sources_of(recipe: ShardSource, arrays: Arrays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth (n, S, MEASURED), all of each source's counts (n, S), and whether there is one (n, S).

    Raises UserError for a recipe whose samples have no sources.
    """
    names = {array.name: array for array in recipe.spec.arrays}
    if "label/sources" not in names or "input/psf" not in names:
        raise UserError(
            "a detector is trained on label/sources and input/psf, which its samples lack", file=recipe.name
        )
    if names["input/psf"].attrs.get("bins_a_bin", front.FINE) != front.FINE:
        raise UserError(f"must be {front.FINE}: what a detector takes", file=recipe.name, key="frame.fine")
    of = list(names["label/sources"].coords["field"])
    listed = arrays["label/sources"]
    column = {name: listed[..., of.index(name)] for name in ("x", "y", "counts", "hardness", "variability")}
    there = np.arange(listed.shape[1]) < arrays["label/n_sources"][:, None]
    n = arrays["frame"].shape[-1]
    inside = (column["x"] > -0.5) & (column["x"] < n - 0.5) & (column["y"] > -0.5) & (column["y"] < n - 0.5)
    column["log_counts"] = np.log(np.maximum(column["counts"], 0.1))
    truth = np.stack([column[name] for name in MEASURED], -1).astype(np.float32)
    return truth, np.where(there, column["counts"], 0).astype(np.float32), there & inside


def answers(truth: Array, counts: Array, there: Array, psf: Array, background: Array, n: int, arms: float) -> Array:
    """(n / 2, n / 2) class of each subtile of one field.

    truth (S, MEASURED), counts (S,), there (S,); background [count a bin]. An artefact: light of the brightest sources
    beyond `_OWN` bins of each, `arms` times the background's standard deviation in the subtile.
    """
    k = front.kernel(psf, n)
    grid = np.arange(n, dtype=np.float32)
    _, index = jax.lax.top_k(counts, _BRIGHT)

    def beyond(i: Array) -> Array:
        image = counts[i] * front.source_image(k, truth[i, 0], truth[i, 1], n)
        far = (grid[None] - truth[i, 0]) ** 2 + (grid[:, None] - truth[i, 1]) ** 2 > _OWN**2
        return jnp.where(far & there[i], image, 0.0)

    light = jax.lax.map(beyond, index).sum(0)
    side = n // SUBTILE
    light = light.reshape(side, SUBTILE, side, SUBTILE).sum((1, 3))
    kind = jnp.where(light > arms * jnp.sqrt(background * SUBTILE**2), ARTEFACT, NOTHING)
    row, column = place(truth, side, side)
    source = jnp.zeros((side, side), bool).at[row, column].max(there)
    return jnp.where(source, SOURCE, kind).astype(jnp.uint8)


def added(key: Array, frame: Array, psf: Array, mean: float) -> tuple[Array, Array, Array, Array]:
    """A frame (band, y, x) with further sources, and their truth (EXTRA, MEASURED), counts and presence.

    As many as Poisson's law says, at most `EXTRA`; counts of all of the PSF log-uniform, a share of them in the last
    band, the rest as the frame's others are. Their variability is not told: they shine evenly.
    """
    n, bands = frame.shape[-1], frame.shape[0]
    k = front.kernel(psf, n)
    keys = jax.random.split(key, 3)
    u = jax.random.uniform(keys[0], (4, EXTRA))
    there = jnp.arange(EXTRA) < jax.random.poisson(keys[1], mean)
    x, y = u[0] * (n - 1), u[1] * (n - 1)
    whole = jnp.where(there, EXTRA_COUNTS[0] * (EXTRA_COUNTS[1] / EXTRA_COUNTS[0]) ** u[2], 0.0)
    hard = 0.02 + 0.6 * u[3] ** 2
    image = jax.lax.map(lambda a: front.source_image(k, a[0], a[1], n), (x, y))
    counts = whole * image.sum((1, 2))
    others = jnp.maximum(frame[:-1].sum((1, 2)), 1.0)
    share = jnp.concatenate([(1 - hard) * (others / others.sum())[:, None], hard[None]])
    more = poisson(keys[2], jnp.einsum("bk,kyx->byx", share * whole, image).reshape(bands, -1))
    columns = {"x": x, "y": y, "log_counts": jnp.log(jnp.maximum(counts, 0.1)), "hardness": hard,
               "variability": jnp.full(EXTRA, jnp.nan)}  # fmt: skip
    return frame + more.reshape(frame.shape), jnp.stack([columns[name] for name in MEASURED], -1), counts, there


def preparer(n: int, arms: float, extra: float) -> Callable[..., tuple[Array, ...]]:
    """(shape, keys, frames, PSFs, truth, counts, there) -> features (N, y, x, CHANNELS) float16, classes, truth,
    presence; on all devices."""
    mesh = Mesh(np.array(jax.local_devices()), ("batch",))

    def one(a: tuple[Array, ...], shape: Array) -> tuple[Array, ...]:
        key, frame, psf, truth, counts, there = a
        frame = frame.astype(jnp.float32)
        if extra:
            frame, *more = added(jax.random.wrap_key_data(key), frame, psf, extra)
            truth, counts, there = (jnp.concatenate(pair) for pair in zip((truth, counts, there), more, strict=True))
        maps, fit = front.features(frame, psf, shape)
        kind = answers(truth, counts, there, psf, fit.background, n, arms)
        return maps.astype(jnp.float16), kind, truth, there

    def block(shape: Array, *a: Array) -> tuple[Array, ...]:
        found: tuple[Array, ...] = jax.lax.map(partial(one, shape=shape), a)
        return found

    spread = P("batch")
    return jax.jit(jax.shard_map(block, mesh=mesh, in_specs=(P(), *[spread] * 6), out_specs=spread, check_vma=False))


def simulate_fields(
    recipe: ShardSource, config: DetectorConfig, seed: int, many: int, first_shard: int, extra: float,
    progress: Callable[[int], None],
) -> Arrays:  # fmt: skip
    """Features, classes and sources of `many` fields of a recipe, from shards `first_shard` on; `extra` sources more in
    each, on the mean."""
    pool: Arrays = {}
    devices = len(jax.local_devices())
    whole = -(-min(CHUNK, many) // devices) * devices
    prepare: Any = None
    for start in range(0, many, whole):
        held = min(whole, many - start)
        arrays = dict(recipe.shard(seed, first_shard + start // whole, whole))
        truth, counts, there = sources_of(recipe, arrays)
        frame = arrays["frame"]
        if prepare is None:
            prepare = preparer(frame.shape[-1], config.arms, extra)
        keys = np.random.default_rng([seed, first_shard, start]).integers(0, 2**32, (whole, 2), np.uint32)
        psf = arrays["input/psf"].astype(np.float32)
        found = prepare(background_shape(recipe), keys, frame, psf, truth, counts, there)
        part = dict(zip(("maps", "kind", "sources", "there"), map(np.asarray, found), strict=True))
        if not np.isfinite(part["maps"]).all():
            raise UserError("has frames or PSFs whose features are no numbers", file=recipe.name, key="input/psf")
        for name, values in part.items():
            pool.setdefault(name, np.empty((many, *values.shape[1:]), values.dtype))[start : start + held] = values[
                :held
            ]
        progress(held)
    return pool


def background_shape(recipe: ShardSource) -> np.ndarray:
    """(y, x) background's relative brightness that a recipe's telescope has, of mean 1."""
    n = recipe.spec["frame"].shape[-1]
    shape = getattr(recipe, "background_shape", None)
    found = np.ones((n, n), np.float32) if shape is None else np.asarray(shape, np.float32)
    return found / found.mean()


def field_batches(pool: Arrays, config: DetectorConfig, seed: int, start: int) -> Iterator[Arrays]:
    """Arrays (member, batch, ...) from step `start` on, flipped and turned: a pure function of (seed, step)."""
    n, batch = len(pool["maps"]), config.batch
    for step in range(start, config.steps):
        rng = np.random.default_rng([seed, step])
        index = np.empty((config.members, batch), int)
        for member in range(config.members):
            epoch, at = np.divmod(np.arange(step * batch, (step + 1) * batch), n)
            for e in np.unique(epoch):
                order = np.random.default_rng([seed, member, int(e)]).permutation(n)
                index[member, epoch == e] = order[at[epoch == e]]
        arrays = {name: values[index] for name, values in pool.items()}
        yield turned(arrays, int(rng.integers(8)))


def turned(arrays: Arrays, way: int) -> Arrays:
    """One of the eight flips and quarter turns of fields (..., y, x, c): of the pores' roll the mirror image, too."""
    maps, kind, sources = arrays["maps"], arrays["kind"], arrays["sources"].copy()
    n = maps.shape[-2]
    at_x, at_y = front.CHANNELS.index("bright_x"), front.CHANNELS.index("bright_y")
    maps = maps.copy()
    if way & 1:
        maps, kind = maps[..., ::-1, :].copy(), kind[..., ::-1]
        maps[..., at_x] *= -1
        sources[..., 0] = n - 1 - sources[..., 0]
    if way & 2:
        maps, kind = maps[..., ::-1, :, :].copy(), kind[..., ::-1, :]
        maps[..., at_y] *= -1
        sources[..., 1] = n - 1 - sources[..., 1]
    if way & 4:
        maps, kind = np.swapaxes(maps, -2, -3).copy(), np.swapaxes(kind, -1, -2)
        maps[..., [at_x, at_y]] = maps[..., [at_y, at_x]]
        sources[..., [0, 1]] = sources[..., [1, 0]]
    return arrays | {"maps": np.ascontiguousarray(maps), "kind": np.ascontiguousarray(kind), "sources": sources}
