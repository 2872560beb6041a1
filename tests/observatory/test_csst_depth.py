"""CSST: zero points and depths of simulated frames against published figures, which twin/configs/instruments/csst.yaml
names."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from twin.metrics.psf_shape import PsfShape, measure
from twin.numerics.fourier import Grid, image
from twin.observatory.detector import expose
from twin.observatory.imager import Imager, load_instrument
from twin.observatory.picture import fine_psf
from twin.observatory.psf import otf
from twin.simulators.optical import counts

NPIX, FRAMES, FACTOR = 32, 250, 3
R80 = 0.15  # arcsec, of the design (Zhan 2021), in which the depths are given
CESS = {"nuv": 24.87, "u": 25.30, "g": 26.32, "r": 26.18, "i": 25.96, "z": 25.27, "y": 23.98}  # mag for 1 e-/s
SKY = {"g": 0.2803, "i": 0.3708}  # e-/s/pixel
DEPTHS = {"g": (26.3, 26.39), "i": (25.9, 25.93)}  # mag at 5 sigma: Zhan 2021; with the throughputs of CESS


@pytest.fixture(scope="module")
def csst() -> Imager:
    return load_instrument("csst")


@pytest.fixture(scope="module")
def shape(csst: Imager) -> Callable[[np.ndarray, str], PsfShape]:
    """Shape of the PSF of a band in the exposure of a telemetry row."""
    fine = fine_psf(csst, csst.optics, oversample=4)
    scale = csst.pixel_scale / 4
    return lambda row, band: measure(np.asarray(fine(jnp.asarray(row)))[csst.bands.index(band)], scale, total=1.0)


def exposures(csst: Imager, band: str, motion: float | None) -> np.ndarray:
    """Telemetry as drawn, the stars anywhere in a pixel; `motion` of the image [arcsec] in place of the drawn one."""
    rows = csst.draw_exposures(5, FRAMES)
    rng, place = np.random.default_rng(2), csst.channel_names.index
    for axis in ("x", "y"):
        rows[:, place(f"offset_{axis}_{band}")] = rng.uniform(-0.5, 0.5, FRAMES) * csst.pixel_scale
    if motion is not None:
        rows[:, place("jitter_rms")] = motion
    return rows


def at_design(csst: Imager, band: str, shape: Callable[[np.ndarray, str], PsfShape]) -> float:
    """Motion that blurs the band's PSF to the design's R80."""

    def excess(motion: float) -> float:
        return float(np.mean([shape(row, band).ee80 for row in exposures(csst, band, motion)[:3]])) - R80

    return optimize.brentq(excess, 0.02, 0.12, xtol=5e-4)


def measured(csst: Imager, band: str, rows: np.ndarray, radius: float) -> tuple[float, float, float]:
    """Mean light of a star of 25 mag and variance of empty sky [electron] in the pixels whose centres lie within
    `radius` arcsec of the star, and the share of its light that is in them; of simulated frames, one of each an
    exposure."""
    grid, index = Grid(NPIX, csst.pixel_scale, FACTOR, 2), csst.bands.index(band)
    centres = jnp.asarray(grid.centres, jnp.float32)
    shifts = [(i, j) for i in (-10, -5, 0, 5, 10) for j in (-10, -5, 0, 5, 10)]  # apertures that do not overlap

    def one(args: tuple[jax.Array, jax.Array]) -> jax.Array:
        state = csst.state(args[1])
        x, y = state.offset[index]
        mask = jnp.hypot(centres[None, :] - x, centres[:, None] - y) < radius
        re, im = otf(csst.optics, state, grid)
        star = image(grid, (re * grid.pixel, im * grid.pixel))
        level = (state.sky + state.dark / state.gain + state.bias)[:, None, None]
        light = counts(jnp.full(len(csst.bands), 25.0), state)[:, None, None] * star
        lit, empty = (
            expose(key, expected, state, csst.config.detector)[index] - level[index]
            for key, expected in zip(jax.random.split(args[0]), (light, 0 * star), strict=True)
        )
        blank = [jnp.sum(empty * jnp.roll(mask, shift, (0, 1))) for shift in shifts]
        return jnp.stack([jnp.sum(v * mask) for v in (lit, light[index], star[index])] + blank)

    keys = jax.random.split(jax.random.key(8), FRAMES)
    found = np.asarray(jax.jit(lambda *a: jax.lax.map(one, a))(keys, jnp.asarray(rows)), float)
    (lit, light, share), empty = found[:, :3].T, found[:, 3:]
    assert abs(empty.mean()) < 4 * empty.std() / np.sqrt(empty.size)
    assert (lit - light).var() == pytest.approx(empty.var() + lit.mean(), rel=0.2)  # Poisson's law of its own light
    return lit.mean(), empty.var(), share.mean()


def depth(light: float, sky: float) -> float:
    """Magnitude at which a star has 5 times the scatter of its aperture, its own photons included."""
    limit = 12.5 + np.sqrt(12.5**2 + 25 * sky)  # S^2 = 25 (S + sky)
    return 25.0 + 2.5 * np.log10(light / limit)


def test_zero_points_are_those_of_the_throughputs(csst: Imager) -> None:
    """A star of the zero point's magnitude gives one electron a second, within 0.05 mag."""
    state = csst.state(jnp.asarray(csst.draw_exposures(0, 1)[0]))
    electrons = np.asarray(counts(jnp.full(len(csst.bands), 20.0), state) * state.gain / state.exptime)
    assert 20 + 2.5 * np.log10(electrons) == pytest.approx([CESS[band] for band in csst.bands], abs=0.05)


