"""The twin's PSF parameters from images of stars: Gaussian pixel noise, each star's position, flux and sky as nuisance.

pixels_i = F_i psf(theta, place_i, position_i) + B_i + noise,  theta ~ N(0, prior) as in moments.Unknowns. Flux and sky
are solved for at every step (variable projection: Kaufman 1975, BIT 15, 49); theta and the positions by Gauss-Newton
steps with Levenberg's damping; the posterior is Gaussian about the mode. Stamps with a saturated core or a cosmic ray
are named and take no part: the first are seen before, the second as pixels that no star of the others' shape can have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.fourier import Grid
from twin.observatory.calibrate.moments import Unknowns, star_image

STEPS = 12  # Gauss-Newton steps of a fit
SHARP = 8.0  # standard deviations beyond which a pixel is no star's
MODEL = 0.02  # of a pixel's light: what the PSF's model may be wrong by, where pixels are judged
FLAT = 3  # pixels at the very top within 1 % of each other that make a core flat
EDGE = 1.5  # pixels that a star may lie from the stamp's middle


@dataclass(frozen=True)
class StampFit:
    """theta (K,) and its covariance; positions (n, 2) [pixel from the middle], flux, sky (n,), reduced chi^2, and
    what is left (n, k^2) [sigma] of the stamps that took part (`used`, indices); refused: index -> why the others did
    not."""

    theta: np.ndarray
    covariance: np.ndarray
    position: np.ndarray
    flux: np.ndarray
    sky: np.ndarray
    chi2: np.ndarray
    left: np.ndarray
    used: np.ndarray
    refused: dict[int, str]


def saturated(stamp: np.ndarray, level: float = np.inf) -> str | None:
    """Why a stamp's core cannot be trusted: pixels at the saturation level, or a flat top; None where it can."""
    if not np.isfinite(stamp).all():
        return "pixels without a value"
    top = np.sort(stamp.ravel())[::-1]
    if top[0] >= level:
        return f"saturated core: {int((stamp >= level).sum())} pixels at {level:g}"
    light = top[0] - np.median(stamp)
    if top[0] - top[FLAT - 1] < 0.001 * light:
        return f"saturated core: its {FLAT} brightest pixels are equal"
    return None


def fit_stamps(
    stamps: np.ndarray,
    variance: np.ndarray,
    places: np.ndarray,
    unknowns: Unknowns,
    band: int,
    row: np.ndarray,
    saturation: float = np.inf,
) -> StampFit:
    """Fit theta to star images (n, k, k) [electron] with pixel variances of the same shape, at places (n, 2) [deg].

    row  telemetry (C,) of the exposure.  Raises ValueError where no stamp is left.
    """
    refused = {i: why for i, stamp in enumerate(stamps) if (why := saturated(stamp, saturation))}
    model = _Model(unknowns, band, row, stamps.shape[-1])
    theta = np.zeros(len(unknowns.prior_sd))
    while True:
        used = np.array([i for i in range(len(stamps)) if i not in refused], int)
        if len(used) == 0:
            raise ValueError("no stamp is left: " + "; ".join(f"{i}: {why}" for i, why in refused.items()))
        fit = model.fit(stamps[used], variance[used], places[used], theta)
        worst, where = _sharpest(stamps[used], variance[used], fit)
        k = int(np.argmax(worst))
        if worst[k] < SHARP:
            return replace(fit, used=used, refused=refused)
        y, x = where[k]
        refused[int(used[k])] = f"cosmic ray or neighbour: pixel x {x}, y {y} is {worst[k]:.0f} sigma off"
        theta = fit.theta


