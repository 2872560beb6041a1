"""Contact sheets: frames of each class side by side, simulated above real ones, in one stretch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from twin.data.inspect_spectra import spectra_sheet
from twin.data.load import Dataset, open_dataset
from twin.io.atomic import atomic_path, check_target
from twin.io.layout import FRAME_ARRAYS, decode
from twin.schema import UserError

BLACK = -1.5  # value in units of rms that is black: below the sky, so that the noise can be compared too
WHITE = 120.0  # mean value over the bands, in units of rms above BLACK, that is white
SOFT = 24.0  # asinh softening; larger = faint light stronger
UNSEEN = (40, 40, 70)  # colour of pixels without a value
MARGIN, LABEL, TITLE = 4, 150, 24  # pixels
LARGEST = 480  # picture pixels a side of the largest frame: larger ones make all of them smaller


def counts(dataset: Dataset, indices: np.ndarray) -> np.ndarray:
    """Frames in counts, float32 (n, band, y, x), NaN where there is no value."""
    values, valid = decode({name: dataset.read(name, indices) for name in FRAME_ARRAYS if name in dataset})
    return np.where(valid, values, np.float32(np.nan))


def colour(values: np.ndarray, rms: np.ndarray, bands: Sequence[str]) -> np.ndarray:
    """Colour pictures, uint8 (n, y, x, 3), of frames (n, band, y, x) in counts with their sky rms (n, band).

    Each band is divided by its own rms and BLACK subtracted; red, green and blue are i, r, g where there are such
    bands, else the last, the middle and the first. With I the mean of the three, each is multiplied by
    asinh(SOFT I / WHITE) / asinh(SOFT) / I: the stretch changes the brightness, not the colour (Lupton et al. 2004,
    PASP 116, 133). The same numbers for all frames, so that simulated and real ones can be compared by eye. A band that
    is absent (all NaN) is filled with the mean of the others.
    """
    bands = list(bands)
    chosen = [bands.index(b) for b in "irg"] if {"g", "r", "i"} <= set(bands) else [-1, len(bands) // 2, 0]
    level = rms[:, :, None, None]
    ratio = np.divide(values, level, out=np.full(values.shape, np.nan, np.float32), where=level > 0)[:, chosen] - BLACK
    empty = np.isnan(ratio)
    seen = ~empty.all(axis=1, keepdims=True)
    mean = np.where(empty, 0, ratio).sum(axis=1, keepdims=True) / np.maximum((~empty).sum(axis=1, keepdims=True), 1)
    ratio = np.where(empty, mean, ratio)
    bright = np.maximum(mean, 1e-3) / WHITE
    mapped = np.maximum(ratio, 0) / WHITE * np.arcsinh(SOFT * bright) / np.arcsinh(SOFT) / bright
    mapped /= np.maximum(mapped.max(axis=1, keepdims=True), 1)  # too bright: keep the colour
    pictures = np.where(seen, mapped * 255, np.array(UNSEEN)[:, None, None])
    return np.moveaxis(pictures, 1, -1).round().astype(np.uint8)


def rows_of(dataset: Dataset, per_class: int, seed: int) -> list[tuple[str, np.ndarray]]:
    """(class name, sample indices) of each class that occurs, the samples chosen at random by `seed`."""
    samples = np.concatenate([np.arange(s.start, s.stop) for s in dataset.shards])
    rng = np.random.default_rng(seed)
    if "label/class" not in dataset:
        return [("all", np.sort(rng.permutation(samples)[:per_class]))]
    label = dataset.read("label/class", samples)
    names = dataset.attrs.get("classes") or []
    rows = []
    for value in np.unique(label):
        name = names[value] if value < len(names) else f"class {value}"
        rows.append((str(name), rng.permutation(samples[label == value])[:per_class]))
    return rows


def contact_sheet(
    path: str | Path,
    out_png: str | Path,
    beside: str | Path | None = None,
    per_class: int = 8,
    seed: int = 0,
    zoom: int = 2,
) -> None:
    """Write a PNG with one row a class: its name, `per_class` frames in colour (see `colour`), a scale bar.

    beside  a second dataset, real frames say, drawn below in the same stretch and at the same scale on the sky
    zoom    picture pixels a frame pixel of the first dataset, fewer where a frame would be larger than LARGEST

    Pixels are drawn upright: y up. Spectra are drawn as `spectra_sheet` says. Raises UserError for another ending, for
    what is no dataset, has neither images nor spectra, or has the one where the other dataset has the other.
    """
    from PIL import Image

    check_target(out_png)
    if Path(out_png).suffix.lower() != ".png":
        raise UserError("a contact sheet is a PNG: choose a name that ends in .png", file=out_png)
    first = open_dataset(path, unfinished=True)
    datasets = [first] + ([open_dataset(beside, unfinished=True)] if beside is not None else [])
    axes = len(first.shape("frame"))
    for dataset in datasets:
        if len(dataset.shape("frame")) != axes or axes not in (1, 3):
            kind = {1: "spectra", 3: "images"}.get(axes, "images or spectra")
            raise UserError(f"has no {kind} to draw", file=dataset.path, key="frame")
    if axes == 1:
        spectra_sheet([(dataset, rows_of(dataset, per_class, seed)) for dataset in datasets], out_png)
        return
    largest = max(max(one.shape("frame")[1:]) * _scale(one) / _scale(first) for one in datasets)
    size = min(zoom, LARGEST / largest)
    blocks = []
    for dataset in datasets:
        title = f"{dataset.path.name}: {dataset.attrs.get('kind', '')} frames, n = {dataset.n}"
        factor = size * _scale(dataset) / _scale(first)
        rows = [(name, _pictures(dataset, ids, factor)) for name, ids in rows_of(dataset, per_class, seed)]
        blocks.append((title, rows, factor / _scale(dataset)))
    sheet = _compose(blocks)
    with atomic_path(out_png) as part, open(part, "xb") as file:
        Image.fromarray(sheet).save(file, format="PNG", optimize=True)


def _scale(dataset: Dataset) -> float:
    """Arcsec a pixel; 1 where the dataset does not say."""
    return float(dataset.attrs.get("pixel_scale") or 1.0)


def _pictures(dataset: Dataset, ids: np.ndarray, factor: float) -> list[np.ndarray]:
    from PIL import Image

    if "noise/rms" in dataset:
        rms = dataset.read("noise/rms", ids)
    else:
        rms = np.ones((len(ids), dataset.shape("frame")[0]), np.float32)
    bands = list(dataset.attrs.get("bands") or [str(i) for i in range(rms.shape[1])])
    values = counts(dataset, ids)
    if dataset.attrs.get("stretched"):  # 8-bit pictures are shown as they are
        pictures = np.moveaxis(np.nan_to_num(values, nan=UNSEEN[0])[:, [-1, len(bands) // 2, 0]], 1, -1).astype(
            np.uint8
        )
    else:
        pictures = colour(values, rms, bands)
    seen = np.isfinite(values).any(axis=1)
    drawn = []
    for picture, own, where in zip(pictures, _relative_scales(dataset, ids), seen, strict=True):
        picture = picture[_held(where)][::-1]
        size = [max(1, round(side * factor * own)) for side in picture.shape[1::-1]]
        drawn.append(np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.NEAREST)))
    return drawn


def _held(seen: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns about the pixels that have a value: what is around them is padding."""
    if not seen.any():
        return slice(None), slice(None)
    rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _relative_scales(dataset: Dataset, ids: np.ndarray) -> np.ndarray:
    """(n,) arcsec a pixel of each frame over the dataset's; 1 but where frames of several scales are mixed."""
    table = dataset.catalogue() if dataset.attrs.get("mixed_scales") else None
    if table is None or "scale_arcsec" not in table.column_names:
        return np.ones(len(ids))
    return np.array(table.column("scale_arcsec").to_pylist(), float)[ids] / _scale(dataset)


