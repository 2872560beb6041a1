"""Images of a point source behind any lens: positions, magnifications, arrival times.

The lens plane is cut into triangles; those whose images in the source plane hold the source, or come nearest to it,
are cut again, and Newton's method runs from the best of the smaller ones (Keeton 2001, astro-ph/0102340, sec. 5). Two
images about to merge lie on either side of a critical curve, where Newton's method stays on the side it started from:
triangles of both parities near the source are started from, whether the source lies within them or not.

Searching is float32. The `STARTS` points that are polished are float64 whatever JAX's default is: near a caustic
positions are the square root of the equation's error, and Fermat potentials of some arcsec^2 are subtracted from one
another, where float32 would leave seconds of time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.priors.populations import comoving_distance

MAX_IMAGES = 5
MAX_MAGNIFICATION = 1e4
"""Beyond it, on a caustic, magnifications are cut and flagged."""
DAYS = 3.0856775814913673e19 / 299792.458 / 86400 / 206264.80624709636**2
"""Light travel time [day] of 1 Mpc, per arcsec^2 of Fermat potential."""

_CELLS = 49  # a side, odd: the frame's centre, where a cusp may be, is on no corner
_KEPT, _PARTS = 40, 6  # cells that are cut again, into parts a side
STARTS = 20
_STEPS = 14
_RESIDUAL = 1e-8  # [arcsec] in the source plane
_SAME = 1e-3  # [arcsec] between roots of one parity that are one image

Map = Callable[[Any, Array, Array], tuple[Array, Array]]
"""Deflection (ax, ay) [arcsec] of a lens at (x, y)."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Images:
    """Images (N,) of one point source, the first to arrive first where the potential is known, else the brightest; all
    zero where none exists."""

    x: Array
    """[arcsec]"""
    y: Array
    """[arcsec]"""
    magnification: Array
    """Signed: positive for even parity; at most MAX_MAGNIFICATION."""
    fermat: Array
    """Fermat potential above that of the first to arrive [arcsec^2]; 0 without a potential."""
    exists: Array
    capped: Array
    """The source lies on a caustic as far as numbers can tell: the magnification is a limit, no value."""


def _grid(side: int) -> np.ndarray:
    return np.linspace(-1, 1, side + 1, dtype=np.float32)


def _corners(v: Array) -> tuple[Array, Array, Array, Array]:
    """Values at the four corners of every cell, counterclockwise."""
    return v[..., :-1, :-1], v[..., :-1, 1:], v[..., 1:, 1:], v[..., 1:, :-1]


def _holds(x: tuple[Array, Array, Array], y: tuple[Array, Array, Array]) -> Array:
    """Triangles of corners x, y that hold the origin, whichever way round they go."""
    a, b, c = (x[i] * y[j] - x[j] * y[i] for i, j in ((0, 1), (1, 2), (2, 0)))
    return ((a >= 0) & (b >= 0) & (c >= 0)) | ((a <= 0) & (b <= 0) & (c <= 0))


def _far(x: tuple[Array, ...], y: tuple[Array, ...]) -> Array:
    """Distance^2 of the origin from the middle of these corners, in units of their largest from it."""
    count = 1 / len(x)
    mx, my = sum(x) * count, sum(y) * count
    size: Any = 1e-12
    for a, b in zip(x, y, strict=True):
        size = jnp.maximum(size, (a - mx) ** 2 + (b - my) ** 2)
    return (mx * mx + my * my) / size


def _best(score: Array, count: int) -> Array:
    return jax.lax.top_k(-jnp.ravel(score), count)[1]


