"""Fields of a recipe as a detector's training keeps them: what their candidates say and what these are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from twin.io.layout import ShardSource
from twin.schema import UserError
from twin.train.detector import front
from twin.train.detector.candidates import Candidates, found_in, plain_score
from twin.train.detector.config import DetectorConfig
from twin.train.detector.network import ARTEFACT, MEASURED, NOTHING, SOURCE, blinded, standard, turned
from twin.train.detector.scores import RADIUS, pairs

CHUNK = 256  # fields that the recipe is asked for at a time
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


def with_times(recipe: ShardSource, slices: int) -> ShardSource:
    """A recipe's fields in slices of time as well, where it can make them."""
    timed = getattr(recipe, "timed", None)
    return recipe if timed is None else timed(slices)


def slices_of(arrays: Arrays) -> np.ndarray:
    """(n, slice, y, x) counts in slices of time; none where the recipe has none."""
    frame = arrays["frame"]
    return np.asarray(arrays.get("input/times", np.zeros((len(frame), 0, *frame.shape[-2:]), np.uint16)))


def preparer(plain: bool = False) -> Callable[..., tuple[Candidates, Array, Array]]:
    """(shape, frames, slices, PSFs, whether they are exact) -> candidates (N, ROOM, ...), backgrounds (N,) and, where
    `plain`, scores without bright sources (N, y, x); on all devices."""
    mesh = Mesh(np.array(jax.local_devices()), ("batch",))

    def one(a: tuple[Array, Array, Array, Array], shape: Array) -> tuple[Candidates, Array, Array]:
        frame, times, psf = a[0].astype(jnp.float32), a[1].astype(jnp.float32), a[2].astype(jnp.float32)
        found, fit = found_in(frame, times, psf, shape, a[3])
        z = plain_score(jnp.sum(frame, 0), psf, shape, fit) if plain else jnp.zeros((0, 0))
        return found._replace(features=found.features.astype(jnp.float16)), fit.background, z

    def block(shape: Array, *a: Array) -> tuple[Candidates, Array, Array]:
        found: tuple[Candidates, Array, Array] = jax.lax.map(lambda each: one(each, shape), a)
        return found

    spread = P("batch")
    return jax.jit(jax.shard_map(block, mesh=mesh, in_specs=(P(), *[spread] * 4), out_specs=spread, check_vma=False))


def prepared(
    prepare: Callable[..., Any], shape: np.ndarray, arrays: Arrays, exact: np.ndarray | None = None
) -> tuple[Candidates, np.ndarray]:
    """A `preparer`'s candidates of a shard's fields, those that lie on the image, and its scores without bright
    sources. exact (n,): whose PSF is known to be right, all where None"""
    told = np.ones(len(arrays["frame"]), bool) if exact is None else exact
    found, _, z = prepare(shape, arrays["frame"], slices_of(arrays), arrays["input/psf"], told)
    return Candidates(*(np.asarray(v) for v in found)), np.asarray(z)


def mistaken(psf: np.ndarray, rng: np.random.Generator, most: float) -> tuple[np.ndarray, np.ndarray]:
    """PSFs (n, side, side), to half of which, on the mean, a share up to `most` of another one's is mixed, moved
    by a part of a bin at the most: a core that is lopsided; and which have their own (n,)."""
    exact = rng.random(len(psf)) < 0.5
    share = np.where(exact, 0, rng.uniform(0, most, len(psf))).astype(np.float32)
    psf, n = psf.astype(np.float32), len(psf)
    other = (np.arange(n) + rng.integers(1, max(n, 2), n)) % n
    moves = rng.integers(-1, 2, (len(psf), 2))
    out = psf.copy()
    for k in np.flatnonzero(share):
        moved = np.roll(psf[other[k]], moves[k], (0, 1))
        out[k] += share[k] * (moved - psf[k])
    return out, exact


