"""Count images, in sky or in detector coordinates: the two are told apart by their axes, never by a file's name."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from twin.io.atomic import atomic_path
from twin.io.xray.events import EventFile, Tally
from twin.io.xray.hdus import Hdu, walk
from twin.io.xray.tangent import Tangent, number, of_image
from twin.schema import UserError

log = logging.getLogger(__name__)

Axes = Literal["sky", "detector"]


@dataclass(frozen=True)
class CountImage:
    """Counts in bins.

    counts    (y, x), whole numbers
    axes      "sky": bins of a tangent plane; "detector": bins of the detector
    exposure  [s]
    sky       projection of the bins where `axes` is "sky", else None
    bin       side of a bin [detector pixel] where `axes` is "detector", else nan
    cards     other cards of the header
    """

    counts: np.ndarray
    axes: Axes
    exposure: float
    sky: Tangent | None = None
    bin: float = math.nan
    cards: Mapping[str, object] = field(default_factory=dict)


def read_count_image(path: str | Path) -> CountImage:
    """The first two-dimensional image of a FITS file. Raises UserError, in one line, for what cannot be used.

    Its axes are CTYPE1, 2: RA---TAN, DEC--TAN, or DETX, DETY (also RAWX, RAWY, physical detector pixels).
    """
    from astropy.io import fits

    path = Path(path)
    hdus = walk(path)
    hdu = next((h for h in hdus if h.header.get("NAXIS") == 2 and "TFIELDS" not in h.header and h.size), None)
    if hdu is None:
        raise UserError("holds no image of two axes", file=path)
    header = {**hdus[0].header, **hdu.header}
    exposure = number(header, "EXPOSURE" if "EXPOSURE" in header else "EXPTIME", path, hdu.place)
    if exposure <= 0:
        raise UserError(f"EXPOSURE is {exposure:g} s: nothing was exposed", file=path, key=hdu.place)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)
        with fits.open(path, memmap=False) as opened:
            data = np.asarray(opened[hdu.index].data)
    counts = _counts(data, path, hdu)
    kinds = [str(header.get(f"CTYPE{n}", "")).upper() for n in (1, 2)]
    rest: dict[str, object] = {k: header[k] for k in ("TELESCOP", "INSTRUME", "DETNAM", "OBS_ID") if k in header}
    if all(kind[:3] in ("DET", "RAW") for kind in kinds):
        size = abs(number(header, "CDELT1P" if "CDELT1P" in header else "CDELT1", path, hdu.place))
        return CountImage(counts, "detector", exposure, None, size, rest)
    if not any(kinds):
        raise UserError("CTYPE1, CTYPE2 are missing: neither sky nor detector coordinates", file=path, key=hdu.place)
    return CountImage(counts, "sky", exposure, of_image(header, path, hdu.place), math.nan, rest)


def _counts(data: np.ndarray, path: Path, hdu: Hdu) -> np.ndarray:
    if not np.isfinite(data).all():
        raise UserError(f"{int((~np.isfinite(data)).sum())} pixels are no numbers", file=path, key=hdu.place)
    if (data < 0).any():
        raise UserError("has negative pixels: background-subtracted images are no counts", file=path, key=hdu.place)
    if (data != np.round(data)).any():
        raise UserError("has pixels that are no whole numbers: rates, or smoothed?", file=path, key=hdu.place)
    return data.astype(np.int32)


def write_count_image(path: str | Path, image: CountImage) -> None:
    """Write a count image with the cards that `read_count_image` reads."""
    from astropy.io import fits

    hdu = fits.PrimaryHDU(np.asarray(image.counts, np.int32))
    cards: dict[str, object] = {"EXPOSURE": float(image.exposure), "BUNIT": "count", **image.cards}
    if image.sky is not None:
        cards |= image.sky.cards()
    else:
        for n, name in ((1, "DETX"), (2, "DETY")):
            cards |= {
                f"CTYPE{n}": name,
                f"CUNIT{n}": "pixel",
                f"CRPIX{n}": 0.5,
                f"CRVAL{n}": 0.5,
                f"CDELT{n}": image.bin,
            }
    hdu.header.update(cards)
    with atomic_path(path) as part:
        hdu.writeto(part, checksum=True)


def bin_events(
    file: EventFile,
    axes: Axes,
    size: float,
    shape: tuple[int, int],
    first: tuple[float, float] = (0.5, 0.5),
    channels: tuple[int, int] | None = None,
) -> tuple[CountImage, Tally]:
    """An image (y, x) of `shape` from an event list, streamed.

    size      side of a bin [pixel];  first  edge where bin 1 begins, (x, y) [pixel]
    channels  least and greatest PI that count; all where None
    Events outside the image are not an error.
    """
    sky = file.projection() if axes == "sky" else None
    tally, counts = Tally(), np.zeros(shape[0] * shape[1], np.int64)
    for place, _ in _places(file, axes, size, shape, first, channels, tally):
        counts += np.bincount(place, minlength=len(counts))
    if faults := tally.faults():
        log.warning("%s: %s: of %d events left out: %s", file.path, file.hdu.place, tally.rows, faults)
    if sky is not None:
        moved = (sky.reference[0] - first[0] + 0.5, sky.reference[1] - first[1] + 0.5)
        sky = Tangent(moved, sky.centre, sky.matrix).binned(size)
    made = CountImage(counts.reshape(shape).astype(np.int32), axes, file.exposure, sky, math.nan if sky else size)
    return made, tally


def bin_times(
    file: EventFile,
    axes: Axes,
    size: float,
    shape: tuple[int, int],
    first: tuple[float, float],
    channels: tuple[int, int] | None,
    slices: int,
) -> np.ndarray:
    """(slices, y, x) counts in parts of the good time that are equally long; arguments as of `bin_events`."""
    starts, lengths = file.gti[:, 0], file.gti[:, 1] - file.gti[:, 0]
    before = np.cumsum(lengths) - lengths
    counts, bins = np.zeros(slices * shape[0] * shape[1], np.int64), shape[0] * shape[1]
    for place, time in _places(file, axes, size, shape, first, channels, Tally()):
        at = np.clip(np.searchsorted(starts, time, side="right") - 1, 0, len(starts) - 1)
        passed = (before[at] + np.clip(time - starts[at], 0, lengths[at])) / max(lengths.sum(), 1e-30)
        part = np.minimum((passed * slices).astype(np.int64), slices - 1)
        counts += np.bincount(part * bins + place, minlength=len(counts))
    return counts.reshape(slices, *shape).astype(np.int32)


def _places(
    file: EventFile, axes: Axes, size: float, shape: tuple[int, int], first: tuple[float, float],
    channels: tuple[int, int] | None, tally: Tally,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """Bins (row by row) and times of the events that lie on an image, chunk by chunk."""
    names = ("x", "y") if axes == "sky" else ("detx", "dety")
    file.has(*names)
    for events in file.chunks(tally):
        bx, by = (
            np.floor((getattr(events, name).astype(float) - edge) / size).astype(np.int64)
            for name, edge in zip(names, first, strict=True)
        )
        keep = (bx >= 0) & (bx < shape[1]) & (by >= 0) & (by < shape[0])
        if channels is not None:
            keep &= (events.pi >= channels[0]) & (events.pi <= channels[1])
        yield by[keep] * shape[1] + bx[keep], events.time[keep]
