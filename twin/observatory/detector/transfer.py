"""`twin flats`: gain and read noise of every amplifier from pairs of flats, as a laboratory measures them.

Photon transfer (Janesick 2007, Photon Transfer, SPIE PM170): half the variance of the difference of two equal flats is

    V = R^2 / g^2 + 1/12 + mu / g + c mu^2 [count^2],

mu being the mean above the bias, g the gain [e-/ct], R the read noise [e-], 1/12 that of whole counts; c stands for
brighter-fatter and the curve of the response. What is fixed in the detector leaves the difference; a row's level is
taken off it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.io.atomic import atomic_path, make_folder, plain_disk_errors
from twin.observatory.detector import electronics, place
from twin.observatory.detector.config import DetectorConfig
from twin.observatory.detector.single import expose_single
from twin.observatory.state import STATE_FIELDS, ImagerState
from twin.schema import UserError

if TYPE_CHECKING:
    from astropy.table import Table

SIDE = 128  # pixels of each amplifier's window
LEVELS = 18
PAIRS = 4  # at each level
SHARES = (0.0005, 0.7)  # of the range of a pixel, faintest and brightest flat
_EXPOSURE = 1.0  # [s]
_CLIP = 5.0  # standard deviations of the difference, beyond which a cosmic ray went through


@dataclass(frozen=True)
class PhotonTransfer:
    """What flats say of A amplifiers at L levels, and what the detector really has.

    level, variance (A, L) [count, count^2]; gain, gain_error, true_gain (A,) [e-/ct]; read_noise, read_noise_error,
    true_read_noise (A,) [e-]; curve (A, 3): the fit's 1, mu, mu^2; dark (A,): variance of the bias [count^2]
    """

    level: np.ndarray
    variance: np.ndarray
    gain: np.ndarray
    gain_error: np.ndarray
    true_gain: np.ndarray
    read_noise: np.ndarray
    read_noise_error: np.ndarray
    true_read_noise: np.ndarray
    curve: np.ndarray
    dark: np.ndarray


def lamp(detector: DetectorConfig, level: Array, exptime: Array, amplifiers: int) -> ImagerState:
    """State of a flat of `level` counts at the detector's mean gain; one "band" an amplifier. exptime 0 is a bias."""
    top = min(detector.saturation / detector.gain + detector.bias, electronics.SIXTEEN_BITS)
    values = {
        "gain": detector.gain, "sky": level, "dark": detector.dark * exptime, "read_noise": detector.read_noise,
        "bias": detector.bias, "saturation": top, "exptime": exptime, "reads": 1.0,
    }  # fmt: skip
    return ImagerState(
        **{name: jnp.broadcast_to(jnp.float32(values.get(name, 0.0)), (amplifiers,)) for name in STATE_FIELDS}
    )


def windows(detector: DetectorConfig, side: int) -> place.Place:
    """A window of every amplifier, `side` pixels or as many as there are, at the corner where it is read: trails of
    many transfers smooth the photons' noise."""
    amplifiers = place.split(detector)
    size = detector.size or (side * amplifiers.columns, side * amplifiers.rows)
    width, height = size[0] // amplifiers.columns, size[1] // amplifiers.rows
    side = min(side, width, height)
    corners = []
    for row, column in np.ndindex(amplifiers.rows, amplifiers.columns):
        outward = amplifiers.serial == "outward" and column >= amplifiers.columns / 2
        to_right = amplifiers.serial == "right" or outward
        x = (column + 1) * width - side if to_right else column * width
        corners.append((x, row * (2 * height - side)))
    return place.at(np.array(corners), side, side)


