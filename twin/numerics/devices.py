"""The devices that a run may use, set up before JAX starts its backend."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib.metadata import version
from pathlib import Path

# Unknown flags abort the process, so a flag is set only for the jaxlib releases on which it was measured.
TESTED_FLAGS = {"0.10.1": ("--xla_cpu_prefer_vector_width=512",)}  # 1.4 times the frames a second on x86 with AVX-512
CACHE_BYTES = 2**30  # of compiled programs; the least recently used go first


def cpu_cores() -> int:
    """Cores that this process may run on: fewer than the machine has under taskset, Slurm or a container."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def setup_devices(count: int | None = None) -> int:
    """Give JAX `count` CPU devices, the XLA flags tested with this jaxlib and a cache of compiled programs.

    count  devices wanted; None = the environment variable JAX_NUM_CPU_DEVICES, and without it one a core

    Returns the number of devices in use. What the user set in XLA_FLAGS or JAX_COMPILATION_CACHE_DIR stays. Once JAX's
    backend runs, the devices cannot change any more: their number is returned.
    """
    given = os.environ.get("XLA_FLAGS", "")
    new = [flag for flag in TESTED_FLAGS.get(version("jaxlib"), ()) if flag.partition("=")[0] not in given]
    os.environ["XLA_FLAGS"] = " ".join(filter(None, [given, *new]))
    # XLA logs an error for each program from the cache: it asks the CPU for two of its own tuning switches as features
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    import jax  # after the environment: XLA reads it once

    folder = None if "JAX_COMPILATION_CACHE_DIR" in os.environ else cache_folder()
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", CACHE_BYTES)
    if count is None and not os.environ.get("JAX_NUM_CPU_DEVICES"):
        count = cpu_cores()
    if count is not None:
        try:
            jax.config.update("jax_num_cpu_devices", count)
        except RuntimeError:  # the backend is up already
            pass
    return jax.local_device_count()


def cache_folder() -> Path | None:
    """Folder for compiled programs in the user's cache, one for each kind of CPU; None where it cannot be written.

    A cluster's machines share a home: a program compiled for one of them may hold instructions that another lacks.
    """
    try:
        features = Path("/proc/cpuinfo").read_text().partition("\nflags")[2].partition("\n")[0]
    except OSError:
        features = platform.processor()
    cpu = hashlib.sha256(f"{platform.machine()} {features}".encode()).hexdigest()[:12]
    try:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(root) / "twin" / f"jax-{version('jaxlib')}-{cpu}"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return None
    return folder if os.access(folder, os.W_OK) else None
