"""What aberrations do to the OTF of an annular pupil: A(s), for many Zernike amplitudes, at the frequencies of a grid.

A(s) = < exp(i k [W(u + s/2) - W(u - s/2)]) > over the overlap of the pupil with itself shifted by s, W the optical
path, k = 2 pi / wavelength; the OTF is the diffraction OTF times A. Lengths in the pupil are in its radii.

- Along a ring |s| = r the overlap only turns, so that A is smooth in the angle; at a fixed angle it is smooth in r.
  (In s itself it has a cusp at 0.) A is computed at a few angles of a few rings.
- Of the difference, modes of even azimuthal order are odd in u, modes of odd order even. Hence
  A = < cos(k E) exp(i k O) > over half of the overlap, E and O the differences of the two kinds.
- From the rings, A goes to a coarse Cartesian mesh (trigonometric in the angle, Lagrange in r), and from there to the
  grid one axis after the other. A(-s) is the conjugate of A(s): one quadrant does, in parts even and odd in s_y.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from threadpoolctl import threadpool_limits

from twin.numerics.angles import cos, sincos
from twin.numerics.fourier import Grid, Spectrum, product
from twin.numerics.pupil import overlap_quadrature
from twin.numerics.zernike import noll_to_nm, zernike

_CHUNK = 32  # points that are added up by one product
_ORDER = 10  # points of a Lagrange interpolation


@dataclass(frozen=True)
class Pupil:
    """What decides how finely A is sampled.

    obscuration  linear, of the diameter
    radii        per band: shift [pupil radius] that a frequency of 1 cycle/arcsec stands for
    waves        per band: 2 pi / wavelength [rad/m]
    stroke       rms optical path [m] up to which A is to be exact
    fade         Fried parameter [pupil radius] of the best seeing, inf in space
    reach        shift [pupil radius] beyond which nothing of A is left to see
    """

    obscuration: float
    radii: tuple[float, ...]
    waves: tuple[float, ...]
    stroke: float
    fade: float
    reach: float = 2.0

    @property
    def seen(self) -> float:
        """The reach, within the pupil."""
        return min(self.reach, 2.0)


@dataclass(frozen=True)
class Ring:
    """`angles` nodes on half of the ring at shift `radius`, each with a quadrature of `degree`."""

    radius: float
    angles: int
    degree: int


def rings(pupil: Pupil, reach: float) -> list[Ring]:
    """Rings out to a shift of `reach`, finer where the phase difference varies more.

    A design found by trial for errors below 1e-4 of the PSF's peak: phase k stroke r, less where the overlap narrows
    or turbulence hides A, and with its square root the degree that exp(i phase) asks of a quadrature.
    """
    ground = np.isfinite(pupil.fade)
    phase = max(pupil.waves) * pupil.stroke
    share = np.arange(1, 1000) / 999
    radius = reach * share ** (1.6 if ground else 1.4)
    hidden = np.exp(-((radius / pupil.fade) ** 5)) * (1 - radius / 2)
    count = int(np.clip(round((11 if ground else 24) + 4 * np.sqrt(phase * (hidden * radius).max())), 12, 48))
    found = []
    for k in range(1, count + 1):
        at = int(np.searchsorted(share, k / count - 1e-9))
        root = np.sqrt(phase * radius[at] * hidden[at])
        degree = int(np.clip(2 * round((4 + (14 if ground else 19) * root) / 2), 6, 32))
        angles = int(np.clip(round(3 + (9.5 if ground else 22) * root), 3, 64))
        found.append(Ring(min(float(radius[at]), 1.97), angles, degree))
    return found


def _lagrange(targets: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """(targets, nodes) weights of local Lagrange interpolation on increasing nodes."""
    order = min(_ORDER, len(nodes))
    start = np.clip(np.searchsorted(nodes, targets) - order // 2, 0, len(nodes) - order)
    weights = np.zeros((len(targets), len(nodes)))
    for a in range(order):
        w = np.ones(len(targets))
        for b in range(order):
            if a != b:
                w *= (targets - nodes[start + b]) / (nodes[start + a] - nodes[start + b])
        weights[np.arange(len(targets)), start + a] = w
    return weights


def _cardinal(angle: np.ndarray, n: int, parity: int) -> np.ndarray:
    """Trigonometric polynomial of even (odd) harmonics below n that is 1 at 0 and 0 at the multiples of pi / n."""
    orders = range(parity, n + 1, 2)
    return sum((1 if m in (0, n) else 2) * np.cos(m * angle) for m in orders) / n


@dataclass(frozen=True)
class _Static:
    """J modes, C chunks of points, N nodes on rings, n x n coarse mesh of a quadrant, B bands."""

    even: tuple[int, ...]
    odd: tuple[int, ...]
    paths_even: np.ndarray  # (CHUNK * C, J even) difference of each mode between the ends of the shift
    paths_odd: np.ndarray
    weight: np.ndarray  # (CHUNK, C)
    owner: np.ndarray  # (C, N) 1 where a chunk belongs to a node
    centre: np.ndarray  # (n, n) what A = 1 at no shift brings to the mesh
    mesh: tuple[np.ndarray, ...]  # (N, n, n) real part even, real odd, imaginary even, imaginary odd in s_y
    fine_even: np.ndarray  # (B, half, n) interpolation along either axis of what is even, of what is odd
    fine_odd: np.ndarray


@lru_cache(maxsize=16)
def _prepare(pupil: Pupil, grid: Grid, modes: int) -> _Static:
    along = min(max(pupil.radii) * float(grid.fx[-1]), pupil.seen)
    layout = rings(pupil, min(np.sqrt(2) * along, pupil.seen))
    even = tuple(j for j in range(modes) if noll_to_nm(j + 4)[1] % 2 == 0)
    odd = tuple(j for j in range(modes) if j not in even)
    paths, weights, owner = [], [], []
    with threadpool_limits(1):  # many small decompositions: threads only wait for each other
        for ring in layout:
            u = overlap_quadrature(pupil.obscuration, ring.radius, ring.degree)
            u = np.concatenate([u, np.tile([u[0, 0], u[0, 1], 0.0], (-len(u) % _CHUNK, 1))])
            for angle in np.pi * np.arange(ring.angles) / ring.angles:
                c, s = np.cos(angle), np.sin(angle)
                x, y = c * u[:, 0] - s * u[:, 1], s * u[:, 0] + c * u[:, 1]
                dx, dy = ring.radius * c / 2, ring.radius * s / 2
                ends = [[zernike(j + 4, x + e * dx, y + e * dy) for j in range(modes)] for e in (1, -1)]
                paths.append(np.reshape(ends[0], (modes, -1)).T - np.reshape(ends[1], (modes, -1)).T)
                weights.append(u[:, 2])
                owner.append(len(u) // _CHUNK)

    def chunks(v: np.ndarray) -> np.ndarray:
        """(CHUNK * C, ...) with the chunks innermost."""
        return v.reshape(-1, _CHUNK, *v.shape[1:]).swapaxes(0, 1).reshape(v.shape)

    path, weight = chunks(np.concatenate(paths)), chunks(np.concatenate(weights))
    count = len(layout) + (3 if np.isfinite(pupil.fade) else -2)
    axis = along * (np.arange(count) / (count - 1)) ** 1.4
    centre, mesh = _to_mesh(layout, axis)
    fine = [_folded(np.minimum(r * grid.fx.astype(float), along), axis) for r in pupil.radii]
    f32 = np.float32
    return _Static(
        even,
        odd,
        path[:, even].astype(f32),
        path[:, odd].astype(f32),
        weight.reshape(_CHUNK, -1).astype(f32),
        np.repeat(np.eye(len(owner)), owner, 0).astype(f32),
        centre.astype(f32),
        tuple(m.astype(f32) for m in mesh),
        np.stack([f[0] for f in fine]).astype(f32),
        np.stack([f[1] for f in fine]).astype(f32),
    )


def _to_mesh(layout: list[Ring], axis: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """From the nodes on the rings to the mesh: the part of A(0) = 1, and the four matrices of _Static."""
    x, y = np.meshgrid(axis, axis)
    radius, angle = np.minimum(np.hypot(x, y), layout[-1].radius), np.arctan2(y, x)
    nodes = np.array([0.0, *(ring.radius for ring in layout)])
    radial = _lagrange(radius.ravel(), nodes).reshape(*x.shape, -1)
    parts: list[list[np.ndarray]] = [[], [], [], []]
    for k, ring in enumerate(layout):
        for node in np.pi * np.arange(ring.angles) / ring.angles:
            for parity in (0, 1):  # the real part has even harmonics, the imaginary part odd ones
                above, below = (_cardinal(a - node, ring.angles, parity) for a in (angle, -angle))
                parts[2 * parity].append(radial[..., k + 1] * (above + below) / 2)
                parts[2 * parity + 1].append(radial[..., k + 1] * (above - below) / 2)
    return radial[..., 0], tuple(np.stack(part) for part in parts)


def _folded(targets: np.ndarray, axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interpolation (targets, nodes) on nodes >= 0 of even, and of odd functions."""
    both = _lagrange(targets, np.concatenate([-axis[:0:-1], axis]))
    ahead, behind = both[:, len(axis) - 1 :], np.zeros((len(targets), len(axis)))
    behind[:, 1:] = both[:, : len(axis) - 1][:, ::-1]
    return ahead + behind, ahead - behind


