"""`twin calibrate ep-wxt --image FRAME.fits`: one frame with a bright source in, the telescope that took it out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

import twin
from twin.io.atomic import atomic_folder, check_target
from twin.io.xray import CountImage, read_count_image
from twin.observatory.lobster.bounces import ARCMIN
from twin.observatory.lobster.telescope import Lobster, load_lobster
from twin.observatory.lobster_calibrate import folder as files
from twin.observatory.lobster_calibrate.bands import Photons, bands
from twin.observatory.lobster_calibrate.fit import FLOOR, SLOTS, Fit, Problem, Setup, fit, source_counts
from twin.observatory.lobster_calibrate.frame import grid_of
from twin.observatory.lobster_calibrate.model import Spectrum
from twin.observatory.lobster_calibrate.regions import regions, shares
from twin.schema import UserError

log = logging.getLogger("twin")
BRIGHT = 1000  # counts in 5 x 5 bins that a calibrator must have
OTHER = 12.0  # excess of 5 x 5 bins over what is expected, in standard deviations, that is another source
APART = 60.0  # [arcmin] from the calibrator's image
LEVEL = 0.125  # counts a bin that the table of regions takes for background


@dataclass(frozen=True)
class Calibrated:
    """setup and fit of the whole frame; about: figures as they stand in calibration.json"""

    setup: Setup
    fit: Fit
    about: dict[str, Any]


def calibrate_image(
    instrument: str | Path, out: str | Path, image: str | Path, photons: Photons, say: Callable[[str], None] = log.info
) -> Calibrated:
    """Fit a lobster-eye telescope to the brightest source of a frame; write calibration.json, instrument.yaml,
    report.png.

    image    count image (FITS), in sky or in detector coordinates, of the whole detector
    photons  the source's photons/cm2/s between energies [keV]: photons(low, high)
    Raises UserError for what cannot be used: no image, no exposure, negative or broken counts, another size, no
    source bright enough, a folder that exists.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError("exists already: a calibration is written into a folder of its own", file=out)
    check_target(out / files.FILE)
    telescope = load_lobster(instrument)
    frame = read_count_image(image)
    try:
        found = calibrate(telescope, frame, photons, say)
    except UserError as mistake:
        raise UserError(str(mistake), file=image) from None
    sha = hashlib.sha256(Path(image).read_bytes()).hexdigest()
    about = {"twin": twin.__version__, "inputs": [{"role": "image", "name": Path(image).name, "sha256": sha}]}
    with atomic_folder(out) as part:
        files.save(part, telescope, about | found.about, found.fit)
        files.picture(part / "report.png", found.setup.counts, found.fit)
    return found


def calibrate(
    telescope: Lobster, frame: CountImage, photons: Photons, say: Callable[[str], None] = lambda text: None,
    halves: Sequence[str] = ("left", "below"),
) -> Calibrated:  # fmt: skip
    """The fit of a frame: by steps, because edges of plates have no slope to follow from afar.

    Angle of the arms and place by moments; plates and edges by search; all by Newton's steps; then other sources are
    found,
    modelled and all is fitted again. halves: geometric halves of the frame that are fitted alone to predict the other.
    """
    setup = begin(telescope, frame, photons)
    counts = setup.counts
    peak, angle = locate(counts)
    place = setup.grid.place(peak)
    values = setup.prior(place) | {"turn": angle}
    say(f"brightest source at bin ({peak[0]:.1f}, {peak[1]:.1f}), arms turned by {angle:.1f} deg")
    problem = Problem(setup, values)
    values = search(problem, values)
    say("fitting the source")
    found = fit(problem, values, steps=6)
    found = fit(problem, seams(problem, found.values), steps=8)
    others = other_sources(setup, found, peak)
    if len(others):
        images = []
        for x, y in others:
            say(f"another source at bin ({x:.1f}, {y:.1f}) is modelled too")
            images.append(unit(setup, found.values, np.array([x, y]), counts, found.expected))
        setup = replace(setup, others=np.array(images))
    values = found.values | {f"other_{k}": 1.0 for k in range(SLOTS)}
    problem = problem.renewed(setup, setup.prior(place) | {"turn": values["turn"]})
    found = fit(problem, values)
    say(f"fitted in {found.steps} steps")
    about = figures(setup, found, others)
    for half in halves:
        predicted = predict_half(problem, setup, found, half)
        about["halves"] = about.get("halves", {}) | {half: predicted}
        say(f"fitted on what lies {half}, the other half's regions are off by at most {predicted['worst']:.3f}")
    return Calibrated(setup, found, about)


