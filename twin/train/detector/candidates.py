"""Where a count image may hold a source, and what its counts say of each such place.

Candidates are the bright sources that `front` fitted and the peaks of a matched filter whose weights are those of the
likelihood ratio of a source near the limit of detection, ln(1 + c P / b) (c counts, background b): mean 0 and variance
1 where nothing is. At each of them place and counts are fitted by greatest likelihood (Fisher's scoring), all of them
twice, the second time above what the others were found to be. Then

    TS = 2 sum of [n ln(1 + c P / m) - c P]

is told, and TS without the bin that brings most of it, for a flickering pixel has but one; residuals in rows, columns,
bands and slices of time; the light of bright sources there. What is told is made of ratios to what chance would do, so
that a network need not have seen every background and every PSF.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.train.detector.front import MOST, Found, Kernel, calm, score, source_image, source_slopes

ROOM = 64  # candidates of an image, the bright ones first
LOOK = 3.0  # standard deviations of the matched filter from which a peak is looked at
FAINT = 3.3  # root of TS from which it is a candidate
LIMIT = 5.0  # standard deviations of the source whose likelihood ratio the weights are
CORE = 4  # [bin] about the source where the matched filter has weights
RADIUS = 6  # [bin] of the window to which a candidate is fitted
PATCH = 4  # [bin] about the candidate that the network is shown
_STEPS, _REACH = (3, 4), 1.5  # of the two fits; [bin] from the peak that they may go
_SAME = 1.0  # [bin] between candidates that are one
_LEAST = 1e-3
_SIDE = 2 * RADIUS + 1

SCALARS = (
    "ts", "hollow", "single", "log_counts", "log_error", "log_error_x", "log_error_y", "x", "y", "light",
    "other_light", "steep_x", "steep_y", "misfit_3", "misfit_5", "misfit", "along_x", "along_y", "around", "bright",
    "near_bright", "fainter", "log_brightest", "left", "right", "below", "above", "crowd", "coloured", "soft", "hard",
    "soft_error", "hard_error", "timed", "swing", "swing_error", "burst", "exact",
)  # fmt: skip
PATCHES = ("without", "with", "others")
FEATURES = len(SCALARS) + len(PATCHES) * (2 * PATCH + 1) ** 2
_FAR = 6.0  # [bin] from an edge that is far


class Candidates(NamedTuple):
    """ROOM places of an image.

    features      (ROOM, FEATURES): SCALARS, then PATCHES bin by bin
    base, sigma   (ROOM, 3) x, y [bin] and log of the counts on the image, by greatest likelihood; standard deviations
    there, lit    (ROOM,) whether it is a candidate; whether bright sources shine there
    """

    features: Any  # arrays of JAX or of NumPy
    base: Any
    sigma: Any
    there: Any
    lit: Any


class _Fit(NamedTuple):
    """Of each candidate: place in its window, counts, PSF, and expected counts without it and with it (side, side)."""

    x: Array
    y: Array
    counts: Array
    psf: Array
    without: Array
    model: Array


def matched(counts: Array, model: Array, background: Array, k: Kernel) -> Array:
    """(y, x) score with the weights ln(1 + c P / b), P the PSF about a bin within `CORE`, over its standard
    deviation."""
    middle = jnp.float32(CORE)
    psf = source_image(k, middle, middle, 2 * CORE + 1)
    limit = LIMIT * jnp.sqrt(background / jnp.sum(psf**2))
    weight = jnp.log1p(limit * psf / background)
    top = _correlated(counts - model, weight)
    return top * jax.lax.rsqrt(jnp.maximum(_correlated(model, weight**2), 1e-6))


def _correlated(image: Array, weight: Array) -> Array:
    found = jax.lax.conv_general_dilated(image[None, None], weight[None, None], (1, 1), "SAME")
    return found[0, 0]


def peaks(z: Array, fit: Found) -> Array:
    """z where it is greatest within 2 bins and no bright source is as near; elsewhere minus infinity."""
    n = len(z)
    grid = np.arange(n, dtype=np.float32)
    top = jax.lax.reduce_window(z, -jnp.inf, jax.lax.max, (5, 5), (1, 1), "SAME")
    apart = (grid[None, :, None] - fit.x) ** 2 + (grid[:, None, None] - fit.y) ** 2
    taken = jnp.any((apart < 4.0) & (np.arange(MOST) < fit.number), -1)
    return jnp.where((z >= top) & ~taken, z, -jnp.inf)


def on_image(psf: Array, x: Array, y: Array, n: int, fine: int) -> Array:
    """Share of a PSF's light, in `fine` parts a bin, that falls on n x n bins from a source at (x, y) [bin]."""
    below = jnp.pad(jnp.cumsum(jnp.cumsum(psf, 0), 1), ((1, 0), (1, 0)))
    half = psf.shape[-1] / 2

    def at(ends_y: Array, ends_x: Array) -> Array:
        place = [jnp.clip(v * fine + half, 0, psf.shape[-1]) for v in (ends_y, ends_x)]
        return jax.scipy.ndimage.map_coordinates(below, place, order=1, mode="nearest")

    low, high = -0.5, n - 0.5
    return at(high - y, high - x) - at(high - y, low - x) - at(low - y, high - x) + at(low - y, low - x)


