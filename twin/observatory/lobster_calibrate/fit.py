"""The fit: counts of a frame, Poisson, against a telescope's physical parameters by damped Newton steps.

-ln L = sum of m - d ln m over the bins used + half the sum of ((p - prior) / sd)^2,  m the expected counts. The
Hessian is Fisher's, J^T J / m; its inverse at the end is the covariance (Laplace).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.observatory.lobster.telescope import Lobster
from twin.observatory.lobster_calibrate.frame import Grid, axes
from twin.observatory.lobster_calibrate.model import Spectrum, covered, expected, reached
from twin.observatory.lobster_calibrate.parameters import LAWS, Law, figure_of, start, state_of, window_of

FLOOR = 1e-4  # expected counts in a bin outside the detector: a stray count there is no end of the world
STEPS = 40
ENOUGH = 0.05  # of -ln L: a step that gains less is the last
SLOTS = 4  # other sources that a fit has room for: their number changes no program


@dataclass(frozen=True)
class Setup:
    """A frame and the telescope that took it.

    counts (y, x), exposure [s], grid, telescope, spectrum of the source
    others (n, y, x) expected counts of up to SLOTS other sources, each to be scaled by a factor of its own
    """

    counts: np.ndarray
    exposure: float
    grid: Grid
    telescope: Lobster
    spectrum: Spectrum
    others: np.ndarray = field(default_factory=lambda: np.zeros((0, 1, 1)))

    @property
    def half(self) -> float:
        """Half the detector's width [arcmin]."""
        return self.telescope.config.detector.npix * self.telescope.pixel_scale / 2

    @property
    def cell(self) -> float:
        """Area of a bin on the detector [cm2]."""
        detector = self.telescope.config.detector
        scale = detector.pixel * 1e-4 / self.telescope.pixel_scale
        return self.grid.side[0] * self.grid.side[1] * scale**2

    @property
    def plates(self) -> int:
        return self.telescope.config.optics.plates.count

    def laws(self) -> tuple[Law, ...]:
        """Parameters of the fit: the table's, then a factor of each other source, there or not."""
        return LAWS + tuple(Law(f"other_{k}", "", "log", 1.0) for k in range(SLOTS))

    def slots(self) -> Array:
        """(SLOTS, y, x) the other sources, and nothing in the slots that are free."""
        made = np.zeros((SLOTS, *self.grid.shape), np.float32)
        made[: len(self.others)] = self.others[:SLOTS]
        return jnp.asarray(made)

    def prior(self, source: np.ndarray) -> dict[str, float]:
        """What the parameters are before the fit, with the source's image at `source` (2,) [arcmin]."""
        values = start(self.telescope.state(), self.telescope.config, self.half, source.tolist())
        return values | {f"other_{k}": 1.0 for k in range(SLOTS)}


def source_counts(setup: Setup, values: Mapping[str, float | Array], place: Array) -> Array:
    """(y, x) expected counts of a source with the calibrator's spectrum whose image is at `place` (2,) [arcmin]."""
    state = state_of(setup.telescope.state(), setup.plates, values)
    centre = jnp.stack([jnp.asarray(values["centre_x"]), jnp.asarray(values["centre_y"])])
    made = expected(
        state, setup.telescope.coating, figure_of(values), setup.spectrum, place, centre,
        window_of(values, setup.half), setup.grid,
    )  # fmt: skip
    return setup.exposure * made


def background(setup: Setup, values: Mapping[str, float | Array]) -> tuple[Array, Array]:
    """(y, x) expected counts of light that the optic spreads evenly, falling off to the corners, and of particles."""
    window = window_of(values, setup.half)
    u, v = axes(setup.grid, window.turn)
    shape = jnp.maximum(1 - values["vignetting"] * (u**2 + v**2) / (2 * setup.half**2), 0.05)
    scale = setup.exposure * setup.cell
    return (
        scale * values["diffuse"] * shape * reached(window, setup.grid),
        scale * values["particles"] * covered(window, setup.grid),
    )


def parts(setup: Setup, values: Mapping[str, float | Array], others: Array | None = None) -> dict[str, Array]:
    """(y, x) expected counts: of the source, of others, of diffuse light, of particles. others: as `Setup.slots`."""
    factors = jnp.stack([jnp.asarray(values[f"other_{k}"]) for k in range(SLOTS)])
    other = jnp.tensordot(factors, setup.slots() if others is None else others, 1)
    place = jnp.stack([jnp.asarray(values["source_x"]), jnp.asarray(values["source_y"])])
    diffuse, particles = background(setup, values)
    return {"source": source_counts(setup, values, place), "others": other, "diffuse": diffuse, "particles": particles}


@dataclass(frozen=True)
class Fit:
    """What a fit found.

    laws        parameters in order;  free (p,) numbers that the fit moves;  covariance (p, p) of them
    values      in their units;  errors standard deviations in the same units
    parts       (y, x) expected counts of source, others, diffuse, particles
    used        (y, x) bins that took part
    objective   half the deviance, with the priors' part
    """

    laws: tuple[Law, ...]
    free: np.ndarray
    covariance: np.ndarray
    parts: dict[str, np.ndarray]
    used: np.ndarray
    objective: float
    steps: int

    @property
    def values(self) -> dict[str, float]:
        return {law.name: float(law.value(jnp.asarray(f))) for law, f in zip(self.laws, self.free, strict=True)}

    @property
    def errors(self) -> dict[str, float]:
        sd = np.sqrt(np.diag(self.covariance))
        return {law.name: law.slope(f) * s for law, f, s in zip(self.laws, self.free, sd, strict=True)}

    @property
    def expected(self) -> np.ndarray:
        return np.sum(list(self.parts.values()), 0) + FLOOR


