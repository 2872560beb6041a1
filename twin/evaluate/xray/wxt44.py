"""Benchmark `ep-wxt44`: a real frame of Einstein Probe with the Crab and a transient, searched by the calibrated twin,
by a trained detector and by baselines at one rate of false alarms; what the transient's event list says."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import twin
from twin.evaluate.config import EpWxt44
from twin.evaluate.result import scores_json
from twin.evaluate.sources import SCALE, Telescope, background_of
from twin.evaluate.xray import searchers
from twin.evaluate.xray.compare import RADIUS, counted, level
from twin.evaluate.xray.detections import Detections
from twin.evaluate.xray.injections import KINDS, Ground, Injected, clear_ground, inject
from twin.evaluate.xray.page import render
from twin.evaluate.xray.scene import Scene, scene
from twin.evaluate.xray.searchers import Searcher
from twin.evaluate.xray.told import Told, tell
from twin.io.atomic import make_folder, plain_disk_errors, write_text
from twin.io.xray import read_arf, read_count_image
from twin.metrics import Estimate, binomial_interval
from twin.observatory.lobster_calibrate.folder import LobsterCalibration
from twin.priors.xray.spectra import CRAB
from twin.recipe.xray import XrayRecipe
from twin.schema import UserError
from twin.train.detector.model import Detector, is_detector_folder

EDGE = 6.0  # [bin] from what is lit: sources are not injected nearer to it
CORE, BESIDE = 30.0, 13.5  # [arcmin] from the Crab's and from another source's image, likewise
BRIGHT = 25.0  # significance of a source that those which know no PSF are told of
SAME = 2.0  # times RADIUS: what is found so near to the Crab or the transient is it
Say = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """metrics by name, counts, asked: (what, asked, measured, reached) each, sentences for the report; detections of
    each searcher in the frame, the frame, what the likelihood ratio expects in it, what the event list says"""

    metrics: dict[str, Estimate]
    counts: dict[str, int]
    asked: tuple[tuple[str, str, str, bool], ...]
    notes: tuple[str, ...]
    detections: dict[str, Detections]
    frame: np.ndarray
    expected: np.ndarray
    told: Told | None

    @property
    def n(self) -> int:
        """Sources found by the likelihood ratio."""
        return len(self.detections["likelihood"])

    def as_json(self, benchmark: str) -> str:
        """The JSON of the benchmark, see `scores_json`."""
        return scores_json(benchmark, self.n, self.metrics, self.counts)


def judge(
    folder: str | Path, config: EpWxt44, where: Path, out: Path, json_path: Path, say: Say = print,
    calibration: str | Path | None = None,
) -> Found:  # fmt: skip
    """Score a calibration, or a detector beside one; write report.html into `out` and the metrics as JSON.

    folder  what `twin calibrate ep-wxt` wrote, or a trained detector: then `calibration` is that folder
    where   folder of real observations, or of the frame
    Raises UserError for a folder or a file that cannot be used.
    """
    model = Detector.load(folder) if is_detector_folder(folder) else None
    if model is not None and calibration is None:
        raise UserError("is missing: the folder that `twin calibrate ep-wxt` wrote", key="--calibration")
    if model is None and calibration is not None:
        raise UserError("goes with a trained detector as MODEL", key="--calibration")
    optics = LobsterCalibration.load(folder if calibration is None else calibration)
    place = where / config.folder if (where / config.folder).is_dir() else where
    frame, area = read_count_image(place / config.image), read_arf(place / config.arf)
    told = tell(place, config, area)
    try:
        one = scene(optics, frame)
    except UserError as mistake:
        raise UserError(str(mistake), file=place / config.image) from None
    who = [searchers.likelihood_ratio(one)]
    if model is not None:
        who.append(network(model, one))
    found = score(
        one, config, [*who, *searchers.baselines()], 1e-3 * CRAB.counts(area, frame.exposure), say, told,
        None if model is None else model.threshold,
    )  # fmt: skip
    about = {"calibration": optics.folder.name, "twin": twin.__version__}
    if model is not None:
        about = {"detector": Path(folder).name} | about
    page = render(config, found, about)
    with plain_disk_errors(out):
        make_folder(out)
    write_text(out / "report.html", page)
    write_text(json_path, found.as_json(config.benchmark))
    return found


def network(model: Detector, one: Scene) -> Searcher:
    """The detector with the PSF that the calibration has in the middle of the frame, in the units of its training: of a
    source whose light, on the detector or not, is one count."""
    from twin.recipe import load_recipe

    recipe = load_recipe(model.folder / "recipe.yaml")
    if not isinstance(recipe, XrayRecipe):
        raise UserError("is no recipe of X-ray fields", file=model.folder / "recipe.yaml")
    n = len(one.background)
    if recipe.frame.bins != n or abs(recipe.pixel_scale / 60 / one.side - 1) > SCALE:
        raise UserError(f"was trained on other frames than {n} bins of {one.side:.2f} arcmin", file=model.folder)
    psf = np.array(one.parts((n - 1) / 2, (n - 1) / 2), np.float32)
    # of what goes beyond the image the calibration knows nothing: the recipe's own share of it
    psf *= float(Telescope(recipe, {}).psf(one.side).sum()) / psf.sum()
    return searchers.network(model, psf, background_of(recipe, n), len(model.bands))


def score(
    one: Scene, config: EpWxt44, who: Sequence[Searcher], per_mcrab: float, say: Say = lambda text: None,
    told: Told | None = None, own: float | None = None,
) -> Found:  # fmt: skip
    """Thresholds, search of the frame, injections.

    who        searchers, the likelihood ratio first
    per_mcrab  counts that the effective area has of a source of one mCrab: within `config.circle` of it
    own        the network's own threshold, as its training set it
    """
    rng = np.random.default_rng(config.seed)
    frame, aim = one.setup.counts.astype(float), np.array(config.transient)
    known = one.background + one.light
    fields = [simulated(one, config.clumps, rng) for _ in range(config.fields)]
    at: dict[str, float] = {}
    metrics: dict[str, Estimate] = {}
    found: dict[str, Detections] = {}
    bright: np.ndarray | None = None
    for each in who:
        begun = time.process_time()
        alarms = [d.significance[_beside(one, d)] for d in each.find(fields, known, each.lowest)]
        at[each.name], rate = _level(alarms, config.alarms, each.lowest)
        metrics |= {f"{each.name}_threshold": Estimate(*[at[each.name]] * 3), f"{each.name}_alarms_a_field": rate}
        # those that know no PSF are told of the bright sources as the first, the likelihood ratio, found them
        (found[each.name],) = each.find([frame], known if bright is None else bright, at[each.name])
        if bright is None:
            bright = fitted(one, found[each.name])
        say(f"{each.name}: threshold {at[each.name]:.3g} by {config.fields} fields, {len(found[each.name])} sources in "
            f"the frame, {time.process_time() - begun:.0f} s")  # fmt: skip
        metrics |= {f"{each.name}_{k}": v for k, v in known_sources(one, found[each.name], frame, config, each).items()}
    assert bright is not None
    circle = in_circle(one, aim, config.circle)
    total = per_mcrab / float(one.exact(*aim)[circle].sum())
    metrics |= areas(one, frame, per_mcrab, config)
    ground = ground_of(one, config)
    frames = [
        inject(frame, ground, one.exact, flux * total, flux, config.injections, config.apart, rng)
        for flux in config.fluxes
        for _ in range(config.frames)
    ]
    say(f"{len(frames)} frames with {sum(config.injections)} injected sources each")
    for each in who:
        begun = time.process_time()
        metrics |= completeness(one, each, at[each.name], frames, bright, config.fluxes, "")
        if each.name == "network" and own is not None:
            metrics |= completeness(one, each, own, frames, bright, config.fluxes, "_own")
            metrics["network_own_threshold"] = Estimate(own, own, own)
        say(f"{each.name}: searched them in {time.process_time() - begun:.0f} s")
    if told is not None:
        metrics |= told.metrics()
    counts = {"fields": config.fields, "frames": len(frames)} | {
        f"injected {kind} the arms, a flux": config.injections[k] * config.frames for k, kind in enumerate(KINDS)
    }
    expected = one.background + one.spread.expected(
        found["likelihood"].x, found["likelihood"].y, found["likelihood"].counts
    )
    names = [each.name for each in who]
    asked = tuple(
        line for name in names if name in ("likelihood", "network") for line in verdict(metrics, name, config)
    )
    return Found(metrics, counts, asked, notes(one, found, total, config), found, frame, expected, told)


def simulated(one: Scene, clumps: float, rng: np.random.Generator) -> np.ndarray:
    """(y, x) counts of a field with background and Crab. The background comes in clumps of Fisher's logarithmic law, so
    that a bin's variance is `clumps` times its mean: a negative binomial law; the Crab's light is Poisson's."""
    rate = one.background / (clumps - 1) if clumps > 1 else one.background
    level = rng.negative_binomial(rate, 1 / clumps) if clumps > 1 else rng.poisson(rate)
    return (level + rng.poisson(one.light)).astype(float)


