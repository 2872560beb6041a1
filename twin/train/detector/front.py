"""What the network is shown of a count image: score maps of a point source of the image's own PSF, bright ones fitted.

Counts n of a bin are Poissonian about m = b shape + sum of c_k P(. - x_k): background and sources so far. The score
test of one more source, Gaussian for many counts (Cowan+ 2011, EPJC 71, 1554, eq. 12's limit), is

    U = sum P (n / m - 1),   I = sum P^2 / m,   z = U / sqrt(I),   counts U / I,

both sums correlations with the PSF. Sources above `BRIGHT` are taken one after the other: counts and background by
expectation and maximisation, places by Newton's method on sub-bins, all of them anew with each. So the arms, blobs and
patch of a bright source are in m before fainter ones are looked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

BRIGHT = 25.0  # standard deviations above which a source is fitted before the others are looked for
MOST = 8  # sources that are fitted
_CYCLES, _ROUNDS = 4, 3  # of counts between steps of places; of both, for a source that is added, and for all at last
FINE = 2  # parts a bin, along each axis, in which PSFs are given
_NEAR = 2.0  # [bin] that places may move from the bin they were found in
_LEAST = 1e-3  # counts a bin that the model never goes below


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Kernel:
    """A PSF made ready for images of n x n bins."""

    splines: Array
    """coefficients of quintic splines through the PSF in whole bins, `fine` steps a bin"""
    ones: Array
    """transform of the PSF in whole bins, the source in bin 0 of 2 n x 2 n bins"""
    squares: Array
    """that of its square"""
    fine: int = field(metadata={"static": True})
    middle: float = field(metadata={"static": True})
    """step of the splines at which the source is"""


def kernel(psf: Array, n: int, fine: int = FINE) -> Kernel:
    """Of a PSF (side, side), side odd, in `fine` x `fine` parts of a bin, its source in the middle one; for images of
    n x n bins.

    Whole bins are sums of neighbours, and PSFs a bin wide between two places are known by `fine` places a bin: with
    one place a bin splines are wrong by a tenth of WXT's peak.
    """
    half = fine * (n + 4)
    reach = min(psf.shape[-1] // 2, fine * (n + 1))
    begin = psf.shape[-1] // 2 - reach
    parts = jnp.pad(psf[begin : begin + 2 * reach + 1, begin : begin + 2 * reach + 1], half - reach)
    size = 2 * half + 2 - fine
    rows = sum((parts[i : i + size] for i in range(fine)), jnp.zeros(()))
    bins = sum((rows[:, i : i + size] for i in range(fine)), jnp.zeros(()))
    # coefficients of the splines: cyclic, far from the light
    wave = 2 * np.pi * np.fft.fftfreq(size)
    response = (66 + 52 * np.cos(wave) + 2 * np.cos(2 * wave)) / 120
    splines = jnp.fft.ifft2(jnp.fft.fft2(bins) / (response[:, None] * response)).real.astype(jnp.float32)
    made = Kernel(splines, splines, splines, fine, half - (fine - 1) / 2)
    whole = source_image(made, jnp.float32(n), jnp.float32(n), 2 * n + 1)[:-1, :-1]
    ones, squares = (jnp.fft.rfft2(jnp.roll(v, (-n, -n), (0, 1))) for v in (whole, whole**2))
    return replace(made, ones=ones, squares=squares)


def correlated(image: Array, spectrum: Array) -> Array:
    """sum over bins of P(bin - here) image(bin), (y, x)."""
    n = image.shape[0]
    padded = jnp.fft.rfft2(image, (2 * n, 2 * n))
    return jnp.fft.irfft2(padded * jnp.conj(spectrum), (2 * n, 2 * n))[:n, :n]


def score(counts: Array, model: Array, k: Kernel) -> tuple[Array, Array]:
    """(z, counts) of one more source in the middle of each bin; maps (y, x)."""
    u = correlated(counts / model - 1, k.ones)
    information = jnp.maximum(correlated(1 / model, k.squares), 1e-12)
    return u * jax.lax.rsqrt(information), u / information


def source_image(k: Kernel, x: Array, y: Array, n: int) -> Array:
    """(n, n) PSF of a source at (x, y) [bin], whole bins; splines swing below zero beside the core, what is told does
    not."""
    window, weights, fine = _window(k, x, y, n)
    return jnp.maximum(_along_x(_along_y(window, _quintic(weights[0]), fine), _quintic(weights[1]), fine), 0.0)


def source_slopes(k: Kernel, x: Array, y: Array, n: int) -> tuple[Array, Array, Array]:
    """`source_image` and its derivatives with x and y, each (n, n)."""
    window, weights, fine = _window(k, x, y, n)
    (value_y, value_x), (slope_y, slope_x) = ([make(w) for w in weights] for make in (_quintic, _quintic_slope))
    rows = _along_y(window, value_y, fine)
    image = _along_x(rows, value_x, fine)
    # a source moves to the right as the place within its PSF moves to the left
    by_x = -fine * _along_x(rows, slope_x, fine)
    by_y = -fine * _along_x(_along_y(window, slope_y, fine), value_x, fine)
    seen = image > 0
    return jnp.maximum(image, 0.0), jnp.where(seen, by_x, 0.0), jnp.where(seen, by_y, 0.0)


def _window(k: Kernel, x: Array, y: Array, n: int) -> tuple[Array, list[Array], int]:
    """The splines' coefficients for n bins, and how far (y, x) the place lies beyond whole steps."""
    at = [k.middle - k.fine * v for v in (y, x)]
    low = [jnp.floor(v) for v in at]
    size = k.fine * (n - 1) + 6
    window = jax.lax.dynamic_slice(k.splines, [v.astype(jnp.int32) - 2 for v in low], (size, size))
    return window, [v - w for v, w in zip(at, low, strict=True)], k.fine


