"""The imager: an instrument's YAML, its telemetry, and the State that an exposure's telemetry puts it in."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.observatory import air, nights
from twin.observatory.config import InstrumentConfig, find_instrument, list_instruments, read_config
from twin.observatory.physics import Physics
from twin.observatory.psf import ARCSEC, Optics
from twin.observatory.reading import read_telemetry
from twin.observatory.state import ImagerState
from twin.observatory.telemetry import KINDS, Channel, build_channels
from twin.schema import Node, UserError

__all__ = ["Imager", "list_instruments", "load_instrument"]

REFERENCE = air.REFERENCE  # wavelength at which seeing is quoted [m]
SIXTEEN_BITS = 65535.0  # most that a raw frame holds, a sum of exposures too [count]
_USUAL = 0.83  # of the best seeing's r0: few exposures come near it; 200 of the prior stay within 1e-4 all the same
_RARE = 2.0  # standard deviations to which the PSF is to be exact, in every channel at once
_TRIALS = 512  # exposures that are drawn to see how bad an alignment gets


class Imager:
    """An imager as its YAML describes it.

    config              InstrumentConfig
    node                the YAML it came from (schema.Node), whose values enter the recipe's hash
    telemetry_channels  the columns of a telemetry array, in order
    """

    def __init__(self, node: Node) -> None:
        """Raises UserError with file, line and key where the YAML is wrong."""
        self.node = node
        self.config: InstrumentConfig = read_config(node)
        self.telemetry_channels: tuple[Channel, ...] = build_channels(self.config, node)
        self._index = {channel.name: i for i, channel in enumerate(self.telemetry_channels)}
        self.physics = Physics(self.config, {channel.kind for channel in self.telemetry_channels}, node)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def identity(self) -> dict[str, Any]:
        """What enters a recipe's hash: the instrument's YAML."""
        value: dict[str, Any] = self.node.value
        return value

    @property
    def bands(self) -> tuple[str, ...]:
        return tuple(self.config.bands)

    @property
    def pixel_scale(self) -> float:
        """[arcsec]"""
        return self.config.pixel_scale

    @property
    def channel_names(self) -> tuple[str, ...]:
        return tuple(self._index)

    @cached_property
    def optics(self) -> Optics:
        """What `twin.observatory.psf` needs to know of the telescope, for exposures such as the channels' laws give."""
        extremes = [[channel.at(z) for channel in self.telemetry_channels] for z in (-_RARE, _RARE)]
        if not self.physics.zernikes:
            return self.optics_of(np.array(extremes))
        # which channels go together in the worst alignment, only trials tell
        deviates = np.random.default_rng(0).standard_normal((_TRIALS, len(self.telemetry_channels)))
        with jax.ensure_compile_time_eval():
            drawn = nights.from_deviates(self.telemetry_channels, jnp.asarray(deviates, jnp.float32))
        trials = np.array(drawn)
        trials[:2, self._seeing] = np.array(extremes)[:, self._seeing]
        return self.optics_of(trials)

    def optics_of(self, exposures: np.ndarray) -> Optics:
        """The same for given exposures, telemetry (n, C): the worst of their aberrations, the best of their seeing.

        With a margin: of a stack, some epochs are better.
        """
        wavelengths = tuple(band.wavelength * 1e-9 for band in self.config.bands.values())
        stroke = 1.1 * np.linalg.norm(exposures[:, self._zernikes], axis=1).max() * 1e-9
        if self.physics.zernikes:
            with jax.ensure_compile_time_eval():
                opd = jax.jit(jax.vmap(self._aberration))(jnp.asarray(exposures, jnp.float32))
            stroke = 1.1 * np.linalg.norm(np.asarray(opd, float), axis=1).max()
        best = exposures[:, self._seeing].min() if self.config.atmosphere else np.nan
        colour = max((w / REFERENCE) ** (1 - self.config.air.wavelength_exponent) for w in wavelengths)
        sharpest = 0.976 * REFERENCE / ARCSEC / best * colour
        return Optics(
            self.config.diameter,
            self.config.obscuration,
            wavelengths,
            self.config.atmosphere,
            stroke=float(stroke),
            speckle=self.config.speckle is not None,
            max_r0=float(_USUAL * sharpest) if self.config.atmosphere else np.inf,
            min_jitter=self.config.detector.diffusion * self.config.pixel_scale,
            reach=float(2.1 * sharpest) if self.config.atmosphere else None,
            stack_pixel=self.config.pixel_scale if self.config.detector.resampling == "isotropic" else 0.0,
        )

    def draw_exposures(self, seed: int, n: int, start: int = 0) -> np.ndarray:
        """Telemetry (n, C) float32 of exposures start .. start + n - 1 of the nights that belong to `seed`."""
        if n < 0 or start < 0 or start + n > 2**31 or not 0 <= seed < 2**32:
            limits = f"a seed is 0 to {2**32 - 1}, exposures end at 2^31"
            raise UserError(f"cannot draw {n} exposures from {start} with seed {seed}: {limits}")
        plan = self.config.nights
        return nights.draw(self.telemetry_channels, plan.exposures, plan.cadence, seed, n, start)

    def read_exposures(self, path: str | Path, seed: int = 0) -> np.ndarray:
        """Telemetry (n, C) float32 of a table or header folder with one exposure a row (`reading.read_telemetry`).

        What the source lacks, whole channels or single values, is drawn from the priors, independently for each row,
        and a warning is logged. Raises UserError with file, row and column for every value that cannot be meant.
        """
        values, missing = read_telemetry(path, self.telemetry_channels, self.config)
        if missing.any():
            drawn = nights.draw(self.telemetry_channels, 1, 1.0, seed, len(values))
            values = np.where(missing, drawn, values)
            for i, channel in enumerate(self.telemetry_channels):
                if channel.above is not None:  # a difference is drawn: it counts from what the source says
                    moved = drawn[:, i] + values[:, channel.above] - drawn[:, channel.above]
                    values[:, i] = np.where(missing[:, i], moved.clip(channel.low, channel.high), values[:, i])
        return values

    def _channel(self, telemetry: Array, kind: str) -> Array:
        """(B,) values of a channel; its neutral value where the instrument has no such channel."""
        if kind in self._index:
            return jnp.broadcast_to(telemetry[self._index[kind]], (len(self.bands),))
        if f"{kind}_{self.bands[0]}" in self._index:
            return jnp.stack([telemetry[self._index[f"{kind}_{band}"]] for band in self.bands])
        return jnp.full((len(self.bands),), KINDS[kind].neutral, jnp.float32)

    def _band(self, field: str) -> Array:
        return jnp.asarray([getattr(band, field) for band in self.config.bands.values()], jnp.float32)

    def state(self, telemetry: Array) -> ImagerState:
        """State of one exposure from its telemetry row (C,): pure JAX, vmap over rows.

        Atmosphere: r0 = 0.976 x 500 nm / seeing (lambda / 500 nm)^1.2 X^-0.6 (Sarazin & Roddier 1990, A&A 227, 294),
        unless `air` has other exponents: `seeing` is that of unbounded (Kolmogorov) turbulence, as a DIMM reports it;
        the image is sharper by the outer scale, which the PSF brings in. Epochs of a stack are Gauss-Hermite nodes x
        of its spread in seeing, seeing exp(scatter x), with the nodes' weights.

        Light: with Z the band's zero point for 1 e-/s at airmass 1, k its extinction, T the transparency and t the
        exposure time, a source of magnitude m gives T 10^(-0.4 (m - Z + k (X - 1))) e-/s. A raw frame has the
        detector's gain, the bias of each of its exposures, and 16 bits. In a calibrated one (frame.zero_point Zf:
        1 count/s for magnitude Zf) a count stands for T c 10^(0.4 (Z - k (X - 1) - Zf)) electrons, c being the share of
        the time that the pixel was exposed; its bias is gone. Sky is given as seen at the pointing; extinction does not
        dim it again.
        """
        config, detector, frame = self.config, self.config.detector, self.config.frame
        bands = len(self.bands)

        def channel(kind: str) -> Array:
            return self._channel(telemetry, kind)

        airmass, exptime = channel("airmass"), channel("exptime")
        throughput = channel("transparency") * 10 ** (-0.4 * self._band("extinction") * (airmass - 1))
        electron_mag = self._band("zero_point")  # gives 1 e-/s through a clear sky at airmass 1
        if frame.zero_point is None:
            gain, bias, most = jnp.full((bands,), detector.gain, jnp.float32), detector.bias, SIXTEEN_BITS
            zero_point = electron_mag + 2.5 * jnp.log10(exptime * frame.coverage * throughput / gain)
        else:
            gain, bias = throughput * frame.coverage * 10 ** (0.4 * (electron_mag - frame.zero_point)), 0.0
            most = jnp.inf
            zero_point = frame.zero_point + 2.5 * jnp.log10(exptime)
        brightness = self.physics.sky_brightness(channel)
        sky_rate = 10 ** (0.4 * (electron_mag - brightness)) * config.pixel_scale**2  # [e-/s]
        sky = sky_rate * exptime * frame.coverage / gain
        reads = jnp.maximum(exptime / self._band("exposure"), 1.0) * frame.coverage
        dark = detector.dark * exptime * frame.coverage
        if config.dark_current:
            dark = dark * self.physics.dark_ratio(channel)
        read_noise = detector.read_noise * jnp.sqrt(reads)
        noise = jnp.sqrt(sky * gain + dark + read_noise**2) / gain
        left = jnp.stack([channel(kind) for kind in ("background", "background_x", "background_y")], -1)
        r0, weight = self._atmosphere(channel("seeing"), channel("seeing_scatter"), airmass)
        r0 = self.physics.near_seeing(r0, channel)
        jitter = self._jitter(channel("jitter_rms"), channel("jitter_ellipticity"), channel("jitter_angle"))
        if (motion := self.physics.motion(channel)) is not None:
            jitter = jitter + motion
        offset = jnp.stack([channel("offset_x"), channel("offset_y")], -1)
        if (shift := self.physics.shift(channel)) is not None:
            offset = offset + shift
        return ImagerState(
            r0=r0,
            outer_scale=jnp.broadcast_to(channel("outer_scale")[:, None] if config.atmosphere else jnp.inf, r0.shape),
            weight=weight,
            jitter=jitter,
            aberration=self._aberration(telemetry),
            offset=offset,
            zero_point=zero_point,
            gain=gain,
            sky=sky,
            dark=dark,
            read_noise=read_noise,
            bias=bias * reads,
            saturation=jnp.minimum(detector.saturation * reads / gain + bias * reads, most),
            resampling=channel("resampling"),
            sky_residual=left * noise[:, None],
            exptime=exptime * frame.coverage,
            reads=reads,
            anisotropy=self.physics.anisotropy(channel, r0, weight, exptime * frame.coverage),
        )

    @cached_property
    def _seeing(self) -> list[int]:
        return [i for i, channel in enumerate(self.telemetry_channels) if channel.kind == "seeing"]

    def _aberration(self, telemetry: Array) -> Array:
        """(J,) optical path [m] of z4 .. of the full pupil."""
        measured = jnp.stack([telemetry[i] * 1e-9 for i in self._zernikes]) if self._zernikes else jnp.zeros(0)
        if not self.physics.zernikes:
            return measured
        return self.physics.aberration(measured, lambda kind: self._channel(telemetry, kind))

    @cached_property
    def _zernikes(self) -> list[int]:
        count = sum(channel.kind[1:].isdecimal() for channel in self.telemetry_channels)
        return [self._index[f"z{j}"] for j in range(4, 4 + count)]

    def _atmosphere(self, seeing: Array, scatter: Array, airmass: Array) -> tuple[Array, Array]:
        """r0 [m] and weight, each (B, E)."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(self.config.frame.epochs)
        weight = jnp.broadcast_to(jnp.asarray(weights / weights.sum(), jnp.float32), (len(self.bands), len(nodes)))
        if not self.config.atmosphere:
            return jnp.full(weight.shape, jnp.inf, jnp.float32), weight
        wavelengths = tuple(band.wavelength * 1e-9 for band in self.config.bands.values())
        exponents = self.config.air.airmass_exponent, self.config.air.wavelength_exponent
        r0 = air.fried(seeing, airmass, wavelengths, *exponents)
        return r0[:, None] * jnp.exp(-scatter[:, None] * jnp.asarray(nodes, jnp.float32)), weight

    def _jitter(self, rms: Array, ellipticity: Array, angle: Array) -> Array:
        """Covariance xx, yy, xy (B, 3) [arcsec^2] of image motion and charge diffusion."""
        twice = 2 * jnp.deg2rad(angle)
        motion, spread = rms**2, (self.config.detector.diffusion * self.config.pixel_scale) ** 2
        cos, sin = ellipticity * jnp.cos(twice), ellipticity * jnp.sin(twice)
        return jnp.stack([motion * (1 + cos) + spread, motion * (1 - cos) + spread, motion * sin], -1)


def load_instrument(name_or_path: str | Path) -> Imager:
    """A shipped instrument ("ps1", "csst") or one of the user's own YAML files. Raises UserError."""
    return Imager(find_instrument(name_or_path))