def _beside(one: Scene, d: Detections) -> np.ndarray:
    """Detections that are not the Crab's image."""
    made: np.ndarray = np.hypot(d.x - one.crab[0], d.y - one.crab[1]) * one.side > SAME * RADIUS
    return made


def _level(alarms: list[np.ndarray], rate: float, lowest: float) -> tuple[float, Estimate]:
    """`compare.level`; the lowest significance where there are fewer alarms than that above it."""
    try:
        return level(alarms, rate, lowest)
    except ValueError:
        return lowest, counted(sum(len(v) for v in alarms), len(alarms))


def fitted(one: Scene, found: Detections) -> np.ndarray:
    """(y, x) what is expected of background and of the brightest sources found."""
    k = found.significance > BRIGHT
    made: np.ndarray = one.background + one.spread.expected(found.x[k], found.y[k], found.counts[k])
    return made


def in_circle(one: Scene, place: np.ndarray, radius: float) -> np.ndarray:
    """(y, x) bins whose middles lie within `radius` [arcmin] of a place [bin]."""
    y, x = np.indices(one.background.shape)
    made: np.ndarray = np.hypot(x - place[0], y - place[1]) * one.side < radius
    return made


def areas(one: Scene, frame: np.ndarray, per_mcrab: float, config: EpWxt44) -> dict[str, Estimate]:
    """What the effective area counts, by the Crab itself: its counts within the circle and in all, over those that its
    spectrum has through the area; vignetting between the two places as the calibration has it."""
    aim = np.array(config.transient)
    here, there = in_circle(one, one.crab, config.circle), in_circle(one, aim, config.circle)
    vignetting = one.light[here].sum() / one.light.sum() / one.exact(*aim)[there].sum()
    by_area = 1000 * per_mcrab * vignetting
    inside, whole = (frame - one.background)[here].sum(), (frame - one.background)[one.lit].sum()
    made = {}
    for name, value in (("crab_circle_over_area", inside), ("crab_all_over_area", whole)):
        made[name] = Estimate(*(float((value + k * np.sqrt(value)) / by_area) for k in (0, -1.96, 1.96)))
    return made


