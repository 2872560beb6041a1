"""The slow witnesses of the fast kernels: the same truth drawn with GalSim, lenstronomy, SciPy's FFT and NumPy, in
float64.

Nothing here shares code with the JAX kernels: the PSF is an FFT of the pupil, SciPy's Bessel functions and GalSim's
Airy; galaxies are GalSim's; light rays are shot by lenstronomy. What is shared is data: the State of the exposure, the
conventions of the truth, and the points at which light is sampled, which are part of what a recipe defines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Reference:
    """The witness of a simulator.

    place      module and function
    tolerance  of the peak, between the two engines: most frames differ by a tenth or a hundredth of it
    classes    that it draws; None = all
    """

    place: tuple[str, str]
    tolerance: float = 1e-3
    classes: tuple[str, ...] | None = None

    def draws(self, cls: str) -> bool:
        return self.classes is None or cls in self.classes

    @property
    def draw(self) -> Draw:
        module, function = self.place
        found: Draw = getattr(import_module(module), function)
        return found


_REFERENCES = {
    "optical": Reference(("twin.simulators.reference.fields", "expected"), 5e-3),
    "galaxy-lens": Reference(("twin.simulators.reference.galaxy_lens", "expected"), 5e-3),
    "cluster": Reference(("twin.simulators.reference.cluster", "expected"), 5e-3),
    "real-lens": Reference(("twin.simulators.reference.real_galaxy", "expected"), 5e-3),
    "crowded": Reference(("twin.simulators.reference.crowded", "expected"), 1e-2),
    "morphology": Reference(
        ("twin.simulators.reference.morphology", "expected"), 5e-3, ("smooth", "lenticular", "star")
    ),
}


def reference(simulator: str) -> Reference:
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
    return _REFERENCES[simulator]


def made_with() -> str:
    """The engine by name and versions, for manifests and reports."""
    return " ".join(["reference", *(f"{name} {version(name)}" for name in PEERS)])