def begin(telescope: Lobster, frame: CountImage, photons: Photons) -> Setup:
    """The frame and the telescope with the source's spectrum in bands. Raises UserError as `grid_of` does."""
    energy, number = bands(telescope, photons)
    spectrum = Spectrum(jnp.asarray(energy, jnp.float32), jnp.asarray(number, jnp.float32))
    return Setup(np.asarray(frame.counts), frame.exposure, grid_of(frame, telescope), telescope, spectrum)


def locate(counts: np.ndarray) -> tuple[np.ndarray, float]:
    """Bin (x, y) of the brightest source, and the angle of its arms [deg], -45 to 45. Raises UserError for none."""
    box = uniform_filter(counts.astype(float), 5, mode="constant") * 25
    j, i = divmod(int(np.argmax(box)), box.shape[1])
    if box[j, i] < BRIGHT:
        raise UserError(
            f"its brightest source has {box[j, i]:.0f} counts in 5 x 5 bins: {BRIGHT} are needed to calibrate on"
        )
    y, x = np.indices(counts.shape)
    near = np.hypot(x - i, y - j) < 2.5
    middle = np.array([(counts * x)[near].sum(), (counts * y)[near].sum()]) / counts[near].sum()
    dx, dy = x - middle[0], y - middle[1]
    ring = (np.hypot(dx, dy) > 4) & (np.hypot(dx, dy) < 24)
    angles = np.arange(-45, 45, 0.25)
    light = []
    for angle in np.radians(angles):
        u, v = np.abs(np.cos(angle) * dx + np.sin(angle) * dy), np.abs(np.cos(angle) * dy - np.sin(angle) * dx)
        light.append((counts * np.exp(-0.5 * np.minimum(u, v) ** 2))[ring].sum())
    return middle, float(angles[int(np.argmax(light))])


def search(problem: Problem, values: dict[str, float]) -> dict[str, float]:
    """Values with the plates' pitch, gaps and place, and the edges of what is lit, best on grids, one after the
    other."""
    every = np.ones(problem.setup.counts.shape)
    best = dict(values) | {"throughput": 1.0, "scatter": 0.2, "efficiency": 0.8}
    pitch, half = best["plate_pitch"], problem.setup.half
    grids = {
        "throughput": [0.5, 0.7, 1.0, 1.4, 2.0],
        "right": [half - 15 * k for k in range(5)],
        "top": [half - 15 * k for k in range(5)],
        "plate_pitch": [pitch * (1 + 0.0125 * k) for k in range(-2, 7)],
        "centre_x": [best["centre_x"] + 5 * k for k in range(-5, 6)],
        "centre_y": [best["centre_y"] + 5 * k for k in range(-5, 6)],
        "plate_gap": [0.8, 1.5, 2.3, 3.5],
    }
    for name in (*grids, "centre_x", "centre_y", "plate_pitch", "right", "top"):
        cost = [problem.at(problem.free(best | {name: value}), every) for value in grids[name]]
        best[name] = grids[name][int(np.argmin(cost))]
    return best


def seams(problem: Problem, values: dict[str, float]) -> dict[str, float]:
    """Values with the seams between the plates best on grids of the plates' pitch and, for each, of the seams' place
    and width along each axis: a seam that the first fit left beside its shadow has no slope towards it."""
    radius = problem.setup.telescope.config.optics.radius
    every = np.ones(problem.setup.counts.shape)

    def least(trials: list[dict[str, float]]) -> tuple[float, dict[str, float]]:
        cost = [problem.at(problem.free(trial), every) for trial in trials]
        return min(cost), trials[int(np.argmin(cost))]

    found = []
    for factor in (0.98, 1.0, 1.02, 1.04, 1.06, 1.08):
        best = values | {"plate_pitch": factor * values["plate_pitch"]}
        # the seam that is one pitch from the middle of the field stays where it is, and so the middle moves
        move = (factor - 1) * values["plate_pitch"] / radius / ARCMIN
        for axis, name in enumerate(("centre_x", "centre_y")):
            middle = values[name] + move
            cost, best = least([
                with_gap(best | {name: middle + 4 * k}, axis, gap)
                for k in range(-6, 7) for gap in (gaps(best)[axis], 1.0, 2.0)
            ])  # fmt: skip
        found.append((cost, best))
    return min(found, key=lambda each: each[0])[1]