def answers(found: Candidates, truth: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class (ROOM,) of one field's candidates and, of sources, what is measured (ROOM, MEASURED) in the units of
    `standard`.

    A candidate is a source where a true one lies within 3 arcmin of its fit, the surest first; what is none and lies in
    the light of a bright one is an artefact. truth (S, MEASURED), there (S,)
    """
    kind = np.where(found.lit, ARTEFACT, NOTHING).astype(np.uint8)
    target = np.full((len(kind), len(MEASURED)), np.nan, np.float32)
    order = np.flatnonzero(found.there)
    order = order[np.argsort(-found.features[order, 0], kind="stable")]
    real = np.flatnonzero(there)
    of = pairs(found.base[order, 0], found.base[order, 1], truth[real, 0], truth[real, 1], RADIUS)
    zero, unit = standard(found.base, found.sigma)
    hit, its = order[of >= 0], real[of[of >= 0]]
    kind[hit] = SOURCE
    target[hit] = (truth[its] - zero[hit]) / unit[hit]
    return kind, target


def simulate_fields(
    recipe: ShardSource, seed: int, many: int, first_shard: int, most: float, progress: Callable[[int], None]
) -> Arrays:
    """What the candidates of `many` fields of a recipe say, from shards `first_shard` on, where PSFs are `mistaken` by
    `most`, and what they are: features, kind, target, field (number), base, sigma, each (candidate, ...);
    sources (many, S, MEASURED), there (many, S), exact (many,)."""
    pool: dict[str, list[np.ndarray]] = {}
    devices = len(jax.local_devices())
    whole = -(-min(CHUNK, many) // devices) * devices
    prepare, shape = preparer(), background_shape(recipe)
    for start in range(0, many, whole):
        held = min(whole, many - start)
        arrays = dict(recipe.shard(seed, first_shard + start // whole, whole))
        truth, _, there = sources_of(recipe, arrays)
        rng = np.random.default_rng([seed, first_shard, start])
        arrays["input/psf"], exact = mistaken(arrays["input/psf"], rng, most)
        found, _ = prepared(prepare, shape, arrays, exact)
        for k in range(held):
            one = Candidates(*(v[k] for v in found))
            if not np.isfinite(one.features[one.there]).all():
                raise UserError("has frames or PSFs whose features are no numbers", file=recipe.name, key="input/psf")
            kind, target = answers(one, truth[k], there[k])
            part = {"features": one.features, "kind": kind, "target": target, "base": one.base, "sigma": one.sigma,
                    "field": np.full(len(kind), start + k)}  # fmt: skip
            for name, values in part.items():
                pool.setdefault(name, []).append(values[one.there])
        pool.setdefault("sources", []).extend(truth[:held, None])
        pool.setdefault("there", []).extend(there[:held, None])
        pool.setdefault("exact", []).append(exact[:held])
        progress(held)
    return {name: np.concatenate(values) for name, values in pool.items()}


def background_shape(recipe: ShardSource) -> np.ndarray:
    """(y, x) background's relative brightness that a recipe's telescope has, of mean 1."""
    n = recipe.spec["frame"].shape[-1]
    shape = getattr(recipe, "background_shape", None)
    found = np.ones((n, n), np.float32) if shape is None else np.asarray(shape, np.float32)
    return found / found.mean()


def candidate_batches(pool: Arrays, config: DetectorConfig, seed: int, start: int) -> Iterator[Arrays]:
    """Arrays (member, batch, ...) from step `start` on, flipped, turned, blinded: a pure function of (seed, step)."""
    n, batch = len(pool["kind"]), config.batch
    for step in range(start, config.steps):
        rng = np.random.default_rng([seed, step])
        index = np.empty((config.members, batch), int)
        for member in range(config.members):
            epoch, at = np.divmod(np.arange(step * batch, (step + 1) * batch), n)
            for e in np.unique(epoch):
                order = np.random.default_rng([seed, member, int(e)]).permutation(n)
                index[member, epoch == e] = order[at[epoch == e]]
        arrays = {name: pool[name][index] for name in ("features", "kind", "target")}
        arrays = turned(arrays, int(rng.integers(8)))
        yield arrays | {"features": blinded(arrays["features"], rng, config.blind)}
