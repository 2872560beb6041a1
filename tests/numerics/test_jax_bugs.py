"""Two CPU bugs of jaxlib 0.10.2 (jax-ml/jax issues 39103 and 40412): the reason for `!=0.10.2` in pyproject.toml.

Each program runs in a process of its own: one needs 64-bit floats from the start, the other kills its process.
They decide whether a newer JAX may be let in.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

WRONG_ROWS = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_enable_x64", True)
dtype, n = sys.argv[1], int(sys.argv[2])
matrix = jnp.asarray([[1, 2, 0], [0, 1, 3], [4, 0, 1]], dtype)
rows = jnp.arange(3 * n, dtype=dtype).reshape(n, 3) % 17
out = jax.jit(jax.vmap(lambda row: jnp.sum((matrix @ row) ** 2)))(rows)
print(json.dumps(np.asarray(out, float).tolist()))
"""

CRASH = """
import jax, jax.numpy as jnp
a = jnp.ones((3, 1, 2, 2, 8, 8, 8), jnp.float32)
out = jax.jit(lambda x, y: jnp.sum(x * y, axis=3))(a, 3 * a)
print(float(out.min()), float(out.max()))
"""


def run(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"the process ended with {done.returncode}: {done.stderr[-500:]}"
    return done.stdout


@pytest.mark.parametrize(("dtype", "n"), [("float64", 16_385), ("float32", 32_769)])
def test_every_row_of_a_vmapped_product_is_right(dtype: str, n: int) -> None:
    rows = (np.arange(3 * n) % 17).reshape(n, 3)
    expected = ((rows @ np.array([[1, 2, 0], [0, 1, 3], [4, 0, 1]]).T) ** 2).sum(axis=1)
    np.testing.assert_array_equal(json.loads(run(WRONG_ROWS, dtype, str(n))), expected)  # small integers: exact


def test_reducing_a_rank_7_array_with_an_axis_of_length_1_does_not_crash() -> None:
    assert run(CRASH).split() == ["6.0", "6.0"]
