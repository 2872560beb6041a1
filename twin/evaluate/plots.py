"""The report's pictures as PNG bytes: cutouts, reliability, coverage, separation against truth."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from twin import metrics as m

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY, BLUE, ORANGE = "#8a8f98", "#3b82c4", "#d9822b"  # readable on white and on black
STRETCH = 12.0  # arcsinh softening: linear up to 1/12 of the brightest pixels


def rgb(crop: np.ndarray, rms: np.ndarray) -> np.ndarray:
    """(y, x, 3) colour picture in [0, 1] of a (band, y, x) crop in counts: reddest band red, arcsinh stretch.

    Every band is divided by its sky noise `rms` (band,), so that noise looks grey and no band drowns another.
    """
    image = np.nan_to_num(crop / rms[:, None, None])
    if len(image) < 3:
        image = np.repeat(image[:1], 3, axis=0)
    image = image[[-1, len(image) // 2, 0]]
    top = max(float(np.quantile(image, 0.999)), 3.0)
    shown = np.arcsinh(np.clip(image + 0.02 * top, 0, None) / top * STRETCH) / np.arcsinh(STRETCH)
    return np.clip(np.moveaxis(shown, 0, -1), 0.0, 1.0)


def cutout(crop: np.ndarray, rms: np.ndarray, zoom: int = 4) -> bytes:
    """PNG of one crop, north (or +y) up, each pixel drawn as zoom x zoom."""
    from PIL import Image

    pixels = (255 * rgb(crop, rms)[::-1]).round().astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels.repeat(zoom, 0).repeat(zoom, 1)).save(out, "PNG")
    return out.getvalue()


def reliability(prob: np.ndarray, label: np.ndarray) -> bytes:
    """Reliability diagram of a probability with Wilson bars, over its histogram by class."""
    figure, (axis, below) = _figure(2, (4.2, 4.6), ratios=(3, 1))
    curve = m.reliability_curve(prob, label)
    axis.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--")
    error = np.clip([curve.observed - curve.low, curve.high - curve.observed], 0, None)
    axis.errorbar(curve.predicted, curve.observed, error, fmt="o", color=BLUE, ms=5, lw=1.2)
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.03, 1.03), ylabel="observed fraction of lenses")
    bins = np.linspace(0, 1, 21).tolist()
    below.hist([prob[label == 1], prob[label == 0]], bins, color=[BLUE, ORANGE], label=["lens", "no lens"])
    below.set(xlim=(-0.02, 1.02), xlabel="predicted probability", ylabel="objects")
    below.legend(frameon=False, fontsize=7, labelcolor=GREY)
    return _png(figure)


def coverage(pits: dict[str, np.ndarray]) -> bytes:
    """Measured against nominal coverage of central intervals, with the 95 % Wilson band, a curve for each entry."""
    figure, (axis,) = _figure(1, (4.2, 3.8))
    axis.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--")
    levels = np.linspace(0.02, 0.98, 49)
    for (name, pit), colour in zip(pits.items(), (BLUE, ORANGE), strict=False):
        found = np.array([m.coverage_of_pit(pit, float(level)).estimate for level in levels])
        axis.plot(levels, found[:, 0], color=colour, label=name)
        axis.fill_between(levels, found[:, 1], found[:, 2], color=colour, alpha=0.18, lw=0)
    for level in (0.68, 0.95):
        axis.axvline(level, color=GREY, lw=0.6, ls=":")
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="nominal coverage of central interval", ylabel="measured coverage")
    axis.legend(frameon=False, fontsize=8, labelcolor=GREY, loc="upper left")
    return _png(figure)


def separation(truth: np.ndarray, low: np.ndarray, middle: np.ndarray, high: np.ndarray, aside: np.ndarray) -> bytes:
    """Predicted median with its 68 % interval against the true separation, entries set aside as open symbols."""
    figure, (axis,) = _figure(1, (4.8, 4.4))
    every = np.concatenate([truth, middle])
    limits = (0.9 * float(every.min()), 1.1 * float(every.max()))
    axis.plot(limits, limits, color=GREY, lw=1, ls="--")
    error = np.clip([middle - low, high - middle], 0, None)
    for mask, colour, face, name in ((~aside, BLUE, BLUE, "scored"), (aside, ORANGE, "none", "set aside")):
        if mask.any():
            axis.errorbar(truth[mask], middle[mask], error[:, mask], fmt="o", ms=4, mfc=face, color=colour, lw=0.8,
                          label=name)  # fmt: skip
    axis.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
    axis.set(xlabel="separation, catalogue or truth [arcsec]", ylabel="separation, predicted [arcsec]")
    ticks = [t for t in (0.5, 1, 1.5, 2, 3, 4, 5, 7, 10) if limits[0] <= t <= limits[1]]
    for one in (axis.xaxis, axis.yaxis):
        one.set_ticks(ticks, [f"{t:g}" for t in ticks])
        one.set_ticks([], minor=True)
    axis.legend(frameon=False, fontsize=8, labelcolor=GREY)
    return _png(figure)


def _figure(rows: int, size: tuple[float, float], ratios: tuple[float, ...] = (1.0,)) -> tuple[Figure, list[Axes]]:
    """A transparent figure with grey axes; made without pyplot, so no display or global state is touched."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    figure.patch.set_alpha(0.0)
    axes = list(np.atleast_1d(figure.subplots(rows, 1, sharex=rows > 1, height_ratios=ratios)))
    for axis in axes:
        axis.patch.set_alpha(0.0)
        axis.tick_params(colors=GREY, labelsize=8)
        axis.xaxis.label.set(color=GREY, size=9)
        axis.yaxis.label.set(color=GREY, size=9)
        for side in axis.spines.values():
            side.set_color(GREY)
    return figure, axes


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=130)
    return out.getvalue()
