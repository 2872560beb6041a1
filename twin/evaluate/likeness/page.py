"""The report on likeness: AUC, what gives the simulation away, histograms, the most tell-tale frames."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

import numpy as np

from twin.evaluate.plots import BLUE, ORANGE, cutout
from twin.evaluate.report import STYLE

if TYPE_CHECKING:
    from twin.evaluate.likeness.run import Likeness

SHOWN = 12  # statistics drawn, and frames a row
LISTED = 30  # statistics in the table
WORDS = {
    "auc": "the larger of the two",
    "auc_statistics": "boosted trees on summary statistics",
    "auc_network": "convolutional network",
}


def render(found: Likeness, about: dict[str, str]) -> str:
    """One self-contained HTML page."""
    text = html.escape
    facts = " &middot; ".join(f"{text(key)}: {text(value)}" for key, value in about.items())
    rows = "".join(
        f"<tr><td>{text(WORDS[name])}</td><td>{got.value:.3f}</td><td>{got.low:.3f}</td><td>{got.high:.3f}</td></tr>"
        for name, got in found.metrics.items()
    )
    order = tell_tale(found)
    listed = "".join(
        f"<tr><td>{text(found.names[k])}</td><td>{found.drop[k, 0]:.4f}</td><td>{found.drop[k, 1]:.4f}</td>"
        f"<td>{found.alone[k]:.3f}</td>{_medians(found, k)}</tr>"
        for k in order[:LISTED]
    )
    counts = ", ".join(f"{count} {text(name.replace('_', ' '))}" for name, count in found.counts.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>likeness</title><style>{STYLE} img {{ max-width: 100%; }}</style></head>\n<body>\n"
        f'<h1>Can real frames be told from simulated ones?</h1><p class="quiet">{facts}</p>'
        "<p>Area under the ROC curve, cross-validated by object, with the 95 % interval of a bootstrap over objects: "
        f"0.5 = cannot tell, 1 = always. {counts}.</p>"
        f"<table><tr><th>classifier</th><th>AUC</th><th>low</th><th>high</th></tr>{rows}</table>"
        "<h2>What gives the simulation away</h2>"
        "<p>AUC that the boosted trees lose where a statistic is shuffled among held-out objects, its standard error, "
        "and the AUC of that statistic by itself (above 0.5: larger in real frames). Statistics that say the same "
        "share what is lost.</p>"
        "<table><tr><th>statistic</th><th>AUC lost</th><th>&plusmn;</th><th>alone</th><th>median, real</th>"
        f"<th>median, simulated</th></tr>{listed}</table>"
        f'<h2>Distributions</h2><img alt="histograms" src="{_inline(histograms(found, order[:SHOWN]))}">'
        f"{''.join(_rows(found))}\n</body></html>\n"
    )


def tell_tale(found: Likeness) -> np.ndarray:
    """Indices of the statistics, those first without which most AUC is lost."""
    return np.argsort(-found.drop[:, 0], kind="stable")


def _medians(found: Likeness, k: int) -> str:
    middle = [float(np.median(found.values[found.label == value, k])) for value in (1, 0)]
    return "".join(f"<td>{value:.3f}</td>" for value in middle)


def histograms(found: Likeness, chosen: np.ndarray) -> bytes:
    """PNG: densities of statistics, real and simulated, between the 0.5 and 99.5 per cent points of both."""
    from matplotlib.figure import Figure

    columns = 4
    figure = Figure(figsize=(12, 2.3 * -(-len(chosen) // columns)), layout="constrained")
    grid = np.atleast_2d(figure.subplots(-(-len(chosen) // columns), columns)).ravel()
    for axis, k in zip(grid, chosen, strict=False):
        low, high = np.quantile(found.values[:, k], [0.005, 0.995])
        bins = np.linspace(low, high if high > low else low + 1, 26).tolist()
        for value, colour, name in ((1, BLUE, "real"), (0, ORANGE, "simulated")):
            mine = found.values[found.label == value, k]
            axis.hist(mine, bins, density=True, color=colour, alpha=0.55, label=name)
        axis.set_title(found.names[k], fontsize=9)
        axis.set_yticks([])
        axis.tick_params(labelsize=7)
    for axis in grid[len(chosen) :]:
        axis.set_visible(False)
    grid[0].legend(frameon=False, fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


def _rows(found: Likeness) -> list[str]:
    """Frames that give themselves away, and those that pass."""
    score = found.score
    real, made = np.flatnonzero(found.label == 1), np.flatnonzero(found.label == 0)
    kinds = (
        ("Real frames least like simulated ones", real[np.argsort(-score[real], kind="stable")]),
        ("Simulated frames least like real ones", made[np.argsort(score[made], kind="stable")]),
        ("Real frames most like simulated ones", real[np.argsort(score[real], kind="stable")]),
        ("Simulated frames most like real ones", made[np.argsort(-score[made], kind="stable")]),
    )
    out = []
    for title, order in kinds:
        pictures = "".join(
            f'<figure><img src="{_inline(_frame(found, i))}" alt="frame" width="100">'
            f"<figcaption>{html.escape(_name(found, i))}</figcaption></figure>"
            for i in order[:SHOWN]
        )
        out.append(f'<h2>{title}</h2><div class="row">{pictures}</div>')
    return out


def _frame(found: Likeness, i: int) -> bytes:
    n = len(found.real)
    pixels = found.real.pixels[i] if i < n else found.simulated.pixels[i - n]
    return cutout(pixels, np.ones(len(pixels)), zoom=2)


def _name(found: Likeness, i: int) -> str:
    n = len(found.real)
    return str(found.real.name[i] if i < n else found.simulated.name[i - n])


def _inline(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
