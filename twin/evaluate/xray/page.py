"""The report of the benchmark `ep-wxt44`."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

import numpy as np

from twin.evaluate.config import EpWxt44
from twin.evaluate.report import STYLE
from twin.evaluate.xray.told import Told
from twin.observatory.lobster_calibrate.run import smoothed

if TYPE_CHECKING:
    from twin.evaluate.xray.wxt44 import Found

COLOURS = {"likelihood": "C0", "network": "C3", "wavelet": "C2", "sep": "C1"}


def render(config: EpWxt44, found: Found, about: dict[str, str]) -> str:
    """One self-contained HTML page."""
    text = html.escape
    facts = " &middot; ".join(f"{text(key)}: {text(value)}" for key, value in about.items())
    rows = "".join(
        f"<tr><td>{text(name)}</td><td>{got.value:.4g}</td><td>{got.low:.4g}</td><td>{got.high:.4g}</td></tr>"
        for name, got in found.metrics.items()
    )
    asked = "".join(
        f"<tr><td>{text(what)}</td><td>{text(goal)}</td><td>{text(measured)}</td><td>{'yes' if ok else 'NO'}</td></tr>"
        for what, goal, measured, ok in found.asked
    )
    kept = "".join(f"<tr><td>{text(name)}</td><td>{count}</td></tr>" for name, count in found.counts.items())
    parts = [_image("frame, model, residual, completeness", picture(found))]
    if found.told is not None:
        parts += ["<h2>The transient</h2>", f"<p>{text(words(found.told))}</p>",
                  _image("light curve, spectrum, hardness", transient_picture(found.told))]  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(config.title)}</title><style>{STYLE} img {{ max-width: 100%; }}</style></head>\n<body>\n"
        f'<h1>{text(config.title)}</h1><p class="quiet">{facts}</p>'
        f"<table><tr><th>what</th><th>asked</th><th>measured</th><th>reached</th></tr>{asked}</table>"
        f"{''.join(parts)}"
        f"<h2>What was found</h2><ul>{''.join(f'<li>{text(note)}</li>' for note in found.notes)}</ul>"
        "<h2>All metrics</h2><p>Value and 95 % interval; of the transient's light curve and hardness 68 %, of its "
        "spectrum 90 %.</p>"
        f"<table><tr><th>metric</th><th>value</th><th>low</th><th>high</th></tr>{rows}</table>"
        f"<h2>Protocol</h2><p>{text(config.protocol)}</p>"
        f"<table><tr><th>count</th><th></th></tr>{kept}</table>\n</body></html>\n"
    )


def _image(what: str, png: bytes) -> str:
    return f'<img alt="{html.escape(what)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def words(told: Told) -> str:
    """The transient in sentences."""
    curve, fit = told.curve, told.spectrum

    def span(got: tuple[float, float, float], form: str = ".2f") -> str:
        return f"{got[0]:{form}} [{got[1]:{form}}, {got[2]:{form}}]"

    hard = "; ".join(f"{name.replace('_', ' ')} {span(value)}" for name, value in told.hardness.items())
    return (
        f"{curve.source.sum()} events in the circle and {curve.background.sum()} in the annulus, {1 / curve.scale:.1f} "
        f"times as wide. A constant source would be as unequal with a chance of {curve.chance:.2g}; the annulus by "
        f"itself with {curve.background_chance:.2g}: where that is small, it holds light of the source's own PSF, and "
        f"net counts are a little too low. T90 {span(curve.t90, '.0f')} s; variance of the net rate beyond Poisson's "
        f"over its mean squared {span(curve.excess)}. Hardness {hard}. Absorbed power law over {told.exposure:.0f} s "
        f"through the real area and the built matrix: photon index {span(fit.index)}, nH {span(fit.nh)} 1e22/cm2, flux "
        f"{span(fit.flux, '.2e')} erg/cm2/s absorbed (0.5-4 keV), {span(fit.unabsorbed, '.2e')} without absorption; "
        f"W {fit.statistic:.1f} in {len(fit.source)} bins, {100 * fit.worse:.0f} % of spectra drawn from the fit have "
        "a greater one."
    )


def _png(figure) -> bytes:  # type: ignore[no-untyped-def]
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()


def picture(found: Found) -> bytes:
    """PNG: the frame with what was found, what is expected of it, what is left, and completeness by flux."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 14.5), layout="constrained")
    frame, model, left, blank, off, on = figure.subplots(3, 2).ravel()
    for axis, data, name in ((frame, found.frame, "frame"), (model, found.expected, "found sources and background")):
        axis.imshow(np.log10(data + 0.1), origin="lower", vmin=-1, vmax=3)
        axis.set_title(f"{name}, log10 counts a bin")
    for k, (name, d) in enumerate(found.detections.items()):
        frame.plot(d.x, d.y, "os^v"[k % 4], mfc="none", mec=COLOURS.get(name, "w"), ms=11 + 3 * k, label=name)
    frame.legend(loc="lower right", fontsize=8)
    drawn = left.imshow(smoothed(found.frame, found.expected), origin="lower", vmin=-5, vmax=5, cmap="RdBu_r")
    left.set_title("what is left, smoothed by 1.5 bins [standard deviations]")
    figure.colorbar(drawn, ax=left, shrink=0.8)
    side = 4
    n = len(found.frame) // side
    d, m = (v[: n * side, : n * side].reshape(n, side, n, side).sum((1, 3)) for v in (found.frame, found.expected))
    blank.hist(((d - m) / np.sqrt(m)).ravel(), np.linspace(-6, 6, 49), histtype="step", density=True)
    grid = np.linspace(-6, 6, 200)
    blank.plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), "k:", lw=1)
    blank.set(title="residuals of 4 x 4 bins", xlabel="standard deviations", yscale="log", ylim=(1e-4, 1))
    for axis, kind in ((off, "off"), (on, "on")):
        for name in found.detections:
            _curve(axis, found, name, kind)
        axis.set(xscale="log", xlabel="flux [mCrab]", ylabel="completeness", ylim=(-0.02, 1.02))
        fluxes = sorted({float(key.rsplit("_", 1)[1]) for key in found.metrics if f"_completeness_{kind}_" in key})
        _ticks(axis, fluxes)
        axis.set_title(f"injected sources {kind} the Crab's arms")
        if axis.lines:
            axis.legend()
    return _png(figure)