class _Model:
    """The compiled model of stamps of one size."""

    def __init__(self, unknowns: Unknowns, band: int, row: np.ndarray, size: int) -> None:
        self._sd, self._row = unknowns.prior_sd, jnp.asarray(row, jnp.float32)
        scale = unknowns.imager.pixel_scale
        draw = star_image(unknowns.imager, band, Grid(size, scale))

        def one(p: Array, place: Array, row: Array) -> Array:
            """Star of flux 1: p = theta and position [pixel]."""
            state = unknowns.state(p[:-2], row, place)
            return draw(replace(state, offset=state.offset + p[-2:] * scale)).ravel()

        def both(p: Array, place: Array, row: Array) -> tuple[Array, Array]:
            value, push = jax.linearize(lambda v: one(v, place, row), p)
            return value, jax.lax.map(push, jnp.eye(len(p), dtype=p.dtype))

        self._both = jax.jit(lambda p, places, row: jax.lax.map(lambda a: both(a[0], a[1], row), (p, places)))

    def fit(self, stamps: np.ndarray, variance: np.ndarray, places: np.ndarray, theta: np.ndarray) -> StampFit:
        n, k = len(stamps), len(self._sd)
        data, weight = stamps.reshape(n, -1), 1 / np.sqrt(variance.reshape(n, -1))
        position = np.array([_centre(stamp) for stamp in stamps])
        damping, best = 1e-3, np.inf
        kept: tuple[np.ndarray, ...] = ()
        for _ in range(STEPS):
            terms = self._terms(data, weight, places, theta, position)
            cost = float((terms[0] ** 2).sum() + ((theta / self._sd) ** 2).sum())
            if cost < best:
                gained, best, damping = best - cost, cost, damping / 5
                kept = (theta, position, *terms)
                if gained < 1e-4 * max(cost, 1.0):
                    break
            else:
                damping *= 10
            theta, position, residual, jacobian = kept[:4]
            normal, slope = self._normal(jacobian, residual, theta)
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), slope)
            theta = theta + step[:k]
            position = np.clip(position + step[k:].reshape(n, 2), -3 * EDGE, 3 * EDGE)
        theta, position, residual, jacobian, flux, sky = kept
        normal, _ = self._normal(jacobian, residual, theta)
        covariance = np.linalg.inv(normal)[:k, :k]
        chi2 = (residual**2).sum(1) / max(1, data.shape[1] - 4)
        return StampFit(theta, covariance, position, flux, sky, chi2, residual, np.arange(n), {})

    def _terms(self, data: np.ndarray, weight: np.ndarray, places: np.ndarray, theta: np.ndarray,
               position: np.ndarray) -> tuple[np.ndarray, ...]:  # fmt: skip
        """Weighted residuals (n, q), projected derivatives of the model (n, q, K + 2), flux, sky (n,)."""
        p = np.concatenate([np.broadcast_to(theta, (len(data), len(theta))), position], 1)
        value, push = self._both(jnp.asarray(p, jnp.float32), jnp.asarray(places, jnp.float32), self._row)
        value, push = np.asarray(value, float), np.asarray(push, float)
        residual, jacobian, light = np.empty_like(data), [], []
        for i, (d, w) in enumerate(zip(data, weight, strict=True)):
            basis = np.stack([value[i] * w, w], 1)
            orthogonal, triangle = np.linalg.qr(basis)
            flux, sky = np.linalg.solve(triangle, orthogonal.T @ (d * w))
            residual[i] = d * w - basis @ (flux, sky)
            slope = flux * push[i].T * w[:, None]
            jacobian.append(slope - orthogonal @ (orthogonal.T @ slope))
            light.append((flux, sky))
        return residual, np.stack(jacobian), *np.array(light).T

    def _normal(self, jacobian: np.ndarray, residual: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Normal matrix and gradient of theta and all positions."""
        n, k = len(residual), len(theta)
        normal, slope = np.zeros((k + 2 * n, k + 2 * n)), np.zeros(k + 2 * n)
        normal[range(k), range(k)] = 1 / self._sd**2
        slope[:k] = -theta / self._sd**2
        for i in range(n):
            at = np.r_[0:k, k + 2 * i : k + 2 * i + 2]
            normal[np.ix_(at, at)] += jacobian[i].T @ jacobian[i]
            slope[at] += jacobian[i].T @ residual[i]
        return normal, slope


def _sharpest(stamps: np.ndarray, variance: np.ndarray, fit: StampFit) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """(n,) how many sigma each stamp's worst pixel lies off, and where (y, x); bright ones may be off by MODEL."""
    light = stamps - fit.sky[:, None, None]
    off = np.abs(fit.left).reshape(stamps.shape) / np.sqrt(1 + (MODEL * light) ** 2 / variance)
    at = [np.unravel_index(np.argmax(one), one.shape) for one in off]
    return off.reshape(len(off), -1).max(1), [(int(y), int(x)) for y, x in at]


def _centre(stamp: np.ndarray) -> np.ndarray:
    """Where the light of a stamp's inner part lies, from its middle [pixel]; a hot pixel does not move it."""
    from scipy.ndimage import median_filter

    smooth = median_filter(stamp - np.median(stamp), 3)
    middle = (stamp.shape[-1] - 1) / 2
    y, x = np.indices(stamp.shape) - middle
    light = np.clip(smooth, 0, None) * (np.hypot(x, y) < 0.3 * stamp.shape[-1])
    total = max(float(light.sum()), 1e-12)
    return np.clip([(light * x).sum() / total, (light * y).sum() / total], -EDGE, EDGE)
