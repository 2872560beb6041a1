"""One self-contained HTML page about one model and one benchmark: no script, no network, light or dark."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable

import numpy as np

from twin.evaluate import plots
from twin.evaluate.result import Result
from twin.evaluate.scores import recalibrated, relative_error

SHOWN = 8  # cutouts of each kind

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p, li { max-width: 48rem; } .quiet { opacity: .7; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; } figcaption { font-size: .8rem; line-height: 1.3; max-width: 160px; opacity: .85; }
.plot figcaption { max-width: 26rem; } .plot img { max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .15rem .8rem; border-bottom: 1px solid #8885; }
th:first-child, td:first-child { text-align: left; font-family: ui-monospace, monospace; font-size: .85rem; }
"""


def render(result: Result, about: dict[str, str]) -> str:
    """The page. `about` gives short facts for the head (model, dataset, version)."""
    text = html.escape
    facts = " &middot; ".join(f"{text(key)}: {text(value)}" for key, value in about.items())
    parts = [
        f"<h1>{text(result.title)}</h1>",
        f'<p class="quiet">benchmark {text(result.benchmark)} &middot; {facts}</p>',
        _headline(result),
        "<h2>Separation, coverage, reliability</h2>",
        f'<div class="row">{"".join(_diagrams(result))}</div>',
        *_cutouts(result),
        "<h2>All metrics</h2>",
        "<p>Value and 95 % interval. <code>_recalibrated</code>: out of fold; <code>_set_aside</code>: without the "
        "entries listed below; <code>_tune</code>, <code>_held</code>: the two fixed halves of the objects.</p>",
        _metrics_table(result),
        "<h2>Protocol</h2>",
        f"<p>{text(result.protocol)}</p>",
        f"<ul>{''.join(f'<li>{text(note)}</li>' for note in result.notes)}</ul>",
        _counts_table(result),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(result.benchmark)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _headline(result: Result) -> str:
    """The few numbers that a reader looks for first, as sentences."""
    lines = []
    found = result.metrics
    error = found.get("sep_median_rel_error")
    if error is not None:
        line = f"Median relative error of separation: <b>{error.value:.3f}</b> [{error.low:.3f}, {error.high:.3f}]"
        if "sep_median_rel_error_two_star" in found:
            line += (
                f"; a two-star fit to the same frames {found['sep_median_rel_error_two_star'].value:.3f}, the catalogue"
                f" median {found['sep_median_rel_error_catalogue_median'].value:.3f}"
            )
        lines.append(line + ".")
        for level in (68, 95):
            found_words = []
            for suffix, name in (("", "as predicted"), ("_recalibrated", "recalibrated out of fold")):
                got = found.get(f"sep_cover{level}{suffix}")
                if got is not None:
                    holds = "holds" if got.low <= level / 100 <= got.high else "does not hold"
                    found_words.append(f"{name} <b>{got.value:.3f}</b> [{got.low:.3f}, {got.high:.3f}] ({holds})")
            lines.append(f"Coverage of the {level} % interval: {'; '.join(found_words)}.")
    for name, words in (("auc_matched", "AUC at equal brightness"), ("lens_auc", "AUC, lens or not")):
        if name in found:
            got = found[name]
            line = f"{words}: <b>{got.value:.3f}</b> [{got.low:.3f}, {got.high:.3f}]"
            if "auc_magnitude_only" in found and name == "auc_matched":
                line += (
                    f"; magnitude alone {found['auc_magnitude_only'].value:.3f}, concentration alone"
                    f" {found['auc_concentration_only'].value:.3f}"
                )
            lines.append(line + ".")
    return f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"


def _diagrams(result: Result) -> Iterable[str]:
    index, truth = result.separation_index, result.separation_truth
    if len(index):
        part = result.prediction.take(index)
        low, high = part.interval(0.68)
        yield _plot(
            plots.separation(truth, low, part.separation_quantile(0.5), high, result.separation_aside),
            "Separation: predicted median and 68 % interval against the truth.",
        )
        pits = {"as predicted": part.pit(truth)}
        if len(index) >= 20:
            pits["recalibrated out of fold"] = recalibrated(part, truth, result.names[index]).pit(truth)
        yield _plot(
            plots.coverage(pits), "Coverage of central intervals; bands: 95 % interval of the measured fraction."
        )
    if len(result.lens_index):
        prob = result.prediction.lens_mean()[result.lens_index]
        yield _plot(
            plots.reliability(prob, result.lens_label),
            "Reliability of the lens probability in bins of equally many objects, over its histogram. The share of "
            "lenses here is the benchmark's, not the sky's and not the training set's.",
        )


def _cutouts(result: Result) -> Iterable[str]:
    """Best, worst and most uncertain separations; lenses missed and others taken for lenses."""
    index, truth = result.separation_index, result.separation_truth
    if len(index):
        part = result.prediction.take(index)
        middle = part.separation_quantile(0.5)
        error = relative_error(middle, truth)
        low, high = part.interval(0.68)
        width = np.log(high / low)
        for title, order in (
            ("Best separations", np.argsort(error)),
            ("Worst separations", np.argsort(-error)),
            ("Most uncertain separations", np.argsort(-width)),
        ):
            captions = [
                f"{html.escape(str(result.names[index[i]]))}<br>true {truth[i]:.2f}&Prime;, found {middle[i]:.2f}"
                f"&Prime; [{low[i]:.2f}, {high[i]:.2f}]{' (set aside)' if result.separation_aside[i] else ''}"
                for i in order[:SHOWN]
            ]
            yield _gallery(title, result, index[order[:SHOWN]], captions)
    if len(result.lens_index):
        prob = result.prediction.lens_mean()[result.lens_index]
        label = result.lens_label
        for title, chosen, sign in (
            ("Lenses given the lowest probability", label == 1, 1),
            ("Others given the highest probability", label == 0, -1),
        ):
            rows = np.flatnonzero(chosen)
            rows = rows[np.argsort(sign * prob[rows])][:SHOWN]
            captions = [
                f"{html.escape(str(result.names[result.lens_index[i]]))}<br>P(lens) = {prob[i]:.3f}" for i in rows
            ]
            yield _gallery(title, result, result.lens_index[rows], captions)


def _gallery(title: str, result: Result, index: np.ndarray, captions: list[str]) -> str:
    figures = [
        f'<figure><img src="{_inline(plots.cutout(result.crops[i], result.rms[i]))}" alt="cutout" width="160">'
        f"<figcaption>{caption}</figcaption></figure>"
        for i, caption in zip(index, captions, strict=True)
    ]
    return f'<h2>{html.escape(title)}</h2><div class="row">{"".join(figures)}</div>'


def _plot(png: bytes, caption: str) -> str:
    return (
        f'<figure class="plot"><img src="{_inline(png)}" alt="{html.escape(caption)}" width="400">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _inline(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _metrics_table(result: Result) -> str:
    rows = [
        f"<tr><td>{html.escape(name)}</td><td>{got.value:.4f}</td><td>{got.low:.4f}</td><td>{got.high:.4f}</td></tr>"
        for name, got in result.metrics.items()
    ]
    return f"<table><tr><th>metric</th><th>value</th><th>low</th><th>high</th></tr>{''.join(rows)}</table>"


def _counts_table(result: Result) -> str:
    rows = [f"<tr><td>{html.escape(name)}</td><td>{count}</td></tr>" for name, count in result.counts.items()]
    return f"<table><tr><th>count</th><th>objects</th></tr>{''.join(rows)}</table>"
