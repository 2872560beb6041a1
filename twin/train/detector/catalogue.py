"""From what is said of candidates to a list of sources, and whether the counts then look like chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.train.detector.model import Said
from twin.train.detector.network import ARTEFACT, MEASURED, SOURCE

NEGLIGIBLE = 0.02


@dataclass(frozen=True)
class Sources:
    """Sources of one field, the most probable first; each (k,).

    x, y [bin] with standard deviations x_err, y_err; log_counts natural logarithm of the counts on the image
    probability of a source there; artefact: of an arm or a blob of another one instead
    """

    x: np.ndarray
    y: np.ndarray
    x_err: np.ndarray
    y_err: np.ndarray
    log_counts: np.ndarray
    log_counts_err: np.ndarray
    hardness: np.ndarray
    hardness_err: np.ndarray
    variability: np.ndarray
    variability_err: np.ndarray
    probability: np.ndarray
    artefact: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    def above(self, threshold: float) -> Sources:
        """Those whose probability reaches a threshold."""
        kept = self.probability >= threshold
        return Sources(**{name: value[kept] for name, value in vars(self).items()})


def sources(said: Said, field: int, least: float = NEGLIGIBLE) -> Sources:
    """The sources of one field down to probability `least`."""
    p, mean, sigma = said.p[field], said.mean[field], said.sigma[field]
    at = np.flatnonzero(p[:, SOURCE] >= least)
    at = at[np.argsort(-p[at, SOURCE], kind="stable")]
    each = {name: mean[at, k] for k, name in enumerate(MEASURED)}
    errors = {f"{name}_err": sigma[at, k] for k, name in enumerate(MEASURED)}
    return Sources(**{name: np.asarray(v, float) for name, v in (each | errors).items()},
                   probability=p[at, SOURCE].astype(float), artefact=p[at, ARTEFACT].astype(float))  # fmt: skip


def expected_number(said: Said) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (n,) of the number of sources in each field: candidates decide independently."""
    p = said.p[..., SOURCE].astype(float)
    return p.sum(1), np.sqrt((p * (1 - p)).sum(1))


def poisson_residual(counts: np.ndarray, model: np.ndarray, side: int = 4) -> np.ndarray:
    """(y / side, x / side) deviance residuals of summed counts about a model: normal where the model is right.

    sign(n - m) sqrt(2 (n ln(n / m) - n + m)), McCullagh & Nelder 1989, sec. 2.4.
    """
    ny, nx = counts.shape[0] // side, counts.shape[1] // side
    n, m = (v[: ny * side, : nx * side].reshape(ny, side, nx, side).sum((1, 3)) for v in (counts, model))
    m = np.maximum(m, 1e-9)
    log = np.where(n > 0, n * np.log(np.maximum(n, 1e-9) / m), 0.0)
    return np.sign(n - m) * np.sqrt(np.maximum(2 * (log - n + m), 0.0))
