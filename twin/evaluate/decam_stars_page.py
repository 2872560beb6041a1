"""The report and the table of the benchmark `decam-stars`."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from twin.evaluate.catalogue import Column
from twin.evaluate.report import STYLE
from twin.metrics import Estimate

if TYPE_CHECKING:
    from twin.evaluate.decam_stars import Exposure

LIMITS = {"e1": 0.005, "e2": 0.005, "size": 0.016}  # asked for: drawn as lines


def star_columns(exposures: Sequence[Exposure]) -> list[Column]:
    """One row a star: where it is, its fold, its measured shape and what the twin left of it."""

    def joined(part: str) -> np.ndarray:
        return np.concatenate([getattr(one.stars, part) for one in exposures])

    shape, left = joined("shape"), np.concatenate([one.residual for one in exposures])
    names = np.concatenate([np.full(len(one.stars), one.stars.name) for one in exposures])
    out = [
        Column("exposure", names, "", "meta.id;obs", "exposure"),
        Column("x", joined("x"), "pix", "pos.cartesian.x;instr.det", "windowed position"),
        Column("y", joined("y"), "pix", "pos.cartesian.y;instr.det", "windowed position"),
        Column("snr", joined("snr"), "", "stat.snr", "FLUX_AUTO / FLUXERR_AUTO"),
        Column("fold", np.concatenate([one.fold for one in exposures]), "", "meta.code", "fold by position"),
    ]
    for k, name in enumerate(("e1", "e2", "size")):
        value = np.exp(shape[:, k]) if name == "size" else shape[:, k]
        unit, ucd = ("pix", "phys.angSize") if name == "size" else ("", "src.ellipticity")
        out.append(Column(name, value, unit, ucd, "measured, of windowed second moments"))
        words = "measured over predicted, minus 1" if name == "size" else "measured minus predicted"
        out.append(Column(f"{name}_left", left[:, k], "", "arith.diff", f"{words}, star held out"))
    return out


def render(title: str, protocol: str, exposures: Sequence[Exposure], metrics: dict[str, Estimate],
           counts: dict[str, int], notes: Sequence[str], about: dict[str, str]) -> str:  # fmt: skip
    """One self-contained HTML page."""
    text = html.escape
    facts = " &middot; ".join(f"{text(key)}: {text(value)}" for key, value in about.items())
    rows = "".join(
        f"<tr><td>{text(name)}</td><td>{got.value:.5f}</td><td>{got.low:.5f}</td><td>{got.high:.5f}</td></tr>"
        for name, got in metrics.items()
    )
    kept = "".join(f"<tr><td>{text(name)}</td><td>{count}</td></tr>" for name, count in counts.items())
    image = base64.b64encode(picture(exposures)).decode()
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE} img {{ max-width: 100%; }}</style></head>\n<body>\n"
        f'<h1>{text(title)}</h1><p class="quiet">{facts}</p>'
        f"<ul>{''.join(f'<li>{text(note)}</li>' for note in notes)}</ul>"
        f'<img alt="residuals of held-out stars" src="data:image/png;base64,{image}">'
        "<h2>All metrics</h2><p>Value and 95 % interval.</p>"
        f"<table><tr><th>metric</th><th>value</th><th>low</th><th>high</th></tr>{rows}</table>"
        f"<h2>Protocol</h2><p>{text(protocol)}</p>"
        f"<table><tr><th>count</th><th>objects</th></tr>{kept}</table>\n</body></html>\n"
    )


def picture(exposures: Sequence[Exposure]) -> bytes:
    """PNG: for each exposure what was left of e1, e2 and size, against S/N and over the field."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.4 * len(exposures)), layout="constrained")
    grid = np.atleast_2d(figure.subplots(len(exposures), 4))
    for axes, one in zip(grid, exposures, strict=True):
        for k, name in enumerate(("e1", "e2", "size")):
            left = one.residual[:, k]
            axes[k].semilogx(one.stars.snr, left, "o", ms=3, color="#3b82c4")
            for sign in (-1, 1):
                axes[k].axhline(sign * LIMITS[name], color="#d9822b", lw=0.8)
            axes[k].set(xlabel="S/N", title=f"{name} left, rms {np.sqrt((left**2).mean()):.4f}")
        axes[0].set_ylabel(one.stars.name, fontsize=8)
        size = np.hypot(one.residual[:, 0], one.residual[:, 1])
        angle = 0.5 * np.arctan2(one.residual[:, 1], one.residual[:, 0])
        axes[3].quiver(one.stars.x, one.stars.y, size * np.cos(angle), size * np.sin(angle), one.fold, cmap="tab10",
                       headwidth=0, headlength=0, headaxislength=0, pivot="mid", scale=0.15, width=0.008)  # fmt: skip
        axes[3].set(aspect="equal", title="ellipticity left; colour: fold")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()
