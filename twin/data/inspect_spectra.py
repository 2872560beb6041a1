"""Sheets of spectra: some of each class, simulated above real ones, on one scale of wavelengths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twin.data.load import Dataset
from twin.io.atomic import atomic_path
from twin.schema import UserError

Rows = Sequence[tuple[str, np.ndarray]]
PANEL = (2.2, 1.3)  # inches
LOW, HIGH = 0.5, 99.5  # percentiles of a spectrum that its panel shows, with a margin: single wild pixels fall out


def wavelengths(dataset: Dataset) -> np.ndarray:
    """(pixel,) angstrom in vacuum; pixel numbers where the dataset does not tell."""
    try:
        return dataset.axis("wavelength")
    except UserError:
        return np.arange(dataset.shape("frame")[0], dtype=np.float64)


def spectra_sheet(blocks: Sequence[tuple[Dataset, Rows]], out_png: str | Path) -> None:
    """Write a PNG with a row of panels a class, a block a dataset.

    A panel shows flux over its median as a black line, what the mask flags as red dots on it, and nothing where `valid`
    is 0. Axes of wavelength are common to all panels of a block.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = [(dataset, name, ids, first) for dataset, rows in blocks for first, (name, ids) in _counted(rows)]
    columns = max(len(ids) for _, _, ids, _ in lines)
    figure = Figure((PANEL[0] * columns + 1.4, PANEL[1] * len(lines) + 0.6), layout="constrained")
    axes = figure.subplots(len(lines), columns, squeeze=False)
    for row, (dataset, name, ids, first) in zip(axes, lines, strict=True):
        wave, flux, valid, mask = wavelengths(dataset), *_read(dataset, ids)
        for panel, number in zip(row, range(columns), strict=True):
            if number >= len(ids):
                panel.set_axis_off()
                continue
            _draw(panel, wave, flux[number], valid[number], mask[number])
        row[0].set_ylabel(name, fontsize=7)
        if first:
            title = f"{dataset.path.name}: {dataset.attrs.get('kind', '')} spectra, n = {dataset.n}; flux / median, A"
            row[0].set_title(title, loc="left", fontsize=8)
    with atomic_path(out_png) as part, open(part, "xb") as file:
        FigureCanvasAgg(figure).print_png(file)


def _counted(rows: Rows) -> list[tuple[bool, tuple[str, np.ndarray]]]:
    return [(k == 0, row) for k, row in enumerate(rows)]


def _read(dataset: Dataset, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flux, whether it is valid, whether it is flagged; each (n, pixel)."""
    flux = dataset.read("frame", ids).astype(np.float64)
    valid = dataset.read("valid", ids) == 1 if "valid" in dataset else np.isfinite(flux)
    mask = dataset.read("mask", ids) != 0 if "mask" in dataset else np.zeros(flux.shape, bool)
    return flux, valid & np.isfinite(flux), mask


def _draw(panel: Any, wave: np.ndarray, flux: np.ndarray, valid: np.ndarray, mask: np.ndarray) -> None:
    panel.tick_params(labelsize=5, length=2)
    panel.set_xlim(wave[0], wave[-1])
    if not valid.any():
        return
    level = float(np.median(flux[valid]))
    values = np.where(valid, flux / level if level > 0 else flux, np.nan)
    panel.plot(wave, values, color="black", linewidth=0.5)
    panel.plot(wave[mask & valid], values[mask & valid], ".", color="tab:red", markersize=1)
    shown = values[valid] if len(wave) <= 400 else np.percentile(values[valid], (LOW, HIGH))
    low, high = float(shown.min()), float(shown.max())
    margin = 0.08 * (high - low) or 1.0
    panel.set_ylim(low - margin, high + margin)
