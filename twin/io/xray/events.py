"""Event lists: photons with time, place, pulse height and grade, in good time intervals (OGIP memo OGIP/94-003).

    file = open_events("x.evt")              # headers and GTI only
    for events in file.chunks(): ...         # 2 GB in the memory of one chunk
    file, events = read_events("x.evt")      # a small one, sorted by time

What a list must have is said in one line where it lacks it; what can be set right is, and is counted in a `Tally`:
times that are no numbers, events outside the good time, channels outside the legal range.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from twin.io.xray.hdus import Hdu, open_stream, row_type, table_rows, walk
from twin.io.xray.tangent import Tangent, number, of_columns
from twin.schema import UserError, suggest

log = logging.getLogger(__name__)

CHUNK = 1 << 18  # rows: 9 MB of an EP list
ABSENT = -1  # where a list has no such column: the null that EP's own lists use for places
_PLACES = ("x", "y", "detx", "dety", "rawx", "rawy")
FORMS = {"time": "D", "rawx": "I", "rawy": "I", "detx": "I", "dety": "I", "x": "I", "y": "I", "grade": "I", "pi": "J"}


@dataclass(frozen=True)
class Events:
    """Photons, one an element; a column that the list lacks is ABSENT throughout.

    time        seconds from the list's reference
    x, y        pixels of the sky projection, from 1
    detx, dety  pixels of the detector as the sky sees it, from 1
    rawx, rawy  pixels as they are read out, from 1
    pi          channel of the pulse height after gain correction
    grade       number of the pattern of pixels
    """

    time: np.ndarray
    x: np.ndarray
    y: np.ndarray
    detx: np.ndarray
    dety: np.ndarray
    rawx: np.ndarray
    rawy: np.ndarray
    pi: np.ndarray
    grade: np.ndarray

    def __len__(self) -> int:
        return len(self.time)

    def __getitem__(self, which: np.ndarray | slice) -> Events:
        return Events(**{f.name: getattr(self, f.name)[which] for f in fields(self)})

    @staticmethod
    def joined(parts: Iterable[Events]) -> Events:
        parts = list(parts) or [_empty()]
        return Events(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Events)})


def _empty() -> Events:
    kinds = {"D": np.float64, "I": np.int16, "J": np.int32}
    return Events(**{f.name: np.zeros(0, kinds[FORMS[f.name]]) for f in fields(Events)})


@dataclass
class Tally:
    """What became of a list's rows."""

    rows: int = 0
    kept: int = 0
    no_time: int = 0
    outside_gti: int = 0
    bad_channel: int = 0

    def faults(self) -> str:
        """In words, what was left out; "" where nothing was."""
        told = {
            "with a time that is no number": self.no_time,
            "outside the good time intervals": self.outside_gti,
            "with PI outside the legal channels": self.bad_channel,
        }
        return ", ".join(f"{count} {what}" for what, count in told.items() if count)