def photon_transfer(
    detector: DetectorConfig, seed: int = 0, side: int = SIDE, levels: int = LEVELS, pairs: int = PAIRS
) -> PhotonTransfer:
    """Simulates biases and flats of the detector with all its effects and measures them.

    Raises UserError where the bias is too low for the read noise of a dark pixel, which whole counts cut at zero.
    """
    amplifiers = place.split(detector)
    gain = np.array(amplifiers.gain or (detector.gain,) * amplifiers.count)
    read_noise = np.array(amplifiers.read_noise or (detector.read_noise,) * amplifiers.count)
    offset = np.array(amplifiers.offset or (0.0,) * amplifiers.count)
    low = np.min(detector.bias + offset - 4 * read_noise / gain)
    if low < 0:
        raise UserError(f"is {-low:.3g} ct too low: a dark pixel's noise is cut at 0", key="detector.bias")
    where = windows(detector, side)
    dark = jnp.zeros(where.shape, jnp.float32)

    @jax.jit
    def expose(key: Array, level: Array, exptime: Array) -> Array:
        return expose_single(key, dark, lamp(detector, level, exptime, amplifiers.count), detector, where)

    def pair(number: int, level: float, exptime: float) -> tuple[np.ndarray, np.ndarray]:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), number))
        a, b = (np.asarray(expose(k, jnp.float32(level), jnp.float32(exptime)), float) for k in keys)
        return a, b

    adc = np.inf if detector.adc is None else 2**detector.adc.bits - 1
    bright = min(detector.saturation / gain.max(), min(electronics.SIXTEEN_BITS, adc) - detector.bias)
    bright = bright * gain.min() / detector.gain  # so that no amplifier comes near its top
    asked = [0.0, *np.geomspace(SHARES[0] * bright, SHARES[1] * bright, levels)]
    frames = [[pair(i * pairs + p, level, _EXPOSURE * bool(i)) for p in range(pairs)] for i, level in enumerate(asked)]
    # a pixel that is dead or hot is none to measure with
    flat = np.mean(frames[-1], axis=(0, 1))
    middle = np.median(flat, (1, 2), keepdims=True)
    good = np.abs(flat / middle - 1) < 0.5
    found = np.array([[_measure(*both, good) for both in level] for level in frames]).mean(1)  # (1 + L, 2, A)
    mean, variance = found[1:, 0] - found[0, 0], found[1:, 1]
    number = pairs * good.sum((1, 2))
    fits = [_fit(*values) for values in zip(mean.T, variance.T, found[0, 1], number, strict=True)]
    curve, gain_error = (np.array(v) for v in zip(*fits, strict=True))
    measured = 1 / curve[:, 1]
    noise = np.sqrt(np.maximum(found[0, 1] - 1 / 12, 0))  # [count]
    return PhotonTransfer(
        level=mean.T,
        variance=variance.T,
        gain=measured,
        gain_error=gain_error,
        true_gain=gain,
        read_noise=noise * measured,
        read_noise_error=noise * measured * np.hypot(gain_error / measured, 1 / np.sqrt(2 * number)),
        true_read_noise=read_noise,
        curve=curve,
        dark=found[0, 1],
    )


