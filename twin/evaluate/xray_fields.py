"""Benchmark `ep-wxt-test`: a detector on simulated fields, beside the likelihood ratio that knows the PSF."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import twin
from twin.evaluate.catalogue import Column, write_catalogue
from twin.evaluate.config import XrayFields
from twin.evaluate.result import scores_json
from twin.evaluate.sources import Telescope
from twin.evaluate.xray_fields_page import render
from twin.io.atomic import make_folder, plain_disk_errors, write_text
from twin.metrics import Estimate, binomial_interval
from twin.recipe.xray import XrayRecipe
from twin.train.detector.catalogue import Sources, sources
from twin.train.detector.fields import CHUNK, background_shape, prepared, preparer, sources_of
from twin.train.detector.model import Detector
from twin.train.detector.network import MEASURED
from twin.train.detector.scores import pairs

LEVELS = {"68": 1.0, "95": 1.959964}
ARTEFACT = 5.0  # standard deviations
KILOSECOND = 1000.0  # [s]
OWN = 5.0  # [arcmin] within which an arm is a source's own
Found = dict[str, Estimate]


@dataclass(frozen=True)
class Field:
    """One field: what is true of it, and what was found.

    x, y [bin], mcrab (k,) of the sources; truth (k, MEASURED)
    bright   (m, 2) [bin] of what has arms, on the frame or beside it;  roll  [deg] of the pores' axes
    exposure [s];  outside: telemetry beyond training's;  peaks (j, 2) [bin] of what a test without arms would list
    counts   (k,) on the frame;  row  telemetry;  stray: a bright source beside the frame
    """

    x: np.ndarray
    y: np.ndarray
    mcrab: np.ndarray
    truth: np.ndarray
    bright: np.ndarray
    roll: float
    exposure: float
    outside: bool
    peaks: np.ndarray
    found: Sources
    frame: np.ndarray
    psf: np.ndarray
    sky: float
    counts: np.ndarray
    row: np.ndarray
    stray: bool


@dataclass
class Tally:
    """Hits of how many, by name."""

    hits: dict[str, list[int]] = field(default_factory=dict)

    def add(self, name: str, hit: np.ndarray | bool) -> None:
        each = np.atleast_1d(np.asarray(hit, bool))
        so_far = self.hits.setdefault(name, [0, 0])
        so_far[0] += int(each.sum())
        so_far[1] += len(each)

    def metrics(self) -> Found:
        return {name: binomial_interval(k, n) for name, (k, n) in sorted(self.hits.items()) if n}


def fields(model: Detector, recipe: XrayRecipe, config: XrayFields, say: Callable[[str], None]) -> Iterator[Field]:
    """The fields of the benchmark, searched."""
    width = recipe.pixel_scale / 60
    prepare, shape = preparer(plain=True), background_shape(recipe)
    names = {array.name: array for array in recipe.spec.arrays}
    column = {name: k for k, name in enumerate(names["label/sources"].coords["field"])}
    channel = {name: k for k, name in enumerate(names["telemetry"].coords["channel"])}
    parameter = {name: k for k, name in enumerate(names["truth"].coords["parameter"])}
    origin = np.array([e[0] for e in recipe.frame.edges]) / width + 0.5
    middle = recipe.simulator.middle / width - origin
    whole = min(CHUNK, max(2, config.n + config.n % 2))
    for start in range(0, config.n, whole):
        began = time.monotonic()
        arrays = recipe.shard(config.seed, start // whole, whole)
        truth, counts, there = sources_of(recipe, arrays)
        psf = arrays["input/psf"].astype(np.float32)
        found, plain = prepared(prepare, shape, arrays)
        said = model.networks.predict(model.weights, found.features, found.base, found.sigma, found.there)
        said = said.widened(model.widen, np.ones(whole, bool))
        for k in range(min(whole, config.n - start)):
            listed = arrays["label/sources"][k][there[k]]
            drawn = arrays["truth"][k]
            crab = np.array([drawn[parameter[f"bright_{name}"]] for name in ("x", "y")]) / width + middle
            bright = listed[listed[:, column["mcrab"]] > config.bright][:, [column["x"], column["y"]]]
            if np.isfinite(crab).all():
                bright = np.concatenate([bright, crab[None]])
            yield Field(
                listed[:, column["x"]], listed[:, column["y"]], listed[:, column["mcrab"]], truth[k][there[k]], bright,
                float(arrays["telemetry"][k, channel["roll"]]), float(arrays["telemetry"][k, channel["exposure"]]),
                bool(arrays["pointing_id"][k] % 2), peaks(plain[k]), sources(said, k), arrays["frame"][k].sum(0),
                psf[k], float(arrays["noise/sky"][k].sum()), counts[k][there[k]], arrays["telemetry"][k],
                recipe.classes[arrays["label/class"][k]] == "stray",
            )  # fmt: skip
        done = min(start + whole, config.n)
        say(f"{done} of {config.n} fields, {whole / (time.monotonic() - began):.0f}/s")


def peaks(z: np.ndarray) -> np.ndarray:
    """(j, 2) x, y [bin] of greatest scores z (y, x) within a bin that a test without bright sources would list."""
    padded = np.pad(z, 1, constant_values=-np.inf)
    n = len(z)
    around = [padded[i : i + n, j : j + n] for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    top = (z > ARTEFACT) & (z >= np.max(around, 0))
    return np.argwhere(top)[:, ::-1].astype(float)


def away(x: np.ndarray, y: np.ndarray, one: Field, width: float) -> np.ndarray:
    """(n,) [arcmin] distance from the nearest arm of another source: along the pores' axes; infinite without any."""
    if not len(one.bright):
        return np.full(len(x), np.inf)
    dx, dy = (v[:, None] - one.bright[:, k] for k, v in enumerate((np.asarray(x, float), np.asarray(y, float))))
    cos, sin = np.cos(np.radians(one.roll)), np.sin(np.radians(one.roll))
    apart = width * np.minimum(np.abs(cos * dx + sin * dy), np.abs(cos * dy - sin * dx))
    own = np.hypot(dx, dy) * width < OWN
    return np.asarray(np.where(own, np.inf, apart).min(1))


