"""Galaxies of bulge and disc, each through a PSF of its own, against GalSim drawing the same; one core, CPU seconds.

    python benchmarks/galaxy.py

64^2 pixels of 0.2", D = 1 m, obscuration 0.33, 650 nm; de Vaucouleurs bulge and exponential disc with new shapes, and
new seeing, outer scale and image motion for every frame (no aberrations: they would cost GalSim far more than us).
The peer is GalSim: DeVaucouleurs + Exponential, convolved with VonKarman x Airy x Gaussian and the pixel, with default
parameters. Errors are of the frame's peak, against GalSim with finer parameters than it is timed with. (jax-galsim has
neither de Vaucouleurs nor von Karman profiles.)
"""

from __future__ import annotations

import os
import statistics
from dataclasses import fields
from importlib.util import find_spec
from typing import Any

import numpy as np
from _report import cpu_seconds, figure

from twin.numerics.devices import setup_devices

SIDE, PIXEL = 64, 0.2
DIAMETER, OBSCURATION, WAVELENGTH = 1.0, 0.33, 650e-9
BATCH, CHECKED = 256, 24
FINE = {"folding_threshold": 5e-4, "maxk_threshold": 1e-4, "kvalue_accuracy": 1e-7, "maximum_fft_size": 16384}
DEV, EXP = 4.0, 1.0  # Sersic indices


def draw(n: int, seed: int) -> dict[str, np.ndarray]:
    """n galaxies and what their PSFs are made of; lengths in arcsec, r0 and L0 in m, angles in rad."""
    rng = np.random.default_rng(seed)
    return {
        "r0": 0.15 * (WAVELENGTH / 500e-9) ** 1.2 * np.exp(0.1 * rng.uniform(-1, 1, n)),
        "outer": rng.uniform(20, 30, n),
        "jitter": rng.uniform(0.09, 0.11, n),
        "x": rng.uniform(-0.5, 0.5, n),
        "y": rng.uniform(-0.5, 0.5, n),
        "radius": np.stack([rng.uniform(0.3, 0.9, n), rng.uniform(0.5, 1.2, n)], 1),  # bulge, disc
        "q": np.stack([rng.uniform(0.5, 1.0, n), rng.uniform(0.3, 1.0, n)], 1),
        "angle": rng.uniform(0, np.pi, n),
        "flux": np.stack([rng.uniform(1e4, 1e5, n), rng.uniform(1e4, 1e5, n)], 1),
    }


def ours(rows: dict[str, np.ndarray]) -> tuple[float, np.ndarray, int]:
    """CPU seconds a frame, the frames, and frequencies along an axis."""
    import jax
    import jax.numpy as jnp

    from twin.numerics.fourier import Grid
    from twin.observatory.psf import Optics, otf
    from twin.observatory.state import ImagerState
    from twin.simulators.scene import Scene, Sersics, render

    optics = Optics(
        DIAMETER, OBSCURATION, (WAVELENGTH,), stroke=0.0, max_r0=1.01 * float(rows["r0"].max()),
        min_outer_scale=20.0, min_jitter=0.09,
    )  # fmt: skip
    grid = Grid(SIDE, PIXEL, 2, graded=True, limit=optics.limit(PIXEL))
    leaves = {field.name: jnp.zeros((1,), jnp.float32) for field in fields(ImagerState)}
    leaves |= {"offset": jnp.zeros((1, 2)), "weight": jnp.ones((1, 1)), "aberration": jnp.zeros(0)}

    def frame(row: dict[str, Any]) -> Any:
        motion = row["jitter"] ** 2 * jnp.asarray([[1.0, 1.0, 0.0]])
        air = {"r0": row["r0"].reshape(1, 1), "outer_scale": row["outer"].reshape(1, 1), "jitter": motion}
        two = jnp.ones(2)
        galaxy = Sersics(
            row["x"] * two, row["y"] * two, row["radius"], row["q"], row["angle"] * two, jnp.asarray([DEV, EXP]),
            row["flux"][None],
        )  # fmt: skip
        return render(grid, otf(optics, ImagerState(**(leaves | air)), grid), Scene(galaxy))[0]

    many = jax.jit(lambda p: jax.lax.map(frame, p, batch_size=8))
    given = {name: jnp.asarray(value, jnp.float32) for name, value in rows.items()}
    frames = np.asarray(many(given))
    return cpu_seconds(lambda: many(given).block_until_ready(), len(frames)), frames, grid.half


def galsim_frame(row: dict[str, Any], **accuracy: float) -> np.ndarray:
    """The same frame by GalSim; `accuracy` are its GSParams."""
    import galsim

    params = galsim.GSParams(**accuracy)
    parts = []
    for kind, k in ((galsim.DeVaucouleurs, 0), (galsim.Exponential, 1)):
        part = kind(half_light_radius=float(row["radius"][k]), flux=float(row["flux"][k]), gsparams=params)
        shear = galsim.Shear(q=float(row["q"][k]), beta=float(row["angle"]) * galsim.radians)
        parts.append(part.shear(shear).shift(float(row["x"]), float(row["y"])))
    air = galsim.VonKarman(lam=WAVELENGTH * 1e9, r0=float(row["r0"]), L0=float(row["outer"]), gsparams=params)
    pupil = galsim.Airy(lam=WAVELENGTH * 1e9, diam=DIAMETER, obscuration=OBSCURATION, gsparams=params)
    whole = galsim.Convolve(
        [galsim.Sum(parts), air, pupil, galsim.Gaussian(sigma=float(row["jitter"]))], gsparams=params
    )
    return whole.drawImage(nx=SIDE, ny=SIDE, scale=PIXEL).array


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    setup_devices(1)
    rows = draw(BATCH, 0)
    mine, frames, half = ours(rows)
    figure("galaxy_frames_per_second", 1 / mine, "1/s")
    figure("galaxy_frequencies", half, "along an axis")
    if not find_spec("galsim"):
        return
    count = iter(range(1000))

    def one(k: int) -> dict[str, Any]:
        return {name: value[k % BATCH] for name, value in rows.items()}

    theirs = cpu_seconds(lambda: [galsim_frame(one(next(count))) for _ in range(8)], 8)
    peer = "GalSim DeV + Exp through a new VonKarman x Airy x Gaussian x Pixel"
    figure("galaxy_vs_galsim", 1 / mine, "1/s", peer, 1 / theirs)
    errors: tuple[list[float], list[float]] = ([], [])
    for k in range(CHECKED):
        exact = galsim_frame(one(k), **FINE)
        for found, image in zip(errors, (frames[k], galsim_frame(one(k))), strict=True):
            found.append(float(np.abs(image - exact).max() / exact.max()))
    figure("galaxy_error_worst", max(errors[0]), "of the peak", "GalSim as timed", max(errors[1]), less_is_better=True)
    median = statistics.median
    figure("galaxy_error", median(errors[0]), "of the peak", "GalSim as timed", median(errors[1]), less_is_better=True)


if __name__ == "__main__":
    main()
