"""Galaxies of `twin.priors.morphology` once more: those of closed components, a Sersic bulge and an inclined disc."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from twin.observatory.state import ImagerState
from twin.simulators.reference.sky import Disc, Galaxy, Sky, Star, counts, draw
from twin.simulators.reference.view import View

Truth = Mapping[str, np.ndarray]

FIELD_THICKNESS = 0.15  # height of unrelated galaxies, of their scale length


def expected(cls: str, truth: Truth, state: ImagerState, view: View) -> np.ndarray:
    """Expected counts (B, npix, npix) of a smooth or lenticular galaxy or a star, and what is around."""
    sky = Sky()
    if cls == "star":
        sky.stars.append(_star(truth, state, "star"))
    else:
        angle, x, y = (float(truth[f"galaxy_{key}"]) for key in ("angle", "x", "y"))
        n, radius, q = (float(truth[f"bulge_{key}"]) for key in ("n", "radius", "q"))
        sky.galaxies.append(Galaxy(n, radius, q, angle, x, y, counts(truth["bulge_mag"], state)))
        if "disc_mag" in truth:
            scale, height, cos_i = (float(truth[k]) for k in ("disc_scale", "disc_height", "cos_inclination"))
            sky.galaxies.append(Disc(scale, height, cos_i, angle, x, y, counts(truth["disc_mag"], state)))
    around = sorted({name.partition("_")[0] for name in truth if name.startswith("field")})
    for name in around:
        if f"{name}_scale" in truth:
            scale, cos_i, angle, x, y = (float(truth[f"{name}_{key}"]) for key in ("scale", "cos_i", "angle", "x", "y"))
            flux = counts(truth[f"{name}_mag"], state)
            sky.galaxies.append(Disc(scale, FIELD_THICKNESS * scale, cos_i, angle, x, y, flux))
        else:
            sky.stars.append(_star(truth, state, name))
    return draw(view, state, sky)


def _star(truth: Truth, state: ImagerState, name: str) -> Star:
    return Star(float(truth[f"{name}_x"]), float(truth[f"{name}_y"]), counts(truth[f"{name}_mag"], state))