def run(
    model: Detector, recipe: XrayRecipe, config: XrayFields, say: Callable[[str], None] = lambda text: None
) -> tuple[Found, dict[str, int], list[Column]]:
    """Metrics, counts, and a table of the sources with what was found of them."""
    width, telescope = recipe.pixel_scale / 60, Telescope(recipe, {})
    per_mcrab = telescope.counts_per_flux(1.0) * float(recipe.simulator.mcrab)
    tally, rows = Tally(), []
    kept: list[tuple[Field, Sources, np.ndarray]] = []
    for one in fields(model, recipe, config, say):
        found = one.found.above(model.threshold)
        of = pairs(found.x, found.y, one.x, one.y, config.radius / width)
        flux = np.exp(found.log_counts) / (per_mcrab * one.exposure)
        half = "outside" if one.outside else "inside"
        clear = away(found.x, found.y, one, width) > config.arms
        apart = away(one.x, one.y, one, width)
        hit = np.isin(np.arange(len(one.x)), of)
        for name in ("", f"_{half}"):
            tally.add(f"purity_away{name}", of[clear & (flux > config.limit)] >= 0)
            tally.add(f"purity_arms{name}", of[~clear & (flux > config.limit)] >= 0)
            tally.add(f"completeness_away{name}", hit[(apart > config.arms) & (one.mcrab > config.limit)])
            tally.add(f"completeness_arms{name}", hit[(apart <= config.arms) & (one.mcrab > config.limit)])
        if abs(one.exposure / KILOSECOND - 1) < 0.1:
            tally.add(f"completeness_away_{half}_1ks", hit[(apart > config.arms) & (one.mcrab > config.limit)])
        artefacts = one.peaks[far(one.peaks, one.x, one.y, config.radius / width)]
        tally.add("artefacts_rejected", far(artefacts, found.x, found.y, config.radius / width))
        for k, name in enumerate(MEASURED):
            z = (
                np.abs(getattr(found, name)[of >= 0] - one.truth[of[of >= 0], k])
                / getattr(found, f"{name}_err")[of >= 0]
            )
            for level, limit in LEVELS.items():
                tally.add(f"coverage_{level}_{name}", z[np.isfinite(z)] < limit)
                tally.add(f"coverage_{level}_{name}_{half}", z[np.isfinite(z)] < limit)
        rows.append(np.stack([one.x, one.y, one.mcrab, apart, hit, np.full(len(hit), one.outside)], 1))
        if len(kept) < config.ceiling and not one.stray:
            kept.append((one, found, of))
    metrics = tally.metrics()
    if kept:
        from twin.evaluate.xray_peers import against

        metrics |= against(kept, recipe, config, say)
    table = np.concatenate(rows)
    about = {
        "x": ("pixel", "pos.cartesian.x", "true bin, counted from 0"),
        "y": ("pixel", "pos.cartesian.y", "the same along y"),
        "mcrab": ("", "phot.flux", "true flux over a thousandth of the Crab's"),
        "arm_distance": ("arcmin", "pos.angDistance", "from the nearest arm of a bright source"),
        "detected": ("", "meta.code", "whether it was found"),
        "outside": ("", "meta.code", "telemetry beyond training's"),
    }  # fmt: skip
    columns = [Column(name, table[:, k], *words) for k, (name, words) in enumerate(about.items())]
    counts = {"fields": config.n, "sources": len(table), "fields beside other detectors": len(kept)}
    return metrics, counts, columns


def far(points: np.ndarray, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Whether points (j, 2) lie further than `radius` from all of x, y."""
    if not len(x):
        return np.ones(len(points), bool)
    return np.asarray(np.hypot(points[:, :1] - x, points[:, 1:] - y).min(1, initial=np.inf) > radius)


def judge(
    folder: str | Path, config: XrayFields, out: Path, json_path: Path, say: Callable[[str], None] = print
) -> Found:
    """Score a detector; write report.html, sources.parquet and .fits into `out` and the metrics as JSON.

    Raises UserError for a model folder that holds no detector.
    """
    from twin.recipe import load_recipe

    model = Detector.load(folder)
    recipe = load_recipe(config.recipe)
    assert isinstance(recipe, XrayRecipe)
    recipe = recipe.timed(model.config.slices)
    metrics, counts, columns = run(model, recipe, config, say)
    about = {"model": Path(folder).name, "data": f"simulated, seed {config.seed}", "twin": twin.__version__}
    page = render(config, metrics, counts, columns, about)
    with plain_disk_errors(out):
        make_folder(out)
    write_text(out / "report.html", page)
    for ending in ("parquet", "fits"):
        write_catalogue(out / f"sources.{ending}", columns, {**about, "benchmark": config.benchmark})
    write_text(json_path, scores_json(config.benchmark, config.n, metrics, counts))
    return metrics
