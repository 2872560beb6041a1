"""Setting up devices, each case in a process of its own: a backend starts once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from twin.numerics.devices import TESTED_FLAGS, cpu_cores, setup_devices

PROGRAM = """
import os, sys
from twin.numerics.devices import setup_devices
count = setup_devices(*map(int, sys.argv[1:]))
import jax
print(count, len(jax.devices("cpu")), os.environ["XLA_FLAGS"])
"""


def run(*arguments: str, **environment: str) -> tuple[int, int, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**kept, "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    count, devices, *flags = done.stdout.split()
    return int(count), int(devices), " ".join(flags)


def test_one_device_a_core_unless_told_otherwise() -> None:
    assert run()[:2] == (cpu_cores(), cpu_cores())


def test_the_environment_decides_before_the_default() -> None:
    assert run(JAX_NUM_CPU_DEVICES="1")[:2] == (1, 1)


def test_the_caller_decides_before_the_environment() -> None:
    assert run("3", JAX_NUM_CPU_DEVICES="1")[:2] == (3, 3)


def test_the_users_flags_stay() -> None:
    flags = run(XLA_FLAGS="--xla_cpu_prefer_vector_width=256")[2]
    assert flags == "--xla_cpu_prefer_vector_width=256"


def test_flags_are_set_for_tested_versions_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr("twin.numerics.devices.version", lambda name: "99.0")
    setup_devices()
    assert os.environ["XLA_FLAGS"] == ""
    tested = next(iter(TESTED_FLAGS))
    monkeypatch.setattr("twin.numerics.devices.version", lambda name: tested)
    setup_devices()
    assert os.environ["XLA_FLAGS"] == " ".join(TESTED_FLAGS[tested])


def test_a_running_backend_is_left_as_it_is() -> None:
    before = setup_devices()
    assert setup_devices(before + 5) == before
