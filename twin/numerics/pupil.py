"""Annular pupils: diffraction OTF, and quadrature over the overlap of a pupil with its shifted self.

Lengths are in pupil radii. The overlap at shift s is where |u + s/2| and |u - s/2| both lie between the
obscuration and 1.
"""

from __future__ import annotations

import numpy as np

Piece = tuple[np.ndarray, np.ndarray, float]


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


def _overlap_rows(shift: float, obscuration: float, nodes: int = 40) -> tuple[np.ndarray, np.ndarray, list[Piece]]:
    """Upper half of the overlap at a shift along x, row by row.

    Returns y (R,), weights of the integral over y, and pieces (low x, high x, sign) whose sum is the overlap. Gauss'
    rule between the heights where circles touch or cross, in an angle that tames the square roots there.
    """
    d, e = shift, obscuration
    top = np.sqrt(1 - d * d / 4)
    heights = {0.0, top}
    if e > 0:
        x = (1 - e * e) / (2 * d)  # where the rim of one pupil crosses the hole of the other
        squares = (e * e, e * e - d * d / 4, e * e - (x - d / 2) ** 2)
        heights |= {float(np.sqrt(h)) for h in squares if 0 < h < top * top}
    edges = np.array(sorted(heights))
    t, gauss = np.polynomial.legendre.leggauss(nodes)
    angle = (t + 1) * np.pi / 2
    span = np.diff(edges)[:, None]
    y = (edges[:-1, None] + span * (1 - np.cos(angle)) / 2).ravel()
    weight = (span * np.sin(angle) * gauss * np.pi / 4).ravel()

    rim = np.sqrt(np.maximum(1 - y * y, 0)) - d / 2
    pieces: list[Piece] = [(-rim, rim, 1.0)]
    if e > 0:
        hole = np.sqrt(np.maximum(e * e - y * y, 0))
        left, right = ([np.clip(c + s * hole, -rim, rim) for s in (-1, 1)] for c in (-d / 2, d / 2))
        both = right[0], np.maximum(left[1], right[0])
        pieces += [(left[0], left[1], -1.0), (right[0], right[1], -1.0), (*both, 1.0)]
    return y, weight, pieces


def overlap_quadrature(obscuration: float, shift: float, degree: int) -> np.ndarray:
    """Points and weights (Q, 3: x, y, w) in the upper half of the overlap at a shift along x.

    For a function that is the same at (x, y) and (-x, -y), sum w f is its mean over the whole overlap, exact for
    polynomials to `degree`. Approximate Fekete points (Sommariva & Vianello 2009, Comput. Math. Appl. 57, 1324): the
    pivots of a QR decomposition of the even polynomials on a lattice; as many points as polynomials, about degree^2/4.
    """
    from scipy.linalg import qr, solve_triangular

    if not 0 < shift < 2:
        raise ValueError(f"no overlap to integrate over at a shift of {shift} pupil radii")
    legendre = np.polynomial.legendre
    box = (1 - shift / 2, np.sqrt(1 - shift * shift / 4))  # the overlap lies within
    cells = max(48, 3 * degree)
    axis = (np.arange(cells) + 0.5) / cells
    x, y = (v.ravel() for v in np.meshgrid((2 * axis - 1) * box[0], axis * box[1]))
    squares = [(x + side * shift / 2) ** 2 + y**2 for side in (1, -1)]
    lit = np.all([(r2 <= 1) & (r2 >= obscuration**2) for r2 in squares], 0)
    x, y = x[lit], y[lit]
    powers = [(a, b) for a in range(degree + 1) for b in range(degree + 1 - a) if (a + b) % 2 == 0]
    vx, vy = (legendre.legvander(v / side, degree) for v, side in zip((x, y), box, strict=True))
    basis = np.stack([vx[:, a] * vy[:, b] for a, b in powers], 1)

    rows, heights, pieces = _overlap_rows(shift, obscuration)
    along_y = legendre.legvander(rows / box[1], degree) * heights[:, None]
    moments = np.zeros(len(powers))
    for n, (a, b) in enumerate(powers):
        if a % 2 == 0:  # odd ones vanish: the overlap is the same at x and -x
            primitive = legendre.Legendre.basis(a).integ()
            chord = sum(sign * (primitive(high / box[0]) - primitive(low / box[0])) for low, high, sign in pieces)
            moments[n] = chord @ along_y[:, b]

    orthonormal, triangle = np.linalg.qr(basis)
    target = solve_triangular(triangle, moments, trans="T")
    chosen = qr(orthonormal.T, mode="r", pivoting=True)[1][: len(target)]
    weight = np.linalg.solve(orthonormal[chosen].T, target)
    return np.stack([x[chosen], y[chosen], weight / weight.sum()], 1)
