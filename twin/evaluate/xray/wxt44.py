"""Benchmark `ep-wxt44`: a real frame of Einstein Probe with the Crab and a transient, searched with the calibrated
twin."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import chi2

import twin
from twin.evaluate.config import EpWxt44
from twin.evaluate.result import scores_json
from twin.evaluate.xray import likelihood
from twin.evaluate.xray.compare import RADIUS, arm_distance, counted, threshold
from twin.evaluate.xray.detections import Detections
from twin.evaluate.xray.page import render
from twin.evaluate.xray.spread import PlacedSpread
from twin.io.atomic import make_folder, plain_disk_errors, write_text
from twin.io.xray import CountImage, read_arf, read_count_image
from twin.metrics import Estimate, binomial_interval
from twin.observatory.lobster_calibrate.fit import Setup, background, source_counts
from twin.observatory.lobster_calibrate.folder import LobsterCalibration
from twin.observatory.lobster_calibrate.run import begin
from twin.priors.xray.spectra import CRAB
from twin.schema import UserError

LOWEST = 3.5  # significance down to which simulated fields are searched
EDGE = 6.0  # [bin] from what is lit: sources are not injected nearer to it


@dataclass(frozen=True)
class Found:
    """metrics by name, counts, sentences for the report; what was found in the frame, the frame and what is expected
    in it"""

    metrics: dict[str, Estimate]
    counts: dict[str, int]
    notes: tuple[str, ...]
    detections: Detections
    frame: np.ndarray
    expected: np.ndarray

    @property
    def n(self) -> int:
        """Sources found."""
        return len(self.detections)

    def as_json(self, benchmark: str) -> str:
        """The JSON of the benchmark, see `scores_json`."""
        return scores_json(benchmark, self.n, self.metrics, self.counts)


@dataclass(frozen=True)
class Scene:
    """A frame as the calibrated twin sees it: setup, values, PSF, background (y, x) without any source, the Crab's
    bin and its
    expected counts (y, x), lit bins."""

    setup: Setup
    values: dict[str, float]
    spread: PlacedSpread
    background: np.ndarray
    crab: np.ndarray
    light: np.ndarray
    lit: np.ndarray
    misfit: float

    def detect(self, counts: np.ndarray, level: np.ndarray, least: float) -> Detections:
        """The known-PSF likelihood ratio with this scene's PSF and its misfit."""
        return likelihood.detect(counts, level, least, self.spread, misfit=self.misfit)

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(n,) from the Crab's arms [arcmin]."""
        angle = self.values["turn"] + self.values["roll"]
        return arm_distance(x, y, self.crab[None], angle, self.setup.grid.side)


