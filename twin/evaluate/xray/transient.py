"""What an event list says of one source: light curve, variability, hardness, spectrum.

Source and background are lists of a circle and of an annulus; `scale` is the circle's area over the annulus's
(BACKSCAL). Counts are Poisson's, so none of this takes square roots for errors where counts are few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from twin.io.xray import Arf, Rmf, fold
from twin.io.xray import Spectrum as Counted
from twin.metrics import Estimate
from twin.priors.xray.spectra import Spectrum

DRAWS = 4000
GROUP = 0.1  # [keV] of a spectrum's bins: the background then has counts in most of them
LIMITS = (0.5, 4.0)  # [keV] that are fitted
INDICES, COLUMNS = np.linspace(-0.5, 5.0, 56), np.concatenate([[0.0], np.geomspace(0.01, 5.0, 40)])


@dataclass(frozen=True)
class LightCurve:
    """Counts a bin of time.

    edges (n + 1,) [s];  source, background (n,) counts;  scale
    rate, low, high (n,) net [1/s] with 68 % interval
    chance    that a source of constant brightness shows as unequal counts as these;  background_chance  the same of
              the background
    excess    variance of the net rate over its mean squared, beyond Poisson's, with its standard deviation as interval
    t90       [s] between 5 and 95 % of the net counts, with 68 % interval
    """

    edges: np.ndarray
    source: np.ndarray
    background: np.ndarray
    scale: float
    rate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    chance: float
    background_chance: float
    excess: Estimate
    t90: Estimate


def light_curve(
    source: np.ndarray, background: np.ndarray, span: tuple[float, float], scale: float, width: float, seed: int = 0
) -> LightCurve:
    """Of arrival times (k,) [s] in a span without gaps. Raises ValueError for a span shorter than two bins."""
    n = int((span[1] - span[0]) / width + 1e-9)
    if n < 2:
        raise ValueError(f"{span[1] - span[0]:g} s are no two bins of {width:g} s")
    edges = span[0] + width * np.arange(n + 1)
    s, b = np.histogram(source, edges)[0], np.histogram(background, edges)[0]
    rng = np.random.default_rng(seed)
    # net rate: difference of two gamma laws (Jeffreys' prior)
    net = (rng.gamma(s + 0.5, size=(DRAWS, n)) - scale * rng.gamma(b + 0.5, size=(DRAWS, n))) / width
    low, high = np.quantile(net, (0.1587, 0.8413), axis=0)
    rate = (s - scale * b) / width
    mean = rate.mean()
    noise = (s + scale**2 * b) / width**2
    spread = rate.var(ddof=1) - noise.mean()
    # of the variance of n normal numbers, and of the noise taken off
    error = np.sqrt(2 / (n - 1)) * (noise.mean() + max(spread, 0.0))
    excess = Estimate(*(float(v / mean**2) for v in (spread, spread - error, spread + error)))
    t90 = Estimate(*_t90(source, background, span, scale, rng))
    return LightCurve(
        edges - span[0], s, b, scale, rate, low, high, unequal(s, rng), unequal(b, rng), excess, t90,
    )  # fmt: skip


def unequal(counts: np.ndarray, rng: np.random.Generator, draws: int = DRAWS) -> float:
    """Share of draws of as many counts, evenly over the bins, that are as unequal: G = 2 sum n ln(n / mean)."""
    total, n = int(counts.sum()), len(counts)
    if total == 0:
        return 1.0

    def g(v: np.ndarray) -> np.ndarray:
        return np.asarray(np.where(v > 0, v * np.log(np.maximum(v, 1) * n / total), 0.0).sum(-1))

    drawn = g(rng.multinomial(total, np.full(n, 1 / n), draws))
    return float((1 + (drawn >= g(counts) - 1e-9).sum()) / (draws + 1))


def _t90(
    source: np.ndarray, background: np.ndarray, span: tuple[float, float], scale: float, rng: np.random.Generator
) -> tuple[float, float, float]:
    grid = np.linspace(*span, 2001)

    def length(s: np.ndarray, b: np.ndarray) -> float:
        net = np.searchsorted(np.sort(s), grid, "right") - scale * np.searchsorted(np.sort(b), grid, "right")
        if net[-1] <= 0:
            return 0.0
        # the first time above 5 %, the last below 95 %: noise lets the sum fall again
        begin, end = np.flatnonzero(net >= 0.05 * net[-1])[0], np.flatnonzero(net <= 0.95 * net[-1])[-1]
        return float(grid[end] - grid[begin])

    drawn = [length(rng.choice(source, rng.poisson(len(source))), rng.choice(background, rng.poisson(len(background))))
             for _ in range(400)]  # fmt: skip
    low, high = np.quantile(drawn, (0.1587, 0.8413))
    return length(source, background), float(low), float(high)


def hardness(source: np.ndarray, background: np.ndarray, scale: float, split: float, seed: int = 0) -> Estimate:
    """(H - S) / (H + S) of net counts above and below `split` [keV] with its 68 % interval (Park+ 2006, ApJ 652, 610):
    energies [keV] (k,) of source and background; net counts are gamma laws that cannot be negative."""
    rng = np.random.default_rng(seed)
    parts = []
    for keep in (lambda e: e >= split, lambda e: e < split):
        s, b = keep(source).sum(), keep(background).sum()
        parts.append(np.maximum(rng.gamma(s + 0.5, size=DRAWS) - scale * rng.gamma(b + 0.5, size=DRAWS), 1e-9))
    ratio = (parts[0] - parts[1]) / (parts[0] + parts[1])
    low, middle, high = np.quantile(ratio, (0.1587, 0.5, 0.8413))
    return Estimate(float(middle), float(low), float(high))


@dataclass(frozen=True)
class SpectrumFit:
    """An absorbed power law.

    edges (n + 1,) [keV];  source, background (n,) counts;  scale;  model (n,) counts expected of the source alone
    index, nh [1e22/cm2], flux, unabsorbed [erg/cm2/s, 0.5-4 keV]: best, and the middle 90 % of their posterior
    statistic  W of the best;  bins that were fitted;  worse  share of spectra drawn from the best that have a greater W
    """

    edges: np.ndarray
    source: np.ndarray
    background: np.ndarray
    scale: float
    model: np.ndarray
    index: Estimate
    nh: Estimate
    flux: Estimate
    unabsorbed: Estimate
    statistic: float
    worse: float


def profiled_background(source: np.ndarray, background: np.ndarray, model: np.ndarray, scale: float) -> np.ndarray:
    """Counts expected in the background region where those of the source, `model`, are given: the likeliest."""
    a = scale * (1 + scale)
    b = (1 + scale) * model - scale * (source + background)
    made: np.ndarray = (-b + np.sqrt(b * b + 4 * a * background * model)) / (2 * a)
    return made


def w_statistic(source: np.ndarray, background: np.ndarray, model: np.ndarray, scale: float) -> np.ndarray:
    """-2 ln of the likelihood ratio to the saturated model, the background profiled bin by bin (Wachter+ 1979, ApJ 230,
    274; XSPEC's W): arrays (..., n) -> (...)."""
    level = profiled_background(source, background, model, scale)

    def term(n: np.ndarray, m: np.ndarray) -> np.ndarray:
        safe = np.maximum(m, 1e-30)
        return np.asarray(2 * (m - n + np.where(n > 0, n * np.log(np.maximum(n, 1e-30) / safe), 0.0)))

    return np.asarray((term(source, model + scale * level) + term(background, level)).sum(-1))


def grouped(counts: np.ndarray, rmf: Rmf, edges: np.ndarray) -> np.ndarray:
    """(..., channel) counts in bins of energy, by the channels' middles."""
    middle = (rmf.e_min + rmf.e_max) / 2
    which = np.digitize(middle, edges) - 1
    inside = (which >= 0) & (which < len(edges) - 1)
    sums = np.zeros((*counts.shape[:-1], len(edges) - 1))
    for k in range(len(edges) - 1):
        sums[..., k] = counts[..., inside & (which == k)].sum(-1)
    return sums


def fit_spectrum(source: Counted, background: Counted, arf: Arf, rmf: Rmf, seed: int = 0) -> SpectrumFit:
    """N(E) = K E^-index exp(-nh sigma(E)) through area and matrix, by W over a grid of index and nh, K free at each.

    Flat priors on index, nh >= 0 and ln K. Raises ValueError where there are no counts between LIMITS, or channels
    that are not the matrix's.
    """
    if len(source.channel) != rmf.matrix.shape[1] or len(background.channel) != rmf.matrix.shape[1]:
        raise ValueError(f"spectra of {len(source.channel)} channels, a matrix of {rmf.matrix.shape[1]}")
    edges = np.arange(LIMITS[0], LIMITS[1] + 1e-9, GROUP)
    s, b = (grouped(np.asarray(v.counts, float), rmf, edges) for v in (source, background))
    if s.sum() == 0:
        raise ValueError(f"no counts between {LIMITS[0]:g} and {LIMITS[1]:g} keV")
    scale = source.backscale * source.exposure / (background.backscale * background.exposure)
    index, nh = (v.ravel() for v in np.meshgrid(INDICES, COLUMNS, indexing="ij"))
    laws = [Spectrum("powerlaw", i, 1.0, nh=n) for i, n in zip(index, nh, strict=True)]
    photons = np.stack([law.photons(rmf.low, rmf.high) for law in laws])
    shape = source.exposure * grouped(fold(photons, arf, rmf), rmf, edges)
    # ln K: a grid about the net counts over the model's, then a finer one
    net = max(s.sum() - scale * b.sum(), 1.0)
    ln_k = np.log(net / np.maximum(shape.sum(-1), 1e-30))
    steps = np.linspace(-0.8, 0.8, 33)
    w = np.stack([w_statistic(s, b, shape * np.exp(ln_k + d)[:, None], scale) for d in steps])
    j, k = np.unravel_index(int(np.argmin(w)), w.shape)
    chance = np.exp(-0.5 * (w - w.min()))
    # columns of gas are not evenly spaced on the grid
    chance *= np.gradient(COLUMNS)[np.searchsorted(COLUMNS, nh)]
    fluxes = np.array([[law.flux(*LIMITS, absorbed=a) for law in laws] for a in (True, False)])
    marginal = chance.sum(0)
    norm = np.exp(ln_k + steps[:, None])
    model = shape[k] * norm[j, k]
    rng = np.random.default_rng(seed)
    level = profiled_background(s, b, model, scale)
    drawn = w_statistic(
        rng.poisson(model + scale * level, (1000, len(s))), rng.poisson(level, (1000, len(s))), model, scale
    )
    return SpectrumFit(
        edges, s, b, scale, model, _quantiles(index, marginal, index[k]), _quantiles(nh, marginal, nh[k]),
        _quantiles((fluxes[0] * norm).ravel(), chance.ravel(), float(fluxes[0, k] * norm[j, k])),
        _quantiles((fluxes[1] * norm).ravel(), chance.ravel(), float(fluxes[1, k] * norm[j, k])),
        float(w[j, k]), float((drawn > w[j, k]).mean()),
    )  # fmt: skip


def _quantiles(value: np.ndarray, chance: np.ndarray, best: float) -> Estimate:
    order = np.argsort(value)
    total = np.cumsum(chance[order])
    low, high = np.interp((0.05, 0.95), (total - 0.5 * chance[order]) / total[-1], value[order])
    return Estimate(float(best), float(low), float(high))


def upper(counts: float, level: float = 0.95) -> float:
    """Upper limit of a Poisson mean of which `counts` were seen (Garwood 1936)."""
    return float(chi2.ppf(level, 2 * counts + 2) / 2)
