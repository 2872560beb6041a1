"""A real frame as a calibrated lobster eye sees it: background, the Crab, the PSF of every place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import uniform_filter

from twin.evaluate.xray.compare import arm_distance
from twin.evaluate.xray.nodes import FINE, NodeSpread
from twin.io.xray import CountImage
from twin.observatory.lobster.state import LobsterState
from twin.observatory.lobster_calibrate.fit import Setup, background
from twin.observatory.lobster_calibrate.folder import LobsterCalibration
from twin.observatory.lobster_calibrate.frame import Grid, Window
from twin.observatory.lobster_calibrate.model import Spectrum, expected, reached
from twin.observatory.lobster_calibrate.parameters import figure_of, state_of, window_of
from twin.observatory.lobster_calibrate.run import begin
from twin.priors.xray.spectra import CRAB
from twin.schema import UserError

FEW, NEAR = 50.0, 7.0  # counts in a focus and bins from the source where its misfit is measured
PARTS = 6  # nodes of the PSF along an axis


@dataclass(frozen=True)
class Scene:
    """A frame and what a calibration says of it.

    values      of the calibration's parameters
    spread      PSF: counts on the frame of a source as bright as one of a count in the Crab's place
    background  (y, x) without any source;  light (y, x) the Crab's expected counts
    crab        (2,) bin of the Crab's image;  lit (y, x) bins that light reaches
    misfit      share of the Crab's light, over a focus outside its core, by which the PSF is wrong
    frame       as it was read
    exact       (x, y) [bin] -> (y, x) counts of one source as `spread` has them, by the optics themselves
    parts       (x, y) -> that in parts of bins about the source, as far as light goes: see NodeSpread
    """

    setup: Setup
    values: dict[str, float]
    spread: NodeSpread
    background: np.ndarray
    crab: np.ndarray
    light: np.ndarray
    lit: np.ndarray
    misfit: float
    frame: CountImage
    exact: Callable[[float, float], np.ndarray]
    parts: Callable[[float, float], jax.Array]

    @property
    def side(self) -> float:
        """Of a bin [arcmin]."""
        return self.setup.grid.side[0]

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(n,) from the Crab's arms [arcmin]."""
        return arm_distance(x, y, self.crab[None], self.values["turn"] + self.values["roll"], self.setup.grid.side)


def scene(calibration: LobsterCalibration, frame: CountImage) -> Scene:
    """The frame with what the calibration says. Raises UserError where the image is none of its detector, or not
    square."""
    setup = begin(calibration.telescope, frame, CRAB.photons)
    ny, nx = setup.counts.shape
    if ny != nx:
        raise UserError(f"{nx} x {ny} bins: a square frame is needed")
    values = brightness(calibration, setup)
    crab = setup.grid.column(np.array([values["source_x"], values["source_y"]]))
    images, whole = _programs(setup, nx)
    # numbers and not constants of the programs: these are then the same for every calibration
    given = setup.telescope.state(), {name: jnp.float32(value) for name, value in values.items()}, setup.spectrum

    def image(x: float, y: float) -> np.ndarray:
        place = jnp.asarray(setup.grid.place(np.array([x, y])), jnp.float32)
        return np.maximum(np.asarray(images(*given, place), float), 0)

    light = image(*crab)
    total = light.sum()

    def parts(x: float, y: float) -> jax.Array:
        place = jnp.asarray(setup.grid.place(np.array([x, y])), jnp.float32)
        return whole(*given, place, jnp.asarray([_first(v, nx) for v in (x, y)])) / total

    window = np.asarray(reached(window_of(values, setup.half), setup.grid), float)
    spread = NodeSpread(parts, PARTS, window, crab[None])
    diffuse, particles = (np.asarray(v, float) for v in background(setup, values))
    level = np.maximum(diffuse + particles, 1e-3)
    wrong = misfit(setup.counts, level + light, light, crab)
    return Scene(
        setup, values, spread, level, crab, light, window > 0.5, wrong, frame, lambda x, y: image(x, y) / total, parts
    )