@dataclass(frozen=True)
class EventFile:
    """What the headers of a list say.

    columns   names the list has, in lower case
    gti       (n, 2) start and stop [s], in order, without overlap
    exposure  [s]
    sky       projection of x and y; None where the list has none (asking for a position is then an error)
    pixel     side of a detector pixel [mm]; nan where the list does not say
    channels  least and greatest legal PI
    header    cards of the EVENTS header
    """

    path: Path
    rows: int
    columns: tuple[str, ...]
    gti: np.ndarray
    exposure: float
    sky: Tangent | None
    pixel: float
    channels: tuple[int, int]
    header: Mapping[str, object]
    hdu: Hdu

    def projection(self) -> Tangent:
        """The sky projection. Raises UserError, naming the cards it would need, where the list has none."""
        if self.sky is None:
            numbers = self.hdu.columns()
            need = ", ".join(f"TCTYP{numbers[c]}" for c in ("X", "Y") if c in numbers) or "columns X, Y"
            raise UserError(f"has no sky coordinates: {need} missing", file=self.path, key=self.hdu.place)
        return self.sky

    def has(self, *names: str) -> None:
        """Raises UserError where a column is missing."""
        for name in names:
            if name not in self.columns:
                close = suggest(name, self.columns)
                raise UserError(f"no column {name.upper()}", file=self.path, key=self.hdu.place, suggestion=close)

    def chunks(self, tally: Tally | None = None, at_once: int = CHUNK) -> Iterator[Events]:
        """Events in the list's order, `at_once` rows read at a time; counts into `tally` what is left out."""
        tally = Tally() if tally is None else tally
        names = [name.upper() for name in FORMS if name in self.columns]
        numbers = self.hdu.columns()
        zero = float(self.header.get("TIMEZERO", 0.0) or 0.0)  # type: ignore[arg-type]
        null = self.header.get(f"TNULL{numbers['PI']}")
        starts, stops = self.gti[:, 0], self.gti[:, 1]
        with open_stream(self.path) as stream:
            for chunk in table_rows(stream, self.hdu, names, self.path, at_once):
                count = len(chunk["TIME"])
                time = chunk["TIME"] + zero
                known = np.isfinite(time)
                before = np.searchsorted(starts, np.where(known, time, -np.inf), side="right") - 1
                good = (before >= 0) & (time <= stops[np.maximum(before, 0)])
                pi = chunk["PI"]
                legal = (pi >= self.channels[0]) & (pi <= self.channels[1])
                if null is not None:
                    legal &= pi != null
                keep = known & good & legal
                tally.rows += count
                tally.kept += int(keep.sum())
                tally.no_time += int((~known).sum())
                tally.outside_gti += int((known & ~good).sum())
                tally.bad_channel += int((known & good & ~legal).sum())
                chunk["TIME"] = time
                absent = np.full(int(keep.sum()), ABSENT, np.int16)
                yield Events(
                    **{
                        f.name: chunk[f.name.upper()][keep] if f.name in self.columns else absent
                        for f in fields(Events)
                    }
                )


def open_events(path: str | Path) -> EventFile:
    """Headers and good time of an event list, no event yet. Raises UserError for what cannot be used.

    Without a GTI extension the interval TSTART to TSTOP counts, said in a warning.
    """
    path = Path(path)
    hdus = walk(path)
    hdu = next((h for h in hdus if h.name.upper() == "EVENTS"), None)
    if hdu is None:
        hdu = next((h for h in hdus if str(h.header.get("HDUCLAS1", "")).upper() == "EVENTS"), None)
    if hdu is None or "TFIELDS" not in hdu.header:
        names = ", ".join(h.name for h in hdus if h.name)
        raise UserError(f"holds no EVENTS table, only {names}", file=path)
    numbers = hdu.columns()
    columns = tuple(name.lower() for name in numbers if name.lower() in FORMS)
    header = {**hdus[0].header, **hdu.header}
    if "pi" not in columns and "pha" in (name.lower() for name in numbers):
        raise UserError("has PHA but no PI: its gain is not corrected", file=path, key=hdu.place)
    for need in ("time", "pi"):
        if need not in columns:
            close = suggest(need.upper(), numbers)
            raise UserError(f"no column {need.upper()}", file=path, key=hdu.place, suggestion=close)
    if not any({a, b} <= set(columns) for a, b in zip(_PLACES[::2], _PLACES[1::2], strict=True)):
        raise UserError("no columns X, Y or DETX, DETY or RAWX, RAWY", file=path, key=hdu.place)
    row_type(hdu, [name.upper() for name in columns], path)  # refuses what could not be read, before anything is
    sky = of_columns(hdu.header, numbers["X"], numbers["Y"], path, hdu.place) if {"x", "y"} <= set(columns) else None
    pixel = _pixel(hdu, numbers)
    gti = _gti(path, hdus, hdu, header)
    pi = numbers["PI"]
    low, high = (number(hdu.header, f"{key}{pi}", path, hdu.place, d) for key, d in (("TLMIN", 0), ("TLMAX", 32767)))
    return EventFile(
        path=path,
        rows=hdu.rows,
        columns=columns,
        gti=gti,
        exposure=_exposure(path, hdu, header, gti),
        sky=sky,
        pixel=pixel,
        channels=(int(low), int(high)),
        header=header,
        hdu=hdu,
    )


