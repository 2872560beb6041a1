"""Event lists written chunk by chunk, with the columns and cards of Einstein Probe's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from twin.io.atomic import atomic_path
from twin.io.xray.events import ABSENT, FORMS, Events
from twin.io.xray.tangent import Tangent

_UNITS = {"time": "s", "rawx": "pixel", "rawy": "pixel", "pi": "chan"}


def write_events(
    path: str | Path,
    chunks: Iterable[Events],
    gti: np.ndarray,
    exposure: float,
    sky: Tangent | None = None,
    channels: int = 1024,
    side: int = 4096,
    pixel: float = 0.015,
    cards: Mapping[str, object] | None = None,
) -> int:
    """Write a list chunk by chunk, whole or not at all; returns the number of events.

    gti       (n, 2) [s]
    sky       projection of x and y; without it the list has detector coordinates only
    channels  number of PI channels, from 0;  side, pixel  of the detector [pixel], [mm]
    cards     of both headers (TELESCOP, INSTRUME, DETNAM, OBS_ID, MJDREFI, TIMEDEL, ...)
    """
    from astropy.io import fits

    gti = np.asarray(gti, float).reshape(-1, 2)
    order = [name for name in FORMS if sky is not None or name not in ("x", "y")]
    common = {
        "TIMESYS": "TT",
        "TIMEUNIT": "s",
        "TSTART": float(gti[:, 0].min()) if len(gti) else 0.0,
        "TSTOP": float(gti[:, 1].max()) if len(gti) else 0.0,
        "EXPOSURE": float(exposure),
        "ONTIME": float((gti[:, 1] - gti[:, 0]).sum()),
        "LIVETIME": float(exposure),
        "RADECSYS": "FK5",
        "EQUINOX": 2000.0,
        **(cards or {}),
    }
    forms = {"D": ">f8", "I": ">i2", "J": ">i4"}
    kind = np.dtype([(name, forms[FORMS[name]]) for name in order])
    header = _event_header(order, kind.itemsize, sky, channels, side, pixel, common)
    count = 0
    with atomic_path(path) as part, open(part, "xb") as stream:
        primary = fits.PrimaryHDU().header
        primary.update(common)
        stream.write(primary.tostring().encode("ascii"))
        at = stream.tell()
        stream.write(header.tostring().encode("ascii"))
        for events in chunks:
            rows = np.empty(len(events), kind)
            for name in order:
                rows[name] = getattr(events, name)
            stream.write(rows.tobytes())
            count += len(rows)
        stream.write(b"\0" * (-count * kind.itemsize % 2880))
        table = fits.BinTableHDU.from_columns(
            [fits.Column(n, "1D", "s", array=gti[:, k]) for k, n in enumerate(("START", "STOP"))], name="GTI"
        )
        table.header.update({"HDUCLASS": "OGIP", "HDUCLAS1": "GTI", "HDUCLAS2": "STANDARD", **common})
        stream.write(table.header.tostring().encode("ascii"))
        data = gti.astype(">f8").tobytes()
        stream.write(data + b"\0" * (-len(data) % 2880))
        header["NAXIS2"] = header["NEVENTS"] = count  # now known, in a card of the same length
        stream.seek(at)
        stream.write(header.tostring().encode("ascii"))
    return count


def _event_header(
    order: list[str], width: int, sky: Tangent | None, channels: int, side: int, pixel: float, common: Mapping
) -> Any:
    from astropy.io import fits

    made = fits.Header()
    made["XTENSION"] = "BINTABLE"
    for key, value in (("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", width), ("NAXIS2", 0), ("PCOUNT", 0), ("GCOUNT", 1)):
        made[key] = value
    made["TFIELDS"] = len(order)
    for n, name in enumerate(order, 1):
        made[f"TTYPE{n}"], made[f"TFORM{n}"] = name.upper(), f"1{FORMS[name]}"
        if name in _UNITS:
            made[f"TUNIT{n}"] = _UNITS[name]
    made.update({"EXTNAME": "EVENTS", "HDUCLASS": "OGIP", "HDUCLAS1": "EVENTS", "NEVENTS": 0})
    at = {name: n for n, name in enumerate(order, 1)}
    middle = (side + 1) / 2
    for name in ("rawx", "rawy", "detx", "dety"):
        n = at[name]
        raw = name.startswith("raw")
        made.update({f"TLMIN{n}": 1, f"TLMAX{n}": side, f"TCTYP{n}": name.upper(), f"TCRPX{n}": middle})
        made.update({f"TCRVL{n}": middle if raw else 0.0, f"TCDLT{n}": 1.0 if raw else pixel})
        if not raw:
            made[f"TCUNI{n}"] = "mm"
    if sky is not None:
        (a, b), (c, d) = sky.matrix
        if b or c:
            raise ValueError("the projection of an event list's columns cannot be turned")
        for k, (name, kind, step) in enumerate((("x", "RA---TAN", a), ("y", "DEC--TAN", d))):
            n = at[name]
            made.update({f"TCTYP{n}": kind, f"TCUNI{n}": "deg", f"TCRPX{n}": sky.reference[k]})
            made.update({f"TCRVL{n}": sky.centre[k], f"TCDLT{n}": step, f"TNULL{n}": ABSENT})
    made.update({f"TLMIN{at['grade']}": 0, f"TLMAX{at['grade']}": 32})
    made.update({f"TLMIN{at['pi']}": 0, f"TLMAX{at['pi']}": channels - 1})
    made.update(common)
    return made
