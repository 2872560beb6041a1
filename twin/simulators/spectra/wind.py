"""P Cygni profiles: scattering in an expanding wind by the Sobolev approximation.

Wind: w(r) = v / v_inf = w0 + (1 - w0) (1 - 1/r)^beta, r in stellar radii; radial optical depth of the line
tau(w) = T (1 - w)/(1 - w0); in direction mu tau_mu = tau / (1 + sigma mu^2), sigma = dln v/dln r - 1. Source function
of pure scattering S = I_c b_c / b with the probabilities of escape b = <(1 - e^-tau_mu)/tau_mu> and of penetration
b_c, the same over the star's disc (Castor 1970, MNRAS 149, 111; Lamers, Cerruti-Sola & Perinotto 1987, ApJ 314, 726).
"""

from __future__ import annotations

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.simulators.spectra.tables import corner, interpolated

DEPTHS = np.array([0.1, 0.3, 1.0, 3.0, 10.0, 30.0])  # T
BETAS = np.array([0.7, 1.0, 2.0, 4.0])
W0, OUTER = 0.03, 60.0
TURBULENCE = 0.08  # sigma, of v_inf
X = np.linspace(-1.5, 1.5, 241)  # velocity over v_inf, positive away from us


def sobolev(depth: float, beta: float, turbulence: float = TURBULENCE) -> tuple[np.ndarray, np.ndarray]:
    """(light lost, light gained) at X, in units of the star's continuum."""
    r = 1 + np.geomspace(1e-4, OUTER - 1, 400)
    w = W0 + (1 - W0) * (1 - 1 / r) ** beta
    slope = (1 - W0) * beta * (1 - 1 / r) ** (beta - 1) / r**2
    sigma = r / w * slope - 1
    tau = depth * (1 - w) / (1 - W0)
    mu, weight = np.polynomial.legendre.leggauss(16)

    def escape(low: np.ndarray | float) -> np.ndarray:
        low = np.broadcast_to(low, r.shape)
        at = low[:, None] + (1 - low[:, None]) * (mu + 1) / 2
        t = np.maximum(tau[:, None] / (1 + sigma[:, None] * at**2), 1e-9)
        found: np.ndarray = (-np.expm1(-t) / t * weight).sum(1) / 2 * (1 - low)
        return found

    source = escape(np.sqrt(1 - 1 / r**2)) / 2 / escape(0.0)
    fine = np.linspace(-1.05, 1.05, 841)
    gained, lost = np.zeros_like(fine), np.zeros_like(fine)
    inside = (np.arange(40) + 0.5) / 40
    outside = np.geomspace(1.0, OUTER * 0.98, 161)
    rays = [(np.sqrt(q), 1 / 40) for q in inside]  # impact parameters and the areas that they stand for, over pi
    rays += [(np.sqrt(a * b), b**2 - a**2) for a, b in zip(outside[:-1], outside[1:], strict=True)]
    for p, area in rays:
        front = np.sqrt(np.maximum(1 - p**2, 0)) + 1e-6
        far = np.sqrt(OUTER**2 - p**2)
        z = np.geomspace(front, far, 160) if p < 1 else np.concatenate(
            [-np.geomspace(far, 1e-3, 120), np.geomspace(1e-3, far, 120)])  # fmt: skip
        radius = np.hypot(p, z)
        direction = z / radius
        speed = -np.interp(radius, r, w) * direction  # towards us is negative
        t = np.interp(radius, r, tau) / (1 + np.interp(radius, r, sigma) * direction**2)
        opaque = -np.expm1(-np.maximum(t, 0))
        order = np.argsort(speed)
        s, o = speed[order], (np.interp(radius, r, source) * opaque)[order]
        gained += area * np.interp(fine, s, o, left=0, right=0)
        if p < 1:
            lost += area * np.interp(fine, s, opaque[order], left=0, right=0)
    blur = np.exp(-0.5 * ((X[:, None] - fine) / turbulence) ** 2) / (2.5066283 * turbulence) * (fine[1] - fine[0])
    return blur @ lost, blur @ gained


@lru_cache(maxsize=1)
def wind_table() -> np.ndarray:
    """(T, beta, 2, N): `sobolev` at X."""
    found = np.array([[sobolev(depth, beta) for beta in BETAS] for depth in DEPTHS])
    return found.astype(np.float32)


def wind_profile(velocity: Array, terminal: Array, depth: Array, beta: Array) -> tuple[Array, Array]:
    """(lost, gained) (L,) in units of the star's continuum at velocity (L,) [km/s]; terminal v_inf [km/s]."""
    rows, weights = corner((np.log(DEPTHS), BETAS), (jnp.log(depth), beta))
    table = jnp.asarray(wind_table().reshape(-1, 2 * len(X)))
    both = (weights @ table[rows]).reshape(2, len(X))
    at = interpolated(both, (velocity / terminal - X[0]) / (X[1] - X[0]))
    return at[0], at[1]
