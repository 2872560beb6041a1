"""Observed galaxies of `twin.priors.real_galaxy` once more: GalSim's interpolated images, lenstronomy's rays.

What is shared is the deconvolved stamps and the brightness maps: data. How they are turned and looked up is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.ndimage import map_coordinates

from twin.observatory.state import ImagerState
from twin.simulators.real_galaxy.deconvolve import Table
from twin.simulators.reference.fields import _galaxy, around, lens_of, source_position
from twin.simulators.reference.sky import Image, Sampled, Sky, counts, draw, sample
from twin.simulators.reference.view import View

Truth = Mapping[str, np.ndarray]

FINE = 4  # midpoints a side of a cell


def expected(cls: str, truth: Truth, state: ImagerState, view: View) -> np.ndarray:
    """Expected counts (B, npix, npix) of an observed galaxy, its lens where it has one, and what is around."""
    table = view.data
    assert isinstance(table, Table)
    sky = _lensed(truth, state, view, table) if cls == "lens_real" else _plain(truth, state, table)
    around(sky, truth, state)
    return draw(view, state, sky)


def _plain(truth: Truth, state: ImagerState, table: Table) -> Sky:
    k = int(truth["galaxy_index"])
    x, y, angle, flip, size = (float(truth[f"galaxy_{name}"]) for name in ("x", "y", "angle", "flip", "size"))
    flux = counts(truth["galaxy_mag"], state)
    return Sky(galaxies=[Image(table.stamps[k], float(table.scale[k]), x, y, angle, bool(flip), size, flux)])


def _lensed(truth: Truth, state: ImagerState, view: View, table: Table) -> Sky:
    """The lens's light and the brightness map behind it."""
    lens, (sx, sy), k = lens_of(truth), source_position(truth), int(truth["source_index"])
    angle, flip, size = (float(truth[f"source_{name}"]) for name in ("angle", "flip", "size"))
    pixel, light = size * float(table.scale[k]), table.light[k].astype(float)

    def brightness(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        bx, by = lens.shoot(x, y)
        turned = (bx - sx + 1j * (by - sy)) * np.exp(-1j * angle) / pixel
        place = [turned.imag * (1 - 2 * flip), turned.real]
        found: np.ndarray = map_coordinates(light, [p + (len(light) - 1) / 2 for p in place], order=1) / size**2
        return found

    own = _galaxy(truth, state, "lens", q=float(truth["light_q"]), angle=float(truth["light_angle"]))
    samples = sample(replace(view, subsamples=FINE * view.subsamples), brightness)
    return Sky(galaxies=[own], light=[Sampled(samples, counts(truth["source_mag"], state))])
