"""What of the floor the instrument's own PSF holds already, and the seeing with which the twin's PSFs are as wide as
the posterior says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from twin.metrics.psf_shape import measure
from twin.numerics.fourier import Grid, image
from twin.observatory.calibrate.apply import CalibratedImager
from twin.observatory.calibrate.folder import Calibration
from twin.observatory.calibrate.seeing import Posterior, ln_fwhm
from twin.observatory.imager import Imager
from twin.observatory.psf import otf

EXPOSURES = 24  # drawn, to compare the widths
FINE, PIXELS = 2, 48  # samples a pixel, pixels a side
ROUNDS = 2


def inside(imager: Imager) -> float:
    """Variance [arcsec^2, an axis] that the pixel, charge diffusion and jitter bring without calibration. What
    aberrations bring as well, `close` takes out."""
    scale = imager.pixel_scale
    found = scale**2 / 12 + (imager.config.detector.diffusion * scale) ** 2
    for channel in imager.telemetry_channels:
        if channel.kind == "jitter_rms":
            return found + float(channel.at(0.0)) ** 2
    return found


def widths(imager: Imager, rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Compiled telemetry rows (n, C) -> FWHM (n, B) [arcsec] of the twin's PSFs, for exposures such as `rows`: the
    pixel is in, as an observer sees stars."""
    optics = imager.optics_of(rows)
    step = imager.pixel_scale / FINE
    grid = Grid(PIXELS * FINE, step)
    pixel = jnp.asarray(
        np.sinc(grid.fy * imager.pixel_scale)[:, None] * np.sinc(grid.fx * imager.pixel_scale)[None, :], jnp.float32
    )

    @jax.jit
    def draw(row: jax.Array) -> jax.Array:
        re, im = otf(optics, imager.state(row), grid)
        return image(grid, (re * pixel, im * pixel))

    def measured(rows: np.ndarray) -> np.ndarray:
        stamps = [np.asarray(draw(jnp.asarray(row))) for row in rows]
        return np.array([[measure(stamp, step).fwhm for stamp in exposure] for exposure in stamps])

    return measured


def expected_widths(imager: CalibratedImager, rows: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """FWHM (n, B) [arcsec] that the posterior's equation gives drawn (uncorrected) telemetry rows."""
    at = {name: i for i, name in enumerate(imager.channel_names)}
    p = {name: jnp.asarray(np.asarray(v)[draw], jnp.float32) for name, v in imager.calibration.draws.items()}
    use = imager.calibration.about["use"]
    airmass = rows[:, at["airmass"]] if "airmass" in at else np.ones(len(rows))
    level = p["offset"] - (use["mean"]["offset"] if use["reference"] == "prior" else 0.0)
    out = []
    for name, band in imager.config.bands.items():
        data = {"seeing": jnp.asarray(rows[:, at[f"seeing_{name}"]]), "airmass": jnp.asarray(airmass),
                "warm": jnp.zeros(len(rows)), "colour": jnp.full(len(rows), band.wavelength / 500.0)}  # fmt: skip
        out.append(np.exp(np.asarray(ln_fwhm(p, level, data))))
    return np.stack(out, 1)


def law_of(imager: Imager, posterior: Posterior, reference: str, median: float) -> dict[str, Any]:
    """What a calibration's draws are used with: the posterior means, and the law of seeing where telemetry gave none.

    The variance of ln seeing: between nights, fading within the night, and new in every exposure; Student's t has the
    variance s^2 nu / (nu - 2). What floor and outer scale damp of ln FWHM is put back by the slope d ln FWHM / d ln
    seeing at the median.
    """
    mean = {name: float(posterior[name].mean()) for name in posterior.names}
    use: dict[str, Any] = {"mean": mean, "reference": reference, "inside": inside(imager),
                           "closure": [1.0] * len(imager.bands)}  # fmt: skip
    if reference == "prior":
        slope = _slope(mean, median)
        tails = max(mean["tails"], 2.5)
        within = (mean["scatter"] / slope) ** 2 * tails / (tails - 2)
        total = within + mean["night_sd"] ** 2
        kept = mean["persistence"] * within / total
        use["law"] = {"median": median * float(np.exp(mean["offset"])), "sigma": float(np.sqrt(total)),
                      "night": mean["night_sd"] ** 2 / total, "drift": kept, "hours": mean["memory"]}  # fmt: skip
    return use


def _slope(mean: dict[str, float], median: float) -> float:
    """d ln FWHM / d ln seeing at the median seeing, 700 nm, airmass 1.2."""
    p = {name: jnp.float32(value) for name, value in mean.items()}
    data = {"seeing": jnp.full(1, median), "airmass": jnp.full(1, 1.2), "warm": jnp.zeros(1),
            "colour": jnp.full(1, 1.4)}  # fmt: skip
    return float(jax.grad(lambda level: ln_fwhm(p, level, data)[0])(p["offset"]))


def close(imager: Imager, calibration: Calibration, seed: int = 0) -> list[float]:
    """Factors (B,) on seeing with which the twin's PSFs have the widths of the posterior's equation, on average."""
    use = calibration.about["use"]
    twin = CalibratedImager(imager.node, calibration)
    raw = Imager.draw_exposures(twin, seed, EXPOSURES * twin.config.nights.exposures)
    raw = raw[:: twin.config.nights.exposures]  # one of every night
    draw = twin.draw_of(seed, np.arange(EXPOSURES))
    expected = expected_widths(twin, raw, draw)
    measured = widths(twin, twin.correct(raw, draw, drawn=True))
    slope = _slope(use["mean"], use.get("law", {}).get("median", 1.0))
    for _ in range(ROUNDS):
        ratio = np.log(expected / measured(twin.correct(raw, draw, drawn=True)))
        use["closure"] = [float(c * np.exp(m / slope)) for c, m in zip(use["closure"], ratio.mean(0), strict=True)]
    return list(use["closure"])
