"""Exposures from the headers of FITS files, or from text dumps of headers: nothing but headers is read."""

from __future__ import annotations

import gzip
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np

from twin.io.tables import plain_read_errors
from twin.schema import UserError

if TYPE_CHECKING:
    from astropy.table import Table

log = logging.getLogger(__name__)

BLOCK = 2880
MAX_CARDS = 36 * 1000  # of one header: beyond it, a file is broken or hostile
MAX_FILES = 200_000
ENDINGS = (".fits", ".fit", ".fts", ".fits.fz", ".fz", ".fits.gz", ".fit.gz", ".hdr", ".head", ".txt", ".txt.gz")
Header = dict[str, tuple[object, str]]  # keyword -> (value, comment); value None = undefined


class Readable(Protocol):
    def read(self, count: int, /) -> bytes: ...


_VALUE = re.compile(r"\s*(?:'((?:[^']|'')*)'|([^/]*))\s*(?:/\s*(.*))?")
_TEXT_CARD = re.compile(r"(?:[A-Z0-9_-]{1,8} *=|HIERARCH |COMMENT|HISTORY|CONTINUE|END *$| *$|#)")


def read_headers(path: str | Path) -> Table:
    """A table with one row a file: the cards of its first header, and of the second where the first has no data.

    path  a file (FITS, compressed or gzipped, or a text dump of cards), or a folder of them (sub-folders too)
    Columns are keywords as the files spell them (HIERARCH ones without that word), numbers as float64 with NaN where a
    file has none, everything else as text, "" where a file has none. `meta["files"]`: the file of each row;
    `meta["comments"]`: keyword -> comment of the first file that has one; `meta["bare"]` = True: no units.
    Files of a folder that cannot be read are named in a warning and left out. Raises UserError where nothing is left.
    """
    path = Path(path)
    if not path.is_dir():
        return _table([(path.name, header_of(path))])
    files = sorted(p for p in path.rglob("*") if p.name.lower().endswith(ENDINGS) and p.is_file())
    if not files:
        raise UserError(f"holds no FITS files or header dumps ({', '.join(ENDINGS)})", file=path)
    if len(files) > MAX_FILES:
        raise UserError(f"holds more than {MAX_FILES} files", file=path)
    rows: list[tuple[str, Header]] = []
    refused: list[UserError] = []
    for file in files:
        try:
            rows.append((str(file.relative_to(path)), header_of(file)))
        except UserError as error:
            refused.append(error)
    if not rows:
        raise UserError(f"none of {len(files)} files has a readable header: {refused[0]}", file=path)
    for each in refused[:5]:
        log.warning("left out: %s", each)
    if len(refused) > 5:
        log.warning("left out: %d more such files in %s", len(refused) - 5, path)
    return _table(rows)


def header_of(path: Path) -> Header:
    """Cards of one file. Raises UserError, naming it, where it is missing, truncated in its header, or no FITS file."""
    with plain_read_errors(path):
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream: BinaryIO = gzip.GzipFile(fileobj=raw) if zipped else raw  # type: ignore[assignment]
            start = stream.read(80)
            if not start:
                raise UserError("the file is empty", file=path)
            if start.startswith(b"SIMPLE") and b"\n" not in start:
                return _fits(path, stream, start)
            return _dump(path, start + stream.read(MAX_CARDS * 81))


def _fits(path: Path, stream: BinaryIO, start: bytes) -> Header:
    header = parse_cards(read_header_cards(path, stream, start, "its header"))
    if header.get("NAXIS", (0, ""))[0] == 0:  # no data in between: the next header follows at once
        first = stream.read(80)
        if first.startswith(b"XTENSION"):
            second = parse_cards(read_header_cards(path, stream, first, "the header of HDU 1"))
            header = {**second, **header}  # the primary header speaks for the exposure
    return header


def read_header_cards(path: Path, stream: Readable, start: bytes, what: str) -> Iterator[str]:
    """The 80-character cards of one header up to END; leaves the stream at the end of its last block."""
    block = start + stream.read(BLOCK - len(start))
    for count in range(MAX_CARDS // 36):
        if len(block) < BLOCK:
            raise UserError(f"is truncated in {what}", file=path)
        text = block.decode("ascii", "replace")
        for k in range(0, BLOCK, 80):
            card = text[k : k + 80]
            if card[:8] == "END     " or card.rstrip() == "END":
                return
            if count == 0 and k == 80 and "=" not in card[:9] and not card.startswith(("COMMENT", "HISTORY")):
                raise UserError("is no FITS file: its second card is none", file=path)
            yield card
        block = stream.read(BLOCK)
    raise UserError(f"has no END in the first {MAX_CARDS} cards of {what}", file=path)


def is_dump(data: bytes) -> bool:
    """Whether bytes are the beginning of a text dump of a header: cards, one a line."""
    lines = data[:6000].decode("utf-8", "replace").splitlines()
    lines = [line for line in (lines[:-1] if len(data) > 6000 else lines) if line.strip()]
    cards = sum(bool(_TEXT_CARD.match(line)) for line in lines)
    return (
        b"\0" not in data and len(lines) >= 3 and any("= " in line[:40] for line in lines) and cards >= 0.8 * len(lines)
    )


def _dump(path: Path, data: bytes) -> Header:
    """Cards of a text dump, one a line."""
    if not is_dump(data):
        raise UserError("is neither a FITS file nor a text dump of a header", file=path)
    return parse_cards(iter(data.decode("utf-8", "replace").splitlines()))


def parse_cards(cards: Iterator[str]) -> Header:
    """Keyword -> (value, comment) of header cards; the first of a keyword that stands twice, long strings joined.

    FITS standard 4.0, sections 4.2 (values) and 4.2.1.2 (CONTINUE); the HIERARCH convention of ESO.
    """
    header: Header = {}
    last = ""
    for card in cards:
        word = card[:8].rstrip()
        if word == "CONTINUE" and last and isinstance(header[last][0], str):
            value, comment = _value(card[8:])
            before = str(header[last][0])
            header[last] = (before.removesuffix("&") + str(value or ""), comment or header[last][1])
            continue
        name, equals, rest = card.partition("=")
        if word.startswith("HIERARCH"):
            name = " ".join(name[8:].split())
        elif len(name) > 8 or word in ("COMMENT", "HISTORY", ""):
            continue
        name = name.strip()
        if not equals or not name or name in header:
            last = ""
            continue
        header[name] = _value(rest)
        last = name if str(header[name][0]).endswith("&") else ""
    return header


def _value(text: str) -> tuple[object, str]:
    match = _VALUE.match(text)
    if match is None:
        return None, ""
    quoted, plain, comment = match.groups()
    if quoted is not None:
        return quoted.replace("''", "'").rstrip(), (comment or "").strip()
    word = plain.strip()
    value: object = word
    if word in ("T", "F"):
        value = word == "T"
    elif not word:
        value = None
    else:
        try:
            value = float(word.replace("D", "E"))
        except ValueError:
            pass
    return value, (comment or "").strip()


def _table(rows: list[tuple[str, Header]]) -> Table:
    from astropy.table import QTable

    comments: dict[str, str] = {}
    for _, header in rows:
        for name, (_, comment) in header.items():
            if comment or name not in comments:
                comments[name] = comments.get(name) or comment
    table = QTable(meta={"bare": True, "files": [name for name, _ in rows], "comments": comments})
    for name in comments:
        values = [header[name][0] if name in header else None for _, header in rows]
        if all(isinstance(value, float | None) for value in values):
            table[name] = np.array([np.nan if value is None else value for value in values])
        else:
            table[name] = [_text(value) for value in values]
    return table


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return str(value)
