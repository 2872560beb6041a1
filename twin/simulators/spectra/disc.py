"""Emission of a Keplerian disc in a line, as Be stars have it: single peaks, double peaks, V/R asymmetry.

At radius r and azimuth phi from the line of sight the gas moves at V_K(r) sin i sin(phi). With u = V / V_K sin i
= sin(phi) and x = V / (V_K(r_out) sin i), a disc of surface brightness S ~ r^-q from r_in to r_out sends

f(x) = int r dr S(r) int dphi [1 + s^2 u^2 (1 - u^2)]^(1/2) g(x - (r/r_out)^(-1/2) u),      s = 2 sin i tan i,

where the root stands for shear in an optically thick line (Horne & Marsh 1986, MNRAS 218, 761, eq. 24; s = 0 for a
thin one) and g is a Gaussian: turbulence and thermal motion. A one-armed density wave has the weight 1 + a sin(phi)
(Hummel & Hanuschik 1997, A&A 320, 852). Two peaks stand at x = +-1 where g is narrow.
"""

from __future__ import annotations

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.simulators.spectra.tables import corner, interpolated

RADII = np.array([1.3, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.5, 8.5, 11.0, 14.5, 20.0, 28.0, 40.0])  # r_out / r_in
SLOPES = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0])  # q
SHEAR = np.array([0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 20.0])  # s
BLUR = np.array([0.05, 0.075, 0.11, 0.16, 0.24, 0.35, 0.5, 0.75, 1.2, 2.0, 3.5])  # sigma of g, in units of x
_POINTS, _SCALE, _END = 160, 0.35, 21.0  # of the table in asinh(x / scale)
_UNIT = np.arcsinh(_END / _SCALE) / (_POINTS - 1)
X = _SCALE * np.sinh(_UNIT * np.arange(_POINTS))


@lru_cache(maxsize=1)
def disc_table() -> np.ndarray:
    """(R, Q, S, B, 2, N): f at X for unit flux, and its part in a, which is odd in x."""
    edge = 7.0
    bins = np.linspace(-edge, edge, 701)
    middle = (bins[1:] + bins[:-1]) / 2
    phi = (np.arange(720) + 0.5) * (2 * np.pi / 720)
    u = np.sin(phi)
    weights = np.sqrt(1 + SHEAR[:, None] ** 2 * u**2 * (1 - u**2))
    found = np.zeros((len(RADII), len(SLOPES), len(SHEAR), len(BLUR), 2, _POINTS))
    blurs = [np.exp(-0.5 * ((X[:, None] - middle) / sigma) ** 2) / (2.5066283 * sigma) for sigma in BLUR]
    for k, ratio in enumerate(RADII):
        rings = ratio ** -((np.arange(48) + 0.5) / 48)  # r / r_out in equal steps of ln
        # each ring as a histogram of speeds; the rings differ in brightness alone
        index = np.clip(((rings[:, None] ** -0.5 * u + edge) * (700 / (2 * edge))).astype(int), 0, 699)
        index += 700 * np.arange(48)[:, None]
        light = np.array([
            [np.bincount(index.ravel(), np.tile(w * part, 48), 48 * 700).reshape(48, 700) for part in (1.0, u)]
            for w in weights
        ])  # fmt: skip
        bright = rings[None] ** (2 - SLOPES[:, None])  # r^2 S dlnr
        speeds = np.einsum("qr,sprv->qspv", bright, light)
        speeds /= speeds[:, :, :1].sum(-1, keepdims=True)
        for b, blur in enumerate(blurs):
            found[k, :, :, b] = speeds @ blur.T
    return found.astype(np.float32)


def disc_profile(velocity: Array, outer: Array, ratio: Array, slope: Array, shear: Array, turbulence: Array,
                 arm: Array) -> Array:  # fmt: skip
    """Emission (L,) of unit area over velocity [km/s] at velocity (L,).

    outer V_K(r_out) sin i [km/s]; ratio r_out/r_in; slope q; shear s; turbulence sigma [km/s]; arm a, -1 to 1,
    positive for a stronger red peak. Interpolated: 1 % of the peak, sharper than 0.05 of `outer` not at all.
    """
    unit = jnp.maximum(outer, turbulence / BLUR[-1])
    axes = (np.log(RADII), SLOPES, np.log1p(SHEAR), np.log(BLUR))
    values = (jnp.log(ratio), slope, jnp.log1p(shear), jnp.log(turbulence / unit))
    rows, weights = corner(axes, values)
    table = jnp.asarray(disc_table().reshape(-1, 2 * _POINTS))
    both = (weights @ table[rows]).reshape(2, _POINTS)
    x = velocity / unit
    at = interpolated(both, jnp.arcsinh(jnp.abs(x) / _SCALE) / _UNIT)
    return (at[0] + arm * jnp.sign(x) * at[1]) / unit
