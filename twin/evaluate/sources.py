"""A catalogue of sources from an event list, a count image or a simulated dataset, by a trained detector."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from twin.data import open_dataset
from twin.evaluate.catalogue import Column, check_format, write_catalogue
from twin.io.atomic import check_target
from twin.io.xray import Tangent, bin_events, bin_times, open_events, read_count_image
from twin.io.xray.hdus import walk
from twin.recipe.xray import XrayRecipe
from twin.schema import UserError
from twin.train.detector.catalogue import Sources, expected_number, poisson_residual, sources
from twin.train.detector.front import Found
from twin.train.detector.model import Detector

log = logging.getLogger("twin")
SCALE = 0.15  # relative difference of bins from those of training beyond which an image is refused
WIDE = 2  # bins on each side of a source whose counts are looked at
SURE = 0.5
PART = 0.5  # of the searched side that events fill, below which they are but a region's
FAULT = 4.0  # standard deviations of a tile's residual that are told


@dataclass(frozen=True)
class Image:
    """One image to be searched.

    counts    (band, y, x);  coloured: whether bands are known, or counts of all of them were shared out
    width     [arcmin] of a bin;  exposure  [s]
    sky       projection of bins counted from 1, where there is one
    psf       (side, side) that the image came with, or None;  times  (slice, y, x) counts, or None
    """

    name: str
    counts: np.ndarray
    coloured: bool
    width: float
    exposure: float
    sky: Tangent | None = None
    psf: np.ndarray | None = None
    times: np.ndarray | None = None


class Telescope:
    """What a detector's recipe knows of the telescope, its parameters changed as a calibration says."""

    def __init__(self, recipe: XrayRecipe, optics: dict[str, float]) -> None:
        from twin.simulators.lobster.field import OPTICS

        unknown = sorted(set(optics) - set(OPTICS))
        if unknown:
            raise UserError(f"is no parameter of the optics; there are {', '.join(OPTICS)}", key=unknown[0])
        self.recipe, self.optics = recipe, optics

    @cached_property
    def _optic(self) -> tuple[Any, Any]:
        from dataclasses import replace

        import jax.numpy as jnp

        base = self.recipe.simulator.base
        state = replace(base, **{name: jnp.float32(value) for name, value in self.optics.items()})
        return state, self.recipe.simulator.optic(state)

    def psf(self, width: float) -> np.ndarray:
        """(side, side) PSF in the middle of the detector for bins of `width` [arcmin], in parts of them, for the Crab's
        spectrum."""
        import jax.numpy as jnp

        from twin.simulators.lobster.optics import psf_image

        state, optic = self._optic
        shares = jnp.asarray(self._photons.reshape(optic.light.shape[0], -1).sum(1))
        middle = jnp.asarray(self.recipe.simulator.middle)
        frame = self.recipe.config.frame
        bins = frame.fine * (frame.psf - 1) + 1
        coating = self.recipe.instrument.coating
        return np.asarray(
            psf_image(state, coating, optic.profiles, shares / shares.sum(), middle, bins, width / frame.fine)
        )

    @cached_property
    def _photons(self) -> np.ndarray:
        """Photons a second [cm2 folded] of each fine bin that 1 erg/cm2/s of the Crab's spectrum brings to a boundless
        detector."""
        from twin.simulators.lobster.optics import boundless_area

        simulator = self.recipe.simulator
        state, _ = self._optic
        area = np.asarray(boundless_area(state, self.recipe.instrument.coating))
        return np.asarray(simulator.reference) * area * simulator.channels.in_band.sum(1)

    def counts_per_flux(self, light: float) -> float:
        """Counts a second of 1 erg/cm2/s (0.5-4 keV) with the Crab's spectrum, where the image has a share `light` of
        the PSF."""
        return float(self._photons.sum()) * light


