"""Annular pupils: diffraction OTF, and quadrature over the overlap of a pupil with its shifted self.

Lengths are in pupil radii. The overlap at shift s is where |u + s/2| and |u - s/2| both lie between the
obscuration and 1.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from twin.numerics.zernike import noll_to_nm, zernike


def annular_otf(shift: np.ndarray, obscuration: float) -> np.ndarray:
    """Diffraction OTF of an annular pupil at shifts in units of its DIAMETER (O'Neill 1956, JOSA 46, 285); 1 at 0, 0
    from 1 on."""

    def shared(a: float, b: float, d: np.ndarray) -> np.ndarray:
        """Area shared by discs of radii a >= b whose centres are d apart."""
        if b == 0:
            return np.zeros_like(d)
        safe = np.clip(d, max(a - b, 1e-12), a + b)
        ca = np.clip((safe**2 + a * a - b * b) / (2 * safe * a), -1, 1)
        cb = np.clip((safe**2 + b * b - a * a) / (2 * safe * b), -1, 1)
        kite = np.sqrt(np.maximum((-safe + a + b) * (safe + a - b) * (safe - a + b) * (safe + a + b), 0))
        lens = a * a * np.arccos(ca) + b * b * np.arccos(cb) - 0.5 * kite
        return np.where(d >= a + b, 0.0, np.where(d <= a - b, np.pi * b * b, lens))

    d, e = 2 * np.asarray(shift, float), obscuration
    return (shared(1, 1, d) - 2 * shared(1, e, d) + shared(e, e, d)) / (np.pi * (1 - e * e))


Span = tuple[np.ndarray, np.ndarray]


def _overlap_rows(
    sx: float, sy: float, obscuration: float, rows: int
) -> tuple[np.ndarray, np.ndarray, list[tuple[Span, float]]]:
    """Rows of the overlap: y (rows,), their heights dy, and signed x intervals whose sum is the overlap."""
    theta = (np.arange(rows) + 0.5) / rows * np.pi  # y = -cos(theta) tames the square-root ends of the rows
    y, dy = -np.cos(theta), np.sin(theta) * np.pi / rows

    def span(radius: float, sign: float) -> Span:
        reach = radius**2 - (y + sign * sy / 2) ** 2
        half = np.sqrt(np.maximum(reach, 0))
        return np.where(reach > 0, -sign * sx / 2 - half, 1.0), np.where(reach > 0, -sign * sx / 2 + half, 1.0)

    def meet(*spans: Span) -> Span:
        low = np.max([s[0] for s in spans], 0)
        return low, np.maximum(np.min([s[1] for s in spans], 0), low)

    outer, hole_a, hole_b = meet(span(1, 1), span(1, -1)), span(obscuration, 1), span(obscuration, -1)
    pieces = [(outer, 1.0)]
    if obscuration > 0:
        pieces += [(meet(outer, hole_a), -1.0), (meet(outer, hole_b), -1.0), (meet(outer, hole_a, hole_b), 1.0)]
    return y, dy, pieces


@lru_cache(maxsize=64)
def _radial_difference(obscuration: float, j: int) -> tuple[np.ndarray, np.ndarray]:
    """Shifts d along x in [0, 2) and the mean of Z_j(x) - Z_j(x - d) over the overlap, for a cosine mode Z_j."""
    shifts = 2 * (np.arange(97) / 97.0) ** 1.5
    nodes, gauss = np.polynomial.legendre.leggauss(8)
    means = []
    for d in shifts:
        y, dy, pieces = _overlap_rows(d, 0.0, obscuration, 240)
        total = area = 0.0
        for (low, high), sign in pieces:
            x = 0.5 * (high + low)[:, None] + 0.5 * (high - low)[:, None] * nodes
            w = sign * 0.5 * (high - low)[:, None] * gauss * dy[:, None]
            rows = np.broadcast_to(y[:, None], x.shape)
            total += (w * (zernike(j, x + d / 2, rows) - zernike(j, x - d / 2, rows))).sum()
            area += w.sum()
        means.append(total / area)
    return shifts, np.array(means)


def mean_difference(obscuration: float, j: int, sx: np.ndarray, sy: np.ndarray) -> np.ndarray:
    """Mean of Z_j(x) - Z_j(x - s) over the overlap at shifts (sx, sy); zero by symmetry for even azimuthal order.

    The overlap turns with s, so a mode of order m follows cos or sin(m theta) times a function of |s| alone.
    """
    n, m = noll_to_nm(j)
    if m % 2 == 0:
        return np.zeros(np.broadcast(sx, sy).shape)
    cosine = next(k for k in range(1, 2 * (n + 1) * (n + 2)) if noll_to_nm(k) == (n, abs(m)))
    shifts, means = _radial_difference(obscuration, cosine)
    theta = np.arctan2(sy, sx)
    angular = np.cos(m * theta) if m > 0 else np.sin(-m * theta)
    return np.interp(np.hypot(sx, sy), shifts, means) * angular


def _overlap_moments(sx: float, sy: float, obscuration: float, degree: int, box: tuple[float, float]) -> np.ndarray:
    """Integrals of P_a(x / X) P_b(y / Y) over the overlap, a + b <= degree, P Legendre, box (X, Y).

    Exact along x, midpoint rule along y.
    """
    y, dy, pieces = _overlap_rows(sx, sy, obscuration, 400)
    legendre_y = np.polynomial.legendre.legvander(y / box[1], degree)
    moments = []
    for a in range(degree + 1):
        primitive = np.polynomial.legendre.Legendre.basis(a).integ()
        row = sum(sign * (primitive(high / box[0]) - primitive(low / box[0])) for (low, high), sign in pieces) * dy
        moments += [row @ legendre_y[:, b] for b in range(degree + 1 - a)]
    return np.array(moments)


def overlap_quadrature(obscuration: float, sx: float, sy: float, degree: int = 13, cells: int = 36) -> np.ndarray:
    """Points and weights (Q, 3: x, y, w) of the mean over the overlap at shift (sx, sy), exact to polynomial `degree`.

    Approximate Fekete points (Sommariva & Vianello 2009, Comput. Math. Appl. 57, 1324): the pivots of a QR
    decomposition of the polynomials on a lattice. As many points as polynomials, (degree + 1)(degree + 2) / 2, half of
    what a lattice needs, and closer on exp(i phase). Narrow overlaps get a lower degree.
    """
    from scipy.linalg import qr, solve_triangular

    box = (1 - abs(sx) / 2, 1 - abs(sy) / 2)  # the overlap lies within
    if min(box) <= 0:
        return np.zeros((0, 3))
    axis = (np.arange(cells) + 0.5) / cells * 2 - 1
    x, y = (v.ravel() for v in np.meshgrid(axis * box[0], axis * box[1]))
    squares = [(x + sign * sx / 2) ** 2 + (y + sign * sy / 2) ** 2 for sign in (1, -1)]
    lit = np.all([(r2 <= 1) & (r2 >= obscuration**2) for r2 in squares], 0)
    if not lit.any():
        return np.zeros((0, 3))
    x, y = x[lit], y[lit]
    degree = min(degree, int(0.7 * np.sqrt(len(x))))
    vx, vy = (np.polynomial.legendre.legvander(v / b, degree) for v, b in zip((x, y), box, strict=True))
    basis = np.stack([vx[:, a] * vy[:, b] for a in range(degree + 1) for b in range(degree + 1 - a)], 1)
    orthonormal, triangle = np.linalg.qr(basis)
    target = solve_triangular(triangle, _overlap_moments(sx, sy, obscuration, degree, box), trans="T")
    chosen = qr(orthonormal.T, mode="r", pivoting=True)[1][: len(target)]
    weight = np.linalg.solve(orthonormal[chosen].T, target)
    return np.stack([x[chosen], y[chosen], weight / weight.sum()], 1)
