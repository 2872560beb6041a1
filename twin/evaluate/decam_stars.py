"""Benchmark `decam-stars`: shapes of held-out stars on real exposures, predicted by a calibrated twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import twin
from twin.evaluate.catalogue import write_catalogue
from twin.evaluate.config import DecamStars
from twin.evaluate.decam_stars_page import render, star_columns
from twin.evaluate.result import scores_json
from twin.io.atomic import make_folder, plain_disk_errors, write_text
from twin.metrics import Estimate, bootstrap
from twin.observatory.calibrate.field import Physics, Prior, fit_field, physics_of, position_folds
from twin.observatory.calibrate.folder import Calibration
from twin.observatory.calibrate.stars import Cuts, Stars, read_stars
from twin.observatory.imager import Imager
from twin.schema import UserError

COMPONENTS = ("e1", "e2", "size")
Metrics = dict[str, Estimate]


@dataclass(frozen=True)
class Exposure:
    """One exposure's stars, the fold of each, and their residuals (n, 3) e1, e2, relative size: of the twin, of a
    polynomial, and of the training mean."""

    stars: Stars
    fold: np.ndarray
    residual: np.ndarray
    polynomial: np.ndarray
    constant: np.ndarray


@dataclass(frozen=True)
class Found:
    """What the benchmark found: metrics by name, counts, sentences for the report, the exposures."""

    metrics: Metrics
    counts: dict[str, int]
    notes: tuple[str, ...]
    exposures: tuple[Exposure, ...]

    @property
    def n(self) -> int:
        """Stars that were scored."""
        return sum(len(one.stars) for one in self.exposures)

    def as_json(self, benchmark: str) -> str:
        """The JSON of the benchmark, see `scores_json`."""
        return scores_json(benchmark, self.n, self.metrics, self.counts)


def judge(
    folder: str | Path, config: DecamStars, where: Path, out: Path, json_path: Path, say: Callable[[str], None] = print
) -> Found:
    """Score a calibration; write report.html, stars.parquet and stars.fits into `out` and the metrics as JSON."""
    found = run(folder, config, where, say)
    about = {"calibration": Path(folder).name, "twin": twin.__version__}
    columns = star_columns(found.exposures)
    parts = found.exposures, found.metrics, found.counts, found.notes
    page = render(config.title, config.protocol, *parts, about)
    with plain_disk_errors(out):
        make_folder(out)
    write_text(out / "report.html", page)
    for ending in ("parquet", "fits"):
        write_catalogue(out / f"stars.{ending}", columns, {**about, "benchmark": config.benchmark})
    write_text(json_path, found.as_json(config.benchmark))
    return found


def run(folder: str | Path, config: DecamStars, where: Path, say: Callable[[str], None] = lambda text: None) -> Found:
    """Score the calibration in `folder` on the catalogues below `where`, a folder of real observations or of them.

    Raises UserError for a folder that holds no calibration with stars, missing catalogues, or too few stars.
    """
    calibration = Calibration.load(folder)
    given = calibration.about.get("stars")
    if not given:
        raise UserError("was made without --stars", file=folder)
    imager = calibration.imager()
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in given["prior"].items()}
    prior = Prior(**values)
    place = where / config.folder if (where / config.folder).is_dir() else where
    paths = sorted(place.glob(config.catalogues))
    if not paths:
        raise UserError(f"holds no catalogue {config.catalogues}", file=place)
    exposures = []
    for path in paths:
        stars = read_stars(path, imager, Cuts(**config.cuts.model_dump()))
        say(f"{stars.name}: {len(stars)} stars, {config.folds} folds")
        exposures.append(score(stars, imager, prior, config.folds, config.block))
    return summarise(exposures)


def score(stars: Stars, imager: Imager, prior: Prior, folds: int, block: float) -> Exposure:
    """Residuals of every star under the fit to the folds that it is not in."""
    fold = position_folds(stars, folds, block)
    physics = physics_of(stars, imager, prior)
    left = [np.zeros_like(stars.shape) for _ in range(3)]
    for k in np.unique(fold):
        train, held = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        if len(train) < 6:
            raise UserError(f"has only {len(train)} stars outside one fold of {folds}", file=stars.name)
        for values, predicted in zip(left, _predictions(stars, imager, prior, train, physics), strict=True):
            values[held] = (stars.shape - predicted)[held]
    for values in left:
        values[:, 2] = np.expm1(values[:, 2])  # measured / predicted - 1
    return Exposure(stars, fold, *left)


def _predictions(
    stars: Stars, imager: Imager, prior: Prior, train: np.ndarray, physics: Physics
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shapes (n, 3) of all stars by the twin, by a polynomial of second degree, by the mean of the training stars."""
    twin = fit_field(stars, imager, prior, train, physics).predicted
    x, y = (stars.place / np.abs(stars.place).max()).T
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], 1)
    peer = basis @ np.linalg.lstsq(basis[train], stars.shape[train], rcond=None)[0]
    return twin, peer, np.broadcast_to(stars.shape[train].mean(0), stars.shape.shape)


def rms(values: np.ndarray) -> Estimate:
    """Root mean square with its bootstrap interval over stars."""
    return bootstrap(lambda i: float(np.sqrt((values[i] ** 2).mean())), len(values))


def robust(values: np.ndarray) -> Estimate:
    """1.4826 times the median of |values|, with its bootstrap interval over stars."""
    return bootstrap(lambda i: float(1.4826 * np.median(np.abs(values[i]))), len(values))


def summarise(exposures: list[Exposure]) -> Found:
    """Metrics of all exposures, each by its name, and the worst of each component."""
    metrics: Metrics = {}
    counts: dict[str, int] = {}
    notes = []
    for one in exposures:
        name, counts_of = one.stars.name, one.stars.counts
        counts[f"{name}: stars"] = len(one.stars)
        counts |= {f"{name}: left out, {reason}": n for reason, n in counts_of.items()}
        for k, component in enumerate(COMPONENTS):
            key = f"{component}_rms"
            metrics[f"{key}_{name}"] = rms(one.residual[:, k])
            metrics[f"{component}_robust_{name}"] = robust(one.residual[:, k])
            metrics[f"{component}_bias_{name}"] = bootstrap(
                lambda i, v=one.residual[:, k]: float(v[i].mean()), len(one.stars)  # type: ignore[misc]
            )  # fmt: skip
            floor = float(np.sqrt((one.stars.noise[:, k] ** 2).mean()))
            metrics[f"{component}_photon_noise_{name}"] = Estimate(floor, floor, floor)
            metrics[f"{key}_polynomial_{name}"] = rms(one.polynomial[:, k])
            metrics[f"{key}_constant_{name}"] = rms(one.constant[:, k])
        found = [metrics[f"{component}_rms_{name}"].value for component in COMPONENTS]
        words = f"rms e1 {found[0]:.4f}, e2 {found[1]:.4f}, size {found[2]:.2%}"
        notes.append(f"{name}, band {one.stars.band}: {len(one.stars)} held-out stars, {words}.")
    for component in COMPONENTS:
        of_each = [metrics[f"{component}_rms_{one.stars.name}"] for one in exposures]
        metrics[f"{component}_rms_worst"] = max(of_each)
    return Found(metrics, counts, tuple(notes), tuple(exposures))