def equation(csst: Imager, band: str, radius: float) -> float:
    """The same from the CCD equation: 300 s, dark 0.02 e-/s, two reads of 5 e-, 80 % of the light in the aperture."""
    pixels = np.pi * (radius / csst.pixel_scale) ** 2
    sky = pixels * (300 * (SKY[band] + 0.02) + 2 * 5**2 + 1 / 12)
    return depth(0.8 * 300 * 10 ** (0.4 * (CESS[band] - 25)), sky)


@pytest.mark.slow
@pytest.mark.parametrize("band", DEPTHS)
def test_five_sigma_depth(csst: Imager, shape: Callable[[np.ndarray, str], PsfShape], band: str) -> None:
    """At the design's image quality, which the published depths assume, they come out to 0.1 mag."""
    rows = exposures(csst, band, at_design(csst, band, shape))
    light, sky, share = measured(csst, band, rows, R80)
    assert share == pytest.approx(0.8, abs=0.02)
    found = depth(light, sky)
    assert found == pytest.approx(equation(csst, band, R80), abs=0.03)
    published, computed = DEPTHS[band]
    assert abs(found - computed) < 0.1
    assert abs(found - published) < 0.1 + 0.05, found  # it is given to a tenth; the computed one lies 0.09 from it in g
    assert abs(depth(0.87 * light, sky) - computed) > 0.1  # 0.15 mag of throughput would show


@pytest.mark.slow
def test_usual_exposures_go_deeper(csst: Imager, shape: Callable[[np.ndarray, str], PsfShape]) -> None:
    """The PSF of csst.yaml keeps within the design: R80 of 0.11 arcsec in g, 0.35 mag deeper in an aperture of that
    size."""
    rows = exposures(csst, "g", None)
    r80 = float(np.mean([shape(row, "g").ee80 for row in rows[:4]]))
    assert 0.09 < r80 < 0.13
    light, sky, share = measured(csst, "g", rows, r80)
    assert share == pytest.approx(0.8, abs=0.04)
    found = depth(light, sky)
    assert found == pytest.approx(equation(csst, "g", r80), abs=0.08)
    assert found - equation(csst, "g", R80) == pytest.approx(0.35, abs=0.12)
