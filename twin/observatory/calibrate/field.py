"""The PSF's shape over a field of stars: the telescope's physics as a prior, and a smooth residual (Gaussian process).

y(x) = g(x; theta) + B beta + r(x) + noise, for y = (e1, e2, ln size) of windowed moments:
  g      the twin's moments at the field position x; theta ~ N(0, prior): seeing, jitter, Zernikes and their slopes,
         linearised about the theta that fits (two Gauss-Newton steps)
  beta   ln size grows with a star's flux: the brighter-fatter effect (Antilogus+ 2014, JINST 9, C03048)
  r      Gaussian process, covariance a^2 exp(-d^2 / 2 l^2), a for ellipticities and size, l common
  noise  photon noise of the moments, and a floor for what it does not hold
Hyperparameters maximise the marginal likelihood of the stars that the model is fitted to, times their prior: the
shrinkage is chosen inside the training stars. Stars that do not belong (cosmic rays, blends) are weighted down by
(nu + 3) / (nu + chi^2), the weights of Student's t, and named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from twin.observatory.calibrate.moments import Field, Unknowns, moments_field
from twin.observatory.calibrate.stars import Stars, number
from twin.observatory.imager import Imager

HYPER = ("ln_amplitude_e", "ln_amplitude_size", "ln_length", "ln_floor_e", "ln_floor_size")
NODES = (4, 6)  # places along the short and the long side where the physics is evaluated
DEGREE = 3  # of the polynomials between them
FATTER = 0.1  # prior sd of ln size per unit of flux (that of the brightest star)
ROUNDS = 3  # of weights; of Gauss-Newton steps
OUTLIER = 25.0  # chi^2 of three numbers beyond which a star is named


@dataclass(frozen=True)
class Prior:
    """What the fit starts from; stored with a calibration, so that a benchmark can fit anew.

    hyper  mean of HYPER: lengths as a share of the field's longer side;  spread  their standard deviation
    nu     degrees of freedom of the weights; inf = least squares
    others: see moments.Unknowns
    """

    hyper: tuple[float, ...] = (float(np.log(0.01)), float(np.log(0.01)), float(np.log(0.5)), float(np.log(0.002)),
                                float(np.log(0.005)))  # fmt: skip
    spread: float = 1.0
    nu: float = 4.0
    ln_seeing: float = 0.3
    jitter: float = 0.02
    zernike: float = 60.0
    slope: float = 60.0


@dataclass(frozen=True)
class Physics:
    """The twin's moments over one exposure's stars: at theta (K,) their values (n, 3) and derivatives (n, 3, K)."""

    unknowns: Unknowns
    stars: Stars
    run: Field

    @property
    def row(self) -> np.ndarray:
        """Telemetry of the exposure: what the header says under a channel's keywords and within its range, the laws'
        centres else."""
        field = {"field_x": self.stars.centre[0], "field_y": self.stars.centre[1]}
        row = []
        for channel in self.unknowns.imager.telemetry_channels:
            words = (*channel.keywords, channel.kind.upper())
            said = [field[channel.kind]] if channel.kind in field else [number(self.stars.header, k) for k in words]
            row.append(next((v for v in said if channel.low <= v <= channel.high), channel.at(0.0)))
        return np.array(row, np.float32)

    def at(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Moments and derivatives at the stars, by polynomials between nodes."""
        place = self.stars.place
        half = np.maximum(np.abs(place).max(0), 1e-6)
        counts = NODES if half[1] >= half[0] else NODES[::-1]
        nodes = np.stack([v.ravel() for v in np.meshgrid(*(np.linspace(-1, 1, n) for n in counts))], 1)
        value, slope = self.run(theta, self.row, nodes * half)
        vander: Any = np.polynomial.polynomial.polyvander2d
        powers = [(a, b) for a in range(DEGREE + 1) for b in range(DEGREE + 1 - a)]
        at = np.array([a * (DEGREE + 1) + b for a, b in powers])
        from_nodes = np.linalg.pinv(vander(*nodes.T, [DEGREE, DEGREE])[:, at])
        weights = vander(*(place / half).T, [DEGREE, DEGREE])[:, at] @ from_nodes
        return np.einsum("nm,mc->nc", weights, value), np.einsum("nm,mck->nck", weights, slope)