class Problem:
    """The frame's likelihood as a function of the numbers that the fit moves; compiled once, for any bins used."""

    def __init__(self, setup: Setup, mean: Mapping[str, float]) -> None:
        """mean: the priors' middles, in the parameters' units."""
        self.laws = setup.laws()
        sd = np.array([law.sd for law in self.laws], np.float32)

        def image(p: Array, others: Array) -> dict[str, Array]:
            return parts(setup, {law.name: law.value(p[k]) for k, law in enumerate(self.laws)}, others)

        def loss(p: Array, keep: Array, data: Array, others: Array, middle: Array) -> Array:
            m = sum(image(p, others).values()) + FLOOR
            # the saturated model is subtracted bin by bin: float32 has no digits for the sums
            d = m - data - data * (jnp.log(m) - jnp.log(jnp.maximum(data, 1e-9)))
            return (keep * d).sum() + 0.5 * (((p - middle) / sd) ** 2).sum()

        def slopes(p: Array, keep: Array, data: Array, others: Array, middle: Array) -> tuple[Array, Array]:
            def flat(q: Array) -> Array:
                return jnp.ravel(sum(image(q, others).values()) + FLOOR)

            m = flat(p)
            j = jax.lax.map(lambda e: jax.jvp(flat, (p,), (e,))[1], jnp.eye(len(self.laws)), batch_size=2).T
            w = keep.ravel()
            gradient = j.T @ (w * (1 - data.ravel() / m)) + (p - middle) / sd**2
            return gradient, (j * (w / m)[:, None]).T @ j + jnp.diag(1 / sd**2)

        self._image, self._loss, self._slopes = jax.jit(image), jax.jit(loss), jax.jit(slopes)
        self._take(setup, mean)

    def _take(self, setup: Setup, mean: Mapping[str, float]) -> None:
        self.setup = setup
        self.mean = np.array([law.free(mean[law.name]) for law in self.laws])
        self._known = (
            jnp.asarray(setup.counts, jnp.float32), setup.slots(), jnp.asarray(self.mean, jnp.float32),
        )  # fmt: skip

    def renewed(self, setup: Setup, mean: Mapping[str, float]) -> Problem:
        """The same frame with other sources and priors, and no new program."""
        made = copy.copy(self)
        made._take(setup, mean)
        return made

    def image(self, free: np.ndarray) -> dict[str, np.ndarray]:
        """(y, x) expected counts by part."""
        made = self._image(jnp.asarray(free, jnp.float32), self._known[1])
        return {name: np.asarray(value, float) for name, value in made.items()}

    def slopes(self, free: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (p,) and Fisher's information (p, p)."""
        given = (jnp.asarray(v, jnp.float32) for v in (free, keep))
        gradient, hessian = self._slopes(*given, *self._known)
        return np.asarray(gradient, float), np.asarray(hessian, float)

    def free(self, values: Mapping[str, float]) -> np.ndarray:
        """Numbers that the fit moves, of values in their units."""
        return np.array([law.free(values[law.name]) for law in self.laws])

    def at(self, free: np.ndarray, keep: np.ndarray) -> float:
        return float(self._loss(jnp.asarray(free, jnp.float32), jnp.asarray(keep, jnp.float32), *self._known))


def fit(
    problem: Problem, begin: Mapping[str, float], used: np.ndarray | None = None, frozen: tuple[str, ...] = (),
    steps: int = STEPS, say: Callable[[str], None] = lambda text: None,
) -> Fit:  # fmt: skip
    """Fit the bins where `used` (y, x) holds (all) by Newton's steps, damped as Levenberg and Marquardt do.

    begin   values to start from, in their units;  frozen  parameters that stay there
    """
    laws, keep = problem.laws, np.ones(problem.setup.counts.shape) if used is None else np.asarray(used, float)
    free, moving = problem.free(begin), np.array([law.name not in frozen for law in laws])
    damping, now, step = 1e-2, problem.at(free, keep), 0
    hessian = np.eye(len(laws))
    for step in range(1, steps + 1):  # noqa: B007
        gradient, hessian = problem.slopes(free, keep)
        h, g = hessian[np.ix_(moving, moving)], gradient[moving]
        there, new = free, now
        for _ in range(10):
            there = free.copy()
            there[moving] -= np.linalg.solve(h + damping * np.diag(np.diag(h)), g)
            new = problem.at(there, keep)
            if np.isfinite(new) and new < now:
                break
            damping *= 5
        else:
            break
        gain, free, now, damping = now - new, there, new, max(damping / 5, 1e-6)
        say(f"step {step}: {now:.1f}")
        if gain < ENOUGH:
            break
    covariance = np.zeros((len(laws), len(laws)))
    covariance[np.ix_(moving, moving)] = np.linalg.inv(hessian[np.ix_(moving, moving)])
    return Fit(laws, free, covariance, problem.image(free), keep > 0, now, step)
