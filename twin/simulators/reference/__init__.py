"""The slow witnesses of the fast kernels: the same truth drawn with GalSim, lenstronomy, SciPy's FFT and NumPy, in
float64.

Nothing here shares code with the JAX kernels: the PSF is an FFT of the pupil, SciPy's Bessel functions and GalSim's
Airy; galaxies are GalSim's; light rays are shot by lenstronomy. What is shared is data: the State of the exposure, the
conventions of the truth, and the points at which light is sampled, which are part of what a recipe defines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np

from twin.observatory.state import ImagerState
from twin.schema import UserError
from twin.simulators.reference.view import View

Draw = Callable[[str, Mapping[str, np.ndarray], ImagerState, View], np.ndarray]
"""(class, truth in the shapes that the prior draws, State, View) -> expected counts (B, npix, npix), as `render`."""

PEERS = ("galsim", "lenstronomy")

_REFERENCES = {"optical": ("twin.simulators.reference.fields", "expected")}


def reference(simulator: str) -> Draw:
    """The witness of a simulator by its name. Raises UserError where it has none, or its libraries are missing."""
    if simulator not in _REFERENCES:
        known = ", ".join(_REFERENCES)
        raise UserError(
            f"simulator {simulator!r} has no reference engine; these have: {known}", key="--engine reference"
        )
    missing = [name for name in PEERS if find_spec(name) is None]
    if missing:
        problem = f"needs {' and '.join(missing)}: pip install 'twin[bench]'"
        raise UserError(problem, key="--engine reference")
    module, function = _REFERENCES[simulator]
    found: Draw = getattr(import_module(module), function)
    return found


def made_with() -> str:
    """The engine by name and versions, for manifests and reports."""
    return " ".join(["reference", *(f"{name} {version(name)}" for name in PEERS)])