def _measure(a: np.ndarray, b: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, variance of one flat), each (A,), from two equal ones (A, y, x)."""
    difference = np.where(good, a - b, np.nan)
    spread = 1.4826 * np.nanmedian(np.abs(difference - np.nanmedian(difference, (1, 2), keepdims=True)), (1, 2))
    wild = np.abs(difference) > _CLIP * np.maximum(spread, 1.0)[:, None, None]
    difference = np.where(wild, np.nan, difference)
    number = np.isfinite(difference).sum(2, keepdims=True)
    difference = difference - np.nanmean(difference, 2, keepdims=True)
    # what a row's mean took off its own pixels is put back
    variance = np.nansum(difference**2, (1, 2)) / np.maximum(number - 1, 1).sum((1, 2)) / 2
    return np.nanmean(np.where(good & ~wild, 0.5 * (a + b), np.nan), (1, 2)), variance


def _fit(level: np.ndarray, variance: np.ndarray, dark: float, number: int) -> tuple[np.ndarray, float]:
    """Coefficients of 1, mu, mu^2, and the error of the gain: least squares with the scatter that variances have."""
    level, seen = np.append(0.0, level), np.append(dark, variance)
    design = np.stack([np.ones_like(level), level, level**2], 1)
    model = seen
    for _ in range(3):
        weight = np.sqrt(number / 2) / model
        scale = np.abs(design * weight[:, None]).max(0)
        matrix = design * weight[:, None] / scale
        solution = np.linalg.lstsq(matrix, seen * weight, rcond=None)[0]
        model = np.maximum(design @ (solution / scale), 1e-6)
    covariance = np.linalg.inv(matrix.T @ matrix)
    curve = solution / scale
    return curve, float(np.sqrt(covariance[1, 1]) / scale[1] / curve[1] ** 2)


def curve_table(name: str, transfer: PhotonTransfer) -> Table:
    """One row an amplifier and level; gains and read noises, found and true, in the columns that repeat them."""
    from astropy import units as u
    from astropy.table import QTable

    count, levels = transfer.level.shape
    adu, electron = u.adu, u.electron
    table = QTable(meta={"instrument": name})
    table["amplifier"] = np.repeat(np.arange(count), levels)
    table["level"], table["variance"] = transfer.level.ravel() * adu, transfer.variance.ravel() * adu**2
    for column, unit in (
        ("gain", electron / adu), ("gain_error", electron / adu), ("true_gain", electron / adu),
        ("read_noise", electron), ("read_noise_error", electron), ("true_read_noise", electron),
    ):  # fmt: skip
        table[column] = np.repeat(getattr(transfer, column), levels) * unit
    for column in table.colnames[1:]:
        table[column].info.format = ".6g"
    return table


def draw(name: str, transfer: PhotonTransfer) -> Any:
    """Figure: the photon-transfer curves, what they leave of the fits, and gain and read noise beside the truth."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 8), layout="constrained")
    figure.suptitle(f"{name}: photon transfer of {len(transfer.gain)} amplifier(s)", fontsize=11)
    panels: Any = figure.subplots(2, 2)
    top, rest, gains, noises = panels.ravel()
    fine = np.geomspace(transfer.level.min() / 3, transfer.level.max(), 200)
    for amplifier, (level, variance, curve) in enumerate(
        zip(transfer.level, transfer.variance, transfer.curve, strict=True)
    ):
        colour = f"C{amplifier % 10}"
        top.loglog(level, variance, "o", ms=3, color=colour)
        top.loglog(fine, curve[0] + curve[1] * fine + curve[2] * fine**2, lw=0.7, color=colour)
        rest.semilogx(level, variance / (curve[0] + curve[1] * level), "o-", ms=3, lw=0.7, color=colour)
    top.set(xlabel="mean above the bias [ct]", ylabel="variance of one flat [ct²]")
    rest.axhline(1, color="k", lw=0.7)
    rest.set(xlabel="mean above the bias [ct]", ylabel="variance / (read noise + shot noise)")
    for axes, found, error, truth, label in (
        (gains, transfer.gain, transfer.gain_error, transfer.true_gain, "gain [e-/ct]"),
        (noises, transfer.read_noise, transfer.read_noise_error, transfer.true_read_noise, "read noise [e-]"),
    ):
        at = np.arange(len(found))
        axes.errorbar(at, found, error, fmt="o", ms=4, capsize=2, label="measured")
        axes.plot(at, truth, "k_", ms=14, label="true")
        axes.set(xlabel="amplifier", ylabel=label, xticks=at)
        axes.legend(fontsize=8)
        worst = 100 * np.max(np.abs(found / truth - 1))
        axes.set_title(f"largest error {worst:.2f} %", fontsize=9)
    for axes in panels.ravel():
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=8)
    return figure


def write_flats(instrument: str | Path, out: str | Path, seed: int = 0) -> PhotonTransfer:
    """Writes flats.ecsv and flats.png, the photon transfer of an instrument's detector, into the folder `out`."""
    from twin.observatory.imager import load_instrument

    imager = load_instrument(instrument)
    try:
        transfer = photon_transfer(imager.config.detector, seed)
    except UserError as mistake:
        keys = (mistake.key or "detector").split(".")
        raise imager.node.error(mistake.problem, keys) from None
    folder = Path(out)
    with plain_disk_errors(folder):
        make_folder(folder)
    with atomic_path(folder / "flats.ecsv") as part:
        curve_table(imager.name, transfer).write(part, format="ascii.ecsv", overwrite=True)
    with atomic_path(folder / "flats.png") as part:
        draw(imager.name, transfer).savefig(part, format="png", dpi=130)
    return transfer
