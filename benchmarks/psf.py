"""A new PSF for every frame: the analytic OTF against the ways that it replaces, on one core, in CPU seconds.

    python benchmarks/psf.py

D = 1 m, obscuration 0.33, 650 nm, 256^2 samples of 0.067" with the box of a 0.268" pixel, Noll z4 to z11; seeing, outer
scale, image motion and aberrations differ from PSF to PSF, whichever way it is made. The peers:

- fresh screens: the mean of 1,000 independent von Karman phase screens in complex128, each drawn anew;
- window screens: the mean of 1,000 windows of a ready-made large screen in complex64, whose making is not counted;
- GalSim: VonKarman x OpticalPSF x Gaussian x Pixel, drawn on the same samples;
- ordinary frame: the PSF of windows, by FFTs on a scene of 256^2 samples, then 64^2 pixels with Poisson and read noise.

The crop is the 128^2 samples in the middle, all that a stamp of 64^2 pixels convolves with; phase screens cannot save
there, for they need the whole pupil. Errors are of the PSF's peak, against GalSim with finer parameters than it is
timed with; the mean of 1,000 screens has its own, from chance.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from dataclasses import fields
from importlib.util import find_spec
from typing import Any

import numpy as np
from _report import cpu_seconds, figure

from twin.numerics.devices import setup_devices

SCREENS = 1000
DIAMETER, OBSCURATION, WAVELENGTH = 1.0, 0.33, 650e-9
SIDE, PUPIL = 256, 128  # samples of the image, samples across the pupil
SAMPLE = WAVELENGTH / (DIAMETER / PUPIL * SIDE) * 180 / np.pi * 3600  # 0.06704 [arcsec]
PIXEL = 4 * SAMPLE
WAVES = np.array([0.12, 0.06, -0.05, 0.04, -0.03, 0.0, 0.0, 0.02])  # Noll z4 .. z11
BATCH = 96  # PSFs a call: their images stay small enough that memory is used again


def draw(n: int, seed: int) -> np.ndarray:
    """(n, 11) Fried parameter at 650 nm [m], outer scale [m], image motion [arcsec], z4 .. z11 [m]."""
    rng = np.random.default_rng(seed)
    r0 = 0.15 * (WAVELENGTH / 500e-9) ** 1.2 * np.exp(0.1 * rng.uniform(-1, 1, n))
    outer, jitter = rng.uniform(20, 30, n), rng.uniform(0.09, 0.11, n)
    paths = WAVELENGTH * (WAVES + 0.01 * rng.uniform(-1, 1, (n, len(WAVES))))
    return np.column_stack([r0, outer, jitter, paths]).astype(np.float32)


def program() -> tuple[Any, Callable[[Any], Any]]:
    """What the telescope is like, and a State from a row of `draw`."""
    import jax.numpy as jnp

    from twin.observatory.psf import Optics
    from twin.observatory.state import ImagerState

    worst = draw(10000, 1)
    stroke = 1.05 * np.linalg.norm(worst[:, 3:], axis=1).max()
    optics = Optics(
        DIAMETER, OBSCURATION, (WAVELENGTH,), stroke=float(stroke), max_r0=1.05 * float(worst[:, 0].max()),
        min_outer_scale=20.0, min_jitter=0.09,
    )  # fmt: skip

    def state(row: Any) -> ImagerState:
        leaves = {field.name: jnp.zeros((1,), jnp.float32) for field in fields(ImagerState)}
        leaves |= {"offset": jnp.zeros((1, 2)), "anisotropy": jnp.zeros((1, 2)), "sky_residual": jnp.zeros((1, 3))}
        leaves |= {"r0": row[0].reshape(1, 1), "outer_scale": row[1].reshape(1, 1), "weight": jnp.ones((1, 1))}
        leaves |= {"jitter": (row[2] ** 2 * jnp.asarray([1.0, 1.0, 0.0]))[None], "aberration": row[3:]}
        leaves |= {"gain": jnp.ones(1), "sky": jnp.full(1, 200.0), "read_noise": jnp.full(1, 5.0)}
        leaves |= {"saturation": jnp.full(1, 65535.0), "zero_point": jnp.full(1, 25.0), "bias": jnp.full(1, 100.0)}
        leaves |= {"exptime": jnp.full(1, 100.0), "reads": jnp.ones(1)}
        return ImagerState(**{key: value for key, value in leaves.items() if key in ImagerState.__dataclass_fields__})

    return optics, state


def ours(side: int) -> tuple[float, np.ndarray]:
    """CPU seconds a PSF, and the PSFs."""
    import jax

    from twin.observatory.psf import psf_image

    optics, state = program()
    rows = draw(BATCH, 2)
    many = jax.jit(lambda p: jax.lax.map(lambda row: psf_image(optics, state(row), side, SAMPLE, 1, 1, PIXEL)[0], p))
    return cpu_seconds(lambda: many(rows).block_until_ready(), BATCH), np.asarray(many(rows))


def our_frames() -> float:
    """CPU seconds a frame of 64^2 pixels: a new PSF, its product with a new scene, Poisson and read noise."""
    import jax
    import jax.numpy as jnp

    from twin.numerics.fourier import Grid, image, product, spectrum
    from twin.observatory.detector import expose_single
    from twin.observatory.psf import otf

    optics, state = program()
    grid = Grid(SIDE // 4, PIXEL, 2, 1, limit=optics.limit(PIXEL))
    box = jnp.asarray(grid.pixel)

    def frame(key: Any, row: Any, scene: Any) -> Any:
        at = state(row)
        re, im = otf(optics, at, grid)
        light = spectrum(grid, scene[None])
        return expose_single(key, image(grid, product(light, (re * box, im * box))), at)

    rows, scene = draw(BATCH, 2), jnp.asarray(scenes(BATCH))
    keys = jax.random.split(jax.random.key(0), BATCH)
    many = jax.jit(lambda *p: jax.lax.map(lambda q: frame(*q), p))
    return cpu_seconds(lambda: many(keys, rows, scene).block_until_ready(), BATCH)


def scenes(n: int) -> np.ndarray:
    """(n, 256, 256) photons of a blurred patch of light each."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    widths = rng.uniform(4, 20, n)[:, None, None]
    return (2e5 * np.exp(-0.5 * (x * x + y * y) / widths**2) / (2 * np.pi * widths**2)).astype(np.float32)