def _compose(blocks: Sequence[tuple[str, Sequence[tuple[str, Sequence[np.ndarray]]], float]]) -> np.ndarray:
    """Titles, names and pictures on one canvas, each block with a bar of a whole number of arcseconds."""
    from PIL import Image, ImageDraw, ImageFont

    rows = [row for _, group, _ in blocks for row in group]
    wide = max(sum(p.shape[1] + MARGIN for p in pictures) for _, pictures in rows)
    high = sum(max(p.shape[0] for p in pictures) + MARGIN for _, pictures in rows) + len(blocks) * TITLE
    canvas = Image.new("RGB", (LABEL + wide + MARGIN, high + MARGIN), "black")
    draw = ImageDraw.Draw(canvas)
    large, small = ImageFont.load_default(14), ImageFont.load_default(12)
    y = MARGIN
    for title, group, pixels_per_arcsec in blocks:
        draw.text((MARGIN, y), title, fill="white", font=large)
        y += TITLE
        for number, (name, pictures) in enumerate(group):
            draw.text((MARGIN, y + 4), name.replace("_", " "), fill="white", font=small)
            x = LABEL
            for picture in pictures:
                canvas.paste(Image.fromarray(picture), (x, y))
                x += picture.shape[1] + MARGIN
            tall = max(p.shape[0] for p in pictures)
            if number == 0:
                length = max(1, round(0.25 * pictures[0].shape[1] / pixels_per_arcsec))
                bar = (LABEL + 6, y + tall - 8, LABEL + 6 + length * pixels_per_arcsec, y + tall - 6)
                draw.rectangle(bar, fill="white")
                draw.text((LABEL + 6, y + tall - 24), f'{length}"', fill="white", font=small)
            y += tall + MARGIN
    return np.asarray(canvas)
