"""The report and the table of the benchmark `decam-seeing`."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

import numpy as np

from twin.evaluate.catalogue import Column
from twin.evaluate.plots import BLUE, GREY, ORANGE
from twin.evaluate.report import STYLE

if TYPE_CHECKING:
    from twin.evaluate.decam_seeing import Found

NIGHTS = 3  # shown one by one: those with the most exposures


def seeing_columns(found: Found) -> list[Column]:
    """One row an exposure and class: what was measured and what was forecast."""
    e = found.exposures

    def joined(part: str) -> np.ndarray:
        return np.concatenate([getattr(e, part)[one.row] for one in found.classes])

    low, high = (
        np.concatenate(ends) for ends in zip(*(one.forecast.interval(0.68) for one in found.classes), strict=True)
    )
    middle = np.concatenate([one.forecast.quantile(0.5) for one in found.classes])
    pit = np.concatenate([one.forecast.cdf(e.fwhm[one.row]) for one in found.classes])
    age = np.concatenate([(e.mjd[one.row] - e.mjd[one.last]) * 1440 for one in found.classes])
    name = np.concatenate([np.full(len(one.row), one.name) for one in found.classes])
    persistence = np.concatenate([one.persistence for one in found.classes])
    fwhm = "phys.angSize;instr.det.psf"
    return [
        Column("exposure", joined("name"), "", "meta.id;obs", "exposure"),
        Column("class", name, "", "meta.code.class", "what was hidden: see the protocol"),
        Column("mjd", joined("mjd"), "d", "time.start", "begin of the exposure, modified Julian date"),
        Column("band", joined("band"), "", "meta.id;instr.filter", "filter"),
        Column("airmass", joined("airmass"), "", "obs.airMass", "airmass"),
        Column("age", age, "min", "time.interval", "since the begin of the last exposure seen"),
        Column("fwhm", joined("fwhm"), "arcsec", fwhm, "measured"),
        Column("forecast", middle, "arcsec", fwhm, "median of the forecast"),
        Column("forecast_low", low, "arcsec", "stat.confidenceLevel;stat.min", "16 % quantile of the forecast"),
        Column("forecast_high", high, "arcsec", "stat.confidenceLevel;stat.max", "84 % quantile of the forecast"),
        Column("persistence", persistence, "arcsec", fwhm, "last FWHM seen, scaled"),
        Column("pit", pit, "", "stat.probability", "forecast probability of an FWHM below the measured one"),
    ]


def render(title: str, protocol: str, found: Found, about: dict[str, str]) -> str:
    """One self-contained HTML page."""
    text = html.escape
    facts = " &middot; ".join(f"{text(key)}: {text(value)}" for key, value in about.items())
    rows = "".join(
        f"<tr><td>{text(name)}</td><td>{got.value:.4f}</td><td>{got.low:.4f}</td><td>{got.high:.4f}</td></tr>"
        for name, got in found.metrics.items()
    )
    kept = "".join(f"<tr><td>{text(name)}</td><td>{count}</td></tr>" for name, count in found.counts.items())
    image = base64.b64encode(picture(found)).decode()
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE} img {{ max-width: 100%; }}</style></head>\n<body>\n"
        f'<h1>{text(title)}</h1><p class="quiet">{facts}</p>'
        f"<ul>{''.join(f'<li>{text(note)}</li>' for note in found.notes)}</ul>"
        f'<img alt="forecasts and their coverage" src="data:image/png;base64,{image}">'
        "<h2>All metrics</h2><p>Value and 95 % interval (bootstrap over nights). Ratios: forecast over persistence.</p>"
        f"<table><tr><th>metric</th><th>value</th><th>low</th><th>high</th></tr>{rows}</table>"
        f"<h2>Protocol</h2><p>{text(protocol)}</p>"
        f"<table><tr><th>count</th><th>objects</th></tr>{kept}</table>\n</body></html>\n"
    )


def picture(found: Found) -> bytes:
    """PNG: error by what was hidden, coverage of each class, and three nights with what was forecast of them."""
    from matplotlib.figure import Figure

    e = found.exposures
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    axes = figure.subplots(2, 3)
    size = np.arange(len(found.classes))
    for shift, key, colour, word in ((-0.2, "median_error_persistence", ORANGE, "persistence"),
                                     (0.2, "median_error", BLUE, "forecast")):  # fmt: skip
        got = [found.metrics[f"{one.name}_{key}"] for one in found.classes]
        value = np.array([x.value for x in got])
        error = np.clip([value - [x.low for x in got], [x.high for x in got] - value], 0, None)
        axes[0, 0].bar(size + shift, value, 0.38, yerr=error, color=colour, label=word)
    axes[0, 0].set(xticks=size, xticklabels=[one.name for one in found.classes], ylabel="median |error| [arcsec]")
    axes[0, 0].legend(frameon=False)
    levels = np.linspace(0.02, 0.98, 49)
    pits = [one.forecast.cdf(e.fwhm[one.row]) for one in found.classes]
    for one, pit, style in zip(found.classes, pits, ("-", "--", ":"), strict=True):
        axes[0, 1].plot(levels, [(np.abs(pit - 0.5) <= c / 2).mean() - c for c in levels], style, label=one.name)
        axes[0, 2].hist(pit, np.linspace(0, 1, 21).tolist(), histtype="step", density=True, ls=style, label=one.name)
    axes[0, 1].axhline(0, color=GREY, lw=0.8)
    axes[0, 1].set(xlabel="nominal coverage", ylabel="measured less nominal coverage", ylim=(-0.1, 0.1))
    axes[0, 1].legend(frameon=False)
    axes[0, 2].axhline(1, color=GREY, lw=0.8)
    axes[0, 2].set(xlabel="PIT", ylabel="density")
    nights, count = np.unique(e.night[found.classes[0].row], return_counts=True)
    for axis, night in zip(axes[1], nights[np.argsort(-count, kind="stable")][:NIGHTS], strict=False):
        one = found.classes[0]
        index = np.flatnonzero(e.night[one.row] == night)
        hours = (e.mjd[one.row[index]] - night) * 24
        low, high = one.forecast.take(index).interval(0.68)
        axis.fill_between(hours, low, high, color=BLUE, alpha=0.3, lw=0, label="68 % interval, one ahead")
        axis.plot(hours, e.fwhm[one.row[index]], ".", color="k", ms=3, label="measured")
        axis.set(xlabel=f"hours since MJD {night}", ylabel="FWHM [arcsec]", title=f"night {night}")
    axes[1, 0].legend(frameon=False, fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()
