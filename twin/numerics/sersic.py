"""Sersic profiles in real and in Fourier space.

I(r) = I_e exp(-b_n [(r/R_e)^(1/n) - 1]), R_e the half-light radius (Sersic 1968; Graham & Driver 2005, PASA 22, 118).
Its flux-normalised Hankel transform S_n(2 pi f R_e) has no closed form; it is tabulated once with FFTLog
(Hamilton 2000, MNRAS 312, 257; `scipy.fft.fht`) and fitted by polynomials, 2e-5 of its peak over 0.3 <= n <= 8.
"""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.exponentials import exp2, log2

N_MIN, N_MAX = 0.3, 8.0
_DEGREE = 18
_PIECES = (  # n from, to; power p; scale s at that n, and its power of n: found by trial for the smallest error
    (N_MIN, 0.6, 1.0, (6.5, 0.5), -0.4),
    (0.6, 3.5, 0.25, (1.5, 1.0), -1.75),
    (3.5, N_MAX, 0.125, (0.05, 4.6), -2.6),
)
_KNOTS = 80  # of ln n in each piece


def _knots(rows: int) -> np.ndarray:
    """n on a uniform grid of ln n, one step beyond either end: cubic interpolation needs neighbours."""
    step = np.log(N_MAX / N_MIN) / (rows - 3)
    return N_MIN * np.exp(step * (np.arange(rows) - 1))


@cache
def _b_table() -> np.ndarray:
    """b_n with P(2n, b_n) = 1/2 on `_knots`."""
    from scipy.special import gammaincinv

    return gammaincinv(2 * _knots(259), 0.5)


def b_n(n: Array) -> Array:
    """b_n such that R_e holds half the light; cubic interpolation in ln n of the exact root (5e-6 relative)."""
    return _cubic_rows(jnp.asarray(_b_table(), jnp.result_type(float))[:, None], n)[..., 0]


def log_gamma_factor(n: Array, b: Array) -> Array:
    """ln of the flux integral 2 pi n e^b b^(-2n) Gamma(2n) in units of I_e R_e^2 (circularised R_e)."""
    from jax.scipy.special import gammaln

    return jnp.log(2 * jnp.pi * n) + b - 2 * n * jnp.log(b) + gammaln(2 * n)


def brightness(x: Array, y: Array, at: tuple[Array, Array], radius: Array, q: Array, angle: Array, n: Array) -> Array:
    """Unit-flux elliptical Sersic profile about `at` [1/arcsec^2]; R_e is the geometric mean of its axes [arcsec]."""
    dx, dy = x - at[0], y - at[1]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    u, v = cos * dx + sin * dy, cos * dy - sin * dx
    b, per_radius2 = b_n(n), 1 / (radius * radius)
    r2 = jnp.maximum((q * (u * u) + (1 / q) * (v * v)) * per_radius2, 1e-12)
    # I = 2^(top - steep (r/R)^(1/n)), the power as 2^(log2(r2) / 2n)
    steep = b * np.float32(np.log2(np.e))
    top = steep + jnp.log2(per_radius2) - log_gamma_factor(n, b) * np.float32(np.log2(np.e))
    return exp2(top - steep * exp2(log2(r2) * (0.5 / n)))


def _transform(n: float) -> tuple[np.ndarray, np.ndarray]:
    """ln kappa and S_n there, float64."""
    from scipy.fft import fht, fhtoffset
    from scipy.special import gammaincinv, gammaln

    points, step = 16384, 0.005
    offset = fhtoffset(step, mu=0.0, initial=0.0, bias=0.0)
    log_r = (np.arange(points) - (points - 1) / 2) * step
    r, log_k, b = np.exp(log_r), offset + log_r, gammaincinv(2 * n, 0.5)
    profile = np.exp(-b * r ** (1 / n) + 2 * n * np.log(b) - gammaln(2 * n)) / (2 * np.pi * n)
    return log_k, 2 * np.pi * fht(r * profile, step, mu=0.0, offset=offset) / np.exp(log_k)


@cache
def _fourier_table() -> np.ndarray:
    """(pieces, _KNOTS + 2, _DEGREE + 2): coefficients of powers of 2 w - 1, lowest first, and s^-2."""
    table = np.empty((len(_PIECES), _KNOTS + 2, _DEGREE + 2))
    points = 4 * _DEGREE
    w = 0.5 * (1 - np.cos(np.pi * (np.arange(points) + 0.5) / points))
    for piece, (low, high, power, (scale, at), slope) in enumerate(_PIECES):
        for row in range(_KNOTS + 2):
            n = low * (high / low) ** ((row - 1) / (_KNOTS - 1))
            s = scale * (n / at) ** slope
            log_k, exact = _transform(n)
            wanted = 0.5 * np.log(np.expm1(-np.log(w) / power)) + np.log(s)
            series = np.polynomial.chebyshev.chebfit(2 * w - 1, np.interp(wanted, log_k, exact, 1.0, 0.0), _DEGREE)
            table[piece, row, :-1] = np.polynomial.chebyshev.cheb2poly(series)
            table[piece, row, -1] = s**-2
    return table


def _cubic_rows(table: Array, n: Array) -> Array:
    """Catmull-Rom interpolation of table rows that belong to `_knots`."""
    rows = table.shape[0]
    return _catmull_rom(table, 1 + (jnp.log(n) - np.log(N_MIN)) * ((rows - 3) / np.log(N_MAX / N_MIN)), rows)


def _catmull_rom(table: Array, t: Array, rows: int, first: Array | int = 0) -> Array:
    """The table at row t of the `rows` from row `first` on, one of which is to spare at either end."""
    i = jnp.clip(jnp.floor(t).astype(int), 1, rows - 3)
    u = (t - i)[..., None]
    p0, p1, p2, p3 = (table[first + i + k] for k in (-1, 0, 1, 2))
    return p1 + 0.5 * u * (p2 - p0 + u * (2 * p0 - 5 * p1 + 4 * p2 - p3 + u * (3 * (p1 - p2) + p3 - p0)))


def fourier_row(n: Array) -> Array:
    """What `fourier` needs to know of scalar n."""
    table = jnp.asarray(_fourier_table().reshape(-1, _DEGREE + 2), jnp.float32)
    piece = jnp.sum(n >= np.array([edges[0] for edges in _PIECES[1:]], np.float32)).astype(jnp.int32)
    low, high = (np.log([edges[k] for edges in _PIECES]) for k in (0, 1))
    start = jnp.asarray(low, jnp.float32)[piece]
    density = jnp.asarray((_KNOTS - 1) / (high - low), jnp.float32)[piece]
    row = _catmull_rom(table, 1 + (jnp.log(n) - start) * density, _KNOTS + 2, piece * (_KNOTS + 2))
    return jnp.append(row, piece.astype(jnp.float32))


def fourier(row: Array, kappa2: Array) -> Array:
    """S_n at kappa^2 = (2 pi f R_e)^2: a polynomial in w = (1 + kappa^2 / s^2)^-p, which falls from 1 to 0 about as
    S_n does. p is a power of two: square roots vectorise, tables do not (7 times slower)."""
    fourth = jnp.sqrt(jax.lax.rsqrt(1 + kappa2 * row[_DEGREE + 1]))
    piece = row[_DEGREE + 2]
    w = jnp.where(piece == 0, (fourth * fourth) * (fourth * fourth), jnp.where(piece == 1, fourth, jnp.sqrt(fourth)))
    x = 2 * w - 1
    value = jnp.broadcast_to(row[_DEGREE], x.shape)
    for k in range(_DEGREE - 1, -1, -1):
        value = value * x + row[k]
    return value
