"""The rows of the report's picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from twin.observatory.calibrate import closure
from twin.observatory.calibrate.apply import CalibratedImager
from twin.observatory.calibrate.exposures import Exposures, held_out
from twin.observatory.calibrate.field import FieldFit
from twin.observatory.calibrate.folder import Calibration
from twin.observatory.calibrate.seeing import Posterior
from twin.observatory.calibrate.stars import Stars
from twin.observatory.imager import Imager

DRAWN = 80  # simulated exposures beside the measured ones
SHOWN = 6  # parameters of the posterior


def exposures(part: Any, imager: Imager, found: Exposures, expected: np.ndarray) -> None:
    """Measured FWHM over time, and against airmass, wavelength and what the equation expects. Held-out nights stay
    hidden."""
    seen = np.flatnonzero(~held_out(found.night))
    e, expected = found.take(seen), expected[seen]
    axes = part.subplots(1, 4)
    part.suptitle("telemetry: measured FWHM", fontsize=10)
    axes[0].plot(np.arange(len(e)), e.fwhm[np.argsort(e.mjd)], ",", color="tab:blue")
    axes[0].set(xlabel="exposure, in time order", ylabel="FWHM [arcsec]")
    for axis, values, label in ((axes[1], e.airmass, "airmass"), (axes[2], e.wavelength, "wavelength [nm]")):
        axis.plot(values, e.fwhm, ",", color="0.6")
        edges = np.unique(np.quantile(values, np.linspace(0, 1, 9)))
        group = np.digitize(values, edges[1:-1])
        for data, colour, word in ((e.fwhm, "tab:blue", "measured"), (expected, "tab:orange", "equation")):
            at = [np.median(values[group == g]) for g in np.unique(group)]
            axis.plot(at, [np.median(data[group == g]) for g in np.unique(group)], "o-", color=colour, ms=4, label=word)
        axis.set(xlabel=label, ylim=(0, np.quantile(e.fwhm, 0.99)))
        axis.legend(fontsize=8, title="medians", title_fontsize=8)
    rest = np.log(e.fwhm / expected)
    axes[3].hist(rest, np.linspace(-1, 1, 60), color="tab:blue")
    axes[3].set(xlabel="ln measured / equation", ylabel="exposures")


def parameters(part: Any, posterior: Posterior) -> None:
    """Histograms of the posterior, with the width of the prior."""
    part.suptitle("what telemetry does not tell: posterior", fontsize=10)
    for axis, name, unit in zip(part.subplots(1, SHOWN), posterior.names, posterior.units, strict=False):
        draws = posterior[name]
        axis.hist(draws, 24, color="tab:blue" if posterior.constrained(name) else "0.6")
        words = f"{name.replace('_', ' ')}{f' [{unit}]' if unit else ''}"
        axis.set_title(f"{words}\n{draws.mean():.3g} ± {draws.std():.2g}", fontsize=9)
        axis.set_yticks([])


def psf(part: Any, imager: Imager, calibration: Calibration, fits: Sequence[tuple[Stars, FieldFit]]) -> None:
    """Width of the calibrated twin's PSFs over a drawn night, its spread beside the uncalibrated one, and the State."""
    twin = CalibratedImager(imager.node, calibration)
    plan = twin.config.nights.exposures
    axes = part.subplots(1, 3)
    part.suptitle("State and PSF of the calibrated twin", fontsize=10)
    spread = np.linspace(0, DRAWN * plan, DRAWN, endpoint=False).astype(int)
    middle = len(twin.bands) // 2
    for one, colour, word in ((imager, "0.6", "as delivered"), (twin, "tab:orange", "calibrated")):
        rows = one.draw_exposures(2, DRAWN * plan)[spread]
        measured = closure.widths(one, rows)
        axes[1].hist(measured(rows)[:, middle], 20, color=colour, alpha=0.7, label=word)
    fwhm = measured(twin.draw_exposures(1, min(plan, 24)))
    for k, band in enumerate(twin.bands):
        axes[0].plot(fwhm[:, k], "o-", ms=3, label=band)
    axes[0].set(xlabel="exposure of one drawn night", ylabel="FWHM of the PSF [arcsec]", ylim=(0, None))
    axes[0].legend(fontsize=8, ncols=3)
    axes[1].set(xlabel=f"FWHM of the PSF, {twin.bands[middle]} [arcsec]", ylabel="drawn exposures")
    axes[1].legend(fontsize=8)
    axes[2].axis("off")
    use, lines = calibration.about["use"], []
    for name, value in use.get("mean", {}).items():
        lines.append(f"{name}  {value:.3g}")
    for name, values in calibration.draws.items():
        if name in use.get("static", ()):
            lines.append(f"{name}  {values.mean():.3g} ± {values.std():.2g}")
    for column, start in enumerate(range(0, len(lines), 11)):
        shown = "\n".join(lines[start : start + 11])
        axes[2].text(0.02 + 0.5 * column, 0.98, shown, va="top", family="monospace", fontsize=7.5)


def stars(part: Any, found: Stars, fit: FieldFit) -> None:
    """Ellipticity over the field: measured, predicted and what is left; size against its prediction."""
    part.suptitle(f"{found.name} ({found.band}): {len(found)} stars", fontsize=10)
    axes = part.subplots(1, 4)
    titles = ("ellipticity measured", "predicted", "left")
    for axis, shape, title in zip(
        axes, (found.shape, fit.predicted, found.shape - fit.predicted), titles, strict=False
    ):
        e, angle = np.hypot(shape[:, 0], shape[:, 1]), 0.5 * np.arctan2(shape[:, 1], shape[:, 0])
        axis.quiver(found.x, found.y, e * np.cos(angle), e * np.sin(angle), headwidth=0, headlength=0, headaxislength=0,
                    pivot="mid", scale=0.6, width=0.006, color="tab:blue")  # fmt: skip
        axis.set_title(title, fontsize=9)
        axis.set(aspect="equal", xlabel="x [pixel]")
        axis.tick_params(labelsize=7)
    size = np.exp(found.shape[:, 2])
    rest = 100 * (found.shape[:, 2] - fit.predicted[:, 2])
    axes[3].plot(size, rest, "o", ms=3, color="tab:blue")
    axes[3].plot(size[fit.outliers], rest[fit.outliers], "o", ms=7, mfc="none", color="tab:red", label="weighted down")
    axes[3].axhline(0, color="0.5", lw=0.8)
    axes[3].set(xlabel="size [pixel]", ylabel="size left [%]")
    if len(fit.outliers):
        axes[3].legend(fontsize=8)
