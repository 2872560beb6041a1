"""Spectra (PHA files, OGIP/92-007): counts by channel, with what is needed to compare source and background."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twin.io.xray.responses import column, save_tables, table_of
from twin.io.xray.tangent import number
from twin.schema import UserError


@dataclass(frozen=True)
class Spectrum:
    """Counts of one region.

    channel   (n,) numbers;  counts  (n,)
    exposure  [s];  backscale  area of the region, in the file's own unit: source over background scales the background
    response, area, background  names of the files its header asks for; "" for none
    """

    channel: np.ndarray
    counts: np.ndarray
    exposure: float
    backscale: float = 1.0
    response: str = ""
    area: str = ""
    background: str = ""


def read_spectrum(path: str | Path) -> Spectrum:
    """Read a PHA file, of counts or of rates. Raises UserError in one line for what cannot be used."""
    path = Path(path)
    rows, header, place = table_of(path, ("SPECTRUM",), "spectrum")
    exposure = number(header, "EXPOSURE", path, place)
    if exposure <= 0:
        raise UserError(f"EXPOSURE is {exposure:g} s: nothing was exposed", file=path, key=place)
    names = [n.upper() for n in rows.columns.names]
    if "COUNTS" not in names and "RATE" not in names:
        raise UserError("no column COUNTS, nor RATE", file=path, key=place)
    counts = column(rows, "COUNTS", path, place) if "COUNTS" in names else column(rows, "RATE", path, place) * exposure
    channel = column(rows, "CHANNEL", path, place).astype(int)
    if not len(channel):
        raise UserError("has no rows", file=path, key=place)
    if (np.diff(channel) <= 0).any():
        raise UserError("CHANNEL is not increasing", file=path, key=place)
    scale = (
        column(rows, "BACKSCAL", path, place)[0]
        if "BACKSCAL" in names
        else number(header, "BACKSCAL", path, place, 1.0)
    )
    if scale <= 0:
        raise UserError(f"BACKSCAL is {scale:g}: a region of no size", file=path, key=place)
    files = [str(header.get(key, "")).strip() for key in ("RESPFILE", "ANCRFILE", "BACKFILE")]
    files = ["" if name.upper() == "NONE" else name for name in files]
    return Spectrum(channel, counts, exposure, float(scale), *files)


def write_spectrum(path: str | Path, spectrum: Spectrum, telescope: str = "", instrument: str = "") -> None:
    """Write a PHA file of counts with Poisson errors."""
    cards: dict[str, object] = {
        "TELESCOP": telescope,
        "INSTRUME": instrument,
        "FILTER": "NONE",
        "HDUCLAS1": "SPECTRUM",
        "HDUCLAS2": "TOTAL",
        "HDUCLAS3": "COUNT",
        "HDUVERS": "1.2.1",
        "POISSERR": True,
        "CHANTYPE": "PI",
        "DETCHANS": len(spectrum.channel),
        "TLMIN1": int(spectrum.channel[0]),
        "TLMAX1": int(spectrum.channel[-1]),
        "EXPOSURE": float(spectrum.exposure),
        "BACKSCAL": float(spectrum.backscale),
        "AREASCAL": 1.0,
        "CORRSCAL": 1.0,
        "CORRFILE": "NONE",
        "RESPFILE": spectrum.response or "NONE",
        "ANCRFILE": spectrum.area or "NONE",
        "BACKFILE": spectrum.background or "NONE",
        "STAT_ERR": 0,
        "SYS_ERR": 0,
        "QUALITY": 0,
        "GROUPING": 0,
    }
    columns = [("CHANNEL", "I", "", spectrum.channel), ("COUNTS", "J", "count", np.asarray(spectrum.counts, np.int32))]
    save_tables(path, [("SPECTRUM", columns, cards)])
