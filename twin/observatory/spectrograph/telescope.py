"""A spectrograph: an instrument's YAML, its telemetry, the State of an exposure, and its doors."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr

from twin.observatory import nights
from twin.observatory.kinds import KINDS
from twin.observatory.reading import read_telemetry
from twin.observatory.spectrograph import exposure, sky
from twin.observatory.spectrograph.blur import Blur
from twin.observatory.spectrograph.config import SpectrographConfig, find_spectrograph, read_spectrograph
from twin.observatory.spectrograph.grid import Cells, Grid, legendre, linear_grid, log_grid
from twin.observatory.spectrograph.lsf import FWHM, lsf, series
from twin.observatory.spectrograph.state import SpectrographState
from twin.observatory.telemetry import Channel, read_channel
from twin.schema import Node, UserError, suggest

USED = (
    "seeing", "airmass", "exptime", "sky_brightness", "water_vapour", "snr", "arc_fwhm", "camera_focus", "lsf_skew",
    "wavelength_zero", "wavelength_scale", "wavelength_bend", "airglow", "lamps", "sky_scale", "sky_shift", "sky_width",
    "air_left_o2", "air_left_h2o", *(f"flat_{k}" for k in range(1, 9)), "fringe_amplitude", "fringe_phase",
    "crosstalk", "neighbour_brightness", "neighbour_slope", "ivar_scale",
)  # fmt: skip
_NEEDED = ("snr",)
_THIN, _GAP = 1e-4, 200  # optical depth that counts for none; cells without it that part two bands
_WIDER = 1.15  # by so much lines may be wider than the YAML says before their light is cut closer than `reach`


class Spectrograph:
    """A spectrograph as its YAML describes it, or the part of its spectrum from `part[0]` to `part[1]` [AA, vacuum].

    config              SpectrographConfig
    node                the YAML it came from, whose values enter a recipe's hash
    telemetry_channels  the columns of a telemetry array, in order
    pixels              Grid of the pixels
    """

    def __init__(self, node: Node, part: tuple[float, float] | None = None) -> None:
        """Raises UserError with file, line and key where the YAML is wrong, or the part has no pixel."""
        self.node = node
        self.config: SpectrographConfig = read_spectrograph(node)
        self.telemetry_channels = _channels(self.config, node)
        self._index = {channel.name: i for i, channel in enumerate(self.telemetry_channels)}
        given = self.config.pixels
        if given.log_step is not None:
            whole = log_grid(given.first, given.log_step, given.count)
        else:
            whole = linear_grid(given.first, given.step or 1.0, given.count, given.medium == "air")
        self.span = (float(whole.edges[0]), float(whole.edges[-1]))
        try:
            self.pixels: Grid = whole if part is None else whole.part(*part)
        except ValueError as error:
            raise UserError(f"{self.name}: {error} (it has {self.span[0]:.1f} to {self.span[1]:.1f} AA)") from None
        if not self.span[0] <= self.config.lsf.reference <= self.span[1]:
            raise node.error("lies outside the pixels", ("lsf", "reference"))
        if self._sigma(np.linspace(-1, 1, 101)).min() <= 0:
            raise node.error("makes the line-spread function's width negative", ("lsf", "shape"))

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def identity(self) -> dict[str, Any]:
        """What enters a recipe's hash: the instrument's YAML."""
        value: dict[str, Any] = self.node.value
        return value

    @property
    def channel_names(self) -> tuple[str, ...]:
        return tuple(self._index)

    def _u(self, wavelength: np.ndarray) -> np.ndarray:
        return (2 * wavelength - sum(self.span)) / (self.span[1] - self.span[0])

    def _sigma(self, u: np.ndarray) -> np.ndarray:
        """Nominal standard deviation of the core [AA]."""
        return legendre(u, 3) @ self._nominal

    @cached_property
    def _nominal(self) -> np.ndarray:
        """(3,) Legendre series of it."""
        shape = np.asarray(self.config.lsf.shape)
        at = float((legendre(self._u(np.array(self.config.lsf.reference)), 3) @ shape).item())
        return shape * self.config.lsf.width / FWHM / at

    @cached_property
    def reach(self) -> int:
        """Pixels to either side that a line's light is followed."""
        wide = self._sigma(self._u(self.pixels.centres)) / np.diff(self.pixels.edges)
        return int(np.ceil(self.config.lsf.reach * _WIDER * wide.max() + 0.5))

    def grid(self, oversample: int = 2) -> Grid:
        """The fine cells to simulate on: `oversample` a pixel, with the margin that blurring needs."""
        return self.pixels.finer(oversample, self.reach)

    def blur(self, grid: Grid | Cells, means: bool = False) -> Blur:
        """Blurring from a fine grid into the pixels (twin.observatory.spectrograph.blur). Raises ValueError."""
        return Blur(self.pixels, grid, self.reach, self.span, means)

    def air(self, grid: Grid) -> Air:
        """What the air leaves of flux on a fine grid, to be applied before `blur`."""
        return Air(grid)

    @cached_property
    def tables(self) -> exposure.Tables:
        """What `twin.observatory.spectrograph.exposure` needs to know of the pixels."""
        config, centres = self.config, self.pixels.centres
        u = self._u(centres)
        window = ((centres >= config.window[0]) & (centres <= config.window[1])).astype(np.float32)
        fringes, single = config.fringes, np.float32
        onset = np.clip((centres - fringes.onset) / (self.span[1] - fringes.onset), 0, 1) if fringes else 0 * centres
        turns = 2 * np.pi * (fringes.thickness * 1e4 if fringes else 0.0) / centres
        waves = np.cos(np.pi * np.arange(1, exposure.FLATS + 1)[:, None] * (u + 1) / 2)
        lines = sky.sky_lines(self.pixels, self._sigma(u)) * single(config.sky.lines / 100)
        return exposure.Tables(
            u=u.astype(single),
            lines=lines.transpose(1, 0, 2).reshape(len(sky.GROUPS), -1),
            depth=sky.optical_depth(self.pixels),
            flats=np.concatenate([waves, onset * [np.cos(turns), -np.sin(turns)]]).astype(single),
            window=window if window.any() else np.ones(self.pixels.count, single),
            width=float(self._nominal[0]),
        )

    def draw_exposures(self, seed: int, n: int, start: int = 0) -> np.ndarray:
        """Telemetry (n, C) float32 of exposures start .. start + n - 1 of the nights that belong to `seed`."""
        if n < 0 or start < 0 or start + n > 2**31 or not 0 <= seed < 2**32:
            limits = f"a seed is 0 to {2**32 - 1}, exposures end at 2^31"
            raise UserError(f"cannot draw {n} exposures from {start} with seed {seed}: {limits}")
        plan = self.config.nights
        return nights.draw(self.telemetry_channels, plan.exposures, plan.cadence, seed, n, start)

    def read_exposures(self, path: str | Path, seed: int = 0) -> np.ndarray:
        """Telemetry (n, C) float32 of a table with one exposure a row; what it lacks is drawn from the channels' laws,
        and a warning is logged. Raises UserError with file, row and column."""
        values, missing = read_telemetry(path, self.telemetry_channels, self.config)
        if missing.any():
            drawn = nights.draw(self.telemetry_channels, 1, 1.0, seed, len(values))
            values = np.where(missing, drawn, values)
        return values

    def state(self, telemetry: Array) -> SpectrographState:
        """State of one exposure from its telemetry row (C,): pure JAX, vmap over rows.

        The core's width is the YAML's, times arc_fwhm over the YAML's FWHM. Seeing of FWHM s lights a slit of width w
        (or a fibre of that diameter) with a Gaussian cut at its edges; its variance over that of even light, V(s / w),
        changes the share of the variance that is the entrance's image by (1 - scrambling) (V - 1). The camera's focus
        adds (focus x camera_focus)^2. Sky: sky.continuum 10^(-0.4 (m - brightness)) t / exposure, its lines with t.
        Cosmic rays come at their rate in t.
        """
        config = self.config

        def channel(kind: str, neutral: float | None = None) -> Array:
            if kind in self._index:
                return jnp.asarray(telemetry[self._index[kind]], jnp.float32)
            return jnp.asarray(KINDS[kind].neutral if neutral is None else neutral, jnp.float32)

        lsf, slit, readout = config.lsf, config.slit, config.detector
        grown = channel("arc_fwhm", lsf.width) / lsf.width
        sigma = jnp.asarray(self._nominal, jnp.float32) * grown
        entrance = jnp.float32(0.0)
        if "seeing" in self._index and slit.scrambling < 1:
            lit = _lit_variance(channel("seeing") / slit.width)
            entrance = (1 - slit.scrambling) * slit.share * (lit - 1) * (lsf.width / FWHM * grown) ** 2
        time = channel("exptime", config.sky.exposure)
        longer = time / config.sky.exposure
        brighter = 10 ** (-0.4 * (channel("sky_brightness", config.sky.brightness) - config.sky.brightness))
        oxygen, water = sky.depth_scale(channel("airmass"), channel("water_vapour", sky.WATER))
        airglow, lamps = channel("airglow") * longer, channel("lamps") * longer
        values = {
            "span": self.span,
            "lsf_sigma": sigma,
            "lsf_blur": entrance + (lsf.focus * channel("camera_focus")) ** 2,
            "lsf_wing": lsf.wing,
            "lsf_wing_width": lsf.wing_width,
            "lsf_skew": channel("lsf_skew"),
            "wavelength_error": _stack(channel, "wavelength_zero", "wavelength_scale", "wavelength_bend"),
            "throughput": config.throughput,
            "flat": _stack(channel, *(f"flat_{k}" for k in range(1, exposure.FLATS + 1))),
            "fringe": _stack(channel, "fringe_amplitude", "fringe_phase"),
            "snr": channel("snr"),
            "sky_continuum": config.sky.continuum * brighter * longer,
            "sky_lines": jnp.stack([airglow, airglow, lamps, lamps]),
            "sky_residual": _stack(channel, "sky_scale", "sky_shift", "sky_width"),
            "sky_scatter": config.sky.scatter,
            "read_noise": readout.read_noise * float(np.sqrt(readout.aperture * readout.reads)),
            "gain": readout.gain,
            "aperture": readout.aperture,
            "cosmic_rays": jnp.minimum(readout.cosmic_rays * time, 0.5),
            "cosmic_charge": readout.charge,
            "cosmic_caught": readout.caught,
            "bad_pixels": readout.bad_pixels,
            "air": jnp.stack([oxygen, water]),
            "air_left": _stack(channel, "air_left_o2", "air_left_h2o"),
            "crosstalk": channel("crosstalk"),
            "neighbour": _stack(channel, "neighbour_brightness", "neighbour_slope"),
            "ivar_scale": channel("ivar_scale"),
            "line_mask": readout.line_mask,
        }  # fmt: skip
        return SpectrographState(**{key: jnp.asarray(value, jnp.float32) for key, value in values.items()})

    def lsf(self, state: SpectrographState, wavelength: float, offset: Array) -> Array:
        """See twin.observatory.spectrograph.lsf.lsf."""
        return lsf(state, wavelength, offset)

    def wavelength(self, state: SpectrographState) -> Array:
        """(P,) true wavelengths of the pixels' centres less the pipeline's [AA]: minus the wavelength error."""
        return -series(state.wavelength_error, jnp.asarray(self.tables.u))

    def expose(self, key: Array, expected: Array, state: SpectrographState) -> tuple[Array, Array, Array]:
        """(flux, ivar, good), each (P,), of an expected spectrum (P,): see twin.observatory.spectrograph.exposure."""
        return exposure.expose(key, expected, state, self.tables)

    def log_prob(self, flux: Array, expected: Array, state: SpectrographState, good: Array | None = None) -> Array:
        """Log density of flux (P,) under the law that `expose` draws from."""
        return exposure.log_prob(flux, expected, state, self.tables, good)