def ground_of(one: Scene, config: EpWxt44) -> Ground:
    """Where sources may be injected."""
    seen = np.array([one.crab, config.transient])
    clear = clear_ground(one.lit, EDGE, seen, np.array([CORE, BESIDE]) / one.side)
    return Ground(one.distance, config.on_arm, config.off_arm, clear)


def _box(place: np.ndarray) -> tuple[slice, slice]:
    i, j = np.round(place).astype(int)
    return slice(max(j - 2, 0), j + 3), slice(max(i - 2, 0), i + 3)


def known_sources(
    one: Scene, found: Detections, frame: np.ndarray, config: EpWxt44, who: Searcher
) -> dict[str, Estimate]:
    """The Crab and the transient, where the searcher is not told of them, and what else was found: false alarms."""
    metrics: dict[str, Estimate] = {}
    taken = np.zeros(len(found), bool)
    for name, aim in (("crab", one.crab), ("transient", np.array(config.transient))):
        distance = np.hypot(found.x - aim[0], found.y - aim[1]) * one.side
        same = distance < SAME * RADIUS
        taken |= same
        if who.told:
            continue
        metrics[f"found_{name}"] = Estimate(*[float(same.any())] * 3)
        if not same.any():
            continue
        best = int(np.argmin(np.where(same, distance, np.inf)))
        sd = float(np.sqrt(found.covariance[best, 2, 2]))
        c, z = float(found.counts[best]), float(found.significance[best])
        metrics |= {
            f"{name}_counts": Estimate(c, c - 1.96 * sd, c + 1.96 * sd),
            f"{name}_significance": Estimate(z, z, z),
            f"{name}_offset": Estimate(*[float(distance[best])] * 3),
        }
        if name == "transient":
            if one.frame.sky is not None:
                place = np.array(one.frame.sky.pixel(*(np.array(v) for v in config.sky))) - 1
                away = float(np.hypot(found.x[best] - place[0], found.y[best] - place[1])) * one.side
                metrics["transient_offset_sky"] = Estimate(away, away, away)
            metrics["transient_box"] = in_box(one, found, best, sd, who, np.array(config.transient))
    metrics["false_alarms"] = counted(int((~taken).sum()), 1)
    near = one.distance(found.x, found.y) < config.off_arm
    metrics["false_alarms_near_arms"] = counted(int((~taken & near).sum()), 1)
    return metrics