def images(path: Path, recipe: XrayRecipe, slices: int = 0) -> Iterator[Image]:
    """What a path holds, event lists and datasets in so many slices of time as well, where these have them.

    Raises UserError for what is no dataset, event list or count image that can be used.
    """
    if (path / "zarr.json").exists():
        dataset = open_dataset(path)
        if tuple(dataset.attrs.get("bands", ())) != tuple(recipe.bands):
            raise UserError(f"needed are the bands {' '.join(recipe.bands)}", file=path, key="bands")
        if "input/psf" not in dataset.names:
            raise UserError("has no PSF image of each sample", file=path, key="input/psf")
        width, column = float(dataset.attrs["pixel_scale"]) / 60, dataset.coordinate("channel").index("exposure")
        timed = slices > 0 and "input/times" in dataset.names
        timed = timed and dataset.read("input/times", 0, 1).shape[1] == slices
        for k in range(dataset.n):
            frame, psf, row = (dataset.read(name, k, k + 1)[0] for name in ("frame", "input/psf", "telemetry"))
            times = dataset.read("input/times", k, k + 1)[0] if timed else None
            yield Image(str(k), frame, True, width, float(row[column]), psf=psf.astype(np.float32), times=times)
        return
    if path.is_dir():
        raise UserError("is a folder, and no dataset", file=path)
    if any(str(h.header.get("EXTNAME", "")).strip() == "EVENTS" for h in walk(path)):
        yield _binned(path, recipe, slices)
        return
    image = read_count_image(path)
    n = min(image.counts.shape) // 4 * 4
    if n < 16:
        raise UserError(f"is {image.counts.shape[1]} x {image.counts.shape[0]} bins, 16 are needed", file=path)
    if image.counts.shape != (n, n):
        log.warning("%s: searched are the first %d x %d of %d x %d bins", path, n, n, *image.counts.shape[::-1])
    width = image.sky.scale() * 60 if image.sky else image.bin * recipe.frame.pixel
    _check_width(width, recipe, path)
    counts = image.counts[:n, :n].astype(np.float32)
    shares = np.array([1 / len(recipe.bands)] * len(recipe.bands), np.float32)
    yield Image(path.name, shares[:, None, None] * counts, False, width, image.exposure, image.sky)


def _check_width(width: float, recipe: XrayRecipe, path: Path) -> None:
    usual = recipe.pixel_scale / 60
    if abs(width / usual - 1) > SCALE:
        raise UserError(f"bins of {width:.2f} arcmin; the model was trained on {usual:.2f}", file=path)


def _binned(path: Path, recipe: XrayRecipe, slices: int) -> Image:
    """An event list in the recipe's bands and bins, the middle of its events in the middle."""
    file = open_events(path)
    axes: Any = "sky" if file.sky is not None else "detector"
    names = ("x", "y") if axes == "sky" else ("detx", "dety")
    file.has(*names)
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for events in file.chunks():
        if len(events.time):
            place = [getattr(events, name) for name in names]
            low, high = np.minimum(low, [v.min() for v in place]), np.maximum(high, [v.max() for v in place])
    if not np.all(np.isfinite(low)):
        raise UserError("holds no event in its good time: nothing to search", file=path)
    pixel = file.sky.scale() * 60 if file.sky is not None else recipe.frame.pixel
    n, size = recipe.frame.bins, recipe.pixel_scale / 60 / pixel
    first = (low + high) / 2 - n * size / 2
    if np.any(high - low > n * size):
        log.warning("%s: events reach beyond the %d x %d bins that are searched", path, n, n)
    if np.all(high - low < PART * n * size):
        log.warning(
            "%s: events fill a part of the %d x %d bins that are searched, the rest is taken as dark", path, n, n
        )
    bands, keV = [], recipe.config.sensor.channel * 1e-3
    sky = None
    for low_e, high_e in recipe.config.bands.values():
        channels = (int(np.ceil(low_e / keV)), int(np.ceil(high_e / keV)) - 1)
        image, _ = bin_events(file, axes, size, (n, n), (float(first[0]), float(first[1])), channels)
        bands.append(image.counts)
        sky = image.sky
    times = None
    if slices:
        energies = np.array(list(recipe.config.bands.values()))
        channels = int(np.ceil(energies.min() / keV)), int(np.ceil(energies.max() / keV)) - 1
        times = bin_times(file, axes, size, (n, n), (float(first[0]), float(first[1])), channels, slices)
    counts = np.stack(bands).astype(np.float32)
    return Image(path.name, counts, True, size * pixel, file.exposure, sky, times=times)


