"""Real and simulated frames on the same footing: the same bands, size and middle, less sky, in units of their noise."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from twin.data import Dataset
from twin.data.inspect import counts
from twin.evaluate.matching import greedy_pairs
from twin.evaluate.scores import HALVES, halves
from twin.schema import UserError, suggest

CLIP, ROUNDS = 3.0, 6  # sigma clipping of the border
EDGE = 0.35  # the border begins at this share of the frame's side from its middle
SAME_SCALE = 0.01  # relative difference of pixel scales that counts as none
FEWEST = 10  # objects a side below which there is nothing to cross-validate


@dataclass(frozen=True)
class Frames:
    """Objects of one dataset; every field has the same leading axis.

    pixels  (n, band, y, x) float32, sky-subtracted, in units of the rms measured in the border
    sky     (n, band) median of the border before it was subtracted, in units of that rms
    rms     (n, band) that rms, in the dataset's counts
    group   (n,) what must stay together: the field of a real object, the object of a simulated one
    name    (n,) what to call it
    """

    pixels: np.ndarray
    sky: np.ndarray
    rms: np.ndarray
    group: np.ndarray
    name: np.ndarray

    def take(self, index: np.ndarray) -> Frames:
        """The chosen objects."""
        return Frames(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def __len__(self) -> int:
        return len(self.name)


def common_bands(real: Dataset, simulated: Dataset) -> tuple[str, ...]:
    """Bands of both, as the real dataset calls them (capitals or not).

    Raises UserError where there is none, pixels differ in size, or frames are no linear images of one scale.
    """
    scales = [float(data.attrs.get("pixel_scale") or 0) for data in (real, simulated)]
    if abs(scales[0] - scales[1]) > SAME_SCALE * max(scales):
        raise UserError(
            f"has pixels of {scales[1]:g} arcsec, {real.path.name} of {scales[0]:g}: simulate at the same scale",
            file=simulated.path, key="pixel_scale",
        )  # fmt: skip
    for data in (real, simulated):
        if data.attrs.get("mixed_scales"):
            raise UserError("holds frames of several pixel scales", file=data.path, key="mixed_scales")
        if len(data.shape("frame")) != 3:
            raise UserError("has no two-dimensional frames", file=data.path, key="frame")
        if data.attrs.get("stretched"):
            raise UserError("holds stretched pictures, no linear flux: likeness of noise and PSF means nothing there",
                            file=data.path, key="stretched")  # fmt: skip
    there = simulated.attrs.get("bands", ())
    known = {band.lower() for band in there}
    bands = tuple(band for band in real.attrs.get("bands", ()) if band.lower() in known)
    if not bands:
        mine = " ".join(real.attrs.get("bands", ()))
        raise UserError(
            f"has the bands {' '.join(there)}, {real.path.name} has {mine}", file=simulated.path, key="bands"
        )
    return bands


def read(
    dataset: Dataset, bands: tuple[str, ...], size: int, classes: tuple[str, ...] = (), half: str | None = None,
    most: int | None = None, seed: int = 0,
) -> Frames:  # fmt: skip
    """The central size x size pixels of a dataset's objects, brought to the common footing.

    classes  which, of the dataset's own classes; () = all
    half     "tune" or "held": by the field's name, as the benchmarks split real data; None = both
    most     so many at random, drawn with `seed`

    Objects with a pixel without a value are left out: holes would give the label away. Raises UserError for an unknown
    class, a half of what has no catalogue, and fewer than FEWEST objects.
    """
    index = np.concatenate([np.arange(shard.start, shard.stop) for shard in dataset.shards])
    index = index[_of_class(dataset, index, classes)]
    if half is not None:
        index = index[halves(_fields(dataset)[index]) == HALVES.index(half)]
    if most is not None and len(index) > most:
        index = np.sort(np.random.default_rng(seed).permutation(index)[:most])
    if len(index) < FEWEST:
        raise UserError(f"{len(index)} objects chosen, at least {FEWEST} are needed", file=dataset.path)
    at = [[own.lower() for own in dataset.attrs["bands"]].index(band.lower()) for band in bands]
    edge = [(side - size) // 2 for side in dataset.shape("frame")[1:]]
    square = np.s_[:, :, edge[0] : edge[0] + size, edge[1] : edge[1] + size]
    values = np.concatenate(
        [counts(dataset, part)[:, at][square] for part in np.array_split(index, 1 + len(index) // 512)]
    )
    whole = np.isfinite(values).all(axis=(1, 2, 3))
    if whole.sum() < FEWEST:
        raise UserError(
            f"{whole.sum()} of {len(index)} objects are complete in {size}x{size} pixels, needed are {FEWEST}",
            file=dataset.path,
        )
    index, values = index[whole], values[whole]
    sky, rms = border(values)
    usable = (rms > 0).all(axis=1)
    index, values, sky, rms = index[usable], values[usable], sky[usable], rms[usable]
    return Frames(
        pixels=((values - sky[:, :, None, None]) / rms[:, :, None, None]).astype(np.float32),
        sky=sky / rms,
        rms=rms,
        group=_groups(dataset)[index],
        name=_names(dataset)[index],
    )


def border(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(sky, rms), each (n, band): mean and standard deviation of the pixels far from the middle, clipped at CLIP sigma.

    Moments and not the median and its like: frames are stored in steps of a quarter of their noise.
    """
    ny, nx = values.shape[-2:]
    y, x = np.indices((ny, nx))
    far = np.hypot(y - ny // 2, x - nx // 2) > EDGE * min(ny, nx)
    pixels = values[:, :, far].astype(np.float64)
    keep = np.ones(pixels.shape, bool)
    mean, std = np.median(pixels, axis=-1, keepdims=True), pixels.std(axis=-1, keepdims=True)
    for _ in range(ROUNDS):
        keep = np.abs(pixels - mean) <= CLIP * std
        n = np.maximum(keep.sum(axis=-1, keepdims=True), 1)
        mean = np.where(keep, pixels, 0).sum(axis=-1, keepdims=True) / n
        std = np.sqrt(np.where(keep, (pixels - mean) ** 2, 0).sum(axis=-1, keepdims=True) / n)
    return mean[..., 0], std[..., 0]


def matched(real: Frames, simulated: Frames, tolerance: float = 0.25) -> np.ndarray:
    """Indices of simulated objects as bright as the real ones: each real object takes the free one nearest in signal
    (magnitudes of the middle band in units of noise), again and again until one in ten finds none within the
    tolerance."""
    bright = [_brightness(frames) for frames in (real, simulated)]
    free = np.arange(len(simulated))
    chosen: list[np.ndarray] = []
    while len(free):
        pairs = greedy_pairs(bright[0], bright[1][free], tolerance)
        if chosen and len(pairs) < 0.9 * len(real):
            break
        chosen.append(free[pairs[:, 1]])
        free = np.delete(free, pairs[:, 1])
    return np.sort(np.concatenate(chosen)) if chosen else np.arange(0)


def _brightness(frames: Frames) -> np.ndarray:
    """(n,) magnitude of the light within 6 pixels of the middle, in units of noise, middle band."""
    ny, nx = frames.pixels.shape[-2:]
    y, x = np.indices((ny, nx))
    near = np.hypot(y - ny // 2, x - nx // 2) <= 6
    return -2.5 * np.log10(np.maximum(frames.pixels[:, frames.pixels.shape[1] // 2, near].sum(axis=-1), 1.0))


def _of_class(dataset: Dataset, index: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    if not classes:
        return np.ones(len(index), bool)
    known = list(dataset.attrs.get("classes") or ())
    for name in classes:
        if name not in known:
            raise UserError(f"has no class {name}, only {', '.join(known) or 'none'}", file=dataset.path, key="--class",
                            suggestion=suggest(name, known))  # fmt: skip
    return np.isin(dataset.read("label/class", index), [known.index(name) for name in classes])


def _column(dataset: Dataset, name: str) -> np.ndarray | None:
    table = dataset.catalogue()
    if table is None or name not in table.column_names:
        return None
    return np.array([str(value) for value in table.column(name).to_pylist()])


def _names(dataset: Dataset) -> np.ndarray:
    found = _column(dataset, "name")
    return found if found is not None else np.arange(dataset.n).astype(str)


def _fields(dataset: Dataset) -> np.ndarray:
    """Name of the lens in whose field an object lies, or its own."""
    names, near = _column(dataset, "name"), _column(dataset, "lens_name")
    if names is None:
        raise UserError("has no catalogue, so no halves by the names of its objects", file=dataset.path, key="--half")
    return names if near is None else np.where(near == "", names, near)


def _groups(dataset: Dataset) -> np.ndarray:
    order = ("exposure_id", "object_id") if dataset.attrs.get("kind") == "observed" else ("object_id",)
    return next((dataset.read(name) for name in order if name in dataset), np.arange(dataset.n))