def candidates(
    bands: Array, times: Array, psf: Array, shape: Array, exact: Array | bool, k: Kernel, fit: Found
) -> Candidates:
    """The candidates of an image.

    bands (band, y, x) and times (slice, y, x) [count], without slices where time is not known; psf (side, side) as
    `kernel` takes it, `exact` where it is known to be the image's own; shape (y, x) of the background; fit  background
    and bright sources
    """
    counts = jnp.sum(bands, 0)
    n = counts.shape[-1]
    z = matched(counts, fit.model, fit.background, k)
    value, index = jax.lax.top_k(peaks(z, fit).ravel(), ROOM - MOST)
    is_bright = jnp.arange(ROOM) < MOST
    there = jnp.concatenate([jnp.arange(MOST) < fit.number, value > LOOK])
    x0 = jnp.clip(jnp.rint(jnp.concatenate([fit.x, (index % n).astype(jnp.float32)])), 0, n - 1).astype(jnp.int32)
    y0 = jnp.clip(jnp.rint(jnp.concatenate([fit.y, (index // n).astype(jnp.float32)])), 0, n - 1).astype(jnp.int32)

    def windows(image: Array, outside: float) -> Array:
        padded = jnp.pad(image, RADIUS, constant_values=outside)
        return jax.vmap(lambda i, j: jax.lax.dynamic_slice(padded, (i, j), (_SIDE, _SIDE)))(y0, x0)

    data, mask, known = windows(counts, 0.0), windows(jnp.ones_like(counts), 0.0), windows(fit.model, 1.0)
    flat = windows(fit.background * shape, 1.0)
    start_x = jnp.where(is_bright, jnp.pad(fit.x, (0, ROOM - MOST)) - x0, 0.0) + RADIUS
    start_y = jnp.where(is_bright, jnp.pad(fit.y, (0, ROOM - MOST)) - y0, 0.0) + RADIUS
    own = jnp.pad(fit.counts, (0, ROOM - MOST))
    window_psf = jax.vmap(lambda x, y: source_image(k, x, y, _SIDE))
    first = window_psf(start_x, start_y)
    known = jnp.maximum(known - own[:, None, None] * first, 0.5 * flat)
    near = np.s_[:, RADIUS - 1 : RADIUS + 2, RADIUS - 1 : RADIUS + 2]
    guess = jnp.sum((data - known)[near], (1, 2)) / jnp.sum(first[near], (1, 2))
    guess = jnp.maximum(jnp.where(is_bright, own, guess), 2.0)

    begin = start_x, start_y
    found = _fitted(k, data, mask, known, begin, (start_x, start_y, guess), _STEPS[0])
    others = _others(found, there & ~is_bright, known, mask, data, x0, y0, n)
    again = found.x, found.y, found.counts
    found = _fitted(k, data, mask, jnp.maximum(known + others, _LEAST), begin, again, _STEPS[1])

    x, y = found.x - RADIUS + x0, found.y - RADIUS + y0
    gain = found.counts[:, None, None] * found.psf
    each = 2 * mask * (data * jnp.log(found.model / found.without) - gain)
    ts = jnp.sum(each, (1, 2))
    apart = jnp.hypot(x[:, None] - x, y[:, None] - y)
    stronger = (ts[None] > ts[:, None]) & there[None]
    there &= ~jnp.any(stronger & (apart < _SAME), 1) & (ts > FAINT**2)
    light = jnp.maximum(on_image(psf, x, y, n, k.fine), 1e-3)

    inverse = mask / found.model
    errors = [jax.lax.rsqrt(jnp.maximum(jnp.sum(found.psf**2 * inverse, (1, 2)), 1e-12))]
    _, *slopes = jax.vmap(lambda x, y: source_slopes(k, x, y, _SIDE))(found.x, found.y)
    for slope in slopes:
        strong = found.counts**2 * jnp.sum(slope**2 * inverse, (1, 2))
        errors.append(jnp.minimum(jax.lax.rsqrt(jnp.maximum(strong, 1e-12)), 2.0))
    relative = jnp.minimum(errors[0] / found.counts, 3.0)

    # of the sources brighter than it: what looks like an arm of a fainter one is none
    brighter = fit.counts > jnp.where(is_bright, own, found.counts)[:, None]
    shine = jnp.einsum("jk,kjab->jab", brighter * fit.counts, jax.vmap(lambda image: windows(image, 0.0))(fit.images))
    middle_light = jnp.mean(shine[near], (1, 2))
    b = fit.background
    values = _told(found, data, mask, flat, each, ts)
    values |= _parts(found, bands, times, fit, windows, mask)
    away = jnp.where(brighter, jnp.hypot(x[:, None] - fit.x, y[:, None] - fit.y), 1e3)
    nearest = jnp.argmin(away, 1)
    ratio = jnp.log(jnp.maximum(found.counts, 0.3) / jnp.maximum(fit.counts[nearest], 1.0))
    values |= {
        "log_counts": jnp.log(found.counts) - 4, "log_error": jnp.log(relative) + 1.5,
        "log_error_x": jnp.log(errors[1]) + 1, "log_error_y": jnp.log(errors[2]) + 1,
        "x": found.x - RADIUS, "y": found.y - RADIUS, "light": jnp.log(light),
        "other_light": jnp.log1p(middle_light / b), "bright": is_bright,
        "near_bright": jnp.log(jnp.minimum(away.min(1), 100.0) / 10),
        "fainter": jnp.where(jnp.any(brighter, 1), ratio, 0.0),
        "log_brightest": 0.2 * jnp.full(ROOM, jnp.log1p(jnp.max(fit.counts))),
        "left": jnp.minimum(x + 0.5, _FAR) / _FAR, "right": jnp.minimum(n - 0.5 - x, _FAR) / _FAR,
        "below": jnp.minimum(y + 0.5, _FAR) / _FAR, "above": jnp.minimum(n - 0.5 - y, _FAR) / _FAR,
        "crowd": jnp.full(ROOM, jnp.log1p(jnp.sum(there).astype(jnp.float32)) - 3),
        "exact": jnp.full(ROOM, exact),
    }  # fmt: skip
    scalars = jnp.stack([values[name].astype(jnp.float32) for name in SCALARS], 1)
    cut = np.s_[:, RADIUS - PATCH : RADIUS + PATCH + 1, RADIUS - PATCH : RADIUS + PATCH + 1]
    patches = [_anscombe(data, found.without), _anscombe(data, found.model), jnp.log1p(shine / b)]
    shown = jnp.stack([(p * mask)[cut].reshape(ROOM, -1) for p in patches], 1).reshape(ROOM, -1)
    base = jnp.stack([x, y, jnp.log(found.counts * light)], 1)
    sigma = jnp.stack([jnp.maximum(errors[1], 0.005), jnp.maximum(errors[2], 0.005), jnp.maximum(relative, 0.005)], 1)
    lit = middle_light > 0.5 * jnp.sqrt(b)
    return Candidates(jnp.concatenate([scalars, shown], 1), base, sigma, there, lit)


def _fitted(
    k: Kernel, data: Array, mask: Array, without: Array, begin: tuple[Array, Array],
    start: tuple[Array, Array, Array], steps: int,
) -> _Fit:  # fmt: skip
    """Places and counts of greatest likelihood in windows: Fisher's scoring, counts twice a step."""

    def of(image: Array) -> Array:
        return jnp.sum(image, (1, 2))

    def step(_: int, a: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        x, y, c = a
        p, *slopes = jax.vmap(lambda x, y: source_slopes(k, x, y, _SIDE))(x, y)
        for _ in range(2):
            m = jnp.maximum(without + c[:, None, None] * p, _LEAST)
            score = of(mask * p * (data / m - 1))
            c = jnp.clip(c + score / jnp.maximum(of(mask * p * p / m), 1e-9), 0.4 * c, 2.5 * c)
            c = jnp.maximum(c, 0.3)
        m = jnp.maximum(without + c[:, None, None] * p, _LEAST)
        ratio, weight = mask * (data / m - 1), mask / m
        moved = []
        for now, first, slope in zip((x, y), begin, slopes, strict=True):
            stiff = jnp.maximum(c * of(slope * slope * weight), 1e-6)
            move = jnp.clip(of(slope * ratio) / stiff, -0.4, 0.4)
            moved.append(jnp.clip(now + move, first - _REACH, first + _REACH))
        return moved[0], moved[1], c

    x, y, counts = jax.lax.fori_loop(0, steps, step, start)
    p = jax.vmap(lambda x, y: source_image(k, x, y, _SIDE))(x, y)
    return _Fit(x, y, counts, p, without, jnp.maximum(without + counts[:, None, None] * p, _LEAST))


def _others(found: _Fit, there: Array, known: Array, mask: Array, data: Array, x0: Array, y0: Array, n: int) -> Array:
    """(ROOM, side, side) light of the other sure candidates in each window."""
    ts = jnp.sum(2 * mask * (data * jnp.log(found.model / known) - found.counts[:, None, None] * found.psf), (1, 2))
    sure = there & (ts > LIMIT**2)
    light = jnp.where(sure[:, None, None], found.counts[:, None, None] * found.psf, 0.0) * mask
    step = np.arange(_SIDE)
    rows, columns = (v[:, None] + step for v in (y0, x0))
    place = (rows[:, :, None], columns[:, None, :])
    whole = jnp.zeros((n + 2 * RADIUS, n + 2 * RADIUS)).at[place].add(light)
    return whole[place] - light


def _told(found: _Fit, data: Array, mask: Array, flat: Array, each: Array, ts: Array) -> dict[str, Array]:
    """How much the counts ask for the source, and how well it explains them."""
    middle = np.abs(np.arange(_SIDE) - RADIUS)
    core = (middle[:, None] <= 2) & (middle <= 2)
    flat_each = jnp.where(core, each, -jnp.inf).reshape(ROOM, -1)
    top = jnp.argmax(flat_each, 1)
    take = jax.vmap(lambda image, at: image.reshape(-1)[at])
    n_top, m_top = take(data, top), take(found.without, top)
    hollow = ts - jnp.max(flat_each, 1)
    excess = (data - found.model) ** 2 / found.model - 1
    noise = 2 + 1 / found.model

    def misfit(inside: np.ndarray) -> Array:
        there = mask * inside
        return jnp.sum(there * excess, (1, 2)) * jax.lax.rsqrt(jnp.sum(there * noise, (1, 2)) + 1e-6)

    def along(inside: np.ndarray) -> Array:
        there = mask * inside
        short = jnp.sum(there * (data - found.model), (1, 2))
        return short * jax.lax.rsqrt(jnp.sum(there * found.model, (1, 2)) + 1e-6)

    band, out = middle <= 1, middle > 2
    steep = [jnp.log(found.without[:, RADIUS + b, RADIUS + a] / found.without[:, RADIUS - b, RADIUS - a])
             for a, b in ((2, 0), (0, 2))]  # fmt: skip
    return {
        "ts": calm(jnp.sqrt(jnp.maximum(ts, 0.0))), "hollow": calm(jnp.sign(hollow) * jnp.sqrt(jnp.abs(hollow))),
        "single": calm(_deviance(n_top, m_top)), "steep_x": steep[0], "steep_y": steep[1],
        "misfit_3": calm(misfit((middle[:, None] <= 1) & (middle <= 1))), "misfit_5": calm(misfit(core)),
        "misfit": calm(misfit(np.ones_like(core))), "along_x": calm(along(band[:, None] & out)),
        "along_y": calm(along(out[:, None] & band)), "around": calm(along(~core)),
    }  # fmt: skip


def _parts(found: _Fit, bands: Array, times: Array, fit: Found, windows: object, mask: Array) -> dict[str, Array]:
    """Shares of the counts in bands and in slices of time, and their standard deviations; zero where not known."""

    def split(images: Array) -> tuple[Array, Array]:
        share = jnp.maximum(jnp.sum(images, (1, 2)), 1.0)
        share = share / jnp.sum(share)

        def one(image: Array, part: Array) -> tuple[Array, Array]:
            data = windows(image, 0.0)  # type: ignore[operator]
            c = part * found.counts
            for _ in range(3):
                m = jnp.maximum(part * found.without + c[:, None, None] * found.psf, _LEAST)
                score = jnp.sum(mask * found.psf * (data / m - 1), (1, 2))
                stiff = jnp.maximum(jnp.sum(mask * found.psf**2 / m, (1, 2)), 1e-9)
                c = jnp.clip(c + score / stiff, 0.2 * c, 4 * c + 1)
            return c, jax.lax.rsqrt(stiff)

        c, error = jax.vmap(one)(images, share)
        total = jnp.maximum(jnp.sum(c, 0), 0.1)
        return c / total, jnp.minimum(error / total, 2.0)

    def told(name: str, flag: Array, *values: Array) -> dict[str, Array]:
        names = {"coloured": ("soft", "hard", "soft_error", "hard_error"), "timed": ("swing", "swing_error", "burst")}
        there = jnp.broadcast_to(flag, (ROOM,)).astype(jnp.float32)
        return {name: there} | {key: v * there for key, v in zip(names[name], values, strict=True)}

    share, error = split(bands)
    out = told("coloured", jnp.any(bands[0] != bands[-1]), share[0], share[-1], error[0], error[-1])
    if not times.shape[0]:
        zero = jnp.zeros(ROOM)
        return out | told("timed", jnp.zeros(()), zero, zero, zero)
    number = times.shape[0]
    part, sigma = split(times)
    off = part * number - 1
    noise = jnp.mean((sigma * number) ** 2, 0)
    swing = jnp.mean(off**2, 0) - noise
    there = jnp.sum(times) > 0
    return out | told("timed", there, calm(swing), jnp.log(noise + 1e-3), calm(jnp.max((part - 1 / number) / sigma, 0)))


def _deviance(n: Array, m: Array) -> Array:
    value = 2 * (jnp.where(n > 0, n * jnp.log(jnp.maximum(n, 1e-9) / m), 0.0) - n + m)
    return jnp.sign(n - m) * jnp.sqrt(jnp.maximum(value, 0.0))


def _anscombe(n: Array, m: Array) -> Array:
    return calm(2 * (jnp.sqrt(n + 0.375) - jnp.sqrt(m + 0.375)))


def found_in(
    frame: Array, times: Array, psf: Array, shape: Array, exact: Array | bool = False
) -> tuple[Candidates, Found]:
    """Candidates of a frame (band, y, x) and the fit of its bright sources.

    times (slice, y, x), without slices where not known; psf (side, side) of a source in the middle, all bands together,
    in `FINE` parts a bin, normalised to all of its light; shape (y, x) background's relative brightness, of mean 1;
    exact  whether the PSF is known to be the frame's own, as of simulations, and not what is thought of a telescope
    """
    from twin.train.detector.front import bright_sources, kernel

    k = kernel(psf, frame.shape[-1])
    fit = bright_sources(jnp.sum(frame, 0), k, shape)
    return candidates(frame, times, psf, shape, exact, k, fit), fit


def plain_score(counts: Array, psf: Array, shape: Array, fit: Found) -> Array:
    """(y, x) score of a source above the background alone: what a test sees that knows of no bright source."""
    from twin.train.detector.front import kernel

    return score(counts, jnp.maximum(fit.background * shape, _LEAST), kernel(psf, counts.shape[-1]))[0]