class Air:
    """Absorption of the air that the pipeline's correction left, on a fine grid."""

    def __init__(self, grid: Grid) -> None:
        depth = sky.optical_depth(grid)
        there = np.flatnonzero(depth.sum(0) > _THIN)
        groups = np.split(there, np.flatnonzero(np.diff(there) > _GAP) + 1) if len(there) else []
        self.parts = [(int(g[0]), depth[:, g[0] : g[-1] + 1]) for g in groups]

    def __call__(self, flux: Array, state: SpectrographState) -> Array:
        """Flux (n,) times exp(-air_left air depth), of an unbatched State."""
        left = state.air * state.air_left
        for first, depth in self.parts:  # where there is no band nothing is computed
            last = first + depth.shape[1]
            seen = jnp.exp(-(left[0] * depth[0] + left[1] * depth[1]))
            flux = flux.at[first:last].set(flux[first:last] * seen)
        return flux


def load_spectrograph(name_or_path: str | Path, part: tuple[float, float] | None = None) -> Spectrograph:
    """A shipped spectrograph by name, or one from a YAML file. Raises UserError."""
    return Spectrograph(find_spectrograph(name_or_path), part)


def _stack(channel: Any, *kinds: str) -> Array:
    return jnp.stack([channel(kind) for kind in kinds])


def _lit_variance(ratio: Array) -> Array:
    """Variance of a Gaussian of FWHM `ratio` slit widths, cut at the slit's edges, over that of an evenly lit slit."""
    sigma = jnp.maximum(ratio, 1e-3) / FWHM
    half = 0.5 / sigma
    density = jnp.exp(-0.5 * half**2) / np.sqrt(2 * np.pi)
    inside = jnp.maximum(2 * ndtr(half) - 1, 1e-6)
    return 12 * sigma**2 * (1 - 2 * half * density / inside)


def _channels(config: SpectrographConfig, node: Node) -> tuple[Channel, ...]:
    channels = []
    for name, channel in config.channels.items():
        here = node.at("channels", name)
        if name not in USED:
            problem = "is no channel of a spectrograph" if name in KINDS else "unknown channel"
            raise here.error(problem, (), suggest(name, USED))
        if channel.per_band or channel.above is not None:
            raise here.error("does not go with a spectrograph", ("per_band" if channel.per_band else "above",))
        channels.append(read_channel(name, channel, None, (), here))
    for missing in (name for name in _NEEDED if name not in config.channels):
        raise node.error(f'the channel "{missing}" is missing', ("channels",))
    return tuple(channels)