def misfit(counts: np.ndarray, model: np.ndarray, light: np.ndarray, place: np.ndarray) -> float:
    """Share f of a bright source's light in a focus (3 x 3 bins) that its model is wrong by, from its arms:

        sum of (D - M)^2 - M = f^2 sum of S^2,  D, M, S sums of counts, of all and of the source's light expected

    over places with S above FEW, beyond NEAR bins of the source's own place (2,). Sums over foci, because that is
    where an error of the PSF, which is no noise of single bins, would make a source.
    """
    d, m, s = (uniform_filter(v.astype(float), 3, mode="constant") * 9 for v in (counts, model, light))
    y, x = np.indices(counts.shape)
    keep = (s > FEW) & (np.hypot(x - place[0], y - place[1]) > NEAR)
    excess = ((d - m) ** 2 - m)[keep].sum()
    return float(np.sqrt(max(excess, 0.0) / max((s[keep] ** 2).sum(), 1e-9)))


def brightness(calibration: LobsterCalibration, setup: Setup) -> dict[str, float]:
    """The calibration's values, `throughput` as the telescope in its folder needs it: its YAML holds the fitted
    brightness in open area and throughput already."""
    base, values = setup.telescope.state(), calibration.values
    whole = float(base.throughput) * float(base.open_area)
    share = values["throughput"] * calibration.about["open_area"] / whole
    return values | {"throughput": float(base.throughput) * share}


def _first(at: float, n: int) -> int:
    """Where in an image in parts of bins about a source at bin `at` begins what is on the frame, and `_more` before."""
    half = FINE * (n + 1)
    return int(np.clip(half - round(FINE * at) - _more(n), 0, 2 * half + 1 - _wide(n)))


def _more(n: int) -> int:
    # parts beside the frame that a source needs which takes its PSF from a node as far away as nodes are apart
    return FINE * (n // PARTS + 2)


def _wide(n: int) -> int:
    return min(FINE * n + 2 * _more(n), 2 * FINE * (n + 1) + 1)


def _programs(setup: Setup, n: int) -> tuple[Callable[..., jax.Array], Callable[..., jax.Array]]:
    """(state, values, spectrum, place) -> (y, x) counts of a source on the frame; with (2,) `_first` besides -> counts
    in parts of bins about it, unbounded by the detector, as far as the frame can have of them."""
    half, side = FINE * (n + 1), (setup.grid.side[0] / FINE, setup.grid.side[1] / FINE)
    far = jnp.asarray([[-1e6, 1e6]] * 2)

    def light(state, values, spectrum, place, window, grid, reach):  # type: ignore[no-untyped-def]
        state, centre = state_of(state, setup.plates, values), jnp.stack([values["centre_x"], values["centre_y"]])
        coating, figure = setup.telescope.coating, figure_of(values)
        return setup.exposure * expected(state, coating, figure, spectrum, place, centre, window, grid, reach)

    @jax.jit
    def image(state: LobsterState, values: dict[str, jax.Array], spectrum: Spectrum, place: jax.Array) -> jax.Array:
        return light(state, values, spectrum, place, window_of(values, setup.half), setup.grid, None)

    @jax.jit
    def whole(
        state: LobsterState, values: dict[str, jax.Array], spectrum: Spectrum, place: jax.Array, first: jax.Array
    ) -> jax.Array:
        x, y = (place[k] + (first[k] - half + jnp.arange(_wide(n))) * side[k] for k in range(2))
        window = Window(values["turn"], far, far)
        made = light(state, values, spectrum, place, window, Grid(x, y, side), 1.5 * half * max(side))
        return jax.lax.dynamic_update_slice(jnp.zeros((2 * half + 1, 2 * half + 1)), made, (first[1], first[0]))

    return image, whole
