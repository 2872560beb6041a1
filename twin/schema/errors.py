"""The one line that a user's mistake ends in."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class UserError(ValueError):
    """A user's mistake: str() is one line `file:line: key: problem; did you mean "x"?`. The CLI exits with code 2.

    It is a ValueError, so that a pydantic validator may raise it: `validate` keeps its problem and suggestion.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        line: int | None = None,
        key: str | None = None,
        suggestion: str | None = None,
    ) -> None:
        self.problem = " ".join(str(problem).split())
        self.file = None if file is None else str(file)
        self.line, self.key, self.suggestion = line, key, suggestion
        place = self.file if line is None or self.file is None else f"{self.file}:{line}"
        text = ": ".join(one_line(part) for part in (place, key, self.problem) if part)
        super().__init__(text if suggestion is None else f'{text}; did you mean "{one_line(suggestion)}"?')


def one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def suggest(word: str, options: Iterable[str]) -> str | None:
    """The option that `word` was probably meant to be, or None."""
    by_lower = {option.lower(): option for option in map(str, options)}
    found = difflib.get_close_matches(str(word).lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def show(value: Any) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case str():
            return f'"{value if len(value) <= 60 else value[:57] + "..."}"'
    return str(value)
