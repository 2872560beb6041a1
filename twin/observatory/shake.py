"""Image motion: wind on the telescope, the guider, and vibrations that accelerometers measure."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.schema import UserError


def wind_shake(speed: Array, rms: float, shelter: float = 1.0, into: Array | float = 0.0) -> Array:
    """Standard deviation an axis [arcsec]: rms (V / 10 m/s)^2 (shelter + (1 - shelter) max(0, cos into)).

    The force of the wind goes as V^2, and so do displacements below the structure's resonances (Simiu & Scanlan 1996,
    Wind Effects on Structures). `into` [deg] is the angle between where the wind comes from and where the telescope
    looks; `shelter` is what is left when it looks away.
    """
    facing = jnp.maximum(jnp.cos(jnp.deg2rad(jnp.asarray(into))), 0.0)
    return rms * (speed * 0.1) ** 2 * (shelter + (1 - shelter) * facing)


def elliptical(rms: Array, ellipticity: Array, angle: Array) -> Array:
    """Covariance xx, yy, xy (..., 3) of mean variance rms^2 an axis, (a^2 - b^2) / (a^2 + b^2) = ellipticity, and the
    long axis at `angle` [rad], x to y."""
    mean = rms * rms
    cos, sin = ellipticity * jnp.cos(2 * angle), ellipticity * jnp.sin(2 * angle)
    return jnp.stack([mean * (1 + cos), mean * (1 - cos), mean * sin], -1)


def displacement_psd(acceleration: Array, rate: float, segment: float = 2.0) -> tuple[np.ndarray, Array]:
    """Frequencies (F,) [Hz] and one-sided power (..., F) [m^2/Hz] of the displacement behind `acceleration` (..., n)
    [m/s^2], sampled at `rate` [Hz].

    x(t) = exp(2 pi i f t) has acceleration -(2 pi f)^2 x: PSD_x = PSD_a / (2 pi f)^4. Mean power of segments of
    `segment` seconds that overlap by half (Welch 1967, IEEE Trans. AU-15, 70); each loses its linear drift, then has
    Hann's window, whose side lobes fall as f^-3 (power f^-6), below what the division raises. f = 0 gets 0.
    """
    n = min(acceleration.shape[-1], round(segment * rate))
    if n < 16:
        raise ValueError(f"{n} samples are no spectrum")
    starts = np.arange(0, acceleration.shape[-1] - n + 1, max(n // 2, 1))
    pieces = acceleration[..., starts[:, None] + np.arange(n)]
    time = np.linspace(-1, 1, n)
    slope = jnp.sum(pieces * time, -1, keepdims=True) / float(np.sum(time**2))
    flat = pieces - pieces.mean(-1, keepdims=True) - slope * time
    window = np.sin(np.pi * np.arange(n) / n) ** 2
    power = jnp.mean(jnp.abs(jnp.fft.rfft(flat * window)) ** 2, -2) * (2 / (rate * float(np.sum(window**2))))
    frequency = np.fft.rfftfreq(n, 1 / rate)
    divided = np.zeros_like(frequency)
    divided[1:] = (2 * np.pi * frequency[1:]) ** -4
    return frequency, power * divided


def band_rms(frequency: np.ndarray, psd: Array, low: float, high: float) -> Array:
    """Root mean square (...,) of a one-sided power (..., F) between two frequencies [Hz]."""
    inside = np.where((frequency >= low) & (frequency <= high), 1.0, 0.0)
    return jnp.sqrt(jnp.sum(psd * inside, -1) * (frequency[1] - frequency[0]))


def motion_covariance(
    acceleration: Array, rate: float, lever: Array, low: float = 5.0, high: float | None = None
) -> Array:
    """Covariance xx, yy, xy (..., 3) [arcsec^2] of the image for the motions of sensors.

    acceleration (..., sensor, n) [m/s^2] at `rate` [Hz]; lever (2, sensor) [arcsec/m]: where the image goes, x and y,
    when a sensor's place moves by a metre (2 theta for a tilting mirror; 206265 / f for one that shifts a beam of
    focal length f). Cross-spectra between sensors count: X = sum_s lever_s a_s is formed first, then divided by
    (2 pi f)^2 in power. Between `low` and `high` (half the rate): below, sensors drift, and the guider follows.
    """
    image = jnp.einsum("as,...sn->...an", lever, acceleration)
    both = jnp.concatenate([image, image.sum(-2, keepdims=True)], -2)  # Var(x + y) gives the covariance
    frequency, psd = displacement_psd(both, rate)
    power = band_rms(frequency, psd, low, rate / 2 if high is None else high) ** 2
    xx, yy = power[..., 0], power[..., 1]
    return jnp.stack([xx, yy, 0.5 * (power[..., 2] - xx - yy)], -1)


def jitter_channels(covariance: np.ndarray) -> dict[str, np.ndarray]:
    """The channels jitter_rms [arcsec], jitter_ellipticity, jitter_angle [deg] that say a covariance (..., 3)."""
    xx, yy, xy = np.moveaxis(np.asarray(covariance, float), -1, 0)
    mean = np.maximum((xx + yy) / 2, 1e-30)
    return {
        "jitter_rms": np.sqrt(mean),
        "jitter_ellipticity": np.clip(np.hypot((xx - yy) / 2, xy) / mean, 0, 1),
        "jitter_angle": np.degrees(0.5 * np.arctan2(2 * xy, xx - yy)) % 180,
    }


@dataclass(frozen=True)
class Accelerometers:
    """What a file of accelerometers holds: series (sensor, sample) [m/s^2], at `rate` [Hz]."""

    series: np.ndarray
    rate: float
    sensors: tuple[str, ...]


def read_accelerometers(
    path: str | Path, key: str, rate: float, sensors: Sequence[str], scale: float = 1.0
) -> Accelerometers:
    """A NumPy archive's array `key`, (sensor, sample), times `scale` [m/s^2 a unit]; sensors named "" or "empty" are
    left out.

    Raises UserError, with the file and the array or sensor: no such file or key, another shape, text, NaN or infinite
    samples, a sensor without any signal.
    """
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            if key not in archive:
                raise UserError(f"has no such array (it has {', '.join(archive)})", file=path, key=key)
            values = archive[key]
    except FileNotFoundError:
        raise UserError("no such file", file=path) from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"is no NumPy archive of plain arrays: {error}", file=path) from None
    if values.dtype.kind not in "fiu" or values.ndim != 2 or len(values) != len(sensors):
        problem = f"must be numbers (sensor, sample) for {len(sensors)} sensors, not {values.dtype} {values.shape}"
        raise UserError(problem, file=path, key=key)
    used = [i for i, name in enumerate(sensors) if name not in ("", "empty")]
    series = np.asarray(values[used], np.float64) * scale
    for row, i in zip(series, used, strict=True):
        if not np.isfinite(row).all():
            raise UserError(f"sensor {sensors[i]} has a value that is no number", file=path, key=key)
        if np.ptp(row) == 0:
            raise UserError(f"sensor {sensors[i]} gives the same value throughout: is it dead?", file=path, key=key)
    return Accelerometers(series, rate, tuple(sensors[i] for i in used))
