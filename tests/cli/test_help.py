"""Help, exit codes and the promise that the command line starts at once."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from twin import __version__
from twin.cli import app, main

COMMANDS = (
    "recipes", "simulate", "verify", "inspect", "export", "telemetry", "psf", "flats", "calibrate", "ingest", "train",
    "predict", "evaluate", "demo",
)  # fmt: skip
SLOW_LIBRARIES = ("jax", "flax", "zarr", "galsim", "lenstronomy", "astropy", "numpy", "matplotlib", "pyarrow")


def test_the_commands_are_the_promised_ones() -> None:
    assert tuple(typer.main.get_command(app).commands) == COMMANDS  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example_of_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"Example: twin {command}" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_example_can_be_parsed(command: str) -> None:
    """The example names only options that exist, and gives every one that is required."""
    parsed = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    words = parsed.epilog.removeprefix(f"Example: twin {command}").split()
    parsed.make_context(command, words)  # raises on a mistake, runs nothing


def test_help_imports_no_science_library() -> None:
    program = (
        "import sys\nfrom twin.cli import main\n"
        f"assert main(['--help']) == 0\nprint(sorted(set(sys.modules) & set({SLOW_LIBRARIES!r})), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.strip() == "[]"
    assert "simulate" in done.stdout


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"twin {__version__}\n"


def test_a_bare_call_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert "Usage: twin" in out + err
    assert "Traceback" not in out + err