def aberration(pupil: Pupil, grid: Grid, path: Array, along_x: Spectrum) -> tuple[Array, Array, Array, Array]:
    """A times a function of f_x on the quadrant of frequencies >= 0, for paths (J,) of Noll z4.. [m].

    along_x  real and imaginary part (B, half) of that function

    Returns U and V, real and imaginary parts (B, half, half) each: A is U + V at (f_y, f_x), U - V at (-f_y, f_x).
    """
    static = _prepare(pupil, grid, path.shape[-1])
    waves = np.array(pupil.waves, np.float32)[:, None]
    even = (static.paths_even @ path[np.array(static.even, int)]).reshape(static.weight.shape)
    odd = (static.paths_odd @ path[np.array(static.odd, int)]).reshape(static.weight.shape)

    def add(k: Array, sums: Spectrum) -> Spectrum:
        share = jnp.asarray(static.weight)[k] * cos(waves * even[k])
        sin_odd, cos_odd = sincos(waves * odd[k])
        return sums[0] + share * cos_odd, sums[1] + share * sin_odd

    # a loop: all points at once do not fit in the cache, and a plain sum would fuse with the sine and not vectorise
    nothing = jnp.zeros((len(pupil.waves), static.weight.shape[1]), even.dtype)
    sums = jax.lax.fori_loop(0, _CHUNK, add, (nothing, nothing))
    re, im = sums[0] @ static.owner, sums[1] @ static.owner
    parts = [jnp.einsum("bn,nij->bij", a, m) for a, m in zip((re, re, im, im), static.mesh, strict=True)]
    parts[0] = parts[0] + static.centre
    e, o = static.fine_even, static.fine_odd
    factor = along_x[0][:, None], along_x[1][:, None]
    # the real part is even or odd in both s_y and s_x, the imaginary part in one of them
    both = []
    for (real, real_x), (imaginary, imaginary_x), along_y in (
        ((parts[0], e), (parts[2], o), e), ((parts[1], o), (parts[3], e), o),
    ):  # fmt: skip
        rows = jnp.einsum("bij,bxj->bix", real, real_x), jnp.einsum("bij,bxj->bix", imaginary, imaginary_x)
        both += [jnp.einsum("byi,bix->byx", along_y, part) for part in product(rows, factor)]
    return tuple(both)  # type: ignore[return-value]