def _ticks(axis, values: list[float]) -> None:  # type: ignore[no-untyped-def]
    axis.set_xticks(values, [f"{value:g}" for value in values])
    axis.set_xticks([], minor=True)


def _curve(axis, found: Found, name: str, kind: str) -> None:  # type: ignore[no-untyped-def]
    begin = f"{name}_completeness_{kind}_"
    names = [key for key in found.metrics if key.startswith(begin)]
    if names:
        flux = np.array([float(key.rsplit("_", 1)[1]) for key in names])
        got = np.array([found.metrics[key] for key in names])
        errors = np.abs(got[:, 1:].T - got[:, 0])
        shift = 1 + 0.02 * list(found.detections).index(name)
        axis.errorbar(flux * shift, got[:, 0], errors, marker="o", capsize=3, label=name, color=COLOURS.get(name))


def transient_picture(told: Told) -> bytes:
    """PNG: counts in circle and annulus, net rate, hardness, spectrum with the fit."""
    from matplotlib.figure import Figure

    curve, fit = told.curve, told.spectrum
    figure = Figure(figsize=(12, 8), layout="constrained")
    (counts, spectrum), (net, hard) = figure.subplots(2, 2)
    middle = (curve.edges[1:] + curve.edges[:-1]) / 2
    counts.stairs(curve.source, curve.edges, label="circle")
    counts.stairs(curve.background * curve.scale, curve.edges, label="annulus, scaled to the circle")
    counts.set(xlabel="time [s]", ylabel="counts a bin")
    counts.legend()
    errors = np.abs(np.stack([curve.low, curve.high]) - curve.rate)
    net.errorbar(middle, curve.rate, errors, fmt=".", capsize=2)
    net.axhline(0, color="k", lw=0.5)
    net.set(xlabel="time [s]", ylabel="net counts/s, 68 %")
    energy, width = (fit.edges[1:] + fit.edges[:-1]) / 2, np.diff(fit.edges)
    # errors of counts: Gehrels 1986, eq. 7 and 12 in their simple forms
    up, down = 1 + np.sqrt(fit.source + 0.75), np.sqrt(np.maximum(fit.source - 0.25, 0))
    spectrum.errorbar(energy, fit.source / width, np.stack([down, up]) / width, fmt=".", capsize=2, label="circle")
    total = fit.model + fit.scale * fit.background
    spectrum.stairs(total / width, fit.edges, color="C3", label="absorbed power law + annulus")
    spectrum.stairs(fit.scale * fit.background / width, fit.edges, color="0.6", label="annulus, scaled")
    spectrum.set(xlabel="energy [keV]", ylabel="counts/keV", xscale="log")
    _ticks(spectrum, [0.5, 1, 2, 4])
    spectrum.legend()
    for k, value in enumerate(told.hardness.values()):
        hard.errorbar([k], value.value, [[value.value - value.low], [value.high - value.value]], fmt="o", capsize=3)
    hard.set_xticks(range(len(told.hardness)), [name.replace("_", " ") for name in told.hardness])
    hard.set(ylabel="(H - S) / (H + S), 68 %", ylim=(-1, 1))
    return _png(figure)