def read_events(path: str | Path, at_once: int = CHUNK) -> tuple[EventFile, Events]:
    """A list's header and all its events, sorted by time; a warning tells what was left out."""
    file, tally = open_events(path), Tally()
    events = Events.joined(file.chunks(tally, at_once))
    if faults := tally.faults():
        log.warning("%s: %s: of %d events left out: %s", file.path, file.hdu.place, tally.rows, faults)
    if np.any(np.diff(events.time) < 0):
        events = events[np.argsort(events.time, kind="stable")]
    return file, events


def _pixel(hdu: Hdu, numbers: Mapping[str, int]) -> float:
    n = numbers.get("DETX", 0)
    step = hdu.header.get(f"TCDLT{n}")
    told = hdu.header.get(f"TCUNI{n}") == "mm" and isinstance(step, int | float)
    return abs(float(step)) if told else float("nan")  # type: ignore[arg-type]


def _gti(path: Path, hdus: list[Hdu], events: Hdu, header: Mapping[str, object]) -> np.ndarray:
    """(n, 2), in order, overlapping and touching intervals joined."""
    found = [
        h
        for h in hdus
        if "TFIELDS" in h.header
        and ("GTI" in h.name.upper() or str(h.header.get("HDUCLAS1", "")).upper() == "GTI")
        and {"START", "STOP"} <= set(h.columns())
    ]
    if not found:
        if "TSTART" not in header or "TSTOP" not in header:
            raise UserError("has no GTI table, and no TSTART and TSTOP", file=path, key=events.place)
        log.warning("%s: no GTI table: everything from TSTART to TSTOP counts as good", path)
        pairs = np.array([[number(header, key, path, events.place) for key in ("TSTART", "TSTOP")]])
        place = events.place
    else:
        hdu, place = found[0], found[0].place
        with open_stream(path) as stream:
            parts = list(table_rows(stream, hdu, ["START", "STOP"], path, CHUNK))
        pairs = np.concatenate([np.stack([p["START"], p["STOP"]], 1) for p in parts] or [np.zeros((0, 2))])
        pairs = pairs + number(hdu.header, "TIMEZERO", path, place, 0.0)
    bad = ~np.isfinite(pairs).all(1) | (pairs[:, 1] < pairs[:, 0])
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        start, stop = pairs[row]
        raise UserError(f"row {row + 1} runs from {start:g} to {stop:g}", file=path, key=place)
    if not len(pairs) or not (pairs[:, 1] > pairs[:, 0]).any():
        raise UserError("no good time at all", file=path, key=place)
    pairs = pairs[np.argsort(pairs[:, 0])]
    reach = np.maximum.accumulate(pairs[:, 1])
    first = np.concatenate([[True], pairs[1:, 0] > reach[:-1]])
    last = np.concatenate([first[1:], [True]])
    return np.stack([pairs[first, 0], reach[last]], 1)


def _exposure(path: Path, hdu: Hdu, header: Mapping[str, object], gti: np.ndarray) -> float:
    key = next((key for key in ("EXPOSURE", "LIVETIME", "ONTIME") if key in header), None)
    if key is None:
        log.warning("%s: no EXPOSURE: the length of its good time counts", path)
        return float((gti[:, 1] - gti[:, 0]).sum())
    exposure = number(header, key, path, hdu.place)
    if exposure <= 0:
        raise UserError(f"{key} is {exposure:g} s: nothing was exposed", file=path, key=hdu.place)
    return exposure
