"""The documents name only commands, options and files that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from twin.cli import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
COMMANDS = [
    (path.name, command)
    for path in DOCUMENTS
    for command in re.findall(r"(?:^|`)(twin [a-z][^`\n]*)", path.read_text(), re.MULTILINE)
]


@pytest.mark.parametrize(("document", "command"), COMMANDS)
def test_every_command_can_be_parsed(document: str, command: str) -> None:
    _, name, *words = shlex.split(command, comments=True)
    parsed = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    if words:  # a bare `twin verify` in a sentence names the command only
        parsed.make_context(name, words)  # raises on a mistake, runs nothing


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file(path: Path) -> None:
    links = re.findall(r"(?<!!)\]\(([^)#:]+)\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists() and not link.endswith(".png")] == []


def test_the_readme_has_commands_to_check() -> None:
    assert len(COMMANDS) > 10
