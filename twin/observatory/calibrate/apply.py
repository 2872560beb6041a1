"""A telescope that has learnt: its telemetry is corrected with draws of the posterior, one a night.

Seeing that telemetry gives (or the instrument's law draws) becomes, for a draw with exponents a, b where the
instrument's own are a0, b0,
  seeing_band = seeing exp(offset) X^(a - a0) (lambda_band / 500 nm)^(b - b0) closure_band
and what no weather changes enters the jitter, in quadrature: floor^2 / (8 ln 2) minus what the instrument's pixel,
diffusion, jitter and aberrations bring along already. `closure` takes out what Gaussian quadrature leaves: it was
fitted so that the twin's own PSFs have the FWHM that the posterior's equation says. Jitter and
Zernikes that stars constrain add to their channels.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

from twin.observatory.calibrate.folder import Calibration
from twin.observatory.imager import Imager
from twin.schema import Node, UserError

REFERENCE = 500.0  # [nm]
SIGMAS = 8 * np.log(2)  # FWHM^2 of a Gaussian over its variance
_STREAM = 0xCA11  # keeps the choice of draws apart from the nights' own random numbers


class CalibratedImager(Imager):
    """An imager whose exposures are those of the telescope that a calibration describes.

    Seeing differs by band, for the exponent of wavelength may; where the calibration has seen no seeing telemetry, the
    law of seeing is the posterior's. `node` holds both, and the calibration's SHA-256 where a recipe's hash finds it.
    """

    def __init__(self, node: Node, calibration: Calibration) -> None:
        """Raises UserError where the calibration is of another instrument."""
        plain = Imager(node)
        if plain.name != calibration.about["instrument"]:
            problem = f"is of the instrument {calibration.about['instrument']}, the recipe has {plain.name}"
            raise UserError(problem, file=calibration.folder, key="calibration")
        self.calibration, self.plain = calibration, plain
        super().__init__(_changed(plain, calibration))

    @property
    def identity(self) -> dict[str, Any]:
        """What enters a recipe's hash beside the recipe itself."""
        return {**self.node.value, "calibration": self.calibration.sha256}

    def draw_exposures(self, seed: int, n: int, start: int = 0) -> np.ndarray:
        """As Imager's, corrected with the draw of each exposure's night."""
        rows = super().draw_exposures(seed, n, start)
        night = (start + np.arange(n)) // self.config.nights.exposures
        return self.correct(rows, self.draw_of(seed, night), drawn=True)

    def read_exposures(self, path: str | Path, seed: int = 0) -> np.ndarray:
        """As Imager's, each row corrected with a draw of its own; seeing that the table gives is a DIMM's."""
        rows = super().read_exposures(path, seed)
        return self.correct(rows, self.draw_of(seed, np.arange(len(rows))), drawn=False)

    def draw_of(self, seed: int, number: np.ndarray) -> np.ndarray:
        """Index of the posterior draw of each night: a function of seed and the night's number alone."""
        unique, index = np.unique(number, return_inverse=True)
        size = self.calibration.size
        chosen = [np.random.default_rng([seed, _STREAM, int(k)]).integers(size) for k in unique]
        return np.array(chosen, int)[index]

    def correct(self, rows: np.ndarray, draw: np.ndarray, drawn: bool) -> np.ndarray:
        """Telemetry (n, C) under posterior draws (n,). drawn: they come from the laws, not from a table."""
        out = np.array(rows, np.float32)
        at = {name: i for i, name in enumerate(self.channel_names)}
        p = {name: np.asarray(values)[draw] for name, values in self.calibration.draws.items()}
        use = self.calibration.about["use"]
        if "offset" in p:
            air, mean = self.config.air, use["mean"]
            airmass = out[:, at["airmass"]] if "airmass" in at else np.ones(len(out))
            # a law of seeing that was learnt holds the mean offset already
            offset = p["offset"] - (mean["offset"] if use["reference"] == "prior" else 0.0)
            common = np.exp(offset) * airmass ** (p["airmass_exponent"] - air.airmass_exponent)
            for k, (name, band) in enumerate(self.config.bands.items()):
                tilt = (band.wavelength / REFERENCE) ** (p["wavelength_exponent"] - air.wavelength_exponent)
                out[:, at[f"seeing_{name}"]] *= common * tilt * use["closure"][k]
            if drawn and "outer_scale" in at:
                out[:, at["outer_scale"]] = p["outer_scale"]
        motion = _covariance(out, at)
        if "floor" in p:
            motion[:, :2] += np.maximum(p["floor"] ** 2 / SIGMAS - use["inside"], 0.0)[:, None]
        static = {name: p[name] for name in use.get("static", ()) if name in p}
        for name, share in (("jitter_round", (1, 1, 0)), ("jitter_plus", (1, -1, 0)), ("jitter_cross", (0, 0, 1))):
            if name in static:
                motion += static[name][:, None] * np.array(share)
        _put_covariance(out, at, motion)
        for name in static:
            if name in at and name[0] == "z" and name[1:].isdecimal():
                out[:, at[name]] += static[name]
        low = np.array([c.low for c in self.telemetry_channels], np.float32)
        high = np.array([c.high for c in self.telemetry_channels], np.float32)
        return np.clip(out, low, high)


