"""Crowded fields once more (`twin.priors.crowded`): every object by GalSim, over the whole frame."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from twin.observatory.state import ImagerState
from twin.simulators.reference.sky import Galaxy, Sky, Star, counts, draw
from twin.simulators.reference.view import View

SHAPE = ("n", "radius", "q", "angle", "x", "y")  # of `Galaxy`, in its order


def expected(cls: str, truth: Mapping[str, np.ndarray], state: ImagerState, view: View) -> np.ndarray:
    """Expected counts (B, npix, npix) of a crowded field."""
    sky = Sky()
    rows = zip(*(truth[f"object_{key}"] for key in SHAPE), truth["object_star"], truth["object_mag"], strict=True)
    for n, radius, q, angle, x, y, is_star, magnitude in rows:
        flux = counts(magnitude, state)
        if is_star == 1:
            sky.stars.append(Star(float(x), float(y), flux))
        else:
            sky.galaxies.append(Galaxy(float(n), float(radius), float(q), float(angle), float(x), float(y), flux))
    return draw(view, state, sky)
