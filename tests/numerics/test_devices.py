"""Setting up devices, each case in a process of its own: a backend starts once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from twin.numerics.devices import TESTED_FLAGS, cache_folder, cpu_cores, setup_devices

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


CACHED = """
import time
from twin.numerics.devices import setup_devices
setup_devices(1)
import jax, jax.numpy as jnp
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
out = jax.jit(lambda x: jnp.sin(x) @ jnp.cos(x.T))(jnp.arange(12.0).reshape(3, 4))
print(out.tolist())
"""


def test_compiled_programs_are_kept_and_give_the_same_values(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", CACHED], env=environment, capture_output=True, text=True, check=True, timeout=120
        )
        assert done.stderr == ""
        said.append(done.stdout)
    assert said[0] == said[1]
    assert len(list(tmp_path.glob("twin/jax-*/*-cache"))) >= 1


def test_without_a_writable_cache_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cache_folder() is None


def test_each_kind_of_cpu_has_its_own_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    here = cache_folder()
    monkeypatch.setattr("platform.machine", lambda: "another")
    assert cache_folder() != here