def gaps(values: dict[str, float]) -> list[float]:
    """[mm] between plates along x and along y."""
    root = np.sqrt(values["gap_ratio"])
    return [values["plate_gap"] / root, values["plate_gap"] * root]


def with_gap(values: dict[str, float], axis: int, gap: float) -> dict[str, float]:
    """The same with another gap along one axis."""
    both = gaps(values)
    both[axis] = gap
    return values | {"plate_gap": float(np.sqrt(both[0] * both[1])), "gap_ratio": both[1] / both[0]}


def other_sources(setup: Setup, found: Fit, peak: np.ndarray) -> list[tuple[float, float]]:
    """Bins of sources besides the calibrator: excesses of 5 x 5 bins, away from its image and its arms."""
    expected = found.expected
    box = uniform_filter(setup.counts - expected, 5, mode="constant") * 25
    level = uniform_filter(expected + (0.2 * found.parts["source"]) ** 2, 5, mode="constant") * 25
    score = np.where(level > 0, box / np.sqrt(np.maximum(level, 1.0)), 0.0)
    rows: np.ndarray = np.indices(score.shape)
    y, x = rows[0], rows[1]
    far = np.hypot((x - peak[0]) * setup.grid.side[0], (y - peak[1]) * setup.grid.side[1]) > APART
    sources: list[tuple[float, float]] = []
    score = np.where(far, score, 0.0)
    while len(sources) < SLOTS and score.max() > OTHER:
        j, i = divmod(int(np.argmax(score)), score.shape[1])
        near = np.hypot(x - i, y - j) < 2.5
        light = np.maximum(setup.counts - expected, 0)[near]
        sources.append((float((light * x[near]).sum() / light.sum()), float((light * y[near]).sum() / light.sum())))
        score[np.hypot(x - i, y - j) < 10] = 0.0
    return sources


def unit(
    setup: Setup, values: dict[str, float], bins: np.ndarray, counts: np.ndarray, expected: np.ndarray
) -> np.ndarray:
    """(y, x) expected counts of a source at `bins` (x, y) whose 5 x 5 bins hold what is left there."""
    image = np.asarray(source_counts(setup, values, jnp.asarray(setup.grid.place(bins), jnp.float32)), float)
    i, j = np.round(bins).astype(int)
    box = np.s_[max(j - 2, 0) : j + 3, max(i - 2, 0) : i + 3]
    scaled: np.ndarray = image * max((counts - expected)[box].sum(), 1.0) / max(image[box].sum(), 1e-9)
    return scaled


