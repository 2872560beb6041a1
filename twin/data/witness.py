"""`verify --witness`: frames of a simulated dataset drawn again by the reference engine, from truth and telemetry.

Two comparisons. The expected image of the JAX kernels, made again from the stored truth, against the reference's: the
kernels are right. The stored frame against the reference's expected image: the frame belongs to its truth. For that the
noise n = frame - empty level - expected must have the variance that the State gives, and must not look like what is
left where something in the frame is otherwise than said: for an expected image E, the templates T in `templates`
(brighter, shifted, broader, farther apart). Each is held to the noise by its score

z = sum(T n / sigma^2) / its standard deviation,

normal of unit variance if all is right (Rao 1948, Proc. Camb. Phil. Soc. 44, 50), over a frame and over all frames
together: what is small in one adds up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import convolve1d, laplace

from twin.data.load import Dataset
from twin.io.layout import INVALID
from twin.observatory import detector
from twin.observatory.detector.noise import kernel, sky_residual
from twin.observatory.state import ImagerState
from twin.recipe import Recipe
from twin.recipe.reference import Witness
from twin.recipe.spectra_config import is_spectrum
from twin.recipe.xray_config import is_xray
from twin.schema import Node, UserError
from twin.simulators.reference import made_with

SIGMAS = 6.0  # a score beyond which, of either sign, a frame and its truth do not belong together: 2e-9 by chance
_FULL = 0.9  # of saturation: brighter pixels are left out


@dataclass(frozen=True)
class Frame:
    """What the witness says of a frame.

    index, cls  sample of the dataset and its class
    residual    largest difference of the two expected images over the reference's peak, the worst band
    score       (T,) sum of T n / sigma^2 of each template     information (T,) its variance
    pixels      independent ones, of those compared            mean, square  of the noise over sigma
    """

    index: int
    cls: str
    residual: float
    score: np.ndarray
    information: np.ndarray
    pixels: float
    mean: float
    square: float

    @property
    def z(self) -> np.ndarray:
        """(T,) scores in standard deviations."""
        return self.score / np.sqrt(np.maximum(self.information, 1e-300))

    @property
    def excess(self) -> float:
        """The mean square of the noise over its expectation, in standard deviations."""
        return (self.square - 1) * np.sqrt(self.pixels / 2)


@dataclass(frozen=True)
class WitnessReport:
    """All frames that were redrawn; str() is for a person.

    judged   whether the noise is one that can be expected
    skipped  classes that the reference engine does not draw
    """

    path: Path
    frames: tuple[Frame, ...]
    tolerance: float
    judged: bool
    skipped: tuple[str, ...] = ()

    @property
    def z(self) -> np.ndarray:
        """(T,) scores of all frames together."""
        information = np.sum([f.information for f in self.frames], 0)
        return np.sum([f.score for f in self.frames], 0) / np.sqrt(np.maximum(information, 1e-300))

    @property
    def excess(self) -> float:
        """The mean square of all noise over its expectation, in standard deviations."""
        pixels = np.array([f.pixels for f in self.frames])
        square = np.array([f.square for f in self.frames])
        return float((pixels * (square - 1)).sum() / np.sqrt(2 * pixels.sum()))

    @property
    def problems(self) -> list[str]:
        """What is not as it should be, the worst first in each kind."""
        found = []
        for f in sorted(self.frames, key=lambda f: -f.residual):
            if not f.residual <= self.tolerance:  # NaN too
                found.append(
                    f"sample {f.index} ({f.cls}): the engines differ by {f.residual:.1e} of the peak, more than "
                    f"{self.tolerance:g}"
                )
        if not self.judged:
            return found
        each = [(f"sample {f.index} ({f.cls})", f.excess, f.z) for f in self.frames]
        for place, excess, z in [("all frames", self.excess, self.z), *each]:
            if not abs(excess) <= SIGMAS:
                found.append(f"{place}: the noise is not the State's, by {excess:+.1f} standard deviations")
            worst = int(np.argmax(np.abs(z)))
            if not abs(z[worst]) <= SIGMAS:
                what = f"{TEMPLATES[worst]} by {z[worst]:+.1f} standard deviations"
                found.append(f"{place}: not what truth and telemetry say: {what}")
        return found

    @property
    def ok(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        lines = [f"{self.path}: {len(self.frames)} frames redrawn by the {made_with()}"]
        for cls in dict.fromkeys(sorted(f.cls for f in self.frames)):
            each = [f.residual for f in self.frames if f.cls == cls]
            lines.append(
                f"  {cls:14s} {len(each):4d} frames: expected images differ by {np.median(each):.1e} of the peak in "
                f"the median, {max(each):.1e} at worst"
            )
        pixels = np.array([f.pixels for f in self.frames])
        mean = float(np.average([f.mean for f in self.frames], weights=pixels))
        rms = float(np.sqrt(np.average([f.square for f in self.frames], weights=pixels)))
        error = 1 / np.sqrt(pixels.sum())
        lines.append(f"  noise over sigma: mean {mean:+.4f} +- {error:.4f}, rms {rms:.4f} +- {error / np.sqrt(2):.4f}")
        scores = ", ".join(f"{name} {z:+.1f}" for name, z in zip(TEMPLATES, self.z, strict=True))
        lines.append(f"  left in the noise, in standard deviations: {scores}")
        if self.skipped:
            lines.append(f"  not drawn again, the reference engine lacks them: {', '.join(self.skipped)}")
        if not self.judged:
            lines.append("  (not judged: the detector has effects that are not in the expected image)")
        return "\n".join([*lines, *(f"  {problem}" for problem in self.problems)])


TEMPLATES = ("level", "brightness", "shift in x", "shift in y", "width", "separation")


def templates(expected: np.ndarray) -> np.ndarray:
    """(T, B, y, x) what a small change of level, brightness, place, width and separations does to an expected image."""
    along_y, along_x = np.gradient(expected, axis=(-2, -1))
    from_centre = np.arange(expected.shape[-1]) - (expected.shape[-1] - 1) / 2
    broader = np.stack([laplace(band) for band in expected])
    apart = -(from_centre[:, None] * along_y + from_centre * along_x)
    return np.stack([np.ones_like(expected), expected, -along_x, -along_y, broader, apart])


def witness(
    path: str | Path, count: int, seed: int = 0, tolerance: float | None = None, progress: bool = True
) -> WitnessReport:
    """Draw `count` random frames of a simulated dataset again by the reference engine.

    tolerance  between the expected images, of the peak; None = the simulator's own
    Raises UserError for a dataset that was not simulated, whose recipe now makes others, or has no reference engine.
    """
    dataset = Dataset(path)
    recipe = recipe_of(dataset)
    redrawn = Witness(recipe)
    reference = redrawn.reference
    tolerance = reference.tolerance if tolerance is None else tolerance
    finished = np.concatenate([np.arange(s.start, s.stop) for s in dataset.shards] or [np.arange(0)])
    if len(finished) == 0:
        raise UserError("has no finished shard", file=dataset.path)
    drawn = np.array([reference.draws(cls) for cls in recipe.classes])
    finished = finished[drawn[dataset.read("label/class", finished)]]
    if len(finished) == 0:
        raise UserError("has no frame of a class that the reference engine draws", file=dataset.path)
    skipped = tuple(cls for cls in recipe.classes if not reference.draws(cls))
    chosen = np.sort(np.random.default_rng(seed).choice(finished, min(count, len(finished)), replace=False))
    config = recipe.instrument.config.detector
    judged = not config.effects and not config.masks
    kernels: dict[str, Callable[..., Any]] = {}
    frames = []
    for index in _shown(chosen, recipe.name, progress):
        read = {name: dataset.read(name, [index])[0] for name in ("frame", "truth", "telemetry", "label/class")}
        cls = recipe.classes[int(read["label/class"])]
        state = redrawn.state(read["telemetry"])
        expected = redrawn.expected(cls, read["truth"], state)
        if cls not in kernels:
            kernels[cls] = _kernel(recipe, cls)
        fast = np.asarray(kernels[cls](read["truth"], read["telemetry"]), float)
        peak = np.maximum(np.abs(expected).max((1, 2)), 1e-30)
        residual = float((np.abs(fast - expected).max((1, 2)) / peak).max())
        scale = dataset.read("noise/scale", [index])[0] if recipe.stacked else None
        frames.append(_compare(int(index), cls, residual, read["frame"], scale, expected, state, recipe))
    return WitnessReport(dataset.path, tuple(frames), tolerance, judged, skipped)


def recipe_of(dataset: Dataset) -> Recipe:
    """The recipe that made a dataset. Raises UserError for one that was not simulated, or whose recipe has changed."""
    attrs = dataset.attrs
    if attrs.get("kind") != "simulated" or "truth" not in dataset:
        raise UserError("was not simulated: there is no truth to draw it from", file=dataset.path)
    node = Node(attrs["recipe"], f"{dataset.path}/zarr.json", {})
    if is_xray(node):
        raise UserError("holds X-ray frames: their witness is the ray tracer, in the tests", file=dataset.path)
    if is_spectrum(node):
        raise UserError("holds spectra: their witness is the photons of the tests", file=dataset.path)
    recipe = Recipe(node)
    if recipe.sha256 != attrs["recipe_sha256"]:
        problem = f"was made by recipe {attrs['recipe_name']} when it, or its instrument, was another"
        raise UserError(problem, file=dataset.path, key="recipe")
    return recipe


def _kernel(recipe: Recipe, cls: str) -> Callable[..., Any]:
    def expected(truth: Any, exposure: Any) -> Any:
        named = recipe.unflatten(cls, truth)
        return recipe.simulator.render(cls, named, recipe.state(exposure), recipe.canvas).expected

    return jax.jit(expected)


def _compare(
    index: int,
    cls: str,
    residual: float,
    frame: np.ndarray,
    scale: np.ndarray | None,
    expected: np.ndarray,
    state: ImagerState,
    recipe: Recipe,
) -> Frame:
    """Hold a stored frame to the expected image."""
    npix, bands = expected.shape[-1], len(expected)
    single = jax.tree.map(np.float32, state)
    white = np.asarray(detector.variance(jnp.asarray(expected, jnp.float32), single), float)
    if scale is None:
        empty = np.broadcast_to(np.asarray(detector.level(single), float)[:, None, None], expected.shape)
        counts, taps, rounding = frame.astype(float), np.ones((bands, 1)), np.ones(bands)
    else:
        empty = np.asarray(sky_residual(single, npix), float)
        counts, rounding = frame * scale[:, None, None].astype(float), scale.astype(float)
        taps = np.asarray(kernel(single.resampling, recipe.instrument.config.detector), float)
    good = (frame != INVALID) & (expected + empty < _FULL * np.asarray(state.saturation)[:, None, None])
    noise = np.where(good, counts - empty - expected, 0.0)
    rounding = rounding**2 / 12
    variance = np.stack([_blur(white[b], taps[b] ** 2) for b in range(bands)]) + rounding[:, None, None]
    weighted = np.where(good, templates(expected), 0.0) / variance
    score = (weighted * noise).sum((1, 2, 3))
    information = np.zeros(len(score))
    independent = 0.0
    for b in range(bands):
        spread = np.stack([_blur(weight, taps[b]) for weight in weighted[:, b]])
        information += (spread**2 * white[b]).sum((1, 2)) + rounding[b] * (weighted[:, b] ** 2).sum((1, 2))
        alike = np.correlate(taps[b], taps[b], "full") / (taps[b] ** 2).sum()
        independent += good[b].sum() / (alike**2).sum() ** 2
    chi = noise / np.sqrt(variance)
    many = max(good.sum(), 1)
    return Frame(index, cls, residual, score, information, independent, chi.sum() / many, (chi**2).sum() / many)


def _blur(image: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Convolution of (y, x) along both axes; beyond the edge lies what lies on it."""
    once = convolve1d(image, taps, axis=0, mode="nearest")
    blurred: np.ndarray = convolve1d(once, taps, axis=1, mode="nearest")
    return blurred


def _shown(indices: np.ndarray, name: str, progress: bool) -> Any:
    from rich.console import Console
    from rich.progress import track

    return track(indices, f"{name}, drawn again", console=Console(stderr=True), disable=not progress)
