"""The report of the benchmark `ep-wxt44`."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

import numpy as np

from twin.evaluate.report import STYLE
from twin.observatory.lobster_calibrate.run import smoothed

if TYPE_CHECKING:
    from twin.evaluate.xray.wxt44 import Found


def render(title: str, protocol: str, found: Found, about: dict[str, str]) -> str:
    """One self-contained HTML page."""
    text = html.escape
    facts = " &middot; ".join(f"{text(key)}: {text(value)}" for key, value in about.items())
    rows = "".join(
        f"<tr><td>{text(name)}</td><td>{got.value:.4g}</td><td>{got.low:.4g}</td><td>{got.high:.4g}</td></tr>"
        for name, got in found.metrics.items()
    )
    image = base64.b64encode(picture(found)).decode()
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE} img {{ max-width: 100%; }}</style></head>\n<body>\n"
        f'<h1>{text(title)}</h1><p class="quiet">{facts}</p>'
        f"<ul>{''.join(f'<li>{text(note)}</li>' for note in found.notes)}</ul>"
        f'<img alt="frame, model, residual, completeness" src="data:image/png;base64,{image}">'
        "<h2>All metrics</h2><p>Value and 95 % interval.</p>"
        f"<table><tr><th>metric</th><th>value</th><th>low</th><th>high</th></tr>{rows}</table>"
        f"<h2>Protocol</h2><p>{text(protocol)}</p>\n</body></html>\n"
    )


def picture(found: Found) -> bytes:
    """PNG: the frame with what was found, what is expected of it, what is left, and completeness by flux."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 11), layout="constrained")
    frame, model, left, curve = figure.subplots(2, 2).ravel()
    for axis, data, name in ((frame, found.frame, "frame"), (model, found.expected, "found sources and background")):
        axis.imshow(np.log10(data + 0.1), origin="lower", vmin=-1, vmax=3)
        axis.set_title(f"{name}, log10 counts a bin")
    frame.plot(found.detections.x, found.detections.y, "o", mfc="none", mec="w", ms=14)
    drawn = left.imshow(smoothed(found.frame, found.expected), origin="lower", vmin=-5, vmax=5, cmap="RdBu_r")
    left.set_title("what is left, smoothed by 1.5 bins [standard deviations]")
    figure.colorbar(drawn, ax=left, shrink=0.8)
    for kind in ("off", "on"):
        names = [name for name in found.metrics if name.startswith(f"completeness_{kind}_")]
        if names:
            flux = [float(name.rsplit("_", 1)[1]) for name in names]
            got = np.array([found.metrics[name] for name in names])
            errors = np.abs(got[:, 1:].T - got[:, 0])
            curve.errorbar(flux, got[:, 0], errors, marker="o", capsize=3, label=f"{kind} the arms")
    curve.set(xscale="log", xlabel="flux [mCrab]", ylabel="completeness", ylim=(-0.02, 1.02))
    curve.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()