def in_box(one: Scene, found: Detections, best: int, sd: float, who: Searcher, aim: np.ndarray) -> Estimate:
    """Counts predicted in 5 x 5 bins about `aim`: the source's total times the PSF's share there, and what is expected
    of all else; 95 % interval of the total and of the PSF's share, which is known to `misfit`."""
    image = one.exact(float(found.x[best]), float(found.y[best]))
    # the likelihood ratio counts in the Crab's place, a network on the frame
    whole = float(image.sum()) if who.name == "network" else 1.0
    share = float(image[_box(aim)].sum()) / whole
    others = np.arange(len(found)) != best
    rest = one.background
    if who.name != "network":
        rest = rest + one.spread.expected(found.x[others], found.y[others], found.counts[others])
    c, level = float(found.counts[best]) * share, float(rest[_box(aim)].sum())
    error = 1.96 * np.hypot(sd * share, one.misfit * c)
    return Estimate(c + level, c + level - error, c + level + error)


def completeness(
    one: Scene,
    who: Searcher,
    at: float,
    frames: Sequence[Injected],
    told: np.ndarray,
    fluxes: Sequence[float],
    tag: str,
) -> dict[str, Estimate]:
    """Share of injected sources with a detection within RADIUS, by flux and kind of place."""
    hits: dict[tuple[str, float], list[bool]] = {(kind, flux): [] for kind in KINDS for flux in fluxes}
    for each, found in zip(frames, who.find([f.counts for f in frames], told, at), strict=True):
        apart = np.hypot(found.x[:, None] - each.x, found.y[:, None] - each.y) * one.side
        hit = (apart <= RADIUS).any(0)
        for k, kind in enumerate(KINDS):
            hits[kind, each.flux] += hit[each.kind == k].tolist()
    return {
        f"{who.name}{tag}_completeness_{kind}_{flux:g}": binomial_interval(sum(got), len(got))
        for (kind, flux), got in hits.items()
        if got
    }


def verdict(metrics: dict[str, Estimate], name: str, config: EpWxt44) -> list[tuple[str, str, str, bool]]:
    """What was asked of a searcher, and what it reached."""
    found = {key.removeprefix(f"{name}_"): value for key, value in metrics.items() if key.startswith(f"{name}_")}
    lines = [
        (f"{name}: {source} found", "yes", "yes" if found[f"found_{source}"].value else "no",
         bool(found[f"found_{source}"].value)) for source in ("crab", "transient")
    ]  # fmt: skip
    alarms = int(found["false_alarms"].value)
    lines.append((f"{name}: false detections", "0", str(alarms), alarms == 0))
    if "transient_box" in found:
        offset, box = found["transient_offset"].value, found["transient_box"]
        lines.append((f"{name}: transient from bin {config.transient}", "<= 1.3'", f"{offset:.2f}'", offset <= 1.3))
        if "transient_offset_sky" in found:
            away = found["transient_offset_sky"].value
            lines.append((f"{name}: transient from its place on the sky", "-", f"{away:.2f}'", away <= 1.3))
        inside = bool(box.low <= config.transient_counts <= box.high)
        words = f"{box.value:.0f} [{box.low:.0f}, {box.high:.0f}]"
        lines.append((f"{name}: counts in 5 x 5 bins", f"{config.transient_counts} inside", words, inside))
    for kind, flux, least in (("off", 5, 0.9), ("on", 10, 0.8)):
        if (key := f"completeness_{kind}_{flux}") in found:
            got = found[key]
            words = f"{got.value:.2f} [{got.low:.2f}, {got.high:.2f}]"
            lines.append((f"{name}: {flux} mCrab {kind} the arms", f">= {least:.2f}", words, got.value >= least))
    return lines


def notes(one: Scene, found: dict[str, Detections], total: float, config: EpWxt44) -> tuple[str, ...]:
    made = [
        f"A source of 1 mCrab has {total:.1f} counts on a frame as the Crab's place would show it. The PSF's misfit, "
        f"measured on the Crab's arms: {one.misfit:.3f} of its light in a focus.",
    ]
    for name, d in found.items():
        for k in range(min(len(d), 12)):
            error = np.sqrt(d.covariance[k, 2, 2])
            made.append(
                f"{name}: bin ({d.x[k]:.2f}, {d.y[k]:.2f}), significance {d.significance[k]:.3g}, {d.counts[k]:.0f}"
                + (f" +- {error:.0f}" if np.isfinite(error) else "")
                + f" counts, {one.distance(d.x[k : k + 1], d.y[k : k + 1])[0]:.0f}' from the Crab's arms"
            )
    return tuple(made)