def _along_y(window: Array, weights: list[Array], fine: int) -> Array:
    size = window.shape[0] - 5
    return sum((w * window[j : j + size : fine] for j, w in enumerate(weights)), jnp.zeros(()))


def _along_x(rows: Array, weights: list[Array], fine: int) -> Array:
    size = rows.shape[1] - 5
    return sum((w * rows[:, j : j + size : fine] for j, w in enumerate(weights)), jnp.zeros(()))


def _quintic(f: Array) -> list[Array]:
    """Quintic B-splines about -2, -1, ... 3 at 0 <= f < 1 (Unser 1999, IEEE Signal Process. Mag. 16, 22)."""

    def inner(d: Array) -> Array:
        return 11 / 20 + d * d * (-1 / 2 + d * d * (1 / 4 - d / 12))

    def middle(d: Array) -> Array:
        return 17 / 40 + d * (5 / 8 + d * (-7 / 4 + d * (5 / 4 + d * (-3 / 8 + d / 24))))

    g = 1 - f
    return [g**5 / 120, middle(1 + f), inner(f), inner(g), middle(1 + g), f**5 / 120]


def _quintic_slope(f: Array) -> list[Array]:
    """Derivatives of `_quintic` with f."""

    def inner(d: Array) -> Array:
        return d * (-1 + d * d * (1 - 5 * d / 12))

    def middle(d: Array) -> Array:
        return 5 / 8 + d * (-7 / 2 + d * (15 / 4 + d * (-3 / 2 + 5 * d / 24)))

    g = 1 - f
    return [-(g**4) / 24, middle(1 + f), inner(f), -inner(g), -middle(1 + g), f**4 / 24]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Found:
    """Background and bright sources of an image so far."""

    x: Array
    """(MOST,) [bin]"""
    y: Array
    x0: Array
    """where it was found"""
    y0: Array
    counts: Array
    """(MOST,) all of a source's light, on the image or not; 0 beyond `number`"""
    background: Array
    """[count a bin], mean over bins"""
    number: Array
    images: Array
    """(MOST, y, x) PSFs"""
    model: Array
    """(y, x) expected counts"""
    z: Array
    """(y, x) score of one more source"""
    estimate: Array
    """(y, x) counts of it"""


def _model(s: Found, shape: Array) -> Array:
    return jnp.maximum(s.background * shape + jnp.tensordot(s.counts, s.images, 1), _LEAST)


