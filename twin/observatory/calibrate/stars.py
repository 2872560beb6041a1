"""Star catalogues as SExtractor writes them: which objects are stars that a PSF can be learnt from, and why others are
not."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twin.io.tables import read_table
from twin.observatory.calibrate.exposures import tolerant_column
from twin.observatory.imager import Imager
from twin.schema import UserError, suggest

NEEDED = ("FLAGS", "XWIN_IMAGE", "YWIN_IMAGE", "X2WIN_IMAGE", "Y2WIN_IMAGE", "XYWIN_IMAGE", "FLUX_RADIUS",
          "FLUX_AUTO", "FLUXERR_AUTO", "SPREAD_MODEL", "CLASS_STAR")  # fmt: skip
MOMENTS = ("X2WIN_IMAGE", "Y2WIN_IMAGE", "XYWIN_IMAGE")
MIN_STARS = 10
SATURATED = 4  # the bit of FLAGS
AUTO_RADIUS = 4.0  # radius of the automatic aperture of a star, in half-light radii (Kron 1980, ApJS 43, 305)


@dataclass(frozen=True)
class Cuts:
    """What counts as a star: S/N (FLUX_AUTO / FLUXERR_AUTO) above `snr`, |SPREAD_MODEL| below `spread`, CLASS_STAR
    above `star`; `linear`: share of the saturation level that the brightest pixel may reach."""

    snr: float = 100.0
    spread: float = 0.003
    star: float = 0.95
    linear: float = 0.9


@dataclass(frozen=True)
class Stars:
    """Stars (n,) of one exposure.

    x, y    [pixel]; place (n, 2) [deg] from their middle along the field's axes; centre (2,) of that in the field
    shape   (n, 3) e1, e2, ln size [pixel], of windowed second moments; noise (n, 3) its standard deviation from photons
    flux    of the brightest one = 1; snr; window [pixel] standard deviation of the Gaussian window
    left    identifiers of the objects that were left out, by reason; header: cards of the exposure
    """

    name: str
    sha256: str
    band: str
    x: np.ndarray
    y: np.ndarray
    place: np.ndarray
    centre: np.ndarray
    shape: np.ndarray
    noise: np.ndarray
    flux: np.ndarray
    snr: np.ndarray
    window: float
    left: dict[str, list[int]]
    header: dict[str, str]

    def __len__(self) -> int:
        return len(self.x)

    @property
    def counts(self) -> dict[str, int]:
        """How many were left out, by reason."""
        return {reason: len(ids) for reason, ids in self.left.items()}


def read_cards(path: Path) -> dict[str, str]:
    """Values of the FITS cards in a text file, one a line; {} where there is no such file."""
    if not path.is_file():
        return {}
    cards: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match = re.match(r"^(?:HIERARCH )?([A-Z0-9_-]{1,20}) *= *('(?:[^']|'')*'|[^/]*)", line)
        if match:
            cards.setdefault(match[1], match[2].strip().strip("'").strip())
    return cards


def number(cards: dict[str, str], key: str) -> float:
    """A card as a number, NaN where it is none."""
    try:
        return float(cards[key])
    except (KeyError, ValueError):
        return math.nan


def _columns(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """Numbers by column, and the file's SHA-256. Raises UserError."""
    table = read_table(path, bare=True)
    for missing in (name for name in NEEDED if name not in table.colnames):
        what = "has no moments of stars: the column is missing" if missing in MOMENTS else "the column is missing"
        raise UserError(what, file=path, key=missing, suggestion=suggest(missing, table.colnames))
    wanted = [name for name in (*NEEDED, "NUMBER", "BACKGROUND") if name in table.colnames]
    return {name: tolerant_column(table, name, "", path) for name in wanted}, hashlib.sha256(
        path.read_bytes()
    ).hexdigest()