def setup_of(row: np.ndarray) -> Any:
    """The phase screens' Setup for a row of `draw`."""
    from twin.observatory.screens import Setup

    waves = tuple((row[3:] / WAVELENGTH).tolist())
    r0_500 = float(row[0]) * (500e-9 / WAVELENGTH) ** 1.2
    return Setup(
        DIAMETER, OBSCURATION, WAVELENGTH, r0_500, float(row[1]), SIDE, PUPIL, waves, float(row[2]), PIXEL
    )  # fmt: skip


class Screens:
    """The ordinary ways, each call with the next row of `draw`."""

    def __init__(self) -> None:
        from twin.observatory.screens import ready_screen

        self.rng = np.random.default_rng(4)
        self.rows = draw(100, 5)
        self.calls = 0
        self.ready = ready_screen(self.rng, 4096, setup_of(self.rows[0]))
        self.scenes = scenes(8)

    def next_setup(self) -> Any:
        self.calls += 1
        return setup_of(self.rows[self.calls])

    def fresh(self) -> np.ndarray:
        from twin.observatory.screens import fresh_psf

        return fresh_psf(self.rng, SCREENS, self.next_setup())

    def window(self) -> np.ndarray:
        from twin.observatory.screens import window_psf

        return window_psf(self.rng, SCREENS, self.next_setup(), self.ready)

    def frame(self) -> np.ndarray:
        """64^2 pixels: a PSF of windows, its product with a scene, Poisson and read noise."""
        scene = self.scenes[self.calls % len(self.scenes)]
        psf = np.fft.ifftshift(self.window()).astype(np.float32)  # the box of the pixel is in it
        image = np.fft.irfft2(np.fft.rfft2(scene) * np.fft.rfft2(psf), s=scene.shape)[2::4, 2::4] * 16
        counts = self.rng.poisson(image.clip(0) + 200) + self.rng.normal(0, 5, image.shape)
        return np.round(counts.clip(0, 65535))


def galsim_psf(row: np.ndarray, **accuracy: float) -> np.ndarray:
    """The same PSF (256, 256) by GalSim; `accuracy` are its GSParams."""
    import galsim

    params = galsim.GSParams(**accuracy)
    waves = [0.0] * 4 + (row[3:] / WAVELENGTH).tolist()
    optics = galsim.OpticalPSF(
        lam=WAVELENGTH * 1e9, diam=DIAMETER, obscuration=OBSCURATION, aberrations=waves, gsparams=params
    )
    air = galsim.VonKarman(lam=WAVELENGTH * 1e9, r0=float(row[0]), L0=float(row[1]), gsparams=params)
    motion, pixel = galsim.Gaussian(sigma=float(row[2])), galsim.Pixel(PIXEL)
    whole = galsim.Convolve([air, optics, motion, pixel], gsparams=params)
    return whole.drawImage(nx=SIDE, ny=SIDE, scale=SAMPLE, method="no_pixel").array


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    setup_devices(1)
    screens = Screens()
    psf, stamps = ours(SIDE)
    crop, _ = ours(SIDE // 2)
    frame = our_frames()
    say = f"1/({SCREENS} screens of {SIDE}^2, one core)"
    fresh, window = cpu_seconds(screens.fresh, 1, 3), cpu_seconds(screens.window, 1, 3)
    ordinary = cpu_seconds(screens.frame, 1, 3)
    for name, mine in (("psf", psf), ("psf_crop", crop)):
        figure(f"{name}_vs_fresh_screens", 1 / mine, "1/s", f"mean of fresh complex128 screens, {say}", 1 / fresh)
        figure(f"{name}_vs_window_screens", 1 / mine, "1/s", f"mean of complex64 windows, {say}", 1 / window)
    figure("frame_vs_ordinary", 1 / frame, "1/s", f"PSF of windows, FFT product, NumPy noise, {say}", 1 / ordinary)
    if find_spec("galsim"):
        rows = iter(draw(1000, 6))
        galsim = cpu_seconds(lambda: galsim_psf(next(rows)), 1, 9)
        figure("psf_vs_galsim", 1 / psf, "1/s", "GalSim VonKarman x OpticalPSF x Gaussian x Pixel", 1 / galsim)
        from twin.observatory.screens import fresh_psf

        found: tuple[list[float], list[float]] = ([], [])
        for k, row in enumerate(draw(BATCH, 2)[:3]):
            exact = galsim_psf(row, folding_threshold=1e-3, maximum_fft_size=16384)
            chance = fresh_psf(screens.rng, SCREENS, setup_of(row))
            for errors, image in zip(found, (stamps[k], chance), strict=True):
                errors.append(float(np.abs(image - exact).max() / exact.max()))
        mine, theirs = (statistics.median(errors) for errors in found)
        figure("psf_error", mine, "of the peak, from GalSim", f"mean of {SCREENS} screens", theirs, less_is_better=True)


if __name__ == "__main__":
    main()