@dataclass(frozen=True)
class FieldFit:
    """A fitted field.

    theta, covariance   (K,), (K, K) of the physics;  hyper (5,) found;  beta  the brighter-fatter slope
    weight, chi2        (n,) of the training stars, 1 = belongs; outliers  their indices
    """

    theta: np.ndarray
    covariance: np.ndarray
    hyper: np.ndarray
    beta: float
    weight: np.ndarray
    chi2: np.ndarray
    outliers: np.ndarray
    predicted: np.ndarray


def _residual_kernel(hyper: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """(3, n, m) covariance of the residual's components."""
    amplitude = np.exp(2 * hyper[[0, 0, 1]])
    return amplitude[:, None, None] * np.exp(-0.5 * squares / np.exp(2 * hyper[2]))


def _blocks(kernel: np.ndarray) -> np.ndarray:
    """(3, n, m) -> (3 n, 3 m), components outermost."""
    c, n, m = kernel.shape
    out = np.zeros((c, n, c, m))
    out[range(c), :, range(c)] = kernel
    return out.reshape(c * n, c * m)


def _floor(hyper: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(3, n) variance of what photon noise does not hold."""
    return np.exp(2 * hyper[[3, 3, 4]])[:, None] / weight


def _cost(hyper: np.ndarray, prior: Prior, y: np.ndarray, variance: np.ndarray, weight: np.ndarray,
          squares: np.ndarray, basis: np.ndarray) -> tuple[float, np.ndarray]:  # fmt: skip
    """Minus ln of marginal likelihood and hyperprior, and its gradient; basis (3 n, P) in units of its prior.

    d/dh = tr[(K^-1 - a a') dK/dh] / 2, a = K^-1 y (Rasmussen & Williams 2006, eq. 5.9). K = C + U U', C in blocks,
    one a component: K^-1 = C^-1 - C^-1 U (1 + U' C^-1 U)^-1 U' C^-1 costs a ninth of inverting K.
    """
    n, u = len(squares), basis.reshape(3, len(squares), -1)
    kernel, floor = _residual_kernel(hyper, squares), _floor(hyper, weight)
    blocks = kernel.copy()
    blocks[:, range(n), range(n)] += variance.T / weight + floor
    factors = np.linalg.cholesky(blocks)
    inverses = np.stack([cho_solve((factor, True), np.eye(n)) for factor in factors])
    v = inverses @ u  # C^-1 U
    inner = cho_factor(np.eye(u.shape[-1]) + np.einsum("cnp,cnq->pq", u, v), lower=True)
    alpha = np.einsum("cnm,cm->cn", inverses, y.reshape(3, n))
    alpha = alpha - v @ cho_solve(inner, np.einsum("cnp,cn->p", u, alpha))
    middle = cho_solve(inner, np.eye(u.shape[-1]))
    left = inverses - (v @ middle) @ np.swapaxes(v, 1, 2) - alpha[:, :, None] * alpha[:, None, :]
    by_amplitude = np.einsum("cnm,cnm->c", left, kernel)
    by_length = 0.5 * np.einsum("cnm,cnm,nm->", left, kernel, squares) / np.exp(2 * hyper[2])
    by_floor = np.einsum("cnn,cn->c", left, floor)
    slope = np.array([by_amplitude[:2].sum(), by_amplitude[2], by_length, by_floor[:2].sum(), by_floor[2]])
    away = (hyper - np.array(prior.hyper)) / prior.spread
    half_log = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum() + np.log(np.diag(inner[0])).sum()
    cost = 0.5 * y @ alpha.ravel() + half_log + 0.5 * away @ away
    return float(cost), slope + away / prior.spread


def _flat(values: np.ndarray) -> np.ndarray:
    return values.T.ravel()


def fit_field(stars: Stars, imager: Imager, prior: Prior | None = None, train: np.ndarray | None = None,
              physics: Physics | None = None) -> FieldFit:  # fmt: skip
    """Fit the field to the training stars (all where none are named) and predict (n, 3) for every star.

    physics   the exposure's compiled moments, where several fits share them
    """
    prior = prior or Prior()
    train = np.arange(len(stars)) if train is None else np.asarray(train)
    physics = physics or physics_of(stars, imager, prior)
    sd = physics.unknowns.prior_sd
    scale = np.ptp(stars.place, axis=0).max() or 1.0
    d = (stars.place[:, None] - stars.place[None]) / scale
    squares = (d**2).sum(-1)
    fatter = np.zeros((3, len(stars)))
    fatter[2] = stars.flux * FATTER
    theta = np.zeros(len(sd))
    weight, hyper = np.ones(len(train)), np.array(prior.hyper)
    for _ in range(ROUNDS):
        value, slope = physics.at(theta)
        basis = np.concatenate([np.moveaxis(slope, 1, 0).reshape(3 * len(stars), -1) * sd, fatter.reshape(-1, 1)], 1)
        target = stars.shape - value + np.einsum("nck,k->nc", slope, theta)
        rows = (np.arange(3)[:, None] * len(stars) + train).ravel()
        y, variance = _flat(target[train]), stars.noise[train] ** 2
        hyper = _choose(hyper, prior, y, variance, weight, squares[np.ix_(train, train)], basis[rows])
        kernel = _blocks(_residual_kernel(hyper, squares)) + basis @ basis.T
        noise = (variance.T / weight + _floor(hyper, weight)).ravel()
        inverse = np.linalg.inv(kernel[np.ix_(rows, rows)] + np.diag(noise))
        alpha = inverse @ y
        gain = basis[rows].T @ alpha
        theta = gain[:-1] * sd
        # leave-one-out residuals of each star, in the noise it would have at weight 1
        loo = (alpha / np.diag(inverse)).reshape(3, -1).T
        spread = (1 / np.diag(inverse)).reshape(3, -1).T - (noise * (1 - np.tile(weight, 3))).reshape(3, -1).T
        chi2 = (loo**2 / np.maximum(spread, 1e-12)).sum(1)
        weight = (prior.nu + 3) / (prior.nu + chi2) if np.isfinite(prior.nu) else np.ones(len(train))
        weight = np.minimum(weight, 1.0)
        predicted = (kernel[:, rows] @ alpha).reshape(3, -1).T + stars.shape - target
    inner = np.eye(len(sd) + 1) - basis[rows].T @ inverse @ basis[rows]
    covariance = inner[:-1, :-1] * sd[:, None] * sd[None, :]
    outliers = train[np.flatnonzero(chi2 > OUTLIER)]
    return FieldFit(theta, covariance, hyper, float(gain[-1] * FATTER), weight, chi2, outliers, predicted)


def _choose(hyper: np.ndarray, prior: Prior, *given: np.ndarray) -> np.ndarray:
    """Hyperparameters of largest marginal likelihood, from `hyper` on."""
    bounds = [(m - 4 * prior.spread, m + 4 * prior.spread) for m in prior.hyper]
    found = minimize(_cost, hyper, (prior, *given), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40})
    return found.x


def physics_of(stars: Stars, imager: Imager, prior: Prior) -> Physics:
    """The exposure's moments under the prior's unknowns, to be compiled once."""
    unknowns = Unknowns(imager, prior.ln_seeing, prior.jitter, prior.zernike, prior.slope)
    return Physics(unknowns, stars, moments_field(unknowns, imager.bands.index(stars.band), stars.window))


def position_folds(stars: Stars, folds: int = 5, block: float = 512.0) -> np.ndarray:
    """(n,) fold of each star by its place alone: blocks of `block` pixels a side, column i and row j, are in the fold
    (i + 2 j) mod `folds`, so that a block's neighbours lie in other folds."""
    column, row = (np.floor(v / block).astype(int) for v in (stars.x, stars.y))
    return (column + 2 * row) % folds