def predict_sources(
    model_dir: str | Path,
    path: str | Path,
    out: str | Path,
    optics: dict[str, float] | None = None,
    least: float = 0.1,
) -> None:
    """Write a catalogue (`.parquet`, `.fits`, `.vot`, `.ecsv`) of the sources in `path`: all of probability `least` and
    more; `detected` tells those above the model's threshold.

    optics  parameters of the telescope that differ from the model's recipe, by name (roll, tilt, efficiency, ...)
    Raises UserError for a model folder without its files, and input that cannot be used.
    """
    from twin.recipe import load_recipe

    check_format(Path(out))
    check_target(out)
    model = Detector.load(model_dir)
    recipe = load_recipe(model.folder / "recipe.yaml")
    assert isinstance(recipe, XrayRecipe)
    telescope = Telescope(recipe, optics or {})
    rows: list[dict[str, Any]] = []
    about: dict[str, str] = {"model": str(model_dir), "input": str(path)}
    for image in images(Path(path), recipe, model.config.slices):
        found, told = search(model, telescope, image, least)
        rows += found
        about |= {f"{key} of {image.name}": value for key, value in told.items()}
    write_catalogue(Path(out), _columns(rows), about)


def search(
    model: Detector, telescope: Telescope, image: Image, least: float
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows of the catalogue of one image, and what is to be said of the image as a whole."""
    psf = image.psf if image.psf is not None else telescope.psf(image.width)
    shape = background_of(telescope.recipe, image.counts.shape[-1])
    times = None if image.times is None else image.times[None]
    said, (fit,) = model.predict(image.counts[None], psf[None], shape, times, image.psf is not None)
    found = sources(said, 0, least)
    expected = model_image(found.above(SURE), fit, psf, shape)
    counts = image.counts.sum(0)
    residual = poisson_residual(counts, expected)
    mean, sigma = expected_number(said)
    told = {
        "background": f"{float(fit.background):.4g} counts a bin",
        "number of sources": f"{mean[0]:.1f} +- {sigma[0]:.1f} by the candidates' probabilities",
        "residuals": f"rms {residual.std():.2f}, largest {np.abs(residual).max():.1f}, in tiles of 4 x 4 bins "
                     f"({int((np.abs(residual) > FAULT).sum())} beyond {FAULT:g})",
    }  # fmt: skip
    log.info("%s: %s", image.name, "; ".join(f"{key}: {value}" for key, value in told.items()))
    rate = telescope.counts_per_flux(float(psf.sum()))
    rows = []
    for k in range(len(found)):
        rows.append(_row(image, found, k, model.threshold, counts, expected, rate))
    return rows, told


def background_of(recipe: XrayRecipe, n: int) -> np.ndarray:
    """(n, n) the background's shape for images of as many bins: the recipe's, or flat where the size is another."""
    shape = np.asarray(recipe.background_shape, np.float32)
    return shape if len(shape) == n else np.ones((n, n), np.float32)


def model_image(found: Sources, fit: Found, psf: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """(y, x) counts expected of background and sources.

    Sources that were fitted before the network looked are taken as fitted; of the others the network's counts.
    """
    import jax.numpy as jnp

    from twin.train.detector import front

    n = len(shape)
    kernel = front.kernel(jnp.asarray(psf, jnp.float32), n)
    fitted = [(float(x), float(y)) for x, y, c in zip(fit.x, fit.y, fit.counts, strict=True) if c > 0]
    expected = np.asarray(fit.model, float).copy()
    for x, y, log_counts in zip(found.x, found.y, found.log_counts, strict=True):
        image = np.asarray(front.source_image(kernel, jnp.float32(x), jnp.float32(y), n), float)
        if all(np.hypot(x - a, y - b) > 2 for a, b in fitted):
            expected += np.exp(log_counts) / max(image.sum(), 1e-9) * image
    return expected


def _row(
    image: Image, found: Sources, k: int, threshold: float, counts: np.ndarray, expected: np.ndarray, rate: float
) -> dict[str, Any]:
    x, y, n = found.x[k], found.y[k], counts.shape[-1]
    ra = dec = np.nan
    if image.sky is not None:
        ra, dec = (float(v) for v in image.sky.sky(np.array(x + 1), np.array(y + 1)))
    number, sigma = np.exp(found.log_counts[k]), found.log_counts_err[k]
    row, column = int(np.clip(round(y), 0, n - 1)), int(np.clip(round(x), 0, n - 1))
    window = np.s_[max(row - WIDE, 0) : row + WIDE + 1, max(column - WIDE, 0) : column + WIDE + 1]
    near = poisson_residual(counts[window], expected[window], 1)
    per_flux = rate * image.exposure
    return {
        "image": image.name, "ra": ra, "dec": dec, "x": x + 1, "y": y + 1,
        "position_error": float(np.sqrt((found.x_err[k] ** 2 + found.y_err[k] ** 2) / 2) * image.width),
        "counts": number, "counts_low": number * np.exp(-sigma), "counts_high": number * np.exp(sigma),
        "flux": number / per_flux if per_flux > 0 else np.nan,
        "flux_error": number * sigma / per_flux if per_flux > 0 else np.nan,
        "hardness": found.hardness[k] if image.coloured else np.nan,
        "hardness_error": found.hardness_err[k] if image.coloured else np.nan,
        "variability": found.variability[k], "variability_error": found.variability_err[k],
        "probability": found.probability[k], "artefact_probability": found.artefact[k],
        "novelty": float(np.sqrt(np.mean(near**2))), "detected": bool(found.probability[k] >= threshold),
    }  # fmt: skip


_ABOUT = {
    "image": ("", "meta.id", "image, or sample of the dataset"),
    "ra": ("deg", "pos.eq.ra;meta.main", "right ascension (ICRS), empty where the image has no sky coordinates"),
    "dec": ("deg", "pos.eq.dec;meta.main", "declination (ICRS)"),
    "x": ("pixel", "pos.cartesian.x", "bin along x, counted from 1"),
    "y": ("pixel", "pos.cartesian.y", "bin along y, counted from 1"),
    "position_error": ("arcmin", "stat.error;pos", "standard deviation of the position along an axis"),
    "counts": ("ct", "phot.count", "counts on the image of all of the source's PSF"),
    "counts_low": ("ct", "stat.interval;phot.count", "one standard deviation below"),
    "counts_high": ("ct", "stat.interval;phot.count", "one standard deviation above"),
    "flux": ("erg.s-1.cm-2", "phot.flux;em.X-ray.soft", "0.5-4 keV, of a source with the Crab's spectrum"),
    "flux_error": ("erg.s-1.cm-2", "stat.error;phot.flux", "its standard deviation, of the counts alone"),
    "hardness": ("", "phot.color", "share of the counts in the highest band; empty for images without energies"),
    "hardness_error": ("", "stat.error;phot.color", "its standard deviation"),
    "variability": ("", "src.var", "relative standard deviation of the rate within the exposure"),
    "variability_error": ("", "stat.error;src.var", "its standard deviation"),
    "probability": ("", "stat.probability", "that a source is there"),
    "artefact_probability": ("", "stat.probability", "that it is an arm or a blob of another source"),
    "novelty": ("", "stat.fit.residual", "rms of the Poisson residuals around it: 1 where the PSF explains them"),
    "detected": ("", "meta.code", "probability above the model's threshold"),
}


def _columns(rows: list[dict[str, Any]]) -> list[Column]:
    kinds = {"image": str, "detected": bool}
    return [
        Column(name, np.array([row[name] for row in rows], kinds.get(name, float)), *about)
        for name, about in _ABOUT.items()
    ]
