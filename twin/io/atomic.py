"""Files that are written whole or not at all: temporary file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twin.schema import UserError

PART = ".part"  # ending of a file or folder that is still being written

_PLAIN = {
    errno.ENOSPC: "the disk is full; nothing was kept of this file",
    errno.EDQUOT: "the disk quota is used up; nothing was kept of this file",
    errno.EACCES: "no permission to write here",
    errno.EPERM: "no permission to write here",
    errno.EROFS: "this disk is read-only",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EEXIST: "a file stands where a folder is needed",
    errno.EISDIR: "this is a folder, a file is to be written",
    errno.ENAMETOOLONG: "this file name is too long",
}


@contextmanager
def plain_disk_errors(path: str | Path) -> Iterator[None]:
    """Turn what the disk refuses (full, read-only, no permission) into a UserError that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in _PLAIN:
            raise UserError(_PLAIN[error.errno], file=path) from error
        raise


def check_target(path: str | Path) -> None:
    """Refuse a path to which no file can be written, before the work of hours. Raises UserError."""
    path = Path(path)
    place = path.absolute().parent
    while not place.exists():
        place = place.parent
    if path.exists() and not path.is_dir() and not path.is_file():
        raise UserError("is a device or a pipe, a file is to be written", file=path)  # renaming would remove it
    for refused, error in ((path.is_dir(), errno.EISDIR), (not place.is_dir(), errno.ENOTDIR),
                           (not os.access(place, os.W_OK), errno.EACCES)):  # fmt: skip
        if refused:
            raise UserError(_PLAIN[error], file=path)


def fsync_folder(path: str | Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: str | Path) -> None:
    """mkdir -p whose new names survive a power cut."""
    path = Path(path)
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    fsync_folder(path.parent)


def _part_beside(path: Path) -> Path:
    if path.name in ("", ".."):
        raise UserError("give what is to be written a name of its own", file=path)
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")


def clear_parts(path: str | Path) -> None:
    """Remove what a killed writer of `path` left beside it. Only for files that have one writer at a time."""
    path = Path(path)
    for left in path.parent.glob(f".{path.name}.*{PART}"):
        left.unlink(missing_ok=True)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path to write to; it takes the name `path` when the block ends, and is removed if the block fails.

    Raises UserError when the disk is full or refuses.
    """
    path = Path(path)
    check_target(path)
    with plain_disk_errors(path):
        make_folder(path.parent)
        part = _part_beside(path)
        try:
            yield part
            with open(part, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)


def write_bytes(path: str | Path, data: bytes | memoryview) -> None:
    """Write a file whole or not at all. Raises UserError when the disk is full or refuses."""
    with atomic_path(path) as part, open(part, "xb") as file:
        file.write(data)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON whole or not at all; NaN and infinity are refused (ValueError), they are no JSON."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder to fill; it takes the name `path` when the block ends, and is removed if the block fails.

    Raises UserError when `path` exists (an empty folder may), or the disk is full or refuses.
    """
    path = Path(path)
    with plain_disk_errors(path):
        make_folder(path.absolute().parent)
        part = _part_beside(path)
        part.mkdir()
        try:
            yield part
            for folder, _, names in os.walk(part):
                for name in names:
                    with open(os.path.join(folder, name), "rb+") as file:
                        os.fsync(file.fileno())
                fsync_folder(folder)
            try:
                os.rename(part, path)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise UserError("exists already", file=path) from error
                raise
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        fsync_folder(path.absolute().parent)