def goodness(counts: np.ndarray, expected: np.ndarray, used: np.ndarray) -> float:
    """Pearson's chi-square a bin of 4 x 4 bins together, where at least 5 counts are expected: in single bins most
    would
    hold none."""
    ny, nx = (n // 4 * 4 for n in counts.shape)

    def together(a: np.ndarray) -> np.ndarray:
        summed: np.ndarray = a[:ny, :nx].reshape(ny // 4, 4, nx // 4, 4).sum((1, 3))
        return summed

    d, m = together(np.where(used, counts, 0)), together(np.where(used, expected, 0))
    keep = m >= 5
    return float(((d - m)[keep] ** 2 / m[keep]).sum() / max(keep.sum(), 1))


def misfit(counts: np.ndarray, expected: np.ndarray, source: np.ndarray, used: np.ndarray) -> float:
    """Share of the source's expected counts in a bin by which the PSF is wrong: what makes the sum of
    (d - m)^2 - m - misfit^2 s^2 nothing, in bins where the source has ten counts and more."""
    keep = used & (source > 10)
    excess = ((counts - expected) ** 2 - expected)[keep].sum()
    return float(np.sqrt(max(excess, 0.0) / max((source[keep] ** 2).sum(), 1e-9)))


def figures(setup: Setup, found: Fit, others: list[tuple[float, float]]) -> dict[str, Any]:
    """What calibration.json says of the fit: parameters with errors, regions of the frame and of the model,
    chi-square."""
    values, errors = found.values, found.errors
    source = np.array([values["source_x"], values["source_y"]])
    lit = found.parts["diffuse"] > 0.5 * np.median(found.parts["diffuse"][found.parts["diffuse"] > 0])
    angle = values["turn"] + values["roll"]
    masks = regions(setup.grid, source, angle, lit)
    rest = setup.counts - found.parts["others"]
    radius = np.hypot(*np.meshgrid(setup.grid.x - source[0], setup.grid.y - source[1]))
    bins = setup.grid.column(source)
    return {
        "open_area": telescope_area(setup.telescope),
        "source": {"bin": bins.tolist(), "counts": float(found.parts["source"].sum())},
        "others": [{"bin": list(place), "factor": values[f"other_{k}"]} for k, place in enumerate(others)],
        "parameters": {
            law.name: {"value": values[law.name], "sd": errors[law.name], "unit": law.unit}
            for law in found.laws
            if law.name not in {f"other_{k}" for k in range(len(others), SLOTS)}
        },
        "regions": {
            "level": LEVEL,
            "frame": dict(zip(masks, shares(rest, masks, LEVEL).tolist(), strict=True)),
            "model": dict(
                zip(masks, shares(found.expected - found.parts["others"], masks, LEVEL).tolist(), strict=True)
            ),
        },
        "chi2": {
            "core": goodness(setup.counts, found.expected, radius < 12),
            "outside": goodness(setup.counts, found.expected, radius >= 12),
        },
        "misfit": {
            "core": misfit(setup.counts, found.expected, found.parts["source"], radius < 30),
            "outside": misfit(setup.counts, found.expected, found.parts["source"], radius >= 30),
        },
        "deviance": 2 * found.objective,
    }


def telescope_area(telescope: Lobster) -> float:
    """Open share of the instrument as it was before the fit: times `throughput` it is what was fitted."""
    return float(telescope.config.optics.open_area)


def predict_half(problem: Problem, setup: Setup, found: Fit, half: str) -> dict[str, Any]:
    """Fit the bins left of (or below) the source; regions of the others, measured and predicted, and the worst
    difference."""
    values = found.values
    x, y = np.meshgrid(setup.grid.x - values["source_x"], setup.grid.y - values["source_y"])
    used = x < 0 if half == "left" else y < 0
    # what only the other half shows, or both together, stays as the whole frame has it
    frozen: tuple[str, ...] = (
        "source_x",
        "source_y",
        "centre_x",
        "centre_y",
        "turn",
        "roll",
        "left",
        "right",
        "bottom",
        "top",
    )
    frozen += tuple(f"other_{k}" for k in range(SLOTS))
    start = setup.prior(np.array([values["source_x"], values["source_y"]]))
    optics = ("efficiency", "scatter", "scatter_width", "second_order", "halo", "twist", "tilt", "throughput")
    own = fit(problem, values | {name: start[name] for name in optics if start[name] > 0}, used, frozen)
    lit = found.parts["diffuse"] > 0.5 * np.median(found.parts["diffuse"][found.parts["diffuse"] > 0])
    place = np.array([values["source_x"], values["source_y"]])
    masks = regions(setup.grid, place, values["turn"] + values["roll"], lit)
    rest = setup.counts - found.parts["others"]
    measured = shares(rest, masks, LEVEL, ~used)
    predicted = shares(own.expected - own.parts["others"], masks, LEVEL, ~used)
    return {
        "measured": dict(zip(masks, measured.tolist(), strict=True)),
        "predicted": dict(zip(masks, predicted.tolist(), strict=True)),
        "worst": float(np.abs(measured - predicted).max()),
    }


def smoothed(counts: np.ndarray, expected: np.ndarray, sigma: float = 1.5) -> np.ndarray:
    """(y, x) residual in standard deviations of what a Gaussian of `sigma` bins averages."""
    variance = gaussian_filter(expected + FLOOR, sigma) / (4 * np.pi * sigma**2)
    made: np.ndarray = gaussian_filter(counts - expected, sigma) / np.sqrt(variance)
    return made
