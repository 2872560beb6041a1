"""The report of the benchmark `ep-wxt-test`."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

import numpy as np

from twin.evaluate.catalogue import Column
from twin.evaluate.report import STYLE
from twin.metrics import Estimate

if TYPE_CHECKING:
    from twin.evaluate.config import XrayFields


def render(
    config: XrayFields,
    metrics: dict[str, Estimate],
    counts: dict[str, int],
    columns: list[Column],
    about: dict[str, str],
) -> str:
    """One self-contained HTML page."""
    text = html.escape
    facts = " &middot; ".join(f"{text(key)}: {text(value)}" for key, value in about.items())
    rows = "".join(
        f"<tr><td>{text(name)}</td><td>{got.value:.4f}</td><td>{got.low:.4f}</td><td>{got.high:.4f}</td></tr>"
        for name, got in metrics.items()
    )
    kept = "".join(f"<tr><td>{text(name)}</td><td>{count}</td></tr>" for name, count in counts.items())
    image = base64.b64encode(picture(config, metrics, columns)).decode()
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(config.title)}</title><style>{STYLE} img {{ max-width: 100%; }}</style></head>\n<body>\n"
        f'<h1>{text(config.title)}</h1><p class="quiet">{facts}</p>'
        f'<img alt="completeness by flux" src="data:image/png;base64,{image}">'
        "<h2>All metrics</h2><p>Value and 95 % interval.</p>"
        f"<table><tr><th>metric</th><th>value</th><th>low</th><th>high</th></tr>{rows}</table>"
        f"<h2>Protocol</h2><p>{text(config.protocol)}</p>"
        f"<table><tr><th>count</th><th>objects</th></tr>{kept}</table>\n</body></html>\n"
    )


def picture(config: XrayFields, metrics: dict[str, Estimate], columns: list[Column]) -> bytes:
    """PNG: completeness by flux, of all fields by telemetry, and beside other detectors."""
    from matplotlib.figure import Figure

    from twin.metrics import binomial_interval

    table = {column.name: column.values for column in columns}
    edges = np.array(config.flux)
    middle = np.sqrt(edges[1:] * edges[:-1])
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    left, *rest = figure.subplots(1, 3, sharey=True)
    for axes in (left, *rest):
        axes.set(xlim=(edges[0], edges[-1]), xscale="log", xlabel="flux [mCrab]", ylim=(0, 1.02))
    near = table["arm_distance"] <= config.arms
    for place, there in (("away from arms", ~near), ("on arms", near)):
        for half, outside in (("telemetry as trained", 0), ("outside", 1)):
            kept = there & (table["outside"] == outside)
            got = []
            for low, high in zip(edges, edges[1:], strict=False):
                hit = table["detected"][kept & (table["mcrab"] >= low) & (table["mcrab"] < high)]
                got.append(
                    binomial_interval(int(hit.sum()), len(hit)) if len(hit) else Estimate(np.nan, np.nan, np.nan)
                )
            value = np.array(got)
            left.errorbar(middle, value[:, 0], np.abs(value[:, 1:].T - value[:, 0]), marker="o", ms=3,
                          label=f"{place}, {half}")  # fmt: skip
    left.set(title="network, all fields", ylabel="completeness")
    for axes, place in zip(rest, ("away", "arms"), strict=True):
        for who in ("network", "likelihood", "wavelet", "sep"):
            names = [f"{who}_{place}_{low:g}-{high:g}_mCrab" for low, high in zip(edges, edges[1:], strict=False)]
            value = np.array([metrics.get(name, Estimate(np.nan, np.nan, np.nan)) for name in names])
            axes.errorbar(middle, value[:, 0], np.abs(value[:, 1:].T - value[:, 0]), marker="o", ms=3, label=who)
        axes.set(title=f"{place}: equal false detections")
    for axes in (left, *rest):
        axes.legend(fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()
