"""The devices that a run may use, set up before JAX starts its backend."""

from __future__ import annotations

import os
from importlib.metadata import version

# Unknown flags abort the process, so a flag is set only for the jaxlib releases on which it was measured.
TESTED_FLAGS = {"0.10.1": ("--xla_cpu_prefer_vector_width=512",)}  # 1.4 times the frames a second on x86 with AVX-512


def cpu_cores() -> int:
    """Cores that this process may run on: fewer than the machine has under taskset, Slurm or a container."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def setup_devices(count: int | None = None) -> int:
    """Give JAX `count` CPU devices and the XLA flags tested with this jaxlib; return the number of devices in use.

    count  devices wanted; None = the environment variable JAX_NUM_CPU_DEVICES, and without it one a core

    Flags that the user put into XLA_FLAGS stay as they are. Once JAX's backend runs, nothing can change any more:
    the number of devices that it has is returned.
    """
    given = os.environ.get("XLA_FLAGS", "")
    new = [flag for flag in TESTED_FLAGS.get(version("jaxlib"), ()) if flag.partition("=")[0] not in given]
    os.environ["XLA_FLAGS"] = " ".join(filter(None, [given, *new]))

    import jax  # after the flags: XLA reads them once

    if count is None and not os.environ.get("JAX_NUM_CPU_DEVICES"):
        count = cpu_cores()
    if count is not None:
        try:
            jax.config.update("jax_num_cpu_devices", count)
        except RuntimeError:  # the backend is up already
            pass
    return jax.local_device_count()