def _starts(deflection: Map, mass: Any, beta: tuple[Array, Array], window: tuple[Array, ...]) -> tuple[Array, Array]:
    """Points (STARTS,) from which to look for images."""
    half = window[2]

    def offset(x: Array, y: Array) -> tuple[Array, Array]:
        ax, ay = deflection(mass, x, y)
        # the product keeps XLA on CPU from computing the deflection anew for each of four corners: 5x faster
        once = np.eye(x.shape[-1], dtype=np.float32)
        return jnp.matmul(x - ax - beta[0], once, precision="highest"), jnp.matmul(
            y - ay - beta[1], once, precision="highest"
        )

    u = _grid(_CELLS)
    x, y = jnp.broadcast_arrays(window[0] + half * u[None, :], window[1] + half * u[:, None])
    dx, dy = (_corners(v) for v in offset(x, y))
    held = _holds((dx[0], dx[1], dx[2]), (dy[0], dy[1], dy[2])) | _holds((dx[0], dx[2], dx[3]), (dy[0], dy[2], dy[3]))
    cell = _best(_far(dx, dy) - 1e3 * held, _KEPT)

    size = half * (2 / _CELLS)
    row, column = cell // _CELLS, cell % _CELLS
    part = 0.5 * (_grid(_PARTS) + 1)
    x0, y0 = window[0] - half + size * column, window[1] - half + size * row
    shape = (_KEPT, _PARTS + 1, _PARTS + 1)
    x = jnp.broadcast_to(x0[:, None, None] + size * part[None, None, :], shape)
    y = jnp.broadcast_to(y0[:, None, None] + size * part[None, :, None], shape)
    dx, dy = (_corners(v) for v in offset(x, y))
    starts = []
    for corners, at in (((0, 1, 2), (2 / 3, 1 / 3)), ((0, 2, 3), (1 / 3, 2 / 3))):
        tx, ty = tuple(dx[k] for k in corners), tuple(dy[k] for k in corners)
        best = _best(_far(tx, ty) - 1e3 * _holds(tx, ty), STARTS // 2)  # type: ignore[arg-type]
        block, row, column = best // _PARTS**2, best // _PARTS % _PARTS, best % _PARTS
        step = size * (1 / _PARTS)
        starts.append((x0[block] + step * (column + at[0]), y0[block] + step * (row + at[1])))
    return jnp.concatenate([s[0] for s in starts]), jnp.concatenate([s[1] for s in starts])


def _double(tree: Any) -> Any:
    return jax.tree.map(lambda v: jax.lax.convert_element_type(v, jnp.float64), tree)


def _linearised(
    deflection: Map, mass: Any, beta: tuple[Array, Array], x: Array, y: Array
) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
    """Lens equation's residual and the matrix A = d beta / d theta as (xx, xy, yx, yy): unsymmetric where planes
    are several."""

    def residual(x: Array, y: Array) -> tuple[Array, Array]:
        ax, ay = deflection(mass, x, y)
        return x - ax - beta[0], y - ay - beta[1]

    one, zero = jnp.ones_like(x), jnp.zeros_like(x)
    value, (xx, yx) = jax.jvp(residual, (x, y), (one, zero))
    _, (xy, yy) = jax.jvp(residual, (x, y), (zero, one))
    return value, (xx, xy, yx, yy)


def _newton(r: tuple[Array, Array], a: tuple[Array, ...], weak: float) -> tuple[Array, Array]:
    """A^-1 r, finite where A is singular."""
    xx, xy, yx, yy = a
    det = _det(a)
    inverse = det / (det * det + weak * weak)
    return (yy * r[0] - xy * r[1]) * inverse, (xx * r[1] - yx * r[0]) * inverse


def _polish(
    deflection: Map, mass: Any, beta: tuple[Array, Array], start: tuple[Array, Array], reach: Array
) -> tuple[tuple[Array, Array], tuple[Array, Array], tuple[Array, ...]]:
    """Newton's method from every start, no step longer than `reach`: places, residuals and A there.

    Residuals are those of the loop itself: outside it XLA may work `mass` out anew to more digits than it gave the
    loop, and the lens equation of the one is then not that of the other to `_RESIDUAL`.
    """

    def step(_: int, now: Any) -> Any:
        at, r, a = now
        sx, sy = _newton(r, a, 1e-10)
        short = jnp.minimum(1.0, reach * jax.lax.rsqrt(sx * sx + sy * sy + 1e-30))
        at = at[0] - short * sx, at[1] - short * sy
        return at, *_linearised(deflection, mass, beta, *at)

    nothing, one = jnp.zeros_like(start[0]), jnp.ones_like(start[0])
    return jax.lax.fori_loop(0, _STEPS + 1, step, (start, (nothing, nothing), (one, nothing, nothing, one)))


@dataclass(frozen=True)
class _Solution:
    """float32 values of a search that has none of its derivatives; a: (4, N) of A."""

    x: Array
    y: Array
    a: tuple[Array, ...]
    det: Array
    fermat: Array
    exists: Array


def _solve(
    deflection: Map,
    potential: Callable[[Any, Array, Array], Array] | None,
    mass: Any,
    beta: tuple[Array, Array],
    window: tuple[Array, ...],
    count: int,
) -> _Solution:
    start = _starts(deflection, mass, beta, window)
    kind = beta[0].dtype
    with jax.enable_x64(True):  # here alone: a few points of a system
        mass, beta = _double((mass, beta))
        (x, y), r, a = _polish(deflection, mass, beta, _double(start), _double(window[2] * (1.0 / _CELLS)))
        det = _det(a)
        good = jnp.isfinite(det) & (jnp.maximum(jnp.abs(r[0]), jnp.abs(r[1])) < _RESIDUAL)
        near = (x[:, None] - x) ** 2 + (y[:, None] - y) ** 2 < _SAME**2
        again = near & ((det[:, None] > 0) == (det > 0)) & good & np.tri(STARTS, k=-1, dtype=bool)
        good &= ~jnp.any(again, 1)
        chosen = jnp.argsort(jnp.where(good, jnp.abs(det), jnp.inf))[:count]
        fermat = jnp.zeros_like(x) if potential is None else _fermat(potential, mass, beta, x, y)
        if potential is not None:
            chosen = chosen[jnp.argsort(jnp.where(good, fermat, jnp.inf)[chosen])]
        exists = good[chosen]

        def kept(v: Array, blank: float) -> Array:
            return jax.lax.convert_element_type(jnp.where(exists, v[chosen], blank), kind)

        places = kept(x, 0.0), kept(y, 0.0)
        matrix = tuple(kept(v, unit) for v, unit in zip(a, (1.0, 0.0, 0.0, 1.0), strict=True))
        det, fermat = kept(det, 1.0), kept(fermat - fermat[chosen[0]], 0.0)
    return _Solution(*places, matrix, det, fermat, exists)


def _det(a: tuple[Array, ...]) -> Array:
    return a[0] * a[3] - a[1] * a[2]


def _fermat(
    potential: Callable[[Any, Array, Array], Array], mass: Any, beta: tuple[Array, Array], x: Array, y: Array
) -> Array:
    return 0.5 * ((x - beta[0]) ** 2 + (y - beta[1]) ** 2) - potential(mass, x, y)


def _moving(value: Array, live: Array) -> Array:
    """`value` with the derivatives of `live`."""
    return value + (live - jax.lax.stop_gradient(live))


def find(
    deflection: Map,
    mass: Any,
    beta_x: Array,
    beta_y: Array,
    window: tuple[Array, Array, Array],
    potential: Callable[[Any, Array, Array], Array] | None = None,
    max_images: int = MAX_IMAGES,
) -> Images:
    """The images of a point source at (beta_x, beta_y) [arcsec].

    deflection, potential  of the lens `mass`, a pytree, at (x, y); they must follow the type of what they are given
    window                 (x, y, half): centre and half side of the square that is searched [arcsec]
    max_images             the brightest that are kept; what is absent is zero

    Images less than 1/300 of the window's side apart can be missed together, as can those of a perturber smaller than
    that. Derivatives are those of the lens equation's root (implicit function theorem), not of the search.
    """
    beta = (beta_x, beta_y)
    still, place, searched = jax.lax.stop_gradient((mass, beta, window))
    found = _solve(deflection, potential, still, place, searched, max_images)
    exists = found.exists
    # one more step of Newton's method, with A held, moves as the root does
    ax, ay = deflection(mass, found.x, found.y)
    sx, sy = _newton((found.x - ax - beta_x, found.y - ay - beta_y), found.a, 1e-6)
    x, y = _moving(found.x, -jnp.where(exists, sx, 0.0)), _moving(found.y, -jnp.where(exists, sy, 0.0))
    capped = exists & (jnp.abs(found.det) * MAX_MAGNIFICATION < 1)
    parity = jnp.where(found.det < 0, -1.0, 1.0)
    det = jnp.where(capped, parity * (1 / MAX_MAGNIFICATION), found.det)
    live = jnp.where(exists & ~capped, _det(_linearised(deflection, mass, beta, x, y)[1]), 1.0)
    magnification = jnp.where(exists, 1 / _moving(det, live), 0.0)
    fermat = found.fermat
    if potential is not None:
        live = _fermat(potential, mass, beta, x, y)
        fermat = _moving(fermat, jnp.where(exists, live - live[0], 0.0))
    return Images(x, y, magnification, fermat, exists, capped)


def time_delays(fermat: Array, z_lens: Array, z_source: Array) -> Array:
    """Time delays [day] of Fermat potentials [arcsec^2] in flat LCDM: (1 + z_l) D_l D_s / (c D_ls) fermat (Schneider
    1985); 0 for a source that is not behind the lens."""
    lens, source = comoving_distance(z_lens), comoving_distance(z_source)
    behind = source > lens
    # the factors 1 + z of the angular diameter distances leave comoving ones
    distance = jnp.where(behind, lens * source / jnp.where(behind, source - lens, 1.0), 0.0)
    return np.float32(DAYS) * distance * fermat
