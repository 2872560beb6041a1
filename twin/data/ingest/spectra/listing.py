"""The files that are to be read, in a fixed order, written down before the first is opened."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from twin.io.atomic import atomic_path
from twin.schema import UserError

ENDINGS = (".fits", ".fits.gz", ".fit", ".fit.gz", ".fts", ".fts.gz")


def expand(given: Sequence[str]) -> list[str]:
    """Files named by paths, folders (all FITS files in them, however deep) and patterns ("DIR/*.fits.gz", "**" for any
    depth), sorted, none twice. Raises UserError where one of them names nothing."""
    found: set[str] = set()
    for word in given:
        if os.path.isdir(word):
            new = [
                os.path.join(folder, name)
                for folder, _, names in os.walk(word)
                for name in names
                if name.lower().endswith(ENDINGS)
            ]
            if not new:
                raise UserError(f"holds no FITS files ({', '.join(ENDINGS)})", file=word)
        elif os.path.exists(word):
            new = [word]
        elif glob.has_magic(word):
            new = [name for name in glob.iglob(word, recursive=True) if not os.path.isdir(name)]
            if not new:
                raise UserError("no file fits this pattern", file=word)
        else:
            raise UserError("no such file or folder", file=word)
        found.update(new)
    return sorted(found)


def write_list(path: Path, names: Sequence[str]) -> str:
    """One JSON string a line, so that any name can stand there; returns the SHA-256 of the file."""
    digest = hashlib.sha256()
    with atomic_path(path) as part, open(part, "xb") as file:
        for name in names:
            line = json.dumps(name).encode() + b"\n"
            digest.update(line)
            file.write(line)
    return digest.hexdigest()


def read_list(path: Path, start: int = 0) -> Iterator[str]:
    """The names from line `start` (from 0) on."""
    with open(path, "rb") as file:
        for line in islice(file, start, None):
            yield json.loads(line)