def read_stars(path: str | Path, imager: Imager, cuts: Cuts | None = None) -> Stars:
    """Stars of one exposure: a catalogue (CSV, ECSV, FITS table) and, beside it, the cards of its image:
    NAME_header.txt for NAME_catalog.csv.gz.

    Left out, and named: flagged objects, saturated cores (FLAGS, or a peak expected above `linear` of the lower
    amplifier's saturation; profile: Moffat of index 3, with the stars' median half-light radius), objects sharper than
    the PSF (cosmic rays, hot pixels), galaxies, faint ones, and those without moments. Photon noise of a windowed
    moment: pixel noise s_p = FLUXERR_AUTO / sqrt(area of the automatic aperture), summed with the window's squared
    weights. Raises UserError for missing columns, text, no band, or fewer than 10 stars.
    """
    cuts, path = cuts or Cuts(), Path(path)
    columns, digest = _columns(path)
    base = re.sub(r"\.[a-z]+(\.gz)?$", "", path.name)
    header = read_cards(path.with_name(base.removesuffix("_catalog") + "_header.txt"))
    number_of = columns.get("NUMBER", np.arange(1, len(columns["FLAGS"]) + 1)).astype(int)
    keep, left = _sieve(columns, header, cuts, number_of)
    if keep.sum() < MIN_STARS:
        why = ", ".join(f"{len(ids)} {reason}" for reason, ids in left.items())
        raise UserError(f"only {keep.sum()} usable stars, {MIN_STARS} are needed ({why})", file=path)
    c = {name: values[keep] for name, values in columns.items()}
    total = c["X2WIN_IMAGE"] + c["Y2WIN_IMAGE"]
    shape = np.stack([(c["X2WIN_IMAGE"] - c["Y2WIN_IMAGE"]) / total, 2 * c["XYWIN_IMAGE"] / total,
                      0.5 * np.log(total / 2)], 1)  # fmt: skip
    half = float(np.median(c["FLUX_RADIUS"]))
    window = 2 * half / math.sqrt(8 * math.log(2))
    place, centre = _places(c["XWIN_IMAGE"], c["YWIN_IMAGE"], header, imager.pixel_scale)
    return Stars(
        base.removesuffix("_catalog"), digest, _band(header, base, imager, path), c["XWIN_IMAGE"], c["YWIN_IMAGE"],
        place, centre, shape, _photon_noise(c, total, window, half), c["FLUX_AUTO"] / c["FLUX_AUTO"].max(),
        c["FLUX_AUTO"] / c["FLUXERR_AUTO"], window, left, header,
    )  # fmt: skip


def _sieve(
    c: dict[str, np.ndarray], header: dict[str, str], cuts: Cuts, number_of: np.ndarray
) -> tuple[np.ndarray, dict[str, list[int]]]:
    """(mask of the stars, identifiers of the others by reason); an object has the first reason that applies."""
    left: dict[str, list[int]] = {}
    keep = np.ones(len(number_of), bool)

    def leave(bad: np.ndarray, reason: str) -> None:
        found = keep & bad
        if found.any():
            left[reason] = [int(i) for i in number_of[found]]
        keep[found] = False

    with np.errstate(invalid="ignore", divide="ignore"):
        snr = c["FLUX_AUTO"] / c["FLUXERR_AUTO"]
        flags = np.nan_to_num(c["FLAGS"], nan=255).astype(int)
        moments = np.stack([c[name] for name in (*MOMENTS, "FLUX_RADIUS")])
        determinant = moments[0] * moments[1] - moments[2] ** 2
        leave((flags & SATURATED) > 0, "saturated (FLAGS)")
        leave(flags != 0, "flagged")
        leave(~(snr > cuts.snr), f"S/N not above {cuts.snr:g}")
        leave(~np.isfinite(moments).all(0) | ~(determinant > 0) | (moments[3] <= 0), "without moments")
        leave(c["SPREAD_MODEL"] <= -cuts.spread, "sharper than the PSF: cosmic ray or hot pixel")
        leave(~(np.abs(c["SPREAD_MODEL"]) < cuts.spread) | ~(c["CLASS_STAR"] > cuts.star), "no star")
    half = float(np.median(c["FLUX_RADIUS"][keep])) if keep.any() else 1.0
    sky = np.nanmax([np.nanmedian(c["BACKGROUND"]) if "BACKGROUND" in c else 0.0, number(header, "SKYBRITE"), 0.0])
    levels = [number(header, key) for key in ("SATURATA", "SATURATB", "SATURATE")]
    full = min((level for level in levels if level > 0), default=math.inf)
    leave(expected_peak(c["FLUX_AUTO"], half) + sky > cuts.linear * full, "saturated core")
    # a cosmic ray on a star moves its own half-light radius away from that of its neighbours in brightness
    ratio = np.log(np.maximum(c["FLUX_RADIUS"], 1e-3) / half)
    scatter = 1.4826 * float(np.median(np.abs(ratio[keep] - np.median(ratio[keep])))) if keep.any() else 1.0
    leave(ratio < -8 * max(scatter, 0.01), "sharper than the PSF: cosmic ray or hot pixel")
    return keep, left