def scene(calibration: LobsterCalibration, frame: CountImage) -> Scene:
    """The frame with what the calibration says. Raises UserError where the image is none of its detector."""
    setup, values = begin(calibration.telescope, frame, CRAB.photons), calibration.values
    # the YAML holds the fitted parameters but for the source's brightness, which went into its open area
    base = setup.telescope.state()
    whole = float(base.throughput) * float(base.open_area)
    share = values["throughput"] * calibration.about["open_area"] / whole
    values = values | {"throughput": float(base.throughput) * share}

    def one(bins: jax.Array) -> jax.Array:
        grid = setup.grid
        place = jnp.stack([grid.x[0] + bins[0] * grid.side[0], grid.y[0] + bins[1] * grid.side[1]])
        return source_counts(setup, values, place)

    images = jax.jit(lambda bins: jax.lax.map(one, bins))
    crab = setup.grid.column(np.array([values["source_x"], values["source_y"]]))
    light = np.asarray(images(jnp.asarray(crab[None], jnp.float32)), float)[0]
    total = light.sum()

    def make(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        # a source of one count on the frame, were it where the Crab is: counts stand for brightness
        size = 1 << max(int(np.ceil(np.log2(max(len(x), 1)))), 0)
        bins = np.zeros((size, 2), np.float32)
        bins[: len(x)] = np.stack([x, y], 1)
        return np.maximum(np.asarray(images(jnp.asarray(bins)), float)[: len(x)] / total, 0)

    diffuse, particles = (np.asarray(v, float) for v in background(setup, values))
    level = np.maximum(diffuse + particles, 1e-3)
    lit = diffuse > 0.5 * np.median(diffuse[diffuse > 0])
    misfit = float(calibration.about["misfit"]["outside"])
    return Scene(setup, values, PlacedSpread(make, setup.counts.shape), level, crab, light, lit, misfit)


def judge(
    folder: str | Path, config: EpWxt44, where: Path, out: Path, json_path: Path, say: Callable[[str], None] = print
) -> Found:
    """Score a calibration; write report.html with pictures of the frame into `out` and the metrics as JSON.

    folder  what `twin calibrate ep-wxt` wrote;  where  folder of real observations, or of the frame
    Raises UserError for a folder or a frame that cannot be used.
    """
    calibration = LobsterCalibration.load(folder)
    place = where / config.folder if (where / config.folder).is_dir() else where
    frame = read_count_image(place / config.image)
    per_mcrab = 1e-3 * CRAB.counts(read_arf(place / config.arf), frame.exposure)
    try:
        found = score(scene(calibration, frame), config, per_mcrab, say)
    except UserError as mistake:
        raise UserError(str(mistake), file=place / config.image) from None
    page = render(config.title, config.protocol, found, {"calibration": Path(folder).name, "twin": twin.__version__})
    with plain_disk_errors(out):
        make_folder(out)
    write_text(out / "report.html", page)
    write_text(json_path, found.as_json(config.benchmark))
    return found


def score(one: Scene, config: EpWxt44, per_mcrab: float, say: Callable[[str], None] = lambda text: None) -> Found:
    """Threshold, search of the frame, injections. per_mcrab: counts of a source of one mCrab in the focus that the
    effective
    area stands for: 5 x 5 bins."""
    rng = np.random.default_rng(config.seed)
    say("setting the threshold on simulated fields")
    at, rate = threshold(one.detect, _fields(one, config.fields, rng), config.alarms, LOWEST, _beside(one))
    frame = one.setup.counts.astype(float)
    begun = time.perf_counter()
    found = one.detect(frame, one.background, at)
    say(f"searched the frame in {time.perf_counter() - begun:.1f} s: {len(found)} sources above {at:.2f}")
    metrics = {"threshold": Estimate(at, at, at), "alarms_a_field": rate} | _known(one, found, frame, config)
    counts = {"detections": len(found), "fields": config.fields}
    expected = one.background + one.spread.expected(found.x, found.y, found.counts)
    for kind in ("off", "on"):
        for flux in config.fluxes:
            hits = [_inject(one, frame, flux * per_mcrab, kind, config, at, rng) for _ in range(config.injections)]
            metrics[f"completeness_{kind}_{flux:g}"] = binomial_interval(sum(hits), len(hits))
        say(f"injected sources {kind} the arms")
    return Found(metrics, counts, _notes(metrics, found, one, config, per_mcrab), found, frame, expected)


def _beside(one: Scene) -> Callable[[Detections], np.ndarray]:
    """Alarms: detections that are not the Crab's image."""
    return lambda d: np.hypot(d.x - one.crab[0], d.y - one.crab[1]) * one.setup.grid.side[0] > 2 * RADIUS


def _fields(one: Scene, n: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    mean = one.background + one.light
    return [(rng.poisson(mean).astype(float), one.background) for _ in range(n)]


def _box(place: np.ndarray) -> tuple[slice, slice]:
    i, j = np.round(place).astype(int)
    return slice(max(j - 2, 0), j + 3), slice(max(i - 2, 0), i + 3)


def _known(one: Scene, found: Detections, frame: np.ndarray, config: EpWxt44) -> dict[str, Estimate]:
    """The Crab, the transient and whatever else was found."""
    side, metrics = one.setup.grid.side, {}
    aim = np.array(config.transient)
    apart = {
        "crab": np.hypot((found.x - one.crab[0]) * side[0], (found.y - one.crab[1]) * side[1]),
        "transient": np.hypot((found.x - aim[0]) * side[0], (found.y - aim[1]) * side[1]),
    }
    taken = np.zeros(len(found), bool)
    for name, distance in apart.items():
        best = int(np.argmin(distance)) if len(found) else 0
        hit = bool(len(found)) and bool(distance[best] < 1.5 * RADIUS)
        metrics[f"found_{name}"] = Estimate(float(hit), float(hit), float(hit))
        if not hit:
            continue
        taken |= distance < 1.5 * RADIUS
        sd = float(np.sqrt(found.covariance[best, 2, 2]))
        c, z = float(found.counts[best]), float(found.significance[best])
        metrics |= {
            f"{name}_counts": Estimate(c, c - 1.96 * sd, c + 1.96 * sd),
            f"{name}_significance": Estimate(z, z, z),
            f"{name}_offset": Estimate(*[float(distance[best])] * 3),
        }
        if name == "transient":
            psf = one.spread.images(found.x[best : best + 1], found.y[best : best + 1])[0][_box(aim)].sum()
            metrics["transient_box"] = Estimate(c * psf, (c - 1.96 * sd) * psf, (c + 1.96 * sd) * psf)
            others = np.arange(len(found)) != best
            other = one.spread.expected(found.x[others], found.y[others], found.counts[others])
            n, level = frame[_box(aim)].sum(), (one.background + other)[_box(aim)].sum()
            low, high = chi2.ppf(0.025, 2 * n) / 2, chi2.ppf(0.975, 2 * n + 2) / 2
            metrics["transient_box_counted"] = Estimate(*(float(v - level) for v in (n, low, high)))
    metrics["false_alarms"] = counted(int((~taken).sum()), 1)
    near = one.distance(found.x, found.y) < 27
    metrics["false_alarms_near_arms"] = counted(int((~taken & near).sum()), 1)
    return metrics


def _inject(
    one: Scene, frame: np.ndarray, counts: float, kind: str, config: EpWxt44, at: float, rng: np.random.Generator
) -> bool:
    """Whether a source of `counts` in 5 x 5 bins, added to the frame on or off the Crab's arms, is found within
    RADIUS."""
    ny, nx = frame.shape
    side = one.setup.grid.side
    while True:
        x, y = rng.uniform(EDGE, nx - 1 - EDGE), rng.uniform(EDGE, ny - 1 - EDGE)
        distance = float(one.distance(np.array([x]), np.array([y]))[0])
        right = distance < config.on_arm if kind == "on" else distance > config.off_arm
        core = np.hypot((x - one.crab[0]) * side[0], (y - one.crab[1]) * side[1])
        other = np.hypot(x - config.transient[0], y - config.transient[1]) * side[0]
        inside = one.lit[int(y - EDGE) : int(y + EDGE) + 1, int(x - EDGE) : int(x + EDGE) + 1].all()
        if right and core > 30 and other > 30 and inside:
            break
    image = one.spread.images(np.array([x]), np.array([y]))[0]
    middle = one.spread.images(one.crab[:1], one.crab[1:])[0]
    added = rng.poisson(image * counts / middle[_box(one.crab)].sum())
    found = one.detect(frame + added, one.background, at)
    return bool((np.hypot((found.x - x) * side[0], (found.y - y) * side[1]) <= RADIUS).any())


def _notes(
    metrics: dict[str, Estimate], found: Detections, one: Scene, config: EpWxt44, per_mcrab: float
) -> tuple[str, ...]:
    notes = [
        f"A source of 1 mCrab gives {per_mcrab:.2f} counts in its focus. The PSF's misfit, measured on the Crab: "
        f"{one.misfit:.3f} of its light in a bin.",
    ]
    for k in range(len(found)):
        distance = float(one.distance(found.x[k : k + 1], found.y[k : k + 1])[0])
        notes.append(
            f"Bin ({found.x[k]:.2f}, {found.y[k]:.2f}): significance {found.significance[k]:.1f}, "
            f"{found.counts[k]:.0f} +- {np.sqrt(found.covariance[k, 2, 2]):.0f} counts, "
            f"{distance:.0f}' from the Crab's arms."
        )
    for kind, flux in (("off", 5), ("on", 10)):
        if (name := f"completeness_{kind}_{flux:g}") in metrics:
            got = metrics[name]
            notes.append(f"{kind} the arms, {flux} mCrab: {got.value:.2f} [{got.low:.2f}, {got.high:.2f}] found.")
    return tuple(notes)
