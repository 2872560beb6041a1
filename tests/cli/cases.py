"""One bad command line: what it needs, what its one line must say, and how files get damaged."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from twin.cli import main


@dataclass(frozen=True)
class Case:
    """A command, run in an empty folder, and words that its one line must hold.

    files   written before: name -> text or bytes
    before  what else is done to the folder before
    """

    command: str
    words: tuple[str, ...]
    files: dict[str, str | bytes] | None = None
    before: Callable[[Path], object] | None = None


def snapshot(folder: Path) -> dict[str, str]:
    """Every file and folder with a hash of its bytes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
    return found


def check(case: Case, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in (case.files or {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    if case.before:
        case.before(folder)
    before = snapshot(folder)
    capsys.readouterr()
    code = main(shlex.split(case.command))
    out, err = capsys.readouterr()
    assert code == 2, f"exit code {code}; {out}; {err}"
    lines = err.splitlines()
    assert len(lines) == 1, f"not one line: {err}"
    for word in case.words:
        assert word in lines[0], f"{word!r} is not in {lines[0]!r}"
    assert "Traceback" not in out + err
    after = snapshot(folder)
    assert after == before, f"left behind: {sorted(set(after.items()) ^ set(before.items()))}"


def truncate(pattern: str) -> Callable[[Path], None]:
    """Cut the last file that matches to half its length."""

    def cut(folder: Path) -> None:
        path = sorted(p for p in folder.glob(pattern) if p.is_file())[-1]
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return cut


def remove(pattern: str) -> Callable[[Path], None]:
    """Remove the last file that matches."""
    return lambda folder: sorted(p for p in folder.glob(pattern) if p.is_file())[-1].unlink()


def flip(pattern: str) -> Callable[[Path], None]:
    """Flip one bit in the middle of the last file that matches."""

    def change(folder: Path) -> None:
        path = sorted(p for p in folder.glob(pattern) if p.is_file())[-1]
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    return change


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Change every `old` of a text file to `new`."""

    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change