def expected_peak(flux: np.ndarray, half: float) -> np.ndarray:
    """Brightest pixel of a star of half-light radius `half` [pixel]: Moffat's profile with index 3,
    I(0) = 2 F (sqrt 2 - 1) / (pi half^2)."""
    return 2 * flux * (math.sqrt(2) - 1) / (math.pi * half**2)


def _photon_noise(c: dict[str, np.ndarray], total: np.ndarray, window: float, half: float) -> np.ndarray:
    """(n, 3) standard deviations of e1, e2, ln size for white noise and a Gaussian window and star.

    A window w of variance s^2 = 2 v, white noise s_p a pixel: sum w n (x^2 - y^2) and sum w n 2 x y have variance
    s_p^2 pi s^2 4 v^2, sum w n (x^2 + y^2 - 2 M) has s_p^2 pi s^2 (8 v^2 - 8 M v + 4 M^2). The window holds the share
    s^2 / (s^2 + S^2) of a star of variance S^2, 1 / M = 1 / S^2 + 1 / s^2, M being its windowed moment.
    """
    moment = total / 2
    spread = 1 / np.maximum(1 / moment - 1 / window**2, 0.1 / window**2)
    pixel = c["FLUXERR_AUTO"] / np.sqrt(math.pi) / (AUTO_RADIUS * half)
    inside = c["FLUX_AUTO"] * window**2 / (window**2 + spread)
    difference = pixel * np.sqrt(math.pi * window**6) / inside / total  # of (xx - yy) / (xx + yy), and of 2 xy / ..
    y = moment / (window**2 / 2)  # the trace's own mean is subtracted: x^2 + y^2 - 2 M under w^2
    trace = pixel * np.sqrt(math.pi * window**6 / 4 * (8 - 8 * y + 4 * y**2)) / inside / total
    return np.stack([difference, difference, trace / 2], 1)


def _places(x: np.ndarray, y: np.ndarray, header: dict[str, str], scale: float) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) degrees from the stars' middle along the pixel axes, and that middle from the field's (CRPIX) [deg]."""
    pixel = np.stack([x, y], 1)
    middle = 0.5 * (pixel.min(0) + pixel.max(0))
    reference = np.array([number(header, "CRPIX1"), number(header, "CRPIX2")])
    centre = np.where(np.isfinite(reference), (middle - reference) * scale / 3600, 0.0)
    return (pixel - middle) * scale / 3600, centre


def _band(header: dict[str, str], base: str, imager: Imager, path: Path) -> str:
    """The instrument's band of an exposure: from BAND or FILTER, else from the file's name."""
    words = [header.get("BAND", ""), header.get("FILTER", "").split(" ")[0], *base.split("_")]
    for word in words:
        if word.strip() in imager.bands:
            return word.strip()
    known = ", ".join(imager.bands)
    raise UserError(
        f"neither its header (BAND, FILTER) nor its name gives a band of {imager.name} ({known})", file=path
    )
