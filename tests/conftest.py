"""What every test shares: two CPU devices, fixed seeds, the real observations where the machine has them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from twin.numerics.devices import setup_devices

# Before any test module touches JAX: two devices show what depends on how a batch was split.
setup_devices(2)

import jax  # noqa: E402


@pytest.fixture
def rng() -> np.random.Generator:
    """NumPy's generator with a fixed seed."""
    return np.random.default_rng(20260)


@pytest.fixture
def key() -> jax.Array:
    """A JAX key with a fixed seed."""
    return jax.random.key(20260)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real observations; skips where TWIN_REAL_DATA does not name one."""
    folder = os.environ.get("TWIN_REAL_DATA")
    if not folder:
        pytest.skip("TWIN_REAL_DATA is not set: no real observations on this machine")
    if not Path(folder).is_dir():
        pytest.fail(f"TWIN_REAL_DATA={folder} is not a folder")
    return Path(folder)
