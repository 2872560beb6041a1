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
from twin.observatory.lobster_calibrate.fit import Setup, background, source_counts
from twin.observatory.lobster_calibrate.folder import LobsterCalibration
from twin.observatory.lobster_calibrate.frame import Grid, Window
from twin.observatory.lobster_calibrate.model import expected, reached
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
    images = jax.jit(lambda place: source_counts(setup, values, place))

    def image(x: float, y: float) -> np.ndarray:
        return np.maximum(np.asarray(images(jnp.asarray(setup.grid.place(np.array([x, y])), jnp.float32)), float), 0)

    light = image(*crab)
    window = np.asarray(reached(window_of(values, setup.half), setup.grid), float)
    make = _parts(setup, values, nx)
    total = light.sum()

    def parts(x: float, y: float) -> jax.Array:
        return make(x, y) / total

    spread = NodeSpread(parts, PARTS, window, crab[None])
    diffuse, particles = (np.asarray(v, float) for v in background(setup, values))
    level = np.maximum(diffuse + particles, 1e-3)
    wrong = misfit(setup.counts, level + light, light, crab)
    return Scene(
        setup, values, spread, level, crab, light, window > 0.5, wrong, lambda x, y: image(x, y) / total, parts
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


def _parts(setup: Setup, values: dict[str, float], n: int) -> Callable[[float, float], jax.Array]:
    """x, y [bin] -> PSF in parts of bins about it, unbounded by the detector, as far as it is on the frame from places
    up to a part of the frame away."""
    state = state_of(setup.telescope.state(), setup.plates, values)
    centre = jnp.stack([jnp.asarray(values["centre_x"]), jnp.asarray(values["centre_y"])])
    half, more = FINE * (n + 1), FINE * (n // PARTS + 2)
    wide = min(FINE * n + 2 * more, 2 * half + 1)
    side = (setup.grid.side[0] / FINE, setup.grid.side[1] / FINE)
    far = jnp.asarray([[-1e6, 1e6]] * 2)
    window = Window(jnp.asarray(values["turn"]), far, far)
    reach = 1.5 * half * max(side)

    @jax.jit
    def make(place: jax.Array, first: jax.Array) -> jax.Array:
        x, y = (place[k] + (first[k] - half + jnp.arange(wide)) * side[k] for k in range(2))
        made = expected(
            state, setup.telescope.coating, figure_of(values), setup.spectrum, place, centre, window,
            Grid(x, y, side), reach,
        )  # fmt: skip
        whole = jnp.zeros((2 * half + 1, 2 * half + 1))
        return jax.lax.dynamic_update_slice(whole, setup.exposure * made, (first[1], first[0]))

    def about(x: float, y: float) -> jax.Array:
        # parts of bins from the image's beginning to that of the frame, as seen from the source
        first = [int(np.clip(half - round(FINE * v) - more, 0, 2 * half + 1 - wide)) for v in (x, y)]
        return make(jnp.asarray(setup.grid.place(np.array([x, y])), jnp.float32), jnp.asarray(first))

    return about
