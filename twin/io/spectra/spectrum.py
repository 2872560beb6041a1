"""One spectrum, whatever survey it comes from: arrays, what is known of it, and the checks that all readers share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from twin.io.spectra.wavelength import air_to_vacuum
from twin.schema import UserError

NO_IVAR, AND_MASK, OR_MASK = 1, 2, 4  # bits of `Spectrum.mask`
MASK_BITS = {
    NO_IVAR: "inverse variance zero or negative: the survey's pipeline does not vouch for the pixel",
    AND_MASK: "flagged in every exposure (and-mask not zero)",
    OR_MASK: "flagged in some exposure (or-mask or pixel mask not zero)",
}
FEWEST = 16  # pixels that a spectrum has at least
SHORTEST, LONGEST = 500.0, 1e6  # angstrom; beyond, a wavelength is none


@dataclass(frozen=True)
class Spectrum:
    """A spectrum, wavelengths ascending in vacuum.

    wavelength  (n,) float64, angstrom, vacuum
    flux        (n,) float64 in `unit`, finite everywhere, negative where the sky was over-subtracted
    ivar        (n,) float64, 1 / variance of `flux`; 0 where the file gives none (it says 0 or less); None = the file
                has no errors at all
    and_mask, or_mask  (n,) int32, the survey's own bits, zeros where it gives none
    normalised  (n,) flux over continuum as the survey's pipeline has it, where the file holds it beside `flux`

    The flux of a pixel is kept whatever `ivar` and the masks say, and they are never applied here: pipelines take the
    peaks of strong emission lines for cosmic rays and give them ivar <= 0, so that leaving such pixels out erases
    the line (H-alpha of -43 A becomes -3 A), and a network that sees the mask learns "masked = emission line".

    file, hdu   where it was read from;  survey  LAMOST-LRS, LAMOST-MRS, Ondrejov-CCD700 or SDSS
    layout      which of the survey's layouts the file has;  release  as the file names it, "" where it does not
    medium      "air" or "vacuum": what the file has (`wavelength` is vacuum always)
    unit        of the flux, VOUnit; "" = relative
    rectified   whether `flux` is divided by a continuum;  heliocentric  whether the file says that it is corrected to
    snr         band -> signal-to-noise ratio as the file gives it (u g r i z; "all" where there is one number)
    class_, subclass, z  of the survey's pipeline: "" and NaN where it gives none (z = -9999 is none)
    ra, dec     degrees, J2000, NaN where unknown;  name  of the object;  obsid  of the observation
    date        UTC, ISO 8601, "" = unknown;  mjd  days, NaN = unknown
    plate, spectrograph, fibre  "" and -1 where there are none
    """

    wavelength: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray | None
    and_mask: np.ndarray
    or_mask: np.ndarray
    file: str
    hdu: str
    survey: str
    layout: str
    medium: str
    unit: str
    rectified: bool
    normalised: np.ndarray | None = None
    release: str = ""
    heliocentric: bool = False
    snr: Mapping[str, float] = field(default_factory=dict)
    class_: str = ""
    subclass: str = ""
    z: float = float("nan")
    ra: float = float("nan")
    dec: float = float("nan")
    name: str = ""
    obsid: str = ""
    date: str = ""
    mjd: float = float("nan")
    plate: str = ""
    spectrograph: int = -1
    fibre: int = -1

    def __len__(self) -> int:
        return len(self.wavelength)

    @property
    def mask(self) -> np.ndarray:
        """(n,) uint8 of the bits MASK_BITS, the same for all surveys."""
        found = AND_MASK * (self.and_mask != 0) + OR_MASK * (self.or_mask != 0)
        if self.ivar is not None:
            found = found + NO_IVAR * (self.ivar <= 0)
        return found.astype(np.uint8)


@dataclass(frozen=True)
class Columns:
    """The arrays of a spectrum as a file has them, before they are checked."""

    wavelength: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray | None = None
    and_mask: np.ndarray | None = None
    or_mask: np.ndarray | None = None
    normalised: np.ndarray | None = None


def checked(columns: Columns, path: Path, place: str, medium: str) -> dict[str, np.ndarray | None]:
    """The arrays of a `Spectrum`: ascending, in vacuum, inverse variances never negative.

    Descending wavelengths (red exposures of LAMOST's medium resolution) are turned round. Raises UserError, naming file
    and HDU, for too few pixels, wavelengths out of order or out of the optical and its surroundings, values that are
    not finite, and where no pixel has a positive inverse variance.
    """
    wave = np.asarray(columns.wavelength, np.float64)
    if len(wave) < FEWEST:
        raise UserError(f"has {len(wave)} pixels: that is no spectrum", file=path, key=place)
    arrays = {
        "flux": np.asarray(columns.flux, np.float64),
        "ivar": None if columns.ivar is None else np.asarray(columns.ivar, np.float64),
        "normalised": None if columns.normalised is None else np.asarray(columns.normalised, np.float64),
        "and_mask": _bits(columns.and_mask, len(wave)),
        "or_mask": _bits(columns.or_mask, len(wave)),
    }
    uneven = {len(wave), *(len(values) for values in arrays.values() if values is not None)}
    if len(uneven) > 1:
        raise UserError(f"has columns of other lengths: {sorted(uneven)} pixels", file=path, key=place)
    for name, values in {"wavelength": wave, "flux": arrays["flux"], "ivar": arrays["ivar"]}.items():
        if values is not None and not np.isfinite(values).all():
            bad = np.flatnonzero(~np.isfinite(values))
            raise UserError(f"{len(bad)} values of {name} are not finite, pixel {bad[0]} first", file=path, key=place)
    steps = np.diff(wave)
    if (steps < 0).all():
        wave, steps = wave[::-1], -steps[::-1]
        arrays = {name: None if values is None else values[::-1] for name, values in arrays.items()}
    if not (steps > 0).all():
        at = int(np.flatnonzero(steps <= 0)[0])
        raise UserError(
            f"its wavelengths are out of order: {wave[at]:.6g} A at pixel {at}, {wave[at + 1]:.6g} A at the next",
            file=path,
            key=place,
        )
    if wave[0] < SHORTEST or wave[-1] > LONGEST:
        raise UserError(f"its wavelengths run from {wave[0]:.4g} to {wave[-1]:.4g} A", file=path, key=place)
    ivar = arrays["ivar"]
    if ivar is not None:
        if not (ivar > 0).any():
            raise UserError("its inverse variance is zero in all pixels", file=path, key=place)
        arrays["ivar"] = np.maximum(ivar, 0.0)
    return {"wavelength": air_to_vacuum(wave) if medium == "air" else wave, **arrays}


def _bits(values: np.ndarray | None, n: int) -> np.ndarray:
    """Mask bits as integers: LAMOST keeps them as floats."""
    if values is None:
        return np.zeros(n, np.int32)
    given = np.asarray(values)
    return (
        np.nan_to_num(given, nan=1).astype(np.int64).astype(np.int32)
        if given.dtype.kind == "f"
        else given.astype(np.int32)
    )
