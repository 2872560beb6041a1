"""Where a bright source's light lies: core, inner arms, outer arms, patch, and the rest.

About the source along the pores' rolled axes (u, v) [arcmin]: core r < 12; arms |u| or |v| < 12, inner to 110 and
outer beyond;
patch max(|u|, |v|) < 110 without them; rest what is lit besides. Counts above a level a bin, as shares of their sum.
With the
core at bin (54.8, 52.1), a roll of 3 deg and 0.125 counts a bin this gives the published table of EP's frame of the
Crab within .003.
"""

from __future__ import annotations

import numpy as np

from twin.observatory.lobster_calibrate.frame import Grid

NAMES = ("core", "arms_inner", "arms_outer", "patch", "rest")
CORE = ARM = 12.0  # [arcmin]
NODE = 110.0  # [arcmin]


def regions(grid: Grid, source: np.ndarray, angle: float, lit: np.ndarray) -> dict[str, np.ndarray]:
    """(y, x) masks. source (2,) [arcmin], angle of the pores' axes against the image's [deg], lit (y, x) bins that
    count."""
    x, y = np.meshgrid(grid.x - source[0], grid.y - source[1])
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    u, v = np.abs(cos * x + sin * y), np.abs(cos * y - sin * x)
    core = np.hypot(u, v) < CORE
    arm, near = (np.minimum(u, v) < ARM) & ~core, np.maximum(u, v) < NODE
    masks = (core, arm & near, arm & ~near & lit, ~arm & ~core & near, ~arm & ~core & ~near & lit)
    return dict(zip(NAMES, masks, strict=True))


def shares(
    counts: np.ndarray, masks: dict[str, np.ndarray], level: float, used: np.ndarray | None = None
) -> np.ndarray:
    """(5,) share of the light above `level` counts a bin in each region, of the bins `used` (all)."""
    keep = np.ones(counts.shape, bool) if used is None else used
    light = np.array([(counts[mask & keep] - level).sum() for mask in masks.values()])
    return light / light.sum()