def _fluxes(counts: Array, shape: Array, s: Found) -> Found:
    """Counts and background by expectation and maximisation: each takes its share of every bin's counts."""
    light = jnp.maximum(jnp.sum(s.images, (1, 2)), 1e-6)

    def cycle(_: int, s: Found) -> Found:
        ratio = counts / _model(s, shape)
        return replace(
            s,
            background=jnp.maximum(s.background * jnp.sum(shape * ratio) / jnp.sum(shape), _LEAST),
            counts=s.counts * jnp.tensordot(s.images, ratio, 2) / light,
        )

    return jax.lax.fori_loop(0, _CYCLES, cycle, s)


def _places(counts: Array, shape: Array, k: Kernel, s: Found, first: Array | int = 0) -> Found:
    """One step of Newton's method for each source's place from number `first` on, and its PSF there."""
    n = counts.shape[0]
    model = _model(s, shape)
    ratio, weight = counts / model - 1, 1 / model

    def one(j: int, s: Found) -> Found:
        x, y, c = s.x[j], s.y[j], s.counts[j]

        def step(slope: Array) -> Array:
            stiff = jnp.maximum(c * jnp.sum(slope * slope * weight), 1e-6)
            return jnp.clip(jnp.sum(slope * ratio) / stiff, -0.3, 0.3)

        _, by_x, by_y = source_slopes(k, x, y, n)
        dx, dy = step(by_x), step(by_y)
        x = jnp.clip(x + dx, s.x0[j] - _NEAR, s.x0[j] + _NEAR)
        y = jnp.clip(y + dy, s.y0[j] - _NEAR, s.y0[j] + _NEAR)
        images = s.images.at[j].set(source_image(k, x, y, n))
        return replace(s, x=s.x.at[j].set(x), y=s.y.at[j].set(y), images=images)

    return jax.lax.fori_loop(first, s.number, one, s)


def bright_sources(counts: Array, k: Kernel, shape: Array) -> Found:
    """Background and bright sources of an image (y, x). shape (y, x): the background's, of mean 1."""
    n = counts.shape[0]
    grid = np.arange(n, dtype=np.float32)

    def scored(s: Found) -> Found:
        model = _model(s, shape)
        z, estimate = score(counts, model, k)
        return replace(s, model=model, z=z, estimate=estimate)

    def free(s: Found) -> Array:
        """The score where no source is fitted within 2 bins: there it is the same source's own core."""
        apart = (grid[None, :, None] - s.x) ** 2 + (grid[:, None, None] - s.y) ** 2
        return jnp.where(jnp.any((apart < 4.0) & (np.arange(MOST) < s.number), -1), -jnp.inf, s.z)

    def more(s: Found) -> Found:
        best = jnp.argmax(free(s))
        row, column, j = (best // n).astype(jnp.float32), (best % n).astype(jnp.float32), s.number
        s = replace(
            s, x=s.x.at[j].set(column), x0=s.x0.at[j].set(column), y=s.y.at[j].set(row), y0=s.y0.at[j].set(row),
            counts=s.counts.at[j].set(jnp.maximum(s.estimate.ravel()[best], 1.0)),
            images=s.images.at[j].set(source_image(k, column, row, n)), number=j + 1,
        )  # fmt: skip
        return scored(_fluxes(counts, shape, rounds(s, j)))

    def rounds(s: Found, first: Array | int) -> Found:
        def one(_: int, t: Found) -> Found:
            return _places(counts, shape, k, _fluxes(counts, shape, t), first)

        return jax.lax.fori_loop(0, _ROUNDS, one, s)

    zero, blank = jnp.zeros(MOST), jnp.zeros((n, n))
    mean = jnp.maximum(jnp.mean(counts), _LEAST)
    images = jnp.zeros((MOST, n, n))
    begin = scored(Found(zero, zero, zero, zero, zero, mean, jnp.int32(0), images, blank, blank, blank))
    found = jax.lax.while_loop(lambda s: (jnp.max(free(s)) > BRIGHT) & (s.number < MOST), more, begin)
    return jax.lax.cond(found.number > 0, lambda s: scored(_fluxes(counts, shape, rounds(s, 0))), lambda s: s, found)


def calm(z: Array) -> Array:
    """Linear to 5 standard deviations, then logarithmic."""
    return 5 * jnp.arcsinh(z * 0.2)
