"""Many draws of every recipe's prior: frames, labels and truths are finite.

`TWIN_PROPERTY` says how many draws of each recipe (200 without it), `TWIN_PROPERTY_SIDE` how many pixels in the
middle of each frame (0: whole frames). docs/witness.md says how many have been drawn.

    TWIN_PROPERTY=100000 TWIN_PROPERTY_SIDE=16 pytest -m slow -s tests/recipe/test_property.py -k csst-lens-pop.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from tests.recipe.small import CONFIGS
from twin.observatory.detector import background_variance
from twin.observatory.state import ImagerState
from twin.priors.fields import Truth
from twin.recipe import Recipe, load_recipe
from twin.recipe.batches import MICROBATCH, stored
from twin.schema import load_yaml
from twin.simulators.base import Rendered

DRAWS = int(os.environ.get("TWIN_PROPERTY", "200"))
SIDE = int(os.environ.get("TWIN_PROPERTY_SIDE", "0"))  # pixels of the middle of frames; 0 = whole frames
FIRST = int(os.environ.get("TWIN_PROPERTY_FIRST", "0"))  # number of the first draw
SEED = 4
NEGATIVE = 1e-2  # of the brightest pixel: no expected light below this, ringing of the band limit included


@dataclass(frozen=True)
class _Watched:
    """A simulator whose expected images are seen: labels tell whether they are finite, and how far below zero."""

    simulator: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.simulator, name)

    def labels(self, cls: str, truth: Truth, rendered: Rendered, state: ImagerState) -> dict[str, Array]:
        light = rendered.expected
        # of the brightest pixel, or of the noise where nothing in the frame is as bright
        peak = jnp.maximum(jnp.max(light, (-2, -1)), jnp.sqrt(background_variance(state)) / state.gain)
        return self.simulator.labels(cls, truth, rendered, state) | {
            "expected": jnp.all(jnp.isfinite(light)),
            "negative": jnp.min(jnp.min(light, (-2, -1)) / peak),
        }


@dataclass
class Report:
    """What was wrong, and where: the number of each bad draw; names of what was NaN, and in how many draws; how far
    below zero expected light was, of the frame's brightest pixel."""

    draws: int = 0
    seconds: float = 0.0
    bad: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    negative: float = 0.0
    negative_at: int = -1
    nan: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def line(self, name: str, cls: str) -> str:
        bad = {what: len(numbers) for what, numbers in self.bad.items() if numbers}
        least = "" if SIDE else f"least {self.negative:.1e} of the peak (draw {self.negative_at}), "
        nan = {what: many for what, many in self.nan.items() if what.startswith("label/") and many}
        rate = self.draws / max(self.seconds, 1e-9)
        return f"{name} {cls}: {self.draws} draws, bad {bad}, {least}NaN {nan}, {rate:.0f}/s"


def program(recipe: Recipe, cls: str, mesh: Mesh) -> Any:
    """(numbers of draws (N,), telemetry (N, C)) -> what is wrong with each."""
    watched = copy(recipe)
    watched.simulator = _Watched(recipe.simulator)  # type: ignore[assignment]

    def one(index: Array, row: Array) -> dict[str, Array]:
        key = jax.random.fold_in(jax.random.key(SEED), index)
        sample, state = watched.sample(key, row, cls), watched.state(row)
        arrays = stored(sample, state, recipe.stacked, recipe.instrument.config.detector)
        numbers = [v for name, v in arrays.items() if name.startswith("noise/")]
        label = dict(sample.label)
        seen = {name: label.pop(name) for name in ("expected", "negative")}
        floats = {n: v for n, v in label.items() if jnp.issubdtype(v.dtype, jnp.floating)}
        return seen | {
            "frame": jnp.all(jnp.isfinite(sample.frame)),
            "noise": jnp.all(jnp.stack([jnp.all(jnp.isfinite(v) & (v > 0)) for v in numbers])),
            "infinite truth": ~jnp.any(jnp.isinf(sample.truth)),
            "infinite label": ~jnp.any(
                jnp.stack([jnp.any(jnp.isinf(v)) for v in floats.values()] or [jnp.array(False)])
            ),
            "truth": jnp.isnan(sample.truth),
            **{f"label/{name}": jnp.any(jnp.isnan(v)) for name, v in floats.items()},
        }

    def block(index: Array, rows: Array) -> dict[str, Array]:
        return jax.lax.map(lambda a: one(*a), (index, rows), batch_size=8)

    spread = PartitionSpec("batch")
    whole = jax.shard_map(block, mesh=mesh, in_specs=(spread, spread), out_specs=spread, check_vma=False)
    return jax.jit(whole)


def sweep(recipe: Recipe, cls: str, first: int, draws: int) -> Report:
    """Draws first .. first + draws - 1 of a class, on nights of their own."""
    mesh = Mesh(np.array(jax.local_devices()), ("batch",))
    step, run, report = MICROBATCH * mesh.size, program(recipe, cls, mesh), Report(draws)
    begin = time.perf_counter()
    for start in range(first, first + draws, step):
        count = min(step, first + draws - start)
        rows = np.pad(recipe.exposures(SEED, start, count), ((0, step - count), (0, 0)), mode="edge")
        index = np.minimum(start + np.arange(step), start + count - 1).astype(np.uint32)
        found = {name: np.asarray(v)[:count] for name, v in run(index, rows).items()}
        for name in ("frame", "expected", "noise", "infinite truth", "infinite label"):
            report.bad[name] += (start + np.flatnonzero(~found[name])).tolist()
        least = int(np.argmin(found["negative"]))
        if found["negative"][least] < report.negative:
            report.negative, report.negative_at = float(found["negative"][least]), start + least
        for name, share in zip(recipe.truth_names, found["truth"].sum(0), strict=True):
            report.nan[f"truth {name}"] += int(share)
        for name in (n for n in found if n.startswith("label/")):
            report.nan[name] += int(found[name].sum())
    report.seconds = time.perf_counter() - begin
    return report


def window(recipe: Recipe, side: int) -> Recipe:
    """The recipe with the middle `side` pixels of its frames alone: truths and telemetry stay what they are."""
    out = copy(recipe)
    grid = replace(recipe.canvas.grid, npix=min(side, recipe.config.frame.npix))
    out.canvas = replace(recipe.canvas, grid=grid)
    return out


def cases() -> list[Any]:
    """Recipe and class of all that are shipped, from their files: loading some needs real observations."""
    paths = sorted((CONFIGS / "recipes").glob("*.yaml"))
    return [
        pytest.param(path.stem, cls, id=f"{path.stem}.{cls}")
        for path in paths
        for cls in load_yaml(path).value.get("classes", ())  # spectra are drawn by kind and have a test of their own
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cls"), cases())
def test_every_draw_is_finite(name: str, cls: str, request: pytest.FixtureRequest) -> None:
    if name == "csst-lens-real":
        request.getfixturevalue("real_data")
    recipe = load_recipe(name)
    share = recipe.config.classes[cls] / sum(recipe.config.classes.values())
    if SIDE:
        recipe = window(recipe, SIDE)
    report = sweep(recipe, cls, FIRST, max(1, round(DRAWS * share)))
    print("\n" + report.line(name, cls), flush=True)
    assert not {what: numbers[:9] for what, numbers in report.bad.items() if numbers}
    for what, many in report.nan.items():
        # NaN: a magnitude of what is not there, what the class does not have at all, a label that says so
        assert "_mag" in what or what.startswith("label/") or many in (0, report.draws), what
    if not SIDE:  # a window cuts what is sampled, which rings
        assert report.negative > -NEGATIVE, report.negative_at
