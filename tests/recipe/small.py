"""A recipe that compiles in seconds, and YAML files of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jax
import yaml

from twin.schema import load_yaml

CONFIGS = Path(str(files("twin"))) / "configs"
SMALL = (
    "frame.npix=16",
    "frame.subsamples=1",
    "classes={lens_quasar: 0.3, star: 0.7}",
)


def write(path: Path, **changes: Any) -> Path:
    """The small recipe as a YAML file of its own, with keys changed."""
    node = load_yaml(CONFIGS / "recipes" / "ps1-lens.yaml")
    for override in SMALL:
        node = node.set(override)
    value = {**node.value, **changes}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(value, sort_keys=False))
    return path


TELEMETRY = """seeing_r,airmass,sky_brightness_r
arcsec,,mag/arcsec2
1.1,1.05,19.6
0.9,1.30,19.8
1.4,1.10,19.4
"""


def write_table(path: Path, text: str = TELEMETRY) -> Path:
    """Three exposures: seeing and sky in r; what the table lacks is drawn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def quick(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """Compiled for these arguments without optimisation: a few seconds instead of many, for programs that run once."""
    lowered = jax.jit(function).lower(*arguments)
    options: Mapping[str, Any] = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
    try:
        return lowered.compile(compiler_options=dict(options))
    except jax.errors.JaxRuntimeError:  # another jaxlib may not know them
        return lowered.compile()