def calibrated(instrument: Imager, folder: str | Path) -> CalibratedImager:
    """The instrument as the calibration in `folder` knows it. Raises UserError."""
    return CalibratedImager(instrument.node, Calibration.load(folder))


def _changed(plain: Imager, calibration: Calibration) -> Node:
    """The instrument's YAML with a seeing for every band, drawn from the posterior's law where it has one."""
    value = copy.deepcopy(plain.node.value)
    use, seeing = calibration.about["use"], value["channels"].get("seeing")
    if "mean" in use and seeing is not None:
        if not seeing.get("per_band", False):
            seeing |= {"per_band": True, "between_bands": 1.0}
        if "law" in use:
            law = use["law"]
            seeing |= {"law": "lognormal", "median": f"{law['median']} arcsec", "sigma": law["sigma"],
                       "night": law["night"], "between_bands": 1.0,
                       "drift": [{"share": law["drift"], "time": f"{law['hours']} h"}]}  # fmt: skip
            for key in ("mean", "value", "shift"):
                seeing.pop(key, None)
    motion = {"jitter_rms": {"range": ["0 arcsec", "2 arcsec"], "law": "constant", "value": "0 arcsec"},
              "jitter_ellipticity": {"range": [0, 0.99], "law": "constant", "value": 0.0},
              "jitter_angle": {"range": ["0 deg", "180 deg"], "law": "constant", "value": "0 deg"}}  # fmt: skip
    for name, channel in motion.items():  # what the floor and the stars' jitter need to enter
        value["channels"].setdefault(name, channel)
    return Node(value, plain.node.file, plain.node.marks, plain.node.path)


def _covariance(rows: np.ndarray, at: dict[str, int]) -> np.ndarray:
    """Image motion xx, yy, xy (n, 3) [arcsec^2] of the jitter channels."""
    rms, e, angle = (rows[:, at[name]].astype(float) for name in ("jitter_rms", "jitter_ellipticity", "jitter_angle"))
    cos, sin = e * np.cos(np.deg2rad(2 * angle)), e * np.sin(np.deg2rad(2 * angle))
    return rms[:, None] ** 2 * np.stack([1 + cos, 1 - cos, sin], 1)


def _put_covariance(rows: np.ndarray, at: dict[str, int], motion: np.ndarray) -> None:
    """The jitter channels of a covariance; what is no covariance becomes the nearest one."""
    mean = np.maximum(0.5 * (motion[:, 0] + motion[:, 1]), 0.0)
    half, cross = 0.5 * (motion[:, 0] - motion[:, 1]), motion[:, 2]
    rows[:, at["jitter_rms"]] = np.sqrt(mean)
    rows[:, at["jitter_ellipticity"]] = np.minimum(np.hypot(half, cross) / np.maximum(mean, 1e-12), 0.99)
    rows[:, at["jitter_angle"]] = np.rad2deg(0.5 * np.arctan2(cross, half)) % 180.0
